"""What the Hub on the loopback interface does with what is sent: it makes repositories, keeps files, commits them."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from fake_hub import FakeHub

USER = "owner"
"""Whose token it is; nobody else's repositories may be written."""

_LARGE = (".safetensors", ".png")
_CARD = re.compile(r"^---\n(.*?)\n---\n", re.DOTALL)
_PART = re.compile(r"^/api/models/(?P<name>[^/]+/[^/]+)/(?P<part>preupload|commit)/(?P<branch>[^/]+)$")
_BATCH = re.compile(r"^/(?P<name>[^/]+/[^/]+)\.git/info/lfs/objects/batch$")

Answer = tuple[int, Any]


class Uploads:
    """Answers what an upload asks.

    Attributes:
        blobs: Large files, by the SHA-256 of their content.
        commits: Of each commit, its message and the paths in it.
        readonly: The token may not write.
    """

    def __init__(self, hub: FakeHub) -> None:
        self._hub = hub
        self._store = tempfile.TemporaryDirectory()
        self.blobs: dict[str, bytes] = {}
        self.commits: list[tuple[str, list[str]]] = []
        self.readonly = False

    def answer(self, command: str, path: str, authorization: str | None, body: bytes) -> Answer | None:
        """Status and JSON, or the message of a refusal; None for what is no part of an upload."""
        from fake_hub import TOKEN

        stored = re.match(r"^/lfs/(?P<oid>[0-9a-f]{64})$", path)
        if command == "PUT" and stored:  # its address is secret enough, as in a bucket
            return self._put(stored["oid"], body)
        asked = path if path in ("/api/repos/create", "/api/validate-yaml") else _PART.match(path) or _BATCH.match(path)
        if command != "POST" or not asked:
            return None
        if authorization != f"Bearer {TOKEN}":
            return 401, "Invalid credentials in Authorization header"
        if path == "/api/validate-yaml":
            return self._validate(json.loads(body))
        if self.readonly:
            return 403, "You don't have the rights to write here"
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        assert isinstance(asked, re.Match)
        if asked.re is _BATCH:
            return self._batch(json.loads(body))
        if asked["part"] == "preupload":
            return self._preupload(json.loads(body))
        return self._commit(asked["name"], asked["branch"], body)

    def _create(self, asked: dict[str, Any]) -> Answer:
        owner = asked["organization"] or USER
        if owner != USER:
            return 403, f"You don't have the rights to create a model under the namespace {owner}"
        name = f"{owner}/{asked['name']}"
        url = {"url": f"{self._hub.url}/{name}"}
        if self._hub.find("models", name) is None:
            folder = Path(self._store.name, name)
            folder.mkdir(parents=True)
            self._hub.add(name, folder, private=asked.get("visibility") == "private")
        return 200, url

    def _validate(self, asked: dict[str, Any]) -> Answer:
        card = _CARD.match(asked["content"])
        try:
            found = yaml.safe_load(card[1]) if card else None
            (model,) = found["model-index"]
            assert all(result["dataset"]["type"] and result["metrics"] for result in model["results"])
        except (yaml.YAMLError, AssertionError, KeyError, TypeError, ValueError) as error:
            return 400, json.dumps({"errors": [{"message": f"no good metadata: {type(error).__name__}"}]})
        return 200, {"errors": [], "warnings": []}

    def _preupload(self, asked: dict[str, Any]) -> Answer:
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(_LARGE) else "regular",
                "shouldIgnore": False,
            }
            for file in asked["files"]
        ]
        return 200, {"files": files}

    def _batch(self, asked: dict[str, Any]) -> Answer:
        objects = [
            each
            if each["oid"] in self.blobs
            else {**each, "actions": {"upload": {"href": f"{self._hub.url}/lfs/{each['oid']}"}}}
            for each in asked["objects"]
        ]
        return 200, {"transfer": "basic", "objects": objects}

    def _put(self, oid: str, body: bytes) -> Answer:
        if hashlib.sha256(body).hexdigest() != oid:
            return 400, "The content is not what was announced"
        self.blobs[oid] = body
        return 200, {}

    def _commit(self, name: str, branch: str, body: bytes) -> Answer:
        repository = self._hub.find("models", name)
        if repository is None or isinstance(repository, str):
            return 404, "Repository not found"
        header, *lines = (json.loads(line) for line in body.splitlines())
        paths = []
        for line in lines:
            value = line["value"]
            content = self.blobs[value["oid"]] if line["key"] == "lfsFile" else base64.b64decode(value["content"])
            place = repository.branches[branch] / value["path"]
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
            paths.append(value["path"])
        self.commits.append((header["value"]["summary"], sorted(paths)))
        commit = repository.commit(branch)
        return 200, {"commitUrl": f"{self._hub.url}/{name}/commit/{commit}", "commitOid": commit}

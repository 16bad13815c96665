"""A small Hugging Face Hub on the loopback interface, which serves repositories from folders.

It answers what `huggingface_hub.snapshot_download`, `datasets.load_dataset` and an upload ask, and refuses as the Hub
does.

    with FakeHub() as hub:
        hub.add("owner/model", folder)
        environment = {"HF_ENDPOINT": hub.url, "HF_HOME": ...}
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

from fake_uploads import Uploads

Kind = Literal["models", "datasets"]

TOKEN = "hf_right"
# A dataset's card, as IMDb has it on the Hub: where the files of each split are.
CARD = """---
configs:
- config_name: plain_text
  data_files:
  - {split: train, path: plain_text/train-*}
  - {split: test, path: plain_text/test-*}
---
"""
_CALLS = """
import dataclasses, json, sys
for line in json.loads(sys.argv[1]):
    module, function, arguments = line
    try:
        imported = __import__(module, fromlist=[function])
        result = getattr(imported, function)(*arguments)
        answer = {"result": dataclasses.asdict(result) if dataclasses.is_dataclass(result) else result}
    except Exception as error:
        answer = {"error": type(error).__name__, "message": str(error)}
    print(json.dumps(answer, default=str))
"""
_NAME = r"(?P<name>[^/]+(?:/[^/]+)?)"
_API = re.compile(rf"^/api/(?P<kind>models|datasets)/{_NAME}$")
_API_PART = re.compile(
    rf"^/api/(?P<kind>models|datasets)/{_NAME}/(?P<part>revision|tree|paths-info)/(?P<revision>[^/]+)(?P<path>/.*)?$"
)
_FILE = re.compile(rf"^/(?P<kind>datasets/)?{_NAME}/resolve/(?P<revision>[^/]+)/(?P<path>.+)$")


def ask(endpoint: str, home: Path, *calls: tuple[str, str, list[Any]], **environment: str) -> list[dict[str, Any]]:
    """Calls functions in a fresh process, for the Hub's libraries read the environment when they are imported.

    Args:
        endpoint: The Hub.
        home: The Hub's cache.
        *calls: Module, function and arguments of each.
        **environment: More variables.

    Returns:
        For each call its `result` (a dataclass as a dict), or its `error` and `message`. `stderr` is what the process
        said.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    hub = {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", _CALLS, json.dumps(calls)],
        env={**kept, **hub, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return [json.loads(line) | {"stderr": done.stderr} for line in done.stdout.splitlines()]


@dataclass
class Repository:
    """One repository: its folders by branch, and who may read it."""

    name: str
    branches: dict[str, Path] = field(default_factory=dict)
    private: bool = False
    gated: bool = False

    def commit(self, branch: str) -> str:
        digest = hashlib.sha1(f"{self.name} {branch}".encode())
        for path, content in self.files(branch).items():
            digest.update(path.encode() + hashlib.sha1(content).digest())
        return digest.hexdigest()

    def branch(self, revision: str) -> str | None:
        return next((name for name in self.branches if revision in (name, self.commit(name))), None)

    def files(self, branch: str) -> dict[str, bytes]:
        folder = self.branches[branch]
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


class FakeHub:
    """The server; `url` is its endpoint.

    Attributes:
        requests: Method, path and Authorization header of what was asked, in order.
        cut: Paths inside repositories whose transfer breaks off in the middle.
        status: Answer everything with this status, as a Hub that is down does.
        silent: Words; a path that holds one of them is never answered.
    """

    def __init__(self) -> None:
        self._repositories: dict[tuple[str, str], Repository] = {}
        self._moved: dict[str, str] = {}
        self.requests: list[tuple[str, str, str | None]] = []
        self.cut: set[str] = set()
        self.status: int | None = None
        self.silent: set[str] = set()
        self.stopped = threading.Event()
        self.uploads = Uploads(self)
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def __enter__(self) -> FakeHub:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """From now on nobody answers at `url`."""
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()

    def add(
        self,
        name: str,
        folder: Path,
        *,
        kind: Kind = "models",
        branch: str = "main",
        private: bool = False,
        gated: bool = False,
    ) -> str:
        """Serves a folder as a branch of a repository, and returns its commit."""
        repository = self._repositories.setdefault((kind, name), Repository(name))
        repository.branches[branch] = folder
        repository.private, repository.gated = private, gated
        return repository.commit(branch)

    def move(self, old: str, new: str) -> None:
        """Redirects a name, as the Hub does with those from before names had owners."""
        self._moved[old] = new

    def find(self, kind: str, name: str) -> Repository | str | None:
        """The repository, the name it moved to, or None."""
        return self._moved.get(name) or self._repositories.get((kind, name))


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append((self.command, path, self.headers.get("Authorization")))
        if self.hub.status is not None:
            return self._send(self.hub.status)
        if path == "/":
            return self._send(200, b"<html></html>")
        if any(word in path for word in self.hub.silent):
            self.hub.stopped.wait()
            self.close_connection = True
            return None
        uploaded = self.hub.uploads.answer(self.command, path, self.headers.get("Authorization"), body)
        if uploaded is not None:
            status, content = uploaded
            return self._json(content, status) if status < 400 else self._refuse(status, None, content)
        api = _API_PART.match(path) or _API.match(path)
        match = api or _FILE.match(path)
        if match is None:
            return self._send(404)
        groups = match.groupdict()
        found = self.hub.find((groups["kind"] or "models").rstrip("/"), groups["name"])
        if isinstance(found, str):
            return self._send(307, headers={"Location": self.path.replace(groups["name"], found, 1)})
        authorization = self.headers.get("Authorization")
        if authorization not in (None, f"Bearer {TOKEN}"):
            return self._refuse(401, None, "Invalid credentials in Authorization header")
        if found is None or (found.private and not authorization):
            return self._refuse(404 if authorization else 401, "RepoNotFound", "Repository not found")
        branch = found.branch(groups.get("revision") or "main")
        if branch is None:
            return self._refuse(404, "RevisionNotFound", f"Invalid rev id: {groups['revision']}")
        if api:
            return self._json(_description(found, branch, groups, body))
        if found.gated and not authorization:
            return self._refuse(401, "GatedRepo", "Access to this model is restricted")
        return self._file(found, branch, groups["path"])

    def _file(self, repository: Repository, branch: str, path: str) -> None:
        content = repository.files(branch).get(path)
        commit = {"X-Repo-Commit": repository.commit(branch)}
        if content is None:
            return self._refuse(404, "EntryNotFound", "Entry not found", commit)
        headers = commit | {"ETag": f'"{_oid(content)}"', "Accept-Ranges": "bytes"}
        span = re.match(r"^bytes=(\d+)-(\d*)$", self.headers.get("Range") or "")
        if span is None:
            return self._send(200, content, headers, cut=path in self.hub.cut)
        first, last = int(span[1]), min(int(span[2] or len(content)), len(content) - 1)
        headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        return self._send(206, content[first : last + 1], headers)

    def _json(self, content: Any, status: int = 200) -> None:
        self._send(status, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _refuse(self, status: int, code: str | None, message: str, headers: dict[str, str] | None = None) -> None:
        named = {"X-Error-Code": code} if code else {}
        self._send(status, message.encode(), {**named, "X-Error-Message": message, **(headers or {})})

    def _send(
        self, status: int, content: bytes = b"", headers: dict[str, str] | None = None, cut: bool = False
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if cut else content)
            self.close_connection = cut


def _description(repository: Repository, branch: str, groups: dict[str, str], body: bytes) -> Any:
    """What the Hub's API says about a repository, or about the files in it."""
    files = repository.files(branch)
    entries = [
        {"type": "file", "path": path, "size": len(content), "oid": _oid(content)} for path, content in files.items()
    ]
    folders = {parent.as_posix() for path in files for parent in Path(path).parents if parent.as_posix() != "."}
    entries += [{"type": "directory", "path": folder, "size": 0, "oid": "0" * 40} for folder in sorted(folders)]
    part = groups.get("part")
    if part == "tree":
        inside = (groups.get("path") or "").strip("/")
        return [entry for entry in entries if not inside or str(entry["path"]).startswith(f"{inside}/")]
    if part == "paths-info":
        text = body.decode()
        wanted = json.loads(text)["paths"] if text.startswith("{") else parse_qs(text).get("paths", [])
        return [entry for entry in entries if entry["path"] in wanted]
    return {
        "_id": "0" * 24,
        "id": repository.name,
        "sha": repository.commit(branch),
        "private": repository.private,
        "gated": "auto" if repository.gated else False,
        "tags": [],
        "siblings": [{"rfilename": path} for path in files],
    }


def _oid(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()

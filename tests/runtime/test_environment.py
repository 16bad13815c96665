from __future__ import annotations

import os

import pytest

from understudy.runtime.environment import variables


@pytest.mark.parametrize(("keep", "within"), [(False, "wanted"), (True, "before")])
def test_variables_are_set_for_a_while(monkeypatch: pytest.MonkeyPatch, keep: bool, within: str) -> None:
    monkeypatch.setenv("THERE", "before")
    monkeypatch.delenv("NOT_THERE", raising=False)
    with pytest.raises(KeyError), variables({"THERE": "wanted", "NOT_THERE": "wanted"}, keep=keep):
        assert (os.environ["THERE"], os.environ["NOT_THERE"]) == (within, "wanted")
        raise KeyError
    assert os.environ["THERE"] == "before" and "NOT_THERE" not in os.environ

"""The exception tree."""

from __future__ import annotations

import inspect
import re

import pytest

from understudy import errors


def test_the_drawn_tree_names_every_exception() -> None:
    drawn = set(re.findall(r"[├└]── (\w+)|^    (\w+)$", errors.__doc__ or "", re.MULTILINE))
    classes = {name for name, kind in inspect.getmembers(errors, inspect.isclass)}
    assert {one or other for one, other in drawn} == classes


@pytest.mark.parametrize("name", ["RecipeError", "DataError", "ModelError", "HubUnreachable", "RunDirectoryError"])
def test_what_the_user_can_mend_exits_with_2(name: str) -> None:
    assert issubclass(getattr(errors, name), errors.UserError)
    assert getattr(errors, name).exit_status == 2


def test_a_refused_gate_exits_with_3_and_is_no_user_error() -> None:
    assert errors.GateRefused.exit_status == 3
    assert not issubclass(errors.GateRefused, errors.UserError)


def test_a_missing_extra_gives_its_install_line() -> None:
    message = str(errors.MissingExtra("torch", "distill", "Training"))
    assert message == (
        "Training needs the package 'torch', which is not installed. "
        "In a clone of understudy, run: pip install '.[distill]'"
    )


@pytest.mark.parametrize("module", ["torch", "sklearn.linear_model", "transformers"])
def test_a_module_of_an_extra_is_named_with_its_install_line(module: str) -> None:
    found = errors.missing_extra(ModuleNotFoundError(name=module), "This command")
    assert found is not None and "pip install '.[distill]'" in str(found)
    assert str(found).startswith("This command needs the package")


def test_any_other_module_is_no_extras() -> None:
    assert errors.missing_extra(ModuleNotFoundError(name="understudy.gone"), "This command") is None
    assert errors.missing_extra(ModuleNotFoundError(), "This command") is None

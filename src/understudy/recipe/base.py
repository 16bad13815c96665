"""Shared by the recipe's sections: the validation of options, and types that several of them use."""

from __future__ import annotations

import json
from types import NoneType
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from understudy.recipe.wording import accepts

PositiveInt = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(ge=0, lt=1)]
LARGEST_SEED = 2**32 - 1
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
Auto = Literal["auto"]
AUTO: Auto = "auto"
"""The value of an option that follows the data; `understudy.run.auto` replaces it before anything is trained."""

Value = TypeVar("Value")


def settled(value: Value | Auto) -> Value:
    """The value of an option once nothing is `auto` any more.

    Raises:
        ValueError: It is still `auto`.
    """
    if value == AUTO:
        raise ValueError("an option is still auto; expected a recipe whose automatic options are resolved")
    return value


class Options(BaseModel):
    """A section of the recipe, or the whole recipe: immutable; unknown options are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _plain(cls, value: Any, info: ValidationInfo) -> Any:
        """Makes `none` unset an optional value, so that flags can override a file; rejects booleans as numbers."""
        annotation = cls.model_fields[str(info.field_name)].annotation
        if value == "none" and accepts(annotation, NoneType):
            return None
        if isinstance(value, bool) and not accepts(annotation, bool):
            raise ValueError("true and false are not numbers")
        return value


def as_list(value: Any) -> Any:
    """Parses a flag's list: `a,b`, or JSON if a name contains a comma; other values are returned unchanged."""
    if not isinstance(value, str):
        return value
    if value.startswith("["):
        try:
            return json.loads(value)
        except ValueError:
            return value  # not a list, which the validation then reports
    return [item.strip() for item in value.split(",")]

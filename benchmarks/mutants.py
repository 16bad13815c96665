"""Makes mutants: copies of a module with one small change each, from cosmic-ray's operators and two of our own."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import parso
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator

# One replacement per operator of Python: the twenty others that cosmic-ray has are killed by the same tests.
_NAMES = [
    *(f"ReplaceBinaryOperator_{pair}" for pair in ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "Pow_Mul", "Mod_Add")),
    *(f"ReplaceBinaryOperator_{pair}" for pair in ("FloorDiv_Div", "BitOr_BitAnd", "BitAnd_BitOr")),
    *(f"ReplaceComparisonOperator_{pair}" for pair in ("Eq_NotEq", "NotEq_Eq", "Is_IsNot", "IsNot_Is")),
    *(f"ReplaceComparisonOperator_{pair}" for pair in ("Lt_LtE", "Lt_GtE", "LtE_Lt", "LtE_Gt")),
    *(f"ReplaceComparisonOperator_{pair}" for pair in ("Gt_GtE", "Gt_LtE", "GtE_Gt", "GtE_Lt")),
    *(f"ReplaceUnaryOperator_{pair}" for pair in ("Delete_USub", "Delete_Invert", "Delete_Not")),
    *("AddNot", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd"),
    *("ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ExceptionReplacer", "NumberReplacer"),
    *("RemoveDecorator", "ZeroIterationForLoop"),
]


@dataclass(frozen=True)
class Mutant:
    """A changed copy of a module.

    Attributes:
        name: Operator and occurrence.
        line: Number of the first changed line.
        was: The line as it was.
        now: The changed line.
        source: The whole changed copy.
    """

    name: str
    line: int
    was: str
    now: str
    source: str


class NoArgument(Operator):  # type: ignore[misc]  # cosmic-ray has no types
    """Passes None as a keyword argument: a key that leaves something out."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        if node.type == "argument" and node.children[1] == "=" and node.children[2] != "None":
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        value = node.children[2]
        node.children[2] = parso.python.tree.Keyword("None", value.start_pos, value.get_first_leaf().prefix)
        return node

    @classmethod
    def examples(cls) -> tuple[()]:
        return ()


class NotIn(Operator):  # type: ignore[misc]  # cosmic-ray has no types
    """Swaps `in` and `not in`."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        if (node.type == "keyword" and node.value == "in" and node.parent.type == "comparison") or _is_not_in(node):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        return parso.python.tree.Keyword("in" if _is_not_in(node) else "not in", node.start_pos, " ")

    @classmethod
    def examples(cls) -> tuple[()]:
        return ()


def _is_not_in(node: Any) -> bool:
    return bool(node.type == "comp_op" and node.children[0] == "not")


def mutants(path: Path) -> Iterator[Mutant]:
    """Every mutant of a module, each once. Annotations and imports for them stay: nothing evaluates them."""
    source = path.read_text(encoding="utf-8")
    original, seen = ast.dump(ast.parse(source)), {source}
    operators: dict[str, Operator] = {name: get_operator(f"core/{name}")() for name in _NAMES}
    for name, operator in (operators | {"NoArgument": NoArgument(), "NotIn": NotIn()}).items():
        places = [at for node in ast_nodes(get_ast(source)) for at, _ in operator.mutation_positions(node)]
        for occurrence, (line, column) in enumerate(places):
            if _in_an_annotation(source, line, column) or "if TYPE_CHECKING" in source.splitlines()[line - 1]:
                continue
            changed = mutate_code(source, operator, occurrence)
            if changed is None or changed in seen or _same(changed, original):
                continue
            seen.add(changed)
            was, now, number = _difference(source, changed)
            yield Mutant(f"{name} {occurrence}", number, was, now, changed)


def digest(*paths: Path) -> str:
    """Digest of the contents of files."""
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in paths)).hexdigest()[:16]


def _same(changed: str, original: str) -> bool:
    """Whether a change does not compile, or changes nothing that Python sees."""
    try:
        return ast.dump(ast.parse(changed)) == original
    except SyntaxError:
        return True


def _in_an_annotation(source: str, line: int, column: int) -> bool:
    place = (line, column)
    return any(
        (part.lineno, part.col_offset) <= place < (part.end_lineno or 0, part.end_col_offset or 0)
        for node in ast.walk(ast.parse(source))
        for part in (getattr(node, "annotation", None), getattr(node, "returns", None))
        if isinstance(part, ast.expr)
    )


def _difference(source: str, changed: str) -> tuple[str, str, int]:
    before, after = source.splitlines(), changed.splitlines()
    for number, (was, now) in enumerate(zip(before, after, strict=False), start=1):
        if was != now:
            return was.strip(), now.strip(), number
    return "", "", len(before)

"""Arrow columns as Python values, without a loss: times keep their nanoseconds and every year."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


def exact_values(column: Any) -> list[Any]:
    """The values of an Arrow column; dates, times and durations are text, also inside lists and structs.

    Python has no nanoseconds and no year after 9999. Numbers, decimals, strings and bytes stay what they are.

    Args:
        column: An Arrow array or chunked array.

    Raises:
        pyarrow.ArrowException: Arrow cannot write the values as text.
    """
    import pyarrow as pa

    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
        column = column.cast(kind)
    if pa.types.is_duration(kind):
        counts = column.cast(pa.int64()).to_pylist()
        return [None if count is None else f"{count} {kind.unit}" for count in counts]
    as_text = _as_text(kind)
    if as_text == kind:
        return list(column.to_pylist())
    try:
        return list(column.cast(as_text).to_pylist())
    except pa.ArrowException:
        if not pa.types.is_timestamp(kind):
            raise
        # A time zone that this machine does not know; the values themselves are in UTC.
        values = column.cast(pa.timestamp(kind.unit)).cast(pa.string()).to_pylist()
        return [None if value is None else f"{value}Z" for value in values]


def _as_text(kind: pa.DataType) -> pa.DataType:
    """The type with strings instead of dates, times and durations."""
    import pyarrow as pa

    types: Any = pa.types
    if types.is_temporal(kind) and not types.is_interval(kind):
        return pa.string()
    if types.is_dictionary(kind):
        return kind if _as_text(kind.value_type) == kind.value_type else _as_text(kind.value_type)
    if types.is_struct(kind):
        return pa.struct([field.with_type(_as_text(field.type)) for field in kind])
    if types.is_map(kind):
        return pa.map_(_as_text(kind.key_type), kind.item_field.with_type(_as_text(kind.item_type)))
    if types.is_fixed_size_list(kind):
        return pa.list_(kind.value_field.with_type(_as_text(kind.value_type)), kind.list_size)
    for is_kind, make in ((types.is_list, pa.list_), (types.is_large_list, pa.large_list)):
        if is_kind(kind):
            return make(kind.value_field.with_type(_as_text(kind.value_type)))
    return kind

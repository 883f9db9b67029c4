"""Many values as one parameter, in the server's own binary form.

psycopg writes an array element by element through its general machinery, which costs more than everything
else about a statement of many rows: 20 to 30 µs per job of a bulk insert, measured. The few kinds of values
that our rows are made of are packed here instead: ids, texts, whole numbers, truths and nulls. A column that says
the same in all rows, as most do, is packed once and repeated.

Whatever is not known here goes to psycopg as it was, and so does everything where the connection does not
speak UTF-8: packing is never a question of right or wrong, only of time. The types that the statement
names beside each array (`:queue::text[]`) decide what arrives, as they do for a list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from struct import Struct
from struct import error as OutOfRange
from typing import Any, TypeGuard
from uuid import UUID

import psycopg
from psycopg import pq
from psycopg.adapt import Dumper

_HEAD = Struct("!iiIii")
"""Dimensions, whether there are nulls, type of the elements; length and lower bound of the one dimension."""
_length = Struct("!i").pack
_whole = Struct("!iq").pack
_truth = Struct("!i?").pack
_NULL = _length(-1)
_ID_LENGTH = _length(16)


class _Packed(bytes):
    """An array in binary form; which kind, says the class."""


class _Texts(_Packed): ...


class _Ids(_Packed): ...


class _Wholes(_Packed): ...


class _Truths(_Packed): ...


class _PackedDumper(Dumper):
    format = pq.Format.BINARY

    def dump(self, obj: Any) -> bytes:
        return bytes(obj)


def _text(value: str) -> bytes:
    encoded = value.encode()
    return _length(len(encoded)) + encoded


_KINDS: dict[type, tuple[type[_Packed], int, Callable[[Any], bytes]]] = {
    str: (_Texts, 25, _text),
    UUID: (_Ids, 2950, lambda value: _ID_LENGTH + value.int.to_bytes(16)),
    int: (_Wholes, 20, lambda value: _whole(8, value)),
    bool: (_Truths, 16, lambda value: _truth(1, value)),
}
_ARRAYS = ((_Texts, 1009), (_Ids, 2951), (_Wholes, 1016), (_Truths, 1000))

for _kind, _oid in _ARRAYS:
    psycopg.adapters.register_dumper(_kind, type(f"{_kind.__name__}Dumper", (_PackedDumper,), {"oid": _oid}))


def packed(given: Any) -> Any:
    """A list as one binary array; anything else, and what is not known to be the same, as it is."""
    if not is_list(given):
        return given
    values = given
    count = len(values)
    kinds = set(map(type, values))
    has_nulls = type(None) in kinds
    kinds.discard(type(None))
    if not kinds and count:
        # An array of texts becomes one of anything, and nulls stay nulls.
        return _Texts(_HEAD.pack(1, 1, 25, count, 1) + _NULL * count)
    if len(kinds) != 1 or (kind := kinds.pop()) not in _KINDS:
        return values
    form, element, pack = _KINDS[kind]
    first = values[0]
    try:
        if has_nulls:
            body = b"".join([_NULL if value is None else pack(value) for value in values])
        elif kind is UUID:
            body = b"".join([_ID_LENGTH + value.int.to_bytes(16) for value in values])
        elif first == values[-1] and values.count(first) == count:
            body = pack(first) * count
        else:
            body = b"".join([pack(value) for value in values])
    except OutOfRange:
        return values
    return form(_HEAD.pack(1, has_nulls, element, count, 1) + body)


def all_packed(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The values of a statement, those packed that can be."""
    return {name: packed(value) for name, value in values.items()}


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether it is a list, of whatever."""
    return type(value) is list

"""Which values may travel, and whether they arrive as what they were.

JSON is generous where a job system must not be: encoders turn NaN into null, let a NUL through that
PostgreSQL will refuse, and write a naive datetime that means another moment on another machine. So every
value is walked before it is encoded, 64 levels deep at most (which also ends cycles), and what does not
fit is refused with the path to it: `order.lines[3].price`.

The second question is drift. A set given to a parameter without annotation is encoded as a list and
stays one; a UUID given for `str` arrives as text. The handler would get something else than the caller
gave, silently; `drift` finds the first such place in a round trip. What the annotation turns into
something richer than JSON (a datetime out of text) is what annotations are for, and is no drift.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any, TypeGuard, cast

import msgspec

from unstuck.rules.admitting import PAYLOAD_DEPTH_MAX


class Unfit(Exception):
    """A value cannot travel. `parts` lead to it, outermost first; `why` is the rest of a sentence."""

    def __init__(self, why: str):
        super().__init__(why)
        self.why = why
        self.parts: list[str] = []

    @property
    def path(self) -> str:
        return "".join(self.parts)


def check_value(value: Any, depth: int = 1) -> None:
    """Walk the value. Raises Unfit for NaN, infinity, NUL, lone surrogates, naive datetimes, too great a depth."""
    kind = cast("type[object]", type(value))
    if kind is str:
        _check_text(value)
    elif kind is int or kind is bool or value is None:
        return
    elif kind is float:
        _check_number(value)
    elif depth > PAYLOAD_DEPTH_MAX:
        raise Unfit(f"is nested more than {PAYLOAD_DEPTH_MAX} deep")
    else:
        _check_rich(value, depth)


def _check_rich(value: Any, depth: int) -> None:
    if is_mapping(value):
        for key, item in value.items():
            _check_at(f"[{key!r}]", key, depth + 1)
            _check_at(f"[{key!r}]", item, depth + 1)
    elif is_collection(value):
        for index, item in enumerate(value):
            _check_at(f"[{index}]", item, depth + 1)
    elif isinstance(value, datetime):
        if value.utcoffset() is None:
            raise Unfit("is a naive datetime: give it a timezone, for example datetime.now(UTC)")
    elif isinstance(value, Enum):
        check_value(value.value, depth)
    elif isinstance(value, str):
        _check_text(value)
    elif isinstance(value, float):
        _check_number(value)
    elif isinstance(value, Decimal):
        if not value.is_finite():
            raise Unfit(f"is {value}, which JSON cannot say")
    else:
        for name, item in _members(value):
            _check_at(f".{name}", item, depth + 1)


def _check_at(part: str, value: Any, depth: int) -> None:
    try:
        check_value(value, depth)
    except Unfit as unfit:
        unfit.parts.insert(0, part)
        raise


def _members(value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, msgspec.Struct):
        return [(name, getattr(value, name)) for name in value.__struct_fields__]
    if is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name)) for field in fields(value)]
    if is_model(type(value)):
        return list(vars(value).items())
    return ()


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise Unfit("holds a NUL character, which no database takes as text")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Unfit("holds a lone surrogate, which is not text") from None


def _check_number(number: float) -> None:
    if not math.isfinite(number):
        raise Unfit(f"is {number}, which JSON cannot say")


def drift(given: Any, arrived: Any) -> Unfit | None:
    """The first place where a round trip loses what the value was, or None."""
    if is_mapping(arrived):
        if not is_mapping(given):
            return _becomes(given, "a dict")
        for key, item in arrived.items():
            if key not in given:
                return Unfit(f"has a key that would arrive as {key!r}: annotate the type of its keys")
            if (found := drift(given[key], item)) is not None:
                found.parts.insert(0, f"[{key!r}]")
                return found
    elif is_list(arrived):
        if not is_list(given):
            return _becomes(given, "a list")
        for index, (mine, item) in enumerate(zip(given, arrived, strict=False)):
            if (found := drift(mine, item)) is not None:
                found.parts.insert(0, f"[{index}]")
                return found
    elif type(arrived) is str and not isinstance(given, str):
        return _becomes(given, "text")
    return None


def _becomes(given: Any, what: str) -> Unfit:
    return Unfit(
        f"is a {type(given).__name__} and would arrive as {what}: annotate the parameter with its type"
    )


def is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Whether JSON writes it as an object with keys of the value's own."""
    return isinstance(value, Mapping)


def is_list(value: object) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    """Whether it is an ordered collection, which JSON gives back as it was."""
    return isinstance(value, list | tuple)


def is_collection(value: object) -> TypeGuard[Collection[Any]]:
    """Whether JSON writes it as a list."""
    return isinstance(value, list | tuple | set | frozenset)


def is_model(kind: Any) -> bool:
    """Whether this is a pydantic model, told without importing pydantic."""
    return (
        isinstance(kind, type)
        and hasattr(kind, "__pydantic_core_schema__")
        and hasattr(kind, "model_validate_json")
    )


def write(value: Any) -> bytes:
    """UTF-8 JSON. Raises TypeError, ValueError or RecursionError where the value has no such form."""
    return _encoder.encode(value)


def _write_model(value: Any) -> Any:
    if is_model(type(value)):
        return value.model_dump(mode="json", by_alias=True)
    raise TypeError(f"a {type(value).__name__} has no JSON form")


def read_model(kind: Any, value: Any) -> Any:
    """The hook for types that msgspec does not know: pydantic models; anything else is left to it."""
    if not is_model(kind):
        return value
    try:
        return kind.model_validate_json(msgspec.json.encode(value))
    except ValueError as error:
        raise ValueError(_first_of(error)) from None


def _first_of(error: ValueError) -> str:
    """The first complaint of a pydantic ValidationError, in one line."""
    listed = getattr(error, "errors", None)
    if not callable(listed):
        return str(error)
    first = cast("list[dict[str, Any]]", listed())[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else str(first["msg"])


_encoder = msgspec.json.Encoder(enc_hook=_write_model)

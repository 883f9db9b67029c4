"""A task's arguments: bound by its signature, stored as JSON by parameter name, read back typed.

What is stored is an object with one member for each parameter that the caller gave, in the order of the
signature; parameters left to their defaults are left out, so that an old job meets today's default and
a default needs no JSON form. The round trip into the annotated types happens before anything is written:
a wrong argument fails where it was made, in a sentence that names the parameter, not an hour later in
a worker. Declarations that cannot work fail when the module is imported: `*args` and `**kwargs`
(an argument without a name has no place in an object by name), positional-only parameters, and
annotations that JSON cannot be turned into. A parameter without an annotation takes plain JSON.

Every enqueue walks through here, so the calls that are right are bound by hand, and the signature is asked
only for the words of those that are not. A text or a number that arrives in the type it had is what it
was: only the rest is compared. And where every value is of the very type that its parameter names, one of
those that JSON says as they are, the round trip could tell nothing, and is left out.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from unstuck.app.values import Unfit, check_value, drift, is_list, is_model, read_model, write
from unstuck.model.errors import BadArguments, BadTask
from unstuck.rules.admitting import PAYLOAD_BYTES_MAX

_WHERE = re.compile(r" - at (?:`key` in )?`\$\.?(.*)`$")

_SCALARS = frozenset({str, int, float, bool, type(None)})
"""What JSON says as it is: arriving in the same type means arriving unchanged."""

_UNFAILING = frozenset({int, bool, type(None)})

_PLAIN = frozenset({str, int, float, bool})
_WHOLE_MAX = 2**63
"""Beyond it a whole number is read back by other rules."""

_DIGITS_SURE = 18
"""With so many signs, all numbers together, none of them is that large."""

Encode = Callable[[tuple[Any, ...], dict[str, Any]], str]

_STRAY = re.compile(r"unexpected keyword argument '(\w+)'")

OPTIONS = frozenset(
    [
        "queue",
        "priority",
        "delay",
        "at",
        "expires",
        "timeout",
        "tries",
        "backoff",
        "labels",
        "id",
        "tx",
        "then",
        "keep",
    ]
)


class Arguments:
    """What a function takes, checked in both directions. Raises BadTask where it cannot be stored."""

    def __init__(self, function: Callable[..., Any], name: str):
        self._name = name
        self._signature = inspect.signature(function)
        hints = _hints(function, name)
        fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
        rename: dict[str, str] = {}
        self._has_moments = False
        for index, parameter in enumerate(self._signature.parameters.values()):
            _check_kind(parameter, name)
            hint = hints.get(parameter.name, Any)
            self._has_moments |= _check_hint(hint, parameter.name, name)
            # Under its own name where that cannot be one of the structure's.
            field = f"p{index}" if parameter.name.startswith("__") else parameter.name
            rename[field] = parameter.name
            if parameter.default is inspect.Parameter.empty:
                fields.append((field, hint))
            else:
                # Whatever is absent stays unset, and the function's own default applies.
                optional: Any = typing.Union[hint, msgspec.UnsetType]  # noqa: UP007
                fields.append((field, optional, msgspec.UNSET))
        self._names = list(rename.items())
        self._order = tuple(rename.values())
        kinds = [parameter.kind for parameter in self._signature.parameters.values()]
        self._positional = kinds.count(inspect.Parameter.POSITIONAL_OR_KEYWORD)
        self._every = self._positional if self._positional == len(kinds) else -1
        stated = {name: hints.get(name, Any) for name in self._order}
        self._plain: dict[str, Any] = stated if _PLAIN.issuperset(stated.values()) else {}
        is_whole = self._every > 0 and set(stated.values()) == {int}
        self.encode: Encode = _whole(self._order, self._encode) if is_whole else self._encode
        """JSON text of a call's arguments. Raises BadArguments, naming the parameter."""
        self._is_as_called = all(len(field) == 2 and field[0] in self._order for field in fields)
        """Whether the structure that is read has all that the function takes, by its names."""
        self._required = frozenset(
            each.name
            for each in self._signature.parameters.values()
            if each.default is inspect.Parameter.empty
        )
        try:
            shape = msgspec.defstruct(
                "Arguments",
                fields,
                rename=rename,
                kw_only=True,
                forbid_unknown_fields=True,
            )
            self._decoder = msgspec.json.Decoder(shape, dec_hook=read_model)
        except TypeError as error:
            raise BadTask(f"task {name}: its parameters cannot be decoded from JSON: {error}") from None

    def _encode(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        if not kwargs and len(args) == self._every:
            given = dict(zip(self._order, args))  # noqa: B905  as many as there are
        else:
            given = self._bound(args, kwargs)
        is_plain = bool(self._plain)
        for name, value in given.items():
            if type(value) not in _UNFAILING:
                self._check(name, value)
            if (is_plain and type(value) is not self._plain[name]) or (
                type(value) is int and not -_WHOLE_MAX <= value < _WHOLE_MAX
            ):
                is_plain = False
        try:
            text = write(given)
        except (TypeError, ValueError, OverflowError, RecursionError):
            raise self._unwritable(given) from None
        if len(text) > PAYLOAD_BYTES_MAX:
            largest = max(given, key=lambda name: len(write(given[name])))
            raise BadArguments(
                f"{self._name}: the arguments are {len(text) / 1024:,.0f} KiB, more than {PAYLOAD_BYTES_MAX // 1024} KiB;"
                f" the largest is {largest!r}: store it elsewhere and pass its key"
            )
        if not is_plain:
            self._compare(given, text)
        return text.decode()

    def _compare(self, given: dict[str, Any], text: bytes) -> None:
        """Read the arguments back. Raises BadArguments where one would not arrive as what it is."""
        shape = self._read(text)
        for field, name in self._names:
            arrived = getattr(shape, field)
            if arrived is msgspec.UNSET:
                continue
            value = given[name]
            if type(value) is type(arrived) and type(value) in _SCALARS:
                continue
            if self._has_moments:
                self._check(name, arrived)
            if (lost := drift(value, arrived)) is not None:
                raise self._unfit(name, lost)

    def decode(self, text: str) -> dict[str, Any]:
        """Keyword arguments from stored JSON. Raises BadArguments where they do not fit the function."""
        shape = self._read(text)
        if self._is_as_called:
            return msgspec.structs.asdict(shape)
        values = ((name, getattr(shape, field)) for field, name in self._names)
        return {name: value for name, value in values if value is not msgspec.UNSET}

    def _bound(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The values by name, in the order of the signature. Raises BadArguments where a call would fail."""
        count = len(args)
        if count <= self._positional:
            given = dict(zip(self._order, args, strict=False))
            if kwargs:
                for name in self._order[count:]:
                    if name in kwargs:
                        given[name] = kwargs[name]
            if len(given) == count + len(kwargs) and self._required <= given.keys():
                return given
        try:
            return self._signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise BadArguments(f"{self._name}: {error}{_advice(str(error))}") from None

    def _read(self, text: bytes | str) -> Any:
        try:
            return self._decoder.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise BadArguments(f"{self._name}: {_sentence(str(error))}") from None

    def _check(self, name: str, value: Any) -> None:
        try:
            check_value(value)
        except Unfit as unfit:
            raise self._unfit(name, unfit) from None

    def _unfit(self, name: str, unfit: Unfit) -> BadArguments:
        return BadArguments(f"{self._name}: parameter {name + unfit.path!r} {unfit.why}")

    def _unwritable(self, given: dict[str, Any]) -> BadArguments:
        for name, value in given.items():
            try:
                write(value)
            except (TypeError, ValueError, OverflowError, RecursionError) as error:
                return BadArguments(f"{self._name}: parameter {name!r} cannot be written as JSON: {error}")
        return BadArguments(f"{self._name}: the arguments cannot be written as JSON")


def _whole(names: tuple[str, ...], otherwise: Encode) -> Encode:
    """A shorter way where all are whole numbers: there is little that could be wrong."""
    # Of cells, not of attributes: to look up a few takes as long as everything else.
    form = "{" + ",".join(f'"{each}":%d' for each in names) + "}"
    longest = len(form) - 2 * len(names) + _DIGITS_SURE
    kinds = (int,) * len(names)

    def encode_one(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        if not kwargs and len(args) == 1 and type(args[0]) is int:
            number: str = form % args
            if len(number) <= longest:  # or else it may be too large
                return number
        return otherwise(args, kwargs)

    def encode_all(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        if not kwargs and tuple(map(type, args)) == kinds:
            numbers: str = form % args
            if len(numbers) <= longest:  # or else one of them may be too large
                return numbers
        return otherwise(args, kwargs)

    return encode_one if len(names) == 1 else encode_all


class Answer:
    """What a function returns. Kept as JSON; read back as the annotated type where it fits that type."""

    def __init__(self, function: Callable[..., Any]):
        self._decoder: msgspec.json.Decoder[Any] | None = None
        try:
            hint = typing.get_type_hints(function, include_extras=True).get("return", Any)
            _check_hint(hint, "return", "")
            self._decoder = msgspec.json.Decoder(hint, dec_hook=read_model)
        except (BadTask, TypeError, NameError, AttributeError):
            pass

    def encode(self, result: Any) -> tuple[str | None, str]:
        """(JSON text, "") or (None, why the result could not be kept). Never raises."""
        if result is None:
            return "null", ""
        try:
            check_value(result)
            text = write(result)
            if len(text) > PAYLOAD_BYTES_MAX:
                return (
                    None,
                    f"the result is {len(text) / 1024:,.0f} KiB, more than {PAYLOAD_BYTES_MAX // 1024} KiB",
                )
            return text.decode(), ""
        except Unfit as unfit:
            return None, f"the result{unfit.path} {unfit.why}"
        except Exception as error:
            return None, f"the result cannot be written as JSON: {error}"

    def decode(self, text: str) -> Any:
        """The stored result; plain JSON where the function returned something else than it says."""
        if self._decoder is not None:
            try:
                return self._decoder.decode(text)
            except msgspec.DecodeError:
                pass
        return msgspec.json.decode(text)


def _hints(function: Callable[..., Any], name: str) -> dict[str, Any]:
    """The annotations of the parameters, resolved; the return annotation is nobody's business here."""
    inner: Any = inspect.unwrap(function)
    inner = getattr(inner, "__func__", inner)
    stated = {key: hint for key, hint in getattr(inner, "__annotations__", {}).items() if key != "return"}

    class Stated:
        __annotations__ = stated

    try:
        return typing.get_type_hints(Stated, getattr(inner, "__globals__", {}), None, include_extras=True)
    except Exception as error:
        raise BadTask(
            f"task {name}: an annotation cannot be resolved ({error});"
            " what is imported under TYPE_CHECKING only, or defined later, is not there when the task is declared"
        ) from None


def _check_kind(parameter: inspect.Parameter, task: str) -> None:
    if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
        raise BadTask(f"task {task}: *{parameter.name} cannot be stored by name; take a list instead")
    if parameter.kind is inspect.Parameter.VAR_KEYWORD:
        raise BadTask(f"task {task}: **{parameter.name} cannot be checked; take a dict instead")
    if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
        raise BadTask(
            f"task {task}: parameter {parameter.name!r} is positional-only and jobs pass by name; drop the /"
        )


def _check_hint(hint: Any, parameter: str, task: str) -> bool:
    """Refuse an annotation that JSON cannot become; answers whether a datetime may be inside."""
    try:
        parts = list(_walk(msgspec.inspect.type_info(hint)))
        msgspec.json.Decoder(hint, dec_hook=read_model)
    except Exception as error:
        raise BadTask(
            f"task {task}: the annotation of parameter {parameter!r} cannot be decoded from JSON: {error}"
        ) from None
    for part in parts:
        if isinstance(part, msgspec.inspect.CustomType) and part.cls is not object and not is_model(part.cls):
            raise BadTask(
                f"task {task}: parameter {parameter!r} is annotated with {_name_of(part.cls)}, which JSON cannot become;"
                " use a dataclass, a msgspec Struct, a pydantic model, or pass a key and look it up"
            )
        if isinstance(
            part, msgspec.inspect.RawType | msgspec.inspect.ExtType | msgspec.inspect.MemoryViewType
        ):
            raise BadTask(
                f"task {task}: parameter {parameter!r} has an annotation that does not travel as JSON"
            )
    return any(isinstance(part, msgspec.inspect.DateTimeType | msgspec.inspect.CustomType) for part in parts)


def _walk(info: Any, seen: set[int] | None = None) -> Iterator[Any]:
    seen = set() if seen is None else seen
    if id(info) in seen:
        return
    seen.add(id(info))
    if is_list(info):
        for item in info:
            yield from _walk(item, seen)
    elif isinstance(info, msgspec.inspect.Type | msgspec.inspect.Field):
        yield info
        for name in info.__struct_fields__:
            if name not in ("default", "default_factory", "cls"):
                yield from _walk(getattr(info, name), seen)


def _advice(message: str) -> str:
    """A word more where an option was given among the arguments."""
    stray = _STRAY.search(message)
    return f"; an option goes before: using({stray[1]}=…).enqueue(…)" if stray and stray[1] in OPTIONS else ""


def _name_of(kind: Any) -> str:
    return getattr(kind, "__qualname__", None) or repr(kind)


def _sentence(message: str) -> str:
    """msgspec's message with the parameter in front: `parameter 'order.lines[3]': Expected int, got str`."""
    where = _WHERE.search(message)
    if where is None:
        return f"the arguments do not fit: {message}" if "$" not in message else message
    said = message[: where.start()].replace("`", "")
    return f"parameter {where[1]!r}: {said[0].lower()}{said[1:]}" if where[1] else said

"""Plain values of the very types that are annotated are not read back at enqueue: nothing could be lost."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from unstuck.app.arguments import Arguments
from unstuck.model.errors import BadArguments


def plain(number: int, text: str, share: float, flag: bool = False) -> None: ...


def at_home(number: int, anything: Any) -> None: ...


NUMBERS = some.integers(-(2**63), 2**63 - 1)
TEXTS = some.text(some.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
SHARES = some.floats(allow_nan=False, allow_infinity=False)


@given(NUMBERS, TEXTS, SHARES, some.booleans())
def test_they_arrive_as_what_they_were(number: int, text: str, share: float, flag: bool) -> None:
    shape = Arguments(plain, "plain")
    arrived = shape.decode(shape.encode((number, text), {"share": share, "flag": flag}))
    assert arrived == {"number": number, "text": text, "share": share, "flag": flag}
    assert math.copysign(1, arrived["share"]) == math.copysign(1, share)
    assert [type(each) for each in arrived.values()] == [int, str, float, bool]


@pytest.mark.parametrize(
    "wrong",
    [
        ("1", "a", 0.5),
        (True, "a", 0.5),
        (1, b"a", 0.5),
        (1, 2, 0.5),
        (1, "a", "x"),
        (1.5, "a", 0.5),
        (1, None, 0.5),
    ],
    ids=repr,
)
def test_values_of_other_types_are_still_read_back(wrong: tuple[Any, ...]) -> None:
    shape = Arguments(plain, "plain")
    try:
        text = shape.encode(wrong, {})
    except BadArguments:
        return
    assert shape.decode(text) == dict(zip(("number", "text", "share"), wrong, strict=True))


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 2**63, 2**64 - 1, 2**64, -(2**63) - 1, 2**200])
def test_a_whole_number_arrives_or_is_refused(number: int) -> None:
    shape = Arguments(plain, "plain")
    try:
        text = shape.encode((number, "", 0.0), {})
    except BadArguments:
        assert not -(2**63) <= number < 2**63
        return
    assert json.loads(text)["number"] == number == shape.decode(text)["number"]


def test_one_parameter_without_a_plain_type_makes_all_be_read_back() -> None:
    shape = Arguments(at_home, "at_home")
    with pytest.raises(BadArguments, match="would arrive as a list"):
        shape.encode((1, {2}), {})


def whole_numbers(größe: int, n: int) -> None: ...


EDGES = some.sampled_from([0, -1, 10**17, 10**18 - 1, 10**18, -(10**18), 2**63 - 1, -(2**63)])


@given(NUMBERS | EDGES, NUMBERS | EDGES)
def test_whole_numbers_are_written_as_everything_is(first: int, second: int) -> None:
    shape = Arguments(whole_numbers, "whole_numbers")
    text = shape.encode((first, second), {})
    assert text == shape.encode((), {"größe": first, "n": second})
    assert json.loads(text) == {"größe": first, "n": second}


@pytest.mark.parametrize("number", [True, 2**63, -(2**63) - 1, 10**18, 10**40])
def test_what_is_no_whole_number_or_too_large_has_no_way_of_its_own(number: int) -> None:
    shape = Arguments(whole_numbers, "whole_numbers")

    def told(args: tuple[int, ...], kwargs: dict[str, int]) -> str:
        try:
            return shape.encode(args, kwargs)
        except BadArguments as error:
            return str(error)

    assert told((1, number), {}) == told((1,), {"n": number})

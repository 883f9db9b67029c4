"""Bad input gets one clear sentence and loses nothing: each row is a call and what it says."""

from __future__ import annotations

import enum
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from unstuck import (
    App,
    Backoff,
    BadArguments,
    BadSetting,
    BadTask,
    BadTransaction,
    IdConflict,
    JobNotFound,
    Keep,
)

app = App("memory://")


@dataclass
class Line:
    price: Decimal
    at: datetime | None = None


class Order(msgspec.Struct):
    lines: list[Line]


class Colour(enum.Enum):
    RED = "red"


@app.task
def send(user_id: int, note: str = "", order: Order | None = None, share: float = 0.0) -> str:
    return note


@app.task
def loose(thing, more=None):  # type: ignore[no-untyped-def]
    return thing


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def cyclic() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


ARGUMENTS: list[tuple[str, Callable[[], Any], str]] = [
    ("missing", lambda: send.enqueue(), "test_bad_input.send: missing a required argument: 'user_id'"),
    ("too many", lambda: send.enqueue(1, "", None, 0.0, 5), "too many positional arguments"),
    ("unknown", lambda: send.enqueue(1, colour=2), "got an unexpected keyword argument 'colour'"),
    ("option", lambda: send.enqueue(1, delay=2), "an option goes before: using(delay=…).enqueue(…)"),
    ("wrong type", lambda: send.enqueue("seven"), "parameter 'user_id': expected int, got str"),
    ("bool for int", lambda: send.enqueue(True), "parameter 'user_id': expected int, got bool"),
    (
        "uuid for str",
        lambda: send.enqueue(1, uuid.UUID(int=1)),
        "parameter 'note' is a UUID and would arrive as text",
    ),
    ("inside", lambda: send.enqueue(1, order=Order([Line("x")])), "parameter 'order.lines[0].price': "),
    ("NaN", lambda: send.enqueue(1, share=float("nan")), "parameter 'share' is nan, which JSON cannot say"),
    ("infinity", lambda: send.enqueue(1, share=float("-inf")), "parameter 'share' is -inf"),
    ("NaN inside", lambda: loose.enqueue({"a": [1.0, float("nan")]}), "parameter \"thing['a'][1]\" is nan"),
    (
        "Decimal NaN",
        lambda: send.enqueue(1, order=Order([Line(Decimal("NaN"))])),
        "'order.lines[0].price' is NaN",
    ),
    ("NUL", lambda: send.enqueue(1, "a\0b"), "parameter 'note' holds a NUL character"),
    ("NUL in a key", lambda: loose.enqueue({"a\0": 1}), "holds a NUL character"),
    ("surrogate", lambda: send.enqueue(1, "a\ud800"), "parameter 'note' holds a lone surrogate"),
    (
        "naive",
        lambda: send.enqueue(1, order=Order([Line(Decimal(1), datetime(2026, 1, 1))])),
        "'order.lines[0].at' is a naive",
    ),
    (
        "naive, loose",
        lambda: loose.enqueue([datetime(2026, 1, 1)]),
        "parameter 'thing[0]' is a naive datetime",
    ),
    (
        "aware, loose",
        lambda: loose.enqueue(datetime.now(UTC)),
        "parameter 'thing' is a datetime and would arrive as text",
    ),
    ("naive text", lambda: moment.enqueue("2026-01-01T00:00:00"), "parameter 'at' is a naive datetime"),
    ("deep", lambda: loose.enqueue(nested(65)), "is nested more than 64 deep"),
    ("cyclic", lambda: loose.enqueue(cyclic()), "is nested more than 64 deep"),
    ("large", lambda: send.enqueue(1, "x" * 300_000), "more than 256 KiB; the largest is 'note'"),
    ("object", lambda: loose.enqueue(object()), "parameter 'thing' cannot be written as JSON"),
    ("set, loose", lambda: loose.enqueue({1, 2}), "parameter 'thing' is a set and would arrive as a list"),
    (
        "enum, loose",
        lambda: loose.enqueue(Colour.RED),
        "parameter 'thing' is a Colour and would arrive as text",
    ),
    (
        "Decimal, loose",
        lambda: loose.enqueue([Decimal(1)]),
        "parameter 'thing[0]' is a Decimal and would arrive as text",
    ),
    ("int keys, loose", lambda: loose.enqueue({1: 2}), "has a key that would arrive as '1'"),
    ("dataclass, loose", lambda: loose.enqueue(Line(Decimal(1))), "is a Line and would arrive as a dict"),
]

OPTIONS: list[tuple[str, Callable[[], Any], str]] = [
    ("delay", lambda: send.using(delay="5 minutes"), "delay='5 minutes' is not a duration"),
    ("delay, negative", lambda: send.using(delay=-1), "delay=-1 is negative"),
    ("delay, NaN", lambda: send.using(delay=float("nan")), "delay=nan is not a duration"),
    ("delay, bool", lambda: send.using(delay=True), "delay=True is not a duration"),
    (
        "delay, years",
        lambda: send.using(delay=timedelta(days=9999)).spec(1),
        "delay must be between 0 and ten years",
    ),
    ("at, naive", lambda: send.using(at=datetime(2026, 1, 1)), "at=2026-01-01T00:00:00 is a naive datetime"),
    ("at, text", lambda: send.using(at="tomorrow"), "at='tomorrow' must be a datetime"),  # type: ignore[arg-type]
    ("at and delay", lambda: send.using(at=datetime.now(UTC), delay=1), "delay= and at= exclude each other"),
    ("expires", lambda: send.using(expires=0).spec(1), "expires must be more than 0"),
    ("expires first", lambda: send.using(delay=9, expires=5).spec(1), "expires must be later than delay"),
    ("timeout", lambda: send.using(timeout=0).spec(1), "timeout must be more than 0"),
    ("tries", lambda: send.using(tries=0), "tries=0 must be a whole number, 1 or more"),
    ("priority", lambda: send.using(priority=101), "priority=101 must be a whole number from -100 to 100"),
    ("queue", lambda: send.using(queue="a b"), "queue='a b' must be 1 to 128 characters without spaces"),
    ("labels", lambda: send.using(labels={"a": 1}), "labels: 'a': 1 must be text on both sides"),  # type: ignore[dict-item]
    ("label text", lambda: send.using(labels={"a": "\0"}), "labels: the value of 'a' holds a NUL character"),
    ("backoff", lambda: send.using(backoff="5s"), "backoff='5s' must be a Backoff"),  # type: ignore[arg-type]
    ("never", lambda: send.using(backoff=Backoff(never=(OSError,))), "never= and only= belong to @app.task"),
    ("keep", lambda: send.using(keep="long"), "keep='long' is not a duration"),
    ("id", lambda: send.using(id=7), "id=7 must be a UUID or a text"),  # type: ignore[arg-type]
    ("empty id", lambda: send.using(id=""), "id= must have 1 to 1024 characters"),
    ("then", lambda: send.using(then=[send]), "must be a spec: then=other.spec(…)"),  # type: ignore[list-item]
    (
        "large then",
        lambda: send.using(then=[send.spec(1, "x" * 200_000)] * 2).spec(1),
        "then= carries 390 KiB",
    ),
    (
        "many then",
        lambda: send.using(then=[send.spec(1)] * 101).spec(1),
        "then= carries 101 jobs, more than 100",
    ),
    ("spec with tx", lambda: send.using(tx=object()).spec(1), "a spec cannot carry tx="),
    ("no spec", lambda: app.enqueue_many([7]), "7 is not a spec"),  # type: ignore[list-item]
    ("state", lambda: app.jobs(state="done"), "state='done' is not a state"),
]


@app.task
def moment(at: datetime) -> None: ...


def method_of() -> Any:
    class Shop:
        def close(self) -> None: ...

    return Shop().close


def named(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    return App("memory://").task(name="t", **options)


def twice() -> None:
    shop = App("memory://")
    shop.task(name="t")(lambda: 1)
    shop.task(name="u", aliases=["t"])(lambda: 2)


def star(*names: str) -> None: ...
def stars(**names: str) -> None: ...
def only_by_place(a: int, /) -> None: ...
def odd(a: threading_lock) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def callback(a: Callable[[], int]) -> None: ...
def union(a: str | datetime) -> None: ...
def generator() -> Iterator[int]:
    yield 1


class Plain:
    pass


def custom(a: list[Plain]) -> None: ...


TASKS: list[tuple[str, Callable[[], Any], str]] = [
    ("twice", twice, "task t is registered twice"),
    ("lambda", lambda: App("memory://").task(lambda: 1), "a lambda has no name"),
    ("nested", lambda: App("memory://").task(nested_function()), "defined inside a function"),
    ("method", lambda: App("memory://").task(method_of()), "defined inside a function"),
    ("class", lambda: App("memory://").task(Plain), "is not a function"),
    ("task again", lambda: App("memory://").task(send), "is a task already"),
    ("generator", lambda: App("memory://").task(generator), "generator is a generator; a task returns once"),
    ("*args", lambda: named()(star), "*names cannot be stored by name; take a list instead"),
    ("**kwargs", lambda: named()(stars), "**names cannot be checked; take a dict instead"),
    ("positional only", lambda: named()(only_by_place), "parameter 'a' is positional-only"),
    (
        "unresolved",
        lambda: named()(odd),
        "an annotation cannot be resolved (name 'threading_lock' is not defined)",
    ),
    (
        "callable",
        lambda: named()(callback),
        "parameter 'a' is annotated with Callable, which JSON cannot become",
    ),
    (
        "class inside",
        lambda: named()(custom),
        "parameter 'a' is annotated with Plain, which JSON cannot become",
    ),
    ("union", lambda: named()(union), "the annotation of parameter 'a' cannot be decoded from JSON"),
    ("tries", lambda: named(tries=0), "tries=0 must be a whole number, 1 or more"),
    ("timeout", lambda: named(timeout=0)(star_free), "timeout must be more than 0"),
    ("timeout text", lambda: named(timeout="soon"), "timeout='soon' is not a duration"),
    ("aliases", lambda: named(aliases="old"), "aliases='old' must be a list of names"),
    ("name", lambda: App("memory://").task(name="a b")(star_free), "'a b' cannot name a task"),
]


def star_free() -> None: ...


def nested_function() -> Any:
    def inner() -> None: ...

    return inner


SETTINGS: list[tuple[str, Callable[[], Any], str]] = [
    ("scheme", lambda: App("mysql://here/db"), "mysql:// is no store that unstuck knows"),
    ("no scheme", lambda: App("jobs.db"), "'jobs.db' is no store that unstuck knows"),
    ("memory file", lambda: App("sqlite:///:memory:"), "use memory://"),
    ("two slashes", lambda: App("sqlite://jobs.db"), "does not name a file"),
    ("prefix", lambda: App("memory://", prefix="a-b"), "prefix='a-b' cannot begin a table name"),
    ("tasks", lambda: App("memory://", tasks="shop.tasks"), "must be a list of module names"),  # type: ignore[arg-type]
    ("module", lambda: App("memory://", tasks=["no.such"]).load_tasks(), "there is no module 'no' to import"),
    ("backoff base", lambda: Backoff(base="soon"), "Backoff base='soon' is not a duration"),
    ("backoff factor", lambda: Backoff(factor=0.5), "Backoff factor=0.5 must be a number from 1 to 1000"),
    ("backoff jitter", lambda: Backoff(jitter=2), "Backoff jitter=2 must be a number from 0 to 1"),
    ("backoff never", lambda: Backoff(never=(7,)), "Backoff never=(7,) must be a tuple of exception classes"),  # type: ignore[arg-type]
]


def cases(rows: list[tuple[str, Callable[[], Any], str]]) -> list[Any]:
    return [pytest.param(call, sentence, id=name) for name, call, sentence in rows]


def said_by(kind: type[Exception], call: Callable[[], Any]) -> str:
    with pytest.raises(kind) as raised:
        call()
    assert type(raised.value) is kind
    sentence = str(raised.value)
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize(("call", "sentence"), cases(ARGUMENTS))
def test_wrong_arguments(call: Callable[[], Any], sentence: str) -> None:
    before = len(app.jobs())
    assert sentence in said_by(BadArguments, call)
    assert len(app.jobs()) == before


@pytest.mark.parametrize(("call", "sentence"), cases(OPTIONS))
def test_wrong_options(call: Callable[[], Any], sentence: str) -> None:
    before = len(app.jobs())
    assert sentence in said_by(BadArguments, call)
    assert len(app.jobs()) == before


@pytest.mark.parametrize(("call", "sentence"), cases(TASKS))
def test_tasks_that_cannot_work(call: Callable[[], Any], sentence: str) -> None:
    assert sentence in said_by(BadTask, call)


@pytest.mark.parametrize(("call", "sentence"), cases(SETTINGS))
def test_wrong_settings(call: Callable[[], Any], sentence: str) -> None:
    assert sentence in said_by(BadSetting, call)


def test_no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNSTUCK_URL", raising=False)
    assert "no store: give App a URL" in said_by(BadSetting, App)
    monkeypatch.setenv("UNSTUCK_URL", "memory://")
    assert App().url == "memory://"


def test_same_id_other_job() -> None:
    first = send.using(id="order-7").enqueue(1)
    again = send.using(id="order-7").enqueue(1)
    assert (first.created, again.created, again.id) == (True, False, first.id)
    said_by(IdConflict, lambda: send.using(id="order-7").enqueue(2))
    said_by(IdConflict, lambda: loose.using(id="order-7").enqueue(1))
    assert app.job("order-7").id == first.id
    assert "there is no job" in said_by(JobNotFound, lambda: app.job("order-8"))


def test_no_transaction_in_memory() -> None:
    assert "memory:// has no transactions" in said_by(
        BadTransaction, lambda: send.using(tx=object()).enqueue(1)
    )


def test_values_that_must_pass() -> None:
    order = Order([Line(Decimal("1.50"), datetime.now(UTC))])
    job = send.enqueue(1, "ümlaut \U0001f600", order, 3)
    arguments = send.decode(job.refresh().args)
    assert arguments == {"user_id": 1, "note": "ümlaut \U0001f600", "order": order, "share": 3.0}
    loose.enqueue({"a": [1, 2.5, None, True, "x", Colour.RED.value]}, more=(1, 2))
    loose.enqueue(nested(64))
    assert Keep("1d").other == "30d"

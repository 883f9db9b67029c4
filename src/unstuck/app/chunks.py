"""Cutting a stream of requests into transactions: one up to 10,000, chunks of 5,000 beyond.

The stream may be endless or slow, so it is read only as far as the next transaction needs: 10,001 to
know whether the whole fits in one, then chunk by chunk. Both colours cut alike.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from operator import attrgetter
from typing import Any, TypeVar

from unstuck.app.task import Spec
from unstuck.model.alike import Alike
from unstuck.model.errors import BadArguments
from unstuck.model.job import NewJob

T = TypeVar("T")

_mould, _args = attrgetter("mould"), attrgetter("args")

WHOLE_MAX = 10_000
CHUNK = 5_000


def chunks_of(items: Iterable[T], *, whole: bool) -> Iterator[list[T]]:
    """Lists of items, in order; `whole` forces a single one."""
    source = iter(items)
    held = list(source if whole else islice(source, WHOLE_MAX + 1))
    if len(held) > WHOLE_MAX and not whole:
        while len(held) > CHUNK:
            yield held[:CHUNK]
            held = held[CHUNK:]
            held += islice(source, max(0, CHUNK + 1 - len(held)))
    if held:
        yield held


async def achunks_of(items: Iterable[T] | AsyncIterable[T], *, whole: bool) -> AsyncIterator[list[T]]:
    """The async twin of `chunks_of`; takes both kinds of iterables."""
    if not isinstance(items, AsyncIterable):
        for chunk in chunks_of(items, whole=whole):
            yield chunk
        return
    held: list[T] = []
    size = WHOLE_MAX
    async for item in items:
        held.append(item)
        while len(held) > size and not whole:
            size = CHUNK
            yield held[:CHUNK]
            held = held[CHUNK:]
    if held:
        yield held


def jobs_of(specs: Sequence[Spec[Any]]) -> Sequence[NewJob]:
    """The jobs that these specs describe. Raises BadArguments for what is none."""
    if set(map(type, specs)) != {Spec}:
        for spec in specs:
            if not isinstance(spec, Spec):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise BadArguments(f"{spec!r} is not a spec: enqueue_many takes task.spec(…)")
    first = specs[0]
    like = first.mould.like
    if like is not None and len(specs) > 1 and len(set(map(id, map(_mould, specs)))) == 1:
        ids, are_rising = first.client.draw_many(len(specs))
        if are_rising:
            return Alike(like, ids, list(map(_args, specs)))
        return [replace(like, id=drawn, args=spec.args) for drawn, spec in zip(ids, specs, strict=True)]
    return [spec.mould.cast(spec.args, spec.client.draw) for spec in specs]


def noted(error: Exception, before: int) -> Exception:
    """The error, with a note of the jobs that stay although it was raised."""
    if before:
        error.add_note(f"{before:,} jobs of earlier chunks are enqueued and stay")
    return error

"""Many jobs that differ in nothing but id and arguments, kept as that: one job, and two columns.

Ten thousand requests of one task are usually such. To cast a `NewJob` for each, to find out that all are
alike and to take them apart again for the store costs more than everything else that a client does for them. Whoever
knows nothing of it sees a sequence of jobs, each cast when it is asked for; a keeper that does takes the columns.

The ids, which may be made no sooner than somebody asks for them, are all different and in order, which whoever makes
one has seen to: rows are then locked in the same order by everybody, and none of these jobs can be in the way of
another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from operator import lt
from typing import Any, overload
from uuid import UUID

from unstuck.model.job import NewJob

_new: Callable[[Any], Any] = object.__new__
_PUTS: dict[str, Callable[[NewJob, Any], None]] = {
    each.name: getattr(NewJob, each.name).__set__ for each in fields(NewJob)
}


def is_rising(ids: Sequence[UUID]) -> bool:
    """Whether each id is larger than the one before it."""
    numbers = [each.int for each in ids]
    return all(map(lt, numbers, numbers[1:]))


def _nothing() -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class Alike(Sequence[NewJob]):
    """Jobs like `like`, with these ids, which rise, and these arguments."""

    like: NewJob
    ids: Sequence[UUID]
    args: Sequence[str]
    meanwhile: Callable[[], None] = _nothing
    """What may be done while the store is busy with them; an engine may do it never, or once for each try."""

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[NewJob]:
        # Filled slot by slot: the constructor of a frozen class costs thrice as much.
        rest = [(put, getattr(self.like, name)) for name, put in _PUTS.items() if name not in ("id", "args")]
        for job_id, args in zip(self.ids, self.args, strict=True):
            job = _new(NewJob)
            _PUTS["id"](job, job_id)
            _PUTS["args"](job, args)
            for put, value in rest:
                put(job, value)
            yield job

    @overload
    def __getitem__(self, at: int) -> NewJob: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[NewJob]: ...
    def __getitem__(self, at: int | slice) -> NewJob | Sequence[NewJob]:
        if isinstance(at, slice):
            return [self[each] for each in range(*at.indices(len(self)))]
        return replace(self.like, id=self.ids[at], args=self.args[at])

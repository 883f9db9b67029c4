"""What a feature may say: the one door through which a room joins a job's life.

A feature is a promise to the user that fits in one readable file. It never sees SQL, a clock or a
connection: it speaks in *effects*, which the store applies in the same transaction as the change that
carries them. It is asked at two moments. At admission it sees the job about to be inserted and what the
caller wished, and answers with the job as it shall be. At parting it sees a job whose attempt ends with
an event, and answers with effects.

Parting must be a function of the row alone: it is asked by workers, but also by a supervisor that has
never imported the user's code and settles what a dead process owned. Whatever a feature needs at the end
must therefore be put on the row at the beginning.
"""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

from unstuck.model.effects import Effect
from unstuck.model.job import ClaimedJob, Job, NewJob
from unstuck.model.states import Event

Wish = TypeVar("Wish", contravariant=True)


class Feature(Protocol, Generic[Wish]):
    """One room. `Wish` is what its option of `using(...)` carries."""

    @property
    def option(self) -> str:
        """The option that it adds to `using(...)`."""
        ...

    def admit(self, job: NewJob, wish: Wish) -> NewJob:
        """The job as it shall be inserted. Raises BadArguments, naming the option, where the wish cannot be met."""
        ...

    def part(self, job: ClaimedJob | Job, event: Event) -> tuple[Effect, ...]:
        """What else happens when an attempt of the job ends with `event`, in the same transaction."""
        ...

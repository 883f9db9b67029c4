"""What else happens when an attempt ends: the effects of every feature, from the row alone.

This is the lower half of the features' door (`features.protocol` is the upper one). Endings are judged by
workers, and also by supervisors and sweepers that have never imported the user's code, so what a feature
wants at the end is a pure function of the row, listed here, and whatever it needs was put on the row at
the beginning. Every verdict, whoever makes it, carries these effects.
"""

from __future__ import annotations

from collections.abc import Callable

from unstuck.model.effects import Effect, Insert
from unstuck.model.job import ClaimedJob, Job
from unstuck.model.states import Event

Part = Callable[[ClaimedJob | Job, Event], tuple[Effect, ...]]


def follow(job: ClaimedJob | Job, event: Event) -> tuple[Effect, ...]:
    """`then=`: insert the follow-ups with the success, and only with it."""
    return (Insert(job.then),) if event is Event.SUCCEED and job.then else ()


PARTS: tuple[Part, ...] = (follow,)
"""One entry per feature that has something to say at an ending, in the order in which effects apply."""


def effects_of(job: ClaimedJob | Job, event: Event) -> tuple[Effect, ...]:
    """Everything that follows from this job ending with `event`."""
    effects: tuple[Effect, ...] = ()
    for part in PARTS:
        if said := part(job, event):
            effects += said
    return effects

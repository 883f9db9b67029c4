"""Saying which jobs: by id, or by a filter whose parts all narrow.

An id is a UUID, or the text that was given as `id=` when the job was enqueued. A filter without any part
would mean everything, which nobody types on purpose: commands that change something refuse it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import click

from unstuck.app.identity import id_of
from unstuck.model.errors import BadArguments
from unstuck.model.states import Reason, State
from unstuck.storage.protocol import Filter

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Choice:
    """What was said about which jobs; `given` maps each id in `which` to the words it was given in."""

    which: Filter
    given: dict[Any, str]

    @property
    def is_everything(self) -> bool:
        """Whether nothing narrows it."""
        return self.which == Filter(limit=self.which.limit)

    @property
    def states(self) -> tuple[State, ...] | None:
        """The states asked for, where some were."""
        return self.which.states

    def within(self, states: Sequence[State]) -> Filter:
        """The filter, narrowed to these states."""
        wanted = tuple(state for state in states if self.states is None or state in self.states)
        return replace(self.which, states=wanted)


def filter_options(command: F) -> F:
    """--queue, --task, --state, --reason and --label."""
    options = [
        click.option("--queue", help="Jobs of this queue."),
        click.option("--task", help="Jobs of this task."),
        click.option(
            "--state",
            "states",
            multiple=True,
            metavar="STATE",
            help=f"Jobs in this state ({', '.join(State)}); may be repeated.",
        ),
        click.option("--reason", help="Jobs that stand where they stand for this reason."),
        click.option("--label", metavar="KEY=VALUE", help="Jobs with this label."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def choice_of(
    ids: Sequence[str] = (),
    *,
    queue: str | None = None,
    task: str | None = None,
    states: Sequence[str] = (),
    reason: str | None = None,
    label: str | None = None,
) -> Choice:
    """The choice that the options describe. Raises BadArguments."""
    given = {id_of(text): text for text in ids}
    which = Filter(
        ids=tuple(given) if ids else None,
        states=tuple(dict.fromkeys(_state(text) for text in states)) or None,
        queue=queue,
        task=task,
        reason=None if reason is None else _reason(reason),
        label=None if label is None else pair_of(label),
    )
    return Choice(which, given)


def pair_of(text: str) -> tuple[str, str]:
    """`key=value` as a pair. Raises BadArguments."""
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise BadArguments(f"--label {text!r} must be KEY=VALUE")
    return key, value


def _state(text: str) -> State:
    try:
        return State(text)
    except ValueError:
        raise BadArguments(f"--state {text!r} is not a state: {', '.join(State)}") from None


def _reason(text: str) -> Reason:
    try:
        return Reason(text)
    except ValueError:
        raise BadArguments(f"--reason {text!r} is not a reason: {', '.join(Reason)}") from None

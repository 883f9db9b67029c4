"""What can be said about a job beside its arguments, parsed once and never mixed with them.

`@app.task(...)` and `using(...)` speak the same words. Both are parsed into `Options`, in which None
means "not said", and laid over each other: the call over the task over the defaults. What differs from
the defaults travels on the row, because a crash is judged by a process that may not know the task;
`never=` and `only=` alone stay with the code, since exceptions are classes. Every wrong value is refused
here, in one sentence that names the option, before anything is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from unstuck.app.identity import id_of
from unstuck.app.values import Unfit, check_value
from unstuck.features import FOLLOWING
from unstuck.model.errors import BadArguments, BadSetting, Misuse
from unstuck.model.job import DEFAULT_POLICY, NewJob, Policy
from unstuck.rules.admitting import check_name, check_new
from unstuck.rules.durations import Duration, duration_us

QUEUE = "default"
LABEL_LENGTH_MAX = 512
TRIES_MAX = 1_000_000
_NOBODY = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before the next try: `base`, then times `factor` each time, `cap` at most.

    `jitter` spreads each wait by ± that share. `Backoff(factor=1)` is constant. An exception of a class in
    `never` ends the job as failed at once; with `only`, any other class does. Raises BadSetting.
    """

    base: Duration = "1s"
    factor: float = 2.0
    cap: Duration = "1h"
    jitter: float = 0.25
    never: tuple[type[BaseException], ...] = ()
    only: tuple[type[BaseException], ...] = ()

    def __post_init__(self) -> None:
        duration_us(self.base, "Backoff base")
        duration_us(self.cap, "Backoff cap")
        if not _is_number(self.factor) or not 1 <= self.factor <= 1000:
            raise BadSetting(f"Backoff factor={self.factor!r} must be a number from 1 to 1000")
        if not _is_number(self.jitter) or not 0 <= self.jitter <= 1:
            raise BadSetting(f"Backoff jitter={self.jitter!r} must be a number from 0 to 1")
        for name, kinds in (("never", self.never), ("only", self.only)):
            if not isinstance(kinds, tuple) or not all(  # pyright: ignore[reportUnnecessaryIsInstance]
                isinstance(kind, type) and issubclass(kind, BaseException)  # pyright: ignore[reportUnnecessaryIsInstance]
                for kind in kinds
            ):
                raise BadSetting(f"Backoff {name}={kinds!r} must be a tuple of exception classes")

    def may_retry(self, error: BaseException) -> bool:
        """Whether a failure with this exception deserves another try."""
        return not isinstance(error, self.never) and (not self.only or isinstance(error, self.only))


@dataclass(frozen=True, slots=True)
class Keep:
    """How long an ended job stays: succeeded ones 7 days, failed and cancelled ones 30."""

    succeeded: Duration = "7d"
    other: Duration = "30d"


@dataclass(frozen=True, slots=True)
class Options:
    """Parsed options; None means "not said". Durations are microseconds."""

    queue: str | None = None
    priority: int | None = None
    delay_us: int | None = None
    at: datetime | None = None
    expires_us: int | None = None
    timeout_us: int | None = None
    tries: int | None = None
    backoff: Backoff | None = None
    keep: Keep | None = None
    labels: Mapping[str, str] | None = None
    id: UUID | None = None
    tx: Any = None
    then: tuple[Callable[[], NewJob], ...] | None = None

    def over(self, lower: Options) -> Options:
        """These options laid over others: what is not said here is taken from there; labels add up."""
        said = {
            field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None
        }
        if self.labels and lower.labels:
            said["labels"] = {**lower.labels, **self.labels}
        if self.at is not None:
            lower = replace(lower, delay_us=None)
        if self.delay_us is not None:
            lower = replace(lower, at=None)
        return replace(lower, **said)

    def job(self, task: str, args: str, draw: Callable[[], UUID]) -> NewJob:
        """The job to insert. Raises BadArguments where the options do not go together."""
        job = NewJob(
            id=self.id or draw(),
            queue=self.queue or QUEUE,
            task=task,
            args=args,
            priority=self.priority or 0,
            delay_us=self.delay_us,
            due_at=self.at,
            expires_in_us=self.expires_us,
            timeout_us=self.timeout_us,
            policy=self._policy(),
            labels=self.labels or {},
        )
        if self.then:
            job = FOLLOWING.admit(job, tuple(build() for build in self.then))
        return check_new(job)

    def _policy(self) -> Policy:
        said: dict[str, Any] = {}
        if self.tries is not None:
            said["tries"] = self.tries
        if self.backoff is not None:
            said["backoff_base_us"] = duration_us(self.backoff.base)
            said["backoff_factor"] = float(self.backoff.factor)
            said["backoff_cap_us"] = duration_us(self.backoff.cap)
            said["backoff_jitter"] = float(self.backoff.jitter)
        if self.keep is not None:
            said["keep_succeeded_us"] = duration_us(self.keep.succeeded)
            said["keep_other_us"] = duration_us(self.keep.other)
        return replace(DEFAULT_POLICY, **said) if said else DEFAULT_POLICY


class Mould:
    """Casts jobs that differ in id and arguments only: everything else is put together and checked once.

    A job is filled slot by slot, because the constructor of a frozen class costs thrice as much, which is felt
    where thousands are cast.
    """

    __slots__ = ("_options", "_rest", "_task", "has_followers", "like")

    def __init__(self, options: Options, task: str):
        self._options = options
        self._task = task
        like = replace(options, then=None).job(task, "{}", lambda: _NOBODY)
        self.like = None if options.then or options.id else like
        """What all have in common; None where they are given an id or others follow them."""
        self.has_followers = bool(options.then)
        """Whether other jobs are cast with each of these, with ids of their own."""
        self._rest = tuple(
            (_put(field.name), getattr(like, field.name))
            for field in fields(NewJob)
            if field.name not in ("id", "args")
        )

    def cast(self, args: str, draw: Callable[[], UUID]) -> NewJob:
        """The job to insert; `args` are of a size that was checked. Raises BadArguments for what follows it."""
        options = self._options
        if options.then:
            return options.job(self._task, args, draw)
        job = _new(NewJob)
        _put_id(job, options.id or draw())
        _put_args(job, args)
        for put, value in self._rest:
            put(job, value)
        return job


def _put(slot: str) -> Callable[[NewJob, Any], None]:
    put: Callable[[NewJob, Any], None] = getattr(NewJob, slot).__set__
    return put


_new = object.__new__
_put_id = _put("id")
_put_args = _put("args")


def parse(
    *,
    queue: str | None = None,
    priority: int | None = None,
    delay: Duration | None = None,
    at: datetime | None = None,
    expires: Duration | None = None,
    timeout: Duration | None = None,
    tries: int | None = None,
    backoff: Backoff | None = None,
    labels: Mapping[str, str] | None = None,
    id: UUID | str | None = None,
    tx: Any = None,
    then: tuple[Callable[[], NewJob], ...] | None = None,
    keep: Duration | Keep | None = None,
    error: type[Misuse] = BadArguments,
) -> Options:
    """Options from what was written. Raises `error`, naming the option."""

    def us(value: Duration | None, what: str) -> int | None:
        return None if value is None else duration_us(value, what, error)

    if at is not None:
        if delay is not None:
            raise error("delay= and at= exclude each other: one says how long, the other says when")
        if not isinstance(at, datetime):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise error(f"at={at!r} must be a datetime; delay= takes durations")
        if at.utcoffset() is None:
            raise error(
                f"at={at.isoformat()} is a naive datetime: give it a timezone, for example datetime.now(UTC)"
            )
    if queue is not None:
        try:
            check_name("queue", queue)
        except (BadArguments, TypeError):
            raise error(
                f"queue={queue!r} must be 1 to 128 characters without spaces or control characters"
            ) from None
    if priority is not None and not _is_whole(priority, -100, 100):
        raise error(f"priority={priority!r} must be a whole number from -100 to 100; larger runs first")
    if tries is not None and not _is_whole(tries, 1, TRIES_MAX):
        raise error(f"tries={tries!r} must be a whole number, 1 or more: it counts the first attempt")
    if backoff is not None and not isinstance(backoff, Backoff):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise error(f'backoff={backoff!r} must be a Backoff, for example Backoff(base="5s")')
    if keep is not None:
        keep = keep if isinstance(keep, Keep) else Keep(keep, keep)
        us(keep.succeeded, "keep")
        us(keep.other, "keep")
    return Options(
        queue=queue,
        priority=priority,
        delay_us=us(delay, "delay"),
        at=at,
        expires_us=us(expires, "expires"),
        timeout_us=us(timeout, "timeout"),
        tries=tries,
        backoff=backoff,
        keep=keep,
        labels=None if labels is None else _checked(labels, error),
        id=None if id is None else id_of(id),
        tx=tx,
        then=then,
    )


def _checked(labels: Mapping[str, str], error: type[Misuse]) -> dict[str, str]:
    if not isinstance(labels, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise error(f"labels={labels!r} must be a dict of text to text")
    for key, value in labels.items():
        if not isinstance(key, str) or not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise error(f"labels: {key!r}: {value!r} must be text on both sides")
        try:
            check_name("label", key)
            check_value(value)
        except Unfit as unfit:
            raise error(f"labels: the value of {key!r} {unfit.why}") from None
        except BadArguments as wrong:
            raise error(f"labels: {wrong}") from None
        if len(value) > LABEL_LENGTH_MAX:
            raise error(
                f"labels: the value of {key!r} has {len(value)} characters, more than {LABEL_LENGTH_MAX}"
            )
    return dict(labels)


def _is_whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

"""Every exception a user can meet, as one tree; the sentence is the message.

    UnstuckError
    ├── Misuse                    the call is wrong; nothing was written
    │   ├── BadArguments          an argument or an option at enqueue
    │   ├── BadTask               the declaration of a task
    │   ├── BadSetting            a URL, a duration, a worker's setting
    │   ├── BadTransaction        `tx=` of the wrong store, colour or state
    │   └── IdConflict            the id exists with another task or other arguments
    ├── StoreError                the store cannot do it now, or not at all
    │   ├── StoreUnavailable      down, unreachable, locked too long, full, read-only
    │   │   └── OutcomeUnknown    the answer to a COMMIT was lost: it may have happened
    │   ├── StoreConflict         deadlock, serialization failure, busy: begin again
    │   ├── StoreCorrupt          the file is damaged or is not a database
    │   └── SchemaMismatch        not migrated, half migrated, or of a newer version
    ├── JobError                  what `result()` may raise
    │   ├── JobFailed
    │   ├── JobCancelled
    │   └── ResultNotKept
    ├── JobNotFound
    ├── LostOwnership             this attempt is no longer the owner; its ending was refused
    ├── NoCurrentJob              `current()` outside a job
    └── IllegalTransition         a bug: the life cycle has no such edge

`Retry`, `Snooze` and `Cancel` are not errors: a handler raises them to say how its attempt ends.
"""

from __future__ import annotations

from datetime import timedelta


class UnstuckError(Exception):
    """The root of everything that `unstuck` raises by itself."""


class Misuse(UnstuckError, ValueError):
    """The call is wrong; nothing was written."""


class BadArguments(Misuse):
    """An argument or an option at enqueue is wrong."""


class BadTask(Misuse):
    """A task is declared in a way that cannot work."""


class BadSetting(Misuse):
    """A URL, a duration or another setting is wrong."""


class BadTransaction(Misuse):
    """`tx=` got a connection of the wrong store, colour or state."""


class IdConflict(Misuse):
    """A job with this id exists with another task or other arguments."""


class StoreError(UnstuckError):
    """The store cannot do it."""


class StoreUnavailable(StoreError):
    """The store is down, unreachable, locked, full or read-only; what was asked did not happen."""


class OutcomeUnknown(StoreUnavailable):
    """The connection went while the store was answering: it may have happened."""


class StoreConflict(StoreError):
    """Deadlock, serialization failure or a busy file: the whole operation may begin again."""


class StoreCorrupt(StoreError):
    """The file is damaged, or is not a database."""


class SchemaMismatch(StoreError):
    """The schema is missing, half applied, behind or ahead of this version."""


class JobError(UnstuckError):
    """The job has no result to give."""


class JobFailed(JobError):
    """The job ended as failed.

    `type`, `text` and `traceback` are the stored words of the last error; the exception itself is
    never rebuilt. `reason` is from the closed list of reasons.
    """

    def __init__(
        self, message: str, *, reason: str = "", type: str = "", text: str = "", traceback: str = ""
    ):
        super().__init__(message)
        self.reason = reason
        self.type = type
        self.text = text
        self.traceback = traceback


class JobCancelled(JobError):
    """The job was cancelled, expired or deleted before it succeeded."""

    def __init__(self, message: str, *, reason: str = ""):
        super().__init__(message)
        self.reason = reason


class ResultNotKept(JobError):
    """The job succeeded, but its result could not be stored: not JSON, or too large."""


class JobNotFound(UnstuckError, LookupError):
    """There is no job with this id."""


class LostOwnership(UnstuckError):
    """This attempt is no longer the owner of its job; nothing of it was recorded."""


class NoCurrentJob(UnstuckError, LookupError):
    """There is no job running here."""


class IllegalTransition(UnstuckError):
    """The life cycle has no such edge: a bug in unstuck."""


class Steering(Exception):
    """The root of what a handler raises to say how its attempt ends; never an error."""


class Retry(Steering):
    """End this attempt as a counted failure and run again, `after` a duration or the task's back-off."""

    def __init__(
        self, message: str = "retry asked for by the task", *, after: float | str | timedelta | None = None
    ):
        super().__init__(message)
        self.after = after


class Snooze(Steering):
    """Run again after a duration; counts nothing, at most 1,000 times in a row."""

    def __init__(self, after: float | str | timedelta):
        super().__init__(f"snoozed for {after}")
        self.after = after


class Cancel(Steering):
    """End the job as cancelled."""

    def __init__(self, why: str = ""):
        super().__init__(why)
        self.why = why

"""Background jobs that never get stuck.

    from unstuck import App

    app = App("sqlite:///jobs.db")

    @app.task(tries=5)
    def greet(name: str) -> str:
        return f"Hello, {name}"

    job = greet.enqueue("Ada")
    print(job.result(timeout=10))

These are the public names; whatever else is imported from inside may change without notice.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unstuck.app.app import App
    from unstuck.app.handle import Job
    from unstuck.app.health import Health
    from unstuck.app.options import Backoff, Keep
    from unstuck.app.task import Bound, Spec, Task
    from unstuck.engine.context import Context, current
    from unstuck.model.errors import (
        BadArguments,
        BadSetting,
        BadTask,
        BadTransaction,
        Cancel,
        IdConflict,
        JobCancelled,
        JobError,
        JobFailed,
        JobNotFound,
        LostOwnership,
        Misuse,
        NoCurrentJob,
        OutcomeUnknown,
        ResultNotKept,
        Retry,
        SchemaMismatch,
        Snooze,
        StoreConflict,
        StoreCorrupt,
        StoreError,
        StoreUnavailable,
        UnstuckError,
    )
    from unstuck.model.job import Job as Snapshot
    from unstuck.model.states import Reason, State

__version__ = "0.1.0"

__all__ = [
    "App",
    "Backoff",
    "BadArguments",
    "BadSetting",
    "BadTask",
    "BadTransaction",
    "Bound",
    "Cancel",
    "Context",
    "Health",
    "IdConflict",
    "Job",
    "JobCancelled",
    "JobError",
    "JobFailed",
    "JobNotFound",
    "Keep",
    "LostOwnership",
    "Misuse",
    "NoCurrentJob",
    "OutcomeUnknown",
    "Reason",
    "ResultNotKept",
    "Retry",
    "SchemaMismatch",
    "Snapshot",
    "Snooze",
    "Spec",
    "State",
    "StoreConflict",
    "StoreCorrupt",
    "StoreError",
    "StoreUnavailable",
    "Task",
    "UnstuckError",
    "current",
]

# A supervisor imports `unstuck.engine` and must not load the front door with it, so names are found when asked for.
_PLACES = {
    "app.app": ("App",),
    "app.handle": ("Job",),
    "app.health": ("Health",),
    "app.options": (
        "Backoff",
        "Keep",
    ),
    "app.task": (
        "Bound",
        "Spec",
        "Task",
    ),
    "engine.context": (
        "Context",
        "current",
    ),
    "model.errors": (
        "BadArguments",
        "BadSetting",
        "BadTask",
        "BadTransaction",
        "Cancel",
        "IdConflict",
        "JobCancelled",
        "JobError",
        "JobFailed",
        "JobNotFound",
        "LostOwnership",
        "Misuse",
        "NoCurrentJob",
        "OutcomeUnknown",
        "ResultNotKept",
        "Retry",
        "SchemaMismatch",
        "Snooze",
        "StoreConflict",
        "StoreCorrupt",
        "StoreError",
        "StoreUnavailable",
        "UnstuckError",
    ),
    "model.states": (
        "Reason",
        "State",
    ),
}
_ALIASES = {"Snapshot": ("model.job", "Job")}
_FOUND = {name: (place, name) for place, names in _PLACES.items() for name in names} | _ALIASES


def __getattr__(name: str) -> Any:
    try:
        place, original = _FOUND[name]
    except KeyError:
        raise AttributeError(f"module 'unstuck' has no attribute {name!r}") from None
    value = globals()[name] = getattr(import_module(f"unstuck.{place}"), original)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

"""From what a handler did to a verdict: one mapper for every way user code can end.

A handler may return, raise any exception including those that are not `Exception`, or be stopped by us.
What counts is decided here and nowhere else: first whether *we* stopped it (timeout, cancel, stop of the
worker), then what it says itself (`Retry`, `Snooze`, `Cancel`), then its exception. The stored error is
words only: type, message and a traceback without local variables, cut to 8 KiB.
"""

from __future__ import annotations

import traceback
from enum import Enum
from uuid import UUID

from unstuck.engine.handler import Handler
from unstuck.model.errors import BadSetting, Cancel, Retry, Snooze
from unstuck.model.job import ClaimedJob, ErrorInfo
from unstuck.model.states import Reason
from unstuck.model.verdict import Verdict
from unstuck.rules import judging
from unstuck.rules.admitting import HORIZON_US
from unstuck.rules.durations import Duration, duration_us

ERROR_BYTES_MAX = 8192
MESSAGE_CHARS_MAX = 1024


class Stop(Enum):
    """Why we stopped a handler, if we did."""

    NOT = "not"
    TIMEOUT = "timeout"
    CANCEL = "cancel"
    HAND_BACK = "hand back"


def error_info(error: BaseException) -> ErrorInfo:
    """The words of an exception; never raises, whatever its `__str__` does."""
    name = type(error).__qualname__
    module = type(error).__module__
    try:
        message = str(error)
    except BaseException:
        message = f"<the message of {name} cannot be shown>"
    try:
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__, limit=50))
    except BaseException:
        text = ""
    return ErrorInfo(
        _clean(name if module == "builtins" else f"{module}.{name}", 256),
        _clean(message, MESSAGE_CHARS_MAX),
        _clean(text[-ERROR_BYTES_MAX:], ERROR_BYTES_MAX),
    )


def of_return(
    job: ClaimedJob, handler: Handler, verdict_id: UUID, worker_id: UUID, result: object
) -> Verdict:
    """The handler returned by itself."""
    text, not_kept = handler.encode(result)
    return judging.succeeded(job, verdict_id, worker_id, text, not_kept)


def of_lost_settling(job: ClaimedJob, verdict_id: UUID, worker_id: UUID, dice: float) -> Verdict:
    """The handler has settled inside its own transaction and returned. It carries the same verdict id, so
    where that transaction was committed the store answers `ALREADY`; where it never was, neither are the
    effects, and the attempt has failed."""
    error = ErrorInfo("SettlingNotCommitted", "the transaction of settling() was never committed")
    return judging.failed(job, verdict_id, worker_id, error, dice)


def of_error(
    job: ClaimedJob, handler: Handler, verdict_id: UUID, worker_id: UUID, error: BaseException, dice: float
) -> Verdict:
    """The handler raised by itself."""
    if isinstance(error, Cancel):
        return judging.cancelled(job, verdict_id, worker_id, _words(error.why))
    if isinstance(error, Retry | Snooze):
        try:
            after_us = None if error.after is None else _after_us(error.after)
        except BadSetting as wrong:
            return judging.failed(job, verdict_id, worker_id, error_info(wrong), dice)
        if isinstance(error, Snooze):
            return judging.snoozed(job, verdict_id, worker_id, after_us or 0)
        return judging.failed(job, verdict_id, worker_id, error_info(error), dice, after_us=after_us)
    may_retry = handler.may_retry(error)
    return judging.failed(job, verdict_id, worker_id, error_info(error), dice, may_retry=may_retry)


def of_stop(job: ClaimedJob, stop: Stop, verdict_id: UUID, worker_id: UUID, dice: float, why: str) -> Verdict:
    """We stopped the handler, and it ended or was given up because of that."""
    if stop is Stop.TIMEOUT:
        seconds = (job.timeout_us or 0) / 1_000_000
        error = ErrorInfo("Timeout", f"attempt {job.attempt} ran longer than its timeout of {seconds:g} s")
        return judging.timed_out(job, verdict_id, worker_id, error, dice)
    if stop is Stop.CANCEL:
        return judging.cancelled(job, verdict_id, worker_id)
    return judging.handed_back(job, verdict_id, worker_id, started=True, why=why)


def of_bad_payload(
    job: ClaimedJob, verdict_id: UUID, worker_id: UUID, error: Exception, dice: float
) -> Verdict:
    """The arguments do not fit the task: back-off like any failure, in the end `undecodable`."""
    return judging.failed(job, verdict_id, worker_id, error_info(error), dice, reason=Reason.UNDECODABLE)


def _after_us(after: Duration) -> int:
    """When the handler wants to run again. Raises BadSetting: an alarm that no store can keep is none."""
    try:
        us = duration_us(after, "after")
    except OverflowError:
        us = HORIZON_US + 1
    if us > HORIZON_US:
        raise BadSetting("after= is more than ten years: a mistake of units?")
    return us


def _words(why: object) -> str:
    """What a handler gave as its reason, as text, whatever it is."""
    try:
        return "" if why is None else _clean(str(why), MESSAGE_CHARS_MAX)
    except Exception:
        return f"<a {type(why).__qualname__} that cannot be shown>"


def _clean(text: str, limit: int) -> str:
    plain = text.replace("\x00", "\\0").encode("utf-8", "backslashreplace")
    return plain[:limit].decode("utf-8", "ignore")

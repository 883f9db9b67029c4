"""Moments: aware datetimes in UTC for people, whole microseconds since the epoch for stores; nothing is rounded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def moment(us: int) -> datetime:
    """A moment in microseconds since the epoch as an aware datetime in UTC."""
    return _EPOCH + us * _MICROSECOND


def micros(at: datetime) -> int:
    """An aware datetime as microseconds since the epoch."""
    return (at - _EPOCH) // _MICROSECOND

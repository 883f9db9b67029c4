"""The room of `then=` says at the parting exactly what the judges put on a verdict: the door is in use."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest

from unstuck.features import FOLLOWING
from unstuck.model.effects import Insert
from unstuck.model.errors import BadArguments
from unstuck.model.job import DEFAULT_POLICY, ClaimedJob, ErrorInfo, NewJob
from unstuck.model.verdict import Verdict
from unstuck.rules import judging, rescuing
from unstuck.rules.admitting import PAYLOAD_BYTES_MAX

FOLLOWER = NewJob(uuid4(), "default", "after", "{}")
JOB = ClaimedJob(uuid4(), 1, 1, "default", "t", 0, "{}", 1, None, 0, 0, 0, 0, DEFAULT_POLICY, (FOLLOWER,))
WRONG = ErrorInfo("ValueError", "x")

ENDINGS: list[Verdict] = [
    judging.succeeded(JOB, uuid4(), uuid4(), "1"),
    judging.failed(JOB, uuid4(), uuid4(), WRONG, 0.5),
    judging.failed(JOB, uuid4(), uuid4(), WRONG, 0.5, may_retry=False),
    judging.timed_out(JOB, uuid4(), uuid4(), WRONG, 0.5),
    judging.snoozed(JOB, uuid4(), uuid4(), 1),
    judging.handed_back(JOB, uuid4(), uuid4(), started=True),
    judging.put_off(JOB, uuid4(), uuid4()),
    judging.cancelled(JOB, uuid4(), uuid4()),
    rescuing.crashed(JOB, uuid4(), uuid4(), {}),
    rescuing.lost(JOB, uuid4(), uuid4(), "gone"),
]


@pytest.mark.parametrize("verdict", ENDINGS, ids=lambda verdict: verdict.event)
def test_every_judge_asks_the_room(verdict: Verdict) -> None:
    assert verdict.effects == FOLLOWING.part(JOB, verdict.event)


def test_only_a_success_is_followed() -> None:
    assert ENDINGS[0].effects == (Insert((FOLLOWER,)),)
    assert not any(verdict.effects for verdict in ENDINGS[1:])
    assert FOLLOWING.part(JOB._replace(then=()), ENDINGS[0].event) == ()


def test_the_arguments_of_all_generations_count_together() -> None:
    half = NewJob(uuid4(), "default", "t", '"' + "x" * (PAYLOAD_BYTES_MAX // 2) + '"')
    assert FOLLOWING.admit(FOLLOWER, (half,)).then == (half,)
    with pytest.raises(BadArguments, match=r"then= carries 256 KiB"):
        FOLLOWING.admit(FOLLOWER, (replace(half, then=(half,)),))

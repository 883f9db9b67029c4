"""What was claimed starts or goes back; nothing stays behind as running that does not run."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable
from typing import Any
from uuid import UUID

import pytest

from tests.unit.engine.handling import Task, worked
from unstuck.engine import turning
from unstuck.engine.context import current
from unstuck.engine.handler import Kind
from unstuck.engine.threads import ThreadPool
from unstuck.model.job import Job
from unstuck.model.states import State


def test_a_plain_function_that_answers_a_coroutine_has_not_ended_before_that() -> None:
    ran: list[UUID] = []

    async def inner() -> int:
        await asyncio.sleep(0)
        ran.append(current().id)
        return 7

    def wrapper() -> Awaitable[int]:
        return inner()

    job = worked(Task(wrapper), lambda job: job.is_final)
    assert (job.state, job.result, ran) == (State.SUCCEEDED, "7", [job.id])


def test_a_coroutine_function_that_raises_when_it_is_called_has_failed() -> None:
    def function() -> Awaitable[None]:
        raise RuntimeError("at the call")

    job = worked(Task(function, Kind.ASYNC), lambda job: job.failures > 0)
    assert job.error is not None and job.error.message == "at the call"


def test_what_finds_no_thread_goes_back_and_its_place_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turning, "REST_SECONDS", 0.2)
    refusals = 3

    def call(pool: ThreadPool[Any]) -> None:
        nonlocal refusals
        if refusals:
            refusals -= 1
            raise RuntimeError("can't start new thread")
        called(pool)

    called = ThreadPool[Any].call
    monkeypatch.setattr(ThreadPool, "call", call)
    job = worked(Task(lambda: None), lambda job: job.is_final)
    assert (job.state, job.failures, refusals) == (State.SUCCEEDED, 0, 0)
    assert job.handbacks >= 3, (
        "once for each refusal; on a busy machine also what waited for longer than a poll"
    )


def test_an_isolated_attempt_that_finds_no_process_goes_back_and_its_place_rests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turning, "REST_SECONDS", 0.2)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    before: list[int] = []

    def until(job: Job) -> bool:
        before.append(len(os.listdir("/proc/self/fd")))
        return job.handbacks >= 3

    job = worked(Task(lambda: None, Kind.ISOLATED), until, application="no:app")
    assert job.handbacks <= 5
    assert max(before) - before[0] < 12, "descriptors are left behind"

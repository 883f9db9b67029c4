"""A worker reduced to one hand: claims, runs and settles when told to, through the store's promises."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

from unstuck import App, Context
from unstuck.engine.concluding import of_bad_payload, of_error, of_return
from unstuck.model.errors import BadArguments
from unstuck.model.job import ClaimedJob
from unstuck.model.verdict import Answer, Verdict
from unstuck.model.worker import NewWorker

LEASE_US = 3600 * 1_000_000


class Hand:
    """A registered worker of an app that serves some queues."""

    def __init__(self, app: App, *queues: str):
        self.app = app
        self.queues = queues or ("default",)
        self.id = uuid4()
        self._is_registered = False

    def claim(self) -> ClaimedJob:
        """Claim one job; there must be one."""
        store, run = self.app.store, self.app.keeper.run
        if not self._is_registered:
            self._is_registered = True
            names = tuple(self.app.handlers)
            run(store.register(NewWorker(self.id, "solo", None, "here", 1, LEASE_US, self.queues, names)))
        run(store.promote(100))
        for queue in self.queues:
            for job in run(store.claim(self.id, queue, list(self.app.handlers), 1)):
                return job
        raise AssertionError("nothing to claim")

    def context(self, job: ClaimedJob) -> Context:
        """The context of an attempt, with the app's way to settle inside."""
        return Context(job, self.id, _settle_inside=self.app.settle_inside, verdict_id=uuid4())

    def settle(self, verdict: Verdict) -> Answer:
        """Settle one verdict."""
        return self.app.keeper.run(self.app.store.settle([verdict]))[0].answer

    def work(self) -> Verdict:
        """Claim, run and settle one job; the verdict must be accepted."""
        job = self.claim()
        verdict = self._ran(job)
        assert self.settle(verdict) is Answer.ACCEPTED
        return verdict

    def _ran(self, job: ClaimedJob) -> Verdict:
        handler = self.app.handlers[job.task]
        try:
            arguments = handler.decode(job.args)
        except BadArguments as wrong:
            return of_bad_payload(job, uuid4(), self.id, wrong, 0.5)
        try:
            result: Any = handler.function(**arguments)
            if asyncio.iscoroutine(result):
                result = asyncio.run(result)
        except Exception as error:
            return of_error(job, handler, uuid4(), self.id, error, 0.5)
        return of_return(job, handler, uuid4(), self.id, result)

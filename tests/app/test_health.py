"""app.health(): what a web application says of its jobs, in one bounded look."""

from __future__ import annotations

from tests.app.hand import Hand
from unstuck import App


def test_a_queue_without_a_worker_and_a_silent_loop_are_problems(app: App) -> None:
    @app.task(name="t")
    def t() -> None: ...

    assert app.health().ok
    t.enqueue()
    (problem,) = app.health().problems
    assert "no live worker" in problem
    hand = Hand(app)
    hand.claim()
    assert app.health().ok
    lease_us = 30_000_000
    report = '{"loops": {"looking": 5000.0, "settling": 1.0}}'
    app.keeper.run(app.store.renew([hand.id], lease_us, {hand.id: report}))
    health = app.health()
    assert not health.ok
    (problem,) = health.problems
    assert "the loop looking" in problem
    assert "no good round for 5000 s" in problem

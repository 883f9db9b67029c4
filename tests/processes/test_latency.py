"""How soon a job starts that an idle worker waits for: milliseconds, judged beside a commit on the same server."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.processes import idle_tasks
from tests.processes.crew import PATIENCE, Crew
from tests.processes.pace import Pace
from tests.processes.stores import Shelf
from tests.processes.waiting import until
from tests.processes.witness import Witness
from unstuck.engine.env import boottime

SAMPLES = 100
MEDIAN_MS = 10.0
COMMITS = 8
"""On a machine so busy that one commit takes milliseconds, a start may take as long as this many of them: the
enqueue and the claim are one each, and four processes have to be woken for it."""

APP = "tests.processes.idle_tasks:app"


@pytest.mark.timing
def test_a_job_starts_within_milliseconds(
    postgres_url: str, tmp_path: Path, witness: Witness, pace: Pace
) -> None:
    shelf = Shelf(postgres_url)
    crew = Crew(shelf.url, witness, tmp_path, app=APP, times=())
    idle_tasks.app.use_url(shelf.url)
    try:
        crew.started(shelf, "-q", "mail,default")
        commits: list[float] = []
        with psycopg.connect(shelf.url, autocommit=True) as connection:
            connection.execute("CREATE TABLE scratch (number integer)")
            took = sorted(latency(witness, connection, commits) for _ in range(SAMPLES))
        median, commit = statistics.median(took), statistics.median(commits)
        print(
            f"enqueue to start, {SAMPLES} samples: median {median:.1f} ms, p95 {took[int(0.95 * SAMPLES)]:.1f} ms"
        )
        print(f"one commit takes {commit:.2f} ms here")
        assert median < max(pace(MEDIAN_MS), COMMITS * commit)
    finally:
        crew.end()
        idle_tasks.app.close()
        shelf.close()


def latency(witness: Witness, connection: psycopg.Connection[Any], commits: list[float]) -> float:
    """Milliseconds from the call of enqueue to the handler's first line; then rest, so that the next is idle again.

    Beside it, `commits` gets the milliseconds of a plain commit on the same server in the same moment.
    """
    before = boottime()
    connection.execute("INSERT INTO scratch VALUES (1)")
    began = boottime()
    commits.append((began - before) * 1000.0)
    job = idle_tasks.stamp.enqueue()
    (start,) = until(lambda: witness.starts(job.id), PATIENCE, "the job starts", pause=0.02)
    rested = boottime() + 0.06
    until(lambda: boottime() > rested, 1.0, "the hints of this job are over", pause=0.02)
    return (start.at - began) * 1000.0

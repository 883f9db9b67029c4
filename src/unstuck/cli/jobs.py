"""`unstuck jobs`: what there is, one job whole, why it stands where it stands.

`list` goes in order of creation and pages by id; `show` has every field, the attempts that did not simply
succeed and the lines that the handler wrote. The commands that change something live in `jobs_changing`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from unstuck.app.explaining import MEANING
from unstuck.app.explaining import explain as explained
from unstuck.app.identity import id_of
from unstuck.cli.choosing import choice_of, filter_options
from unstuck.cli.jobs_changing import cancel, delete, retry
from unstuck.cli.place import Place, pass_place
from unstuck.cli.records import attempt_of, job_record, plain
from unstuck.cli.showing import moment, note, print_json, print_table, say, say_block
from unstuck.model.errors import JobNotFound
from unstuck.model.job import Attempt, Job, LogLine
from unstuck.rules.durations import words_of


@click.group(name="jobs")
def jobs() -> None:
    """List, show, explain, cancel, retry and delete jobs."""


jobs.add_command(cancel)
jobs.add_command(retry)
jobs.add_command(delete)


@jobs.command(name="list")
@filter_options
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
@click.option("--after", metavar="ID", help="Go on behind this job.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@pass_place
def list_(place: Place, /, limit: int, after: str | None, as_json: bool, **said: Any) -> None:
    """List jobs, oldest first."""
    which = replace(choice_of(**said).which, limit=limit + 1, after=None if after is None else id_of(after))
    found = place.run(place.store.find(which))
    page, is_more = found[:limit], len(found) > limit
    if as_json:
        print_json({"jobs": [job_record(job) for job in page], "next": str(page[-1].id) if is_more else None})
        return
    rows = [
        (
            job.id,
            job.queue,
            job.task,
            job.state,
            job.reason,
            attempt_of(job),
            moment(job.created_at),
            moment(job.wake_at),
        )
        for job in page
    ]
    print_table(
        ("id", "queue", "task", "state", "reason", "attempt", "created", "alarm"), rows, "no job matches"
    )
    if is_more:
        note(f"there are more: --after {page[-1].id}")


@jobs.command()
@click.argument("id")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@pass_place
def show(place: Place, id: str, as_json: bool) -> None:
    """Show every field of a job, its attempts and its log."""
    store = place.store
    job = found_job(place, id)
    attempts, lines = place.run(store.attempts(job.id)), place.run(store.logs(job.id))
    if as_json:
        print_json({"job": job_record(job), "attempts": plain(attempts), "logs": plain(lines)})
        return
    _show_fields(job)
    _show_attempts(attempts)
    _show_log(lines)


@jobs.command()
@click.argument("id")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@pass_place
def explain(place: Place, id: str, as_json: bool) -> None:
    """Say why a job stands where it stands."""
    store = place.store
    seen = place.run(store.situation(id_of(id)))
    if seen is None:
        raise _no_such(id)
    job, found = seen.job, explained(seen)
    if as_json:
        print_json(
            {
                "id": str(job.id),
                "state": job.state,
                "reason": job.reason,
                "why": found.why,
                "meaning": MEANING[found.why],
                "sentence": found.whole,
                "release": found.release,
                "due_by": plain(found.due_by),
            }
        )
    else:
        say(found.whole)


def found_job(place: Place, id: str) -> Job:
    """The job. Raises JobNotFound, in the words in which it was asked for."""
    job = place.run(place.store.get(id_of(id)))
    if job is None:
        raise _no_such(id)
    return job


def _no_such(id: str) -> JobNotFound:
    return JobNotFound(f"there is no job {id!r}: it was never enqueued here, or its retention is over")


def _show_fields(job: Job) -> None:
    record = job_record(job)
    for name in ("error", "then"):
        record.pop(name)
    for name, value in record.items():
        if name.endswith("_us") and value is not None:
            value = words_of(value)
        if value not in (None, {}, []):
            say(f"{name:16} {value}")
    for follower in job.then:
        say(f"{'then':16} {follower.task} on {follower.queue}")
    if job.error is not None:
        say(f"{'error':16} {job.error.type}: {job.error.message}")
        say_block(job.error.traceback)


def _show_attempts(attempts: list[Attempt]) -> None:
    if not attempts:
        return
    say()
    rows = [
        (
            one.attempt,
            one.outcome,
            one.reason,
            moment(one.started_at),
            moment(one.ended_at),
            one.worker_id,
            f"{one.error.type}: {one.error.message}" if one.error else "",
            f"{one.late_wanted} at {moment(one.late_at)}, refused" if one.late_at else "",
        )
        for one in attempts
    ]
    print_table(
        ("attempt", "outcome", "reason", "started", "ended", "worker", "error", "late ending"), rows, ""
    )


def _show_log(lines: list[LogLine]) -> None:
    if lines:
        say()
    for line in lines:
        say(f"{moment(line.at)}  {line.text}")

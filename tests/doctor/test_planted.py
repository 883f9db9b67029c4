"""Every invariant: a row that breaks it is found by name and id, on each engine, and healed where that can be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.doctor.patient import HOUR, Patient, check, troubles
from unstuck.doctor.finding import Status
from unstuck.model.ids import uuid7
from unstuck.model.invariant import PASSING, Invariant

Plant = Callable[[Patient], str]
"""Breaks one record and answers its id."""


@dataclass(frozen=True)
class Damage:
    """What is broken how; `also` are checks that see the same damage from another side."""

    plant: Plant
    is_healed: bool = False
    also: frozenset[str] = frozenset()


CHECKED_BY_SQLITE = frozenset({"integrity"})
"""SQLite's own check of a file tests the constraints too."""


def without(names: frozenset[str], found: dict[str, Status]) -> dict[str, Status]:
    """What was found but for these."""
    return {name: status for name, status in found.items() if name not in names}


def row(name: str, change: str) -> Plant:
    """Change the row of one of the patient's jobs."""

    def plant(patient: Patient) -> str:
        patient.sql(f"UPDATE unstuck_jobs SET {change} WHERE id = '{patient.hurt(name)}'")
        return str(patient.hurt(name))

    return plant


def moment(name: str, column: str, us: int, change: str = "") -> Plant:
    """Move a moment of one of the patient's jobs into the past (or the future)."""

    def plant(patient: Patient) -> str:
        also = f", {change}" if change else ""
        patient.sql(
            f"UPDATE unstuck_jobs SET {column} = {patient.past(us)}{also} WHERE id = '{patient.hurt(name)}'"
        )
        return str(patient.hurt(name))

    return plant


def gone(table: str) -> Plant:
    """Take away the job behind attempts or log lines."""

    def plant(patient: Patient) -> str:
        job = str(patient.hurt("failed"))
        other = "attempts" if table == "job_logs" else "job_logs"
        patient.sql(f"DELETE FROM unstuck_{other} WHERE job_id = '{job}'")
        patient.sql(f"DELETE FROM unstuck_jobs WHERE id = '{job}'")
        return job

    return plant


def attempt_ended(patient: Patient) -> str:
    job = str(patient.hurt("running"))
    patient.sql(
        "INSERT INTO unstuck_attempts (job_id, fence, attempt, outcome, ended_at)"
        f" VALUES ('{job}', 1, 1, 'lost', {patient.past(0)})"
    )
    return job


def owner_missing(patient: Patient) -> str:
    return row("running", f"worker_id = '{uuid7()}'")(patient)


def owner_ended(patient: Patient) -> str:
    stray = patient.work()
    job = row("running", f"worker_id = '{stray}'")(patient)
    patient.sql(
        f"UPDATE unstuck_workers SET ended_at = {patient.past(2 * HOUR)}, lease_until = {patient.past(2 * HOUR)},"
        f" started_at = {patient.past(3 * HOUR)} WHERE id = '{stray}'"
    )
    return job


def silent(patient: Patient) -> str:
    stray = patient.work(lease_us=1_000_000)
    patient.sql(f"UPDATE unstuck_workers SET lease_until = {patient.past(2 * HOUR)} WHERE id = '{stray}'")
    return str(stray)


def nothing(patient: Patient) -> str:
    stray = patient.work(lease_us=1_000_000)
    patient.sql(f"UPDATE unstuck_workers SET lease_until = NULL WHERE id = '{stray}'")
    return str(stray)


def long_lease(patient: Patient) -> str:
    stray = patient.work(lease_us=1_000_000)
    patient.sql(f"UPDATE unstuck_workers SET lease_until = {patient.past(-2 * HOUR)} WHERE id = '{stray}'")
    return str(stray)


DAMAGES: dict[Invariant, Damage] = {
    Invariant.UNFINISHED_WITHOUT_OWNER_OR_ALARM: Damage(
        row("scheduled", "wake_at = NULL"), is_healed=True, also=CHECKED_BY_SQLITE
    ),
    Invariant.OWNED_BUT_NOT_RUNNING: Damage(
        lambda patient: row("ready", f"worker_id = '{patient.worker}'")(patient)
    ),
    Invariant.ENDED_WITH_ALARM: Damage(moment("failed", "wake_at", -HOUR)),
    Invariant.ENDED_WITHOUT_MOMENT: Damage(row("failed", "finished_at = NULL")),
    Invariant.ENDED_WITHOUT_RETENTION: Damage(row("succeeded", "keep_until = NULL")),
    Invariant.RUNNING_NEVER_CLAIMED: Damage(row("running", "claimed_at = NULL")),
    Invariant.MORE_FAILURES_THAN_TRIES: Damage(row("retrying", "failures = 6")),
    Invariant.MORE_CRASHES_THAN_ALLOWED: Damage(row("ready", "crashes = 4")),
    Invariant.MORE_LOSSES_THAN_ALLOWED: Damage(row("ready", "losses = 3, options = '{\"loss_limit\":2}'")),
    Invariant.ENDED_BEFORE_IT_BEGAN: Damage(moment("succeeded", "finished_at", HOUR)),
    Invariant.ALARM_BEYOND_HORIZON: Damage(moment("scheduled", "wake_at", -20 * 366 * 24 * HOUR)),
    Invariant.EXPIRY_WITHOUT_ALARM: Damage(row("expiring", "wake_at = NULL"), is_healed=True),
    Invariant.TIMEOUT_WITHOUT_ALARM: Damage(row("running", "wake_at = NULL")),
    Invariant.UNREADABLE: Damage(row("scheduled", "codec = 9")),
    Invariant.ATTEMPT_BEYOND_ITS_FENCE: Damage(row("failed", "fence = 0")),
    Invariant.ATTEMPT_OF_NO_JOB: Damage(gone("attempts")),
    Invariant.ATTEMPT_ENDED_BUT_RUNNING: Damage(attempt_ended),
    Invariant.LOG_OF_NO_JOB: Damage(gone("job_logs")),
    Invariant.OWNER_MISSING: Damage(owner_missing, is_healed=True),
    Invariant.OWNER_ENDED_AND_NOT_RECOVERED: Damage(owner_ended, is_healed=True),
    Invariant.ALARM_OVERDUE: Damage(moment("scheduled", "wake_at", HOUR), is_healed=True),
    Invariant.TIMEOUT_OVERDUE: Damage(
        lambda patient: moment(
            "running", "wake_at", HOUR, f"timeout_us = 1, claimed_at = {patient.past(HOUR)}"
        )(patient)
    ),
    Invariant.WORKER_WITHOUT_LEASE_OR_END: Damage(nothing, is_healed=True, also=CHECKED_BY_SQLITE),
    Invariant.LEASE_LONGER_THAN_ALLOWED: Damage(long_lease, is_healed=True),
    Invariant.LAPSED_WORKER_NOT_ENDED: Damage(silent, is_healed=True),
}


def test_every_invariant_is_planted() -> None:
    assert set(DAMAGES) == set(Invariant) - {Invariant.RECOVERING}


def test_a_store_with_a_little_of_everything_is_fine(patient: Patient) -> None:
    found = patient.diagnose()
    assert found.is_fine, troubles(found)
    assert {one.name for one in found.checks} >= {
        f"invariant.{invariant}" for invariant in Invariant if invariant is not Invariant.RECOVERING
    }


@pytest.mark.parametrize("invariant", list(DAMAGES), ids=lambda one: one.value)
def test_what_breaks_an_invariant_is_found_and_healed_where_that_can_be(
    patient: Patient, invariant: Invariant
) -> None:
    damage = DAMAGES[invariant]
    id = damage.plant(patient)
    found = patient.diagnose()
    name = f"invariant.{invariant}"
    if invariant in PASSING and name not in troubles(found):
        name = "orphans"  # the same, told with its moment
    assert without(damage.also, troubles(found)) == {name: Status.WRONG}
    assert check(found, name).ids == [id]
    assert check(found, name).count == 1

    after = patient.repair()
    if damage.is_healed:
        assert after.is_fine, troubles(after)
        assert after.repairs
    else:
        assert troubles(after) == {name: Status.WRONG}
        assert after.repairs == []
    written = patient.run(patient.store.audit(100))
    assert {(one.action, one.subject, one.cause) for one in written} == {
        (one.action, one.subject, one.cause) for one in after.repairs
    }

"""Planted at the door: what may be enqueued, under which id, in whose transaction."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

BAD_INPUT = "app/test_bad_input.py"

MUTANTS = (
    Mutant(
        "a_nul_passes",
        "app/values.py",
        '    if "\\x00" in text:',
        '    if text == "\\x00":',
        "A NUL inside a text passes, and PostgreSQL refuses it at the worst moment.",
        "What is accepted can be stored.",
        (BAD_INPUT,),
    ),
    Mutant(
        "nan_becomes_null",
        "app/values.py",
        "    if not math.isfinite(number):",
        "    if math.isinf(number):",
        "NaN passes, and arrives as null.",
        "What arrives is what was given.",
        (BAD_INPUT,),
    ),
    Mutant(
        "one_id_has_two_meanings",
        "storage/sql/jobs.py",
        "    if (job.task, job.args) != (task, args):\n",
        "    if job.task != task:\n",
        "The same id with other arguments is taken for the same job.",
        "One id is one request.",
        (
            "conformance/test_insert.py::test_an_id_that_exists_with_another_task_or_arguments_is_refused_and_nothing_is_inserted -k sqlite",
        ),
    ),
    Mutant(
        "many_are_not_one_transaction",
        "storage/sql/jobs.py",
        "mode = Mode.WRITE if len(jobs) == 1 else Mode.TRANSACTION",
        "mode = Mode.WRITE",
        "Of many jobs some are inserted although one is refused.",
        "All of these jobs or none.",
        (
            "conformance/test_insert.py::test_an_id_that_exists_with_another_task_or_arguments_is_refused_and_nothing_is_inserted -k postgres",
        ),
    ),
    Mutant(
        "an_unknown_outcome_is_a_failure",
        "app/commands.py",
        "            if clock() + pause >= end:\n                raise\n",
        "            raise\n",
        "An enqueue whose answer was lost is not repeated, and the caller sends another.",
        "Whoever enqueues learns whether the job is there.",
        ("app/test_commands.py::test_an_unknown_outcome_is_asked_again_with_the_same_id",),
    ),
    Mutant(
        "a_joined_transaction_is_committed",
        "app/joining/raw_sqlite.py",
        "            return cursor.execute(spelled.text, dict(spelled.values)).fetchall()\n",
        "            with self._connection:\n"
        "                return cursor.execute(spelled.text, dict(spelled.values)).fetchall()\n",
        "An enqueue inside the caller's transaction commits it.",
        "The job exists if and only if the caller's transaction commits.",
        ("app/test_joining_sqlite.py::test_the_job_exists_if_and_only_if_the_order_does",),
    ),
    Mutant(
        "a_lost_attempt_keeps_its_effects",
        "app/settling.py",
        "            case Answer.REFUSED:\n                raise LostOwnership(",
        "            case Answer.REFUSED if job.attempt > 1:\n                raise LostOwnership(",
        "Who has lost the job commits its effects all the same.",
        "Effects and ending are one transaction.",
        ("app/test_settling.py::test_a_lost_attempt_rolls_back",),
    ),
)

"""All mutants, by the room of the product in which they are planted."""

from __future__ import annotations

from tests.mutants.bank import claiming, ending, entering, living, recovering, running, storing
from tests.mutants.mutant import Mutant

BANK: tuple[Mutant, ...] = (
    *ending.MUTANTS,
    *claiming.MUTANTS,
    *living.MUTANTS,
    *recovering.MUTANTS,
    *running.MUTANTS,
    *storing.MUTANTS,
    *entering.MUTANTS,
)

WRITTEN_FOR_THE_BANK: tuple[str, ...] = (
    "tests/unit/engine/test_claiming.py::test_a_queue_is_empty_only_when_a_claim_from_its_head_says_so",
    "tests/unit/engine/test_looking.py::test_one_look_does_all_that_it_saw",
    "tests/unit/engine/test_fencing.py::test_who_has_not_renewed_for_a_lease_stops_unless_a_lock_holds_up_everybody",
    "tests/unit/engine/test_reconciling.py::test_a_comparison_beside_a_claim_counts_for_nothing",
    "tests/unit/engine/test_renewing.py::test_a_lease_is_safe_for_two_thirds_from_the_sending_of_its_renewal",
    "tests/unit/engine/test_executing.py::test_a_slot_says_what_has_started_until_the_store_has_its_ending",
    "tests/unit/engine/test_executing.py::test_what_was_withdrawn_is_given_back_and_leaves_its_slot",
    "tests/unit/engine/test_executing.py::test_a_suspect_runs_in_a_process_of_its_own_and_its_slot_says_so",
    "tests/unit/engine/test_executing.py::test_what_does_not_stop_is_not_given_to_others_while_it_works_and_its_process_is_replaced",
    "tests/unit/engine/test_burying.py::test_a_crash_is_counted_for_what_ran_alone_and_nothing_for_what_did_not_run",
    "tests/unit/engine/test_burying.py::test_a_claim_that_its_child_did_not_live_to_see_leaves_nothing_running",
    "tests/unit/engine/test_sweeping.py::test_a_dead_childs_jobs_are_its_supervisors_to_settle_for_a_lease_and_then_anybodys",
    "tests/unit/engine/test_sweeping.py::test_what_a_worker_left_behind_counts_a_loss_unless_it_had_stopped_by_itself",
    "tests/unit/engine/test_sweeping.py::test_a_suspect_is_convicted_by_the_loss_of_its_worker_only_if_it_was_the_only_one",
    "tests/unit/engine/test_sweeping.py::test_a_running_job_whose_worker_has_no_row_is_found_once_a_lease",
    "tests/unit/engine/test_sweeping.py::test_one_bad_row_does_not_stop_the_recovery_of_others",
    "tests/unit/engine/test_settling.py::test_one_ending_that_the_store_refuses_to_take_does_not_hold_up_the_others",
    "tests/unit/engine/test_supervisor.py::test_a_child_that_does_not_tick_is_killed_at_its_limit_and_not_before",
    "tests/unit/storage/test_plan.py::test_what_conflicts_is_undone_and_begins_again_from_the_first_statement",
    "tests/storage/test_migrating.py::test_a_step_whose_record_cannot_be_written_leaves_nothing",
    "tests/conformance/test_orphans.py::test_a_job_runs_for_any_time_under_a_worker_that_lives",
    "tests/conformance/test_then.py::test_an_ending_whose_follow_up_cannot_be_inserted_is_not_recorded",
    "tests/app/test_joining_postgres.py::test_a_delay_counts_from_the_enqueue_and_not_from_the_beginning_of_the_transaction",
)
"""Tests that came because a mutant survived. Each has to catch two at least, or it knows no promise."""

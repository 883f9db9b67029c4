"""keep_notices and notices: what the system says by itself, since when, and when it is over."""

from __future__ import annotations

from tests.conformance.trying import MINUTE, Trial
from unstuck.model.notice import Finding, Kind

NOBODY = Finding(Kind.NO_WORKER, "mail", "queue mail has due jobs and no living worker")
STRANGE = Finding(Kind.NO_HANDLER, "shop.send", "no living worker knows shop.send: 'ü'")
STALLED = Finding(Kind.STALLED, "worker 7", "the child does not tick")


def test_a_finding_appears_once_and_is_kept_since_then(trial: Trial) -> None:
    appeared, went = trial.keep_notices([NOBODY], [Kind.NO_WORKER])
    assert [(each.kind, each.subject, each.sentence) for each in appeared] == [
        (NOBODY.kind, NOBODY.subject, NOBODY.sentence)
    ]
    assert went == []
    trial.elapse(MINUTE)
    assert trial.keep_notices([NOBODY], [Kind.NO_WORKER]) == ([], [])
    (notice,) = trial.notices()
    assert trial.seconds_to(notice.since) == -60
    assert trial.seconds_to(notice.last_seen) == 0


def test_what_is_not_found_any_more_goes(trial: Trial) -> None:
    trial.keep_notices([NOBODY, STRANGE], [Kind.NO_WORKER, Kind.NO_HANDLER])
    appeared, went = trial.keep_notices([STRANGE], [Kind.NO_WORKER, Kind.NO_HANDLER])
    assert appeared == []
    assert [(each.kind, each.subject) for each in went] == [(NOBODY.kind, NOBODY.subject)]
    assert [each.sentence for each in trial.notices()] == [STRANGE.sentence]


def test_notices_of_other_kinds_are_left_alone(trial: Trial) -> None:
    trial.keep_notices([STALLED], [Kind.STALLED])
    appeared, went = trial.keep_notices([NOBODY], [Kind.NO_WORKER])
    assert (len(appeared), went) == (1, [])
    assert trial.keep_notices([], [Kind.NO_WORKER])[1][0].subject == NOBODY.subject
    assert [each.kind for each in trial.notices()] == [Kind.STALLED]


def test_a_finding_that_comes_back_appears_anew(trial: Trial) -> None:
    trial.keep_notices([NOBODY], [Kind.NO_WORKER])
    trial.keep_notices([], [Kind.NO_WORKER])
    trial.elapse(MINUTE)
    assert len(trial.keep_notices([NOBODY], [Kind.NO_WORKER])[0]) == 1
    assert trial.seconds_to(trial.notices()[0].since) == 0


def test_the_sentence_is_that_of_the_last_finding(trial: Trial) -> None:
    trial.keep_notices([NOBODY], [Kind.NO_WORKER])
    changed = Finding(NOBODY.kind, NOBODY.subject, "another sentence")
    assert trial.keep_notices([changed], [Kind.NO_WORKER]) == ([], [])
    assert trial.notices()[0].sentence == "another sentence"


def test_one_kind_can_be_about_several_subjects(trial: Trial) -> None:
    findings = [Finding(Kind.NO_WORKER, queue, f"nobody takes {queue}") for queue in ("a", "b", "c")]
    assert len(trial.keep_notices(findings, [Kind.NO_WORKER])[0]) == 3
    assert [each.subject for each in trial.keep_notices(findings[1:], [Kind.NO_WORKER])[1]] == ["a"]


def test_notices_are_listed_oldest_first(trial: Trial) -> None:
    for finding in (STRANGE, NOBODY, STALLED):
        trial.keep_notices([finding], [finding.kind])
        trial.elapse(MINUTE)
    assert [each.kind for each in trial.notices()] == [STRANGE.kind, NOBODY.kind, STALLED.kind]

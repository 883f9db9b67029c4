"""What was looked at and what was found, invariant by invariant.

A check that has looked at nothing is *not applicable*, never a pass. Of each invariant the first few
findings are kept whole, with the lines that prove them; the rest are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

KEPT = 5

INVARIANTS = {
    "S1": "what has not ended is owned, has an alarm, or is in plain sight",
    "S2": "no alarm is overdue by more than R",
    "S3": "a job runs if and only if it has an owner",
    "S4": "no count passes its limit",
    "S5": "what has ended has its moment and its retention, and neither alarm nor owner",
    "S6": "no count passes its limit at any time",
    "S7": "one token per attempt",
    "S8": "one live job per unique key",
    "S9": "batches count what they have",
    "S10": "callbacks of batches",
    "S11": "dependencies lead somewhere",
    "S12": "limits are kept",
    "S13": "who owns a job is there and has not ended, or for less than R",
    "S14": "one leader",
    "S15": "who is shown alive has a lease that is over for less than R",
    "S16": "schedules look ahead",
    "S17": "one schema",
    "S18": "tracked records are followed",
    "S19": "nothing refers to what is not there",
    "S20": "what was claimed had been made and was due; what ended had been claimed",
    "S21": "every payload can be read",
    "S22": "nothing that is referred to was deleted",
    "S23": "nothing is kept for ever",
    "S24": "everything can be explained",
    "H1": "nothing that was acknowledged is lost",
    "H2": "nothing comes from nowhere",
    "H3": "an id is one job",
    "H4": "one ending per generation, and nothing after it but what operators and retention do",
    "H5": "every step is one of the life cycle",
    "H6": "the fence rises by one at each claim and nowhere else, and every ending has a verdict of its own",
    "H7": "one owner at a time",
    "H8": "two handlers of one job overlap only where the earlier had lost it",
    "H9": "handlers start once per claim, and never without one",
    "H10": "nothing starts beyond its budget, and each ending counts at most one thing",
    "H11": "what succeeded had returned",
    "H12": "what was rolled back never was",
    "H13": "effects and ending happen together",
    "H14": "holders of one key follow each other",
    "H15": "limits are kept at every point",
    "H16": "rates are kept",
    "H17": "each callback once",
    "H18": "what follows a success is there if and only if it succeeded",
    "H19": "serial groups are serial",
    "H20": "each instant of a schedule once",
    "H21": "no leader acts after a later one",
    "H22": "what was asked to cancel ends cancelled, and an acknowledged cancel is one",
    "H23": "nothing is claimed from a paused queue",
    "H24": "nothing starves: who is ready is not passed over for long",
    "H25": "readers see no ending undone",
    "H26": "folding the log gives the rows",
    "H27": "only a worker that has ended loses a job",
    "H28": "who drains or has ended claims nothing",
    "L2": "everything has ended",
}

NOT_BUILT = {
    "S7": "falls away: a fence and a verdict's id do what tokens did (H6)",
    **dict.fromkeys(("S8", "H14"), "there are no unique keys yet"),
    **dict.fromkeys(("S9", "S10", "H17"), "there are no batches yet"),
    "S11": "there are no workflows yet; follow-ups are H18",
    **dict.fromkeys(("S12", "H15", "H16", "H19"), "there are no gates yet"),
    **dict.fromkeys(("S14", "H21"), "there is no leader"),
    **dict.fromkeys(("S16", "H20"), "there are no schedules yet"),
    **dict.fromkeys(("S17", "S21", "S23", "S24"), "asked of the live store by `unstuck doctor`"),
    "S18": "there are no syncs yet",
    "S22": "nothing refers to another job but a follow-up before its parent's end: see H18",
}
"""Why an invariant cannot be asked of a run of this version at all."""


@dataclass(frozen=True)
class Finding:
    """A broken invariant: of which record, in a sentence, and the lines that prove it."""

    check: str
    record: str
    sentence: str
    lines: tuple[Mapping[str, Any], ...] = ()

    def __str__(self) -> str:
        proof = "".join(f"\n      {dict(line)}" for line in self.lines)
        return f"{self.check} {self.record}: {self.sentence}{proof}"


class Book:
    """Kept by all checks."""

    def __init__(self) -> None:
        self.looked: Counter[str] = Counter()
        self.broken: Counter[str] = Counter()
        self.findings: list[Finding] = []
        self.missing: dict[str, str] = {}

    def look(self, check: str, is_kept: bool, record: str, sentence: str, *lines: Mapping[str, Any]) -> None:
        """Note that one thing was looked at, and whether it was as it must be."""
        self.looked[check] += 1
        if not is_kept:
            self.broken[check] += 1
            if self.broken[check] <= KEPT:
                self.findings.append(Finding(check, record, sentence, lines))

    def lacks(self, why: str, *checks: str) -> None:
        """These checks cannot be made in this run."""
        self.missing.update(dict.fromkeys(checks, why))

    def verdict(self, check: str) -> str:
        """`pass`, `fail` or `not applicable`, with what there is to say."""
        if self.broken[check]:
            return f"fail: {self.broken[check]} of {self.looked[check]}"
        if self.looked[check]:
            return f"pass: {self.looked[check]} looked at"
        why = NOT_BUILT.get(check) or self.missing.get(check) or "nothing in this run to look at"
        return f"not applicable: {why}"

    def told(self) -> str:
        """One line per invariant, and what was found below the broken ones."""
        lines: list[str] = []
        for check, sentence in INVARIANTS.items():
            lines.append(f"{check:<4}{sentence}: {self.verdict(check)}")
            lines += [f"    {found}" for found in self.findings if found.check == check]
        return "\n".join(lines)

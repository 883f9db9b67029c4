"""The snapshot invariants on a live store: walks along one index each, portion by portion.

One line per invariant. A walk that was not finished in its time leaves its invariants *unfinished*, with the
offenders that it had met; what breaks for a while when somebody dies (`PASSING`) is told with its moment by
`doctor.recovering`, and here only where that could not.
"""

from __future__ import annotations

from typing import Any

from unstuck.doctor.finding import SHOWN, Ailment, Check, Status, judged
from unstuck.doctor.looking import Looking, OutOfTime
from unstuck.model.invariant import OFFENCE, PASSING, SCANS, Invariant


async def look_at_rows(looking: Looking, scan: str, told: frozenset[str]) -> list[Check]:
    """The invariants of one scan; `told` are records of which somebody else has told already."""
    began = looking.clock()
    ids: dict[Invariant, dict[str, None]] = {invariant: {} for invariant in SCANS[scan]}
    counts = dict.fromkeys(SCANS[scan], 0)
    is_cut = is_cut_off = False
    walked = 0
    try:
        bounds = await looking.bounds()
        after: Any = None
        while True:
            portion = await looking.ask(looking.store.inspect(scan, bounds, after, looking.limits.portion))
            walked += 1
            is_cut = is_cut or portion.is_cut
            for invariant, id in portion.found:
                if invariant is Invariant.RECOVERING or (invariant in PASSING and id in told):
                    continue
                counts[invariant] += 1
                if len(ids[invariant]) < SHOWN:
                    ids[invariant][id] = None
            after = portion.after
            if after is None:
                break
    except OutOfTime:
        is_cut_off = True
    seconds = looking.clock() - began
    return [
        _check(
            invariant, list(ids[invariant]), counts[invariant], is_cut, is_cut_off, walked, seconds, looking
        )
        for invariant in SCANS[scan]
        if invariant is not Invariant.RECOVERING
    ]


def _check(
    invariant: Invariant,
    ids: list[str],
    count: int,
    is_cut: bool,
    is_cut_off: bool,
    walked: int,
    seconds: float,
    looking: Looking,
) -> Check:
    name = f"invariant.{invariant.value}"
    found = [Ailment("invariant", id, f"{id} {OFFENCE[invariant]}", name=invariant.value) for id in ids]
    check = judged(name, found, seconds, count, is_cut or is_cut_off)
    if not is_cut_off:
        return check
    seen = f"after {walked * looking.limits.portion:,} rows" if walked else "before its first portion ended"
    sentence = f"did not finish in {seconds:.0f} s: it stopped {seen}"
    return Check(
        name, Status.UNFINISHED, f"{sentence}; {check.sentence}" if count else sentence, count, True,
        check.ailments, seconds,
    )  # fmt: skip

"""Numbers of a run: medians over rounds, percentiles over samples, ratios between contenders.

Pure, so that what a table claims can be tested without a server.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

MUCH_STOLEN = 0.10
"""Above this share of stolen processor time a line is repeated once, and marked if it happens again."""

Line = dict[str, float]
"""What one measurement of one contender gave: measure and value."""


def percentile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that at least this share of them does not exceed. Raises ValueError without any."""
    if not samples:
        raise ValueError("no samples")
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def spread_of(samples: Sequence[float]) -> Line:
    """p50, p95 and p99."""
    return {
        "p50": percentile(samples, 0.50),
        "p95": percentile(samples, 0.95),
        "p99": percentile(samples, 0.99),
    }


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one round."""

    contender: str
    measure: str
    value: float
    round: int
    stolen: float


@dataclass
class Book:
    """All samples of a run, and what could not be measured and why."""

    samples: list[Sample] = field(default_factory=list[Sample])
    failures: dict[str, str] = field(default_factory=dict[str, str])

    def add(self, contender: str, line: Line, round_number: int, stolen: float) -> None:
        """Write down what one round gave."""
        self.samples += [Sample(contender, name, value, round_number, stolen) for name, value in line.items()]

    def fail(self, contender: str, measure: str, why: str) -> None:
        """Write down that this was not measured."""
        self.failures[f"{contender}: {measure}"] = why

    def values(self, contender: str, measure: str) -> list[float]:
        """The rounds of one measure."""
        return [each.value for each in self.samples if (each.contender, each.measure) == (contender, measure)]

    def median(self, contender: str, measure: str) -> float | None:
        """The median over rounds, None where there are none."""
        values = self.values(contender, measure)
        return statistics.median(values) if values else None

    def ratio(self, ours: tuple[str, str], theirs: tuple[str, str]) -> float | None:
        """Ours over theirs, of medians; None where one is missing or theirs is 0."""
        above, below = self.median(*ours), self.median(*theirs)
        return None if above is None or not below else above / below

    def stolen(self, contender: str, measure: str) -> float:
        """The largest stolen share among the rounds of a measure."""
        found = [
            each.stolen for each in self.samples if (each.contender, each.measure) == (contender, measure)
        ]
        return max(found, default=0.0)

    @property
    def contenders(self) -> list[str]:
        return list(dict.fromkeys(each.contender for each in self.samples))

    @property
    def measures(self) -> list[str]:
        return list(dict.fromkeys(each.measure for each in self.samples))

    def as_json(self) -> dict[str, Any]:
        return {"samples": [asdict(each) for each in self.samples], "failures": self.failures}

    @classmethod
    def of(cls, found: Iterable[dict[str, Any]]) -> Book:
        """A book from the samples of a saved one."""
        return cls([Sample(**each) for each in found])

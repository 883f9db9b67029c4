"""What PostgreSQL spends on whose behalf: seconds of its statements, by the name that each of ours carries.

Every statement of the product begins with the name of its block, which pg_stat_statements keeps. So the price of
looks and sweeps can be told from that of the work, without asking the product. How long workers have looked back
from the very first, claims included, they say themselves, in the reports on their rows.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import psycopg

SWEEPS = frozenset(
    {
        *("signs", "workers", "end_lapsed", "orphans", "orphans_of_nobody", "expired", "holders"),
        *(
            "ready_queues",
            "head",
            "known_tasks",
            "knowing",
            "unhandled",
            "waiting_unhandled",
            "parked",
            "overdue",
        ),
        *("notices", "notices_of", "put_notices", "drop_notices"),
    }
)
"""The blocks of a sweep and of the notices that it keeps."""

LOOKS = frozenset({"look", "glance"})
CLAIMS = frozenset({"claim", "reach"})

_NAMED = """
SELECT substring(query from '/\\* *unstuck:([a-z_]+)'), sum(total_exec_time + total_plan_time) / 1000
FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
GROUP BY 1
"""
_SAID = "SELECT coalesce(sum((report::json->>'looked_back')::float), 0) FROM unstuck_workers WHERE ended_at IS NULL"


class Spending:
    """Shares of a core from the moment it is made on."""

    def __init__(self, url: str):
        self._url = url
        self._began = time.monotonic()
        self._before, self._looked_back = _now(url)

    def shares(self) -> dict[str, float]:
        """Until now, in percent."""
        after, looked_back = _now(self._url)
        since = {name: value - self._before.get(name, 0.0) for name, value in after.items()}
        return shares(since, looked_back - self._looked_back, time.monotonic() - self._began)


def shares(seconds: Mapping[str, float], looked_back: float, over: float) -> dict[str, float]:
    """Shares of a core, in percent, of statements that took so many seconds, and of workers' waiting, in so many seconds."""

    def of(names: frozenset[str]) -> float:
        return sum(value for name, value in seconds.items() if name in names) / over * 100

    back = looked_back / over * 100
    return {
        "sweeps, % of a core": of(SWEEPS),
        "looks, % of a core": of(LOOKS),
        "claims, % of a core": of(CLAIMS),
        "looking back, % of a core": back,
        "sweeps and looking back, % of a core": of(SWEEPS) + back,
    }


def _now(url: str) -> tuple[Mapping[str, float], float]:
    with psycopg.connect(url, autocommit=True) as connection:
        rows = connection.execute(_NAMED).fetchall()
        said = connection.execute(_SAID).fetchone()
    return {name or "": float(seconds) for name, seconds in rows}, float(said[0]) if said else 0.0

"""The promises on PostgreSQL: those of SQL, and what looks wrong about a server."""

from __future__ import annotations

from collections.abc import Mapping

from unstuck.storage.sql.store import SqlStore


class PostgresStore(SqlStore):
    """What a keeper promises, on PostgreSQL."""

    def __init__(self, prefix: str = "unstuck_"):
        super().__init__("postgres", prefix)

    def judge(self, facts: Mapping[str, str]) -> list[str]:
        wrong: list[str] = []
        if facts.get("read_only") == "true":
            wrong.append("the server is read-only")
        for setting in ("fsync", "full_page_writes", "autovacuum"):
            if facts.get(setting) == "off":
                wrong.append(f"{setting} is off")
        if facts.get("synchronous_commit") == "off":
            wrong.append("synchronous_commit is off: acknowledged jobs can be lost when the server crashes")
        return wrong

"""The promises on SQLite: those of SQL, and what looks wrong about a file."""

from __future__ import annotations

from collections.abc import Mapping

from unstuck.storage.sql.store import SqlStore

SYNCHRONOUS_FULL = 2


class SqliteStore(SqlStore):
    """What a keeper promises, on SQLite."""

    def __init__(self, prefix: str = "unstuck_"):
        super().__init__("sqlite", prefix)

    def judge(self, facts: Mapping[str, str]) -> list[str]:
        wrong: list[str] = []
        if facts.get("journal_mode", "wal") != "wal":
            wrong.append(
                f"journal_mode is {facts['journal_mode']}, not wal: writers and readers wait for each other"
            )
        if int(facts.get("synchronous", SYNCHRONOUS_FULL)) < SYNCHRONOUS_FULL:
            wrong.append("synchronous is not FULL: the last commits can be lost with the power")
        return wrong

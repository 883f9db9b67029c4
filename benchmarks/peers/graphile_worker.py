"""graphile-worker: PostgreSQL and Node.js, the anchor in another language; ended jobs are deleted."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peer import Peer

PROGRAM = Path(__file__).with_suffix(".cjs")


class GraphileWorker(Peer):
    name = "graphile-worker"
    packages = ("graphile-worker",)
    settings = "concurrency 24, localQueue 500, completion and failure in batches, Node.js; deletes its jobs"
    language = "node"
    expected = 6000
    can_enqueue_many = True

    @classmethod
    def workers(cls, url: str, mode: str, processes: int) -> list[list[str]]:
        role = "client" if mode == "client" else "work"
        return [["node", str(PROGRAM), role, url]] * processes

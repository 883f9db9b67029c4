"""The demo's application as a user would write one: an App and a task in a module.

Workers import it by its name (`--app unstuck.demo.tasks:app`), the demo imports it to enqueue. Where its
store and its witness are comes from the environment that the demo gives to both: `UNSTUCK_URL`,
`UNSTUCK_DEMO_PREFIX` and `UNSTUCK_DEMO_WITNESS`.

One file in some dozens is read slowly, as from a slow disk, so that whenever a process is killed there
is certainly an attempt under way in it, on fast machines and small folders too.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from unstuck.app.app import App
from unstuck.demo.files import from_text
from unstuck.demo.serial import Findings, findings_of
from unstuck.demo.witness import testify
from unstuck.engine.context import current

PREFIX_VARIABLE = "UNSTUCK_DEMO_PREFIX"
WITNESS_VARIABLE = "UNSTUCK_DEMO_WITNESS"
SLOW_SECONDS = 0.4

app = App(prefix=os.environ.get(PREFIX_VARIABLE, "unstuck_"))


@dataclass(frozen=True, slots=True)
class Answer:
    """A job's stored result: what was found, and the fence of the attempt that found it."""

    findings: Findings
    fence: int


@app.task
def examine(path: str, slowly: bool = False) -> Answer:
    """Look at one file; `path` is quoted as `files.to_text` does it."""
    attempt = current()
    testify(os.environ[WITNESS_VARIABLE], attempt.id, attempt.fence)
    if slowly:
        time.sleep(SLOW_SECONDS)
    return Answer(findings_of(from_text(path)), attempt.fence)

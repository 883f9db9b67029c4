"""The process of one isolated attempt: `python -m unstuck.engine.isolated IN OUT`.

It reads its order, imports the application, runs the handler and sends the verdict; then it exits. It
opens no connection to the store: progress, log lines and the ending travel to the worker, which holds the
lease. Only the handler may open one: what it enqueues goes to the worker's store, and it may end the attempt
in a transaction of its own (`ctx.settling`), under the verdict id that the worker has too. Frames use
descriptors of their own, so that a handler may print what it likes.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from typing import Any, BinaryIO

from unstuck.engine import concluding
from unstuck.engine.context import Context, current_context
from unstuck.engine.framing import die_with_parent, read_frame, write_frame
from unstuck.engine.handler import Handler, Kind
from unstuck.engine.importing import load_application
from unstuck.engine.isolating import Order, Word
from unstuck.model.errors import BadSetting
from unstuck.model.job import ErrorInfo
from unstuck.model.verdict import Verdict
from unstuck.rules import judging


@dataclass
class Speaker:
    """Sends what the context notes as soon as it is noted."""

    pipe: BinaryIO

    def wrote(self, context: Context) -> None:
        """A line or a progress was noted."""
        for _, text in context.take_lines():
            write_frame(self.pipe, Word(line=text))
        progress = context.take_progress()
        if progress is not None:
            write_frame(self.pipe, Word(progress=progress))


def main() -> None:
    """Run one order and exit."""
    source, sink = os.fdopen(int(sys.argv[1]), "rb"), os.fdopen(int(sys.argv[2]), "wb")
    try:
        order = read_frame(source, Order)
    except EOFError:
        os._exit(1)  # the worker went before it could say what is to be done
    die_with_parent(order.parent_pid)
    sys.path[:] = order.path
    verdict = _run(order, Speaker(sink))
    write_frame(sink, Word(verdict=verdict))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _run(order: Order, speaker: Speaker) -> Verdict:
    job, ids = order.job, (order.verdict_id, order.worker_id)
    try:
        application = load_application(order.application)
        if order.url is not None:
            application.use_url(order.url)
        handler = application.handlers[job.task]
    except (BadSetting, KeyError) as error:
        return judging.failed(job, *ids, ErrorInfo("CannotImport", str(error)), order.dice)
    try:
        arguments = handler.decode(job.args)
    except Exception as error:
        return concluding.of_bad_payload(job, *ids, error, order.dice)
    inside = getattr(application, "settle_inside", None)
    context = Context(job, order.worker_id, speaker.wrote, inside, verdict_id=order.verdict_id)
    current_context.set(context)
    try:
        result = _call(handler, arguments)
    except BaseException as error:
        return concluding.of_error(job, handler, *ids, error, order.dice)
    if context.is_settled:
        return concluding.of_lost_settling(job, *ids, order.dice)
    return concluding.of_return(job, handler, *ids, result)


def _call(handler: Handler, arguments: dict[str, Any]) -> Any:
    result = handler.function(**arguments)
    if handler.kind is Kind.ASYNC or asyncio.iscoroutine(result):
        return asyncio.run(result)
    return result


if __name__ == "__main__":
    main()

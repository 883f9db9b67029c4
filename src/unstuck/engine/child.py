"""A child process: it imports the application, claims, starts and settles; its supervisor keeps it alive.

`python -m unstuck.engine.child` reads its order from standard input and leaves when that pipe ends or its
parent dies. Interrupts from a terminal are the supervisor's business; a SIGTERM sent to the child alone is
a request to drain. Its loop is uvloop's where that is installed (the extra `uvloop`). The exit code says how it left (`worker.Left`): 0 clean, 70 something would not stop
(the supervisor hands back what the page shows), 75 its row had ended.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, NoReturn
from uuid import UUID

import msgspec

from unstuck.engine.env import Env
from unstuck.engine.framing import die_with_parent, read_frame
from unstuck.engine.handler import Application
from unstuck.engine.importing import load_application
from unstuck.engine.page import Page
from unstuck.engine.run import Isolate
from unstuck.engine.saying import Saying
from unstuck.engine.worker import Left, Worker
from unstuck.model.errors import BadSetting, StoreError
from unstuck.rules.settings import Settings

CANNOT_START = 2

SWITCH_SECONDS = 0.0005
"""How long a thread may keep the interpreter while the loop waits for it. With Python's own 5 ms and ten
busy threads a turn of the loop took 80 to 137 ms, with this 14 to 25 ms (two cores, other work beside)."""

USUAL_COLLECTIONS = (700, 10, 10)
COLLECTIONS = (20_000, 10, 10)
"""After how many new objects Python looks for cycles among them: what a job leaves has none, and looking every 700 objects,
which is every few jobs, took 7 % of a drain's processor time. An application that has said how it wants it is left alone."""


class ChildOrder(msgspec.Struct):
    """What a supervisor tells a new child."""

    application: str
    path: list[str]
    worker_id: UUID
    supervisor_id: UUID
    settings: Settings
    slots: int
    page_descriptor: int
    parent_pid: int
    log_level: int
    url: str | None = None


def main() -> None:
    """Run one child until it leaves."""
    order = read_frame(sys.stdin.buffer, ChildOrder)
    die_with_parent(order.parent_pid)
    threading.Thread(target=_die_with_pipe, name="unstuck-parent", daemon=True).start()
    logging.basicConfig(
        level=order.log_level, format="%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s"
    )
    page = Page.attach(order.page_descriptor, order.slots)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    sys.setswitchinterval(SWITCH_SECONDS)
    signal.signal(signal.SIGTERM, lambda number, frame: page.drain(1))
    sys.path[:] = order.path
    try:
        application = load_application(order.application)
    except BadSetting as error:
        print(f"unstuck: {error}", file=sys.stderr, flush=True)
        os._exit(CANNOT_START)
    if order.url is not None:
        application.use_url(order.url)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        gc.freeze()  # what was imported stays: no collection need look at it again
        if gc.get_threshold() == USUAL_COLLECTIONS:
            gc.set_threshold(*COLLECTIONS)
        runner.run(_work_and_exit(order, application, page))


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's loops where it is installed and UNSTUCK_UVLOOP does not say 0; None for asyncio's own."""
    if os.environ.get("UNSTUCK_UVLOOP") == "0":
        return None
    try:
        uvloop: Any = importlib.import_module("uvloop")
    except ImportError:
        return None
    return uvloop.new_event_loop  # type: ignore[no-any-return]


async def _work_and_exit(order: ChildOrder, application: Application, page: Page) -> NoReturn:
    """Work, and end the process from inside: a closing loop would wait for coroutines that do not stop."""
    _exit(await work(order, application, page, Env()))


async def work(
    order: ChildOrder, application: Application, page: Page, env: Env, isolate: Isolate | None = None
) -> Left:
    """Register, work and leave; answers how. `isolate` runs attempts in processes of their own."""
    keeper = application.keeper
    lanes = {name: keeper.lane(name) for name in ("claim", "settle", "fence")}
    ear = keeper.ear()
    worker = Worker(
        order.worker_id,
        keeper.store,
        application.handlers,
        order.settings,
        env,
        page,
        lanes,
        kind="child",
        supervisor_id=order.supervisor_id,
        ear=ear,
        application=order.application,
        url=order.url,
        settle_inside=getattr(application, "settle_inside", None),
        is_one_file=keeper.engine == "sqlite",
        isolate=isolate,
    )
    saying = Saying(env.now)
    while True:
        page.tick = env.now()
        try:
            await worker.register()
            break
        except StoreError as error:
            if page.drain_level:
                page.leave()
                return Left.CLEAN
            saying.say(logging.WARNING, type(error).__name__, "cannot register yet (%s)", error)
            await asyncio.sleep(order.settings.poll)
    return await worker.run()


def _exit(left: Left) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(left.value)


def _die_with_pipe() -> None:
    sys.stdin.buffer.read(1)
    os._exit(1)


if __name__ == "__main__":
    main()

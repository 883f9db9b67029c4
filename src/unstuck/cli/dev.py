"""`unstuck dev`: every loop of a worker in this one process, begun again when the code changes.

For the desk, not for production: nobody outside renews the lease while user code holds the interpreter. A
change below the application's folder stops the worker (what runs may finish within --grace, the rest goes
back to its place in line) and starts the same command anew in the same process id. If the changed code does
not import, the sentence says why, and the next change is waited for. Ctrl-C stops in the same way, a second
one does not wait for what runs, a third one leaves at once and lets the lease end it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from types import FrameType
from typing import Any, NoReturn

import click

from unstuck.cli.place import Place, pass_place, prepare
from unstuck.cli.refusing import INTERRUPTED, NOT_FINE, line_of
from unstuck.cli.reloading import Watch, folder_of
from unstuck.cli.working import banner, settings_of, start_logging, working_options
from unstuck.engine.solo import Solo
from unstuck.engine.worker import Left
from unstuck.model.errors import BadSetting

log = logging.getLogger("unstuck.cli")

AGAIN = "_UNSTUCK_DEV_AGAIN"
"""Set in the environment of a process that a change has started: it waits where a first start would refuse."""


@click.command(name="dev")
@working_options(grace="5s")
@click.option("--reload/--no-reload", default=True, show_default=True, help="Start again when code changes.")
@pass_place
def dev(place: Place, /, reload: bool, queues: tuple[str, ...], log_level: str, **said: Any) -> int:
    """Run jobs in this process, and start again when the code changes."""
    settings = settings_of(queues, **said)
    name = place.needed_app()
    start_logging(log_level)
    try:
        app = place.app()
    except BadSetting as error:
        if reload and os.environ.pop(AGAIN, ""):
            click.echo(line_of(error), err=True)
            log.info("waiting for the next change below %s", folder_of(name))
            Watch(folder_of(name)).wait()
            _begin_again()
        raise
    os.environ.pop(AGAIN, None)
    keeper = place.keeper()
    prepare(keeper)
    solo = Solo(
        keeper.store,
        keeper.lane,
        app.handlers,
        settings,
        application=name,
        url=app.url,
        settle_inside=app.settle_inside,
        is_one_file=app.keeper.engine == "sqlite",
        open_ear=keeper.ear,
    )
    shown = banner(settings, keeper.url_shown, name)
    left, change = asyncio.run(_work(solo, Watch(folder_of(name)) if reload else None, shown))
    keeper.close()
    if change is not None:
        _begin_again()
    return 0 if left is Left.CLEAN else NOT_FINE


async def _work(solo: Solo, watch: Watch | None, shown: str) -> tuple[Left, str | None]:
    """Work until told to stop; answers how the worker left, and the file whose change ended it."""
    loop = asyncio.get_running_loop()
    changes: list[str] = []
    asked = 0

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked += 1
        if asked > 2:
            os._exit(INTERRUPTED)
        loop.call_soon_threadsafe(solo.stop, asked)

    def told(path: str) -> None:
        log.info("%s changed: stopping what runs, to start again", path)
        changes.append(path)
        loop.call_soon_threadsafe(solo.stop, 1)

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    # Whoever reads this line may send a signal at once, and it is to be heeded.
    log.info("dev worker of %s", shown)
    if watch is not None:
        watch.start(told)
    try:
        left = await solo.run()
        return left, changes[0] if changes and not asked else None
    finally:
        if watch is not None:
            watch.stop()
        for number, handler in before.items():
            signal.signal(number, handler)


def _begin_again() -> NoReturn:
    os.environ[AGAIN] = "1"
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])

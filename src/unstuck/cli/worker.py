"""`unstuck worker`: the supervisor, in this process, and its children.

The supervisor never imports the application, so that no user code can starve it: a process of its own says
where the application's store is. A store that does not answer at the start is refused, since a wrong
address is the likelier cause; once running, an outage of any length is only waited for.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import click

from unstuck.cli.place import Place, pass_place, prepare
from unstuck.cli.working import banner, settings_of, start_logging, working_options
from unstuck.engine.describing import describe
from unstuck.engine.health import Address, HealthServer, address_of
from unstuck.engine.supervisor import Supervisor
from unstuck.model.errors import BadSetting
from unstuck.rules.settings import Settings
from unstuck.storage.opening import Keeper, open_keeper

log = logging.getLogger("unstuck.cli")


@click.command(name="worker")
@working_options(grace="30s")
@click.option("--processes", type=int, default=1, show_default=True, help="Child processes.")
@click.option(
    "--health-port",
    metavar="[HOST:]PORT",
    help="Answer /livez and /readyz over HTTP there; without a host only this machine can ask.",
)
@pass_place
def worker(
    place: Place, /, health_port: str | None, queues: tuple[str, ...], log_level: str, **said: Any
) -> int:
    """Run jobs: a supervisor and its child processes.

    The first Ctrl-C or SIGTERM lets running jobs finish within --grace, the second stops at once; what had
    not finished goes back to its place in line.
    """
    settings = settings_of(queues, **said)
    address = None if health_port is None else address_of(health_port)
    name = place.needed_app()
    described = describe(name)
    keeper = open_keeper(
        place.override or described.url,
        described.prefix,
        application="unstuck worker",
        event_log=described.event_log,
    )
    if keeper.engine == "memory":
        raise BadSetting(
            "memory:// lives in one process only: unstuck dev runs it, a worker needs a real store"
        )
    try:
        prepare(keeper)
        start_logging(log_level)
        log.info("worker of %s", banner(settings, keeper.url_shown, name))
        return asyncio.run(_supervise(name, keeper, settings, place.override, address))
    finally:
        keeper.close()


async def _supervise(
    name: str, keeper: Keeper, settings: Settings, url: str | None, address: Address | None
) -> int:
    supervisor = Supervisor(name, keeper, settings, url=url)
    if address is None:
        return await supervisor.run()
    async with HealthServer(address, supervisor.pages, settings):
        return await supervisor.run()

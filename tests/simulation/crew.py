"""Everybody who works in a world: solo workers, supervisors with their children, isolated attempts.

A *unit* is what an operator starts on one host: a `Solo`, or a real `Supervisor` whose spawner makes
simulated processes instead of the operating system's. A child runs the production `work` with a page in
ordinary memory; it shares the clock of its host, is told of by its exit, and dies with its supervisor, as
PDEATHSIG has it. An isolated attempt is a process of its own below its worker. What is killed is frozen
for ever; what exits is frozen too, because the operating system takes whatever still ran in it.

A unit that is over is started anew after a while, under another identity, perhaps as another kind. What it
knows of tasks is read at each start, so that a deploy is: change what is known, and stop the unit.
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tests.simulation.ear import SimulatedEar
from tests.simulation.insiders import Application
from tests.simulation.loop import PROCESS, Process
from tests.simulation.workload import TASKS, Script
from unstuck.engine import concluding
from unstuck.engine.child import ChildOrder, work
from unstuck.engine.children import Child
from unstuck.engine.context import Context, current_context
from unstuck.engine.env import STRIDE, Env
from unstuck.engine.handler import Kind
from unstuck.engine.page import Page
from unstuck.engine.run import Run, died
from unstuck.engine.solo import Solo
from unstuck.engine.supervisor import Supervisor
from unstuck.engine.worker import slots_of
from unstuck.model.errors import StoreError
from unstuck.model.verdict import Verdict
from unstuck.rules.settings import Settings

if TYPE_CHECKING:
    from tests.simulation.world import World

SUPERVISED = 0.5
"""How likely a unit is a supervisor with children."""


class Body:
    """A simulated child process, as its supervisor lays hands on it."""

    def __init__(self, crew: Crew, process: Process, pid: int):
        self.pid = pid
        self._crew = crew
        self._process = process

    def kill(self) -> None:
        self._crew.kill(self._process)

    def release(self) -> None:
        """Nothing leads to it."""


class Place:
    """A keeper and an application in one: what a process finds when it has been started."""

    def __init__(self, crew: Crew, process: Process, tasks: Sequence[str]):
        world = crew.world
        self.store, self.engine = world.ground.store, world.ground.engine
        self.handlers = {task: Script(task, world) for task in tasks}
        self.settle_inside = Application(world, process, self.handlers).settle_inside
        self._crew, self._process = crew, process
        self.keeper = self

    def lane(self, name: str) -> Any:
        return self._crew.world.lane(self._process, name)

    def ear(self) -> SimulatedEar:
        return self._crew.open_ear(self._process)


class Crew:
    """Starts, stops, kills and holds the processes of one world."""

    def __init__(self, world: World):
        self.world = world
        self.loop = world.loop
        self.known: dict[str, tuple[str, ...]] = {}
        self.ears: dict[Process, SimulatedEar] = {}
        self._units: dict[str, Process] = {}
        self._lives: dict[str, int] = {}
        self._extras = 0
        self._bosses: dict[Process, Supervisor] = {}
        self._pids = 1000
        self._told: dict[Process, Callable[[dict[str, Any]], None]] = {}

    # Who is there

    def units(self) -> list[Process]:
        """The living main process of each unit, in the order of their first start."""
        return [process for process in self._units.values() if not process.is_dead]

    def living(self) -> list[Process]:
        """All living processes, each unit's main one before its children."""
        return [each for unit in self.units() for each in unit.family() if not each.is_dead]

    def tasks_of(self, name: str) -> tuple[str, ...]:
        """What the unit of this name knows at its next start."""
        return self.known.get(name, TASKS)

    # Beginning

    def deploy(self, dice: random.Random) -> None:
        """Another version of the application comes to a unit: it knows other tasks, and starts anew."""
        units = self.units()
        if units:
            process = dice.choice(units)
            name, gone = process.name.rpartition(".")[0], dice.sample(TASKS, dice.choice([0, 1, 1, 2]))
            self.known[name] = tuple(task for task in TASKS if task not in gone)
            self.world.tell(name, f"is deployed without {', '.join(gone) or 'any change'}")
            self.stop(process, 1)

    def start_extra(self, seconds: float, end: str) -> None:
        """Somebody starts one unit more, by mistake, and ends it again."""
        self._extras += 1
        name = f"extra {self._extras}"
        self.start(name)
        process = self._units.get(name)
        if process is None:
            return
        if end == "kill":
            self.loop.after(seconds, self.kill, process)
        else:
            self.loop.after(seconds, self.stop, process, 1)

    def heal(self) -> None:
        """The storm is over: who is stopped goes on, extras go, and the first unit knows all tasks again."""
        self.go_on(self.living(), self.loop.now, False)
        for process in self.units():
            if process.name.startswith("extra"):
                self.kill(process)
        lasting = [name for name in self._units if not name.startswith("extra")]
        for first in lasting[:1]:  # a short storm may be over before anybody has started
            if self.known.pop(first, TASKS) != TASKS and not self._units[first].is_dead:
                self.stop(self._units[first], 1)

    def start(self, name: str) -> None:
        """Start the unit of this name, which is not running."""
        world, seed = self.world, self.world.scenario.seed
        if world.is_over:
            return
        life = self._lives[name] = self._lives.get(name, 0) + 1
        process = self._units[name] = Process(f"{name}.{life}")
        dice = random.Random(f"kind of {process} in {seed}")
        children = dice.choice([1, 1, 1, 2]) if dice.random() < SUPERVISED else 0
        world.tell(process.name, f"starts as {f'a supervisor of {children}' if children else 'solo'}")
        origin, speed = world.weather.drift(process.name)
        loop, begin = self.loop, self.loop.now
        process.clock = lambda: origin + (loop.now - begin) * speed
        if children:
            self.loop.spawn(process, lambda: self._supervise(process, name, children))
        else:
            self.loop.spawn(process, lambda: self._work_alone(process, name))

    def _env(self, process: Process) -> Env:
        draw = self.world.ids(process.name)

        def named() -> UUID:
            drawn = draw()
            self.world.names[drawn] = process.name
            return drawn

        dice = random.Random(f"dice of {process} in {self.world.scenario.seed}")
        calendar = lambda: self.world.now_us() / 1_000_000  # noqa: E731
        threads = self.world.threads
        # In most worlds no queue is long enough for a claim to end before it.
        stride = random.Random(f"stride in {self.world.scenario.seed}").choice([2, 7, STRIDE, STRIDE])
        return Env(process.root().clock, calendar, named, dice, threads.start, threads.rest, stride)

    async def _work_alone(self, process: Process, name: str) -> None:
        place = Place(self, process, self.tasks_of(name))
        solo = Solo(
            place.store,
            place.lane,
            place.handlers,
            self.world.settings,
            self._env(process),
            settle_inside=place.settle_inside,
            open_ear=place.ear,
            is_one_file=place.engine == "sqlite",
            isolate=lambda run: self._isolate(process, run),
        )
        process.signals[signal.SIGTERM] = lambda: solo.stop(min(2, process.asked))
        left: object = "an error"
        try:
            left = (await solo.run()).name
        except StoreError as error:
            left = error
        self._leave(process, {}, str(left))

    async def _supervise(self, process: Process, name: str, children: int) -> None:
        world = self.world
        settings = world.settings_of(children)

        def spawn(
            ordinal: int, worker_id: UUID, supervisor_id: UUID, settings: Settings, now: float
        ) -> Child:
            return self._spawn(process, name, ordinal, worker_id, supervisor_id, settings, now)

        boss = Supervisor(
            "simulated",
            Place(self, process, ()),
            settings,
            self._env(process),
            spawner=spawn,  # type: ignore[arg-type]
        )
        self._bosses[process] = boss
        await boss.run()
        self._leave(process, {}, "its supervisor is over")

    def _spawn(
        self,
        boss: Process,
        name: str,
        ordinal: int,
        worker_id: UUID,
        supervisor_id: UUID,
        settings: Settings,
        now: float,
    ) -> Child:
        self._pids += 1
        process = Process(f"{boss}/{boss.made + 1}", boss)
        page = Page.private(slots_of(settings))
        child = Child(ordinal, worker_id, page, Body(self, process, self._pids), now)
        order = ChildOrder(
            application="simulated",
            path=[],
            worker_id=worker_id,
            supervisor_id=supervisor_id,
            settings=settings,
            slots=slots_of(settings),
            page_descriptor=-1,
            parent_pid=0,
            log_level=0,
        )
        self.world.names[worker_id] = process.name
        self.world.tell(process.name, "is started")
        self._told[process] = child.has_ended
        process.signals[signal.SIGTERM] = lambda: page.drain(1)
        delay = self.world.weather.start_delay()
        self.loop.spawn(process, lambda: self._work_as_child(process, name, order, page, delay))
        return child

    async def _work_as_child(
        self, process: Process, name: str, order: ChildOrder, page: Page, delay: float
    ) -> None:
        await asyncio.sleep(delay)  # the interpreter starts and imports the application
        place = Place(self, process, self.tasks_of(name))
        env = self._env(process)
        left = await work(order, place, page, env, lambda run: self._isolate(process, run))  # type: ignore[arg-type]
        self._leave(process, {"exit_code": left.value}, left.name)

    async def _isolate(self, owner: Process, run: Run) -> Verdict:
        """A process of its own for one attempt; what it says of itself, or what its death says."""
        process = Process(f"{owner}*{owner.made + 1}", owner, owner)
        heard = self.loop.create_future()

        def tell(verdict: Verdict | None) -> None:
            if not heard.done():
                heard.set_result(verdict)

        async def live() -> None:
            verdict = await self._attempt(run)
            self._leave(process, verdict, "it has said how its attempt ended")

        self._told[process] = tell  # type: ignore[assignment]
        self.loop.spawn(process, live)
        try:
            verdict: Verdict | None = await heard
        finally:
            self._told.pop(process, None)
            if not self.world.is_over:
                self.kill(process)
        if not isinstance(verdict, Verdict):
            return died(run, run.context.worker_id, {"signal": "SIGKILL"})
        return verdict

    async def _attempt(self, run: Run) -> Verdict:
        context = Context(run.job, run.context.worker_id, lambda context: None)
        current_context.set(context)
        ids = (run.verdict_id, run.context.worker_id)
        try:
            handler, arguments = run.handler, run.handler.decode(run.job.args)
            if handler.kind is Kind.PLAIN:
                result = await self.world.threads.call(lambda: handler.function(**arguments))
            else:
                result = await handler.function(**arguments)
        except Exception as error:
            return concluding.of_error(run.job, run.handler, *ids, error, 0.5)
        except SystemExit as error:
            return concluding.of_error(run.job, run.handler, *ids, error, 0.5)
        return concluding.of_return(run.job, run.handler, *ids, result)

    def open_ear(self, process: Process) -> SimulatedEar:
        """Something through which this process hears hints."""
        ear = self.ears[process] = SimulatedEar(self.loop)
        return ear

    # Ending

    def _leave(self, process: Process, exit: Any, how: str) -> None:
        """The process ends by itself as soon as what it does now is done."""
        if not self.world.is_over:
            self.loop.after(0.0, self._left, process, exit, how)

    def _left(self, process: Process, exit: Any, how: str) -> None:
        if not process.is_dead:
            self.world.tell(process.name, f"exits: {how}")
            self._end(process, exit)

    def kill(self, process: Process, how: str = "SIGKILL") -> None:
        """A signal that nobody survives; whoever it was the parent of goes too."""
        if not process.is_dead and not self.world.is_over:
            self.world.tell(process.name, f"is killed by {how}")
            self._end(process, {"signal": how})

    def _end(self, process: Process, exit: Any) -> None:
        for each in process.family():
            if not each.is_dead:
                self.loop.kill(each)
                self.world.server.forget(each)
                self.ears.pop(each, None)
                if each is not process:
                    self.world.tell(each.name, "dies with its parent")
        told, parent = self._told.pop(process, None), process.parent
        if parent is not None:
            parent.children.remove(process)
            if told is not None and not parent.is_dead:
                self.loop.after(0.002, self.loop.post, parent, told, exit)
            return
        name = process.name.rpartition(".")[0]
        is_extra = name.startswith("extra")
        if self._units.get(name) is process and not self.world.is_over and not is_extra:
            self.loop.after(self.world.weather.restart_delay(), self.start, name)

    def stop(self, process: Process, level: int) -> None:
        """SIGTERM, once or twice; it is heard when the process next runs."""
        self.world.tell(process.name, f"is asked to leave ({level})")

        def deliver() -> None:
            process.asked += 1
            for each in process.family():
                self.world.auditor.troubles.asked_to_leave(each)
            act = process.signals.get(signal.SIGTERM)
            if act is None:
                self.loop.after(0.0, self.kill, process, "SIGTERM")
            else:
                act()

        for _ in range(level):
            self.loop.post(process, deliver)

    def watch(self) -> None:
        """Tell the auditor of supervisors that look at nobody, now and every second from now."""
        if self.world.is_over:
            return
        for process, boss in self._bosses.items():
            if not process.is_dead and not process.is_held:
                self.world.auditor.watched(process, process.clock() - boss.page.tick)
        self.loop.after(1.0, self.watch)

    # Standing still

    def hold(self, processes: Sequence[Process], seconds: float, what: str, *, is_suspended: bool) -> None:
        """Stop these processes for so long; with their host, if `is_suspended`."""
        world, loop = self.world, self.loop
        held = [process for process in processes if not process.is_held]
        for process in held:
            world.tell(process.name, f"{what} for {seconds:.2f} s")
            world.auditor.troubles.touched(process, seconds)
            if world.server.is_inside(process):
                world.tell("store", f"may be locked by {process} meanwhile")
                world.auditor.troubles.locked(seconds)
            (loop.suspend if is_suspended else loop.pause)(process)
        loop.after(seconds, self.go_on, held, loop.now, is_suspended)

    def go_on(self, processes: Sequence[Process], since: float, is_suspended: bool) -> None:
        """What was stopped runs again."""
        for process in processes:
            if process.is_held and not process.is_dead:
                self.world.tell(process.name, "goes on")
                self.world.auditor.troubles.touched(process)
                process.resumed_at = self.loop.now
                self.loop.resume(process, self.loop.now - since if is_suspended else 0.0)

    def crash(self) -> None:
        """The handler that runs now takes its process along."""
        self.loop.after(0.0, self.kill, PROCESS.get(), "SIGSEGV")

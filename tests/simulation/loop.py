"""An event loop of our own: virtual time, no selector, and the seed picks who runs next.

All simulated processes share one loop. To whom a callback belongs is told by its context: a process
runs inside a context that carries `PROCESS`, and asyncio copies contexts wherever it makes tasks, timers
and done-callbacks. So the loop can do to a process what an operating system does: *kill* it, and nothing
of it is ever resumed, cancelled or collected before the world ends (cancelling would run `finally`,
SIGKILL does not); *pause* it, and its timers fire late; *suspend* its host, and its timers do not even
count down.

Within a process callbacks run first in, first out, as asyncio promises; between processes the dice
decide before each single callback. Time moves only when nobody can run, and then to the next timer.
What cannot be repeated from a seed is refused: executors, sockets, subprocesses, and threads but for those of
the world itself (`threads`).
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from heapq import heapify, heappop, heappush
from typing import Any

PROCESS: ContextVar[Process] = ContextVar("simulated_process")


class Call(list[Any]):
    """A callback to come: when it is due, its number, the callback (None where it was taken back), its arguments, its
    context (None outside all processes) and whose it is. asyncio knows it as a handle; it stands among the
    timers as it is, and is made in one step, because nothing else is made as often."""

    __slots__ = ()

    def cancel(self) -> None:
        self[2], self[3] = None, ()

    def cancelled(self) -> bool:
        return self[2] is None

    def when(self) -> float:
        due: float = self[0]
        return due


class Process:
    """What an operating system knows of a process, and all that it would still do.

    `worker` is the process that the store knows it by: itself, or the parent of an isolated attempt.
    """

    def __init__(self, name: str, parent: Process | None = None, worker: Process | None = None):
        self.name = name
        self.parent = parent
        self.worker = worker or self
        self.children: list[Process] = []
        self.made = 0
        if parent is not None:
            parent.children.append(self)
            parent.made += 1
        self.context: Context | None = None
        self.clock: Callable[[], float] = float
        self.signals: dict[int, Callable[..., Any]] = {}
        self.asked = 0
        self.is_dead = False
        self.died_at = self.resumed_at = 0.0
        self.is_held = False
        self.asleep = 0.0
        self.ready: deque[Call] = deque()
        self.is_queued = False
        self.stopped_timers: list[Call] = []
        self.remains: list[Any] = []

    def __repr__(self) -> str:
        return self.name

    def family(self) -> list[Process]:
        """This process and all below it, parents first."""
        return [self, *(each for child in self.children for each in child.family())]

    def root(self) -> Process:
        """The first process of its host."""
        return self if self.parent is None else self.parent.root()


class SimulatedLoop(asyncio.AbstractEventLoop):
    """Runs callbacks of all processes in the order that the seed picks."""

    def __init__(self, dice: random.Random):
        self.now = 0.0
        self.errors: list[str] = []
        self._random = dice.random
        self._timers: list[Call] = []
        self._made = 0
        self._queue: list[Process] = []
        self._outside = Process("outside")
        self._processes: list[Process] = []
        # Asked by each future; a type that is called is no method, and so costs no frame.
        self.get_debug: Callable[[], bool] = bool  # type: ignore[method-assign]
        self.is_thread: Callable[[], bool] = bool
        """Whether what runs now is one of the world's threads."""

    # What asyncio asks of a loop

    def time(self) -> float:
        process = PROCESS.get(None)
        return self.now if process is None else self.now - process.asleep

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: str | None = None, context: Context | None = None) -> Any:
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        process = PROCESS.get(None) if context is None else context.get(PROCESS)
        (process or self._outside).remains.append(task)
        return task

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Context | None = None) -> Any:
        if context is None:
            process, context = PROCESS.get(self._outside), copy_context()
        else:
            process = context.get(PROCESS, self._outside)
        call = Call((0.0, 0, callback, args, context, process))
        process.ready.append(call)
        if not process.is_queued and not process.is_held:
            process.is_queued = True
            self._queue.append(process)
        return call

    def call_later(
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Any:
        if context is None:
            process, context = PROCESS.get(self._outside), copy_context()
        else:
            process = context.get(PROCESS, self._outside)
        self._made = made = self._made + 1
        call = Call((self.now + delay if delay > 0.0 else self.now, made, callback, args, context, process))
        heappush(self._timers, call)
        return call

    def call_at(
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Any:
        return self.call_later(when - self.time(), callback, *args, context=context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.errors.append(f"{context.get('message')}: {context.get('exception')!r}")

    def add_signal_handler(self, sig: int, callback: Callable[..., Any], *args: Any) -> None:
        PROCESS.get().signals[sig] = lambda: callback(*args)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        raise NotImplementedError("a simulated process has no threads of its own: see `threads`")

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Context | None = None) -> Any:
        if not self.is_thread():
            raise NotImplementedError("a simulated process has no threads of its own: see `threads`")
        return self.call_soon(callback, *args, context=context)

    # What the world asks of it

    def after(self, delay: float, callback: Callable[..., Any], *args: Any) -> Call:
        """Call outside all processes: wires, servers and the weather go on whoever dies."""
        self._made = made = self._made + 1
        call = Call((self.now + delay, made, callback, args, None, self._outside))
        heappush(self._timers, call)
        return call

    def spawn(self, process: Process, work: Callable[[], Any]) -> asyncio.Task[Any]:
        """Begin a process whose main coroutine is `work()`."""
        context = process.context = Context()
        context.run(PROCESS.set, process)
        self._processes.append(process)
        return context.run(lambda: self.create_task(work(), name=process.name, context=context))

    def post(self, process: Process, callback: Callable[..., Any], *args: Any) -> None:
        """Have a process do this when it next runs, as a signal does."""
        if not process.is_dead:
            self.call_soon(callback, *args, context=process.context)

    def kill(self, process: Process) -> None:
        """Nothing of this process happens any more; nothing of it is collected either."""
        process.is_dead = process.is_held = True
        process.died_at = self.now
        self._unqueue(process)

    def pause(self, process: Process) -> None:
        """Stop a process (SIGSTOP): its timers run out meanwhile and fire when it goes on."""
        process.is_held = True
        self._unqueue(process)

    def suspend(self, process: Process) -> None:
        """Stop a process with its host: its monotonic clock stands still, so timers keep what is left."""
        self.pause(process)
        mine = [call for call in self._timers if call[5] is process]
        self._timers[:] = [call for call in self._timers if call[5] is not process]
        heapify(self._timers)
        for call in mine:
            call[0] -= self.now
        process.stopped_timers += mine

    def resume(self, process: Process, slept: float = 0.0) -> None:
        """Let it go on; `slept` is how long its host was suspended."""
        if process.is_dead:
            return
        process.is_held = False
        process.asleep += slept
        for call in process.stopped_timers:
            call[0] += self.now
            self._made = call[1] = self._made + 1
            heappush(self._timers, call)
        process.stopped_timers = []
        if process.ready and not process.is_queued:
            process.is_queued = True
            self._queue.append(process)

    def run_until(self, is_over: Callable[[], bool], end: float) -> None:
        """Run until `is_over()`, asked whenever time is about to move, or the virtual moment `end`."""
        asyncio._set_running_loop(self)
        queue, random = self._queue, self._random
        try:
            while True:
                if not queue and (is_over() or not self._advance(end)):
                    return
                place = int(random() * len(queue)) if len(queue) > 1 else 0
                process = queue[place]
                ready = process.ready
                _, _, callback, args, context, _ = ready.popleft()
                if not ready:
                    process.is_queued = False
                    del queue[place]
                if callback is not None:
                    try:
                        context.run(callback, *args)
                    except BaseException as error:
                        self._failed(callback, error)
        finally:
            asyncio._set_running_loop(None)

    def wind_down(self) -> None:
        """The world is over: cancel everything that is left, the dead too, and let it end in peace."""
        asyncio._set_running_loop(None)
        for process in [*self._processes, self._outside]:
            process.is_dead = False
            self.resume(process)
        for _ in range(50):
            left = [task for each in self._processes for task in each.remains if not task.done()]
            if not left:
                return
            for task in left:
                task.cancel()
            self.run_until(lambda: False, self.now + 5.0)
        raise RuntimeError(f"these tasks do not end: {left}")

    def _advance(self, end: float) -> bool:
        """Move to the next moment at which somebody may run; False where there is none before `end`."""
        timers, queue = self._timers, self._queue
        while timers:
            call = timers[0]
            due, _, callback, args, context, process = call
            if callback is None:
                heappop(timers)
                continue
            if due > end:
                self.now = max(self.now, end)
                return False
            heappop(timers)
            if due > self.now:
                self.now = due
            # Nobody else can run at this moment, so there is nothing to draw: what it wakes waits its turn.
            if context is None:
                callback(*args)
            elif process.is_held:
                process.ready.append(call)
            else:
                try:
                    context.run(callback, *args)
                except BaseException as error:
                    self._failed(callback, error)
            if queue:
                return True
        return False

    def _failed(self, callback: Callable[..., Any], error: BaseException) -> None:
        if isinstance(error, SystemExit | KeyboardInterrupt):
            raise error
        self.errors.append(f"{callback} raised {error!r}")

    def _unqueue(self, process: Process) -> None:
        if process.is_queued:
            process.is_queued = False
            self._queue.remove(process)

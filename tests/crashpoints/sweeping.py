"""The sweep: fail the n-th request of an operation, for every n and every fault, and see what is left.

First the operation runs untouched, and after each of its requests the committed rows are read. That is
all the knowledge the sweep needs: a fault at request i must leave exactly the rows of before it (lost,
error) or of after it (done, unanswered, killed), nothing in between, because a connection that breaks
takes along what it had not committed. So atomicity is compared byte by byte, not asserted case by case.

Then whoever lives asks again, as the product or its user would: with the same ids and the same verdict
ids. The answer must be the first one if nothing had happened, and the one for a repetition if all had;
and the rows must end as if nothing had ever gone wrong. Whoever was killed asks nothing any more. Last, a
fresh process finds the store and runs to quiet, and everything is audited.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.crashpoints.acting import ANYTHING, Acting, Scenario
from tests.crashpoints.auditing import FINAL_STATES, Wanted, audit
from tests.crashpoints.recovering import Fresh
from tests.crashpoints.stages import Content, Stage
from tests.crashpoints.striking import Dead, Fault, Fuse
from unstuck.model.errors import Misuse, OutcomeUnknown, StoreError
from unstuck.model.states import State
from unstuck.storage.plan import Plan

ALL_FAULTS = (
    Fault.LOST,
    Fault.REFUSED,
    Fault.CONFLICT,
    Fault.STRANGE,
    Fault.UNANSWERED,
    Fault.KILLED,
)
ERRORS_IN_TURN = (Fault.REFUSED, Fault.CONFLICT, Fault.STRANGE)
"""Every day a point meets one of these, the next point the next one: `make crashpoints` strikes with all of them."""

REPETITIONS = 3


@dataclass
class Untouched:
    """How the operation goes where nothing goes wrong: its requests, and the rows after each of them."""

    requests: list[str]
    contents: list[Content]
    first: Any
    again: Any

    @property
    def before(self) -> Content:
        """The rows before the first request."""
        return self.contents[0]

    @property
    def after(self) -> Content:
        """The rows when all was done."""
        return self.contents[-1]


@dataclass
class Tally:
    """What was run."""

    points: int = 0
    cases: int = 0
    recoveries: int = 0
    blocks: set[str] = field(default_factory=set)


@dataclass
class Sweep:
    """One scenario on one stage in one colour."""

    scenario: Scenario
    stage: Stage
    colour: str
    house: asyncio.Runner
    is_whole: bool = False
    """Whether all faults strike every point, and a fresh process comes after each, not only to each new state."""
    tally: Tally = field(default_factory=Tally)
    _recovered: set[str] = field(default_factory=set)
    _recovered_from_kills: set[str] = field(default_factory=set)
    """A real process may leave more behind than its rows: its logs, its locks."""

    def run(self, faults: tuple[Fault, ...] = ALL_FAULTS) -> Untouched:
        """Strike at every point."""
        untouched = self.untouched(is_recovered=True)
        self.tally.points += len(untouched.requests)
        self.tally.blocks.update(untouched.requests)
        for at in range(1, len(untouched.requests) + 1):
            errors = [fault for fault in faults if fault in ERRORS_IN_TURN]
            for fault in faults:
                if not self.is_whole and fault in errors and fault is not errors[at % len(errors)]:
                    continue
                self.tally.cases += 1
                with told(self._where(at, fault, untouched)):
                    self.strike(at, fault, untouched)
        return untouched

    def set_up(self) -> Any:
        """An empty stage, then prepared."""
        self.stage.fresh()
        if self.scenario.is_bare:
            self.stage.bare()
        return self.scenario.prepare(self.stage)

    def untouched(self, is_recovered: bool = False) -> Untouched:
        """Run it without a fault, twice, reading the rows after each request of the first time."""
        prepared = self.set_up()
        contents = [self._content()]
        fuse = Fuse(after=lambda: contents.append(self._content()))
        acting = Acting(self.stage, fuse, self.house, self.colour)
        try:
            first = self._answer(acting, prepared)
            requests = list(fuse.requests)
            fuse.after = None
            assert len(contents) == len(requests) + 1
            again = self._answer(acting, prepared) if self.scenario.repeats else ANYTHING
            scenario = self.scenario
            for what, found, wanted in (("first", first, scenario.first), ("again", again, scenario.again)):
                assert wanted is ANYTHING or found == wanted, f"answered {what}: {found}, not {wanted}"
            if scenario.repeats:
                assert self._content() == contents[-1], "asked again, it did something again"
            if is_recovered:
                self._recover(prepared)
        finally:
            acting.close()
        assert requests, "it asks nothing of the store"
        return Untouched(requests, contents, first, again)

    def once(self) -> tuple[list[str], set[str]]:
        """What it sends where nothing goes wrong, and which plans it runs, also those with which others go on."""
        prepared = self.set_up()
        fuse = Fuse()
        acting = Acting(self.stage, fuse, self.house, self.colour)
        try:
            with mentioned() as plans:
                self._answer(acting, prepared)
            return fuse.requests, plans
        finally:
            acting.close()

    def strike(self, at: int, fault: Fault, untouched: Untouched) -> None:
        """One point, one fault."""
        prepared = self.set_up()
        fuse = Fuse(at, fault)
        acting = Acting(self.stage, fuse, self.house, self.colour)
        try:
            error, answer = self._struck(acting, prepared)
            assert fuse.is_burnt, f"the point was not reached: {error!r} after {fuse.requests}"
            i = at if fault.is_applied else at - 1
            if fault.is_deadly or (error is not None and not self.scenario.goes_on):
                self._compare(untouched.contents[i])
            if fault is Fault.UNANSWERED and untouched.contents[at] != untouched.contents[at - 1]:
                is_told = error is None or isinstance(error, (OutcomeUnknown, *self.scenario.raises))
                assert is_told, f"it was done, and {error!r} says that it was not"
            if not fault.is_deadly and self.scenario.repeats:
                if error is not None or self.scenario.comes_again:
                    answer = self._asked_again(acting, prepared)
                self._judge_answer(answer, i, untouched, survived=error is None)
                self._compare(untouched.after)
            assert self.stage.is_at_rest(), "a transaction was left open, and whoever comes must wait for it"
            self._recover(prepared)
        finally:
            acting.close()

    def strike_repetition(self, at: int, untouched: Untouched) -> None:
        """The operation is disturbed at one request, and its repetition at each of its own."""
        for first in (Fault.LOST, Fault.UNANSWERED):
            again = at
            while True:
                again += 1
                fuse = Fuse(at, first, then=(again, Fault.UNANSWERED))
                self.tally.cases += 1
                with told(f"{self._where(at, first, untouched)}, then unanswered at its request {again}"):
                    if not self._strike_twice(fuse, untouched):
                        break

    def _strike_twice(self, fuse: Fuse, untouched: Untouched) -> bool:
        """False where the operation was done before the second fault could strike."""
        prepared = self.set_up()
        acting = Acting(self.stage, fuse, self.house, self.colour)
        try:
            error, answer = self._struck(acting, prepared)
            if error is not None:
                answer = self._asked_again(acting, prepared)
            assert answer in (untouched.first, untouched.again), f"it answers {answer}"
            self._compare(untouched.after)
            assert self.stage.is_at_rest(), "a transaction was left open"
            self._recover(prepared)
        finally:
            acting.close()
        return fuse.then is None

    def strike_recovery(self, at: int, fault: Fault, untouched: Untouched, first: int, step: int) -> None:
        """The process is killed at one request, and the fresh one struck at each `step`-th of its own."""
        second = first
        while True:
            self.tally.cases += 1
            words = (
                f"{self._where(at, Fault.KILLED, untouched)}, then {fault.value} at {second} of the recovery"
            )
            with told(words):
                prepared = self.set_up()
                acting = Acting(self.stage, Fuse(at, Fault.KILLED), self.house, self.colour)
                try:
                    self._struck(acting, prepared)
                    self._compare(untouched.contents[at])
                    if not self._recover_twice(prepared, second, fault):
                        return
                finally:
                    acting.close()
            second += step

    def _recover_twice(self, prepared: Any, second: int, fault: Fault) -> bool:
        """False where the first recovery was over before it could be struck."""
        self.scenario.heal(self.stage)
        fuse = Fuse(second, fault)
        struck = Fresh(self.stage, fuse, number=2)  # of another identity than the one that comes after it
        try:
            is_quiet = struck.run()
            for wire in fuse.wires if fault.is_deadly else ():
                wire.cut()
            if not fuse.is_burnt:
                return False
            assert is_quiet or fault.is_deadly, f"stuck: {struck.errors}"
        finally:
            struck.close()
        assert self.stage.is_at_rest(), "a transaction was left open"
        self._recover(prepared)
        return True

    def kill_for_real(self, at: int, untouched: Untouched) -> None:
        """A process of its own does it, and kills itself at one request."""
        self.tally.cases += 1
        with told(self._where(at, Fault.SIGKILLED, untouched)):
            prepared = self.set_up()
            child = os.fork()
            if child == 0:
                self._be_killed(at, prepared)
            _, status = os.waitpid(child, 0)
            assert os.WIFSIGNALED(status), f"it was not killed: status {status}"
            assert os.WTERMSIG(status) == signal.SIGKILL
            assert self.stage.is_at_rest(), "its transaction is still open"
            self._compare(untouched.contents[at])
            self._recover(prepared, self._recovered_from_kills)

    def _be_killed(self, at: int, prepared: Any) -> None:
        """What the child does; it never comes back."""
        try:
            with asyncio.Runner() as house:
                acting = Acting(self.stage, Fuse(at, Fault.SIGKILLED), house, self.colour)
                acting.do(self.scenario, prepared)
        finally:
            os._exit(1)

    def _where(self, at: int, fault: Fault, untouched: Untouched) -> str:
        return (
            f"{self.scenario.name} on {self.stage.engine}, {self.colour}: {fault.value} at request {at}"
            f" of {len(untouched.requests)} ({untouched.requests[at - 1]})"
        )

    def _struck(self, acting: Acting, prepared: Any) -> tuple[BaseException | None, Any]:
        try:
            return None, self._answer(acting, prepared)
        except Dead:
            for wire in acting.fuse.wires:
                wire.cut()
            return None, ANYTHING
        except Exception as error:
            is_foreseen = isinstance(error, (StoreError, *self.scenario.raises))
            assert is_foreseen or acting.fuse.fault is Fault.STRANGE, repr(error)
            return error, ANYTHING

    def _asked_again(self, acting: Acting, prepared: Any) -> Any:
        for _ in range(REPETITIONS):
            try:
                return self._answer(acting, prepared)
            except StoreError as error:
                last = error
        raise AssertionError(f"asked again, it still fails: {last!r}")

    def _answer(self, acting: Acting, prepared: Any) -> Any:
        """What it answers; to be refused for a mistake of the caller's is an answer, too."""
        try:
            return self.scenario.tells(acting.do(self.scenario, prepared))
        except Misuse as wrong:
            return type(wrong)

    def _judge_answer(self, answer: Any, i: int, untouched: Untouched, survived: bool) -> None:
        reached, first, again = untouched.contents[i], untouched.first, untouched.again
        if survived:
            # It began again by itself, wherever it began: both answers are true of what it found.
            assert answer in (first, again), f"it went on, and answers {answer}"
        elif reached == untouched.before:
            assert answer == first, f"nothing had happened, and it answers {answer}"
        elif reached == untouched.after:
            assert answer == again, f"all had happened, and it answers {answer}"

    def _compare(self, wanted: Content) -> None:
        found = self._content()
        assert found == wanted, _difference(wanted, found)

    def _content(self) -> Content:
        found = self.stage.content()
        for table in found.values():
            for row in table:
                for column in self.scenario.masks:
                    row.pop(column, None)
        return found

    def _recover(self, prepared: Any, known: set[str] | None = None) -> None:
        scenario, stage = self.scenario, self.stage
        known = self._recovered if known is None else known
        if scenario.is_bare:
            return
        found = json.dumps(stage.content(), sort_keys=True, default=str)
        if found in known and not self.is_whole:
            return  # a process that comes new knows nothing but the store, and this store was recovered
        known.add(found)
        self.tally.recoveries += 1
        scenario.heal(stage)
        wanted = {}
        for row in stage.content()["jobs"]:
            if row["state"] in FINAL_STATES:
                wanted[row["id"]] = Wanted(State(row["state"]), 0)
            elif row["cancel_asked_at"] is not None:
                wanted[row["id"]] = Wanted(State.CANCELLED, 0)
        for job_id, state in scenario.ends(prepared).items():
            wanted.setdefault(str(job_id), Wanted(state, 0))
        fresh = Fresh(stage)
        try:
            is_quiet = fresh.run()
            audit(stage, fresh, wanted, is_quiet)
        finally:
            fresh.close()


@contextmanager
def mentioned() -> Iterator[set[str]]:
    """The names of all plans that are begun meanwhile."""
    names: set[str] = set()
    begin = Plan.__init__

    def noting(plan: Any, name: str, mode: Any, start: Any, catches: Any = ()) -> None:
        def noted() -> Any:
            names.add(name)
            return start()

        begin(plan, name, mode, noted, catches)

    Plan.__init__ = noting  # type: ignore[assignment, method-assign]
    try:
        yield names
    finally:
        Plan.__init__ = begin  # type: ignore[method-assign]


@contextmanager
def told(where: str) -> Iterator[None]:
    """Say where it happened, whatever goes wrong."""
    try:
        yield
    except BaseException as error:
        error.add_note(where)
        raise


def _difference(wanted: Content, found: Content) -> str:
    lines = ["the rows are not what they should be:"]
    for table in wanted.keys() | found.keys():
        lines += [
            f"  {table} lacks {row}" for row in wanted.get(table, []) if row not in found.get(table, [])
        ]
        lines += [f"  {table} has {row}" for row in found.get(table, []) if row not in wanted.get(table, [])]
    return "\n".join(lines)

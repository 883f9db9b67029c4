"""Nobody has to remember the sweep: what has no scenario, or is never struck, fails here.

Three lists are taken from the product itself: the promises of the `Store`, the operations that are made of
them (commands, changes of many, rounds of loops), and the blocks of SQL. The first two must be named by a
scenario, and a scenario may name nothing that does not exist; of the third, all must have been sent by
some scenario that ran untouched.
"""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import unstuck.engine
from tests.crashpoints.scenarios import SCENARIOS
from tests.crashpoints.stages import Stage
from tests.crashpoints.sweeping import Sweep
from unstuck.app import commands, health
from unstuck.cli import changing
from unstuck.engine import burying
from unstuck.storage.protocol import Store
from unstuck.storage.sql.library import asked_for

NAMED = {name for scenario in SCENARIOS for name in scenario.covers}
BESIDES = {
    "then",
    "settle_rest",
    "run_inside",
    "settling",
    "migrator.apply",
    "migrator.keep_events",
    "migrator.status",
}
"""What scenarios name beyond the three lists: ways of one operation, and what is no promise of a store."""


def promises() -> set[str]:
    """Every method of the protocol."""
    return {
        name
        for name, found in vars(Store).items()
        if inspect.isfunction(found) and name[0] != "_" and name != "__init__"
    }


def operations() -> set[str]:
    """What is made of promises: commands, changes of many jobs, rounds, and what follows a child's death."""
    found = {f"commands.{name}" for name, each in _own(commands) if inspect.isgeneratorfunction(each)}
    found |= {f"health.{name}" for name, each in _own(health) if inspect.isgeneratorfunction(each)}
    found |= {f"changing.{name}" for name, each in _own(changing) if inspect.isfunction(each)}
    found |= {f"burying.{name}" for name, each in _own(burying) if inspect.iscoroutinefunction(each)}
    return found | set(_rounds())


def _rounds() -> Iterator[str]:
    for module in pkgutil.iter_modules(unstuck.engine.__path__):
        for name, each in _own(importlib.import_module(f"unstuck.engine.{module.name}")):
            if inspect.isclass(each) and inspect.iscoroutinefunction(vars(each).get("round")):
                yield f"{name}.round"


def _own(module: object) -> list[tuple[str, object]]:
    own = getattr(module, "__name__", "")
    return [
        (name, each)
        for name, each in vars(module).items()
        if name[0] != "_" and getattr(each, "__module__", None) == own
    ]


@pytest.mark.parametrize("promise", sorted(promises()))
def test_a_promise_has_a_scenario(promise: str) -> None:
    assert promise in NAMED, f"an operation without a crash-point scenario: {promise}"


@pytest.mark.parametrize("operation", sorted(operations()))
def test_an_operation_has_a_scenario(operation: str) -> None:
    assert operation in NAMED, f"an operation without a crash-point scenario: {operation}"


def test_no_scenario_names_what_does_not_exist() -> None:
    assert promises() and operations()
    assert NAMED - promises() - operations() == BESIDES & NAMED == BESIDES


@pytest.fixture(scope="module")
def untouched(house: asyncio.Runner, sqlite_stage: Stage) -> tuple[set[str], set[str]]:
    """The blocks and the plans of all scenarios, each run once without a fault."""
    blocks: set[str] = set()
    plans: set[str] = set()
    for scenario in SCENARIOS:
        if "sqlite" in scenario.engines:
            sent, ran = Sweep(scenario, sqlite_stage, scenario.colours[0], house).once()
            blocks.update(sent)
            plans.update(ran)
    return blocks, plans


def test_every_statement_is_struck(untouched: tuple[set[str], set[str]]) -> None:
    """What a scenario sends is struck by the sweep; so it is enough that one sends it."""
    assert asked_for() - untouched[0] == set(), "no scenario makes the product send these"


def test_every_plan_is_run(untouched: tuple[set[str], set[str]]) -> None:
    """Also those that no promise names, because one goes on with another."""
    assert (_plans_in("storage/sql") | _plans_in("storage/migrating.py")) - untouched[1] == set()


def _plans_in(place: str) -> set[str]:
    """The names of plans as the source spells them: `@planned` functions, and `Plan("name", …)`."""
    root = Path(inspect.getfile(unstuck.engine)).parents[1] / place
    found: set[str] = set()
    for path in [root] if root.is_file() else sorted(root.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                for mark in node.decorator_list:
                    if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "planned":
                        found.add(node.name)
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "Plan":
                first = node.args[0]
                if isinstance(first, ast.Constant):
                    found.add(str(first.value))
    return found

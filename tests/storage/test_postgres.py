"""What the PostgreSQL keeper owes beyond the promises: connections that heal, deadlines that are kept, plans that hold."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from tests.servers.postgres import PostgresServer
from unstuck.model.errors import (
    BadSetting,
    OutcomeUnknown,
    SchemaMismatch,
    StoreUnavailable,
)
from unstuck.model.ids import uuid7
from unstuck.model.job import NewJob
from unstuck.storage.migrating import read_rungs
from unstuck.storage.opening import open_keeper
from unstuck.storage.plan import Mode, Plan, Requests, Script
from unstuck.storage.postgres.address import Address
from unstuck.storage.postgres.keeper import PostgresKeeper
from unstuck.storage.protocol import Filter


@pytest.fixture
def private_keeper(private_postgres: PostgresServer) -> Iterator[PostgresKeeper]:
    keeper = PostgresKeeper(private_postgres.create_database())
    keeper.migrator.apply()
    yield keeper
    keeper.close()


def a_job() -> NewJob:
    return NewJob(uuid7(), "q", "t", "{}")


def add(keeper: PostgresKeeper) -> None:
    keeper.run(keeper.store.insert([a_job()]))


def count(keeper: PostgresKeeper) -> int:
    return sum(keeper.run(keeper.store.tally(Filter())).values())


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def scripted(mode: Mode, *texts: str) -> Plan[Any]:
    def start() -> Requests[Any]:
        found: Any = None
        for text in texts:
            found = yield Script("by hand", text)
        return found

    return Plan("by_hand", mode, start)


# Where the server is


def test_what_is_shown_has_no_password() -> None:
    for url in (
        "postgresql://me:secret@db.example:5433/shop",
        "postgresql://me@db.example:5433/shop?password=secret",
    ):
        keeper = open_keeper(url)
        assert keeper.url_shown == "postgresql://me@db.example:5433/shop"
        assert "secret" not in repr(Address.of(url, "x"))


def test_a_url_that_libpq_cannot_read_is_refused() -> None:
    with pytest.raises(BadSetting, match="cannot be read"):
        open_keeper("postgresql://host:port:port/?=x")


def test_a_server_that_is_not_there_is_said_without_the_password() -> None:
    with pytest.raises(StoreUnavailable, match="cannot be reached") as raised:
        count(PostgresKeeper("postgresql://me:secret@127.0.0.1:1/shop"))
    assert "secret" not in str(raised.value)


def test_a_wrong_password_is_said(postgres_url: str) -> None:
    before, _, after = postgres_url.rpartition("@")
    with pytest.raises(StoreUnavailable, match="password"):
        count(PostgresKeeper(f"{before}x@{after}"))


def test_a_database_that_is_not_there_is_said(postgres_url: str) -> None:
    with pytest.raises(StoreUnavailable, match="does not exist"):
        count(PostgresKeeper(f"{postgres_url}_missing"))


# Schema


def test_a_store_that_is_not_migrated_is_said_and_not_touched(postgres_url: str) -> None:
    keeper = PostgresKeeper(postgres_url)
    with pytest.raises(SchemaMismatch, match="no tables of unstuck yet: run `unstuck migrate apply`"):
        count(keeper)
    with pytest.raises(SchemaMismatch, match="unstuck migrate apply"):
        asyncio.run(keeper.arun(keeper.store.meta()))
    assert keeper.migrator.status().state == "empty"


def test_the_schema_is_applied_once_by_many_at_once(postgres_url: str) -> None:
    applied: list[int] = []

    def one() -> None:
        applied.append(len(PostgresKeeper(postgres_url).migrator.apply()))

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(applied) == len(read_rungs("postgres"))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (
            "INSERT INTO unstuck_migrations VALUES (99, 'later', 'x', statement_timestamp())",
            "upgrade unstuck",
        ),
        ("DROP TABLE unstuck_notices", "unstuck_notices is missing"),
        ("DELETE FROM unstuck_migrations", "no record"),
    ],
)
def test_a_schema_that_does_not_fit_is_said(keeper: PostgresKeeper, damage: str, said: str) -> None:
    keeper.run(scripted(Mode.WRITE, damage))
    other = PostgresKeeper(keeper.address.conninfo)
    with pytest.raises(SchemaMismatch, match=said):
        count(other)
    with pytest.raises(SchemaMismatch):
        other.migrator.apply()


def test_the_printed_script_makes_what_apply_makes(postgres_url: str) -> None:
    keeper = PostgresKeeper(postgres_url)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(keeper.migrator.sql().encode())
    assert keeper.migrator.status().is_current
    assert count(keeper) == 0
    keeper.close()


def test_a_prefix_keeps_two_stores_apart(postgres_url: str) -> None:
    one, two = PostgresKeeper(postgres_url, "one_"), PostgresKeeper(postgres_url, "two_")
    for keeper in (one, two):
        keeper.migrator.apply()
    add(one)
    assert (count(one), count(two)) == (1, 0)
    one.close()
    two.close()


# Connections that heal


def test_connections_that_the_server_closed_are_not_used_again(keeper: PostgresKeeper) -> None:
    add(keeper)
    with psycopg.connect(keeper.address.conninfo, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'unstuck' AND pid <> pg_backend_pid() AND datname = current_database()"
        )
        ended = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        deadline = time.monotonic() + 10
        while other.execute(ended).fetchone() != (1,) and time.monotonic() < deadline:
            time.sleep(0.01)
    add(keeper)
    assert count(keeper) == 2


def test_a_restart_of_the_server_is_survived_in_every_colour(
    private_postgres: PostgresServer, private_keeper: PostgresKeeper
) -> None:
    keeper = private_keeper

    async def story() -> None:
        lane = keeper.lane("one")
        await lane.run(keeper.store.insert([a_job()]), 10)
        await keeper.arun(keeper.store.insert([a_job()]))
        await asyncio.to_thread(add, keeper)
        private_postgres.stop()
        with pytest.raises(StoreUnavailable):
            await lane.run(keeper.store.insert([a_job()]), 10)
        with pytest.raises(StoreUnavailable):
            await keeper.arun(keeper.store.insert([a_job()]))
        with pytest.raises(StoreUnavailable):
            await asyncio.to_thread(add, keeper)
        private_postgres.start()
        await lane.run(keeper.store.insert([a_job()]), 10)
        await keeper.arun(keeper.store.insert([a_job()]))
        await asyncio.to_thread(add, keeper)
        await lane.aclose()
        await keeper.aclose()

    asyncio.run(story())
    assert count(keeper) == 6


@pytest.mark.timing
def test_a_lane_keeps_its_deadline_while_the_server_stands_still(
    private_postgres: PostgresServer, private_keeper: PostgresKeeper
) -> None:
    keeper = private_keeper

    async def story() -> None:
        lane = keeper.lane("one")
        fresh = keeper.lane("not connected yet")
        await lane.run(keeper.store.meta(), 10)
        private_postgres.pause()
        try:
            for plan, said in (
                (keeper.store.insert([a_job()]), OutcomeUnknown),
                (keeper.store.meta(), StoreUnavailable),
            ):
                began = time.monotonic()
                with pytest.raises(said):
                    await lane.run(plan, 0.5)
                assert time.monotonic() - began < 2
            began = time.monotonic()
            with pytest.raises(StoreUnavailable):
                await fresh.run(keeper.store.meta(), 0.5)
            assert time.monotonic() - began < 2
        finally:
            private_postgres.resume()
        await lane.run(keeper.store.meta(), 10)
        await fresh.run(keeper.store.meta(), 10)
        await lane.aclose()
        await fresh.aclose()

    asyncio.run(story())


@pytest.mark.timing
def test_a_cancelled_wait_lets_the_lane_go_on(keeper: PostgresKeeper) -> None:
    async def story() -> None:
        lane = keeper.lane("one")
        waiting = asyncio.ensure_future(lane.run(scripted(Mode.READ, "SELECT pg_sleep(30)")))
        await asyncio.sleep(0.3)
        began = time.monotonic()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await lane.run(keeper.store.meta(), 10)
        assert time.monotonic() - began < 5
        await lane.aclose()

    asyncio.run(story())


@pytest.mark.timing
def test_a_cancelled_wait_waits_for_no_server_that_stands_still(
    private_postgres: PostgresServer, private_keeper: PostgresKeeper
) -> None:
    """The driver by itself asks the server to cancel, and waits for that."""
    keeper = private_keeper

    async def story() -> None:
        lane = keeper.lane("one")
        for plan in (
            keeper.store.meta(),
            keeper.store.insert([a_job()]),
            keeper.store.insert([a_job(), a_job()]),
        ):
            await lane.run(keeper.store.meta(), 10)
            private_postgres.pause()
            try:
                waiting = asyncio.ensure_future(lane.run(plan, 30))
                await asyncio.sleep(0.1)
                began = time.monotonic()
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                assert time.monotonic() - began < 2
            finally:
                private_postgres.resume()
        await lane.run(keeper.store.meta(), 10)
        await lane.aclose()

    asyncio.run(story())


def test_whoever_asks_last_in_a_lane_is_served_last(keeper: PostgresKeeper) -> None:
    async def story() -> list[int]:
        lane, served = keeper.lane("one"), list[int]()

        async def ask(number: int) -> None:
            await lane.run(keeper.store.meta(), 10)
            served.append(number)
            if number < 3:
                # The turn was given to the next a moment ago: who asks just now must not be before him.
                asking.append(asyncio.ensure_future(ask(number + 3)))

        asking = [asyncio.ensure_future(ask(number)) for number in range(3)]
        for each in asking:
            await each
        await lane.aclose()
        return served

    assert asyncio.run(story()) == [0, 1, 2, 3, 4, 5]


def test_whoever_waits_for_his_turn_in_a_lane_has_a_deadline_too(keeper: PostgresKeeper) -> None:
    async def story() -> None:
        lane = keeper.lane("one")
        first = asyncio.ensure_future(lane.run(scripted(Mode.READ, "SELECT pg_sleep(1)"), 10))
        await asyncio.sleep(0.1)
        with pytest.raises(StoreUnavailable, match="its turn"):
            await lane.run(keeper.store.meta(), 0.2)
        await first
        await lane.aclose()

    asyncio.run(story())


def test_an_answer_to_a_commit_that_does_not_come_leaves_the_outcome_unknown(
    private_postgres: PostgresServer, private_keeper: PostgresKeeper
) -> None:
    keeper = private_keeper
    count(keeper)

    def wait_for_standby(name: str) -> None:
        with psycopg.connect(private_postgres.url(), autocommit=True) as admin:
            admin.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'".encode())
            admin.execute("SELECT pg_reload_conf()")

    wait_for_standby("nobody")

    async def story() -> None:
        lane = keeper.lane("one")
        await lane.run(keeper.store.meta(), 10)
        for jobs in ([a_job()], [a_job(), a_job()]):
            with pytest.raises(OutcomeUnknown):
                await lane.run(keeper.store.insert(jobs), 1.0)
        await lane.aclose()

    asyncio.run(story())
    assert count(keeper) == 0
    wait_for_standby("")
    deadline = time.monotonic() + 20
    while count(keeper) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert count(keeper) == 3, "what the server had committed happened, whoever heard of it"


def test_a_read_only_database_is_said(keeper: PostgresKeeper, postgres_server: PostgresServer) -> None:
    name = keeper.address.shown.rpartition("/")[2]
    with psycopg.connect(postgres_server.url(), autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())
    other = PostgresKeeper(keeper.address.conninfo)
    assert count(other) == 0
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="is read-only"):
            add(other)
    assert other.run(other.store.check())["wrong"] == ["the server is read-only"]
    other.close()


def test_a_fork_goes_on_with_connections_of_its_own(keeper: PostgresKeeper) -> None:
    add(keeper)
    keeper.hint(["q"])
    child = os.fork()
    if child == 0:
        try:
            add(keeper)
            keeper.hint(["q"])
            keeper.close()
            os._exit(0 if count(keeper) == 2 else 1)
        except BaseException:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    add(keeper)
    assert count(keeper) == 3

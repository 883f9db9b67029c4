"""Ids: version 7, rising, unique across threads; a text is the same job for ever."""

from __future__ import annotations

import threading
from uuid import RFC_4122, UUID

from unstuck.app.identity import Ids, id_of


def test_rises_while_the_clock_stands_still_and_when_it_goes_back() -> None:
    times = iter([10**18] * 5000 + [10**18 - 10**9] * 5000)
    ids = Ids(clock=lambda: next(times))
    made = [ids() for _ in range(10_000)]
    assert made == sorted(set(made))
    assert {one.version for one in made} == {7}
    assert {one.variant for one in made} == {RFC_4122}


def test_the_moment_stands_in_front() -> None:
    made = Ids(clock=lambda: 1_700_000_000_123_000_000, dice=bytes)()
    assert made.int >> 80 == 1_700_000_000_123
    assert str(made) == "018bcfe5-687b-7000-8000-000000000000"


def test_threads_never_make_the_same() -> None:
    ids, made = Ids(), list[UUID]()

    def make() -> None:
        made.extend(ids() for _ in range(2000))

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 8000


def test_a_text_is_the_same_job_for_ever() -> None:
    # Fixed by its value: a change of the namespace would make every text name another job.
    assert str(id_of("order-7")) == "7816bc20-2a0b-5a8b-8e46-03a3a8cf09ea"
    assert id_of("order-7") == id_of("order-7") != id_of("order-8")


def test_the_text_of_a_uuid_is_that_uuid() -> None:
    one = Ids()()
    assert id_of(one) is one
    assert id_of(str(one)) == one

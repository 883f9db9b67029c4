"""Jobs that are kept as columns are, one by one, what they would be by themselves."""

from __future__ import annotations

import pytest

from unstuck.app.identity import Ids
from unstuck.model.alike import Alike, is_rising
from unstuck.model.job import NewJob
from unstuck.storage.plan import Columns


def test_each_of_them_is_the_job_it_stands_for() -> None:
    ids = Ids().many(5)
    args = [f'{{"n":{n}}}' for n in range(5)]
    like = NewJob(ids[0], "q", "t", "{}", priority=3, labels={"a": "b"}, timeout_us=7)
    alike = Alike(like, ids, args)
    whole = [
        NewJob(job_id, "q", "t", text, priority=3, labels={"a": "b"}, timeout_us=7)
        for job_id, text in zip(ids, args, strict=True)
    ]
    assert list(alike) == whole
    assert [alike[at] for at in range(len(alike))] == whole
    assert alike[1:4] == whole[1:4]
    assert alike[-1] == whole[-1]


def test_ids_drawn_together_rise_and_so_do_those_drawn_after_them() -> None:
    ids = Ids(clock=lambda: 1_700_000_000_000_000_000)
    drawn = [ids(), *ids.many(20_000), ids(), *ids.many(3)]
    assert is_rising(drawn)
    assert {(each.version, each.variant) for each in drawn} == {(7, "specified in RFC 4122")}
    assert len({each.int & (1 << 62) - 1 for each in drawn}) == len(drawn)


def test_ids_drawn_together_are_those_that_would_be_drawn_one_by_one() -> None:
    for ns in (1_700_000_000_000_000_000, 1_700_000_000_000_999_900, 1_700_000_000_123_456_789):
        together, alone = (Ids(clock=lambda ns=ns: ns) for _ in range(2))
        many = [each.int >> 62 for each in together.many(10_000)]
        assert many == [alone().int >> 62 for _ in range(10_000)]


def test_ids_that_are_made_later_are_those_that_would_be_made_now() -> None:
    for ns in (1_700_000_000_000_000_000, 1_700_000_000_000_999_900):
        now, later = (Ids(clock=lambda ns=ns: ns) for _ in range(2))
        ids, same = later.later(5000), [each.int >> 62 for each in now.many(5000)]
        assert len(ids) == 5000
        assert [each.int >> 62 for each in ids[:1000]] == same[:1000]
        assert ids[1700].int >> 62 == same[1700]
        assert later() > ids[-1]
        whole = list(ids)
        assert [each.int >> 62 for each in whole] == same
        assert is_rising(whole)
        for part in (
            slice(1000, 2000),
            slice(4000, 9000),
            slice(-3, None),
            slice(None, None, -7),
            slice(9, 2),
        ):
            assert list(ids[part]) == whole[part]
            assert [each.int >> 62 for each in Ids(clock=lambda ns=ns: ns).later(5000)[part]] == same[part]
        with pytest.raises(IndexError):
            ids[5000]
        assert ids[-5000] == whole[0]
    assert list(Ids(lambda: 0, dice=bytes).later(3)) == Ids(lambda: 0, dice=bytes).many(3)


def test_columns_are_rows_to_whoever_asks_for_rows() -> None:
    columns = Columns({"job_id": [1, 2, 3], "args": ["a", "b", "c"]})
    rows = [{"job_id": 1, "args": "a"}, {"job_id": 2, "args": "b"}, {"job_id": 3, "args": "c"}]
    assert list(columns) == rows
    assert [columns[at] for at in range(3)] == rows
    assert list(columns[1:]) == rows[1:]
    assert len(columns) == 3

"""`unstuck events`: turned on, printed, turned off."""

from __future__ import annotations

import json

from tests.cli.conftest import Bench, Shell


def test_the_log_is_turned_on_printed_and_turned_off(shell: Shell, bench: Bench, url: str) -> None:
    (old,) = bench.enqueue()
    assert shell("--url", url, "events", "export").sentence.startswith("the store keeps no event log")
    assert "is now on" in shell("--url", url, "events", "on").out
    assert "was on" in shell("--url", url, "events", "on").out
    (job_id,) = bench.enqueue()
    bench.claim()
    lines = [json.loads(line) for line in shell("--url", url, "events", "export").out.splitlines()]
    told = {(line["record"], line["number"]): line["name"] for line in lines}
    assert (told[str(old), 1], told[str(old), 2], told[str(job_id), 1]) == ("found", "claimed", "inserted")
    only = shell("--url", url, "events", "export", "--record", str(old)).out.splitlines()
    assert [json.loads(line)["record"] for line in only] == [str(old)] * 2
    assert "is now off" in shell("--url", url, "events", "off").out
    bench.enqueue()
    assert len(shell("--url", url, "events", "export").out.splitlines()) == len(lines)


def test_a_store_that_is_not_there_has_no_log(shell: Shell, url: str) -> None:
    assert "there is no store" in shell("--url", url, "events", "on").sentence

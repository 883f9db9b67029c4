"""What readers saw of a job: an ending that somebody was shown stays one.

Reads are not instants. One comes after another only where it was asked after the other had been answered, by the
host's own clock; of reads that overlap nothing is said. Every ending has its generation, which only somebody
who revives the job moves on; within one generation, who asked after an ending was shown sees the same ending.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from tests.checker.book import Book
from tests.checker.lifecycle import FINAL

Line = Mapping[str, Any]


def check_readers(book: Book, calls: Iterable[Line]) -> None:
    """Judge the calls of kind `read`; their answers are {state, generation}, or None where there was no job."""
    asked: dict[str, Line] = {}
    reads: dict[str, list[tuple[Line, Line]]] = defaultdict(list)
    for line in calls:
        if line["kind"] == "read" and line["what"] == "invoke":
            asked[str(line["call"])] = line
        elif line["kind"] == "read" and line["what"] == "ok" and line["answer"] is not None:
            before = asked[str(line["call"])]
            reads[str(before["id"])].append((before, line))
    for job, pairs in reads.items():
        _read_of_one(book, job, pairs)


def _read_of_one(book: Book, job: str, pairs: list[tuple[Line, Line]]) -> None:
    answers = sorted((answer for _, answer in pairs), key=lambda answer: answer["at"])
    shown: Line | None = None
    place = 0
    for ask, answer in sorted(pairs, key=lambda pair: pair[0]["at"]):
        while place < len(answers) and answers[place]["at"] <= ask["at"]:
            shown = _later(shown, answers[place])
            place += 1
        if shown is not None:
            seen, was = answer["answer"], shown["answer"]
            is_kept = seen["generation"] > was["generation"] or (
                seen["generation"] == was["generation"]
                and (was["state"] not in FINAL or seen["state"] == was["state"])
            )
            sentence = f"was shown as {was['state']}, and later as {seen['state']}"
            book.look("H25", is_kept, job, sentence, shown, ask, answer)


def _later(shown: Line | None, answer: Line) -> Line:
    """Of two answers, the one that later ones must not go behind."""
    if shown is None:
        return answer
    was, seen = shown["answer"], answer["answer"]
    if seen["generation"] != was["generation"]:
        return answer if seen["generation"] > was["generation"] else shown
    return shown if was["state"] in FINAL else answer

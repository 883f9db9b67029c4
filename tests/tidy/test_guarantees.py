"""The page of guarantees names its proofs, and this sees to it that they exist: a promise without a test is
a wish, and a test that was renamed away would leave the promise bare without anybody noticing."""

from __future__ import annotations

import ast
import re

import pytest

from tests.tidy.reading import ROOT

PAGE = ROOT / "docs" / "guarantees.md"
PROOF = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
SECTIONS = PAGE.read_text().split("\n## ")[1:]


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.partition("\n")[0])
def test_every_promise_names_tests_that_exist(section: str) -> None:
    proofs = PROOF.findall(section)
    assert proofs, "no test is named"
    for file, name in proofs:
        path = ROOT / file
        assert path.exists(), f"{file} does not exist"
        found = {
            node.name
            for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        assert name in found, f"{file} has no {name}"


def test_what_looks_like_a_proof_is_one() -> None:
    """A name in another spelling would not be looked up."""
    named = re.findall(r"`(tests/[^`]*::[^`]*)`", PAGE.read_text())
    assert len(named) == len(PROOF.findall(PAGE.read_text()))

"""`ledgerwire risk duplicates` prints what was found, and its exit code says whether the promise holds."""

from __future__ import annotations

from dataclasses import replace

import pytest
from click.testing import CliRunner

from core.marketplace import duplicate_cases
from webapp.cli import main


def test_it_prints_every_kind_of_copy_and_the_false_reviews() -> None:
    result = CliRunner().invoke(main, ["risk", "duplicates", "--suppliers", "1", "--copies", "5"])
    assert result.exit_code in (0, 1)
    for kind in duplicate_cases.EXACT | duplicate_cases.NEAR | duplicate_cases.BEYOND:
        assert kind in result.output
    assert "Exact copies, stopped: 100.0%" in result.output
    assert "per 1,000" in result.output


def test_a_broken_promise_is_an_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    found = duplicate_cases.measure(suppliers=1, copies=1)
    spoiled = replace(found, found=dict.fromkeys(found.found, 0))
    monkeypatch.setattr(duplicate_cases, "measure", lambda **_: spoiled)
    result = CliRunner().invoke(main, ["risk", "duplicates"])
    assert (result.exit_code, "does not hold" in result.output) == (1, True)

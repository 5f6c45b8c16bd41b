"""`ledgerwire reconcile`: measured without anything running, corrections printed from the installation's books."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from config import runtime
from core.reconciliation import generator, measuring
from tests.builders import worker
from tests.core.reconciliation.scene import open_scene, utr
from tests.webapp.configured import settings_for
from webapp.cli import main


def test_measure_prints_a_row_a_kind_the_promise_and_how_it_grows() -> None:
    arguments = ["reconcile", "measure", "--seed", "5", "--lines", "400", "--invoices", "2000"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines[2 : 2 + len(generator.KINDS)]] == [
        *generator.KINDS
    ]
    assert [line.split(" lines")[0] for line in lines if line.startswith("Time for")] == [
        "Time for 100", "Time for 200", "Time for 400",
    ]  # fmt: skip
    assert lines[-1] == "The promise holds."


def test_a_promise_that_is_broken_is_an_exit_status(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "LEAST_COVERAGE", 0.99)
    done = CliRunner().invoke(main, ["reconcile", "measure", "--lines", "100", "--invoices", "400", "--no-growth"])
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (1, "The promise does not hold.")


def test_cases_prints_what_people_decided_otherwise(
    file_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_for(file_database_url, tmp_path)
    monkeypatch.setattr(runtime, "connect", lambda: settings)
    with worker(file_database_url) as context:
        scene = open_scene(context)
        line = scene.line(118_000, scene.bill(118_000)["number"], utr=utr())
        scene.engine()
        scene.decide("undo", line)
        seller = str(scene.shop.seller.id)
    done = CliRunner().invoke(main, ["reconcile", "cases"])
    assert done.exit_code == 0, done.output
    (case,) = map(json.loads, done.stdout.splitlines())
    assert (case["kind"], case["line"]["amount"], case["proposed"]["features"]["amount"]) == (
        "undone",
        118_000,
        "exact",
    )
    assert seller not in done.stdout

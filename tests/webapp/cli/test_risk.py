"""`ledgerwire risk`: measured without anything running, explained from the installation's books."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from config import runtime
from core.database import Database
from core.ids import new_id
from tests.core.risk.trade import pair
from tests.webapp.configured import settings_for
from webapp.cli import main


def test_measure_prints_a_row_a_code_and_what_they_come_to() -> None:
    done = CliRunner().invoke(main, ["risk", "measure", "--seed", "5", "--invoices", "100"])
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:4]] == ["| D1", "| D2"]
    assert sum(line.startswith("| ") for line in lines) == 22
    assert "100 invoices, " in done.stdout
    assert "ms (median)" in done.stdout
    assert "Judging" not in done.stdout


def test_too_few_invoices_say_nothing() -> None:
    done = CliRunner().invoke(main, ["risk", "measure", "--invoices", "3"])
    assert done.exit_code == 2
    assert "--invoices" in done.output


def test_explain_says_each_reason_and_stores_nothing(
    file_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_for(file_database_url, tmp_path)
    monkeypatch.setattr(runtime, "connect", lambda: settings)
    books = Database(settings.sqlalchemy_url, pool_size=1)
    mine = pair(books)
    try:
        done = CliRunner().invoke(main, ["risk", "explain", str(mine.invoice)])
        with books.connect() as connection:
            kept = connection.exec_driver_sql("SELECT count(*) FROM risk_assessments").scalar()
    finally:
        books.dispose()
    assert done.exit_code == 0, done.output
    assert "point C2 +15: This buyer has repaid no invoice of this seller." in done.output
    assert "15 if this pair had three repaid invoices" in done.output
    assert "Data quality: " in done.output
    assert kept == 0
    unknown = CliRunner().invoke(main, ["risk", "explain", str(new_id())])
    assert (unknown.exit_code, "does not exist" in unknown.output) == (1, True)

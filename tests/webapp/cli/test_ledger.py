"""`ledgerwire ledger`: a clean report, a changed bit found, heads by day, balances as of an instant."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import text

from core import ledger
from core.database import Database
from core.ids import new_id
from core.ledger import Hold, Leg, Purpose, Transfer, anchors, chain, health
from tests.builders import MASTER_KEYS, SECRET_KEY
from webapp.cli import main

NOON = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
ISSUANCE = ledger.platform(Purpose.ISSUANCE, "INR")


@pytest.fixture(scope="module")
def database(file_database_url: str) -> Iterator[Database]:
    made = Database("postgresql+psycopg://" + file_database_url.split("://", 1)[1], pool_size=2)
    yield made
    made.dispose()


@pytest.fixture(autouse=True)
def running(
    file_database_url: str, database: Database, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "DATABASE_URL": file_database_url,
        "REDIS_URL": redis_url,
        "DATA_DIR": str(tmp_path / "data"),
        "SECRET_KEY": SECRET_KEY,
        "MASTER_KEYS": MASTER_KEYS,
    }.items():
        monkeypatch.setenv(name, value)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["ledger", *arguments])


def issue(database: Database, amount: int, at: datetime = NOON, effective: datetime | None = None) -> ledger.Account:
    """A wallet of a new person with money in it."""
    wallet = ledger.wallet(new_id())
    legs = (Leg(ISSUANCE, -amount), Leg(wallet, amount))
    work = Transfer(kind="test.issued", key=str(new_id()), legs=legs, description="Issued", effective_at=effective)
    with database.connect() as connection:
        ledger.post(connection, [work], at)
        chain.seal_all(connection)
    return wallet


def test_a_sound_ledger_is_said_to_be_one_and_the_look_is_noted(database: Database) -> None:
    issue(database, 5_000)
    done = run("verify")
    assert done.exit_code == 0, done.output
    assert "Everything agrees." in done.output
    assert "hash chain" not in done.stdout
    with database.connect() as connection:
        noted = health.last_verification(connection)
    assert noted is not None
    assert (noted["sound"], noted["problems"]) == (True, 0)
    assert noted["entries"] >= 2


def test_one_flipped_bit_is_found_and_ends_in_code_1(database: Database) -> None:
    wallet = issue(database, 5_000)

    def flip() -> None:
        with database.connect() as connection:
            connection.execute(text("ALTER TABLE ledger_entries DISABLE TRIGGER USER"))
            connection.execute(
                text("UPDATE ledger_entries SET amount = amount # 1 WHERE account_id = :id"), {"id": wallet.id}
            )
            connection.execute(text("ALTER TABLE ledger_entries ENABLE TRIGGER USER"))

    with database.connect() as connection:
        # The sum of the row itself would refuse it: who changes bits on a disk asks no constraint.
        connection.execute(text("ALTER TABLE ledger_entries DROP CONSTRAINT ledger_entries_adds_up"))
    flip()
    try:
        told = run("verify")
        assert told.exit_code == 1
        assert "does not fit entry" in told.output
        assert "things do not agree" in told.output
        said = json.loads(run("verify", "--json").stdout)
    finally:
        flip()
    assert said["sound"] is False
    assert {"L1", "L3", "L10"} <= {one["invariant"] for one in said["problems"]}
    assert run("verify").exit_code == 0


def test_a_chain_made_anew_does_not_fit_the_file_of_heads(database: Database, tmp_path: Path) -> None:
    issue(database, 700)
    path = tmp_path / "heads.jsonl"
    with database.connect() as connection:
        made = anchors.anchor(connection, path, NOON)
    assert made is not None
    assert run("verify", "--from-anchors", str(path)).exit_code == 0
    path.write_text(path.read_text().replace(made.hash.hex()[:8], "deadbeef"))
    told = run("verify", "--from-anchors", str(path))
    assert told.exit_code == 1
    assert f"anchor of {made.day}" in told.output
    assert f"{made.day}" in run("heads").output
    assert made.hash.hex() in run("heads").output


def test_an_account_is_read_now_and_as_of_then_by_either_time(database: Database) -> None:
    wallet = issue(database, 5_000, at=NOON, effective=NOON - timedelta(days=2))
    hold = Hold(key=str(new_id()), account=wallet, to=ISSUANCE, amount=700, description="Held")
    with database.connect() as connection:
        ledger.post(connection, [hold], NOON)
    assert "5000, 700 of it held" in run("account", wallet.owner).output
    yesterday = "2026-11-02T12:00:00"
    assert run("account", wallet.owner, "--at", yesterday).output.split() == ["wallet", "INR", "5000"]
    assert run("account", wallet.owner, "--at", yesterday, "--by", "recorded").output.split() == ["wallet", "INR", "0"]


def test_an_owner_without_accounts_is_said_to_have_none() -> None:
    done = run("account", "user:nobody")
    assert done.exit_code == 1
    assert "there is no account of user:nobody" in done.output


def test_clearing_a_demo_puts_the_heads_of_its_books_aside(database: Database, tmp_path: Path) -> None:
    heads = tmp_path / "data" / "ledger" / "heads.jsonl"
    heads.parent.mkdir(parents=True)
    heads.write_text("{}\n")
    cleared = CliRunner().invoke(main, ["clear", "--yes"])
    assert cleared.exit_code == 0, cleared.output
    assert not heads.exists()
    assert [path.read_text() for path in heads.parent.glob("heads-until-*.jsonl")] == ["{}\n"]
    with database.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM ledger_entries")).scalar_one() == 0

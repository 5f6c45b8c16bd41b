"""The chain: sealed behind the postings, anchored outside, and telling of every bit that was changed."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from core.ledger import Balance, anchors, chain, clearing
from core.ledger.verify import Report, verify
from tests.core.ledger.by_hand import furnish
from tests.core.ledger.desk import ISSUANCE, NOW, TABLES, Desk, at_once, move


def seal_all(desk: Desk, batch: int = 1000) -> int:
    with desk.database.connect() as connection:
        return chain.seal_all(connection, batch)


def verified(desk: Desk, path: Path | None = None) -> Report:
    with desk.database.connect() as connection:
        return verify(connection, anchors_path=path)


@pytest.fixture(scope="module")
def furnished(guarded: Desk) -> dict[str, Any]:
    made = furnish(guarded)
    seal_all(guarded)
    return made


@contextmanager
def tampered(desk: Desk, *statements: str) -> Iterator[Connection]:
    """Books that their owner changed with every guard switched off; they are as before afterwards."""
    with desk.database.engine.connect() as connection, connection.begin() as transaction:
        for table in TABLES:
            connection.exec_driver_sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        for name, table in (
            ("ledger_chain_account_id_sequence_fkey", "ledger_chain"),
            ("ledger_entries_transfer_id_fkey", "ledger_entries"),
        ):
            connection.exec_driver_sql(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        for statement in statements:
            connection.exec_driver_sql(statement.replace("%", "%%"))
        yield connection
        transaction.rollback()


def broken(connection: Connection, path: Path | None = None) -> set[str]:
    """Which invariants the verifier says are broken."""
    return {problem.invariant for problem in verify(connection, anchors_path=path).problems}


_MIDDLE = "(SELECT (max(position) + 1) / 2 FROM ledger_chain)"
_ENTRY = f"(SELECT entry_id FROM ledger_chain WHERE position = {_MIDDLE})"
_TRANSFER = f"(SELECT transfer_id FROM ledger_entries WHERE id = {_ENTRY})"
FLIPS = {
    "an amount": (
        "ALTER TABLE ledger_entries DROP CONSTRAINT ledger_entries_adds_up",
        f"UPDATE ledger_entries SET amount = amount # 1 WHERE id = {_ENTRY}",
    ),
    "an effective time": (
        f"UPDATE ledger_entries SET effective_at = effective_at + interval '1 microsecond' WHERE id = {_ENTRY}",
    ),
    "a recorded time": (f"UPDATE ledger_entries SET recorded_at = now() - interval '9 years' WHERE id = {_ENTRY}",),
    "words": (f"UPDATE ledger_transfers SET description = description || '.' WHERE id = {_TRANSFER}",),
    "a kind": (f"UPDATE ledger_transfers SET kind = 'test.other' WHERE id = {_TRANSFER}",),
    "an invoice": (f"UPDATE ledger_transfers SET invoice_id = uuid7() WHERE id = {_TRANSFER}",),
    "an owner": (
        (
            "UPDATE ledger_accounts SET owner = owner || 'x' "
            f"WHERE id = (SELECT account_id FROM ledger_entries WHERE id = {_ENTRY})"
        ),
    ),
    "a hash": (f"UPDATE ledger_chain SET hash = set_bit(hash, 0, 1 - get_bit(hash, 0)) WHERE position = {_MIDDLE}",),
    "a hash before": (
        (
            f"UPDATE ledger_chain SET prev_hash = set_bit(prev_hash, 255, 1 - get_bit(prev_hash, 255)) "
            f"WHERE position = {_MIDDLE}"
        ),
    ),
    "a link taken out": (f"DELETE FROM ledger_chain WHERE position = {_MIDDLE}",),
    "an entry taken out": (f"DELETE FROM ledger_entries WHERE id = {_ENTRY}",),
    "the last link taken out": (
        "DELETE FROM ledger_chain WHERE position = (SELECT max(position) FROM ledger_chain)",
        (
            "UPDATE ledger_chain_head SET (position, hash) = "
            "(SELECT position, hash FROM ledger_chain ORDER BY position DESC LIMIT 1)"
        ),
    ),
    "the head": ("UPDATE ledger_chain_head SET position = position - 1",),
    "no head": ("DELETE FROM ledger_chain_head",),
    "an anchor": ("UPDATE ledger_anchors SET hash = set_bit(hash, 7, 1 - get_bit(hash, 7))",),
    "an entry that never waited": ("DELETE FROM ledger_chain", "UPDATE ledger_chain_head SET position = 0"),
}


def finds_every_flip(desk: Desk, flips: dict[str, tuple[str, ...]]) -> None:
    """L10: whatever is changed, the verifier tells."""
    assert verified(desk).problems == []
    for name, statements in flips.items():
        with tampered(desk, *statements) as connection:
            assert "L10" in broken(connection), name


def finds_a_link_made_anew(desk: Desk) -> None:
    """L10: who changes an entry and makes its link fit has still every later link against them."""
    with tampered(
        desk, f"UPDATE ledger_transfers SET description = 'another story' WHERE id = {_TRANSFER}"
    ) as connection:
        for row in [row for row in chain.links(connection) if row.description == "another story"]:
            link = chain.digest(bytes(row.prev_hash), row)
            for statement in (
                "UPDATE ledger_chain SET hash = :link WHERE position = :position",
                "UPDATE ledger_chain SET prev_hash = :link WHERE position = :position + 1",
            ):
                connection.execute(text(statement), {"link": link, "position": row.link_position})
        assert "L10" in broken(connection)


def test_the_verifier_tells_of_a_link_made_anew(guarded: Desk, furnished: dict[str, Any]) -> None:
    finds_a_link_made_anew(guarded)


@pytest.mark.parametrize("flip", FLIPS)
def test_the_verifier_tells_of_a_change(guarded: Desk, furnished: dict[str, Any], flip: str) -> None:
    finds_every_flip(guarded, {flip: FLIPS[flip]})


OTHERS = {
    "L1": ("UPDATE ledger_entries SET transfer_id = uuid7() WHERE id = (SELECT max(id) FROM ledger_entries)",),
    "L2": ("UPDATE ledger_accounts SET balance = balance + 1 WHERE balance > 10 AND currency = 'USD'",),
    "L3": ("UPDATE ledger_accounts SET balance = balance + 1 WHERE balance > 10",),
    "L4": ("UPDATE ledger_accounts SET held = held + 1 WHERE balance > 10",),
    "L6": ("UPDATE ledger_holds SET open = NOT open",),
    "L7": ("DELETE FROM ledger_keys",),
    "L9": ("UPDATE ledger_accounts SET sequence = sequence + 1",),
    "L11": ("UPDATE ledger_holds SET currency = 'EUR'",),
    "L12": (
        (
            "UPDATE ledger_reversals SET original = (SELECT id FROM ledger_transfers "
            "WHERE id NOT IN (SELECT transfer_id FROM ledger_reversals) AND id NOT IN (SELECT original FROM "
            "ledger_reversals) LIMIT 1)"
        ),
    ),
    "L14": ("UPDATE ledger_accounts SET balance = -1 WHERE purpose = 'wallet'",),
}


@pytest.mark.parametrize("invariant", OTHERS)
def test_the_verifier_names_what_is_broken(guarded: Desk, furnished: dict[str, Any], invariant: str) -> None:
    with tampered(
        guarded,
        "ALTER TABLE ledger_accounts DROP CONSTRAINT ledger_accounts_spendable",
        "ALTER TABLE ledger_holds DROP CONSTRAINT ledger_holds_currency, DROP CONSTRAINT ledger_holds_to_currency",
        *OTHERS[invariant],
    ) as connection:
        assert invariant in broken(connection)


def test_a_chain_made_anew_over_changed_books_is_told_by_the_file_of_anchors(
    guarded: Desk, furnished: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "anchors.jsonl"
    known = guarded.rows("SELECT day, position, hash FROM ledger_anchors")
    path.write_text("".join(anchors.Anchor(**row).line() for row in known))
    with guarded.database.connect() as connection:
        anchors.anchor(connection, path, NOW)
    assert verified(guarded, path).problems == []
    with tampered(
        guarded,
        f"UPDATE ledger_transfers SET description = 'another story' WHERE id = {_TRANSFER}",
        "DELETE FROM ledger_chain",
        "DELETE FROM ledger_anchors",
        "INSERT INTO ledger_unsealed SELECT id, account_id, sequence FROM ledger_entries",
        "UPDATE ledger_chain_head SET position = 0, hash = decode(repeat('00', 32), 'hex')",
    ) as connection:
        chain.seal_all(connection)
        # The database alone has nothing to object to.
        assert broken(connection) == set()
        assert broken(connection, path) == {"L10"}


def test_two_workers_anchor_a_day_once_and_the_next_day_again(guarded: Desk, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "anchors.jsonl"
    day = NOW + timedelta(days=400)

    def anchor() -> anchors.Anchor | None:
        with guarded.database.connect() as connection:
            return anchors.anchor(connection, path, day)

    made = [one for one in at_once([anchor] * 8) if isinstance(one, anchors.Anchor)]
    assert len(made) == 1
    # A crash in the middle of a line: the next one stands by itself.
    with path.open("a") as file:
        file.write('{"day": "20')
    day += timedelta(days=1)
    made.append(anchor())  # type: ignore[arg-type]
    assert anchors.read(path) == made
    assert anchors.read(tmp_path / "none") == []
    path.write_text(path.read_text().replace(made[0].hash.hex(), "00" * 32))
    assert [
        problem.subject for problem in verified(guarded, path).problems if made[0].day.isoformat() in problem.subject
    ]


def test_chainers_at_once_seal_every_entry_once_in_the_order_of_each_account(guarded: Desk) -> None:
    wallets = [guarded.wallet() for _ in range(4)]
    done = threading.Event()

    def pay(start: int) -> int:
        for turn in range(10):
            guarded.do(*(move(ISSUANCE, wallets[(start + n) % 4], turn + 1) for n in range(3)))
        return 0

    def seal() -> int:
        sealed = 0
        while not done.is_set():
            with guarded.database.connect() as connection:
                sealed += chain.seal(connection, 7)
        return sealed

    def pay_all() -> int:
        try:
            return sum(one for one in at_once([lambda start=start: pay(start) for start in range(4)]) if one != 0)  # type: ignore[misc]
        finally:
            done.set()

    at_once([pay_all, seal, seal, seal])
    seal_all(guarded, 11)
    with guarded.database.connect() as connection:
        assert chain.waiting(connection) == 0
        journal = chain.journal(connection, limit=10_000)
    assert [row.position for row in journal] == list(range(1, len(journal) + 1))
    assert all(row.prev_hash == before.hash for before, row in itertools.pairwise(journal))
    assert verified(guarded).problems == []


def test_emptied_books_begin_anew(unguarded: Desk, guarded: Desk) -> None:
    for desk in (unguarded, guarded):
        desk.wallet(5)
        with desk.database.connect() as connection:
            clearing.empty(connection)
        wallet = desk.wallet(7)
        assert desk.balance(wallet) == Balance(7, 0)
    seal_all(guarded)
    report = verified(guarded)
    assert (report.accounts, report.entries, report.sealed, report.problems) == (2, 2, 2, [])
    # The guards are on again.
    with pytest.raises(Exception, match="append-only"), guarded.database.connect() as connection:
        connection.execute(text("TRUNCATE ledger_entries_1 CASCADE"))

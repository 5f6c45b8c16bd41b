"""SQL as a careful owner of the tables would write it, so that an attack can leave out one thing, or change it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from core import ledger
from core.ids import new_id
from core.ledger import Account, Posted, chain
from tests.core.ledger.desk import NOW, Desk, move, post_of, promise, void


@dataclass
class Hand:
    """One connection, and books with something of everything in them.

    a and b are wallets of 1,000 of which a holds 300 in `hold`; `usd` and `usd2` are in dollars; `paid` moved 10 from
    a to b; `posted` was posted in part and `voided` given back; `undone` was reversed by `undo`.
    """

    connection: Connection
    a: Account
    b: Account
    usd: Account
    usd2: Account
    hold: UUID
    posted: UUID
    voided: UUID
    paid: UUID
    undone: UUID
    undo: UUID
    touched: dict[Account, tuple[int, int]] = field(default_factory=dict)

    def run(self, statement: str, **values: Any) -> None:
        """One statement. Any attribute that is an id may stand in it by its name."""
        ids = {name: value for name, value in vars(self).items() if isinstance(value, UUID)}
        accounts = {name: value.id for name, value in vars(self).items() if isinstance(value, Account)}
        known = {"now": NOW + timedelta(minutes=1), "new": new_id(), **ids, **accounts, **values}
        wanted = text(statement)
        self.connection.execute(wanted, {name: known[name] for name in wanted.compile().params})

    def stands(self, account: Account) -> tuple[int, int]:
        """Balance and sequence as they are now."""
        query = text("SELECT balance, sequence FROM ledger_accounts WHERE id = :id")
        row = self.connection.execute(query, {"id": account.id}).one()
        return row.balance, row.sequence

    def transfer(self, *, keyed: bool = True) -> UUID:
        """The row of a transfer, and its key."""
        made = new_id()
        if keyed:
            self.run(
                "INSERT INTO ledger_keys (key, body_hash, outcome, subject_id, created_at) "
                "VALUES (:key, decode(repeat('ab', 32), 'hex'), 'applied', :id, :now)",
                key=str(made),
                id=made,
            )
        self.run(
            "INSERT INTO ledger_transfers (id, kind, key, description, effective_at, recorded_at) "
            "VALUES (:id, 'test.hand', :key, 'by hand', :now, :now)",
            id=made,
            key=str(made),
        )
        return made

    def entries(
        self,
        transfer: UUID,
        legs: Sequence[tuple[Account, int]],
        *,
        move_accounts: bool = True,
        table: str = "ledger_entries",
        **wrong: Any,
    ) -> None:
        """Accounts, then all entries in one statement; `wrong` replaces columns of the first entry."""
        values: dict[str, Any] = {}
        rows = []
        names = ""
        for place, (account, amount) in enumerate(legs):
            balance, sequence = self.touched.get(account) or self.stands(account)
            self.touched[account] = (balance + amount, sequence + 1)
            row = {
                "account_id": account.id,
                "sequence": sequence + 1,
                "transfer_id": transfer,
                "currency": account.currency,
                "amount": amount,
                "balance_before": balance,
                "balance_after": balance + amount,
                "effective_at": NOW + timedelta(minutes=1),
                "recorded_at": NOW + timedelta(minutes=1),
                **({"id": 10**12 + place} if "id" in wrong else {}),
                **(wrong if place == 0 else {}),
            }
            values |= {f"{name}_{place}": value for name, value in row.items()}
            rows.append("(" + ", ".join(f":{name}_{place}" for name in row) + ")")
            names = ", ".join(row)
        if move_accounts:
            for account in dict.fromkeys(account for account, _ in legs):
                balance, sequence = self.touched[account]
                self.account(account, balance, sequence)
        self.run(f"INSERT INTO {table} ({names}) VALUES {', '.join(rows)}", **values)

    def account(self, account: Account, balance: int, sequence: int) -> None:
        """Set what an account says."""
        self.run(
            "UPDATE ledger_accounts SET balance = :balance, sequence = :sequence, moved_at = :now WHERE id = :id",
            balance=balance,
            sequence=sequence,
            id=account.id,
        )

    def pay(self, *legs: tuple[Account, int], **more: Any) -> UUID:
        """A whole transfer, right unless told otherwise."""
        made = self.transfer()
        self.entries(made, legs, **more)
        return made


def furnish(desk: Desk) -> dict[str, Any]:
    """The books that a Hand stands before."""
    a, b, usd, usd2 = desk.wallet(1_000), desk.wallet(1_000), desk.wallet(1_000, "USD"), desk.wallet(1_000, "USD")
    holds = [promise(a, b, amount) for amount in (300, 50, 60)]
    desk.do(*holds)
    desk.do(post_of(holds[1], 20))
    desk.do(void(holds[2].id))
    (paid,) = desk.do(move(a, b, 10))
    (undone,) = desk.do(move(a, b, 5))
    with desk.database.connect() as connection:
        undo: Posted = ledger.reverse(connection, undone.id, key=str(new_id()), description="undone", now=NOW)
    with desk.database.connect() as connection:
        chain.seal_all(connection)
        connection.execute(
            text(
                "INSERT INTO ledger_anchors SELECT CAST(:now AS date), position, hash, :now FROM ledger_chain_head "
                "ON CONFLICT DO NOTHING"
            ),
            {"now": datetime(2026, 11, 1, tzinfo=NOW.tzinfo)},
        )
    # Waits for its seal.
    desk.do(move(b, a, 1))
    return {
        "a": a,
        "b": b,
        "usd": usd,
        "usd2": usd2,
        "hold": holds[0].id,
        "posted": holds[1].id,
        "voided": holds[2].id,
        "paid": paid.id,
        "undone": undone.id,
        "undo": undo.id,
    }

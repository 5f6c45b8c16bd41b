"""A counter over a ledger: each call is a transaction of its own, and any number may come at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import text

from core import ledger
from core.database import Database
from core.errors import PlatformError
from core.ids import new_id
from core.ledger import Account, Balance, Hold, HoldPart, Leg, Outcome, Posted, Purpose, Release, Transfer, Work
from core.ledger.checks import CHECKS

T = TypeVar("T")
NOW = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)
ISSUANCE = ledger.platform(Purpose.ISSUANCE, "INR")

TABLES = (
    "ledger_accounts", "ledger_keys", "ledger_transfers", "ledger_entries", "ledger_reversals", "ledger_holds",
    "ledger_resolutions", "ledger_unsealed", "ledger_chain", "ledger_chain_head", "ledger_anchors",
)  # fmt: skip

# Takes away what the database refuses by itself. What a key and an account are, the code asks the database: these
# two unique keys stay.
UNGUARD = """
DO $$
DECLARE
    one record;
BEGIN
    FOR one IN SELECT tgname, tgrelid::regclass AS owner FROM pg_trigger
        WHERE NOT tgisinternal AND tgparentid = 0 AND tgrelid::regclass::text LIKE 'ledger_%'
    LOOP EXECUTE format('DROP TRIGGER %I ON %s', one.tgname, one.owner); END LOOP;
    FOR one IN SELECT conname, conrelid::regclass AS owner FROM pg_constraint
        WHERE conparentid = 0 AND conislocal AND coninhcount = 0 AND conrelid::regclass::text LIKE 'ledger_%'
            AND (contype IN ('c', 'f') OR conname IN ('ledger_entries_pkey', 'ledger_resolutions_pkey',
                'ledger_reversals_pkey', 'ledger_reversals_transfer_id_key'))
        ORDER BY contype = 'p'
    LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I CASCADE', one.owner, one.conname); END LOOP;
END $$;
"""
# They look at what the database's own triggers do.
_BY_TRIGGERS = frozenset({"entries are sealed or wait for it", "a hold ends once"})


def move(source: Account, target: Account, amount: int, key: str | None = None, **more: Any) -> Transfer:
    """A transfer from one account to another."""
    legs = (Leg(source, -amount), Leg(target, amount))
    return Transfer(kind="test.moved", key=key or str(new_id()), legs=legs, description="moved", **more)


def promise(source: Account, target: Account, amount: int, key: str | None = None, **more: Any) -> Hold:
    """A hold of one account for another."""
    return Hold(key=key or str(new_id()), account=source, to=target, amount=amount, description="held", **more)


class Desk:
    """Posts over one database. `guarded` says whether the database refuses by itself as well."""

    def __init__(self, database: Database, *, guarded: bool = True) -> None:
        self.database, self.guarded = database, guarded

    def do(self, *work: Work, now: datetime = NOW) -> list[Posted]:
        with self.database.connect() as connection:
            return ledger.post(connection, work, now)

    def ask(self, *work: Work, now: datetime = NOW) -> Outcome:
        with self.database.connect() as connection:
            return ledger.try_post(connection, work, now)

    def wallet(self, amount: int = 0, currency: str = "INR") -> Account:
        """A new person's wallet with something in it."""
        made = ledger.wallet(new_id(), currency)
        if amount:
            self.do(move(ledger.platform(Purpose.ISSUANCE, currency), made, amount))
        return made

    def balance(self, account: Account) -> Balance:
        with self.database.connect() as connection:
            return ledger.balance(connection, account)

    def rows(self, query: str, **values: object) -> list[dict[str, Any]]:
        with self.database.connect() as connection:
            return [dict(row) for row in connection.execute(text(query), values).mappings()]

    def problems(self) -> list[str]:
        """What does not agree in the books, by the queries of the verifier."""
        return [
            f"{check.invariant} {check.name}: {row['subject']} {row['message']}"
            for check in CHECKS
            if self.guarded or check.name not in _BY_TRIGGERS
            for row in self.rows(check.query)
        ]

    def everything(self) -> dict[str, list[str]]:
        """Every row there is, as text: to see that nothing changed at all."""
        return {
            table: [row["line"] for row in self.rows(f"SELECT {table}::text AS line FROM {table} ORDER BY 1")]
            for table in TABLES
        }


def at_once(work: Sequence[Callable[[], T]]) -> list[T | str]:
    """What each answers when all start together. A deliberate error is answered by its code, any other is raised."""
    barrier = threading.Barrier(len(work))

    def start(one: Callable[[], T]) -> T | str:
        barrier.wait(30)
        try:
            return one()
        except PlatformError as error:
            return error.code

    with ThreadPoolExecutor(len(work)) as pool:
        return list(pool.map(start, work))


def count(answers: Iterable[object], wanted: object) -> int:
    """How many answers are this one."""
    return sum(1 for answer in answers if answer == wanted)


def post_of(hold: Hold, amount: int | None = None, key: str | None = None) -> Transfer:
    """The transfer that posts a hold, or a part of it."""
    taken = hold.amount if amount is None else amount
    return move(hold.account, hold.to, taken, key, posts=(HoldPart(hold.id, taken),))


def void(hold_id: UUID) -> Release:
    """Give a hold back."""
    return Release(hold_id)

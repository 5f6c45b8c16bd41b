"""Tests have teeth: one guard at a time is spoiled, and the rule that is named for it must fail.

The rules run on a database that believes everything, so that nothing but the rule can notice. What the database's own
guards are worth is shown in the same way by test_guards.py: each attack succeeds once its guard is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from core.bulk import array
from core.errors import CurrencyMismatch
from core.ledger import Transfer, UnknownHold, books, chain, clearing, posting, store, work
from core.ledger.books import AccountState, Books, HoldState, Original
from core.ledger.wire import Statement, Trip
from tests.core.ledger import rules
from tests.core.ledger.attacks import ATTACKS
from tests.core.ledger.by_hand import Hand, furnish
from tests.core.ledger.desk import Desk
from tests.core.ledger.test_chain import FLIPS, finds_a_link_made_anew, finds_every_flip, seal_all

Patch = pytest.MonkeyPatch
# What a rule that fails raises: pytest's own "did not raise" is no Exception.
CAUGHT = (AssertionError, pytest.fail.Exception, DBAPIError)


@dataclass(frozen=True, slots=True)
class Defect:
    """A guard, spoiled, and the rule that catches it."""

    name: str
    plant: Callable[[Patch], object]
    caught_by: Callable[[Desk], None]


_UNLOCKED = Statement(store._LOCK.sql.replace("FOR NO KEY UPDATE", ""))
_BACKWARDS = Statement(store._LOCK.sql.replace("ORDER BY id", "ORDER BY id DESC"))


def _look_first_lock_later(patch: Patch) -> None:
    """Check, then lock: what was seen is old by the time it is locked."""
    whole = store._lock

    def swapped(sent: Trip, ids: Sequence[UUID], holds: Sequence[UUID]) -> Any:
        seen = sent.send(_UNLOCKED, {"ids": array(ids, "uuid")}).fetchall()
        whole(sent, ids, holds).fetchall()  # type: ignore[attr-defined]
        return seen

    patch.setattr(store, "_lock", swapped)


def _claim_what_others_have(patch: Patch) -> None:
    taken = "ON CONFLICT (key) DO UPDATE SET key = excluded.key RETURNING"
    spoiled = store._CLAIM.sql.replace("ON CONFLICT (key) DO NOTHING RETURNING", taken)
    patch.setattr(store, "_CLAIM", Statement(spoiled))


def _count_a_refusal_as_done(patch: Patch) -> None:
    known = store.known

    def spoiled(connection: Connection, keys: Collection[str]) -> list[Any]:
        class Row:
            def __init__(self, row: Any) -> None:
                self.key, self.body_hash, self.outcome = row.key, row.body_hash, "applied"
                self.subject_id, self.reason = row.subject_id or UUID(int=0), None

        return [Row(row) for row in known(connection, keys)]

    patch.setattr(store, "known", spoiled)


def _resolve_again(patch: Patch) -> None:
    def spoiled(holds: Mapping[UUID, HoldState], hold_id: UUID) -> HoldState:
        if hold_id not in holds:
            raise UnknownHold("hold", hold_id)
        return holds[hold_id]

    patch.setattr(books, "check_open", spoiled)


def _keep_the_rest(self: Books, hold: HoldState, outcome: str, amount: int, transfer_id: UUID | None) -> None:
    hold.open = False
    state = self.accounts[hold.account_id]
    state.held -= amount or hold.amount
    state.changed = True
    self.resolutions.append(
        {"hold_id": hold.id, "outcome": outcome, "amount": amount, "transfer_id": transfer_id, "at": self.now}
    )


def _forget_reversals(patch: Patch) -> None:
    read = store._originals

    def spoiled(rows: Any) -> dict[UUID, Original]:
        return {key: Original(legs=one.legs, reversed=False) for key, one in read(rows).items()}

    patch.setattr(store, "_originals", spoiled)


def _reverse_anything(self: Books, transfer: Transfer, original: UUID) -> None:
    self.reversals.append({"original": original, "transfer_id": transfer.id})


def _forget_expiry(patch: Patch) -> None:
    read = store._holds

    def spoiled(rows: Any) -> dict[UUID, HoldState]:
        found = read(rows)
        for hold in found.values():
            hold.expires_at = None
        return found

    patch.setattr(store, "_holds", spoiled)


def _hash_without_legs(patch: Patch) -> None:
    whole = Transfer.body
    patch.setattr(Transfer, "body", lambda self: [part for place, part in enumerate(whole(self)) if place != 2])


def _mix(patch: Patch) -> None:
    whole = Transfer.check

    def spoiled(self: Transfer) -> None:
        try:
            whole(self)
        except CurrencyMismatch:
            return

    patch.setattr(Transfer, "check", spoiled)


def _own_clock(self: Books) -> None:
    self.recorded_at = self.now


DEFECTS = (
    Defect("no lock", lambda patch: patch.setattr(store, "_LOCK", _UNLOCKED), rules.no_credit_is_lost),
    Defect("check before lock", _look_first_lock_later, rules.a_drain_ends_at_zero),
    Defect("locks out of order", lambda p: p.setattr(store, "_LOCK", _BACKWARDS), rules.accounts_are_locked_in_order),
    Defect(
        "holds forgotten in what can be spent",
        lambda patch: patch.setattr(AccountState, "available", property(lambda self: self.balance)),
        rules.spends_no_held_money,
    ),
    Defect(
        "funds not looked at",
        lambda patch: patch.setattr(books, "check_funds", lambda *_, **__: None),
        rules.spends_only_what_is_there,
    ),
    Defect("key hash without the amounts", _hash_without_legs, rules.keys_stand_for_one_request),
    Defect(
        "key hash not compared",
        lambda patch: patch.setattr(posting, "check_body", lambda *_: None),
        rules.keys_stand_for_one_request,
    ),
    Defect("another's key taken for one's own", _claim_what_others_have, rules.duplicates_at_once_collapse),
    Defect(
        "refusals not remembered",
        lambda patch: patch.setattr(store, "remember", lambda *_: None),
        rules.refused_stays_refused,
    ),
    Defect("a refusal taken for done", _count_a_refusal_as_done, rules.refused_stays_refused),
    Defect("a hold resolved again", _resolve_again, rules.posts_a_part_and_gives_the_rest_back),
    Defect("a hold resolved by many at once", _resolve_again, rules.a_hold_ends_once),
    Defect(
        "the rest of a hold kept",
        lambda patch: patch.setattr(Books, "_resolve", _keep_the_rest),
        rules.posts_a_part_and_gives_the_rest_back,
    ),
    Defect(
        "held money given to another",
        lambda patch: patch.setattr(books, "credited", lambda *_: 10**9),
        rules.posts_a_part_and_gives_the_rest_back,
    ),
    Defect("expiry forgotten", _forget_expiry, rules.expired_holds_are_not_posted),
    Defect("reversals forgotten", _forget_reversals, rules.undoes_a_transfer_once),
    Defect("reversals forgotten by many at once", _forget_reversals, rules.a_transfer_is_undone_once),
    Defect(
        "a reversal of something else",
        lambda patch: patch.setattr(Books, "_check_reversal", _reverse_anything),
        rules.undoes_a_transfer_once,
    ),
    Defect(
        "legs not added up",
        lambda patch: patch.setattr(Transfer, "check", lambda self: None),
        rules.balances_every_transfer,
    ),
    Defect("currencies mixed", _mix, rules.mixes_no_currencies),
    Defect(
        "amounts of any kind",
        lambda patch: patch.setattr(work, "_check_amount", lambda *_, **__: None),
        rules.balances_every_transfer,
    ),
    Defect(
        "every machine by its own clock",
        lambda patch: patch.setattr(Books, "__post_init__", _own_clock),
        rules.recorded_time_never_runs_backwards,
    ),
)


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_a_planted_defect_is_caught(unguarded: Desk, monkeypatch: Patch, defect: Defect) -> None:
    defect.plant(monkeypatch)
    try:
        with pytest.raises(CAUGHT):
            defect.caught_by(unguarded)
    finally:
        monkeypatch.undo()
        with unguarded.database.connect() as connection:
            clearing.empty(connection)


CHAIN_DEFECTS: dict[str, tuple[Callable[[Patch], object], Callable[[Desk], None]]] = {
    "amounts left out of the hash": (
        lambda patch: patch.setattr(chain, "_NAMES", ["id", "account_id", "sequence"]),
        lambda desk: finds_every_flip(desk, FLIPS),
    ),
    "the hash before left out": (
        lambda patch: patch.setattr(chain, "digest", lambda before, row, digest=chain.digest: digest(b"", row)),
        finds_a_link_made_anew,
    ),
}


@pytest.mark.parametrize("defect", CHAIN_DEFECTS)
def test_a_defect_of_the_chain_is_caught(guarded: Desk, monkeypatch: Patch, defect: str) -> None:
    with guarded.database.connect() as connection:
        clearing.empty(connection)
    plant, caught_by = CHAIN_DEFECTS[defect]
    plant(monkeypatch)
    furnish(guarded)
    seal_all(guarded)
    with pytest.raises(AssertionError):
        caught_by(guarded)


def test_a_comparison_that_forgets_null_is_caught(guarded: Desk) -> None:
    """The trigger as one writes it first: NULL <> something is not true."""
    attack = next(one for one in ATTACKS if one.name == "L5 an invoice named later")
    parts = furnish(guarded)
    with guarded.database.engine.connect() as connection, connection.begin() as transaction:
        connection.exec_driver_sql(
            "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "IF OLD.invoice_id <> NEW.invoice_id THEN RAISE EXCEPTION 'append-only' USING ERRCODE = '23001'; END IF; "
            "RETURN NEW; END $$"
        )
        with pytest.raises(pytest.fail.Exception), pytest.raises(DBAPIError):
            attack.act(Hand(connection, **parts))
        transaction.rollback()

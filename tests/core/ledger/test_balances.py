"""Balances as of any instant, by both times, against a plain sum; statements; and the edges of what may be asked."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from sqlalchemy.exc import InvalidRequestError

from core import ledger
from core.errors import Invalid
from core.ids import new_id
from core.ledger import Account, Balance, Hold, Leg, Purpose, Release, Transfer, Work
from core.ledger.checks import CHECKS
from tests.core.ledger.desk import ISSUANCE, NOW, Desk, move, promise


def test_a_balance_of_any_instant_is_the_sum_of_what_counted_or_was_known_then(guarded: Desk) -> None:
    a, b = guarded.wallet(), guarded.wallet()
    # Not the issuance, whose clock the other tests share.
    source = ledger.outside(new_id(), "INR")
    dice = random.Random(7)
    told: list[tuple[int, int, int]] = []
    for recorded in sorted(dice.choices(range(30), k=25)):
        effective, amount = dice.randrange(-30, 30), dice.randrange(1, 90)
        guarded.do(
            move(source, a, amount, effective_at=NOW + timedelta(hours=effective)),
            now=NOW + timedelta(hours=recorded),
        )
        told.append((effective, recorded, amount))
    with guarded.database.connect() as connection:
        for hour in range(-31, 32):
            moment = NOW + timedelta(hours=hour)
            assert ledger.balance_at(connection, a, moment) == sum(one[2] for one in told if one[0] <= hour)
            assert ledger.balance_at(connection, a, moment, by="recorded") == sum(
                one[2] for one in told if one[1] <= hour
            )
            assert ledger.sequence_at(connection, a, moment) == sum(1 for one in told if one[1] <= hour)
        assert ledger.balance_at(connection, b, NOW) == ledger.balance_at(connection, b, NOW, by="recorded") == 0


def test_the_books_of_a_past_instant_know_the_holds_of_then(guarded: Desk) -> None:
    a, b = guarded.wallet(100), guarded.wallet()
    hold = promise(a, b, 60)
    guarded.do(hold, now=NOW + timedelta(hours=1))
    guarded.do(Release(hold.id), now=NOW + timedelta(hours=3))
    with guarded.database.connect() as connection:
        stood = [ledger.books_at(connection, a, NOW + timedelta(hours=hour)) for hour in (-1, 0, 2, 4)]
    assert stood == [Balance(), Balance(100), Balance(100, 60), Balance(100)]


def test_a_statement_is_read_page_by_page_newest_first(guarded: Desk) -> None:
    a = guarded.wallet()
    guarded.do(*(move(ISSUANCE, a, amount) for amount in range(1, 8)))
    guarded.do(move(a, guarded.wallet(), 3, invoice_id=new_id()))
    seen: list[tuple[int, int]] = []
    before = None
    with guarded.database.connect() as connection:
        while rows := ledger.statement(connection, a, limit=3, before=before):
            seen += [(row.amount, row.balance_after) for row in rows]
            before = rows[-1].id
        (debit,) = ledger.statement(connection, a, limit=10, side="debit")
    assert seen[0] == (-3, 25)
    assert [amount for amount, _ in seen[1:]] == [7, 6, 5, 4, 3, 2, 1]
    assert (debit.amount, debit.kind, debit.invoice_id is None) == (-3, "test.moved", False)


def test_what_cannot_be_kept_is_refused_by_its_name(guarded: Desk) -> None:
    a, b = guarded.wallet(10), guarded.wallet()
    legs = (Leg(a, -1), Leg(b, 1))
    wrong: dict[str, Work] = {
        "key": Transfer(kind="x", key="", legs=legs, description=""),
        "kind": Transfer(kind="Ünfug", key="k", legs=legs, description=""),
        "description": Transfer(kind="x", key="k", legs=legs, description="a\x00b"),
        "account": move(Account("user:\ud800", Purpose.WALLET, "INR"), b, 1),
        "currency": move(Account("user:x", Purpose.WALLET, "inr"), Account("user:y", Purpose.WALLET, "inr"), 1),
        "to": Hold(key="k", account=a, to=a, amount=1, description=""),
        "amount": Hold(key="k", account=a, to=b, amount=-1, description=""),
    }
    for name, work in wrong.items():
        with pytest.raises(Invalid) as refused:
            guarded.do(work)
        assert refused.value.field == name
        assert guarded.ask(work).status == "refused"
    long = Transfer(kind="x", key="k" * 301, legs=legs, description="d" * 501)
    assert guarded.ask(long, long).reason == "invalid"
    assert guarded.ask().status == "applied"
    assert guarded.do() == []


def test_a_scratch_account_goes_below_zero_where_its_transfer_says_so_and_no_other_does(guarded: Desk) -> None:
    a, b = (Account(f"lck:{new_id()}", Purpose.SCRATCH, "INR") for _ in range(2))
    assert guarded.ask(move(a, b, 10)).reason == "insufficient_funds"
    assert guarded.ask(move(a, b, 10, overdraft=True)).applied
    # Once below zero it may be given something, and nothing more is taken without leave.
    assert guarded.ask(move(b, a, 4)).applied
    assert guarded.ask(move(a, b, 1)).reason == "insufficient_funds"
    assert guarded.balance(a) == Balance(-6)
    assert guarded.problems() == []


def test_a_transaction_that_only_posts_is_committed(guarded: Desk) -> None:
    a = guarded.wallet()
    with guarded.database.engine.connect() as connection:
        ledger.post(connection, [move(ISSUANCE, a, 5)], NOW)
        connection.commit()
    with guarded.database.session() as session:
        ledger.post(session, [move(ISSUANCE, a, 5)], NOW)
        refused = ledger.try_post(session, [move(a, ISSUANCE, 11)], NOW)
        applied = ledger.try_post(session, [move(a, ISSUANCE, 1)], NOW)
    assert (refused.status, applied.status) == ("refused", "applied")
    assert guarded.balance(a) == Balance(9)


def test_without_a_transaction_nothing_is_posted(guarded: Desk) -> None:
    a = guarded.wallet()
    before = guarded.everything()
    with guarded.database.statements() as connection, pytest.raises(InvalidRequestError, match="inside a transaction"):
        ledger.post(connection, [move(ISSUANCE, a, 5)], NOW)
    assert guarded.everything() == before


def test_holds_whose_time_is_over_are_found_oldest_first(guarded: Desk) -> None:
    a, b = guarded.wallet(100), guarded.wallet()
    holds = [promise(a, b, 10, expires_at=NOW + timedelta(days=days)) for days in (-2, -3, 1)]
    guarded.do(*holds, promise(a, b, 10), now=NOW - timedelta(days=9))
    with guarded.database.connect() as connection:
        assert ledger.expired_holds(connection, NOW) == [holds[1].id, holds[0].id]
        assert ledger.expired_holds(connection, NOW, limit=1) == [holds[1].id]


def test_the_checks_are_told_apart_by_their_names() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)

"""T+1: what is promised settles by itself on the next working day, and cannot fail for want of money."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from core import kyc, ledger
from core.database import Database
from core.errors import Conflict
from core.identity import Role
from core.marketplace import funding, settlement, states
from core.marketplace.calendar import Calendar
from core.marketplace.rules import INDIA, Rules
from core.marketplace.states import State
from tests.core.marketplace.builders import (
    LAKH,
    NEXT_DAY,
    RULES,
    WELCOME,
    Listing,
    check_books,
    dump,
    entries,
    funded,
    give,
    listed,
    money,
    person,
    slices,
    spendable,
    standing,
)

# A Friday evening in India; the next working day is Monday.
FRIDAY = datetime(2026, 11, 13, 18, 0, tzinfo=INDIA)
MONDAY = datetime(2026, 11, 16, 0, 0, tzinfo=INDIA)


def due(market: Database, now: datetime, limit: int = 100, rules: Rules = NEXT_DAY) -> int:
    with market.session() as session:
        return settlement.settle_due(session, now, limit, rules=rules)


def waiting(market: Database, rules: Rules = NEXT_DAY) -> Listing:
    with market.session() as session:
        return funded(
            session,
            face=LAKH,
            ask=90_000_00,
            slices=[30_000_00, 60_000_00],
            rules=rules,
            now=FRIDAY,
            fee_plan="standard",
        )


def test_a_full_listing_waits_for_the_next_working_day_with_its_money_held(market: Database) -> None:
    offer = waiting(market)
    with market.session() as session:
        found = standing(session, offer)
        assert (found.state, found.settle_on) == (State.SETTLEMENT_PENDING, date(2026, 11, 16))
        assert found.due_at == MONDAY.astimezone(UTC)
        assert entries(session, offer) == []
        assert money(session, *offer.investors) == [WELCOME, WELCOME]
        assert spendable(session, *offer.investors) == [WELCOME - 30_000_00, WELCOME - 60_000_00]
    check_books(market)


def test_it_settles_on_its_day_and_not_a_second_before(market: Database) -> None:
    offer = waiting(market)
    due(market, MONDAY - timedelta(seconds=1))
    with market.session() as session:
        assert standing(session, offer).state is State.SETTLEMENT_PENDING
        with pytest.raises(Conflict, match="settles on 2026-11-16"):
            settlement.settle(session, standing(session, offer), MONDAY - timedelta(seconds=1), rules=NEXT_DAY)
    assert due(market, MONDAY) >= 1
    with market.session() as session:
        found = standing(session, offer)
        assert (found.state, found.funded_at) == (State.FUNDED, MONDAY)
        # 0.5 % of the claim and 18 % of that: 500.00 and 90.00.
        assert money(session, offer.seller, *offer.investors) == [
            WELCOME + 89_410_00,
            WELCOME - 30_000_00,
            WELCOME - 60_000_00,
        ]
        assert spendable(session, *offer.investors) == money(session, *offer.investors)
        assert [status for *_, status in slices(session, offer)] == ["settled", "settled"]
    check_books(market)


def test_a_bank_holiday_moves_the_day(market: Database) -> None:
    closed = replace(NEXT_DAY, calendar=Calendar(frozenset({date(2026, 11, 16)})))
    offer = waiting(market, closed)
    with market.session() as session:
        assert standing(session, offer).settle_on == date(2026, 11, 17)
        assert standing(session, offer).value_date == date(2026, 11, 17)


def test_it_settles_once_however_often_the_clock_rings(market: Database) -> None:
    offer = waiting(market)
    due(market, MONDAY)
    before = dump(market)
    assert due(market, MONDAY) == 0
    with market.session() as session, pytest.raises(Conflict, match="is not settled"):
        settlement.settle(session, states.lock(session, offer.invoice_id), MONDAY, rules=NEXT_DAY)
    assert dump(market) == before


def test_it_cannot_fail_for_funds_however_much_is_spent_in_between(market: Database) -> None:
    offer = waiting(market)
    with market.session() as session:
        for who in offer.investors:
            [left] = spendable(session, who)
            give(session, who, -left, FRIDAY)
            assert spendable(session, who) == [0]
    for who in offer.investors:
        with market.session() as session, pytest.raises(ledger.InsufficientFunds):
            give(session, who, -1, FRIDAY)
    due(market, MONDAY)
    with market.session() as session:
        assert money(session, offer.seller, *offer.investors) == [WELCOME + 89_410_00, 0, 0]
    check_books(market)


def test_the_clock_takes_no_more_than_it_is_told_the_oldest_first(market: Database) -> None:
    offers = [waiting(market) for _ in range(3)]
    assert due(market, MONDAY, limit=2) == 2
    with market.session() as session:
        left = [standing(session, offer).state for offer in offers]
    assert left == [State.FUNDED, State.FUNDED, State.SETTLEMENT_PENDING]
    due(market, MONDAY)


def paid_meanwhile(session: Session, offer: Listing, monkeypatch: pytest.MonkeyPatch) -> None:
    session.execute(text("UPDATE invoices SET status = 'void' WHERE id = :id"), {"id": offer.invoice_id})


def financed_elsewhere(session: Session, offer: Listing, monkeypatch: pytest.MonkeyPatch) -> None:
    class Hit:
        kind = "stop"

    monkeypatch.setattr("core.marketplace.duplicates.check", lambda *_: [Hit()])


def stopped(session: Session, offer: Listing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.risk.open_stops", lambda *_: ["it looks invented"])


def seller_refused(session: Session, offer: Listing, monkeypatch: pytest.MonkeyPatch) -> None:
    kyc.decide(session, person(session, Role.OPERATOR), offer.seller.id, "reject", "forged papers", FRIDAY)


@pytest.mark.parametrize(
    ("trouble", "ends"),
    [
        pytest.param(paid_meanwhile, State.WITHDRAWN, id="nothing is owed any more"),
        pytest.param(financed_elsewhere, State.WITHDRAWN, id="financed elsewhere"),
        pytest.param(stopped, State.LISTED, id="stopped by a check"),
        pytest.param(seller_refused, State.LISTED, id="a seller whose identity was refused"),
    ],
)
def test_what_must_not_settle_goes_back_whole(
    market: Database, trouble: Callable[..., None], ends: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer = waiting(market)
    with market.session() as session:
        trouble(session, offer, monkeypatch)
    due(market, MONDAY)
    with market.session() as session:
        found = standing(session, offer)
        assert (found.state, found.placed_outlay, found.settle_on) == (
            ends,
            0,
            None if ends is State.LISTED else date(2026, 11, 16),
        )
        assert spendable(session, *offer.investors) == [WELCOME, WELCOME]
        assert money(session, offer.seller) == [WELCOME]
        assert [status for *_, status in slices(session, offer)] == ["voided", "voided"]
        assert entries(session, offer) == []
        reason = session.scalar(
            text("SELECT reason FROM financing_moves WHERE financing_id = :id ORDER BY version DESC LIMIT 1"),
            {"id": offer.financing_id},
        )
        assert reason
    check_books(market)


def test_what_was_stopped_may_be_funded_and_settled_again_once_it_is_cleared(
    market: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer = waiting(market)
    with monkeypatch.context() as patched:
        patched.setattr("core.risk.open_stops", lambda *_: ["it looks invented"])
        due(market, MONDAY)
    with market.session() as session:
        again = person(session)
        funding.fund(session, again, offer.invoice_id, 90_000_00, MONDAY, rules=NEXT_DAY)
        assert standing(session, offer).settle_on == date(2026, 11, 17)
    due(market, MONDAY + timedelta(days=1))
    with market.session() as session:
        assert money(session, offer.seller, again) == [WELCOME + 89_410_00, WELCOME - 90_000_00]
        assert [status for *_, status in slices(session, offer)] == ["voided", "voided", "settled"]
    check_books(market)


def test_a_duplicate_is_found_at_the_instant_the_last_slice_is_bought(
    market: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hit:
        kind = "stop"

    monkeypatch.setattr("core.marketplace.duplicates.check", lambda *_: [Hit()])
    with market.session() as session:
        offer = listed(session, face=LAKH, ask=90_000_00)
        who = person(session)
        funding.fund(session, who, offer.invoice_id, 10_000_00, offer_time(session, offer), rules=RULES)
    before = dump(market)
    with market.session() as session, pytest.raises(Conflict, match="financed already"):
        funding.fund(session, who, offer.invoice_id, 80_000_00, offer_time(session, offer), rules=RULES)
    assert dump(market) == before


def offer_time(session: Session, offer: Listing) -> datetime:
    found = standing(session, offer).listed_at
    assert found is not None
    return found

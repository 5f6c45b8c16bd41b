"""The clock: windows that end, days that come, payments that do not."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import text

from core import ledger
from core.identity import Role
from core.marketplace import funding, states, watch
from core.marketplace.calendar import Calendar
from core.marketplace.clock import next_look, opening
from core.marketplace.rules import Rules
from core.marketplace.states import State
from core.reconciliation import decisions, overruling
from tests.builders import NOW, Clockwork, transaction, worker
from tests.core.marketplace import builders, deals
from tests.core.marketplace.builders import LAKH, NEXT_DAY, RULES, check_books
from tests.core.marketplace.deals import BEGUN, WORKED, Deal, state_of
from tests.core.payments.counter import Counter

# The worked example falls due on Friday 1 January 2027: three working days of grace end on Wednesday the 6th.
OVERDUE = opening(date(2027, 1, 7))
DEFAULT = opening(date(2027, 4, 1))


@pytest.fixture(scope="module")
def context(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as parts:
        yield parts


@pytest.fixture(autouse=True)
def nothing_waits(context: Clockwork) -> None:
    """What another test left is not looked at in this one."""
    deals.run(context, "UPDATE financings SET due_at = NULL")


def tick(context: Clockwork, at: datetime, rules: Rules = RULES) -> int:
    looked = watch.tick(context.database, at, rules)
    assert looked.failures == []
    return len(looked.invoices)


def notices(deal: Deal) -> list[tuple[str, str]]:
    """(kind, role) of every open notification of the invoice."""
    rows = deal.shop.rows(
        "SELECT kind, role FROM notifications JOIN users ON users.id = user_id "
        "WHERE subject_id = :id AND cleared_at IS NULL ORDER BY kind, role",
        id=deal.invoice_id,
    )
    return [(row["kind"], row["role"]) for row in rows]


def kinds(deal: Deal) -> set[str]:
    return {kind for kind, _ in notices(deal) if kind != "invoice.funded"}


def test_a_funded_invoice_becomes_overdue_once_the_grace_is_over_and_not_before(context: Clockwork) -> None:
    deal = deals.make(context)
    assert deal.financing.due_at == OVERDUE
    assert tick(context, OVERDUE - timedelta(seconds=1)) == 0
    assert tick(context, OVERDUE) == 1
    assert state_of(deal) is State.OVERDUE
    assert kinds(deal) == {"invoice.overdue.1"}
    assert ("invoice.overdue.1", "seller") in notices(deal)
    assert notices(deal).count(("invoice.overdue.1", "investor")) == 3
    assert tick(context, OVERDUE) == 0


def test_holidays_of_the_installation_lengthen_the_grace(context: Clockwork) -> None:
    deal = deals.make(context)
    holidays = Rules(
        calendar=Calendar(frozenset({date(2027, 1, 5)})), settlement=RULES.settlement, fingerprint_key=b"x" * 32
    )
    assert tick(context, OVERDUE, holidays) == 1
    assert state_of(deal) is State.FUNDED
    assert deal.financing.due_at == OVERDUE + timedelta(days=1)
    assert tick(context, OVERDUE + timedelta(days=1), holidays) == 1
    assert state_of(deal) is State.OVERDUE


def test_a_part_payment_on_a_holiday_in_the_grace_makes_nothing_overdue(file_database_url: str) -> None:
    # 5 January 2027 is no working day here, so the grace goes on to the end of the 7th.
    with worker(file_database_url, bank_holidays="2027-01-05") as context:
        deal = deals.make(context)
        context.moment[0] = OVERDUE + timedelta(hours=12)
        deal.pay(1_00_000_00, days_late=6)
        assert state_of(deal) is State.PART_PAID


def test_a_match_undone_on_a_holiday_in_the_grace_makes_nothing_overdue(context: Clockwork) -> None:
    deal = deals.make(context)
    deal.shop.hear(transaction(amount="500000.00", narration=f"NEFT {deal.offer.number}"))
    bank = deal.shop.one("SELECT id FROM transactions WHERE user_id = :user")["id"]
    longer = Calendar(frozenset({date(2027, 1, 5)}))
    with context.database.session() as session:
        decisions.accept(session, deal.offer.seller.id, bank, None, OVERDUE, calendar=longer)
    assert state_of(deal) is State.REPAID
    with context.database.session() as session:
        operator = builders.person(session, Role.OPERATOR)
        overruling.undo(session, operator, bank, "not this invoice's", OVERDUE, calendar=longer)
    assert state_of(deal) is State.FUNDED


def test_each_bucket_is_told_once_and_default_comes_ninety_days_past_due(context: Clockwork) -> None:
    deal = deals.make(context)
    operator = deals.operator(context)
    told = []
    moment = OVERDUE
    while moment <= DEFAULT:
        before = kinds(deal)
        tick(context, moment)
        told += [(moment.date() - date(2027, 1, 1), kind) for kind in sorted(kinds(deal) - before)]
        moment += timedelta(days=1)
    assert [(days.days, kind) for days, kind in told] == [
        (6, "invoice.overdue.1"),
        (30, "invoice.overdue.30"),
        (60, "invoice.overdue.60"),
        (90, "invoice.defaulted"),
    ]
    assert state_of(deal) is State.DEFAULTED
    assert deal.financing.due_at is None
    # In default, and without full recourse, no money moves.
    assert deal.standing == []
    heard = deal.shop.rows("SELECT kind FROM notifications WHERE user_id = :operator", operator=operator.id)
    assert {"invoice.overdue.30", "invoice.defaulted"} <= {row["kind"] for row in heard}


def test_after_a_long_night_only_the_latest_reminder_is_told(context: Clockwork) -> None:
    deal = deals.make(context)
    assert tick(context, opening(date(2027, 2, 5))) == 1
    assert kinds(deal) == {"invoice.overdue.30"}
    assert deal.financing.due_at == opening(date(2027, 3, 2))


def test_a_part_payment_while_overdue_stays_overdue_and_the_rest_ends_it(context: Clockwork) -> None:
    deal = deals.make(context)
    tick(context, OVERDUE)
    context.moment[0] = OVERDUE
    try:
        deal.pay(3_50_000_00, days_late=7)
        assert state_of(deal) is State.OVERDUE
        assert "repayment.short" in kinds(deal)
        deal.pay(1_50_000_00, days_late=8, id="pmt_2")
    finally:
        context.moment[0] = NOW
    assert state_of(deal) is State.REPAID
    assert kinds(deal) == set()
    check_books(context.database)


def test_a_payment_taken_back_after_the_grace_makes_a_repaid_invoice_overdue_again(context: Clockwork) -> None:
    deal = deals.make(context)
    deal.pay(5_00_000_00)
    assert (deal.financing.state, deal.financing.due_at) == (State.REPAID, None)
    context.moment[0] = OVERDUE
    try:
        deal.shop.hear(deal.returned(5_00_000_00))
    finally:
        context.moment[0] = NOW
    assert state_of(deal) is State.OVERDUE
    assert tick(context, OVERDUE) == 1
    assert kinds(deal) == {"invoice.overdue.1"}
    check_books(context.database)


def test_full_recourse_takes_what_the_seller_has_and_claims_the_rest(context: Clockwork) -> None:
    deal = deals.make(context, **{**WORKED, "recourse": "full"})
    seller = deal.offer.seller
    deal.spend(seller, deal.money(seller)[0] - 1_00_000_00)
    before = deal.money()
    tick(context, OVERDUE)
    tick(context, DEFAULT)
    # 90 days at 18 per cent of 4,00,000.
    interest = 17_753_42
    assert state_of(deal) is State.REPAID
    assert deal.financing.collected == 0
    gained = [after - was for after, was in zip(deal.money(), before, strict=True)]
    assert (sum(gained[:3]), gained[3]) == (4_00_000_00 + interest, -1_00_000_00)
    claim = ledger.recoverable(seller.id, "INR")
    assert deal.balance(claim) == -(3_00_000_00 + interest)
    check_books(context.database)

    # The claim on the buyer is the seller's now: what the buyer pays at last pays the platform back first.
    context.moment[0] = DEFAULT + timedelta(days=5)
    try:
        deal.pay(5_00_000_00, days_late=95)
    finally:
        context.moment[0] = NOW
    assert deal.balance(claim) == 0
    assert deal.money(seller) == [1_82_246_58]
    assert deal.financing.collected == 5_00_000_00
    check_books(context.database)


def test_words_that_a_repurchase_sets_free_settle_at_once(context: Clockwork) -> None:
    deal = deals.make(context, face=LAKH, confirmed=98_000_00, haircut="20", recourse="full", now=BEGUN)
    counter = Counter(deal.shop)
    deal.pay(78_400_00)
    paid = counter.record(21_600_00, (deal.invoice_id, 21_600_00), method="other")
    deal.shop.hear(deal.returned(78_400_00))
    assert (state_of(deal), counter.parts(paid)) == (State.FUNDED, {deal.invoice_id: 2_000_00})
    tick(context, OVERDUE)
    tick(context, DEFAULT)
    assert (state_of(deal), counter.parts(paid)) == (State.REPAID, {deal.invoice_id: 21_600_00})
    assert counter.standing(deal.invoice_id) == [("partial", 21_600_00)]
    assert deal.told("invoice.updated", room=f"invoice:{deal.invoice_id}")[-1]["data"]["amount_paid"] == 21_600_00
    check_books(context.database)


def test_a_payment_told_late_takes_its_part_out_of_the_repurchase(context: Clockwork) -> None:
    deal = deals.make(context, **{**WORKED, "recourse": "full"})
    before = deal.money()
    tick(context, OVERDUE)
    tick(context, DEFAULT)
    context.moment[0] = DEFAULT
    try:
        deal.pay(5_00_000_00, days_late=-1)
    finally:
        context.moment[0] = NOW
    gained = [after - was for after, was in zip(deal.money(), before, strict=True)]
    assert (sum(gained[:3]), gained[3]) == (4_00_000_00, 1_00_000_00)
    assert [row["amount"] for row in deal.standing] == [5_00_000_00]
    check_books(context.database)


@pytest.mark.parametrize(
    ("state", "after"),
    [
        pytest.param(State.PENDING, timedelta(days=14), id="the buyer does not answer"),
        pytest.param(State.CONFIRMED, timedelta(days=63), id="it falls due unlisted"),
        pytest.param(State.LISTED, timedelta(days=7), id="nobody funds it"),
    ],
)
def test_what_is_not_taken_in_time_expires(context: Clockwork, state: State, after: timedelta) -> None:
    deal = deals.offered(context, state=state)
    assert tick(context, NOW + after - timedelta(days=1)) == 0
    assert tick(context, NOW + after) == 1
    assert (deal.financing.state, deal.financing.due_at) == (State.EXPIRED, None)
    assert kinds(deal) == {"invoice.expired"}


def test_a_listing_that_is_not_full_gives_every_slice_back_when_it_closes(context: Clockwork) -> None:
    deal = deals.offered(context, face=LAKH, ask=90_000_00)
    with context.database.session() as session:
        investor = builders.person(session)
        funding.fund(session, investor, deal.invoice_id, 40_000_00, NOW, rules=RULES)
    with context.database.connect() as connection:
        assert builders.spendable(connection, investor) == [9_60_000_00]
    assert tick(context, NOW + timedelta(days=7)) == 1
    assert state_of(deal) is State.EXPIRED
    with context.database.connect() as connection:
        assert builders.spendable(connection, investor) == [10_00_000_00]
    check_books(context.database)


def test_what_settles_on_the_next_day_settles_when_that_day_begins(context: Clockwork) -> None:
    deal = deals.offered(context, face=LAKH, ask=90_000_00, rules=NEXT_DAY)
    with context.database.session() as session:
        investor = builders.person(session)
        funding.fund(session, investor, deal.invoice_id, 90_000_00, NOW, rules=NEXT_DAY)
    assert state_of(deal) is State.SETTLEMENT_PENDING
    begins = opening(date(2026, 11, 4))
    assert tick(context, begins - timedelta(seconds=1), NEXT_DAY) == 0
    assert tick(context, begins, NEXT_DAY) == 1
    assert state_of(deal) is State.FUNDED
    assert deal.money(deal.offer.seller, investor) == [10_90_000_00, 9_10_000_00]
    assert tick(context, begins, NEXT_DAY) == 0
    check_books(context.database)


def test_an_auction_closes_at_its_time(context: Clockwork) -> None:
    deal = deals.offered(context, face=LAKH, mode="auction", closes_in=timedelta(hours=1))
    assert tick(context, NOW + timedelta(hours=1)) == 1
    assert state_of(deal) is State.EXPIRED


def test_many_workers_at_once_look_at_each_financing_once(context: Clockwork) -> None:
    made = [deals.make(context, face=LAKH, ask=90_000_00, now=BEGUN) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        looked = list(pool.map(lambda _: tick(context, OVERDUE), range(6)))
    assert sum(looked) == 6
    for deal in made:
        assert state_of(deal) is State.OVERDUE
        moves = deal.shop.rows(
            "SELECT after FROM financing_moves WHERE financing_id = :id AND after = 'overdue'",
            id=deal.offer.financing_id,
        )
        assert len(moves) == 1


def test_a_worker_that_comes_late_to_what_was_due_finds_it_done(context: Clockwork) -> None:
    deal = deals.make(context)
    assert tick(context, OVERDUE) == 1
    # As one does who read what is due before the other looked.
    with context.database.session() as session:
        assert not watch.look(session, deal.invoice_id, OVERDUE, RULES)


def test_what_a_worker_has_in_hand_is_left_to_it(context: Clockwork) -> None:
    deal = deals.make(context)
    with context.database.connect() as connection:
        connection.execute(text("SELECT FROM invoices WHERE id = :id FOR UPDATE"), {"id": deal.invoice_id})
        assert tick(context, OVERDUE) == 0
    assert tick(context, OVERDUE) == 1


def test_one_that_fails_is_put_off_and_keeps_nobody_waiting(
    context: Clockwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, sound = deals.make(context), deals.make(context)
    real = states.move

    def fail(session: object, financing: states.Financing, *rest: object, **more: object) -> object:
        if financing.invoice_id == broken.invoice_id:
            raise RuntimeError("planted")
        return real(session, financing, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(states, "move", fail)
    looked = watch.tick(context.database, OVERDUE, RULES)
    assert looked.invoices == [sound.invoice_id]
    assert [identity for identity, _ in looked.failures] == [broken.invoice_id]
    assert state_of(broken) is State.FUNDED
    assert watch.tick(context.database, OVERDUE, RULES).failures == []
    monkeypatch.undo()
    assert tick(context, OVERDUE + timedelta(minutes=5)) == 1
    assert state_of(broken) is State.OVERDUE


def test_every_state_that_can_wait_for_ever_has_a_next_look(context: Clockwork) -> None:
    deal = deals.make(context)
    financing = deal.financing
    resting = {State.REJECTED, State.DEFAULTED, State.REPAID, State.WRITTEN_OFF, State.EXPIRED, State.WITHDRAWN}
    for state in State:
        look = next_look(replace(financing, state=state), Calendar(), NOW)
        assert (look is None) == (state in resting), state
    assert next_look(replace(financing, state=State.OVERDUE), Calendar(), datetime(2027, 3, 1, tzinfo=UTC)) == opening(
        date(2027, 3, 2)
    )

"""The buyer pays: the waterfall in the transaction that records it, and back again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from itertools import permutations
from random import Random
from threading import Barrier

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import IntegrityError, OperationalError

from core import intake, ledger
from core.events import Payment, PaymentStatus, Reference, Trust
from core.identity import Actor, Role
from core.marketplace import funding
from core.marketplace.refusals import NotOnOffer
from core.marketplace.rules import Rules
from core.marketplace.states import State
from core.money import Money
from core.payments import apply as payments
from core.reconciliation import decisions, overruling
from tests.builders import NOW, Clockwork, Json, dispute, open_shop, transaction, worker
from tests.core.marketplace import builders, deals
from tests.core.marketplace.builders import LAKH, check_books
from tests.core.marketplace.deals import BEGUN, DUE, WORKED, Deal, state_of
from workers import normalize


@pytest.fixture(scope="module")
def context(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as parts:
        yield parts


@pytest.fixture
def deal(context: Clockwork) -> Deal:
    return deals.make(context)


def test_an_invoice_of_a_lakh_funded_with_ninety_thousand_ends_as_the_first_users_know_it(context: Clockwork) -> None:
    deal = deals.make(context, face=LAKH, ask=90_000_00, now=BEGUN)
    investor, seller = deal.offer.investors[0], deal.offer.seller
    assert deal.money(investor, seller) == [9_10_000_00, 10_90_000_00]
    deal.pay(LAKH)
    assert deal.money(investor, seller) == [10_10_000_00, 10_90_000_00]
    assert state_of(deal) is State.REPAID
    assert deal.shop.one("SELECT status FROM invoices WHERE id = :id", id=deal.invoice_id) == {"status": "paid"}
    [told] = deal.told("investment.repaid")
    assert told["room"] == f"user:{investor.id}"
    assert told["data"]["amount"] == LAKH
    assert told["data"]["profit"] == 10_000_00
    assert told["data"]["balance"] == 10_10_000_00
    check_books(context.database)


@pytest.mark.parametrize(
    ("amount", "late", "interest", "principal", "seller", "state"),
    [
        pytest.param(5_00_000_00, 0, 0, 4_00_000_00, 1_00_000_00, State.REPAID, id="on time"),
        pytest.param(5_00_000_00, -20, 0, 4_00_000_00, 1_00_000_00, State.REPAID, id="before it is due"),
        pytest.param(5_00_000_00, 15, 2_958_90, 4_00_000_00, 97_041_10, State.REPAID, id="15 days late, whole"),
        pytest.param(4_60_000_00, 15, 2_958_90, 4_00_000_00, 57_041_10, State.REPAID, id="15 days late, short"),
        pytest.param(3_50_000_00, 15, 2_958_90, 3_47_041_10, 0, State.PART_PAID, id="15 days late, far too short"),
    ],
)
def test_the_worked_rows_to_the_paisa(
    deal: Deal, amount: int, late: int, interest: int, principal: int, seller: int, state: State
) -> None:
    before = deal.money()
    deal.pay(amount, days_late=late)
    [row] = deal.standing
    assert (row["interest"], row["principal"], row["seller"], row["surplus"]) == (interest, principal, seller, 0)
    assert state_of(deal) is state
    gained = [after - was for after, was in zip(deal.money(), before, strict=True)]
    assert (sum(gained[:3]), gained[3]) == (interest + principal, seller)
    check_books(deal.shop.database)


def test_the_last_worked_row_is_shared_to_the_paisa(deal: Deal) -> None:
    before = deal.money()
    deal.pay(3_50_000_00, days_late=15)
    assert deal.shares == [(1_109_59, 1_30_140_41), (1_109_59, 1_30_140_41), (739_72, 86_760_28)]
    gained = [after - was for after, was in zip(deal.money(), before, strict=True)]
    assert gained == [1_31_250_00, 1_31_250_00, 87_500_00, 0]


def test_every_row_of_the_books_says_where_the_money_came_from_and_from_when_it_counts(deal: Deal) -> None:
    deal.pay(5_00_000_00, days_late=15)
    [event] = deal.shop.rows(
        "SELECT event_id FROM event_effects WHERE object_kind = 'repayment' AND object_id IN "
        "(SELECT id FROM repayments WHERE financing_id = :id)",
        id=deal.offer.financing_id,
    )
    [transfer] = deal.shop.rows(
        "SELECT event_id, effective_at, recorded_at, kind FROM ledger_transfers "
        "WHERE invoice_id = :id AND kind LIKE 'repayment%'",
        id=deal.invoice_id,
    )
    assert transfer["event_id"] == event["event_id"]
    assert transfer["effective_at"] == DUE + timedelta(days=15)
    assert transfer["recorded_at"] == NOW
    for name in ("invoice.repaid", "investment.repaid", "invoice.updated"):
        assert {row["event_id"] for row in deal.told(name)[-2:]} == {event["event_id"]}, name
    wallets = [
        row
        for one in (*deal.offer.investors, deal.offer.seller)
        for row in deal.told("wallet.updated", room=f"user:{one.id}")[-1:]
    ]
    assert [row["data"]["balance"] for row in wallets] == deal.money()
    assert {row["event_id"] for row in wallets} == {event["event_id"]}


def test_what_is_paid_above_all_that_is_owed_is_the_payers_and_never_income(deal: Deal) -> None:
    before = deal.money()
    deal.pay(5_10_000_00)
    assert deal.balance(ledger.unapplied(f"user:{deal.offer.buyer.id}", "INR")) == 10_000_00
    gained = [after - was for after, was in zip(deal.money(), before, strict=True)]
    assert sum(gained) == 5_00_000_00
    assert deal.financing.surplus == 10_000_00
    check_books(deal.shop.database)


def test_what_is_paid_above_the_invoice_bears_the_lateness_before_the_reserve_does(deal: Deal) -> None:
    deal.pay(5_00_000_00, days_late=15)
    deal.pay(5_000_00, days_late=16, id="pmt_2")
    assert [(row["seller"], row["surplus"]) for row in deal.standing] == [(97_041_10, 0), (2_958_90, 2_041_10)]


def test_without_recourse_the_reserve_bears_no_lateness(context: Clockwork) -> None:
    deal = deals.make(context, **{**WORKED, "recourse": "none"})
    deal.pay(5_00_000_00, days_late=15)
    [row] = deal.standing
    assert (row["interest"], row["principal"], row["seller"]) == (0, 4_00_000_00, 1_00_000_00)
    deal.pay(5_000_00, days_late=16, id="pmt_2")
    assert [(row["interest"], row["seller"], row["surplus"]) for row in deal.standing][1] == (2_958_90, 0, 2_041_10)


def test_a_shortfall_like_withheld_tax_asks_seller_and_operators_for_the_reason(context: Clockwork) -> None:
    operator = deals.operator(context)
    deal = deals.make(context, face=LAKH, ask=90_000_00, now=BEGUN)
    deal.pay(98_000_00)
    assert state_of(deal) is State.PART_PAID
    asked = "SELECT user_id, cleared_at FROM notifications WHERE subject_id = :id AND kind = 'repayment.short'"
    rows = deal.shop.rows(asked, id=deal.invoice_id)
    assert {deal.offer.seller.id, operator.id} <= {row["user_id"] for row in rows}
    deal.pay(2_000_00, id="pmt_2")
    assert state_of(deal) is State.REPAID
    assert {row["cleared_at"] for row in deal.shop.rows(asked, id=deal.invoice_id)} == {NOW}


def test_another_currency_and_a_hint_repay_nothing(deal: Deal) -> None:
    before = deal.books
    deal.pay(5_00_000_00, currency="USD")
    record = Payment(
        object_id="pmt_9",
        version=1,
        status=PaymentStatus.SUCCEEDED,
        money=Money(5_00_000_00, "INR"),
        occurred_at=NOW,
        references=(Reference(0, deal.offer.number),),
    )
    with deal.shop.database.connect() as connection:
        intake.apply(connection, deal.shop.state(record, trust=Trust.HINT), now=NOW)
    assert deal.books == before


def test_money_that_goes_back_is_taken_back_once_and_what_is_left_divided_again(deal: Deal) -> None:
    before = deal.books
    deal.pay(5_00_000_00)
    deal.shop.hear(deal.returned(1_50_000_00))
    [row] = deal.standing
    assert (row["principal"], row["seller"]) == (3_50_000_00, 0)
    assert state_of(deal) is State.PART_PAID
    deal.shop.hear(deal.returned(3_50_000_00, id="rfd_2"))
    after = deal.books
    assert after == before
    assert state_of(deal) is State.FUNDED
    made = deal.shop.rows(
        "SELECT transfer_id, reversed_by, (SELECT original FROM ledger_reversals WHERE transfer_id = reversed_by) "
        "AS original FROM repayments WHERE financing_id = :id",
        id=deal.offer.financing_id,
    )
    assert len(made) == 2
    assert all(row["original"] == row["transfer_id"] for row in made)
    check_books(deal.shop.database)


def test_a_dispute_that_is_lost_takes_it_back_and_one_that_is_won_takes_nothing(deal: Deal) -> None:
    deal.pay(5_00_000_00)
    repaid = deal.books
    deal.shop.hear(dispute("lost", amount_minor=5_00_000_00))
    assert state_of(deal) is State.FUNDED
    assert deal.standing == []
    other = deals.make(deal.shop.context)
    other.pay(5_00_000_00)
    other.shop.hear(dispute("won", amount_minor=5_00_000_00))
    assert other.books["money"] == repaid["money"]


def story(deal: Deal) -> list[Json]:
    """Two payments, one of them late and in part returned, and a third that fails after it was told."""
    return [
        deal.paid(3_50_000_00, days_late=15, id="a"),
        deal.paid(1_60_000_00, days_late=20, id="b"),
        deal.returned(50_000_00, payment_id="a"),
        deal.paid(10_000_00, days_late=-3, id="c"),
        dispute("lost", payment_id="b", amount_minor=20_000_00),
    ]


def test_any_order_of_arrival_and_any_repetition_ends_as_the_order_of_the_money(context: Clockwork) -> None:
    ended = []
    orders = list(permutations(range(5)))
    for turn, order in enumerate([orders[0], *Random(7).sample(orders, 6)]):
        deal = deals.make(context)
        told = [story(deal)[place] for place in order]
        told += told[turn % 5 :: 2]
        if turn % 3 == 1:
            deal.shop.hear(*told)
        else:
            for body in told:
                deal.shop.hear(body)
        ended.append(deal.books)
        assert deal.books["escrow"] == 0
    for other in ended[1:]:
        assert other == ended[0]
    assert ended[0]["sums"][0] == 4_50_000_00
    check_books(context.database)


@pytest.mark.long
def test_every_order_of_arrival_ends_as_the_order_of_the_money(context: Clockwork) -> None:
    ended = []
    for order in permutations(range(5)):
        deal = deals.make(context)
        for place in order:
            deal.shop.hear(story(deal)[place])
        ended.append(deal.books)
    assert all(other == ended[0] for other in ended)


def test_a_payment_told_late_goes_first_when_it_was_paid_first(deal: Deal) -> None:
    deal.pay(4_50_000_00, days_late=15, id="late")
    assert [row["interest"] for row in deal.standing] == [2_958_90]
    deal.pay(3_00_000_00, days_late=-1, id="early")
    # Three lakhs came on time: late interest runs on one lakh alone.
    assert [(row["interest"], row["principal"]) for row in deal.standing] == [(0, 3_00_000_00), (739_73, 1_00_000_00)]
    check_books(deal.shop.database)


def test_what_was_spent_in_between_is_claimed_and_paid_off_by_what_comes_next(context: Clockwork) -> None:
    deal = deals.make(context, face=LAKH, ask=90_000_00, now=BEGUN)
    investor = deal.offer.investors[0]
    with context.database.session() as session:
        second = builders.listed(session, face=LAKH, ask=90_000_00, now=BEGUN)
        funding.fund(session, investor, second.invoice_id, 90_000_00, BEGUN, rules=builders.RULES)
    other = Deal(shop=open_shop(context, seller=second.seller), offer=second)
    deal.pay(LAKH)
    deal.spend(investor, deal.money(investor)[0] - 30_000_00)
    claim = ledger.recoverable(investor.id, "INR")
    deal.shop.hear(deal.returned(LAKH))
    assert deal.money(investor) == [0]
    assert deal.balance(claim) == -70_000_00
    other.pay(LAKH)
    assert deal.balance(claim) == 0
    assert deal.money(investor) == [30_000_00]
    # What cleared the claim is taken back like all else.
    other.shop.hear(other.returned(LAKH))
    assert deal.balance(claim) == -1_00_000_00 + 30_000_00
    assert deal.money(investor) == [0]
    check_books(context.database)


def test_a_seller_who_spent_the_reserve_owes_it(deal: Deal) -> None:
    deal.pay(5_00_000_00)
    seller = deal.offer.seller
    deal.spend(seller, deal.money(seller)[0])
    deal.shop.hear(deal.returned(1_00_000_00))
    assert deal.balance(ledger.recoverable(seller.id, "INR")) == -1_00_000_00
    assert state_of(deal) is State.REPAID
    check_books(deal.shop.database)


def test_money_held_for_something_else_is_not_taken(context: Clockwork) -> None:
    deal = deals.make(context, face=LAKH, ask=90_000_00, now=BEGUN)
    investor = deal.offer.investors[0]
    deal.pay(LAKH)
    deal.spend(investor, deal.money(investor)[0] - 1_00_000_00)
    with context.database.session() as session:
        second = builders.listed(session, face=2 * LAKH, ask=1_80_000_00)
        funding.fund(session, investor, second.invoice_id, 60_000_00, NOW, rules=builders.RULES)
    deal.shop.hear(deal.returned(LAKH))
    assert deal.money(investor) == [60_000_00]
    assert deal.balance(ledger.recoverable(investor.id, "INR")) == -60_000_00
    check_books(context.database)


@pytest.mark.parametrize("state", [State.PENDING, State.CONFIRMED, State.LISTED])
def test_money_that_comes_before_investors_paid_takes_the_invoice_off_the_marketplace(
    context: Clockwork, state: State
) -> None:
    deal = deals.offered(context, face=LAKH, state=state)
    deal.pay(40_000_00)
    assert state_of(deal) is State.WITHDRAWN
    assert deal.standing == []
    told = deal.shop.rows(
        "SELECT user_id FROM notifications WHERE kind = 'invoice.withdrawn' AND subject_id = :id", id=deal.invoice_id
    )
    assert told == [{"user_id": deal.offer.seller.id}]


@pytest.mark.parametrize("rules", [builders.RULES, builders.NEXT_DAY], ids=["partly funded", "waits for its day"])
def test_what_was_promised_by_then_is_given_back(context: Clockwork, rules: Rules) -> None:
    deal = deals.offered(context, face=LAKH, ask=90_000_00, rules=rules)
    amount = 90_000_00 if rules is builders.NEXT_DAY else 40_000_00
    with context.database.session() as session:
        investor = builders.person(session)
        funding.fund(session, investor, deal.invoice_id, amount, NOW, rules=rules)
    deal.pay(LAKH)
    assert state_of(deal) is State.WITHDRAWN
    with context.database.connect() as connection:
        assert builders.spendable(connection, investor) == [builders.WELCOME]
    check_books(context.database)


def test_a_bank_transaction_that_is_matched_repays_and_unmatching_takes_it_back(deal: Deal) -> None:
    before = deal.money()
    deal.shop.hear(transaction(amount="500000.00", narration=f"NEFT {deal.offer.number}"))
    bank = deal.shop.one("SELECT id FROM transactions WHERE user_id = :user")["id"]
    with deal.shop.database.session() as session:
        decisions.accept(session, deal.offer.seller.id, bank, None, NOW)
    assert state_of(deal) is State.REPAID
    with deal.shop.database.session() as session:
        overruling.undo(session, builders.person(session, Role.OPERATOR), bank, "not this invoice's", NOW)
    assert state_of(deal) is State.FUNDED
    assert deal.money() == before
    check_books(deal.shop.database)


def test_a_payment_that_waited_for_its_invoice_repays_when_they_meet(deal: Deal) -> None:
    deal.shop.hear(deal.paid(5_00_000_00, invoice_id=None, invoice_number="WAITED-1"))
    deal.shop.name_invoice({"id": deal.invoice_id}, "WAITED-1")
    with deal.shop.database.session() as session:
        assert payments.adopt_waiting(session, deal.invoice_id, now=NOW) == 1
    assert state_of(deal) is State.REPAID


def test_a_payment_that_turns_out_to_pay_another_invoice_leaves_this_one(deal: Deal) -> None:
    other = deal.shop.invoice(5_00_000_00)
    before = deal.money()
    deal.shop.hear(deal.paid(5_00_000_00, invoice_id=None, reference=deal.offer.number))
    assert state_of(deal) is State.REPAID
    deal.shop.hear(deal.paid(5_00_000_00, invoice_id=None, invoice_number=other["number"]))
    assert state_of(deal) is State.FUNDED
    assert deal.money() == before


@pytest.mark.parametrize(
    "place",
    [
        "core.ledger.post",
        "core.marketplace.moves.write",
        "core.marketplace.repayment_news.tell",
        "core.intake.announce_all",
    ],
)
def test_killed_anywhere_nothing_is_half_done_and_the_repeat_does_all_of_it(
    deal: Deal, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    record = Payment(
        object_id="pmt_1",
        version=1,
        status=PaymentStatus.SUCCEEDED,
        money=Money(5_00_000_00, "INR"),
        occurred_at=DUE,
        references=(Reference(0, deal.offer.number),),
    )
    said = deal.shop.state(record)
    before = builders.dump(deal.shop.database)

    class Killed(Exception):
        pass

    def kill(*_: object, **__: object) -> None:
        raise Killed

    def hear() -> None:
        with deal.shop.database.connect() as connection:
            intake.apply(connection, said, now=NOW)

    with monkeypatch.context() as patched:
        patched.setattr(place, kill)
        with pytest.raises(Killed):
            hear()
    assert builders.dump(deal.shop.database) == before
    hear()
    hear()
    assert state_of(deal) is State.REPAID
    assert len(deal.standing) == 1
    check_books(deal.shop.database)


def test_many_workers_at_once_take_a_payment_and_its_refund_in_once(context: Clockwork) -> None:
    made = [deals.make(context, face=LAKH, ask=90_000_00, now=BEGUN) for _ in range(3)]
    before = [deal.books for deal in made]
    for deal in made:
        bodies = [deal.paid(LAKH), deal.returned(40_000_00), deal.returned(60_000_00, id="rfd_2")] * 3
        deal.shop.store(*(deal.shop.delivery(body, event_id=f"{deal.invoice_id}-{n}") for n, body in enumerate(bodies)))

    def work(_: int) -> None:
        for _try in range(200):
            try:
                if not normalize.drain(context, limit=2):
                    return
            except OperationalError:
                continue

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    context.wait(context.settings.lease_seconds + 1)
    made[0].shop.work()
    for deal, was in zip(made, before, strict=True):
        assert deal.books == was
        counts = deal.shop.one(
            "SELECT count(*) FILTER (WHERE reversed_by IS NULL) AS standing, count(*) - count(DISTINCT reversed_by) "
            "AS not_reversed FROM repayments WHERE financing_id = :id",
            id=deal.offer.financing_id,
        )
        assert counts == {"standing": 0, "not_reversed": 0}
    check_books(context.database)
    context.moment[0] = NOW


def count(context: Clockwork, bodies: Sequence[tuple[Deal, Json]]) -> list[str]:
    """The statements of processing these bodies, all in one batch."""
    shops = {deal.invoice_id: deal.shop for deal, _ in bodies}
    for deal, body in bodies:
        shops[deal.invoice_id].store(deal.shop.delivery(body, event_id=f"{deal.invoice_id}-n"))
    said: list[str] = []

    def note(_c: object, _u: object, statement: str, *_rest: object) -> None:
        said.append(statement)

    event.listen(context.database.engine, "before_cursor_execute", note)
    try:
        bodies[0][0].shop.work()
    finally:
        event.remove(context.database.engine, "before_cursor_execute", note)
    return said


def test_the_number_of_statements_does_not_grow_with_the_batch(context: Clockwork) -> None:
    made = [deals.make(context, face=LAKH, ask=90_000_00, now=BEGUN) for _ in range(9)]
    one = count(context, [(made[0], made[0].paid(LAKH))])
    eight = count(context, [(deal, deal.paid(LAKH)) for deal in made[1:]])
    assert {state_of(deal) for deal in made} == {State.REPAID}
    assert len(eight) == len(one)


def test_payments_of_invoices_nobody_financed_cost_one_query_a_batch(context: Clockwork) -> None:
    deal = deals.make(context, face=LAKH, ask=90_000_00, now=BEGUN)
    invoices = [deal.shop.invoice() for _ in range(5)]
    bodies = [(deal, deal.paid(10_000, id=f"p{n}", invoice_id=one["id"])) for n, one in enumerate(invoices)]
    deal.shop.store(*(deal.shop.delivery(body, event_id=f"none-{n}") for n, (_, body) in enumerate(bodies)))
    said = count(context, bodies[:1])
    # The seller's books, which follow whatever happens, aside.
    said = [one for one in said if "book_" not in one]
    touching = [one for one in said if "financing" in one or "ledger" in one or "repayment" in one]
    assert len(touching) == 1


def test_the_database_keeps_escrow_empty_whatever_is_written_by_hand(deal: Deal) -> None:
    escrow = ledger.escrow(deal.offer.financing_id, "INR")
    stuck = ledger.Transfer(
        kind="repayment.received",
        key=f"by hand {deal.invoice_id}",
        legs=(ledger.Leg(ledger.outside(None, "INR"), -100), ledger.Leg(escrow, 100)),
        description="by hand",
    )

    def leave_it() -> None:
        with deal.shop.database.connect() as connection:
            ledger.post(connection, [stuck], NOW)
            connection.execute(
                text("UPDATE financings SET updated_at = now() WHERE id = :id"), {"id": deal.offer.financing_id}
            )

    with pytest.raises(IntegrityError, match="escrow"):
        leave_it()
    assert deal.balance(escrow) == 0


def test_no_money_rests_in_escrow_even_when_the_financing_is_left_alone(context: Clockwork) -> None:
    deal = deals.make(context, face=LAKH, ask=90_000_00, now=BEGUN)
    escrow = ledger.escrow(deal.offer.financing_id, "INR")
    stuck = ledger.Transfer(
        kind="test.stuck",
        key=f"rests:{deal.offer.financing_id}",
        legs=(ledger.Leg(ledger.outside(None, "INR"), -100), ledger.Leg(escrow, 100)),
        description="by hand",
    )
    with pytest.raises(IntegrityError, match="escrow"), context.database.connect() as connection:
        ledger.post(connection, [stuck], NOW)
    assert deal.balance(escrow) == 0


REFUSED = [
    (
        "repaid without the money",
        "UPDATE financings SET state = 'repaid', version = version + 1 WHERE id = :id",
        "financings_repaid_in_full",
    ),
    (
        "principal that no investment got",
        "UPDATE financings SET repaid_principal = repaid_principal + 1 WHERE id = :id",
        "disagree",
    ),
    ("money that no payment brought", "UPDATE financings SET collected = collected + 1 WHERE id = :id", "disagree"),
    (
        "a payment that runs twice",
        (
            "INSERT INTO repayments (id, financing_id, payment_id, sequence, amount, currency, interest, principal, "
            "seller, surplus, transfer_id, paid_at, created_at) SELECT uuid7(), financing_id, payment_id, 99, amount, "
            "repayments.currency, interest, principal, seller, surplus, ledger_transfers.id, paid_at, created_at "
            "FROM repayments JOIN ledger_transfers ON kind = 'financing.settled' WHERE financing_id = :id LIMIT 1"
        ),
        "repayments_once",
    ),
    (
        "a repayment without a transfer",
        (
            "INSERT INTO repayments (id, financing_id, payment_id, sequence, amount, currency, interest, principal, "
            "seller, surplus, transfer_id, paid_at, created_at) SELECT uuid7(), financing_id, uuid7(), 99, 1, "
            "currency, 0, 1, 0, 0, uuid7(), paid_at, created_at FROM repayments WHERE financing_id = :id"
        ),
        "begins with its transfer",
    ),
    (
        "taken back without a reversal",
        "UPDATE repayments SET reversed_by = uuid7() WHERE financing_id = :id",
        "by the reversal of its transfer",
    ),
    (
        "a repayment rewritten",
        "UPDATE repayments SET amount = 1, principal = 1 WHERE financing_id = :id",
        "append-only",
    ),
    ("a repayment deleted", "DELETE FROM repayments WHERE financing_id = :id", "append-only"),
    (
        "a share rewritten",
        (
            "UPDATE repayment_shares SET principal = principal + 1 WHERE repayment_id IN "
            "(SELECT id FROM repayments WHERE financing_id = :id)"
        ),
        "append-only",
    ),
    (
        "a share that nobody bought",
        (
            "INSERT INTO repayment_shares SELECT repayments.id, investments.id, 1, 1 FROM repayments, investments "
            "WHERE repayments.financing_id = :id AND investments.financing_id <> :id LIMIT 1"
        ),
        "add up",
    ),
    ("another price", "UPDATE financings SET discount = discount + 1 WHERE id = :id", "agreed on"),
    ("another fee", "UPDATE financings SET fee = fee + 1 WHERE id = :id", "agreed on"),
    ("another seller", "UPDATE financings SET seller_id = uuid7() WHERE id = :id", "agreed on"),
    ("another acceptance", "UPDATE financings SET confirmed_amount = confirmed_amount - 1 WHERE id = :id", "agreed on"),
    ("no acceptance", "UPDATE financings SET confirmed_amount = NULL WHERE id = :id", "agreed on"),
    ("a day more to pay", "UPDATE financings SET pay_date = pay_date + 1 WHERE id = :id", "agreed on"),
    (
        "a way that there is not",
        "INSERT INTO financing_transitions SELECT 'repaid', 'listed' FROM financings WHERE id = :id",
        "append-only",
    ),
]


@pytest.mark.parametrize(("statement", "why"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_the_database_refuses(context: Clockwork, statement: str, why: str) -> None:
    deals.make(context, face=LAKH, ask=90_000_00, now=BEGUN)
    deal = deals.make(context, face=LAKH, ask=90_000_00, now=BEGUN)
    deal.pay(40_000_00)
    with pytest.raises(IntegrityError, match=why):
        deals.run(context, statement, id=deal.offer.financing_id)


def test_a_payment_that_races_with_the_last_slice_either_repays_or_gives_everything_back(context: Clockwork) -> None:
    made = [deals.offered(context, face=LAKH, ask=90_000_00) for _ in range(4)]
    with context.database.session() as session:
        investors = [builders.person(session) for _ in made]
    together = Barrier(2 * len(made))

    def fund(deal: Deal, investor: Actor) -> None:
        together.wait()
        with suppress(NotOnOffer), context.database.session() as session:
            funding.fund(session, investor, deal.invoice_id, 90_000_00, NOW, rules=builders.RULES)

    def pay(deal: Deal, _: Actor) -> None:
        said = deal.shop.state(
            Payment(
                object_id="pmt_1",
                version=1,
                status=PaymentStatus.SUCCEEDED,
                money=Money(LAKH, "INR"),
                occurred_at=DUE,
                references=(Reference(0, deal.offer.number),),
            )
        )
        together.wait()
        with context.database.connect() as connection:
            intake.apply(connection, said, now=NOW)

    with ThreadPoolExecutor(2 * len(made)) as pool:
        pairs = list(zip(made, investors, strict=True))
        racing = [pool.submit(job, deal, investor) for job in (fund, pay) for deal, investor in pairs]
        for one in racing:
            one.result()
    for deal, investor in pairs:
        ended = (state_of(deal), deal.money(investor))
        assert ended in [(State.WITHDRAWN, [builders.WELCOME]), (State.REPAID, [builders.WELCOME + 10_000_00])]
    check_books(context.database)

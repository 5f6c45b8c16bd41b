"""What a seller's word settles of a financed invoice: what investors have no claim on, and never what they have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from itertools import permutations
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from core.errors import Conflict, Forbidden, Invalid
from core.invoicing import credit_notes
from core.invoicing.credit_notes import NewCreditNote
from core.invoicing.totals import NewItem
from core.marketplace import words
from core.marketplace.states import State
from core.marketplace.words import Financed, InvestorsRepaid
from core.payments import manual
from core.reconciliation import decisions, overruling, withheld
from tests.builders import NOW, Clockwork, transaction, worker
from tests.core.marketplace import deals
from tests.core.marketplace.builders import check_books
from tests.core.marketplace.deals import BEGUN, Deal, state_of
from tests.core.payments.counter import DAY, Counter

FACE, CONFIRMED, PRINCIPAL = 1_00_000_00, 98_000_00, 78_400_00
FREE = FACE - CONFIRMED


@pytest.fixture(scope="module")
def context(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as parts:
        yield parts


@pytest.fixture
def deal(context: Clockwork) -> Deal:
    """₹1,00,000, of which the buyer confirmed ₹98,000: TDS at 2 % is not payable. 80 % of that is financed."""
    return deals.make(context, face=FACE, confirmed=CONFIRMED, haircut="20", now=BEGUN)


@pytest.fixture
def counter(deal: Deal) -> Counter:
    return Counter(deal.shop)


def word(deal: Deal, amount: int, method: str = "tds_withheld", **more: Any) -> UUID:
    return Counter(deal.shop).record(amount, (deal.invoice_id, amount), method=method, **more)


def note(deal: Deal, amount: int) -> UUID:
    new = NewCreditNote(
        invoice_id=deal.invoice_id,
        reason="short measure",
        issue_date=DAY,
        items=[NewItem(description="Cloth", quantity=Decimal(1), unit_price=amount)],
    )
    return UUID(Counter(deal.shop).do(credit_notes.create, new)["id"])


def standing(deal: Deal) -> tuple[str, int]:
    (found,) = Counter(deal.shop).standing(deal.invoice_id)
    return found


@pytest.mark.parametrize("settle_by", [word, note], ids=["a payment by hand", "a credit note"])
def test_while_investors_wait_words_settle_what_the_buyer_did_not_confirm(
    deal: Deal, settle_by: Callable[[Deal, int], UUID]
) -> None:
    with pytest.raises(Financed, match=r"at most ₹2,000\.00 of it") as refused:
        settle_by(deal, FREE + 1)
    assert refused.value.code == "invoice_financed"
    settle_by(deal, FREE - 1)
    with pytest.raises(Financed, match=r"at most ₹0\.01 of it"):
        settle_by(deal, 2)
    settle_by(deal, 1)
    with pytest.raises(Financed, match="nothing more of it"):
        settle_by(deal, 1)
    assert standing(deal) == ("partial", FREE)
    assert (deal.standing, state_of(deal)) == ([], State.FUNDED)


def test_an_invoice_whose_buyer_kept_tax_back_is_paid(deal: Deal) -> None:
    deal.pay(CONFIRMED)
    before = (deal.money(), deal.standing)
    assert standing(deal) == ("partial", CONFIRMED)
    word(deal, FREE)
    assert (standing(deal), state_of(deal)) == (("paid", FACE), State.REPAID)
    # It repaid nobody and is no money.
    assert (deal.money(), deal.standing) == before
    check_books(deal.shop.database)


def test_what_is_still_due_once_investors_are_repaid_is_settled_by_hand(deal: Deal, counter: Counter) -> None:
    deal.pay(PRINCIPAL - 1)
    with pytest.raises(Financed, match=r"at most ₹2,000\.00"):
        note(deal, FACE - PRINCIPAL)
    deal.pay(1, id="pmt_2")
    assert state_of(deal) is State.REPAID
    note(deal, FACE - PRINCIPAL)
    assert standing(deal) == ("paid", FACE)
    # More than is due is the customer's credit, as with any invoice.
    with pytest.raises(Conflict, match="is paid and takes no payment"):
        word(deal, 1)


def test_credit_that_is_a_word_is_applied_within_the_same_bounds(deal: Deal, counter: Counter) -> None:
    contact = deal.shop.one("SELECT contact_id FROM invoices WHERE id = :id", id=deal.invoice_id)["contact_id"]
    paid = counter.record(5_000_00, contact_id=contact)
    with pytest.raises(Financed, match=r"at most ₹2,000\.00"):
        counter.allocate(paid, (deal.invoice_id, FREE + 1))
    counter.allocate(paid, (deal.invoice_id, FREE))
    with pytest.raises(Financed, match=r"at most ₹2,000\.00"):
        counter.edit(paid, targets=deals_aims(deal, FREE + 1))
    assert standing(deal) == ("partial", FREE)


def deals_aims(deal: Deal, amount: int) -> list[manual.NewTarget]:
    return [manual.NewTarget(deal.invoice_id, amount)]


def test_when_the_money_goes_back_investors_come_before_the_sellers_word(deal: Deal, counter: Counter) -> None:
    deal.pay(PRINCIPAL + 600_00)
    said = note(deal, FACE - PRINCIPAL - 600_00)
    assert (standing(deal), state_of(deal)) == (("paid", FACE), State.REPAID)
    deal.shop.hear(deal.returned(600_01))
    # One paisa of the principal is owed again: the word settles what is not theirs, the rest is the customer's credit.
    assert state_of(deal) is State.PART_PAID
    assert standing(deal) == ("partial", PRINCIPAL - 1 + FREE)
    credit = deal.shop.one(
        "SELECT net - allocated AS left FROM payments JOIN credit_notes ON payment_id = payments.id "
        "WHERE credit_notes.id = :id",
        id=said,
    )
    assert credit["left"] == FACE - PRINCIPAL - 600_00 - FREE
    assert "released" in {row["reason"] for row in deal.shop.rows("SELECT reason FROM allocations")}
    # Nothing that was written down keeps the seller from changing its words; and it comes back with the money.
    deal.shop.hear(deal.paid(1, id="pmt_2"))
    assert (standing(deal)[1], state_of(deal)) == (PRINCIPAL + FACE - PRINCIPAL - 600_00, State.REPAID)
    check_books(deal.shop.database)


def test_the_word_that_no_longer_settles_is_told(deal: Deal, counter: Counter) -> None:
    deal.pay(PRINCIPAL)
    paid = word(deal, 10_000_00, "other")
    deal.shop.hear(deal.returned(PRINCIPAL))
    told = deal.shop.one("SELECT title, body FROM notifications WHERE kind = 'word.released' AND user_id = :user")
    assert deal.offer.number in told["title"]
    assert "₹8,000.00" in told["body"]
    assert counter.parts(paid) == {deal.invoice_id: FREE}
    # Its words stay its seller's to change.
    assert counter.edit(paid, notes="they paid in kind")["notes"] == "they paid in kind"
    with pytest.raises(Financed, match="nothing more"):
        word(deal, 1)


def test_cash_goes_before_words_whichever_was_told_first(context: Clockwork) -> None:
    def hears(deal: Deal) -> None:
        deal.pay(PRINCIPAL - 400_00)

    def hears_more(deal: Deal) -> None:
        deal.pay(FACE - PRINCIPAL, id="pmt_2")

    def says(deal: Deal) -> None:
        word(deal, FREE, date=date(2026, 10, 1))

    found = []
    for moves in permutations((hears, hears_more, says)):
        deal = deals.make(context, face=FACE, confirmed=CONFIRMED, haircut="20", now=BEGUN)
        for move in moves:
            move(deal)
        found.append((standing(deal), deal.shares, deal.money(deal.offer.seller)))
    # The whole face came but for ₹400: of the ₹2,000 that were said to be kept back that much was.
    assert found[0][0] == ("paid", FACE)
    assert all(one == found[0] for one in found)


def test_a_word_takes_nothing_from_what_a_later_payment_brings_investors(context: Clockwork) -> None:
    silent, said = (
        deals.make(context, face=FACE, confirmed=CONFIRMED, haircut="20", recourse="reserve", now=BEGUN)
        for _ in range(2)
    )
    word(said, FREE)
    for deal in (silent, said):
        deal.pay(FACE, days_late=20)
    assert silent.shares == said.shares
    assert [row["interest"] for row in said.standing] != [0]
    assert standing(said) == standing(silent) == ("paid", FACE)


def test_without_the_rule_in_code_the_database_refuses_the_word(deal: Deal, monkeypatch: pytest.MonkeyPatch) -> None:
    deal.pay(100)
    # Where one payment is aimed is not asked: cash is filled in first, and words up to what is free.
    monkeypatch.setattr(words, "check", lambda *_: None)
    word(deal, FREE + 500)
    assert standing(deal) == ("partial", FREE + 100)
    monkeypatch.setattr(words, "limits", lambda *_: {})
    with pytest.raises(IntegrityError, match="investors wait for invoice"):
        word(deal, 1)


def test_without_the_rule_in_code_the_database_refuses_to_owe_investors_what_a_word_settled(
    deal: Deal, monkeypatch: pytest.MonkeyPatch
) -> None:
    deal.pay(PRINCIPAL)
    word(deal, FACE - PRINCIPAL, "other")
    monkeypatch.setattr(words, "limits", lambda *_: {})
    deal.shop.hear(deal.returned(PRINCIPAL))
    # The news was refused as a whole, and waits for whoever mends the rule.
    assert (standing(deal), state_of(deal)) == (("paid", FACE), State.REPAID)


def test_without_the_database_the_code_alone_refuses_the_word(deal: Deal) -> None:
    """The bound is checked before anything is asked of the database: its triggers would speak at the commit."""
    with deal.shop.database.session() as session, pytest.raises(Financed):
        manual.record(
            session,
            deal.shop.seller,
            manual.NewPayment(
                amount=FACE, currency="INR", method="other", date=DAY, targets=deals_aims(deal, FREE + 1)
            ),
            NOW,
        )


# Lines of a bank


def line(deal: Deal, amount: str, *, reference: str = "UTR1", **more: Any) -> UUID:
    deal.shop.hear(transaction(amount=amount, narration=f"NEFT {deal.offer.number}", bank_reference=reference, **more))
    rows = deal.shop.rows("SELECT id FROM transactions WHERE user_id = :user ORDER BY id DESC LIMIT 1")
    found: UUID = rows[0]["id"]
    return found


def accept(deal: Deal, transaction_id: UUID, **how: Any) -> UUID | None:
    with deal.shop.database.session() as session:
        return decisions.accept(session, deal.offer.seller.id, transaction_id, how.pop("invoice", None), NOW, **how)


def test_a_line_is_not_linked_to_a_word_for_a_financed_invoice(deal: Deal, monkeypatch: pytest.MonkeyPatch) -> None:
    paid = word(deal, FREE, "bank_transfer")
    found = line(deal, "2000.00")
    with pytest.raises(Financed, match="noted by hand"):
        accept(deal, found, payment_id=paid)
    with monkeypatch.context() as without:
        without.setattr(words, "refuse_line", lambda *_: None)
        with pytest.raises(IntegrityError, match="no line of a bank"):
            accept(deal, found, payment_id=paid)
    # As a payment of the invoice it reaches the investors, and the word steps aside.
    assert accept(deal, found, invoice=deal.invoice_id) is not None
    assert [row["principal"] for row in deal.standing] == [FREE]
    assert standing(deal) == ("partial", 2 * FREE)


def test_a_word_that_a_line_tells_of_is_not_aimed_at_a_financed_invoice(
    deal: Deal, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    contact = deal.shop.one("SELECT contact_id FROM invoices WHERE id = :id", id=deal.invoice_id)["contact_id"]
    paid = counter.record(FREE, contact_id=contact, method="bank_transfer")
    found = line(deal, "2000.00")
    accept(deal, found, payment_id=paid)
    with pytest.raises(Financed, match="a bank tells of this money"):
        counter.allocate(paid, (deal.invoice_id, FREE))
    monkeypatch.setattr(words, "refuse_linked", lambda *_: None)
    with pytest.raises(IntegrityError, match="no line of a bank"):
        counter.allocate(paid, (deal.invoice_id, FREE))


def test_tax_kept_back_of_a_financed_invoice_is_booked_from_its_line(deal: Deal) -> None:
    found = line(deal, "98000.00")
    accept(deal, found)
    with deal.shop.database.connect() as connection:
        connection.execute(
            text(
                "UPDATE matches SET features = features || jsonb_build_object('tds_rate', '2') "
                "WHERE transaction_id = :id"
            ),
            {"id": found},
        )
    with deal.shop.database.session() as session:
        (offered,) = withheld.offer(session, deal.offer.seller.id, found)
        assert (offered["amount"], offered["refused"]) == (FREE, None)
        withheld.book(session, deal.shop.seller, found, NOW)
    assert (standing(deal), state_of(deal)) == (("paid", FACE), State.REPAID)


@pytest.mark.parametrize("said", ["by the seller when the buyer was asked", "by whoever matched the line"])
def test_tax_that_somebody_said_was_kept_back_is_offered_without_a_rate(deal: Deal, said: str) -> None:
    found = line(deal, "98000.00")
    if said.startswith("by whoever"):
        accept(deal, found, invoice=deal.invoice_id, short_reason="tds")
    else:
        with deal.shop.database.connect() as connection:
            connection.execute(
                text(
                    "UPDATE financings SET document = document || '{\"tax_withheld\": 200000}' WHERE invoice_id = :id"
                ),
                {"id": deal.invoice_id},
            )
        accept(deal, found)
    with deal.shop.database.session() as session:
        (offered,) = withheld.offer(session, deal.offer.seller.id, found)
        assert (offered["amount"], offered["rate"], offered["refused"]) == (FREE, None, None)
        (made,) = withheld.book(session, deal.shop.seller, found, NOW)
    assert (made["method"], made["notes"]) == ("tds_withheld", f"TDS of {deal.offer.number}")
    assert standing(deal) == ("paid", FACE)


def test_tax_that_investors_wait_for_is_not_booked_and_the_offer_says_why(context: Clockwork) -> None:
    deal = deals.make(context, face=FACE, now=BEGUN)
    found = line(deal, "98000.00")
    accept(deal, found)
    with deal.shop.database.connect() as connection:
        connection.execute(
            text('UPDATE matches SET features = features || \'{"tds_rate": "2"}\' WHERE transaction_id = :id'),
            {"id": found},
        )
    with deal.shop.database.session() as session:
        (offered,) = withheld.offer(session, deal.offer.seller.id, found)
        assert "wait for their money" in offered["refused"]
    with pytest.raises(Financed, match="nothing more"), deal.shop.database.session() as session:
        withheld.book(session, deal.shop.seller, found, NOW)


def test_a_match_that_repaid_investors_is_an_operators_to_undo(deal: Deal, context: Clockwork) -> None:
    found = line(deal, "98000.00")
    accept(deal, found)
    before = (deal.money(), deal.standing, standing(deal))
    with pytest.raises(InvestorsRepaid) as refused, deal.shop.database.session() as session:
        decisions.undo(session, deal.offer.seller.id, found, NOW)
    assert (refused.value.code, deal.offer.number in str(refused.value)) == ("investors_repaid", True)
    assert (deal.money(), deal.standing, standing(deal)) == before
    with deal.shop.database.session() as session:
        assert overruling.held_by_investors(session, [found]) == {found: [deal.offer.number]}
    operator = deals.operator(context)
    for who, reason, error in (
        (deal.shop.seller, "a bank told of it twice", Forbidden),
        (operator, "too short", Invalid),
        (operator, "x" * 501, Invalid),
    ):
        with pytest.raises(error), deal.shop.database.session() as session:
            overruling.undo(session, who, found, reason, NOW)
    assert deal.money() == before[0]
    with deal.shop.database.session() as session:
        overruling.undo(session, operator, found, "0123456789", NOW)
    assert (deal.standing, state_of(deal), standing(deal)) == ([], State.FUNDED, ("open", 0))
    kept = deal.shop.one("SELECT actor_id, data FROM audit_log WHERE action = 'match.undone_by_operator' "
                         "AND subject_id = :id", id=found)  # fmt: skip
    assert kept["actor_id"] == operator.id
    assert kept["data"] == {
        "reason": "0123456789", "investors": [{"invoice": deal.offer.number, "amount": PRINCIPAL}],
    }  # fmt: skip
    assert deal.shop.one("SELECT body FROM notifications WHERE kind = 'match.undone' AND user_id = :user")
    check_books(deal.shop.database)


def test_a_match_of_which_investors_had_nothing_is_its_sellers_to_undo(deal: Deal) -> None:
    deal.pay(CONFIRMED)
    found = line(deal, "2000.00")
    accept(deal, found, invoice=deal.invoice_id)
    shares = deal.shares
    with deal.shop.database.session() as session:
        assert overruling.held_by_investors(session, [found]) == {}
        decisions.undo(session, deal.offer.seller.id, found, NOW)
    assert (deal.shares, standing(deal)) == (shares, ("partial", CONFIRMED))


def test_a_bank_takes_its_own_line_back_as_ever(deal: Deal) -> None:
    found = line(deal, "98000.00")
    accept(deal, found)
    assert state_of(deal) is State.REPAID
    deal.shop.hear(transaction("removed", 60, amount="98000.00", narration=f"NEFT {deal.offer.number}"))
    assert (state_of(deal), deal.standing) == (State.FUNDED, [])

"""Payments by hand: several invoices, part and over-payments, changes, refunds, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest

from core.edits import StaleEdit
from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.identity import Role
from core.ids import new_id
from core.invoicing import invoices
from core.money import MAX_MINOR
from core.payments import credit, listing, manual
from core.payments.manual import NewPayment, PaymentChanges
from core.reconciliation import decisions
from tests.builders import NOW, Clockwork, Json, add_seller, check_sums, dispute, payment, transaction, worker
from tests.core.payments.counter import DAY, Counter, aims, open_counter


@pytest.fixture(scope="module")
def context(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as parts:
        yield parts


@pytest.fixture
def counter(context: Clockwork) -> Iterator[Counter]:
    made = open_counter(context)
    yield made
    check_sums(context.database)


def test_one_payment_pays_several_invoices_each_its_part(counter: Counter) -> None:
    first, second = counter.bill(100, 80)
    paid = counter.record(150, (first, 100), (second, 50))
    assert counter.standing(first, second) == [("paid", 100), ("partial", 50)]
    assert counter.parts(paid) == {first: 100, second: 50}


def test_what_is_over_is_the_customers_credit_and_pays_another_invoice_later(counter: Counter) -> None:
    first, second = counter.bill(100, 80)
    told = counter.written(130, (first, 130))
    assert (told["allocated"], told["unapplied"]) == (100, 30)
    contact = UUID(told["contact"]["id"])
    with counter.shop.database.session() as session:
        assert [row.unapplied for row in credit.credit(session, counter.shop.seller.id, contact)] == [30]
    counter.allocate(UUID(told["id"]), (second, 30))
    assert counter.standing(first, second) == [("paid", 100), ("partial", 30)]


def test_money_for_no_invoice_is_credit_and_the_oldest_of_it_is_applied_first(counter: Counter) -> None:
    first, second = counter.bill(100, 80)
    contact = UUID(counter.invoices[0]["contact"]["id"])
    later = counter.record(60, contact_id=contact, date=DAY)
    earlier = counter.record(50, contact_id=contact, date=DAY - timedelta(days=1))
    used = counter.do(manual.allocate_credit, contact, aims([(first, 40), (second, 30)]))
    assert used == [earlier, later]
    assert (counter.parts(earlier), counter.parts(later)) == ({first: 40, second: 10}, {second: 20})
    with pytest.raises(Invalid, match="1 minor units more than there is left"):
        counter.do(manual.allocate_credit, contact, aims([(first, 41)]))
    assert counter.standing(first, second) == [("partial", 40), ("partial", 30)]


def test_tax_that_the_customer_keeps_back_is_a_payment_without_cash(counter: Counter) -> None:
    (invoice,) = counter.bill(10_000)
    counter.record(9_000, (invoice, 9_000), method="bank_transfer")
    counter.record(1_000, (invoice, 1_000), method="tds_withheld")
    assert counter.standing(invoice) == [("paid", 10_000)]


def test_a_change_of_amount_day_and_targets_reaches_the_invoices(counter: Counter) -> None:
    first, second = counter.bill(100, 80)
    paid = counter.record(100, (first, 100))
    assert counter.edit(paid, amount=70)["version"] == 2
    assert counter.standing(first, second) == [("partial", 70), ("open", 0)]
    counter.edit(paid, targets=aims([(second, 60)]))
    assert counter.standing(first, second) == [("open", 0), ("partial", 60)]
    told = counter.edit(paid, date=date(2026, 10, 1), reference="UTR 1", notes="by courier", method="cheque")
    assert (told["occurred_at"].date(), told["bank_reference"], told["notes"]) == (
        date(2026, 10, 1),
        "UTR 1",
        "by courier",
    )
    assert [entry["action"] for entry in told["history"]] == ["payment.edited"] * 3 + ["payment.recorded"]
    assert told["history"][0]["changes"]["date"] == ["2026-11-02", "2026-10-01"]


def test_an_amount_that_shrinks_takes_from_the_last_invoice_first(counter: Counter) -> None:
    first, second = counter.bill(100, 80)
    paid = counter.record(150, (first, 100), (second, 50))
    counter.edit(paid, amount=110)
    assert counter.parts(paid) == {first: 100, second: 10}


def test_the_second_of_two_who_edit_is_told_what_the_first_changed(counter: Counter) -> None:
    (invoice,) = counter.bill(100)
    paid = counter.record(100, (invoice, 100))
    counter.edit(paid, amount=90, expected_version=1)
    with pytest.raises(StaleEdit, match="changed amount, targets") as caught:
        counter.edit(paid, notes="mine", expected_version=1)
    assert (caught.value.version, caught.value.edits[0].changes["amount"]) == (2, [100, 90])


def test_writing_what_is_there_already_changes_nothing(counter: Counter) -> None:
    (invoice,) = counter.bill(100)
    paid = counter.record(100, (invoice, 100), reference="r")
    heard = len(counter.shop.rows("SELECT 1 FROM outbox"))
    assert counter.edit(paid, amount=100, reference=" r ", targets=aims([(invoice, 100)]))["version"] == 1
    assert len(counter.shop.rows("SELECT 1 FROM outbox")) == heard


def test_a_deleted_payment_stays_cancelled_and_its_invoices_are_due_again(counter: Counter) -> None:
    first, second = counter.bill(100, 80)
    paid = counter.record(150, (first, 100), (second, 50))
    told = counter.do(manual.delete, paid, reason="the cheque bounced")
    assert (told["status"], told["failure"], told["allocated"]) == ("cancelled", "the cheque bounced", 0)
    assert counter.standing(first, second) == [("open", 0), ("open", 0)]
    told_of = "SELECT name FROM outbox WHERE data->>'payment_id' = :id ORDER BY id"
    names = [row["name"] for row in counter.shop.rows(told_of, id=str(paid))]
    assert names == ["payment.received"] * 3 + ["payment.deleted"] * 3
    assert counter.delete(paid)["version"] == told["version"]
    with pytest.raises(Conflict, match="was deleted"):
        counter.edit(paid, amount=1)


def test_money_given_back_comes_out_of_credit_first_then_of_the_last_invoice(counter: Counter) -> None:
    first, second = counter.bill(100, 80)
    paid = counter.record(170, (first, 100), (second, 50))
    assert counter.give_back(paid, 20)["refunded"] == 20
    assert counter.parts(paid) == {first: 100, second: 50}
    counter.give_back(paid, 60)
    assert counter.parts(paid) == {first: 90}
    with pytest.raises(Invalid, match="at most the 90"):
        counter.give_back(paid, 91)
    counter.give_back(paid, 90)
    assert counter.standing(first, second) == [("open", 0), ("open", 0)]


def test_money_can_be_given_back_out_of_one_invoices_part(counter: Counter) -> None:
    first, second = counter.bill(100, 80)
    paid = counter.record(150, (first, 100), (second, 50))
    counter.give_back(paid, 30, first)
    assert counter.parts(paid) == {first: 70, second: 50}
    with pytest.raises(Invalid, match="at most the 70"):
        counter.give_back(paid, 71, first)


def test_what_is_not_needed_where_it_was_meant_goes_back_before_what_pays(counter: Counter) -> None:
    first, second = counter.bill(100, 80)
    counter.record(60, (first, 60), date=DAY - timedelta(days=1))
    paid = counter.record(150, (first, 100), (second, 50))
    assert counter.parts(paid) == {first: 40, second: 50}
    counter.give_back(paid, 60)
    assert counter.parts(paid) == {first: 40, second: 50}


def test_a_refund_noted_wrongly_is_taken_back_once(counter: Counter) -> None:
    (invoice,) = counter.bill(100)
    paid = counter.record(100, (invoice, 100))
    refund_id = UUID(counter.give_back(paid, 40)["refunds"][0]["id"])
    assert counter.standing(invoice) == [("partial", 60)]
    counter.do(manual.take_refund_back, paid, refund_id)
    told = counter.do(manual.take_refund_back, paid, refund_id)
    assert (told["refunded"], told["refunds"][0]["taken_back"]) == (0, True)
    assert counter.standing(invoice) == [("paid", 100)]


def test_a_gateways_payment_is_applied_further_and_then_keeps_to_what_was_decided(counter: Counter) -> None:
    first, second = counter.bill(100, 80)
    number = counter.invoices[0]["number"]
    counter.shop.hear(payment("succeeded", 1, id="g", amount_minor=150, invoice_number=number))
    counter.allocate(counter.gateway("g"), (second, 50))
    assert counter.standing(first, second) == [("paid", 100), ("partial", 50)]
    # Told again, newer and of another invoice: what a person decided stands.
    named = counter.invoices[1]["number"]
    counter.shop.hear(payment("succeeded", 9, id="g", amount_minor=120, invoice_number=named))
    assert counter.parts(counter.gateway("g")) == {first: 100, second: 20}


def test_a_payment_that_waits_for_its_invoice_is_not_adopted_once_somebody_decided(counter: Counter) -> None:
    (first,) = counter.bill(100)
    number = counter.invoices[0]["number"]
    following = f"{number[:-1]}{int(number[-1]) + 1}"
    counter.shop.hear(payment(id="g", amount_minor=100, invoice_number=following))
    counter.allocate(counter.gateway("g"), (first, 40))
    assert counter.shop.invoice(100)["number"] == following
    assert counter.parts(counter.gateway("g")) == {first: 40}


def test_a_lost_dispute_of_a_gateways_payment_takes_from_its_last_invoice(counter: Counter) -> None:
    first, second = counter.bill(100, 80)
    counter.shop.hear(payment(id="g", amount_minor=150))
    counter.allocate(counter.gateway("g"), (first, 100), (second, 50))
    counter.shop.hear(dispute("open", 1, payment_id="g", amount_minor=70))
    told = counter.edit(counter.gateway("g"))
    assert (told["disputed"], told["adjustments"][0]["status"]) == (True, "open")
    counter.shop.hear(dispute("lost", 2, payment_id="g", amount_minor=70))
    assert counter.parts(counter.gateway("g")) == {first: 80}
    assert counter.standing(first, second) == [("partial", 80), ("open", 0)]


def test_one_that_looks_the_same_is_named_and_not_refused(counter: Counter) -> None:
    (invoice,) = counter.bill(100)
    first = counter.written(40, (invoice, 40), reference="UTR 7")
    assert first["possible_duplicate_of"] is None
    assert counter.written(40, (invoice, 40), reference="utr 7")["possible_duplicate_of"] == first["id"]
    assert counter.written(40, (invoice, 20), reference="UTR 8")["possible_duplicate_of"] is None


REFUSED: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    ("nothing", {"amount": 0}, Invalid, "amount"),
    ("more than there can be", {"amount": MAX_MINOR + 1}, Invalid, "amount"),
    ("no such method", {"method": "barter"}, Invalid, "method"),
    ("a credit note by hand", {"method": "credit_note"}, Invalid, "method"),
    ("no such currency", {"currency": "XXQ"}, Invalid, "currency"),
    ("a day to come", {"date": NOW.date() + timedelta(days=2)}, Invalid, "date"),
    ("another century", {"date": date(1999, 12, 31)}, Invalid, "date"),
    ("a long reference", {"reference": "x" * 101}, Invalid, "reference"),
    ("long notes", {"notes": "x" * 2001}, Invalid, "notes"),
    ("nobody", {"targets": []}, Invalid, "contact_id"),
    ("somebody else's customer", {"targets": [], "contact_id": new_id()}, NotFound, "contact"),
]


@pytest.mark.parametrize(("given", "error", "why"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_it_is_not_written_down(counter: Counter, given: dict[str, Any], error: type[Exception], why: str) -> None:
    (invoice,) = counter.bill(100)
    with pytest.raises(error, match=why):
        counter.written(given.pop("amount", 40), **{"targets": aims([(invoice, 10)]), **given})
    assert counter.shop.rows("SELECT 1 FROM payments WHERE user_id = :user") == []


def test_the_limits_themselves_are_fine(counter: Counter) -> None:
    (invoice,) = counter.bill(100)
    many = [("x" * 100, "y" * 2000, NOW.date() + timedelta(days=1)), ("", "", date(2000, 1, 1))]
    for reference, notes, day in many:
        counter.record(MAX_MINOR, (invoice, 1), reference=reference, notes=notes, date=day)


def test_only_due_invoices_of_the_same_customer_and_currency_are_paid(context: Clockwork, counter: Counter) -> None:
    (mine,), (dollars,) = counter.bill(100), counter.bill(100, currency="USD")
    (theirs,) = open_counter(context).bill(100)
    draft, void = UUID(counter.shop.invoice(draft=True)["id"]), counter.bill(100)[0]
    counter.do(invoices.void, void)
    (paid,) = counter.bill(50)
    counter.record(50, (paid, 50))
    for invoice, error, why in [
        (dollars, Invalid, "is in USD"),
        (theirs, NotFound, "invoice"),
        (new_id(), NotFound, "invoice"),
        (draft, Conflict, "is draft"),
        (void, Conflict, "is void"),
        (paid, Conflict, "is paid"),
    ]:
        with pytest.raises(error, match=why):
            counter.record(10, (invoice, 10))
    with pytest.raises(Invalid, match="more than the payment"):
        counter.record(10, (mine, 11))
    with pytest.raises(Invalid, match="more than once"):
        counter.record(10, (mine, 5), (mine, 5))
    with pytest.raises(Invalid, match="at most 100 invoices"):
        counter.record(1000, *((new_id(), 1) for _ in range(101)))


def test_what_a_provider_said_is_not_changed_by_hand(counter: Counter) -> None:
    (invoice,) = counter.bill(100)
    counter.shop.hear(payment(id="g", amount_minor=40, invoice_number=counter.invoices[0]["number"]))
    told = counter.gateway("g")
    refused: list[Callable[[], Json]] = [
        lambda: counter.edit(told, amount=50),
        lambda: counter.edit(told, date=DAY),
        lambda: counter.delete(told),
        lambda: counter.give_back(told, 1),
    ]
    for work in refused:
        with pytest.raises(Conflict, match="gateway"):
            work()
    assert counter.edit(told, notes="mine")["notes"] == "mine"
    assert counter.standing(invoice) == [("partial", 40)]


def test_a_gateways_payment_that_nobody_aimed_yet_is_taken_off_its_invoice(counter: Counter) -> None:
    (invoice,) = counter.bill(100)
    counter.shop.hear(payment(amount_minor=40, invoice_number=counter.invoices[0]["number"]))
    assert counter.standing(invoice) == [("partial", 40)]
    told = counter.edit(counter.gateway("pmt_1"), targets=[])
    assert (told["targets"], told["unapplied"], counter.standing(invoice)) == ([], 40, [("open", 0)])


def test_a_bank_lines_payment_is_undone_by_its_match_and_can_be_given_back(counter: Counter) -> None:
    (invoice,) = counter.bill(10_000)
    counter.shop.hear(transaction(narration=counter.invoices[0]["number"]))
    line = counter.shop.one("SELECT id FROM transactions WHERE user_id = :user")["id"]
    with counter.shop.database.session() as session:
        paid = decisions.accept(session, counter.shop.seller.id, line, invoice, NOW)
    assert paid is not None
    with pytest.raises(Conflict, match="undo its match"):
        counter.delete(paid)
    counter.give_back(paid, 4_000)
    assert counter.standing(invoice) == [("partial", 6_000)]
    # The bank corrects the line to less than was given back of it.
    counter.shop.hear(transaction("posted", 5, amount="30.00", narration=counter.invoices[0]["number"]))
    assert counter.standing(invoice) == [("open", 0)]


@pytest.mark.parametrize("role", [Role.BUYER, Role.INVESTOR, Role.OPERATOR])
def test_only_sellers_write_payments_down(context: Clockwork, counter: Counter, role: Role) -> None:
    person = add_seller(context, role)
    new = NewPayment(amount=1, currency="INR", method="cash", date=DAY)
    with context.database.session() as session, pytest.raises(Forbidden):
        manual.record(session, person, new, NOW)
    with context.database.session() as session, pytest.raises(Forbidden):
        manual.edit(session, person, new_id(), PaymentChanges(), NOW)


def test_a_payment_is_found_by_what_it_is(counter: Counter) -> None:
    first, second = counter.bill(100, 80)
    cash = counter.record(30, (first, 10), (second, 20), reference="R-9", date=DAY - timedelta(days=3))
    upi = counter.record(50, (second, 50), method="upi")
    counter.shop.hear(payment(id="g", amount_minor=40))
    contact = UUID(counter.invoices[0]["contact"]["id"])

    def found(sort: str | None = None, **asked: Any) -> list[str]:
        with counter.shop.database.session() as session:
            page = listing.list_payments(session, counter.shop.seller, listing.Filters(**asked), sort=sort)
        return [item["id"] for item in page["items"]]

    gateway = str(counter.gateway("g"))
    assert found(invoice_id=first) == [str(cash)]
    assert found(invoice_id=second) == [str(upi), str(cash)]
    assert found(contact_id=contact) == [str(upi), str(cash)]
    assert found(source="gateway") == found(state="unapplied") == [gateway]
    assert found(method="upi") == found(least=50) == found(sort="-amount", least=50) == [str(upi)]
    assert found(search="r-9") == found(most=30) == found(until=DAY - timedelta(days=1)) == [str(cash)]
    assert found(since=DAY) == [gateway, str(upi)]
    assert found(sort="amount") == [str(cash), gateway, str(upi)]
    assert found(sort="date") == [str(cash), str(upi), gateway]
    assert found(state="disputed") == []


@pytest.mark.parametrize("sort", [None, "date", "-amount", "amount"])
def test_pages_of_every_order_hold_everything_once(counter: Counter, sort: str | None) -> None:
    (invoice,) = counter.bill(1_000)
    made = {str(counter.record(10 + place % 3, (invoice, 1))) for place in range(7)}
    seen: list[str] = []
    cursor = None
    while True:
        with counter.shop.database.session() as session:
            page = listing.list_payments(session, counter.shop.seller, limit=2, cursor=cursor, sort=sort)
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert (len(seen), set(seen)) == (7, made)
    with counter.shop.database.session() as session, pytest.raises(Invalid, match="cursor"):
        listing.list_payments(session, counter.shop.seller, cursor="WyJ4IiwieSIsInoiXQ", sort=sort)

"""Credit notes: what they credit, never more than the invoice, and what becomes of their credit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from core.contacts.queries import get_contact
from core.contacts.statement import statement
from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.identity import Actor, Role, users
from core.ids import new_id
from core.invoicing import credit_note_queries as queries
from core.invoicing import credit_notes, invoices, profiles
from core.invoicing.credit_notes import NewCreditNote
from core.invoicing.invoices import NewInvoice, NewItem
from core.invoicing.queries import get_invoice
from core.marketplace import states
from core.marketplace.states import State
from core.marketplace.words import Financed
from core.payments import manual
from core.payments.manual import NewPayment, NewRefund, NewTarget
from tests.budget import examples
from tests.builders import NOW, Clockwork, add_invoice, add_seller

TODAY = NOW.date()


def item(price: int, rate: str = "0", **more: Any) -> NewItem:
    return NewItem(description="Tea", quantity=Decimal(1), unit_price=price, tax_rate=Decimal(rate), **more)


def note(invoice: Any, *items: NewItem, **more: Any) -> NewCreditNote:
    given = {"reason": "Returned", "issue_date": TODAY, "items": list(items) or None, **more}
    return NewCreditNote(invoice_id=UUID(invoice["id"]), **given)


def credit(session: Session, seller: Actor, invoice: Any, *items: NewItem, **more: Any) -> dict[str, Any]:
    return credit_notes.create(session, seller, note(invoice, *items, **more), NOW)


def pay(session: Session, seller: Actor, invoice: Any, amount: int, **more: Any) -> dict[str, Any]:
    target = NewTarget(UUID(invoice["id"]), amount)
    new = NewPayment(
        **{"amount": amount, "currency": "INR", "method": "cash", "date": TODAY, "targets": [target], **more}
    )
    return manual.record(session, seller, new, NOW)


def due(session: Session, seller: Actor, invoice: Any) -> tuple[str, int]:
    found = get_invoice(session, seller, UUID(invoice["id"]))
    return found["payment_status"], found["amount_due"]


def gst_invoice(session: Session, seller: Actor, **more: Any) -> dict[str, Any]:
    profile = {"tax_regime": "gst", "gstin": "27AAPFU0939F1ZV", "round_total": True}
    profiles.save(session, seller, profile, NOW)
    new = {
        "contact_name": "Rao Retail",
        "contact_email": "buyer@rao.test",
        "currency": "INR",
        "issue_date": date(2026, 11, 1),
        "due_date": date(2026, 12, 1),
        "items": [
            item(10_033, "18", unit="kg", hsn="0902", discount_rate=Decimal(10)),
            item(501, "5", hsn="0902"),
        ],
        **more,
    }
    return invoices.create(session, seller, NewInvoice(**new), NOW)


def test_a_whole_invoice_is_credited_to_the_paisa(session: Session, seller: Actor) -> None:
    invoice = gst_invoice(session, seller)
    made = credit(session, seller, invoice)
    assert made["number"] == "CN-2026-00001"
    assert due(session, seller, invoice) == ("paid", 0)
    same = (
        "subtotal", "discount", "tax", "cgst", "sgst", "igst", "rounding", "total", "tax_regime", "place_of_supply",
        "supplier", "customer", "tax_shown", "tax_by_rate", "tax_by_hsn", "items",
    )  # fmt: skip
    whole = get_invoice(session, seller, UUID(invoice["id"]))
    assert {name: made[name] for name in same} == {name: whole[name] for name in same}
    assert made["rounding"] != 0
    assert made["cgst"] == made["sgst"] > 0
    (payment,) = whole["payments"]
    assert (payment["source"], payment["method"], payment["allocated"]) == ("credit_note", "credit_note", made["total"])
    assert (made["applied"], made["unapplied"], made["payment_id"]) == (made["total"], 0, payment["id"])


@pytest.mark.parametrize(
    ("place", "reverse", "taxes"),
    [
        pytest.param("27", False, (90, 90, 0, 180), id="the same state"),
        pytest.param("29", False, (0, 0, 180, 180), id="another state"),
        pytest.param("29", True, (0, 0, 180, 0), id="the buyer pays the tax"),
    ],
)
def test_a_part_is_taxed_as_its_invoice_and_is_not_rounded(
    session: Session, seller: Actor, place: str, reverse: bool, taxes: tuple[int, ...]
) -> None:
    invoice = gst_invoice(session, seller, place_of_supply=place, reverse_charge=reverse)
    made = credit(session, seller, invoice, item(1_000, "18", hsn="0902"))
    assert tuple(made[name] for name in ("cgst", "sgst", "igst", "tax")) == taxes
    assert (made["rounding"], made["total"]) == (0, 1_000 + taxes[3])
    assert (made["place_of_supply"], made["reverse_charge"]) == (place, reverse)


def test_notes_are_together_never_more_than_the_invoice(session: Session, seller: Actor) -> None:
    invoice = add_invoice(session, seller, 1_000)
    credit(session, seller, invoice, item(600))
    with pytest.raises(Invalid, match="400 minor units are left"):
        credit(session, seller, invoice, item(401))
    # All of it is not what is left of it.
    with pytest.raises(Invalid, match="400 minor units are left"):
        credit(session, seller, invoice)
    credit(session, seller, invoice, item(399))
    credit(session, seller, invoice, item(1))
    with pytest.raises(Conflict, match="in full"):
        credit(session, seller, invoice, item(1))
    assert due(session, seller, invoice) == ("paid", 0)
    numbers = [one["number"] for one in queries.list_credit_notes(session, seller)["items"]]
    assert numbers == ["CN-2026-00003", "CN-2026-00002", "CN-2026-00001"]


def test_of_two_who_credit_at_once_one_is_refused(context: Clockwork, seller: Actor) -> None:
    with context.database.session() as session:
        invoice = add_invoice(session, seller, 1_000)

    def attempt(amount: int) -> str:
        try:
            with context.database.session() as session:
                credit(session, seller, invoice, item(amount))
            return "made"
        except Invalid:
            return "refused"

    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(attempt, [600] * 6))
    assert sorted(outcomes) == ["made"] + ["refused"] * 5
    with context.database.session() as session:
        assert due(session, seller, invoice) == ("partial", 400)


def test_the_database_holds_the_limit_by_itself(
    context: Clockwork, seller: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with context.database.session() as session:
        invoice = add_invoice(session, seller, 1_000)
        credit(session, seller, invoice, item(600))
    monkeypatch.setattr(queries, "left_of", lambda *given: 10**15)
    with pytest.raises(IntegrityError, match="more than the invoice"), context.database.session() as session:
        credit(session, seller, invoice, item(401))
    with context.database.session() as session:
        credit(session, seller, invoice, item(400))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("UPDATE credit_notes SET total = total + 1, subtotal = subtotal + 1", id="its sum"),
        pytest.param("UPDATE credit_notes SET reason = 'Other'", id="its words"),
        pytest.param("UPDATE credit_notes SET payment_id = uuid7()", id="its payment"),
        pytest.param("UPDATE credit_notes SET status = 'void', voided_at = now()", id="void with its credit left"),
        pytest.param("DELETE FROM credit_notes", id="the note itself"),
        pytest.param("UPDATE credit_note_items SET net = 0", id="its lines"),
        pytest.param("DELETE FROM credit_note_items", id="lines that go"),
        pytest.param("UPDATE invoices SET status = 'void', amount_paid = 0", id="its invoice"),
        pytest.param("UPDATE payments SET status = 'cancelled', allocated = 0", id="its credit"),
    ],
)
def test_what_was_issued_is_not_changed_by_hand(context: Clockwork, seller: Actor, change: str) -> None:
    with context.database.session() as session:
        made = credit(session, seller, add_invoice(session, seller, 1_000))
    table = change.split()[2 if change.startswith("DELETE") else 1]
    key = "credit_note_id" if table == "credit_note_items" else "id"
    subject = {"invoices": made["invoice"]["id"], "payments": made["payment_id"]}.get(table, made["id"])
    with pytest.raises(SQLAlchemyError), context.database.connect() as connection:
        connection.execute(text(f"{change} WHERE {key} = :id"), {"id": subject})


def test_a_note_whose_credit_is_missing_does_not_commit(
    context: Clockwork, seller: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with context.database.session() as session:
        invoice = add_invoice(session, seller, 1_000)
    monkeypatch.setattr(credit_notes, "_give", lambda *given: None)
    with pytest.raises(IntegrityError, match="credit of this note is 0"), context.database.session() as session:
        credit(session, seller, invoice)


def test_what_is_over_stays_the_customers_credit_and_pays_another_invoice(session: Session, seller: Actor) -> None:
    paid, other = add_invoice(session, seller, 1_000), add_invoice(session, seller, 500)
    contact = UUID(paid["contact"]["id"])
    pay(session, seller, paid, 1_000)
    made = credit(session, seller, paid, item(300))
    assert due(session, seller, paid) == ("paid", 0)
    assert (made["applied"], made["unapplied"]) == (0, 300)
    (balance,) = get_contact(session, seller, contact)["balances"]
    assert (balance["due"], balance["credit"]) == (500, 300)
    manual.allocate_credit(session, seller, contact, [NewTarget(UUID(other["id"]), 300)], NOW)
    assert due(session, seller, other) == ("partial", 200)
    found = statement(session, seller, contact, since=date(2026, 11, 1), until=date(2199, 1, 1))
    assert sorted((line["kind"], line["number"], line["debit"] - line["credit"]) for line in found["lines"]) == sorted(
        [
            ("invoice", paid["number"], 1_000),
            ("invoice", other["number"], 500),
            ("payment", "", -1_000),
            ("credit_note", made["number"], -300),
        ]
    )
    assert (found["closing"], found["totals"]["credited"]) == (200, 300)


def test_a_note_on_a_part_paid_invoice_pays_what_is_due_first(session: Session, seller: Actor) -> None:
    invoice = add_invoice(session, seller, 1_000)
    pay(session, seller, invoice, 800)
    made = credit(session, seller, invoice, item(500))
    assert due(session, seller, invoice) == ("paid", 0)
    assert (made["applied"] + made["unapplied"], made["total"]) == (500, 500)


def test_voiding_takes_the_credit_back_wherever_it_went(session: Session, seller: Actor) -> None:
    invoice, other = add_invoice(session, seller, 1_000), add_invoice(session, seller, 500)
    pay(session, seller, invoice, 1_000)
    made = credit(session, seller, invoice, item(300))
    manual.allocate_credit(
        session, seller, UUID(invoice["contact"]["id"]), [NewTarget(UUID(other["id"]), 300)], NOW
    )  # fmt: skip
    gone = credit_notes.void(session, seller, UUID(made["id"]), NOW, reason="By mistake")
    assert (gone["status"], gone["voided_at"], gone["applied"], gone["unapplied"]) == ("void", NOW, 0, 0)
    assert due(session, seller, other) == ("open", 500)
    assert credit_notes.void(session, seller, UUID(made["id"]), NOW)["version"] == gone["version"]
    # What was taken back may be credited again, under a new number.
    again = credit(session, seller, invoice)
    assert again["number"] == "CN-2026-00002"


def test_a_credit_that_was_given_back_as_money_is_not_voided(session: Session, seller: Actor) -> None:
    invoice = add_invoice(session, seller, 1_000)
    pay(session, seller, invoice, 1_000)
    made = credit(session, seller, invoice, item(300))
    manual.refund(
        session, seller, UUID(made["payment_id"]), NewRefund(amount=100, method="cash", date=TODAY), NOW
    )  # fmt: skip
    with pytest.raises(Conflict, match="given back as money"):
        credit_notes.void(session, seller, UUID(made["id"]), NOW)


def test_the_credit_is_not_deleted_or_edited_as_a_payment(session: Session, seller: Actor) -> None:
    made = credit(session, seller, add_invoice(session, seller, 1_000))
    payment = UUID(made["payment_id"])
    with pytest.raises(Conflict, match="void the note"):
        manual.delete(session, seller, payment, NOW)
    with pytest.raises(Conflict, match="changes with the note"):
        manual.edit(session, seller, payment, manual.PaymentChanges(amount=1), NOW)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param({"reason": " "}, "reason", id="no reason"),
        pytest.param({"reason": "r" * 501}, "reason", id="a long reason"),
        pytest.param({"notes": "n" * 5001}, "notes", id="long notes"),
        pytest.param({"issue_date": date(2026, 10, 31)}, "issue_date", id="before the invoice"),
        pytest.param({"issue_date": TODAY + timedelta(days=2)}, "issue_date", id="in the future"),
        pytest.param({"series": "XX"}, "series", id="no such series"),
        pytest.param({"items": []}, "items", id="no lines"),
        pytest.param({"items": [item(0)]}, "items", id="nothing"),
        pytest.param({"items": [item(1, "101")]}, "items.0.tax_rate", id="a rate above all"),
    ],
)
def test_what_cannot_be_is_named(session: Session, seller: Actor, changes: dict[str, Any], field: str) -> None:
    invoice = add_invoice(session, seller, 1_000)
    new = {"reason": "r" * 500, "issue_date": TODAY, "notes": "n" * 5000, **changes}
    with pytest.raises(Invalid) as refused:
        credit_notes.create(session, seller, NewCreditNote(invoice_id=UUID(invoice["id"]), **new), NOW)
    assert refused.value.field == field
    new |= {"reason": "r" * 500, "issue_date": date(2026, 11, 1), "notes": "n" * 5000, "series": None, "items": None}
    assert credit_notes.create(session, seller, NewCreditNote(invoice_id=UUID(invoice["id"]), **new), NOW)


def test_drafts_void_and_others_invoices_are_not_credited(context: Clockwork, session: Session, seller: Actor) -> None:
    draft = add_invoice(session, seller, 1_000, draft=True)
    with pytest.raises(Conflict, match="draft"):
        credit(session, seller, draft)
    gone = add_invoice(session, seller, 1_000)
    invoices.void(session, seller, UUID(gone["id"]), NOW)
    with pytest.raises(Conflict, match="void"):
        credit(session, seller, gone)
    mine = add_invoice(session, seller, 1_000)
    with pytest.raises(NotFound):
        credit(session, add_seller(context), mine)
    with pytest.raises(Forbidden):
        credit(session, add_seller(context, Role.OPERATOR), mine)


def test_an_invoice_with_credit_is_neither_void_nor_edited(session: Session, seller: Actor) -> None:
    invoice = add_invoice(session, seller, 1_000)
    pay(session, seller, invoice, 1_000)
    made = credit(session, seller, invoice, item(100))
    manual.delete(session, seller, UUID(get_invoice(session, seller, UUID(invoice["id"]))["payments"][0]["id"]), NOW)
    # Nothing of it is paid any more but by what is credited, and the credit was not aimed at it.
    assert due(session, seller, invoice) == ("open", 1_000)
    with pytest.raises(Conflict, match="credit notes"):
        invoices.void(session, seller, UUID(invoice["id"]), NOW)
    credit_notes.void(session, seller, UUID(made["id"]), NOW)
    assert invoices.void(session, seller, UUID(invoice["id"]), NOW)["payment_status"] == "void"


@pytest.mark.parametrize("state", ["pending_buyer_confirmation", "listed", "settlement_pending"])
def test_an_invoice_on_the_marketplace_is_not_credited(
    session: Session, seller: Actor, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    invoice = add_invoice(session, seller, 1_000)
    monkeypatch.setattr(states, "holds_invoice", lambda *given: State(state))
    with pytest.raises(Financed, match="withdraw it first") as refused:
        credit(session, seller, invoice)
    assert refused.value.code == "invoice_financed"


def test_a_note_is_its_parties_to_read(context: Clockwork, session: Session, seller: Actor) -> None:
    buyer = users.register(session, email=f"{new_id()}@b.test", name="B", password_hash="-", role=Role.BUYER, now=NOW)
    invoice = add_invoice(session, seller, 1_000)
    session.execute(
        text("UPDATE invoices SET buyer_id = :buyer WHERE id = :id"), {"buyer": buyer.id, "id": invoice["id"]}
    )
    made = UUID(credit(session, seller, invoice)["id"])
    for person in (seller, buyer, add_seller(context, Role.OPERATOR)):
        assert queries.get_credit_note(session, person, made)["number"] == "CN-2026-00001"
        listed = queries.list_credit_notes(
            session, person, invoice_id=UUID(invoice["id"]), search="rao", status="issued"
        )
        assert [one["id"] for one in listed["items"]] == [str(made)]
    for person in (add_seller(context), add_seller(context, Role.BUYER), add_seller(context, Role.INVESTOR)):
        assert queries.list_credit_notes(session, person)["items"] == []
        with pytest.raises(NotFound):
            queries.get_credit_note(session, person, made)
        with pytest.raises(NotFound):
            credit_notes.void(session, person, made, NOW)
    with pytest.raises(Forbidden):
        credit_notes.void(session, buyer, made, NOW)


steps = st.lists(
    st.tuples(st.sampled_from(["credit", "pay", "void", "unpay"]), st.integers(1, 900), st.integers(0, 4)), max_size=10
)


@settings(max_examples=examples(8), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_whatever_is_credited_paid_and_taken_back_the_books_agree(
    context: Clockwork, steps: list[tuple[str, int, int]]
) -> None:
    seller = add_seller(context)
    notes: list[UUID] = []
    paid: list[UUID] = []
    with context.database.session() as session:
        invoice = add_invoice(session, seller, 1_000)
    for what, amount, which in steps:
        with context.database.session() as session:
            try:
                match what:
                    case "credit":
                        notes.append(UUID(credit(session, seller, invoice, item(amount))["id"]))
                    case "pay":
                        paid.append(UUID(pay(session, seller, invoice, amount)["id"]))
                    case "void" if notes:
                        credit_notes.void(session, seller, notes[which % len(notes)], NOW)
                    case "unpay" if paid:
                        manual.delete(session, seller, paid[which % len(paid)], NOW)
            except (Conflict, Invalid):
                session.rollback()
    with context.database.session() as session:
        found = get_invoice(session, seller, UUID(invoice["id"]))
        issued = [one for one in queries.list_credit_notes(session, seller)["items"] if one["status"] == "issued"]
        assert sum(one["total"] for one in issued) <= 1_000
        assert found["amount_paid"] == sum(payment["allocated"] for payment in found["payments"])
        contact = UUID(invoice["contact"]["id"])
        owed = sum(one["due"] - one["credit"] for one in get_contact(session, seller, contact)["balances"])
        closing = statement(session, seller, contact, since=date(2026, 1, 1), until=date(2199, 1, 1))["closing"]
        assert closing == owed

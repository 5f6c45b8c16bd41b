"""Changing invoices, taking them back, and two people at one of them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from core.database import Database
from core.edits import StaleEdit
from core.errors import Conflict, Forbidden, Invalid, NotFound, PlatformError
from core.identity import Role, users
from core.ids import new_id
from core.invoicing import credit_notes, invoices
from core.invoicing.credit_notes import NewCreditNote
from core.invoicing.invoices import NewItem
from core.marketplace import submitting
from core.marketplace.papers import Papers
from tests.budget import examples
from tests.builders import Clockwork, Shop, check_sums, open_shop, payment, refund, worker
from tests.core.invoicing.desk import KARNATAKA, NOW, TEA, Desk, register
from tests.core.marketplace.builders import RULES, listed, person

COTTON = NewItem(description="Cotton", quantity=Decimal(3), unit_price=7_000, discount_rate=Decimal(10), unit="m")


@pytest.fixture(scope="module")
def context(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as parts:
        yield parts


@pytest.fixture
def shop(context: Clockwork) -> Shop:
    return open_shop(context)


@pytest.fixture
def desk(shop: Shop) -> Desk:
    return Desk(shop.database, shop.seller)


@pytest.fixture
def database(context: Clockwork) -> Database:
    return context.database


def pay(shop: Shop, invoice: dict[str, Any], amount: int, **more: Any) -> None:
    shop.hear(payment(id=f"p{new_id().hex}", invoice_number=invoice["number"], amount_minor=amount, **more))


def finance(desk: Desk, invoice: dict[str, Any]) -> None:
    """Submit it to the marketplace."""
    with desk.database.session() as session:
        submitting.submit(
            session,
            desk.seller,
            UUID(invoice["id"]),
            buyer_email="bina@shop.example",
            papers=Papers(),
            rules=RULES,
            link_to=lambda financing: f"/confirm/{financing.id}",
            now=NOW,
        )


def verified_desk(database: Database) -> Desk:
    with database.session() as session:
        return Desk(database, person(session, Role.SELLER, now=NOW))


# What may change -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("draft", [True, False])
def test_all_of_an_invoice_changes_while_nothing_is_paid(desk: Desk, draft: bool) -> None:
    made = desk.make(draft=draft)
    assert made["editable"] == "all"
    changed = desk.edit(
        made,
        items=[COTTON],
        currency="USD",
        issue_date=date(2026, 11, 5),
        due_date=date(2027, 1, 5),
        notes=" Thanks ",
        payment_terms="Net 60",
        reference="PO 7",
        delivery_address="Dock 4",
        contact_name="Bina & Sons",
        contact_email="sons@shop.example",
        contact_address="2 High Street",
        reminders=False,
    )
    assert changed["number"] == made["number"]
    assert (changed["subtotal"], changed["discount"], changed["total"], changed["currency"]) == (
        18_900,
        2_100,
        18_900,
        "USD",
    )
    assert (changed["issue_date"], changed["due_date"]) == (date(2026, 11, 5), date(2027, 1, 5))
    assert (changed["notes"], changed["payment_terms"], changed["reference"]) == ("Thanks", "Net 60", "PO 7")
    assert (changed["contact"]["name"], changed["contact"]["email"]) == ("Bina & Sons", "sons@shop.example")
    assert (changed["customer"]["address"], changed["delivery_address"]) == ("2 High Street", "Dock 4")
    assert (changed["reminders"], changed["version"], changed["amount_due"]) == (False, 2, 18_900)
    assert [one["description"] for one in changed["items"]] == ["Cotton"]


def test_what_is_so_already_changes_nothing(desk: Desk) -> None:
    made = desk.make()
    same = desk.edit(
        made,
        items=[TEA],
        currency="INR",
        due_date=made["due_date"],
        contact_name="Bina",
        contact_email="Bina@Shop.example",
        series="INV",
        place_of_supply="",
        reverse_charge=False,
    )
    assert (same["version"], same["history"]) == (1, made["history"])


def test_an_edit_that_is_refused_changes_nothing(desk: Desk) -> None:
    made = desk.make()
    for more, field in (
        ({"due_date": date(2026, 10, 1)}, "due_date"),
        ({"items": []}, "items"),
        ({"items": [TEA, NewItem(description="", quantity=Decimal(1), unit_price=1)]}, "items.1.description"),
        ({"currency": "XYZ"}, "currency"),
        ({"notes": "x" * 5001}, "notes"),
        ({"reference": "x" * 101}, "reference"),
        ({"delivery_address": "x" * 1001, "notes": "x"}, "delivery_address"),
        ({"contact_email": "nobody"}, "contact.email"),
        ({"contact_name": " "}, "contact.name"),
        ({"contact_gstin": "27AAPFU0939F1ZX"}, "contact.gstin"),
        ({"contact_id": new_id()}, "contact_id"),
        ({"place_of_supply": "27"}, "place_of_supply"),
        ({"issue_date": date(2025, 12, 31)}, "issue_date"),
    ):
        with pytest.raises(Invalid) as caught:
            desk.edit(made, **more)
        assert caught.value.field == field
    assert {**desk.look(made)} == made


def test_the_words_and_the_due_date_change_after_money_came_and_nothing_else(shop: Shop, desk: Desk) -> None:
    made = desk.make()
    pay(shop, made, 4_000)
    changed = desk.edit(made, notes="Thanks for the first part", due_date=date(2027, 1, 1), reminders=False)
    assert (changed["editable"], changed["payment_status"], changed["stage"]) == ("words", "partial", "partial")
    for more in (
        {"items": [COTTON]},
        {"currency": "USD"},
        {"issue_date": date(2026, 11, 2)},
        {"contact_name": "Somebody"},
        {"delivery_address": "Dock 5"},
    ):
        with pytest.raises(Conflict, match="cannot be changed any more"):
            desk.edit(made, **more)
    pay(shop, made, 6_000)
    with pytest.raises(Conflict, match="due date of a paid"):
        desk.edit(made, due_date=date(2027, 2, 1))
    assert desk.edit(made, notes="Paid, thanks")["stage"] == "paid"


def test_a_form_that_sends_back_what_it_was_shown_may_change_the_words(shop: Shop, desk: Desk) -> None:
    made = desk.make()
    pay(shop, made, 4_000)
    changed = desk.edit(made, items=[TEA], currency="INR", contact_name="Bina", notes="And one word more")
    assert changed["notes"] == "And one word more"


def test_no_edit_brings_a_total_below_what_is_paid(shop: Shop, desk: Desk) -> None:
    made = desk.make()
    pay(shop, made, 4_000)
    with pytest.raises(Conflict):
        desk.edit(made, items=[NewItem(description="Tea", quantity=Decimal(1), unit_price=3_999)])
    # Neither does anybody who goes past the code.
    for change in ("total = 3999, subtotal = 3999", "total = 20000, subtotal = 20000", "currency = 'USD'"):
        with shop.database.session() as session, pytest.raises(DBAPIError, match=r"paid towards|paid_within"):
            session.execute(text(f"UPDATE invoices SET {change} WHERE id = :id"), {"id": made["id"]})


def test_money_that_came_in_another_currency_keeps_an_invoice_in_its_own(shop: Shop, desk: Desk) -> None:
    made = desk.make()
    pay(shop, made, 4_000, currency="USD")
    with pytest.raises(Conflict, match="names this invoice"):
        desk.edit(made, currency="USD")
    assert desk.edit(made, items=[COTTON])["total"] == 18_900


def test_what_is_being_financed_stays_as_it_is(database: Database) -> None:
    desk = verified_desk(database)
    made = desk.make(due_date=date(2027, 1, 20))
    finance(desk, made)
    assert desk.look(made)["editable"] == "words"
    for more in ({"items": [COTTON]}, {"due_date": date(2027, 2, 1)}, {"contact_name": "Somebody"}):
        with pytest.raises(Conflict, match="pending_buyer_confirmation"):
            desk.edit(made, **more)
    with database.session() as session, pytest.raises(DBAPIError, match="is being financed"):
        session.execute(
            text("UPDATE invoices SET total = total + 1, subtotal = subtotal + 1 WHERE id = :id"), {"id": made["id"]}
        )
    assert desk.edit(made, notes="still words")["notes"] == "still words"


def test_a_customer_who_knows_of_an_invoice_keeps_it(desk: Desk) -> None:
    made = desk.make()
    assert desk.edit(made, contact_email="other@shop.example")["contact"]["email"] == "other@shop.example"
    with desk.database.session() as session:
        invoices.mark_sent(session, UUID(made["id"]), NOW)
    with pytest.raises(Conflict, match="knows of this invoice"):
        desk.edit(made, contact_email="third@shop.example")
    assert desk.edit(made, contact_name="Bina Devi")["customer"]["name"] == "Bina Devi"


def test_the_number_of_an_issued_invoice_keeps_its_series_and_year(desk: Desk) -> None:
    made = desk.make()
    with pytest.raises(Conflict, match="its number, which stays"):
        desk.edit(made, series="XX")
    with pytest.raises(Invalid, match="year of its number"):
        desk.edit(made, issue_date=date(2025, 12, 31))
    draft = desk.make(draft=True)
    moved = desk.edit(draft, issue_date=date(2025, 12, 31))
    assert desk.do(invoices.issue, moved)["number"] == "INV-2025-00001"


def test_the_place_of_supply_follows_the_customer_unless_it_was_chosen(desk: Desk) -> None:
    desk.under_gst()
    tea = NewItem(description="Tea", hsn="0902", quantity=Decimal(1), unit_price=100_00, tax_rate=Decimal(5))
    follows, chosen = desk.make(items=[tea]), desk.make(items=[tea], place_of_supply="33")
    moved: dict[str, Any] = {"contact_email": "there@shop.example", "contact_gstin": KARNATAKA}
    assert desk.edit(follows, **moved)["place_of_supply"] == "29"
    assert desk.edit(chosen, **moved)["place_of_supply"] == "33"
    assert desk.look(follows)["igst"] == 500


def test_an_issued_invoice_is_edited_by_the_business_that_issued_it(desk: Desk) -> None:
    made = desk.under_gst().make()
    desk.set_up(tax_regime="plain", gstin="", legal_name="Other")
    changed = desk.edit(
        made, items=[NewItem(description="Tea", hsn="0902", quantity=Decimal(1), unit_price=100, tax_rate=Decimal(18))]
    )
    assert (changed["tax_regime"], changed["cgst"], changed["supplier"]["name"]) == ("gst", 9, "Loom Works LLP")


def test_nobody_but_the_seller_changes_an_invoice(desk: Desk) -> None:
    with desk.database.session() as session:
        buyer = users.register(
            session, email="bina@shop.example", name="Bina", password_hash="x", role=Role.BUYER, now=NOW
        )
    try:
        made = desk.make()
        with pytest.raises(Forbidden):
            desk.edit(made, by=buyer, notes="mine")
        with pytest.raises(NotFound):
            desk.edit(made, by=register(desk.database), notes="mine")
    finally:
        with desk.database.session() as session:
            session.execute(
                text("UPDATE users SET email = :new WHERE id = :id"), {"new": f"{new_id()}@x.example", "id": buyer.id}
            )


# Two people ------------------------------------------------------------------------------------------------


def test_the_second_of_two_editors_is_told_what_the_first_changed(desk: Desk) -> None:
    made = desk.make()
    desk.edit(made, notes="first", items=[COTTON], version=1)
    with pytest.raises(StaleEdit) as caught:
        desk.edit(made, notes="second", version=1)
    (edit,) = caught.value.edits
    assert (edit.actor, edit.at, caught.value.version) == (desk.seller.name, NOW, 2)
    assert edit.changes == {
        "notes": ["", "first"],
        "items": [["Tea: 2 at 5000, 0 % tax"], ["Cotton: 3 m at 7000, 10 % off, 0 % tax"]],
        "subtotal": [10_000, 18_900],
        "total": [10_000, 18_900],
    }
    assert desk.look(made)["notes"] == "first"
    assert desk.edit(made, notes="second", version=2)["version"] == 3


def test_only_what_was_changed_since_is_told(desk: Desk) -> None:
    made = desk.make()
    for place in range(3):
        desk.edit(made, notes=f"word {place}")
    with pytest.raises(StaleEdit) as caught:
        desk.edit(made, notes="mine", version=3)
    assert [edit.changes for edit in caught.value.edits] == [{"notes": ["word 1", "word 2"]}]


def test_a_payment_in_between_is_named(shop: Shop, desk: Desk) -> None:
    made = desk.make()
    pay(shop, made, 4_000)
    with pytest.raises(StaleEdit) as caught:
        desk.edit(made, notes="mine", version=1)
    assert [(edit.actor, edit.changes["amount_paid"]) for edit in caught.value.edits] == [(None, [None, 4_000])]


def test_of_editors_at_the_same_moment_one_wins_and_nothing_is_mixed(desk: Desk) -> None:
    made = desk.make()

    def write(place: int) -> str:
        try:
            desk.edit(made, notes=f"notes {place}", payment_terms=f"terms {place}", version=1)
        except StaleEdit:
            return "stale"
        return str(place)

    with ThreadPoolExecutor(4) as pool:
        ends = list(pool.map(write, range(4)))
    (winner,) = [end for end in ends if end != "stale"]
    found = desk.look(made)
    assert (found["notes"], found["payment_terms"], found["version"]) == (f"notes {winner}", f"terms {winner}", 2)


@pytest.mark.parametrize("deed", [invoices.issue, invoices.delete_draft])
def test_a_draft_that_somebody_changed_is_not_issued_nor_deleted_unseen(desk: Desk, deed: Any) -> None:
    draft = desk.make(draft=True)
    desk.edit(draft, notes="wait")
    with pytest.raises(StaleEdit):
        desk.do(deed, draft, expected_version=1)
    assert desk.do(deed, draft, expected_version=2)["notes"] == "wait"


def test_what_is_credited_stays_as_it_is(desk: Desk) -> None:
    made = desk.make()
    new = NewCreditNote(
        invoice_id=UUID(made["id"]),
        reason="Returned",
        issue_date=date(2026, 11, 5),
        items=[NewItem(description="Tea", quantity=Decimal(1), unit_price=1_000)],
    )
    with desk.database.session() as session:
        note = credit_notes.create(session, desk.seller, new, NOW)
    assert desk.look(made)["editable"] == "words"
    with pytest.raises(Conflict):
        desk.edit(made, items=[COTTON])
    with pytest.raises(Conflict):
        desk.do(invoices.void, made)
    with desk.database.session() as session:
        credit_notes.void(session, desk.seller, UUID(note["id"]), NOW)
    assert desk.edit(made, items=[COTTON])["total"] == 18_900


# The record ------------------------------------------------------------------------------------------------


def test_every_change_is_in_the_history_with_before_and_after(desk: Desk) -> None:
    made = desk.make()
    desk.edit(made, due_date=date(2026, 12, 24), notes="x" * 300, reminders=False)
    entry = desk.look(made)["history"][0]
    assert (entry["kind"], entry["actor"], entry["at"]) == ("invoice.updated", desk.seller.name, NOW)
    assert {change["field"]: (change["before"], change["after"]) for change in entry["changes"]} == {
        "due_date": ("2026-12-01", "2026-12-24"),
        "notes": ("", "x" * 199 + "…"),
        "reminders": (True, False),
    }


def test_a_record_of_many_lines_is_bounded(desk: Desk) -> None:
    made = desk.make()
    desk.edit(made, items=[COTTON] * 25)
    (lines,) = [one for one in desk.look(made)["history"][0]["changes"] if one["field"] == "items"]
    assert len(lines["after"]) == 21
    assert lines["after"][-1] == "and 5 more"


def test_a_buyer_does_not_read_what_was_tried_out_in_a_draft(desk: Desk) -> None:
    draft = desk.make(draft=True, contact_email="reader@shop.example")
    desk.edit(draft, items=[COTTON])
    issued = desk.do(invoices.issue, draft)
    desk.edit(issued, notes="open now")
    with desk.database.session() as session:
        buyer = users.register(
            session, email="reader@shop.example", name="Bina", password_hash="x", role=Role.BUYER, now=NOW
        )
    assert [entry["kind"] for entry in desk.look(issued)["history"]].count("invoice.updated") == 2
    read = desk.look(issued, by=buyer)
    assert [entry["kind"] for entry in read["history"]] == ["invoice.updated", "invoice.issued", "invoice.created"]
    assert [entry["changes"] for entry in read["history"]][1:] == [
        [{"field": "stage", "before": "draft", "after": "open"}],
        [],
    ]
    assert read["editable"] == "none"


def test_an_investor_reads_neither_address_nor_number_nor_order_of_the_parties(database: Database) -> None:
    desk = verified_desk(database)
    desk.under_gst()
    with database.session() as session:
        offer = listed(session, seller=desk.seller, now=NOW)
        session.execute(text("UPDATE invoices SET reference = 'PO 7' WHERE id = :id"), {"id": offer.invoice_id})
    invoice = {"id": str(offer.invoice_id)}
    mine, theirs = desk.look(invoice), desk.look(invoice, by=register(database, Role.INVESTOR))
    assert (mine["reference"], mine["customer"]["email"], mine["supplier"]["gstin"]) == (
        "PO 7",
        "buyer@rao.test",
        "27AAPFU0939F1ZV",
    )
    assert (theirs["reference"], theirs["delivery_address"], theirs["editable"]) == ("", "", "none")
    for side in ("supplier", "customer"):
        assert {name for name, value in theirs[side].items() if value} == {"name"}


def test_a_change_and_a_new_stage_are_told(desk: Desk) -> None:
    draft = desk.make(draft=True)
    desk.edit(draft, notes="x")
    issued = desk.do(invoices.issue, draft)
    mine, room = f"user:{desk.seller.id}", f"invoice:{draft['id']}"
    assert desk.told(issued) == [
        (mine, "invoice.created"),
        (room, "invoice.created"),
        (mine, "invoice.updated"),
        (room, "invoice.updated"),
        (mine, "invoice.updated"),
        (room, "invoice.updated"),
        (mine, "invoice.status_changed"),
        (room, "invoice.status_changed"),
    ]


# Stages ----------------------------------------------------------------------------------------------------


def test_an_invoice_comes_from_stage_to_stage(shop: Shop, desk: Desk) -> None:
    soon = shop.context.now().date() + timedelta(days=3650)
    draft = desk.make(draft=True, due_date=soon)
    stages = [draft["stage"], desk.do(invoices.issue, draft)["stage"]]
    for mark in (invoices.mark_sent, invoices.mark_viewed):
        with desk.database.session() as session:
            assert mark(session, UUID(draft["id"]), NOW)
            assert not mark(session, UUID(draft["id"]), NOW + timedelta(days=1))
        stages.append(desk.look(draft)["stage"])
    assert desk.look(draft)["version"] == 2
    for amount in (4_000, 6_000):
        pay(shop, desk.look(draft), amount)
        stages.append(desk.look(draft)["stage"])
    assert stages == ["draft", "open", "sent", "viewed", "partial", "paid"]
    moved = [name for room, name in desk.told(draft) if room == f"user:{desk.seller.id}"]
    assert moved.count("invoice.status_changed") == 5


def test_what_is_due_is_overdue_whatever_was_sent_or_paid_of_it(shop: Shop, desk: Desk) -> None:
    made = desk.make(issue_date=date(2020, 1, 1), due_date=date(2020, 2, 1))
    assert made["stage"] == "overdue"
    with desk.database.session() as session:
        invoices.mark_sent(session, UUID(made["id"]), NOW)
    pay(shop, made, 1)
    assert desk.look(made)["stage"] == "overdue"
    pay(shop, made, 9_999)
    assert desk.look(made)["stage"] == "paid"


def test_a_draft_is_neither_sent_nor_seen(desk: Desk) -> None:
    draft = desk.make(draft=True)
    with desk.database.session() as session:
        assert not invoices.mark_sent(session, UUID(draft["id"]), NOW)
        assert not invoices.mark_viewed(session, UUID(draft["id"]), NOW)
    assert desk.look(draft)["sent_at"] is None


# Taken back ------------------------------------------------------------------------------------------------


def test_a_draft_is_deleted_for_good_and_an_issued_invoice_is_voided(desk: Desk) -> None:
    draft, made = desk.make(draft=True), desk.make()
    with pytest.raises(Conflict, match="a draft is deleted"):
        desk.do(invoices.void, draft)
    with pytest.raises(Conflict, match="void it"):
        desk.do(invoices.delete_draft, made)
    assert desk.do(invoices.delete_draft, draft)["id"] == draft["id"]
    with pytest.raises(NotFound):
        desk.look(draft)
    assert desk.do(invoices.void, made)["stage"] == "void"
    assert desk.do(invoices.void, made)["version"] == 2
    with pytest.raises(Conflict, match="stays void"):
        desk.do(invoices.issue, made)


def test_a_draft_people_wrote_about_is_not_deleted(desk: Desk) -> None:
    draft = desk.make(draft=True)
    with desk.database.session() as session:
        session.execute(
            text("INSERT INTO comments (id, invoice_id, author_id, body, created_at) VALUES (:c, :id, :me, 'x', :now)"),
            {"c": new_id(), "id": draft["id"], "me": desk.seller.id, "now": NOW},
        )
    with pytest.raises(Conflict, match="wrote about"):
        desk.do(invoices.delete_draft, draft)


def test_what_money_came_for_is_not_voided(shop: Shop, desk: Desk) -> None:
    made = desk.make()
    pay(shop, made, 1)
    with pytest.raises(Conflict, match="refund it first"):
        desk.do(invoices.void, made)


def test_a_duplicate_is_a_draft_of_the_same_dated_today(desk: Desk) -> None:
    made = desk.under_gst().make(
        items=[
            NewItem(description="Tea", hsn="0902", quantity=Decimal(2), unit_price=50, unit="kg", tax_rate=Decimal(5))
        ],
        notes="Thanks",
        reference="PO 7",
        reverse_charge=True,
    )
    copy = desk.do(invoices.duplicate, made, today=date(2027, 1, 10))
    same = ("items", "notes", "total", "currency", "reverse_charge", "customer", "place_of_supply")
    assert {name: copy[name] for name in same} == {name: made[name] for name in same}
    assert (copy["stage"], copy["number"], copy["reference"]) == ("draft", None, "")
    assert (copy["issue_date"], copy["due_date"]) == (date(2027, 1, 10), date(2027, 2, 9))
    desk.set_up(tax_regime="plain")
    assert desk.do(invoices.duplicate, made, today=date(2027, 1, 10))["tax_regime"] == "plain"


# Drafts and the rest ---------------------------------------------------------------------------------------


def test_a_draft_that_is_submitted_is_issued_by_it(database: Database) -> None:
    desk = verified_desk(database)
    draft = desk.make(draft=True, due_date=date(2027, 1, 20))
    finance(desk, draft)
    found = desk.look(draft)
    assert (found["number"], found["status"], found["payment_status"]) == (
        "INV-2026-00001",
        "pending_buyer_confirmation",
        "open",
    )
    with database.session() as session:
        subject = session.scalar(text("SELECT subject FROM mails WHERE to_address = 'bina@shop.example' LIMIT 1"))
    assert "INV-2026-00001" in str(subject)


def test_a_draft_that_waiting_money_pays_when_it_is_submitted_is_not_financed(context: Clockwork) -> None:
    desk = verified_desk(context.database)
    shop = open_shop(context, seller=desk.seller)
    draft = desk.make(draft=True, due_date=date(2027, 1, 20))
    shop.hear(payment(id=f"p{new_id().hex}", invoice_number="INV-2026-00001", amount_minor=1_000))
    with pytest.raises(Conflict, match="partial"):
        finance(desk, draft)
    assert desk.look(draft)["number"] is None


def test_money_that_came_before_finds_a_draft_when_it_is_issued(shop: Shop, desk: Desk) -> None:
    draft = desk.make(draft=True)
    shop.hear(payment(id=f"p{new_id().hex}", invoice_number="INV-2026-00001", amount_minor=10_000))
    assert desk.look(draft)["amount_paid"] == 0
    assert desk.do(invoices.issue, draft)["stage"] == "paid"


# Any order -------------------------------------------------------------------------------------------------

deeds = st.lists(
    st.one_of(
        st.tuples(st.just("edit"), st.integers(1, 30_000)),
        st.tuples(st.just("words"), st.text("abc", max_size=5)),
        st.tuples(st.just("pay"), st.integers(1, 20_000)),
        st.tuples(st.just("refund"), st.integers(1, 20_000)),
        st.tuples(st.just("issue"), st.just(0)),
        st.tuples(st.just("void"), st.just(0)),
        st.tuples(st.just("delete"), st.just(0)),
    ),
    max_size=8,
)


def perform(shop: Shop, desk: Desk, made: dict[str, Any], paid: list[str], deed: str, value: Any) -> None:
    """One deed of a story; `paid` are the payments so far."""
    match deed:
        case "edit":
            desk.edit(made, items=[NewItem(description="Tea", quantity=Decimal(1), unit_price=value)])
        case "words":
            desk.edit(made, notes=value)
        case "pay":
            paid.append(f"p{new_id().hex}")
            shop.hear(payment(id=paid[-1], invoice_number="INV-2026-00001", amount_minor=value))
        case "refund":
            for last in paid[-1:]:
                shop.hear(refund(id=f"r{new_id().hex}", payment_id=last, amount_minor=value))
        case _:
            desk.do({"issue": invoices.issue, "void": invoices.void, "delete": invoices.delete_draft}[deed], made)


@settings(deadline=None, max_examples=examples(10))
@given(story=deeds)
def test_any_story_of_edits_and_payments_ends_with_sums_that_fit(
    context: Clockwork, story: list[tuple[str, Any]]
) -> None:
    shop = open_shop(context)
    desk = Desk(shop.database, shop.seller)
    made = desk.make(draft=True)
    paid: list[str] = []
    for deed, value in story:
        # What is refused must not have happened in part.
        with suppress(PlatformError):
            perform(shop, desk, made, paid, deed, value)
    check_sums(shop.database)
    try:
        found = desk.look(made)
    except NotFound:
        return
    lines = found["items"]
    assert found["total"] == sum(one["net"] + one["tax"] for one in lines) + found["rounding"]
    assert 0 <= found["amount_paid"] <= found["total"] == found["amount_due"] + found["amount_paid"]
    assert (found["number"] is None) == (found["stage"] == "draft")

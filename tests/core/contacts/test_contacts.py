"""Customers as a seller keeps them: what is checked, who may, what two people do at once, and what is shown."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from core import audit, intake
from core.contacts import queries, store
from core.contacts.store import NewContact
from core.edits import StaleEdit
from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.events import Payment, PaymentStatus, Reference, Trust
from core.identity import Actor, Role, users
from core.ids import new_id
from core.money import Money
from tests.builders import NOW, Clockwork, add_invoice, add_seller, open_shop

GSTIN = "27AAPFU0939F1ZV"


def new(**more: Any) -> NewContact:
    return NewContact(**{"name": "Rao Retail", "email": f"{new_id()}@rao.test", **more})


def test_a_contact_keeps_what_was_written_and_reads_the_state_from_its_gstin(session: Session, seller: Actor) -> None:
    made = store.create(
        session,
        seller,
        new(
            name="  Rao Retail ",
            email="Accounts@Rao.test",
            gstin=" 27aapfu0939f1zv ",
            currency="USD",
            payment_days=45,
            tds_rate=Decimal("0.1"),
            reminders=False,
        ),
        NOW,
    )
    shown = ("name", "email", "gstin", "state_code", "currency", "payment_days", "tds_rate", "reminders", "version")
    assert [made[field] for field in shown] == [
        "Rao Retail", "accounts@rao.test", GSTIN, "27", "USD", 45, "0.1", False, 1,
    ]  # fmt: skip
    assert made["balances"] == []
    assert made["paying"] == {"invoices": 0, "average_days": None, "average_days_late": None}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("name", "  ", id="no name"),
        pytest.param("name", "n" * 201, id="name too long"),
        pytest.param("email", "nobody", id="no address"),
        pytest.param("gstin", "27AAPFU0939F1ZX", id="wrong check character"),
        pytest.param("state_code", "77", id="no state"),
        pytest.param("currency", "ABC", id="no currency"),
        pytest.param("payment_days", -1, id="days below 0"),
        pytest.param("payment_days", 366, id="days above a year"),
        pytest.param("tds_rate", Decimal(0), id="no rate"),
        pytest.param("tds_rate", Decimal(100), id="all of it"),
        pytest.param("tds_rate", Decimal("0.00001"), id="five decimals"),
        pytest.param("tds_rate", Decimal("NaN"), id="not a number"),
        pytest.param("address", "a" * 1001, id="address too long"),
        pytest.param("notes", "a" * 5001, id="notes too long"),
        pytest.param("phone", "1" * 41, id="phone too long"),
    ],
)
def test_what_cannot_be_is_named(session: Session, seller: Actor, field: str, value: object) -> None:
    with pytest.raises(Invalid) as refused:
        store.create(session, seller, new(**{field: value}), NOW)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "n" * 200),
        ("payment_days", 0),
        ("payment_days", 365),
        ("tds_rate", Decimal("99.9999")),
        ("notes", "a" * 5000),
    ],
)
def test_limits_are_reached(session: Session, seller: Actor, field: str, value: object) -> None:
    made = store.create(session, seller, new(**{field: value}), NOW)
    assert str(made[field]) == str(value)


def test_a_state_that_the_gstin_does_not_tell_is_refused(session: Session, seller: Actor) -> None:
    with pytest.raises(Invalid, match="the GSTIN is of 27"):
        store.create(session, seller, new(gstin=GSTIN, state_code="29"), NOW)
    made = store.create(session, seller, new(state_code="29"), NOW)
    # The registration is the better word: the state follows it, and both together must agree.
    assert store.update(session, seller, UUID(made["id"]), {"gstin": GSTIN}, NOW)["state_code"] == "27"
    with pytest.raises(Invalid, match="state_code"):
        store.update(session, seller, UUID(made["id"]), {"state_code": "29"}, NOW)
    freed = store.update(session, seller, UUID(made["id"]), {"gstin": None, "state_code": "29"}, NOW)
    assert (freed["gstin"], freed["state_code"]) == (None, "29")


def test_an_address_is_one_contact_and_another_sellers_is_their_own(context: Clockwork, seller: Actor) -> None:
    address = f"{new_id()}@rao.test"
    with context.database.session() as session:
        store.create(session, seller, new(email=address), NOW)
    with context.database.session() as session, pytest.raises(Conflict, match="is there already"):
        store.create(session, seller, new(email=address.upper()), NOW)
    with context.database.session() as session:
        other = store.create(session, seller, new(), NOW)
        with pytest.raises(Conflict, match="another contact has the address"):
            store.update(session, seller, UUID(other["id"]), {"email": address}, NOW)
        # The refusal took nothing else of the transaction with it.
        assert queries.get_contact(session, seller, UUID(other["id"]))["email"] == other["email"]
    with context.database.session() as session:
        store.create(session, add_seller(context), new(email=address), NOW)


def test_the_second_of_two_who_edit_sees_what_the_first_changed(session: Session, seller: Actor) -> None:
    made = UUID(store.create(session, seller, new(phone="1"), NOW)["id"])
    first = store.update(session, seller, made, {"phone": "2", "payment_days": 10}, NOW, expected_version=1)
    assert first["version"] == 2
    with pytest.raises(StaleEdit) as refused:
        store.update(session, seller, made, {"phone": "3"}, NOW, expected_version=1)
    assert refused.value.code == "stale_version"
    assert refused.value.version == 2
    (edit,) = refused.value.edits
    assert (edit.actor, edit.changes) == ("Asha", {"phone": ["1", "2"], "payment_days": [None, 10]})
    assert queries.get_contact(session, seller, made)["phone"] == "2"
    # Writing what is there already is no change, and takes no version.
    assert store.update(session, seller, made, {"phone": "2"}, NOW, expected_version=2)["version"] == 2
    with pytest.raises(StaleEdit):
        store.update(session, seller, made, {"phone": "4"}, NOW, expected_version=7)


def test_a_contact_is_its_sellers_alone(context: Clockwork, session: Session, seller: Actor) -> None:
    made = UUID(store.create(session, seller, new(), NOW)["id"])
    operator, stranger = add_seller(context, Role.OPERATOR), add_seller(context)
    assert queries.get_contact(session, operator, made)["id"] == str(made)
    with pytest.raises(Forbidden):
        store.update(session, operator, made, {"name": "Mine"}, NOW)
    with pytest.raises(Forbidden):
        store.create(session, operator, new(), NOW)
    for person in (stranger, add_seller(context, Role.BUYER), add_seller(context, Role.INVESTOR)):
        assert queries.list_contacts(session, person)["items"] == []
        with pytest.raises(NotFound):
            queries.get_contact(session, person, made)
        with pytest.raises(NotFound):
            queries.history(session, person, made)
        with pytest.raises(NotFound):
            store.update(session, person, made, {"name": "Mine"}, NOW)
        with pytest.raises(NotFound):
            store.archive(session, person, made, NOW)


def test_what_is_put_away_leaves_the_list_and_comes_back(session: Session, seller: Actor) -> None:
    made = UUID(store.create(session, seller, new(), NOW)["id"])
    away = store.archive(session, seller, made, NOW)
    assert away["archived_at"] == NOW
    assert store.archive(session, seller, made, NOW)["version"] == away["version"]
    assert queries.list_contacts(session, seller)["items"] == []
    assert [one["id"] for one in queries.list_contacts(session, seller, archived=True)["items"]] == [str(made)]
    assert queries.choices(session, seller) == []
    assert store.archive(session, seller, made, NOW, away=False)["archived_at"] is None
    assert len(queries.choices(session, seller)) == 1


def test_the_list_goes_by_name_in_pages_and_finds_what_is_searched_for(session: Session, seller: Actor) -> None:
    for name in ("delta", "Alpha", "charlie", "Bravo", "alpha"):
        store.create(session, seller, new(name=name, legal_name=f"{name} 100% Pvt_Ltd"), NOW)
    found, cursor = [], None
    for _ in range(3):
        page = queries.list_contacts(session, seller, limit=2, cursor=cursor)
        found += [one["name"].lower() for one in page["items"]]
        cursor = page["next_cursor"]
    assert (found, cursor) == (["alpha", "alpha", "bravo", "charlie", "delta"], None)
    assert len(queries.list_contacts(session, seller, search="ALPHA")["items"]) == 2
    assert len(queries.list_contacts(session, seller, search="100% Pvt_")["items"]) == 5
    assert queries.list_contacts(session, seller, search="1000")["items"] == []


def test_an_operator_reads_the_contacts_of_all_sellers_newest_first(context: Clockwork, session: Session) -> None:
    operator = add_seller(context, Role.OPERATOR)
    made = [store.create(session, add_seller(context), new(name=name), NOW)["id"] for name in ("b", "a", "c")]
    first = queries.list_contacts(session, operator, limit=2)
    second = queries.list_contacts(session, operator, limit=1, cursor=first["next_cursor"])
    assert [one["id"] for one in (*first["items"], *second["items"])] == made[::-1]
    with pytest.raises(Invalid, match="cursor"):
        queries.list_contacts(session, add_seller(context), cursor=first["next_cursor"])


def test_an_address_that_is_corrected_shows_the_invoices_to_the_buyer(context: Clockwork, seller: Actor) -> None:
    with context.database.session() as session:
        buyer = users.register(
            session, email=f"{new_id()}@b.test", name="B", password_hash="-", role=Role.BUYER, now=NOW
        )
        invoice = add_invoice(session, seller, 100)
        assert invoice["buyer_id"] is None
        store.update(session, seller, UUID(invoice["contact"]["id"]), {"email": buyer.email}, NOW)
        assert session.execute(
            text("SELECT buyer_id FROM invoices WHERE id = :id"), {"id": invoice["id"]}
        ).scalar_one() == buyer.id  # fmt: skip


def test_balances_days_to_pay_and_history_say_what_happened(context: Clockwork) -> None:
    shop = open_shop(context)
    first, second = shop.invoice(10_000), shop.invoice(5_000)
    shop.invoice(700, "USD")
    contact = UUID(first["contact"]["id"])

    def paid(name: str, amount: int, invoice: str, at: datetime) -> None:
        said = Payment(
            object_id=name,
            version=1,
            status=PaymentStatus.SUCCEEDED,
            money=Money(amount, "INR"),
            occurred_at=at,
            references=(Reference(0, invoice),),
            bank_reference="UTR1",
        )
        with context.database.connect() as connection:
            intake.apply(connection, shop.state(said, trust=Trust.SIGNED))

    # Issued on 1 November and due on 1 December: paid after 40 days, with 500 too much.
    paid("p1", 4_000, first["number"], datetime(2026, 11, 6, tzinfo=UTC))
    paid("p2", 6_500, first["number"], datetime(2026, 12, 11, tzinfo=UTC))
    paid("p3", 2_000, second["number"], datetime(2026, 12, 12, tzinfo=UTC))
    with context.database.session() as session:
        audit.record(session, shop.seller, "noise", "contact", contact, {}, NOW)
        found = queries.get_contact(session, shop.seller, contact)
        due = {entry["currency"]: (entry["invoices"], entry["due"], entry["credit"]) for entry in found["balances"]}
        assert due == {"INR": (1, 3_000, 500), "USD": (1, 700, 0)}
        assert found["paying"] == {"invoices": 1, "average_days": "40", "average_days_late": "10"}
        past = queries.history(session, shop.seller, contact)
    kinds = [(entry["kind"], entry["amount"]) for entry in past["items"]]
    assert kinds[:3] == [("payment", 2_000), ("payment", 6_500), ("payment", 4_000)]
    assert sorted(kinds[3:]) == [("invoice", 700), ("invoice", 5_000), ("invoice", 10_000)]
    with context.database.session() as session:
        one = queries.history(session, shop.seller, contact, limit=1)
        two = queries.history(session, shop.seller, contact, limit=1, cursor=one["next_cursor"])
    assert [entry["id"] for entry in (*one["items"], *two["items"])] == [entry["id"] for entry in past["items"][:2]]


def test_a_mail_to_the_same_address_from_another_seller_is_not_in_the_history(context: Clockwork) -> None:
    mine, theirs = open_shop(context), open_shop(context)
    ours, other = mine.invoice(), theirs.invoice()
    with context.database.session() as session:
        for invoice, subject in ((ours, "Invoice for you"), (other, "Not yours")):
            session.execute(
                text(
                    "INSERT INTO mails (id, to_address, subject, text, state, due_at, subject_kind, subject_id, "
                    "created_at) VALUES "
                    "(:id, 'buyer@rao.test', :subject, 'x', 'queued', :now, 'invoice', :invoice, :now)"
                ),
                {"id": new_id(), "subject": subject, "invoice": invoice["id"], "now": NOW},
            )
        past = queries.history(session, mine.seller, UUID(ours["contact"]["id"]))["items"]
    assert [entry["words"] for entry in past if entry["kind"] == "mail"] == ["Invoice for you"]


def test_dates_of_days_are_the_days(session: Session, seller: Actor) -> None:
    # Overdue counts from the day after: an invoice of long ago is, one that is due far away is not.
    old = add_invoice(session, seller, 300)
    session.execute(
        text("UPDATE invoices SET issue_date = :day, due_date = :day WHERE id = :id"),
        {"day": date(2020, 1, 1), "id": old["id"]},
    )
    future = add_invoice(session, seller, 400)
    session.execute(text("UPDATE invoices SET due_date = '2199-01-01' WHERE id = :id"), {"id": future["id"]})
    (balance,) = queries.get_contact(session, seller, UUID(old["contact"]["id"]))["balances"]
    assert (balance["due"], balance["overdue"]) == (700, 300)

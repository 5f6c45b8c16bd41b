"""A seller's business, and what GST makes of their invoices (marketplace rules 2.10)."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from core.database import Database
from core.edits import StaleEdit
from core.errors import Forbidden, Invalid
from core.identity import Role
from core.invoicing import invoices, profiles
from core.invoicing.invoices import NewItem
from core.invoicing.profiles import Profile
from tests.core.invoicing.desk import GST, KARNATAKA, MAHARASHTRA, NOW, TEA, Desk, new, register


@pytest.fixture(scope="module")
def database(file_database_url: str) -> Iterator[Database]:
    made = Database("postgresql+psycopg://" + file_database_url.split("://", 1)[1], pool_size=4)
    yield made
    made.dispose()


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk.open(database)


LAKH = NewItem(description="Cloth", hsn="5208", quantity=Decimal(1), unit_price=1_00_000_00, tax_rate=Decimal(18))


def test_a_business_that_was_never_set_up_has_its_defaults(desk: Desk) -> None:
    with desk.database.session() as session:
        assert profiles.profile(session, desk.seller.id) == Profile()


def test_what_is_set_up_is_kept_and_a_repeat_changes_nothing(desk: Desk) -> None:
    saved = desk.set_up(legal_name=" Loom Works ", upi_id="loom@bank", payment_days=15, round_total=True)
    assert (saved.legal_name, saved.upi_id, saved.payment_days, saved.round_total) == (
        "Loom Works",
        "loom@bank",
        15,
        True,
    )
    assert saved.version == 1
    assert desk.set_up(legal_name="Loom Works") == saved
    with desk.database.session() as session:
        assert profiles.profile(session, desk.seller.id) == saved


def test_the_second_of_two_editors_is_told_what_changed(desk: Desk) -> None:
    desk.set_up(legal_name="Loom Works")
    desk.set_up(legal_name="Loom Works LLP")
    with desk.database.session() as session, pytest.raises(StaleEdit) as caught:
        profiles.save(session, desk.seller, {"address": "1 Mill Road"}, NOW, expected_version=1)
    assert caught.value.version == 2
    assert caught.value.edits[0].changes == {"legal_name": ["Loom Works", "Loom Works LLP"]}


def test_a_gstin_tells_the_state(desk: Desk) -> None:
    saved = desk.set_up(tax_regime="gst", gstin=" 27aapfu0939f1zv ")
    assert (saved.gstin, saved.state_code) == (MAHARASHTRA, "27")
    assert desk.set_up(gstin=KARNATAKA).state_code == "29"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param({"tax_regime": "gst"}, "gstin", id="GST without a number"),
        pytest.param({"tax_regime": "gst", "state_code": "27"}, "gstin", id="a state alone"),
        pytest.param({"gstin": MAHARASHTRA[:-1] + "W"}, "gstin", id="a wrong check character"),
        pytest.param({"gstin": MAHARASHTRA, "state_code": "29"}, "state_code", id="another state"),
        pytest.param({"state_code": "00"}, "state_code", id="no state"),
        pytest.param({"tax_regime": "vat"}, "tax_regime", id="another regime"),
        pytest.param({"hsn_digits": 5}, "hsn_digits", id="five digits"),
        pytest.param({"payment_days": -1}, "payment_days", id="days below nothing"),
        pytest.param({"payment_days": 366}, "payment_days", id="more than a year"),
        pytest.param({"home_currency": "XYZ"}, "home_currency", id="no currency"),
        pytest.param({"upi_id": "nobody"}, "upi_id", id="no UPI address"),
        pytest.param({"legal_name": "x" * 201}, "legal_name", id="a long name"),
        pytest.param({"address": "x" * 1001}, "address", id="a long address"),
        pytest.param({"version": 3}, "version", id="no field"),
    ],
)
def test_what_cannot_be_is_refused_by_its_field(desk: Desk, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        desk.set_up(**changes)
    assert caught.value.field == field


def test_limits_are_taken(desk: Desk) -> None:
    saved = desk.set_up(legal_name="x" * 200, address="x" * 1000, payment_days=365, hsn_digits=6)
    assert (len(saved.legal_name), len(saved.address), saved.payment_days, saved.hsn_digits) == (200, 1000, 365, 6)
    assert desk.set_up(payment_days=0).payment_days == 0


def test_only_sellers_have_a_business(database: Database) -> None:
    with pytest.raises(Forbidden):
        Desk(database, register(database, Role.BUYER)).set_up(legal_name="x")


def test_a_gstin_must_hold_the_pan_of_the_kyc(desk: Desk) -> None:
    with desk.database.session() as session:
        session.execute(
            text(
                "INSERT INTO kyc_profiles (user_id, state, pan, updated_at) "
                "VALUES (:id, 'not_started', 'AAFCC9980M', :now)"
            ),
            {"id": desk.seller.id, "now": NOW},
        )
    with pytest.raises(Invalid, match="PAN"):
        desk.set_up(gstin=MAHARASHTRA)
    assert desk.set_up(gstin=KARNATAKA).gstin == KARNATAKA


# Invoices under GST ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "place", "taxes"),
    [
        pytest.param({}, "27", (9_000_00, 9_000_00, 0), id="a customer of whom nothing is known"),
        pytest.param({"contact_state": "29"}, "29", (0, 0, 18_000_00), id="a customer elsewhere"),
        pytest.param({"contact_gstin": KARNATAKA}, "29", (0, 0, 18_000_00), id="a registration elsewhere"),
        pytest.param(
            {"contact_gstin": KARNATAKA, "place_of_supply": "27"}, "27", (9_000_00, 9_000_00, 0), id="supplied here"
        ),
        pytest.param({"place_of_supply": "96"}, "96", (0, 0, 18_000_00), id="supplied abroad"),
    ],
)
def test_the_place_of_supply_decides_the_taxes(
    desk: Desk, more: dict[str, Any], place: str, taxes: tuple[int, int, int]
) -> None:
    made = desk.under_gst().make(items=[LAKH], **more)
    assert (made["place_of_supply"], made["tax_regime"]) == (place, "gst")
    assert (made["cgst"], made["sgst"], made["igst"]) == taxes
    assert (made["subtotal"], made["tax"], made["total"]) == (1_00_000_00, 18_000_00, 1_18_000_00)
    assert [(one["rate"], one["hsn"], one["tax"]) for one in made["tax_by_hsn"]] == [("18", "5208", 18_000_00)]


def test_under_reverse_charge_the_tax_stands_there_and_is_not_owed(desk: Desk) -> None:
    made = desk.under_gst().make(items=[LAKH], reverse_charge=True, place_of_supply="29")
    assert (made["igst"], made["tax_shown"], made["tax"], made["total"]) == (18_000_00, 18_000_00, 0, 1_00_000_00)
    assert made["amount_due"] == 1_00_000_00


def test_a_rounding_line_says_by_how_much(desk: Desk) -> None:
    made = desk.under_gst(round_total=True).make(
        items=[NewItem(description="Tea", quantity=Decimal(1), unit_price=10_49, tax_rate=Decimal(5))]
    )
    # 10.49 and two halves of 0.26.
    assert (made["subtotal"], made["tax"], made["rounding"], made["total"]) == (10_49, 52, -1, 11_00)


@pytest.mark.parametrize(
    ("digits", "hsn", "registered", "passes"),
    [
        pytest.param(4, "", False, True, id="no code to somebody not registered"),
        pytest.param(4, "", True, False, id="no code to a registered customer"),
        pytest.param(4, "5208", True, True, id="four digits where four are asked for"),
        pytest.param(6, "520811", True, True, id="six digits where six are asked for"),
        pytest.param(6, "5208", False, False, id="four digits where six are asked for"),
        pytest.param(6, "", False, False, id="no code where six digits are asked for"),
    ],
)
def test_codes_are_as_long_as_the_turnover_asks(
    desk: Desk, digits: int, hsn: str, registered: bool, passes: bool
) -> None:
    desk.under_gst(hsn_digits=digits)
    line = NewItem(description="Cloth", hsn=hsn, quantity=Decimal(1), unit_price=100)
    more: dict[str, Any] = {"contact_gstin": KARNATAKA} if registered else {}
    # A draft may be without; it is asked for when the draft is issued.
    draft = desk.make(draft=True, items=[TEA, line] if not registered and digits == 4 else [line], **more)
    if passes:
        assert desk.do(invoices.issue, draft)["stage"] == "open"
        return
    with pytest.raises(Invalid) as caught:
        desk.do(invoices.issue, draft)
    assert caught.value.field == "items.0.hsn"
    assert desk.look(draft)["number"] is None


@pytest.mark.parametrize(
    ("more", "field"),
    [
        pytest.param({"place_of_supply": "40"}, "place_of_supply", id="a state that is none"),
        pytest.param({"place_of_supply": "xx"}, "place_of_supply", id="no code"),
        pytest.param({"contact_gstin": KARNATAKA[:-1] + "S"}, "contact.gstin", id="a mistyped GSTIN"),
        pytest.param({"contact_state": "40"}, "contact.state_code", id="a customer in no state"),
        pytest.param(
            {"contact_gstin": KARNATAKA, "contact_state": "27"}, "contact.state_code", id="a GSTIN of another state"
        ),
    ],
)
def test_what_gst_does_not_know_is_refused(desk: Desk, more: dict[str, Any], field: str) -> None:
    desk.under_gst()
    with pytest.raises(Invalid) as caught:
        desk.make(items=[LAKH], **more)
    assert caught.value.field == field


@pytest.mark.parametrize("more", [{"place_of_supply": "27"}, {"reverse_charge": True}])
def test_without_gst_nothing_of_it_is_taken(desk: Desk, more: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match="not set up for GST"):
        desk.make(**more)


def test_both_sides_stay_on_an_issued_invoice_as_they_were(desk: Desk) -> None:
    desk.under_gst()
    made = desk.make(items=[LAKH], contact_gstin=KARNATAKA, contact_address="Old Street")
    draft = desk.make(draft=True, items=[LAKH])
    desk.set_up(legal_name="Other Works", address="9 New Road", gstin=KARNATAKA)
    desk.make(contact_address="New Street", items=[LAKH])
    kept, follows = desk.look(made), desk.look(draft)
    assert kept["supplier"] == {
        "name": GST["legal_name"],
        "address": "1 Mill Road",
        "gstin": MAHARASHTRA,
        "state_code": "27",
    }
    assert (kept["customer"]["address"], kept["customer"]["gstin"]) == ("Old Street", KARNATAKA)
    assert (follows["supplier"]["name"], follows["customer"]["address"]) == ("Other Works", "New Street")


def test_a_draft_is_issued_by_the_business_as_it_is_then(desk: Desk) -> None:
    draft = desk.make(draft=True, items=[LAKH])
    desk.under_gst(round_total=True)
    issued = desk.do(invoices.issue, draft)
    assert (issued["tax_regime"], issued["cgst"], issued["supplier"]["gstin"]) == ("gst", 9_000_00, MAHARASHTRA)


def test_a_preview_writes_nothing(desk: Desk) -> None:
    desk.under_gst()
    with desk.database.session() as session:
        before = session.scalar(text("SELECT count(*) FROM contacts"))
        found = invoices.preview(
            session, desk.seller, new(contact_email="", contact_name="", items=[LAKH], contact_gstin=KARNATAKA)
        )
        assert session.scalar(text("SELECT count(*) FROM contacts")) == before
    assert (found.igst, found.total) == (18_000_00, 1_18_000_00)


@pytest.mark.parametrize(
    ("change", "guard"),
    [
        ("UPDATE invoices SET cgst = cgst - 1, sgst = sgst + 1 WHERE id = :id", "invoices_gst_adds_up"),
        ("UPDATE invoices SET place_of_supply = '29' WHERE id = :id", "invoices_gst_adds_up"),
        ("UPDATE invoices SET reverse_charge = true WHERE id = :id", "invoices_gst_adds_up"),
        ("UPDATE invoices SET rounding = 9901 WHERE id = :id", "invoices_rounding_check"),
        ("UPDATE invoices SET total = total + 1 WHERE id = :id", "invoices_total_adds_up"),
        ("UPDATE business_profiles SET gstin = NULL WHERE user_id = :user", "business_profiles_check"),
    ],
)
def test_the_database_keeps_taxes_that_add_up(desk: Desk, change: str, guard: str) -> None:
    made = desk.under_gst().make(items=[LAKH])
    with desk.database.session() as session, pytest.raises(DBAPIError, match=guard):
        session.execute(
            text(change),
            {"id": made["id"], "user": desk.seller.id} if ":user" not in change else {"user": desk.seller.id},
        )

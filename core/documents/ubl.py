"""Invoices and credit notes as UBL 2.1, shaped like the core invoice of EN 16931, as far as the books know the fields.

What the books do not hold is left out and not made up: the country of a party that has no GSTIN, and a tax number
under other regimes than GST. Amounts of the document are decimals with the places of their currency.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree as ET

from core.documents import parts
from core.documents.tables import amount
from core.documents.wording import as_day, decimal
from core.taxids.gstin import STATES

_ROOT = "urn:oasis:names:specification:ubl:schema:xsd:{}-2"
_CAC = "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2"
_CBC = "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2"
_CUSTOMIZATION = "urn:cen.eu:en16931:2017"
_PROFILE = "urn:fdc:peppol.eu:2017:poacc:billing:01:1.0"
# UNTDID 1001: commercial invoice, credit note.
_TYPES = {"Invoice": "380", "CreditNote": "381"}
# UNTDID 4461: credit transfer; an instrument that is not defined.
_TRANSFER, _UNDEFINED = "30", "1"
# UNTDID 5189: discount.
_DISCOUNT = "95"
# UN/ECE recommendation 20, for the units people write; anything else is "one", with the word in a note.
_UNITS = {
    "": "C62", "no": "C62", "nos": "C62", "unit": "C62", "units": "C62", "each": "EA", "piece": "H87", "pieces": "H87",
    "pc": "H87", "pcs": "H87", "kg": "KGM", "kgs": "KGM", "g": "GRM", "gm": "GRM", "t": "TNE", "ton": "TNE",
    "tonne": "TNE", "l": "LTR", "ltr": "LTR", "litre": "LTR", "ml": "MLT", "m": "MTR", "mtr": "MTR", "metre": "MTR",
    "cm": "CMT", "km": "KMT", "sqm": "MTK", "sqft": "FTK", "h": "HUR", "hr": "HUR", "hrs": "HUR", "hour": "HUR",
    "hours": "HUR", "day": "DAY", "days": "DAY", "week": "WEE", "month": "MON", "months": "MON", "year": "ANN",
    "box": "BX", "boxes": "BX", "bag": "BG", "bags": "BG", "set": "SET", "sets": "SET", "pair": "PR", "dozen": "DZN",
    "doz": "DZN", "pack": "PK", "roll": "RO",
}  # fmt: skip
_CATEGORY = tuple[str, Decimal]


def _text(value: Any) -> str:
    """Text without what XML 1.0 cannot hold."""
    return "".join(
        letter
        for letter in str(value or "")
        if letter in "\t\n\r" or " " <= letter <= "\ud7ff" or "\ue000" <= letter <= "\ufffd" or letter >= "\U00010000"
    ).strip()


def _add(parent: ET.Element, name: str, value: Any = None, **attributes: str) -> ET.Element | None:
    """A basic component with a value; nothing when there is none."""
    if value is None or value == "":
        return None
    made = ET.SubElement(parent, f"{{{_CBC}}}{name}", attributes)
    made.text = _text(value)
    return made


def _group(parent: ET.Element, name: str) -> ET.Element:
    return ET.SubElement(parent, f"{{{_CAC}}}{name}")


def _money(parent: ET.Element, name: str, minor: int, currency: str) -> None:
    _add(parent, name, format(amount(minor, currency), "f"), currencyID=currency)


def _scheme(parent: ET.Element, view: Mapping[str, Any]) -> None:
    _add(_group(parent, "TaxScheme"), "ID", "GST" if view.get("tax_regime") == "gst" else "VAT")


def _party(parent: ET.Element, view: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    party = _group(parent, "Party")
    # EM: an address of electronic mail (Peppol's code list of electronic addresses).
    _add(party, "EndpointID", known.get("email"), schemeID="EM")
    if known.get("name"):
        _add(_group(party, "PartyName"), "Name", known["name"])
    lines = [line.strip() for line in _text(known.get("address")).splitlines() if line.strip()]
    address = _group(party, "PostalAddress")
    _add(address, "StreetName", lines[0] if lines else None)
    _add(address, "AdditionalStreetName", lines[1] if len(lines) > 1 else None)
    _add(address, "CountrySubentity", STATES.get(known.get("state_code") or ""))
    if len(lines) > 2:
        _add(_group(address, "AddressLine"), "Line", ", ".join(lines[2:]))
    if known.get("gstin"):
        _add(_group(address, "Country"), "IdentificationCode", "IN")
        taxed = _group(party, "PartyTaxScheme")
        _add(taxed, "CompanyID", known["gstin"])
        _scheme(taxed, view)
    _add(_group(party, "PartyLegalEntity"), "RegistrationName", known.get("legal_name") or known.get("name"))


def _category(view: Mapping[str, Any], rate: Any) -> _CATEGORY:
    """The code of UNCL 5305 and the rate of a line's tax."""
    percent = Decimal(str(rate or 0))
    if view.get("reverse_charge"):
        return "AE", Decimal(0)
    if percent:
        return "S", percent
    if view.get("tax_regime") != "gst" and not any(Decimal(str(item.get("tax_rate") or 0)) for item in view["items"]):
        # No tax anywhere and nothing said about a regime: not subject to it.
        return "O", Decimal(0)
    return "Z", Decimal(0)


def _taxed(parent: ET.Element, name: str, view: Mapping[str, Any], category: _CATEGORY, *, reason: bool) -> None:
    code, percent = category
    made = _group(parent, name)
    _add(made, "ID", code)
    if code != "O":
        _add(made, "Percent", decimal(percent) or "0")
    if reason and code in {"AE", "O"}:
        _add(made, "TaxExemptionReason", "Reverse charge" if code == "AE" else "Not subject to tax")
    _scheme(made, view)


def _tax_total(root: ET.Element, view: Mapping[str, Any]) -> None:
    currency, charged = view["currency"], not view.get("reverse_charge")
    sums: dict[_CATEGORY, list[int]] = {}
    for item in view["items"]:
        held = sums.setdefault(_category(view, item.get("tax_rate")), [0, 0])
        held[0] += item["net"]
        held[1] += item["tax"] if charged else 0
    made = _group(root, "TaxTotal")
    _money(made, "TaxAmount", view["tax"], currency)
    for category, (net, tax) in sorted(sums.items()):
        part = _group(made, "TaxSubtotal")
        _money(part, "TaxableAmount", net, currency)
        _money(part, "TaxAmount", tax, currency)
        _taxed(part, "TaxCategory", view, category, reason=True)


def _totals(root: ET.Element, view: Mapping[str, Any]) -> None:
    currency = view["currency"]
    inclusive, paid = view["subtotal"] + view["tax"], view.get("amount_paid", 0)
    made = _group(root, "LegalMonetaryTotal")
    _money(made, "LineExtensionAmount", view["subtotal"], currency)
    _money(made, "TaxExclusiveAmount", view["subtotal"], currency)
    _money(made, "TaxInclusiveAmount", inclusive, currency)
    if paid:
        _money(made, "PrepaidAmount", paid, currency)
    if view.get("rounding"):
        _money(made, "PayableRoundingAmount", view["rounding"], currency)
    _money(made, "PayableAmount", view["total"] - paid, currency)


def _line(root: ET.Element, kind: str, view: Mapping[str, Any], place: int, item: Mapping[str, Any]) -> None:
    currency = view["currency"]
    made = _group(root, f"{kind}Line")
    _add(made, "ID", place)
    unit = _text(item.get("unit")).rstrip(".").lower()
    if unit not in _UNITS:
        _add(made, "Note", f"Unit: {item['unit']}")
    quantity = "InvoicedQuantity" if kind == "Invoice" else "CreditedQuantity"
    _add(made, quantity, decimal(item["quantity"]), unitCode=_UNITS.get(unit, "C62"))
    _money(made, "LineExtensionAmount", item["net"], currency)
    if item.get("discount"):
        _allowance(made, item, currency)
    thing = _group(made, "Item")
    described = _text(item["description"])
    # The name is one line of up to 100 characters; the whole text stands beside it.
    name = " ".join(described.split())[:100]
    _add(thing, "Description", described if described != name else None)
    _add(thing, "Name", name)
    if item.get("hsn"):
        _add(_group(thing, "CommodityClassification"), "ItemClassificationCode", item["hsn"], listID="HS")
    _taxed(thing, "ClassifiedTaxCategory", view, _category(view, item.get("tax_rate")), reason=False)
    _money(_group(made, "Price"), "PriceAmount", item["unit_price"], currency)


def _allowance(line: ET.Element, item: Mapping[str, Any], currency: str) -> None:
    made = _group(line, "AllowanceCharge")
    _add(made, "ChargeIndicator", "false")
    _add(made, "AllowanceChargeReasonCode", _DISCOUNT)
    _add(made, "AllowanceChargeReason", "Discount")
    _add(made, "MultiplierFactorNumeric", decimal(item.get("discount_rate")) or None)
    _money(made, "Amount", item["discount"], currency)
    _money(made, "BaseAmount", item["net"] + item["discount"], currency)


def _notes(view: Mapping[str, Any]) -> str:
    """What UBL has no place for: the halves of GST, the place of supply, and the seller's own words."""
    said = [_text(view.get("notes")), _text(view.get("reason"))]
    if view.get("tax_regime") == "gst":
        taxes = ((name.upper(), view.get(name) or 0) for name in ("cgst", "sgst", "igst"))
        said += [f"{name} {amount(minor, view['currency']):f}" for name, minor in taxes if minor]
        place = view.get("place_of_supply") or ""
        said.append(f"Place of supply {STATES.get(place, '')} ({place})")
        said.append(f"Reverse charge {'yes' if view.get('reverse_charge') else 'no'}")
    return "; ".join(filter(None, said))


def _payment_means(root: ET.Element, view: Mapping[str, Any], profile: Mapping[str, Any]) -> None:
    account = profile.get("bank_account")
    made = _group(root, "PaymentMeans")
    _add(made, "PaymentMeansCode", _TRANSFER if account else _UNDEFINED)
    _add(made, "PaymentID", view.get("number"))
    if account:
        payee = _group(made, "PayeeFinancialAccount")
        _add(payee, "ID", account)
        _add(payee, "Name", profile.get("bank_name"))
        if profile.get("bank_code"):
            _add(_group(payee, "FinancialInstitutionBranch"), "ID", profile["bank_code"])


def ubl_xml(view: Mapping[str, Any], profile: Mapping[str, Any], *, credit_note: bool = False) -> bytes:
    """An issued invoice (as `get_invoice` shows it) or credit note as UBL 2.1. Element order is that of the schema."""
    kind = "CreditNote" if credit_note else "Invoice"
    ET.register_namespace("cac", _CAC)
    ET.register_namespace("cbc", _CBC)
    ET.register_namespace("", _ROOT.format(kind))
    root = ET.Element(f"{{{_ROOT.format(kind)}}}{kind}")
    _add(root, "CustomizationID", _CUSTOMIZATION)
    _add(root, "ProfileID", _PROFILE)
    _add(root, "ID", view["number"])
    _add(root, "IssueDate", as_day(view["issue_date"]))
    if not credit_note:
        _add(root, "DueDate", as_day(view["due_date"]))
    _add(root, f"{kind}TypeCode", _TYPES[kind])
    _add(root, "Note", _notes(view))
    _add(root, "DocumentCurrencyCode", view["currency"])
    # Peppol wants the buyer's word for it; where they gave none, it is the number itself.
    _add(root, "BuyerReference", view.get("reference") or view["number"])
    if credit_note:
        credited = view.get("invoice") or {}
        told = _group(_group(root, "BillingReference"), "InvoiceDocumentReference")
        _add(told, "ID", credited.get("number"))
        _add(told, "IssueDate", as_day(credited.get("issue_date")))
    _party(_group(root, "AccountingSupplierParty"), view, parts.supplier_of(view, profile))
    _party(_group(root, "AccountingCustomerParty"), view, parts.customer_of(view))
    _body(root, kind, view, profile)
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))


def _body(root: ET.Element, kind: str, view: Mapping[str, Any], profile: Mapping[str, Any]) -> None:
    if lines := _text(view.get("delivery_address")):
        place = _group(_group(_group(root, "Delivery"), "DeliveryLocation"), "Address")
        _add(place, "StreetName", " ".join(lines.split()))
    if kind == "Invoice":
        _payment_means(root, view, profile)
        if view.get("payment_terms"):
            _add(_group(root, "PaymentTerms"), "Note", view["payment_terms"])
    _tax_total(root, view)
    _totals(root, view)
    for number, item in enumerate(view["items"], start=1):
        _line(root, kind, view, number, item)

"""An invoice, a credit note, a payment and a statement as queries show them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from core.taxids.tax import split

Json = dict[str, Any]

PROFILE: Json = {
    "legal_name": "Asha Textiles Private Limited",
    "address": "14 Mill Road\nPeenya\nBengaluru 560058",
    "gstin": "29AAFCC9980M1ZR",
    "state_code": "29",
    "bank_name": "State Bank of India",
    "bank_account": "001234567890",
    "bank_code": "SBIN0001234",
    "upi_id": "asha@okbank",
}
SELLER: Json = {"id": "s", "name": "Asha Devi", "organisation": "Asha Textiles", "email": "asha@example.com"}
CONTACT: Json = {
    "id": "c",
    "name": "Bharat Stores",
    "legal_name": "Bharat Stores LLP",
    "email": "pay@bharat.example",
    "address": "Shop 3\nMarket Yard\nPune 411037",
    "gstin": "27AAPFU0939F1ZV",
}


def item(**more: Any) -> Json:
    """A line: 10 kg of tea at ₹100 with 18 %."""
    given: Json = {
        "description": "Tea",
        "quantity": "10",
        "unit": "kg",
        "unit_price": 100_00,
        "tax_rate": "18",
        "hsn": "0902",
    }
    given |= {"discount_rate": "0", "discount": 0, "cgst": 0, "sgst": 0, "igst": 0} | more
    net = int(Decimal(given["quantity"]) * given["unit_price"]) - given["discount"]
    return given | {"net": given.get("net", net)}


def invoice(*items: Json, regime: str = "gst", place: str = "29", **more: Any) -> Json:
    """An open invoice of the lines, taxed as they say."""
    lines = []
    for each in items or (item(),):
        tax = split(each["net"], Decimal(each["tax_rate"]), same_state=place == "29")
        gst = {"cgst": tax.cgst, "sgst": tax.sgst, "igst": tax.igst} if regime == "gst" else {}
        lines.append({**each, **gst, "tax": tax.total})
    charged = not more.get("reverse_charge")
    subtotal, tax_sum = sum(line["net"] for line in lines), sum(line["tax"] for line in lines) if charged else 0
    total = subtotal + tax_sum + more.get("rounding", 0)
    found = {
        "id": "018f0000-0000-7000-8000-000000000001",
        "number": "INV/26-27/0001",
        "payment_status": "open",
        "status": "open",
        "currency": "INR",
        "seller": SELLER,
        "contact": CONTACT,
        "issue_date": date(2026, 11, 3),
        "due_date": date(2026, 12, 3),
        "tax_regime": regime,
        "supplier_gstin": "29AAFCC9980M1ZR" if regime == "gst" else None,
        "buyer_gstin": "27AAPFU0939F1ZV" if regime == "gst" else None,
        "supplier_state": "29" if regime == "gst" else None,
        "place_of_supply": place if regime == "gst" else None,
        "reverse_charge": False,
        "subtotal": subtotal,
        "discount": sum(line["discount"] for line in lines),
        "tax": tax_sum,
        **{name: sum(line[name] for line in lines) for name in ("cgst", "sgst", "igst")},
        "rounding": 0,
        "total": total,
        "amount_paid": 0,
        "amount_due": total - more.get("amount_paid", 0),
        "reference": "PO-77",
        "delivery_address": "",
        "notes": "Thank you.",
        "payment_terms": "Within 30 days.",
        "items": lines,
    }
    return found | more


def credit_note(**more: Any) -> Json:
    """A credit note for one line of that invoice."""
    found = invoice(number="CN/26-27/0001", reason="One bale was torn", status="issued")
    found["invoice"] = {"id": "i", "number": "INV/26-27/0001", "issue_date": date(2026, 11, 3)}
    return found | more


def payment(**more: Any) -> Json:
    """A payment of ₹1,500 by UPI, of which ₹1,180 pay the invoice."""
    return {
        "id": "018f0000-0000-7000-8000-00000000beef",
        "source": "manual",
        "status": "succeeded",
        "amount": 1_500_00,
        "net": 1_500_00,
        "currency": "INR",
        "method": "bank_transfer",
        "payer_name": "Bharat Stores",
        "payer_email": None,
        "bank_reference": "UTR123456",
        "occurred_at": datetime(2026, 11, 9, 10, 0, tzinfo=UTC),
        "allocations": [{"invoice": {"id": "i", "number": "INV/26-27/0001"}, "amount": 1_180_00}],
    } | more


def statement(**more: Any) -> Json:
    """An account with an invoice and a payment."""
    return {
        "seller": SELLER,
        "contact": CONTACT,
        "currency": "INR",
        "since": date(2026, 11, 1),
        "until": date(2026, 11, 30),
        "opening": 250_00,
        "closing": -70_00,
        "totals": {"invoiced": 1_180_00, "credited": 0, "paid": 1_500_00, "refunded": 0},
        "lines": [
            {"on": date(2026, 11, 3), "kind": "invoice", "id": "i", "number": "INV/26-27/0001", "words": "PO-77",
             "due_date": date(2026, 12, 3), "debit": 1_180_00, "credit": 0, "balance": 1_430_00},
            {"on": date(2026, 11, 9), "kind": "payment", "id": "p", "number": "UTR123456", "words": "bank transfer",
             "due_date": None, "debit": 0, "credit": 1_500_00, "balance": -70_00},
        ],
    } | more  # fmt: skip

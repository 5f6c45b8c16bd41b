"""The parts that papers are put together of: parties, tables of lines, sums, and how to pay."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urlencode

from core.documents.wording import clean, decimal, figures
from core.taxids.gstin import STATES

Json = dict[str, Any]
# Points of the letters of a table by the length of its longest amount: ₹10,00,00,00,00,000.00 must fit eight times.
_SIZES = ((11, 8.5), (13, 7.5), (16, 6.5), (100, 5.4))


def state(code: str | None) -> str:
    """A state of India with its code, as Rule 46 asks for it: Karnataka (29)."""
    return f"{STATES[code]} ({code})" if code in STATES else clean(code)


def within_state(view: Mapping[str, Any]) -> bool:
    """Whether a GST document bears CGST and SGST: by its taxes, and where there are none by its states."""
    if any(view.get(name) for name in ("cgst", "sgst", "igst")):
        return not view.get("igst")
    return bool(supplier_of(view, {})["state_code"] == view.get("place_of_supply"))


def _lines(address: Any, *labelled: tuple[str, Any]) -> list[list[str]]:
    found = [[line] for line in clean(address, lines=True).split("\n") if line.strip()]
    return found + [[label, clean(value)] if label else [clean(value)] for label, value in labelled if value]


def supplier_of(view: Mapping[str, Any], profile: Mapping[str, Any]) -> Json:
    """Who sends it: name, address, gstin, state_code, email. What was written down when it was issued goes first."""
    known, frozen = view.get("seller") or {}, view.get("supplier") or {}
    own = profile.get("legal_name") or known.get("legal_name") or known.get("organisation") or known.get("name")
    gst = view.get("tax_regime") == "gst"
    return {
        "name": frozen.get("name") or own,
        "address": frozen.get("address") or profile.get("address") or known.get("address"),
        "gstin": (view.get("supplier_gstin") or frozen.get("gstin") or profile.get("gstin")) if gst else None,
        "state_code": (view.get("supplier_state") or frozen.get("state_code")) if gst else None,
        "email": known.get("email"),
    }


def customer_of(view: Mapping[str, Any]) -> Json:
    """Whom it is for: name, legal_name, address, gstin, state_code, email."""
    # Written down whole: what has changed since is not mixed in.
    known = dict(view.get("customer") or view.get("contact") or {})
    known["gstin"] = view.get("buyer_gstin") or known.get("gstin")
    return known


def seller(view: Mapping[str, Any], profile: Mapping[str, Any]) -> Json:
    """The supplier as the head of a paper."""
    known = supplier_of(view, profile)
    return {
        "name": clean(known["name"]),
        "lines": _lines(known["address"], ("GSTIN", known["gstin"]), ("State", state(known["state_code"]))),
    }


def buyer(view: Mapping[str, Any], label: str) -> Json:
    """The customer as a party of a paper."""
    known = customer_of(view)
    return {
        "label": label,
        "name": clean(known.get("legal_name") or known.get("name")),
        "lines": _lines(known.get("address"), ("", known.get("email")), ("GSTIN", known.get("gstin"))),
    }


def delivery(view: Mapping[str, Any]) -> list[Json]:
    """Where it goes to, when that is another place."""
    lines = _lines(view.get("delivery_address"))
    return [{"label": "Delivered to", "name": "", "lines": lines}] if lines else []


def column(head: str, side: str = "end", *, wide: bool = False) -> Json:
    """A column of a table; the wide one takes what the others leave."""
    return {"head": head, "side": side, "wide": wide}


def table(columns: Sequence[Json], rows: Sequence[Sequence[Sequence[str]]], *, most: float = 8.5) -> Json:
    """A table whose letters are small enough for its longest figure. A cell is a line, and smaller ones below it."""
    narrow = [place for place, each in enumerate(columns) if not each["wide"]]
    longest = max((len(line) for row in rows for place in narrow for line in row[place]), default=0)
    # Many columns leave less for each.
    longest += 2 * max(0, len(columns) - 8)
    size = next(size for length, size in _SIZES if longest <= length)
    return {"columns": list(columns), "rows": [list(map(list, row)) for row in rows], "size": min(size, most)}


def _rate(value: Any) -> str:
    return f"{decimal(value)}%"


def _tax_columns(view: Mapping[str, Any]) -> tuple[tuple[str, str, int], ...]:
    """Heads, fields and how many of them share a line's rate."""
    if view.get("tax_regime") != "gst":
        return (("Tax", "tax", 1),)
    if within_state(view):
        return (("CGST", "cgst", 2), ("SGST", "sgst", 2))
    return (("IGST", "igst", 1),)


def items(view: Mapping[str, Any]) -> Json:
    """The lines of an invoice or credit note, with rate and amount of each tax (Rule 46)."""
    currency, gst = view["currency"], view.get("tax_regime") == "gst"
    discounts = any(item.get("discount") for item in view["items"])
    taxes = _tax_columns(view)
    # On reverse charge the tax is shown and not part of what the line comes to.
    charged = not view.get("reverse_charge")
    columns = [column("#"), column("Description", "start", wide=True)]
    columns += [column("HSN/SAC", "start")] if gst else []
    columns += [column("Quantity"), column("Price")]
    columns += [column("Discount")] if discounts else []
    columns += [column("Taxable value" if gst else "Net")]
    columns += [column(head) for head, _, _ in taxes]
    columns += [column(f"Amount {currency}")]
    rows = [
        _item(place, item, currency, taxes, gst=gst, discounts=discounts, charged=charged)
        for place, item in _counted(view)
    ]
    return table(columns, rows)


def _counted(view: Mapping[str, Any]) -> Sequence[tuple[int, Mapping[str, Any]]]:
    return list(enumerate(view["items"], start=1))


def _item(
    place: int,
    item: Mapping[str, Any],
    currency: str,
    taxes: Sequence[tuple[str, str, int]],
    *,
    gst: bool,
    discounts: bool,
    charged: bool,
) -> list[list[str]]:
    rate = Decimal(str(item.get("tax_rate") or 0))
    cells = [[str(place)], [clean(item["description"], lines=True)]]
    cells += [[str(item.get("hsn") or "")]] if gst else []
    unit = clean(item.get("unit"))
    cells += [[decimal(item["quantity"]), *([unit] if unit else [])], [figures(item["unit_price"], currency)]]
    if discounts:
        taken = item.get("discount") or 0
        cells.append([figures(taken, currency), _rate(item.get("discount_rate"))] if taken else [""])
    cells.append([figures(item["net"], currency)])
    cells += [[figures(item.get(field) or 0, currency), _rate(rate / shared)] for _, field, shared in taxes]
    cells.append([figures(item["net"] + ((item.get("tax") or 0) if charged else 0), currency)])
    return cells


def tax_summary(view: Mapping[str, Any]) -> Json | None:
    """What each rate comes to over all lines; None where there is no tax, or one line says it all."""
    currency, taxes = view["currency"], _tax_columns(view)
    sums: dict[Decimal, list[int]] = {}
    for item in view["items"]:
        rate = Decimal(str(item.get("tax_rate") or 0))
        held = sums.setdefault(rate, [0] * (len(taxes) + 1))
        held[0] += item["net"]
        for place, (_, field, _) in enumerate(taxes, start=1):
            held[place] += item.get(field) or 0
    if len(view["items"]) < 2 or not any(sums):
        return None
    columns = [column("Tax rate", "start"), column("On"), *(column(head) for head, _, _ in taxes)]
    rows = [
        [[_rate(rate)], *([figures(amount, currency)] for amount in amounts)] for rate, amounts in sorted(sums.items())
    ]
    return table(columns, rows, most=7.5)


def qr(text: str) -> str:
    """A QR code as an SVG picture."""
    import segno  # noqa: PLC0415 - only when a document is made.

    made = io.BytesIO()
    segno.make(text, error="m", micro=False).save(
        made, kind="svg", border=1, xmldecl=False, svgns=True, nl=False, omitsize=True
    )
    return made.getvalue().decode("ascii")


def upi_address(view: Mapping[str, Any], profile: Mapping[str, Any]) -> str:
    """The address by which an Indian payment app pays what is due (NPCI's UPI linking specification 1.6)."""
    fields = {
        "pa": profile["upi_id"],
        "pn": str(supplier_of(view, profile)["name"] or "")[:99],
        "am": f"{Decimal(view['amount_due']).scaleb(-2):.2f}",
        "cu": "INR",
        "tn": str(view["number"]),
        # The bank statement says it again, so that the payment finds its invoice.
        "tr": str(view["number"]),
    }
    return "upi://pay?" + urlencode(fields, quote_via=quote, safe="@")


def payment(view: Mapping[str, Any], profile: Mapping[str, Any], pay_url: str | None) -> Json | None:
    """How to pay what is due: the bank account, UPI, the customer's page; None when nothing is to be paid."""
    due = view.get("amount_due", 0)
    if due <= 0 or view.get("payment_status") not in {"open", "partial"}:
        return None
    fields = (("Bank", "bank_name"), ("Account", "bank_account"), ("IFSC or SWIFT", "bank_code"))
    lines = [[label, clean(profile.get(field))] for label, field in fields if profile.get(field)]
    by_upi = bool(profile.get("upi_id")) and view["currency"] == "INR"
    if by_upi:
        lines.append(["UPI", clean(profile["upi_id"])])
    if not lines and not pay_url:
        return None
    lines.append(["Reference", clean(view["number"])])
    code = upi_address(view, profile) if by_upi else pay_url
    return {
        "qr": qr(code) if code else "",
        "alt": "QR code: pay with a UPI app" if by_upi else "QR code: the page of this invoice",
        "lines": lines,
        "link": pay_url or "",
        "shown": clean(pay_url),
    }

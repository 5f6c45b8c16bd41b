"""Invoice, credit note, receipt and statement of account as PDF.

Each takes what a query returned and the seller's business profile as dictionaries and fills the one template
(templates/document.typ). Amounts are in minor units. Same input, same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from core.documents import parts
from core.documents.typesetting import Paper, typeset
from core.documents.wording import as_day, clean, day, figures, in_words, money

Given = Mapping[str, Any]
_EPOCH = date(2000, 1, 1)


def _paper(when: Any, **data: Any) -> Paper:
    blank: dict[str, Any] = {
        "number": "",
        "author": data["seller"]["name"],
        "mark": "",
        "stamp": "",
        "tone": "",
        "parties": [],
        "table": None,
        "note": "",
        "words": "",
        "taxes": None,
        "totals": [],
        "pay": None,
        "texts": [],
        "signature": "",
    }
    return Paper(data=blank | data, day=as_day(when) or _EPOCH)


def _sums(view: Given) -> list[list[Any]]:
    """The sums of an invoice or credit note, with every tax by its name."""
    currency = view["currency"]
    found: list[list[Any]] = []
    if view.get("discount"):
        found += [["Before discount", money(view["subtotal"] + view["discount"], currency), False]]
        found += [["Discount", money(-view["discount"], currency), False]]
    gst = view.get("tax_regime") == "gst"
    found.append(["Taxable value" if gst else "Net", money(view["subtotal"], currency), False])
    named = (("CGST", "cgst"), ("SGST", "sgst"), ("IGST", "igst")) if gst else (("Tax", "tax"),)
    paid_by_buyer = " (paid by the recipient)" if view.get("reverse_charge") else ""
    found += [[name + paid_by_buyer, money(view[field], currency), False] for name, field in named if view.get(field)]
    if view.get("rounding"):
        found.append(["Rounding", money(view["rounding"], currency), False])
    found.append(["Total", money(view["total"], currency), True])
    return found


def _signature(view: Given, seller: Given) -> str:
    return f"For {seller['name']}" if view.get("tax_regime") == "gst" else ""


def _supply(view: Given) -> list[list[str]]:
    """Place of supply and who pays the tax, which Rule 46 wants on every GST invoice."""
    if view.get("tax_regime") != "gst":
        return []
    return [
        ["Place of supply", parts.state(view.get("place_of_supply"))],
        ["Reverse charge", "Yes" if view.get("reverse_charge") else "No"],
    ]


def _filled(rows: list[list[str]]) -> list[list[str]]:
    return [row for row in rows if row[1]]


def _stamp(view: Given) -> dict[str, str]:
    match view.get("payment_status"):
        case "draft":
            return {"stamp": "Draft", "tone": "warn", "mark": "DRAFT"}
        case "void":
            return {"stamp": "Void", "tone": "bad", "mark": "VOID"}
        case "paid":
            return {"stamp": "Paid", "tone": "good"}
        case _:
            return {}


def invoice_paper(view: Given, profile: Given, *, pay_url: str | None = None) -> Paper:
    """An invoice as `get_invoice` shows it; `pay_url` is the customer's page, shown while something is due."""
    currency, seller = view["currency"], parts.seller(view, profile)
    gst = view.get("tax_regime") == "gst"
    totals = _sums(view)
    if view.get("amount_paid") and view.get("payment_status") != "void":
        totals.append(["Paid", money(-view["amount_paid"], currency), False])
        totals.append(["To pay", money(view["amount_due"], currency), True])
    number = clean(view.get("number")) or "Draft"
    return _paper(
        view["issue_date"],
        title="Tax invoice" if gst else "Invoice",
        number=number,
        seller=seller,
        parties=[parts.buyer(view, "Billed to"), *parts.delivery(view)],
        facts=_filled(
            [
                ["Invoice date", day(view["issue_date"])],
                ["Due", day(view["due_date"])],
                ["Your reference", clean(view.get("reference"))],
                *_supply(view),
                ["Currency", currency],
            ]
        ),
        table=parts.items(view),
        note="Tax is payable on reverse charge by the recipient." if view.get("reverse_charge") else "",
        words=in_words(view["total"], currency),
        taxes=parts.tax_summary(view),
        totals=totals,
        pay=parts.payment(view, profile, pay_url),
        texts=_filled(
            [["Terms", clean(view.get("payment_terms"), lines=True)], ["Notes", clean(view.get("notes"), lines=True)]]
        ),
        signature=_signature(view, seller),
        footer=f"{seller['name']} · {number}",
        **_stamp(view),
    )


def invoice_pdf(view: Given, profile: Given, *, pay_url: str | None = None) -> bytes:
    """The PDF of an invoice. Raises TypesettingFailed."""
    return typeset([invoice_paper(view, profile, pay_url=pay_url)])[0]


def credit_note_paper(view: Given, profile: Given) -> Paper:
    """A credit note as `get_credit_note` shows it: an invoice's fields, which invoice it credits, and why."""
    currency, seller = view["currency"], parts.seller(view, profile)
    credited = view.get("invoice") or {}
    void = view.get("status") == "void"
    return _paper(
        view["issue_date"],
        title="Credit note",
        number=clean(view["number"]),
        seller=seller,
        parties=[parts.buyer(view, "Credited to")],
        facts=_filled(
            [
                ["Date", day(view["issue_date"])],
                ["For invoice", clean(credited.get("number"))],
                ["Invoice date", day(credited.get("issue_date"))],
                ["Reason", clean(view.get("reason"))],
                *_supply(view),
                ["Currency", currency],
            ]
        ),
        table=parts.items(view),
        words=in_words(view["total"], currency),
        taxes=parts.tax_summary(view),
        totals=_sums(view),
        texts=_filled([["Notes", clean(view.get("notes"), lines=True)]]),
        signature=_signature(view, seller),
        footer=f"{seller['name']} · {clean(view['number'])}",
        stamp="Void" if void else "",
        tone="bad",
        mark="VOID" if void else "",
    )


def credit_note_pdf(view: Given, profile: Given) -> bytes:
    """The PDF of a credit note. Raises TypesettingFailed."""
    return typeset([credit_note_paper(view, profile)])[0]


def receipt_paper(payment: Given, profile: Given, *, seller: Given, payer: Given | None = None) -> Paper:
    """A receipt of a payment as `get_payment` shows it.

    `seller` is {name, organisation}, `payer` {name, legal_name, address, email, gstin} as far as it is known.
    """
    currency = payment["currency"]
    who = parts.seller({"seller": seller}, profile)
    known = payer or {"name": payment.get("payer_name"), "email": payment.get("payer_email")}
    reference = clean(payment.get("bank_reference") or payment.get("reference"))
    rows = [[[clean(each["invoice"]["number"])], [figures(each["amount"], currency)]] for each in _applied(payment)]
    left = payment["net"] - sum(each["amount"] for each in _applied(payment))
    totals: list[list[Any]] = []
    if payment["net"] != payment["amount"]:
        totals.append(["Received", money(payment["amount"], currency), False])
        totals.append(["Went back", money(payment["net"] - payment["amount"], currency), False])
    if left > 0:
        totals.append(["Kept as credit", money(left, currency), False])
    totals.append(
        ["Received" if payment["net"] == payment["amount"] else "Kept", money(payment["net"], currency), True]
    )
    gone = payment["status"] != "succeeded" or payment["net"] <= 0
    return _paper(
        payment["occurred_at"],
        title="Receipt",
        number=f"R-{str(payment['id'])[-12:].upper()}",
        seller=who,
        parties=[parts.buyer({"contact": known}, "Received from")],
        facts=_filled(
            [
                ["Received on", day(payment["occurred_at"])],
                ["By", clean((payment.get("method") or payment["source"]).replace("_", " ")).capitalize()],
                ["Reference", reference],
                ["Currency", currency],
            ]
        ),
        table=parts.table(
            [parts.column("Towards invoice", "start", wide=True), parts.column(f"Amount {currency}")], rows
        )
        if rows
        else None,
        words=in_words(payment["net"], currency),
        totals=totals,
        footer=f"{who['name']} · receipt",
        stamp="Not received" if gone else "Received",
        tone="bad" if gone else "good",
        mark="NOT VALID" if gone else "",
    )


def _applied(payment: Given) -> list[dict[str, Any]]:
    """What pays each invoice now: allocations are added up, those that were taken back are gone."""
    found: dict[str, dict[str, Any]] = {}
    for each in payment.get("allocations", ()):
        held = found.setdefault(str(each["invoice"]["id"]), {"invoice": each["invoice"], "amount": 0})
        held["amount"] += each["amount"]
    return [each for each in found.values() if each["amount"]]


def receipt_pdf(payment: Given, profile: Given, *, seller: Given, payer: Given | None = None) -> bytes:
    """The PDF of a receipt. Raises TypesettingFailed."""
    return typeset([receipt_paper(payment, profile, seller=seller, payer=payer)])[0]


_KINDS = {"invoice": "Invoice", "credit_note": "Credit note", "payment": "Payment", "refund": "Refund"}


def statement_paper(statement: Given, profile: Given) -> Paper:
    """A statement as core.contacts.statement makes it: opening, lines with debit, credit and balance, closing."""
    currency = statement["currency"]
    who = parts.seller(statement, profile)
    rows = [[[day(statement["since"])], ["Opening balance"], [""], [""], [figures(statement["opening"], currency)]]]
    for line in statement["lines"]:
        words = " ".join(filter(None, (_KINDS.get(line["kind"], line["kind"]), clean(line["number"]))))
        below = [clean(line["words"])] if line.get("words") else []
        below += [f"due {day(line['due_date'])}"] if line.get("due_date") else []
        rows.append(
            [
                [day(line["on"])],
                [words, *below],
                [figures(line["debit"], currency) if line["debit"] else ""],
                [figures(line["credit"], currency) if line["credit"] else ""],
                [figures(line["balance"], currency)],
            ]
        )
    sums = statement["totals"]
    named = (("Invoiced", "invoiced"), ("Credited", "credited"), ("Paid", "paid"), ("Refunded", "refunded"))
    return _paper(
        statement["until"],
        title="Statement",
        number=f"{day(statement['since'])} to {day(statement['until'])}",
        seller=who,
        parties=[parts.buyer(statement, "Account of")],
        facts=[["Until", day(statement["until"])], ["Currency", currency]],
        table=parts.table(
            [
                parts.column("Date", "start"),
                parts.column("What", "start", wide=True),
                parts.column("Charged"),
                parts.column("Received"),
                parts.column(f"Balance {currency}"),
            ],
            rows,
        ),
        words="" if statement["closing"] < 0 else in_words(statement["closing"], currency),
        totals=[
            *([label, money(sums[name], currency), False] for label, name in named if sums.get(name)),
            ["Credit held" if statement["closing"] < 0 else "To pay", money(abs(statement["closing"]), currency), True],
        ],
        footer=f"{who['name']} · statement of account",
    )


def statement_pdf(statement: Given, profile: Given) -> bytes:
    """The PDF of a statement of account. Raises TypesettingFailed."""
    return typeset([statement_paper(statement, profile)])[0]

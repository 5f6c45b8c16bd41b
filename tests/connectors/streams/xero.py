"""A life of xero: see the package."""

from __future__ import annotations

import json
from datetime import timedelta
from random import Random

from connectors import samples
from connectors.base import Request
from tests.connectors.streams import START, Json, Step, step


def dotnet(seconds: int) -> str:
    return f"/Date({int((START + timedelta(seconds=seconds)).timestamp() * 1000)}+0000)/"


def stream(seed: int) -> list[Step]:
    """An invoice is approved, paid in parts, a part is taken back, paid again or voided; a credit note beside it."""
    chance = Random(seed)
    model: Json = json.loads(samples.api("xero", "invoice"))["Invoices"][0]
    note: Json = json.loads(samples.api("xero", "credit_note"))["CreditNotes"][0]
    pointer: Json = json.loads(samples.load("xero", "INVOICE.UPDATE"))["events"][0]
    total = chance.randrange(100, 900)
    shown = {**model, "InvoiceID": pointer["resourceId"], "InvoiceNumber": f"INV-{seed}", "CurrencyCode": "INR"}
    payments: list[Json] = []
    steps: list[Step] = []
    # Some changes share a second, and some events are fetched only after the next change.
    times = sorted(chance.choices(range(40), k=chance.randrange(3, 7)))
    for number, at in enumerate(times):
        act = chance.choice(["pay", "pay", "take back", "void"]) if number else "approve"
        paid = sum(one["Amount"] for one in payments)
        if act == "pay" and paid < total:
            payments.append(
                {
                    "PaymentID": f"pay-{seed}-{number}",
                    "Date": dotnet(0),
                    "Amount": min(total - paid, chance.randrange(10, 500)),
                }
            )
        elif act == "take back" and payments:
            payments.pop()
        paid = sum(one["Amount"] for one in payments)
        status = "VOIDED" if act == "void" and not payments else "PAID" if paid == total else "AUTHORISED"
        now = {
            **shown,
            "Status": status,
            "Total": total,
            "AmountPaid": paid,
            "AmountDue": 0 if status == "VOIDED" else total - paid,
            "Payments": list(payments),
            "UpdatedDateUTC": dotnet(at),
        }

        def reply(request: Request, now: Json = now) -> Json:
            assert request.url == f"/Invoices/{now['InvoiceID']}"
            return {"Invoices": [now]}

        said = {**pointer, "eventType": "UPDATE" if number else "CREATE", "eventDateUtc": f"2026-11-03T09:00:{at:02d}"}
        said["eventDateUtc"] += f".{number:03d}"
        steps.append(step("xero", {"events": [said]}, reply=reply))

    def noted(_: Request) -> Json:
        return {"CreditNotes": [{**note, "CreditNoteID": "note-1"}]}

    about = {**pointer, "eventCategory": "CREDITNOTE", "resourceId": "note-1"}
    steps.append(step("xero", {"events": [about]}, reply=noted))
    return steps

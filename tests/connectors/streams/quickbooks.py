"""A life of quickbooks: see the package."""

from __future__ import annotations

import json
from datetime import timedelta
from random import Random

from connectors import samples
from connectors.base import Request
from tests.connectors.streams import START, Json, Step, step

COMPANY = "310687"


def stream(seed: int) -> list[Step]:  # noqa: C901 - one life, told in its order.
    """An invoice is made, paid in parts by payments that change as well, and perhaps voided or deleted."""
    chance = Random(seed)
    invoice: Json = json.loads(samples.api("quickbooks", "invoice"))["Invoice"]
    payment: Json = json.loads(samples.api("quickbooks", "payment"))["Payment"]
    deposit: Json = json.loads(samples.api("quickbooks", "deposit"))["Deposit"]
    total, second, steps, left = chance.randrange(100, 900), 0, list[Step](), 0

    def at(token: int) -> Json:
        # Several changes fall into one second; their tokens tell them apart.
        stamp = (START + timedelta(seconds=second)).isoformat()
        return {"SyncToken": str(token), "MetaData": {"LastUpdatedTime": stamp}, "CurrencyRef": {"value": "INR"}}

    def tell(name: str, operation: str, shown: Json) -> None:
        """Send one of the two formats, of which the fetch finds what is shown."""

        def reply(request: Request) -> Json:
            if request.url.endswith("/query"):
                return {"QueryResponse": {"Invoice": [{"Id": "145", "DocNumber": f"INV-{seed}"}]}}
            if request.url.endswith("/preferences"):
                return {"Preferences": {"CurrencyPrefs": {"HomeCurrency": {"value": "INR"}}}}
            assert request.url == f"/v3/company/{COMPANY}/{name.lower()}/{shown['Id']}"
            return {name: shown}

        stamp = f"2026-11-03T09:00:{second:02d}.{len(steps):03d}Z"
        if chance.random() < 0.5:
            past = {"Create": "created", "Update": "updated", "Void": "voided", "Delete": "deleted"}[operation]
            said: object = [
                {
                    "specversion": "1.0",
                    "id": f"event-{seed}-{len(steps)}",
                    "source": "intuit.test",
                    "type": f"qbo.{name.lower()}.{past}.v1",
                    "time": stamp,
                    "intuitentityid": shown["Id"],
                    "intuitaccountid": COMPANY,
                }
            ]
        else:
            entity = {"id": shown["Id"], "operation": operation, "name": name, "lastUpdated": stamp}
            said = {"eventNotifications": [{"realmId": COMPANY, "dataChangeEvent": {"entities": [entity]}}]}
        steps.append(step("quickbooks", said, reply=reply))

    for number in range(chance.randrange(2, 5)):
        second += chance.randrange(2)
        left = total if not number else max(0, left - chance.randrange(10, 400))
        balance = {"DocNumber": f"INV-{seed}", "TotalAmt": total, "Balance": left}
        tell("Invoice", "Update" if number else "Create", {**invoice, "Id": "145", **balance, **at(number)})
        if number:
            paid = {**payment, "Id": str(200 + number), "TotalAmt": chance.randrange(10, 400)}
            tell("Payment", "Create", {**paid, **at(0)})
            if chance.random() < 0.5:
                tell("Payment", "Update", {**paid, "TotalAmt": chance.randrange(10, 400), **at(1)})
    tell("Deposit", "Create", {**deposit, "Id": "148", "TotalAmt": 50, **at(0)})
    if chance.random() < 0.5:
        tell("Deposit", "Delete", {**deposit, "Id": "148"})
    end = chance.choice(["Void", "Delete", ""])
    if end:
        second += 1
        tell("Invoice", end, {**invoice, "Id": "145", "TotalAmt": 0, "Balance": 0, **at(9)})
    return steps

"""A life of paystack: see the package."""

from __future__ import annotations

import json
from datetime import timedelta
from random import Random

from connectors import samples
from connectors.base import Request
from tests.connectors.streams import START, Json, Step, step


def stream(seed: int) -> list[Step]:
    """A payment, refunds of it that are only pointed at, perhaps a dispute, and a transfer."""
    chance = Random(seed)
    moment = START
    amount = chance.randrange(10_000, 1_000_000)
    reference, number = f"T{seed}R", 7_000_000 + seed
    paid: Json = json.loads(samples.load("paystack", "charge.success"))
    paid["data"] |= {"id": number, "reference": reference, "amount": amount, "currency": "KES"}
    paid["data"] |= {"paid_at": START.isoformat(), "created_at": START.isoformat()}
    paid["data"]["metadata"] = chance.choice([0, "", None, {}, {"invoice_number": f"INV-{seed}"}])
    model: Json = json.loads(samples.api("paystack", "refunds"))["data"][0]
    refunds: list[Json] = []
    steps: list[Step] = []

    def point(name: str, refund: Json) -> None:
        """A refund event: what it points at is as it is then."""
        told = {"status": name, "transaction_reference": reference, "amount": str(refund["amount"]), "currency": "KES"}
        listed = json.loads(json.dumps(refunds))

        def reply(request: Request) -> Json:
            if request.url == "/refund":
                return {"data": listed, "meta": {"page": 1, "pageCount": 1}}
            return {"data": paid["data"]}

        body = {"event": f"refund.{name}", "data": {**told, "refund_reference": refund["reference"]}}
        steps.append(step("paystack", body, reply=reply, asked_at=moment))

    steps.append(step("paystack", paid))
    for place in range(chance.randrange(3)):
        refund = {**model, "id": seed * 10 + place, "transaction": number, "amount": amount // 4, "currency": "KES"}
        refund |= {
            "reference": None,
            "status": "pending",
            "createdAt": (START + timedelta(hours=place + 1)).isoformat(),
        }
        refunds.append(refund)
        for status in ("pending", "processing", chance.choice(["processed", "failed"])):
            moment += timedelta(seconds=chance.choice([0, 1, 60]))
            refund |= {"status": status, "updatedAt": (moment + timedelta(days=1)).isoformat()}
            refund["reference"] = f"TRF_{seed}_{place}" if status in ("processed", "failed") else None
            point(status, refund)
    if chance.random() < 0.4:
        dispute: Json = json.loads(samples.load("paystack", "charge.dispute.create"))
        about = {**dispute["data"]["transaction"], "id": number, "reference": reference}
        dispute["data"] |= {"id": seed, "transaction": about, "refund_amount": amount // 3, "currency": "KES"}
        for name, change in (
            ("create", {}),
            ("remind", {}),
            ("resolve", {"status": "resolved", "resolution": chance.choice(["declined", "merchant-accepted"])}),
        ):
            moment += timedelta(seconds=chance.choice([0, 1, 60]))
            dispute["data"] |= {**change, "updated_at": moment.isoformat()}
            steps.append(step("paystack", {**dispute, "event": f"charge.dispute.{name}"}))
    transfer: Json = json.loads(samples.load("paystack", "transfer.success"))
    for status in ("success", "reversed")[: chance.randrange(3)]:
        moment += timedelta(seconds=1)
        data = {**transfer["data"], "transfer_code": f"TRF_{seed}", "status": status, "updatedAt": moment.isoformat()}
        steps.append(step("paystack", {"event": f"transfer.{status}", "data": data}))
    return steps

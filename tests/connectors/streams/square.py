"""A life of square: see the package."""

from __future__ import annotations

import json
from datetime import timedelta
from random import Random

from connectors import samples
from connectors.base import Request
from tests.connectors.streams import START, Json, Step, step


def stream(seed: int) -> list[Step]:
    """A payment is approved, told twice in a millisecond and completed; its invoice; refunds; perhaps a dispute."""
    chance = Random(seed)
    payment_id, order_id, total = f"pay-{seed}", f"order-{seed}", chance.randrange(10_000, 300_000)
    steps: list[Step] = []

    def at(seconds: int) -> str:
        return (START + timedelta(seconds=seconds)).isoformat()

    def sample(name: str, kind: str, seconds: int, **changed: object) -> Json:
        body: Json = json.loads(samples.load("square", name))
        body |= {"event_id": f"{name}-{seed}-{len(steps)}", "created_at": at(seconds)}
        body["data"]["object"][kind] |= {"created_at": at(0), "updated_at": at(seconds), **changed}
        body["data"]["id"] = body["data"]["object"][kind]["id"]
        return body

    def rupees(amount: int) -> Json:
        return {"amount": amount, "currency": "INR"}

    paid = {"id": payment_id, "order_id": order_id, "total_money": rupees(total), "processing_fee": []}
    done = sample("payment.updated", "payment", 2, reference_id=None, **paid)
    steps.append(step("square", sample("payment.created", "payment", 1, reference_id=f"INV-{seed}", **paid)))
    steps.append(step("square", sample("payment.updated", "payment", 1, status="APPROVED", **paid)))
    steps.append(step("square", done))

    def reply(request: Request) -> Json:
        if request.url.startswith("/v2/orders/"):
            return {"order": {"id": order_id, "tenders": [{"id": payment_id}]}}
        return {"payment": done["data"]["object"]["payment"]}

    asked = [{"computed_amount_money": rupees(total), "total_completed_amount_money": rupees(total)}]
    invoice = {"id": f"inv-{seed}", "order_id": order_id, "invoice_number": f"INV-{seed}", "payment_requests": asked}
    issued = [{"computed_amount_money": rupees(total)}]
    unpaid = {**invoice, "payment_requests": issued, "version": 1}
    steps.append(step("square", sample("invoice.published", "invoice", 0, **unpaid)))
    steps.append(step("square", sample("invoice.payment_made", "invoice", 3, **invoice), reply=reply))
    for number in range(chance.randrange(3)):
        back = {"id": f"ref-{seed}-{number}", "payment_id": payment_id, "amount_money": rupees(total // 4)}
        steps.append(step("square", sample("refund.created", "refund", 10 + number, **back)))
        steps.append(step("square", sample("refund.updated", "refund", 10 + number, **back)))
    if chance.random() < 0.6:
        held = {"id": f"dis-{seed}", "amount_money": rupees(total // 2), "disputed_payment": {"payment_id": payment_id}}
        steps.append(step("square", sample("dispute.created", "dispute", 20, **held)))
        end = chance.choice(["WON", "LOST", "ACCEPTED"])
        steps.append(step("square", sample("dispute.state.updated", "dispute", 30, **{**held, "state": end})))
    payout = {"id": f"po-{seed}", "amount_money": {"amount": total, "currency_code": "INR"}, "payout_fee": []}
    return steps + [step("square", sample(name, "payout", 40, **payout)) for name in ("payout.sent", "payout.paid")]

"""A life of razorpay: see the package."""

from __future__ import annotations

import json
from random import Random

from connectors import samples
from tests.connectors.streams import START, Json, Step, step


def stream(seed: int) -> list[Step]:
    """A payment that perhaps fails first, then is captured, refunded in parts and perhaps disputed."""
    chance = Random(seed)
    payment: Json = json.loads(samples.load("razorpay", "payment.captured"))["payload"]["payment"]["entity"]
    amount = chance.randrange(10_000, 1_000_000)
    payment |= {
        "id": f"pay_{seed:014d}",
        "order_id": f"order_{seed:014d}",
        "amount": amount,
        "base_amount": amount,
        "notes": chance.choice([[], {"invoice_number": f"INV-{seed}"}, {"other": "x"}]),
    }
    order = {"id": payment["order_id"], "amount": amount, "receipt": f"INV-{seed}", "notes": []}
    clock = int(START.timestamp())
    steps: list[Step] = []

    def tell(name: str, *, same_second: bool = False, **entities: Json) -> None:
        nonlocal clock
        clock += 0 if same_second else chance.choice([0, 1, 60])
        held = {key: {"entity": dict(entity)} for key, entity in entities.items()}
        said = {"entity": "event", "account_id": "acc_1", "event": name, "contains": list(held), "payload": held}
        steps.append(step("razorpay", {**said, "created_at": clock}))

    if chance.random() < 0.8:
        tell("payment.authorized", payment={**payment, "status": "authorized", "captured": False, "fee": None})
    if chance.random() < 0.4:
        failed = {"status": "failed", "captured": False, "fee": None, "error_description": "wrong PIN"}
        tell("payment.failed", payment={**payment, **failed})
    tell("payment.captured", payment=payment)
    tell("order.paid", same_second=True, payment=payment, order=order)
    given_back = 0
    for number in range(chance.randrange(3)):
        part = chance.randrange(1, (amount - given_back) // 2 + 1)
        refund = {"id": f"rfnd_{seed:010d}{number:04d}", "amount": part, "currency": "INR", "payment_id": payment["id"],
                  "notes": [], "created_at": clock, "status": "pending"}  # fmt: skip
        good = chance.random() < 0.8
        tell("refund.created", refund=refund, payment=payment)
        given_back += part if good else 0
        after = {**payment, "amount_refunded": given_back, "refund_status": "partial" if given_back else None}
        done = "processed" if good else "failed"
        tell(f"refund.{done}", refund={**refund, "status": done}, payment=after)
    if chance.random() < 0.4:
        dispute: Json = json.loads(samples.load("razorpay", "payment.dispute.created"))["payload"]["dispute"]["entity"]
        dispute |= {"id": f"disp_{seed:014d}", "payment_id": payment["id"], "amount": amount - given_back}
        tell("payment.dispute.created", dispute=dispute, payment=payment)
        tell("payment.dispute.under_review", dispute={**dispute, "status": "under_review"}, payment=payment)
        end = chance.choice(["won", "lost"])
        taken = dispute["amount"] if end == "lost" else 0
        tell(f"payment.dispute.{end}", dispute={**dispute, "status": end, "amount_deducted": taken}, payment=payment)
    return steps

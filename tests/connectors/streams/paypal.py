"""A life of paypal: see the package."""

from __future__ import annotations

import json
from datetime import timedelta
from random import Random
from typing import Any

from connectors import samples
from connectors.base import Request
from tests.connectors.streams import START, Json, Step, step


def stream(seed: int) -> list[Step]:
    """A capture from pending to completed, its refunds, and a dispute; each is asked for and tells its own time."""
    chance = Random(seed)
    names = ("PAYMENT.CAPTURE.PENDING", "PAYMENT.CAPTURE.COMPLETED", "PAYMENT.CAPTURE.REFUNDED")
    said: dict[str, Json] = {name: json.loads(samples.load("paypal", name)) for name in names}
    said |= {
        name: json.loads(samples.load("paypal", name))
        for name in ("CUSTOMER.DISPUTE.CREATED", "CUSTOMER.DISPUTE.UPDATED", "CUSTOMER.DISPUTE.RESOLVED")
    }
    steps: list[Step] = []
    capture = f"CAP{seed}"

    def tell(name: str, seconds: int, **changes: Any) -> None:
        # Several may fall into one second: the status decides then.
        at = (START + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
        resource = {**said[name]["resource"], "update_time": at, **changes}

        def reply(_: Request) -> Json:
            return resource

        body = {**said[name], "id": f"WH-{seed}-{len(steps)}", "resource": resource}
        steps.append(step("paypal", body, reply=reply, asked_at=START + timedelta(seconds=seconds)))

    amount = {"value": "1180.00", "currency_code": "USD"}
    if chance.random() < 0.6:
        tell("PAYMENT.CAPTURE.PENDING", 0, id=capture, amount=amount)
    tell("PAYMENT.CAPTURE.COMPLETED", chance.randrange(2), id=capture, amount=amount)
    links = [{"rel": "up", "href": f"https://api.paypal.com/v2/payments/captures/{capture}"}]
    for number in range(chance.randrange(3)):
        given = {"value": f"{chance.randrange(1, 300)}.00", "currency_code": "USD"}
        for status in ("PENDING", "COMPLETED")[chance.randrange(2) :]:
            tell(
                "PAYMENT.CAPTURE.REFUNDED",
                5 + number,
                id=f"REF{seed}X{number}",
                amount=given,
                status=status,
                links=links,
            )
    if chance.random() < 0.5:
        disputed = [{"seller_transaction_id": capture}]
        for place, name in enumerate(("CREATED", "UPDATED", "RESOLVED")[: chance.randrange(1, 4)]):
            tell(f"CUSTOMER.DISPUTE.{name}", 20 + place, dispute_id=f"PP-D-{seed}", disputed_transactions=disputed)
    return steps

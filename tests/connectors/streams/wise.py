"""A life of wise: see the package."""

from __future__ import annotations

import json
from datetime import timedelta
from random import Random

from connectors import samples
from connectors.base import Request
from tests.connectors.streams import START, Json, Step, step


def stream(seed: int) -> list[Step]:
    """Movements of a balance, some within one second, and a transfer that leaves, perhaps to come back."""
    chance = Random(seed)
    moved: Json = json.loads(samples.load("wise", "balances#update"))
    changed: Json = json.loads(samples.load("wise", "transfers#state-change"))
    transfer: Json = json.loads(samples.api("wise", "transfer"))
    steps: list[Step] = []
    balance = 0
    for number in range(chance.randrange(1, 5)):
        at = (START + timedelta(seconds=number // 2)).strftime("%Y-%m-%dT%H:%M:%SZ")
        amount = chance.randrange(1, 900)
        balance += amount
        data = {
            **moved["data"],
            "amount": amount,
            "occurred_at": at,
            "step_id": 1000 + number,
            "post_transaction_balance_amount": balance,
            "transfer_reference": f"BNK-{seed}{number}" if chance.random() < 0.7 else None,
        }
        steps.append(step("wise", {**moved, "data": data}))
        if chance.random() < 0.3:
            # Another subscription tells the same.
            steps.append(step("wise", {**moved, "data": data, "subscription_id": "another"}))
    states = ("processing", "funds_converted", "outgoing_payment_sent", "bounced_back", "funds_refunded")
    for number, state in enumerate(states[: chance.randrange(1, 6)]):
        moment = START + timedelta(minutes=number)

        def reply(_: Request, state: str = state) -> Json:
            return {**transfer, "status": state}

        data = {**changed["data"], "current_state": state, "occurred_at": moment.strftime("%Y-%m-%dT%H:%M:%SZ")}
        steps.append(step("wise", {**changed, "data": data}, reply=reply, asked_at=moment))
    return steps

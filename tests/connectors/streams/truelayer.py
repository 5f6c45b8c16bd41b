"""A life of truelayer: see the package."""

from __future__ import annotations

import json
from datetime import timedelta
from random import Random
from typing import Any

from connectors import samples
from connectors.base import Request
from tests.connectors.streams import START, Json, Step, step

ACCOUNT = "200552da-13da-43c5-a9ba-04ee1502ac57"


def stream(seed: int) -> list[Step]:
    """A payment from authorised to settled (or failed), refunds of it, and the account's balance in between."""
    chance = Random(seed)
    steps: list[Step] = []
    identity = f"payment-{seed}"
    model: Json = json.loads(samples.api("truelayer", "payment"))
    for key in ("authorized_at", "executed_at", "settled_at"):
        del model[key]
    model["created_at"] = f"{START:%Y-%m-%dT%H:%M:%S}.000Z"

    def tell(name: str, answer: Json, at: int, **said: Any) -> None:
        body = {**json.loads(samples.load("truelayer", name)), "event_id": f"{seed}-{len(steps)}", **said}

        def reply(request: Request) -> Json:
            return json.loads(samples.api("truelayer", "token")) if "token" in request.url else answer

        moment = START + timedelta(seconds=at)
        steps.append(step("truelayer", body, reply=reply, asked_at=moment, external_id=ACCOUNT))

    ends = ("executed", "settled") if chance.random() < 0.8 else ("failed",)
    state: Json = {**model, "id": identity}
    for number, word in enumerate(("authorized", *ends)):
        # Times may fall together: the status decides then.
        at = chance.choice((number, 1))
        state = {**state, "status": word, f"{word}_at": f"{START + timedelta(seconds=at):%Y-%m-%dT%H:%M:%S}.000Z"}
        tell(f"payment_{word}", state, at, payment_id=identity)
    refund: Json = json.loads(samples.api("truelayer", "refund"))
    for number in range(chance.randrange(3) if ends[-1] == "settled" else 0):
        name = f"refund-{seed}-{number}"
        answer = {**refund, "id": name, "amount_in_minor": chance.randrange(1, 9000)}
        tell("refund_executed", answer, 10 + number, payment_id=identity, refund_id=name)
    account: Json = json.loads(samples.api("truelayer", "account"))
    for number in range(chance.randrange(3)):
        answer = {**account, "id": ACCOUNT, "current_balance_in_minor": 100 * number}
        tell("balance_notification", answer, 20 + number)
    return steps

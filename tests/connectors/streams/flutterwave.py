"""A life of flutterwave: see the package."""

from __future__ import annotations

import json
from datetime import timedelta
from random import Random

from connectors import samples
from connectors.base import Request
from tests.connectors.streams import START, Json, Step, step


def stream(seed: int) -> list[Step]:
    """Attempts to pay one invoice, of which one succeeds at last, and a transfer; of v3 or v4."""
    chance = Random(seed)
    version = chance.choice([3, 4])
    body: Json = json.loads(samples.load("flutterwave", "charge.completed", "v3" if version == 3 else None))
    shown: Json = json.loads(
        samples.api("flutterwave", f"{'transactions' if version == 3 else 'charges'}_v{version}_page_1")
    )
    name, good = ("tx_ref", "successful") if version == 3 else ("reference", "succeeded")
    amount = chance.randrange(100, 10_000)
    steps: list[Step] = []
    moment = START

    def tell(identity: object, told: str, now: str) -> None:
        """A webhook, and what the API says of the charge when it is asked."""
        nonlocal moment
        moment += timedelta(seconds=chance.choice([1, 60]))
        about = {"id": identity, "amount": amount, "currency": "INR", name: f"INV-{seed}"}
        said = {**body, "webhook_id": f"wbk_{seed}_{len(steps)}"} if version == 4 else dict(body)
        said["data"] = {**body["data"], **about, "status": told, "seen": len(steps)}
        charge = {**shown["data"][0], **about, "status": now}

        def reply(_request: Request) -> Json:
            return {"status": "success", "data": charge}

        steps.append(step("flutterwave", said, reply=reply, asked_at=moment))

    for number in range(chance.randrange(3)):
        tell(seed * 100 + number, "failed", "failed")
    last: object = seed * 100 + 50 if version == 3 else f"chg_{seed}"
    if chance.random() < 0.4:
        # The webhook says that it is pending, and the API knows already that it is not.
        tell(last, "pending", chance.choice(["pending", good]))
    tell(last, good, good)
    transfer: Json = json.loads(samples.load("flutterwave", "transfer.completed"))
    transfer["data"] |= {"id": seed, "amount": amount, "reference": f"out-{seed}"}
    for status in ("FAILED", "SUCCESSFUL")[chance.randrange(2) :]:
        moment += timedelta(seconds=1)
        sent = {**transfer, "data": {**transfer["data"], "status": status}}

        def reply(_request: Request, sent: Json = sent) -> Json:
            return {"data": sent["data"]}

        steps.append(step("flutterwave", sent, reply=reply, asked_at=moment))
    return steps

"""A life of mollie: see the package."""

from __future__ import annotations

import json
from datetime import timedelta
from random import Random

from connectors import samples
from connectors.base import Request
from tests.connectors.streams import START, Json, Step, step


class _Life:
    """What was told so far, a minute apart."""

    def __init__(self, seed: int) -> None:
        self.seed, self.chance = seed, Random(seed)
        self.steps: list[Step] = []

    def at(self) -> str:
        return (START + timedelta(minutes=len(self.steps))).strftime("%Y-%m-%dT%H:%M:%S+00:00")

    def tell(self, said: object, entity: Json | None = None) -> None:
        shown = json.dumps(entity)

        def reply(request: Request) -> object:
            return json.loads(shown)

        asked_at = START + timedelta(minutes=len(self.steps) + 1)
        self.steps.append(step("mollie", said, reply=reply, asked_at=asked_at, external_id="pfl_2A1gacu42V"))

    def pay(self, number: int) -> None:
        """A payment, and what is taken from it: each call says the same, and what it leads to differs."""
        model: Json = json.loads(samples.api("mollie", "payment"))
        held: Json = model.pop("_embedded")
        identity, cents = f"tr_{self.seed}x{number}", self.chance.randrange(1_000, 90_000)
        value = {"currency": "INR", "value": f"{cents / 100:.2f}"}
        payment: Json = {**model, "id": identity, "amount": value, "createdAt": self.at(), "paidAt": None}
        payment["metadata"] = {"invoice_number": f"INV-{self.seed}"} if self.chance.random() < 0.7 else None
        payment["description"] = f"for INV-{self.seed}"
        pointer = f"id={identity}".encode()
        for status in self.chance.choice([["open", "paid"], ["open", "failed"], ["pending", "paid"], ["canceled"]]):
            payment |= {"status": status, "paidAt": self.at() if status == "paid" else None}
            self.tell(pointer, payment)
        if payment["status"] == "paid":
            part = {"currency": "INR", "value": f"{cents // 3 / 100:.2f}"}
            common = {"paymentId": identity, "amount": part, "createdAt": self.at()}
            embedded: Json = {}
            if self.chance.random() < 0.6:
                for status in self.chance.choice([["queued", "refunded"], ["refunded"], ["refunded", "failed"]]):
                    refund = {**held["refunds"][0], **common, "id": f"re_{identity}", "status": status}
                    embedded["refunds"] = [refund]
                    self.tell(pointer, {**payment, "_embedded": dict(embedded)})
            if self.chance.random() < 0.5:
                for reversed_at in (None, self.at()):
                    charged = {**held["chargebacks"][0], **common, "id": f"chb_{identity}", "reversedAt": reversed_at}
                    embedded["chargebacks"] = [charged]
                    self.tell(pointer, {**payment, "_embedded": dict(embedded)})

    def snapshots(self) -> None:
        """A payout and an invoice, each with all of its states within one tick of the clock."""
        now = self.at()
        for name, states in (("payout", ("initiated", "completed")), ("sales-invoice", ("created", "issued", "paid"))):
            for state in states:
                said: Json = json.loads(samples.load("mollie", f"{name}.{state}"))
                said |= {"id": f"event_{self.seed}_{state}", "entityId": f"{name}_{self.seed}", "createdAt": now}
                said["_embedded"]["entity"] |= {"id": f"{name}_{self.seed}"}
                self.tell(said)


def stream(seed: int) -> list[Step]:
    """Payments that are paid, refunded and charged back, told by calls that hold no more than an id; and a payout."""
    life = _Life(seed)
    for number in range(life.chance.randrange(1, 4)):
        life.pay(number)
    life.snapshots()
    return life.steps

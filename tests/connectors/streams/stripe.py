"""A life of stripe: see the package."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from random import Random

from connectors import samples
from connectors.base import Request
from tests.connectors.streams import START, Json, Step, step


def thing(name: str, variant: str | None = None) -> Json:
    """The object in a sample."""
    held: Json = json.loads(samples.load("stripe", name, variant))["data"]["object"]
    return held


def give_back(chance: Random, charge: Json, tell: Callable[..., None]) -> int:
    """Tell of up to two refunds; return what they came to."""
    given_back = 0
    for number in range(chance.randrange(3)):
        part = chance.randrange(1, (charge["amount"] - given_back) // 2 + 1)
        names = {"id": f"re_{charge['id'][-10:]}{number:04d}", "charge": charge["id"]}
        refund = {**thing("refund.created"), **names, "amount": part, "currency": "inr"}
        refund["payment_intent"] = charge["payment_intent"]
        good = chance.random() < 0.8
        tell("refund.created", refund, same_second=False)
        given_back += part if good else 0
        if good:
            tell("charge.refunded", {**charge, "amount_refunded": given_back})
        tell("refund.updated" if good else "refund.failed", {**refund, "status": "succeeded" if good else "failed"})
    return given_back


def stream(seed: int) -> list[Step]:
    """A payment told by its intent, its charge, its checkout page and its invoice; refunds, a dispute, a payout."""
    chance = Random(seed)
    clock = int(START.timestamp())
    amount = chance.randrange(10_000, 1_000_000)
    names = {"id": f"pi_{seed:014d}", "amount": amount, "currency": "inr", "created": clock, "description": None}
    intent = {
        **thing("payment_intent.created"),
        **names,
        "metadata": chance.choice([{}, {"invoice_number": f"INV-{seed}"}]),
    }
    charge = {**thing("charge.succeeded"), **names, "id": f"ch_{seed:014d}", "payment_intent": intent["id"],
              "amount_captured": amount, "metadata": {}}  # fmt: skip
    invoice = {**thing("invoice.finalized"), "id": f"in_{seed:014d}", "number": f"STRIPE-{seed}", "currency": "inr",
               "total": amount, "amount_remaining": amount}  # fmt: skip
    steps: list[Step] = []

    def tell(name: str, said: Json, *, same_second: bool = True) -> None:
        nonlocal clock
        clock += 0 if same_second else chance.choice([0, 1, 60])
        event = {"id": f"evt_{seed}_{len(steps)}", "object": "event", "api_version": "2025-03-31.basil"}
        steps.append(step("stripe", {**event, "created": clock, "type": name, "data": {"object": said}}))

    def point(name: str, said: Json) -> None:
        """A thin event: what it points at is as it is when it is asked for, a moment later."""
        nonlocal clock
        related = {"id": said["id"], "type": "payment_intent", "url": f"/v1/payment_intents/{said['id']}"}
        at = START + timedelta(seconds=clock - int(START.timestamp()))
        event = {"id": f"evt_{seed}_{len(steps)}", "object": "v2.core.event", "type": f"v1.{name}",
                 "created": at.isoformat(), "related_object": related}  # fmt: skip
        now = json.loads(json.dumps(said))

        def reply(_request: Request) -> Json:
            return dict(now)

        steps.append(step("stripe", event, reply=reply, asked_at=at + timedelta(milliseconds=500)))

    tell("payment_intent.created", intent)
    tell("invoice.created", {**invoice, "status": "draft", "number": None})
    tell("invoice.finalized", invoice)
    if chance.random() < 0.4:
        error = {"last_payment_error": {"message": "Your card was declined."}}
        failed = {"status": "failed", "captured": False, "failure_message": "Your card was declined."}
        tell("charge.failed", {**charge, "id": f"ch_{seed}_failed", **failed}, same_second=False)
        tell("payment_intent.payment_failed", {**intent, **error})
    if chance.random() < 0.3:
        tell("payment_intent.processing", {**intent, "status": "processing"}, same_second=False)
    done = {**intent, "status": "succeeded", "amount_received": amount}
    tell("charge.succeeded", charge, same_second=False)
    tell("payment_intent.succeeded", done)
    if chance.random() < 0.5:
        page = {**thing("checkout.session.completed"), "payment_intent": intent["id"], "amount_total": amount}
        tell("checkout.session.completed", {**page, "currency": "inr", "client_reference_id": f"INV-{seed}"})
    tell("invoice.paid", {**invoice, "status": "paid", "amount_paid": amount, "amount_remaining": 0})
    if chance.random() < 0.4:
        point("payment_intent.succeeded", done)
    given_back = give_back(chance, charge, tell)
    if chance.random() < 0.4:
        dispute = {**thing("charge.dispute.created"), "id": f"du_{seed:014d}", "currency": "inr",
                   "amount": amount - given_back, "payment_intent": intent["id"], "charge": charge["id"]}  # fmt: skip
        tell("charge.dispute.created", dispute, same_second=False)
        tell("charge.dispute.funds_withdrawn", dispute)
        tell("charge.dispute.updated", {**dispute, "status": "under_review"}, same_second=False)
        tell("charge.dispute.closed", {**dispute, "status": chance.choice(["won", "lost"])}, same_second=False)
    payout = {**thing("payout.created"), "id": f"po_{seed:014d}", "amount": amount, "currency": "inr"}
    tell("payout.created", payout, same_second=False)
    tell("payout.paid", {**payout, "status": "paid"}, same_second=False)
    if chance.random() < 0.3:
        tell("payout.failed", {**payout, "status": "failed"}, same_second=False)
    return steps

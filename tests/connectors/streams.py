"""Whole streams of events of one object, for the tests that any order and any repeat end in one state.

`STREAMS[slug](seed)` gives steps in the order in which they happened. A step is (event name, records): what the
worker would hand to core for that event. Records of pushed events are read from real bodies; those of a fetch are
told by its connector from scripted answers of the API.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from connectors import registry, samples
from connectors.base import Credentials, Fetch, Request, Response, Talk, Verified
from connectors.contract import deliver
from core.events import Record

START = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)
Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One event. `body` is what the provider posts; `records` what it comes to mean."""

    name: str
    body: bytes
    records: tuple[Record, ...]


def answer(talk: Talk, reply: Callable[[Request], object]) -> list[Record]:
    """Hold a talk with scripted answers in place of a provider."""
    try:
        request = next(talk)
        while True:
            body = json.dumps(reply(request)).encode()
            request = talk.send(Response(status=200, headers={}, body=body))
    except StopIteration as end:
        records: list[Record] = end.value
        return records


def step(
    slug: str, said: Json, *, reply: Callable[[Request], object] | None = None, asked_at: datetime = START
) -> Step:
    """Read a body as the worker does."""
    connector, body = registry.get(slug), json.dumps(said).encode()
    headers = {"webhook-id": "m", "x-razorpay-event-id": "e"}
    (event,) = connector.open(deliver(headers, body), Verified(secret_index=0, message_id="m"))
    reading = connector.read(event.name, event.item)
    assert reading is not None, event.name
    if isinstance(reading, Fetch):
        assert reply is not None
        credentials = Credentials(secrets={}, settings={}, external_id=event.external_id, asked_at=asked_at)
        reading = answer(reading.talk(credentials), reply)
    return Step(name=event.name, body=body, records=tuple(reading))


def razorpay(seed: int) -> list[Step]:
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


def standard_webhooks(seed: int) -> list[Step]:
    """A payment with refunds, or a bank transaction, of a sender that counts versions or tells times."""
    chance = Random(seed)
    counts = chance.random() < 0.5
    steps: list[Step] = []

    def tell(name: str, data: Json) -> None:
        number = len(steps) + 1
        at = START + timedelta(milliseconds=chance.choice([0, 5]) + 10 * number)
        version = {"version": number} if counts else {}
        steps.append(
            step("standard_webhooks", {"type": name, "timestamp": at.isoformat(), "data": {**data, **version}})
        )

    if chance.random() < 0.3:
        line = {"id": f"btx_{seed}", "account_id": "ba_1", "amount": "-12.50", "currency": "AUD", "narration": "card"}
        tell("account.updated", {"id": "ba_1", "name": "Business", "currency": "AUD"})
        tell("transaction.pending", {**line, "amount": "-12.00"})
        tell("transaction.posted", line)
        if chance.random() < 0.4:
            tell("transaction.removed", line)
        return steps
    amount = chance.randrange(2, 10**6)
    payment = {"id": f"pmt_{seed}", "amount_minor": amount, "currency": "INR", "invoice_number": f"INV-{seed}"}
    tell("payment.pending", payment)
    if chance.random() < 0.3:
        tell("payment.failed", {**payment, "failure": "insufficient funds"})
    tell("payment.succeeded", {**payment, "method": "upi"})
    for number in range(chance.randrange(3)):
        refund = {
            "id": f"rfd_{seed}_{number}",
            "payment_id": f"pmt_{seed}",
            "amount_minor": amount // 2,
            "currency": "INR",
        }
        tell("refund.pending", refund)
        tell(f"refund.{chance.choice(['succeeded', 'failed'])}", refund)
    if chance.random() < 0.3:
        dispute = {"id": f"dsp_{seed}", "payment_id": f"pmt_{seed}", "amount_minor": amount, "currency": "INR"}
        tell("dispute.open", dispute)
        tell(f"dispute.{chance.choice(['won', 'lost', 'closed'])}", dispute)
    return steps


def basiq(seed: int) -> list[Step]:
    """Fetches of one bank account: transactions appear, pending ones change id or vanish, balances move."""
    chance = Random(seed)
    accounts: list[Json] = json.loads(samples.api("basiq", "accounts"))["data"]
    model: Json = json.loads(samples.api("basiq", "transactions_page_1"))["data"][0]
    pointer: Json = json.loads(samples.load("basiq", "transactions.updated"))
    posted: list[Json] = []
    steps: list[Step] = []
    for number in range(chance.randrange(2, 6)):
        fresh = [f"tx-{seed}-{number}-{index}" for index in range(chance.randrange(1, 4))]
        posted += [{**model, "id": name, "amount": f"{chance.randrange(-9999, 9999)}.50"} for name in fresh]
        pending = [
            {**model, "id": f"pd-{seed}-{number}-{index}", "status": "pending", "postDate": None, "amount": "-1.00"}
            for index in range(chance.randrange(3))
        ]
        accounts[0]["balance"] = f"{number * 100}.00"
        shown, listed = posted + pending, json.loads(json.dumps(accounts))

        def reply(request: Request, shown: Sequence[Json] = tuple(shown), listed: Iterable[Json] = listed) -> Json:
            if request.url.endswith("/accounts"):
                return {"data": list(listed)}
            half = (len(shown) + 1) // 2
            if request.url.endswith("page-2"):
                return {"data": list(shown[half:])}
            return {
                "data": list(shown[:half]),
                "links": {"next": "https://au-api.basiq.io/users/u/transactions?page-2"},
            }

        said = {**pointer, "eventId": f"event-{seed}-{number}"}
        steps.append(step("basiq", said, reply=reply, asked_at=START + timedelta(minutes=number)))
    return steps


STREAMS: Mapping[str, Callable[[int], list[Step]]] = {
    "basiq": basiq,
    "razorpay": razorpay,
    "standard_webhooks": standard_webhooks,
}

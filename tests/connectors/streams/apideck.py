"""A life of apideck: see the package."""

from __future__ import annotations

import json
from datetime import timedelta
from random import Random

from connectors import samples
from connectors.base import Request
from tests.connectors.streams import START, Json, Step, step


def stream(seed: int) -> list[Step]:
    """An invoice is sent, paid in parts and perhaps deleted; payments are voided; the connection comes and goes."""
    chance = Random(seed)
    model: Json = json.loads(samples.api("apideck", "invoice"))["data"]
    money: Json = json.loads(samples.api("apideck", "payment"))["data"]
    pointer: Json = json.loads(samples.load("apideck", "accounting.invoice.updated"))["payload"]
    state: Json = json.loads(samples.load("apideck", "vault.connection.callable"))["payload"]
    total = chance.randrange(100, 900)
    left, steps = total, list[Step]()

    def at(second: int) -> str:
        return (START + timedelta(seconds=second)).isoformat().replace("+00:00", "Z")

    def tell(kind: str, operation: str, second: int, shown: Json) -> None:
        """A pointer, of which the fetch finds what is shown."""
        link = f"https://unify.apideck.com/accounting/{kind}s/{shown['id']}"
        said = {**pointer, "event_type": f"accounting.{kind}.{operation}", "entity_id": shown["id"], "entity_url": link}

        def reply(request: Request) -> Json:
            if request.url == f"/accounting/{kind}s/{shown['id']}":
                return {"data": shown}
            return {"data": {**model, "id": request.url.rsplit("/", 1)[-1], "number": f"INV-{seed}"}}

        body = {"payload": {**said, "event_id": f"event-{seed}-{len(steps)}", "occurred_at": at(second)}}
        steps.append(step("apideck", body, reply=reply, asked_at=START + timedelta(seconds=second + 1)))

    second = 0
    for number in range(chance.randrange(2, 5)):
        # Some changes share a second.
        second += chance.randrange(3)
        left = total if not number else max(0, left - chance.randrange(10, 400))
        shown = {**model, "id": "invoice-1", "number": f"INV-{seed}", "currency": "INR", "total": total}
        shown |= {"balance": left, "status": "paid" if not left else "authorised", "updated_at": at(second)}
        tell("invoice", "updated" if number else "created", second, shown)
        paid = {**money, "id": f"payment-{number}", "currency": "INR", "total_amount": chance.randrange(10, 400)}
        paid["allocations"] = [{"id": "invoice-1", "type": "invoice"}]
        tell("payment", "created", second, {**paid, "status": "draft", "updated_at": at(second)})
        tell("payment", "updated", second, {**paid, "updated_at": at(second + 1)})
        if chance.random() < 0.4:
            tell("payment", "updated", second + 1, {**paid, "status": "voided", "updated_at": at(second + 2)})
    if chance.random() < 0.4:
        tell("invoice", "deleted", second + 3, {"id": "invoice-1"})
    told = chance.sample(["callable", "revoked", "token_refresh.failed", "downstream.recovered"], 3)
    for name, when in zip(told, sorted(chance.choices(range(3), k=3)), strict=True):
        said = {**state, "event_type": f"vault.connection.{name}", "occurred_at": at(when)}
        steps.append(step("apideck", {"payload": {**said, "event_id": f"state-{seed}-{name}"}}))
    return steps

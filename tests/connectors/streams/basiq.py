"""A life of basiq: see the package."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import timedelta
from random import Random

from connectors import samples
from connectors.base import Request
from tests.connectors.streams import START, Json, Step, step


def stream(seed: int) -> list[Step]:
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

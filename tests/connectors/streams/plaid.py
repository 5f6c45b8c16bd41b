"""A life of plaid: see the package."""

from __future__ import annotations

import json
from datetime import timedelta
from random import Random

from connectors import samples
from connectors.base import Request
from tests.connectors.streams import START, Json, Step, step


def stream(seed: int) -> list[Step]:
    """Looks at one Item: transactions appear, pending ones become posted under new ids, the login breaks and mends."""
    chance = Random(seed)
    listed: Json = json.loads(samples.api("plaid", "accounts"))
    model: Json = json.loads(samples.api("plaid", "sync_page_1"))["added"][0]
    news: Json = json.loads(samples.load("plaid", "TRANSACTIONS.SYNC_UPDATES_AVAILABLE"))
    broken: Json = json.loads(samples.load("plaid", "ITEM.ERROR"))
    item: Json = json.loads(samples.api("plaid", "item"))
    posted: list[Json] = []
    steps: list[Step] = []
    for number in range(chance.randrange(2, 5)):
        at = START + timedelta(minutes=number)
        posted += [
            {**model, "transaction_id": f"tx-{seed}-{number}-{index}", "amount": chance.randrange(-9999, 9999) + 0.5}
            for index in range(chance.randrange(1, 3))
        ]
        pending = [
            {**model, "transaction_id": f"pd-{seed}-{number}-{index}", "pending": True, "amount": 1}
            for index in range(chance.randrange(3))
        ]
        shown = tuple(posted + pending)

        def reply(request: Request, shown: tuple[Json, ...] = shown) -> Json:
            if request.url == "/accounts/get":
                return listed
            asked = request.json
            assert isinstance(asked, dict)
            half = (len(shown) + 1) // 2
            first = "cursor" not in asked
            return {
                "added": list(shown[:half] if first else shown[half:]),
                "modified": [],
                "removed": [],
                "next_cursor": "half" if first else "end",
                "has_more": first,
            }

        steps.append(step("plaid", {**news, "new": number}, reply=reply, asked_at=at))
        if chance.random() < 0.5:
            error = {"error_code": "ITEM_LOGIN_REQUIRED"} if chance.random() < 0.5 else None
            state: Json = {**item, "item": {**item["item"], "error": error}}

            def tell(_: Request, state: Json = state) -> Json:
                return state

            steps.append(step("plaid", {**broken, "n": number}, reply=tell, asked_at=at))
    return steps

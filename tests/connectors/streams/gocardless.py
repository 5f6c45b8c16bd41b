"""A life of gocardless: see the package."""

from __future__ import annotations

import json
from datetime import timedelta
from random import Random

from connectors import samples
from connectors.base import Request
from tests.connectors.streams import START, Json, Step, step

LIVES = (
    ("created", "submitted", "confirmed", "paid_out"),
    ("created", "submitted", "failed", "resubmission_requested", "submitted", "confirmed"),
    ("created", "confirmed", "failed", "late_failure_settled"),
    ("created", "confirmed", "failed", "resubmission_requested", "confirmed", "paid_out"),
    ("created", "confirmed", "charged_back", "chargeback_settled"),
    ("created", "confirmed", "charged_back", "chargeback_cancelled"),
)
STATUS = {
    "created": "pending_submission",
    "resubmission_requested": "pending_submission",
    "chargeback_cancelled": "paid_out",
    "chargeback_settled": "charged_back",
    "late_failure_settled": "failed",
}


def stream(seed: int) -> list[Step]:
    """Direct debits that are confirmed, fail late, are charged back and collected again; refunds that bounce."""
    chance = Random(seed)
    payment: Json = json.loads(samples.api("gocardless", "payment"))["payments"]
    refund: Json = json.loads(samples.api("gocardless", "refund"))["refunds"]
    steps: list[Step] = []

    def hear(name: str, link: str, answers: Json, identity: str, minute: int) -> None:
        said: Json = json.loads(samples.load("gocardless", name))
        (event,) = said["events"]
        event |= {"id": f"EV-{seed}-{len(steps)}", "links": {link: identity}}

        def reply(request: Request) -> Json:
            found: Json = answers["events" if request.url == "/events" else "object"]
            return found

        # Two events a minute, so that some are fetched at the same moment.
        steps.append(step("gocardless", said, reply=reply, asked_at=START + timedelta(minutes=minute // 2)))

    for number in range(chance.randrange(1, 3)):
        identity, told = f"PM-{seed}-{number}", list[Json]()
        mine = {**payment, "id": identity, "amount": chance.randrange(5_000, 90_000), "currency": "INR"}
        mine["metadata"] = {"invoice_number": f"INV-{seed}"}
        for place, action in enumerate(chance.choice(LIVES)):
            at = (START + timedelta(minutes=place)).isoformat()
            told.append({"action": action, "created_at": at, "links": {"payment": identity}})
            page = {"events": list(told), "meta": {"cursors": {"after": None}}}
            shown = {"payments": {**mine, "status": STATUS.get(action, action)}}
            hear(f"payments.{action}", "payment", {"object": shown, "events": page}, identity, 2 * place)
        if chance.random() < 0.6:
            back = {**refund, "id": f"RF-{seed}-{number}", "amount": 1000, "currency": "INR"}
            back["links"] = {"payment": identity}
            for place, (name, status) in enumerate([("created", "created"), ("paid", "paid"), ("failed", "bounced")]):
                shown = {"refunds": {**back, "status": status}}
                hear(f"refunds.{name}", "refund", {"object": shown}, back["id"], 20 + place)
    return steps

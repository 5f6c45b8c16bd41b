"""A life of cashfree: see the package."""

from __future__ import annotations

import json
from datetime import timedelta, timezone
from random import Random

from connectors import samples
from tests.connectors.streams import START, Json, Step, step

INDIA = timezone(timedelta(hours=5, minutes=30))


def stream(seed: int) -> list[Step]:
    """An order that perhaps fails at first, is paid, charged for, refunded in parts and perhaps disputed."""
    chance = Random(seed)
    paid: Json = json.loads(samples.load("cashfree", "PAYMENT_SUCCESS_WEBHOOK"))["data"]
    refunded: Json = json.loads(samples.load("cashfree", "REFUND_STATUS_WEBHOOK"))["data"]
    disputed: Json = json.loads(samples.load("cashfree", "DISPUTE_CREATED"))["data"]
    moment = START
    amount = chance.randrange(100, 10_000)
    identity: object = chance.choice([5_000_000 + seed, str(5_000_000 + seed)])
    paid["order"]["order_id"] = chance.choice([f"INV-{seed}", f"ORDER{seed}"])
    paid["payment"] |= {"cf_payment_id": identity, "payment_amount": amount, "payment_time": moment.isoformat()}
    steps: list[Step] = []

    def tell(name: str, data: Json, *, same_second: bool = False) -> None:
        nonlocal moment
        moment += timedelta(seconds=0 if same_second else chance.choice([0, 1, 60]))
        at = moment.astimezone(INDIA).isoformat()
        if "dispute" in data:
            data["dispute"]["updated_at"] = at
        # Each body is told once: a retry is a repeat of it.
        steps.append(step("cashfree", {"data": data, "event_time": at, "type": name, "seed": [seed, len(steps)]}))

    if chance.random() < 0.4:
        other = {**paid["payment"], "cf_payment_id": 4_000_000 + seed, "payment_status": "FAILED"}
        tell("PAYMENT_FAILED_WEBHOOK", {**paid, "payment": other})
    if chance.random() < 0.3:
        dropped = {**paid["payment"], "payment_status": "USER_DROPPED"}
        tell("PAYMENT_USER_DROPPED_WEBHOOK", {**paid, "payment": dropped})
    tell("PAYMENT_SUCCESS_WEBHOOK", paid)
    charges = {"service_charge": 20, "service_tax": 3.6, "settlement_currency": "INR"}
    tell("PAYMENT_CHARGES_WEBHOOK", {**paid, "charges_details": charges}, same_second=True)
    for number in range(chance.randrange(3)):
        part = {**refunded["refund"], "cf_refund_id": f"{seed}{number}", "cf_payment_id": identity}
        part |= {"refund_amount": amount // 4, "created_at": moment.isoformat()}
        tell("REFUND_STATUS_WEBHOOK", {"refund": {**part, "refund_status": "PENDING"}})
        tell("REFUND_STATUS_WEBHOOK", {"refund": {**part, "refund_status": chance.choice(["SUCCESS", "CANCELLED"])}})
    if chance.random() < 0.4:
        details = {**disputed["order_details"], "cf_payment_id": identity}
        for name, status in (
            ("DISPUTE_CREATED", "DISPUTE_CREATED"),
            ("DISPUTE_UPDATED", "CHARGEBACK_UNDER_REVIEW"),
            ("DISPUTE_CLOSED", chance.choice(["CHARGEBACK_MERCHANT_WON", "CHARGEBACK_MERCHANT_ACCEPTED"])),
        ):
            dispute = {**disputed["dispute"], "dispute_id": f"{9_000_000 + seed}", "dispute_amount": amount // 2}
            tell(name, {"dispute": {**dispute, "dispute_status": status}, "order_details": details})
    return steps

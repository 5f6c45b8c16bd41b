"""A life of adyen: see the package."""

from __future__ import annotations

import json
from random import Random

from connectors import samples
from tests.connectors.streams import Json, Step, steps


def stream(seed: int) -> list[Step]:
    """Payments that are captured or not, refunds that come back, disputes to their end; a transfer, told twice over."""
    chance = Random(seed)
    found: list[Step] = []

    def tell(codes: list[str], psp: str, original: str | None, value: int) -> None:
        for code in codes:
            said: Json = json.loads(samples.load("adyen", code.partition(":")[0]))
            item = said["notificationItems"][0]["NotificationRequestItem"]
            item |= {
                "pspReference": psp,
                "merchantReference": f"INV-{seed}",
                "success": code.partition(":")[2] or "true",
            }
            item["amount"] = {"currency": "INR", "value": value}
            # The time is not signed, and here it tells nothing: it goes backwards.
            item["eventDate"] = f"2026-05-{28 - len(found) % 28:02d}T10:00:00+00:00"
            if original:
                item["originalReference"] = original
            found.extend(steps("adyen", said, reply=lambda _: {}))

    for number in range(chance.randrange(1, 4)):
        payment, value = f"PAY{seed}N{number}", chance.randrange(5_000, 90_000)
        tell(chance.choice([["AUTHORISATION"], ["AUTHORISATION:false", "AUTHORISATION"], []]), payment, None, value)
        captures = [["CAPTURE"], ["CAPTURE:false", "CAPTURE"], ["CAPTURE", "CAPTURE_FAILED"], []]
        tell(chance.choice(captures), f"CAP{seed}N{number}", payment, value - 100)
        refunds = [["REFUND"], ["POSTPONED_REFUND", "REFUND"], ["REFUND", "REFUND_FAILED"], ["REFUND:false"], []]
        tell(chance.choice(refunds), f"REF{seed}N{number}", payment, value // 4)
        disputes = [
            ["NOTIFICATION_OF_CHARGEBACK", "CHARGEBACK", "CHARGEBACK_REVERSED", "SECOND_CHARGEBACK"],
            ["REQUEST_FOR_INFORMATION", "CHARGEBACK", "CHARGEBACK_REVERSED", "PREARBITRATION_WON"],
            ["CHARGEBACK"],
            [],
        ]
        tell(chance.choice(disputes), f"DIS{seed}N{number}", payment, value // 2)
    tell(["PAYOUT_THIRDPARTY"], f"OUT{seed}", None, 900)
    tell(chance.choice([["PAIDOUT_REVERSED"], []]), f"BACK{seed}", f"OUT{seed}", 900)
    for name, variant in (
        ("balancePlatform.transfer.created", None),
        ("balancePlatform.transfer.updated", "authorised"),
        ("balancePlatform.transfer.updated", None),
        ("balancePlatform.transaction.created", None),
    ):
        found += steps("adyen", samples.load("adyen", name, variant))
    return found

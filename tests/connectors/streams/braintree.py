"""A life of braintree: see the package."""

from __future__ import annotations

import base64
import re
from datetime import datetime, timedelta
from random import Random
from urllib.parse import urlencode

from connectors import samples
from tests.connectors.streams import START, Step, step


def stream(seed: int) -> list[Step]:
    """Bank debits that settle or are declined, refunds that fail late, disputes, and the disbursement at the end."""
    chance = Random(seed)
    found: list[Step] = []

    def tell(sample: str, minute: int, **changed: str) -> None:
        kind, _, variant = sample.partition("__")
        document = samples.load("braintree", kind, variant or None).decode()
        moment: datetime = START + timedelta(minutes=minute)
        told_at = re.search(r"datetime\">(.*?)<", document)
        assert told_at is not None
        given = {told_at[1]: f"{moment:%Y-%m-%dT%H:%M:%SZ}", ">USD<": ">INR<", **changed}
        for old, new in given.items():
            document = document.replace(old, new)
        text = base64.encodebytes(document.encode()).decode()
        found.append(step("braintree", urlencode({"bt_signature": "k|s", "bt_payload": text}).encode()))

    for number in range(chance.randrange(1, 4)):
        names = {
            "tx9k2m4q": f"tx-{seed}-{number}",
            "tx9back1": f"back-{seed}-{number}",
            "dis-4411": f"dis-{seed}-{number}",
        }
        names |= {"INV-3051": f"INV-{seed}", ">100.00<": f">{chance.randrange(100, 900)}.50<"}
        if chance.random() < 0.3:
            tell("transaction_settlement_declined", 1, **names)
        if chance.random() < 0.8:
            # Two notices of one second, of which one says more.
            tell("transaction_settled", 2, **names)
            tell("transaction_disbursed", 2, **names)
        if chance.random() < 0.5:
            tell("transaction_settled__refund", 3, **names)
            if chance.random() < 0.5:
                tell("refund_failed", 4, **names)
        if chance.random() < 0.6:
            tell("dispute_opened", 5, **names)
            tell(chance.choice(["dispute_won", "dispute_lost", "dispute_expired__retrieval"]), 6, **names)
    tell("subscription_charged_successfully", 7, **{"tx9sub": f"sub-{seed}-", "INV-3051": f"INV-{seed}"})
    tell("disbursement_exception", 8, **{"disb-77": f"disb-{seed}"})
    tell("disbursement", 9, **{"disb-77": f"disb-{seed}"})
    return found

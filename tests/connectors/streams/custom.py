"""A life of custom, by the definition of the example: see the package."""

from __future__ import annotations

import json
from datetime import timedelta
from random import Random

from connectors import samples
from tests.connectors.streams import START, Json, Step, step


def stream(seed: int) -> list[Step]:
    """A payment from new to paid, what is given back of it, a payout and a line of the bank."""
    chance = Random(seed)
    steps: list[Step] = []

    def tell(name: str, part: str, **changes: object) -> None:
        said: Json = json.loads(samples.load("custom", name))
        # Now and then two statements within one second: the sender's count decides.
        at = START + timedelta(seconds=len(steps) // 2)
        said |= {"id": f"evt_{seed}_{len(steps)}", "created": int(at.timestamp()), "account": None}
        said[part] |= changes
        steps.append(step("custom", said))

    amount = chance.randrange(1_000, 90_000)
    order = {"invoice_number": f"INV-{seed}" if chance.random() < 0.7 else None}
    for sequence, state in enumerate(chance.choice([["NEW", "PAID"], ["NEW", "DECLINED", "PAID"], ["DECLINED"]])):
        tell(
            "payment.updated", "payment", id=f"P-{seed}", sequence=sequence, state=state, amount=amount, order=order,
            note=f"told {sequence}",
        )  # fmt: skip
    for sequence, state in enumerate(chance.choice([["NEW", "SENT"], ["NEW", "STOPPED"], []])):
        tell(
            "refund.updated", "refund", id=f"R-{seed}", payment=f"P-{seed}", sequence=sequence, state=state,
            amount=amount // 3,
        )  # fmt: skip
    tell("payout.sent", "payout", id=f"S-{seed}")
    tell("transaction.booked", "line", id=f"L-{seed}", text=f"NEFT INV-{seed}")
    return steps

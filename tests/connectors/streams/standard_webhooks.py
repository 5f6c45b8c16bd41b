"""A life of standard_webhooks: see the package."""

from __future__ import annotations

from datetime import timedelta
from random import Random

from tests.connectors.streams import START, Json, Step, step


def stream(seed: int) -> list[Step]:
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

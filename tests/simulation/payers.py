"""What payers do, and how it is told: late, in parts, twice, out of order, and taken back again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from core import intake
from core.events import Dispute, DisputeStatus, Payment, PaymentStatus, Record, Reference, Refund, RefundStatus, Trust
from core.ids import new_id
from core.money import Money
from core.statements import Statement
from tests.simulation.deals import SETTLED, Invoice
from tests.simulation.deeds import Deeds
from tests.simulation.dues import Word, day_of


@dataclass(slots=True)
class Paying(Deeds):
    """The buyers' money, by way of providers that say what they like when they like."""

    # What providers have said and nobody has heard yet, and what was heard and may come again.
    underway: list[tuple[Invoice, Word]] = field(default_factory=list)
    heard: list[tuple[Invoice, Word]] = field(default_factory=list)
    version: int = 0

    def _say(self, invoice: Invoice, kind: str, name: str, about: str, statuses: Sequence[str], **more: Any) -> None:
        """A provider says something of an object, status by status; it is on its way from now on."""
        for status in statuses:
            self.version += 1
            word = Word(kind=kind, name=name, about=about, version=self.version, status=status, **more)
            self.underway.append((invoice, word))

    def _owing(self, one: Invoice) -> bool:
        if one.deal is None or one.deal.state not in SETTLED - {"repaid"}:
            return False
        days_left = (one.due - day_of(self.world.now)).days
        # Every fourth buyer is a bad payer, who forgets for months, or for ever.
        often = 0.05 if days_left > 2 else 0.02 if one.face % 4 == 1 else 1.0
        return self.happens(often)

    def pay(self) -> None:
        """The buyer pays: mostly when it is due or later; all, less, more, a little, or in another currency."""
        invoice = self.newest(self._owing, seldom=0.02)
        if invoice is None:
            return
        open_ = max(1, invoice.face - invoice.paid)
        claimed = (invoice.deal and invoice.deal.principal) or open_
        some = [open_, open_, open_ * 2 // 3, open_ // 3, open_ + 5_000_00, invoice.face, claimed]
        amount = max(1, self.chance.choice(some if invoice.deal else [open_]))
        at = self.world.now - timedelta(hours=self.chance.choice([0, 0, 1, 7, 60]))
        name = f"pay_{self.version}"
        statuses = self.chance.choice([("succeeded",), ("pending", "succeeded"), ("failed",), ("failed", "succeeded")])
        currency = "USD" if self.happens(0.04) else invoice.currency
        self._say(invoice, "payment", name, name, statuses, amount=amount, currency=currency, at=at)
        if self.happens(0.05):
            # The provider corrects itself.
            self._say(invoice, "payment", name, name, ["succeeded"], amount=amount + 100, currency=currency, at=at)
        self.hear()

    def give_back(self) -> None:
        """A payment is refunded or disputed; now and then before anybody has heard of the payment."""
        payments = [pair for pair in (self.heard + self.underway)[-80:] if pair[1].kind == "payment"]
        if not payments:
            return
        invoice, paid = self.one(payments)
        amount = max(1, self.chance.choice([paid.amount, paid.amount // 2, paid.amount // 5]))
        more = {"amount": amount, "currency": paid.currency, "at": self.world.now}
        if self.happens(0.5):
            paths = [("succeeded",), ("pending", "succeeded"), ("failed",), ("succeeded", "returned")]
            self._say(invoice, "refund", f"rfd_{self.version}", paid.name, self.chance.choice(paths), **more)
            return
        deducted = self.chance.choice([0, amount])
        paths = [("open", "lost"), ("open", "won"), ("open", "under_review"), ("lost",), ("open", "closed")]
        name = f"dsp_{self.version}"
        self._say(invoice, "dispute", name, paid.name, self.chance.choice(paths), deducted=deducted, **more)

    def hear(self) -> None:
        """Some of what is on its way arrives, in any order, with repeats, as one batch."""
        world = self.world
        many = min(self.chance.randint(1, 3), len(self.underway))
        batch = [self.underway.pop(self.chance.randrange(len(self.underway))) for _ in range(many)]
        self.heard = (self.heard + batch)[-400:]
        if self.heard and self.happens(0.3):
            batch += [self.one(self.heard[-60:])] * self.chance.randint(1, 2)
        if not batch:
            return
        statements = [self._statement(invoice, word) for invoice, word in batch]
        told = ", ".join(f"{word.name} {word.status} {word.amount} {word.currency}" for _, word in batch)
        world.deliver(
            f"hear {told}",
            lambda session: intake.apply(
                session.connection(), statements, now=world.now, calendar=world.rules.calendar
            ),
            lambda _: world.auditor.hear(batch, world.now),
            twice=self.happens(0.25),
        )

    def _statement(self, invoice: Invoice, word: Word) -> Statement:
        world = self.world
        money = Money(word.amount, word.currency)
        record: Record
        common = {"object_id": word.name, "version": word.version, "money": money, "occurred_at": word.at}
        if word.kind == "payment":
            named = (Reference(0, str(world.invoice_id(invoice))),)
            record = Payment(status=PaymentStatus(word.status), references=named, **common)  # type: ignore[arg-type]
        elif word.kind == "refund":
            record = Refund(payment_id=word.about, status=RefundStatus(word.status), **common)  # type: ignore[arg-type]
        else:
            record = Dispute(
                payment_id=word.about, status=DisputeStatus(word.status),
                deducted=Money(word.deducted, word.currency), **common,  # type: ignore[arg-type]
            )  # fmt: skip
        return Statement(
            event_id=new_id(), connection_id=world.connections[invoice.seller],
            user_id=world.people[invoice.seller].id, connector="standard_webhooks", trust=Trust.SIGNED, record=record,
        )  # fmt: skip

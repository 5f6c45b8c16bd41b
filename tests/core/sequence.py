"""A seller to whom anything happens by chance, through the public functions: for the property test of issue 5."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

from core import intake
from core.errors import PlatformError
from core.events import (
    BankTransaction,
    Dispute,
    DisputeStatus,
    Payment,
    PaymentStatus,
    Payout,
    PayoutStatus,
    Reference,
    Refund,
    RefundStatus,
    Trust,
)
from core.events import TransactionStatus as Line
from core.invoicing import credit_notes, invoices
from core.invoicing.credit_notes import NewCreditNote
from core.invoicing.inputs import InvoiceChanges, NewInvoice
from core.invoicing.totals import NewItem
from core.money import Money
from core.payments import manual
from core.payments.manual import NewPayment, NewRefund, NewTarget, PaymentChanges
from core.reconciliation import decisions
from core.reconciliation.booking import Target
from tests.builders import NOW, Shop

DAY = date(2026, 11, 2)
HAND = ("cash", "upi", "tds_withheld")


@dataclass
class Trade:
    """A seller to whom things happen by chance. What is refused by name is fine; it must leave everything sound."""

    shop: Shop
    chance: Random
    told: dict[str, Payment] = field(default_factory=dict)
    word: str = ""
    made: int = 0
    done: Counter[str] = field(default_factory=Counter)

    def do(self, step: str) -> bool:
        """One deed; whether it was possible."""
        act: Callable[[], object] = getattr(self, step)
        try:
            acted = act()
        except PlatformError as refused:
            self.done[f"{step} refused: {type(refused).__name__}"] += 1
            return False
        self.done[step] += acted is not False
        return acted is not False

    def name(self, word: str) -> str:
        self.made += 1
        return f"{word}_{self.word}{self.made}"

    def some(self, query: str, **values: object) -> Any:
        rows = self.shop.rows(f"SELECT * FROM {query} ORDER BY 1", **values)
        return self.chance.choice(rows) if rows else None

    def hand(self, work: Callable[..., Any], *given: object, **more: Any) -> Any:
        with self.shop.database.session() as session:
            return work(session, self.shop.seller, *given, NOW, **more)

    def hear(self, *records: Any, trust: Trust = Trust.SIGNED) -> bool:
        with self.shop.database.connect() as connection:
            intake.apply(connection, self.shop.state(*records, trust=trust), now=NOW)
        return True

    # Invoices

    def issue(self) -> None:
        currency = self.chance.choice(["INR"] * 5 + ["USD"])
        with self.shop.database.session() as session:
            invoices.create(session, self.shop.seller, self._new(currency), NOW, draft=self.chance.random() < 0.1)

    def _new(self, currency: str) -> NewInvoice:
        return NewInvoice(
            contact_name="Rao Retail",
            contact_email=self.chance.choice(["buyer@rao.test"] * 4 + ["other@rao.test"]),
            currency=currency,
            issue_date=date(2026, 11, 1),
            due_date=date(2026, 12, 1),
            items=self._items(),
        )

    def _items(self) -> list[NewItem]:
        return [
            NewItem(
                description="Cloth",
                quantity=Decimal(self.chance.randint(1, 3)),
                unit_price=self.chance.randint(1, 9_000),
                tax_rate=Decimal(self.chance.choice(["0", "18", "0.25"])),
                discount_rate=Decimal(self.chance.choice(["0", "12.5"])),
            )
            for _ in range(self.chance.randint(1, 2))
        ]

    def number(self) -> object:
        """A draft is issued, or thrown away."""
        if (one := self.some("invoices WHERE seller_id = :user AND status = 'draft'")) is None:
            return False
        return self.hand(invoices.issue if self.chance.random() < 0.7 else invoices.delete_draft, one["id"])

    def rewrite(self) -> object:
        if (one := self.some("invoices WHERE seller_id = :user")) is None:
            return False
        changes = InvoiceChanges(items=self._items(), currency=self.chance.choice([None, None, "INR", "USD"]))
        return self.hand(invoices.update, one["id"], changes)

    def void(self) -> object:
        one = self.some("invoices WHERE seller_id = :user AND status = 'open'")
        return False if one is None else self.hand(invoices.void, one["id"])

    # What a gateway tells

    def pay(self) -> None:
        one = self.some("invoices WHERE seller_id = :user AND status <> 'draft'")
        references = () if one is None or self.chance.random() < 0.2 else (Reference(1, one["number"]),)
        total = one["total"] if one else 5_000
        amount = self.chance.choice([total, max(1, total // 2), total + 1_000, self.chance.randint(1, 12_000)])
        name = self.name("pmt")
        fee = self.chance.choice([None, None, min(30, amount)])
        self.told[name] = Payment(
            object_id=name,
            version=1,
            status=self.chance.choice([PaymentStatus.SUCCEEDED] * 5 + [PaymentStatus.PENDING]),
            money=Money(amount, self.chance.choice(["INR"] * 6 + ["USD"])),
            occurred_at=NOW + timedelta(seconds=self.chance.randint(-90_000, 9)),
            references=references,
            fee=None,
        )
        if fee:
            self.told[name] = replace(self.told[name], fee=Money(fee, self.told[name].money.currency))
        hint = self.chance.random() < 0.1
        self.hear(*[self.told[name]] * self.chance.randint(1, 2), trust=Trust.HINT if hint else Trust.SIGNED)

    def _told(self) -> Payment | None:
        return self.chance.choice(list(self.told.values())) if self.told else None

    def correct(self) -> object:
        """The gateway says that it succeeded, or another amount."""
        if (one := self._told()) is None:
            return False
        amount = self.chance.choice([one.money.minor, self.chance.randint(1, 12_000)])
        self.told[one.object_id] = again = replace(
            one, version=one.version + 1, status=PaymentStatus.SUCCEEDED, money=Money(amount, one.money.currency),
            fee=None,
        )  # fmt: skip
        return self.hear(again)

    def refund(self) -> object:
        if (one := self._told()) is None:
            return False
        back = Refund(
            object_id=self.name("rfd"), payment_id=one.object_id, version=1, status=RefundStatus.SUCCEEDED,
            money=Money(self._part(one.money.minor), one.money.currency), occurred_at=NOW,
        )  # fmt: skip
        return self.hear(*[back] * self.chance.randint(1, 2))

    def dispute(self) -> object:
        if (one := self._told()) is None:
            return False
        name, money = f"dsp_{one.object_id}", Money(self._part(one.money.minor), one.money.currency)
        status = self.chance.choice([DisputeStatus.LOST, DisputeStatus.LOST, DisputeStatus.WON])
        return self.hear(
            Dispute(
                object_id=name,
                payment_id=one.object_id,
                version=self.chance.randint(1, 3),
                status=status,
                money=money,
                deducted=money,
                occurred_at=NOW,
            )
        )

    def pay_out(self) -> None:
        status = self.chance.choice([PayoutStatus.PAID, PayoutStatus.PAID, PayoutStatus.FAILED])
        money = Money(self.chance.randint(1, 9_000), "INR")
        self.hear(Payout(object_id=self.name("po"), version=1, status=status, money=money, occurred_at=NOW))

    def _part(self, whole: int) -> int:
        return self.chance.choice([whole, max(1, whole // 2), self.chance.randint(1, max(1, whole))])

    # What the seller does with money

    def _targets(self, most: int, extra: str = "") -> list[NewTarget]:
        rows = self.shop.rows(
            "SELECT id, amount_due, total FROM invoices WHERE seller_id = :user AND number IS NOT NULL "
            f"AND currency = 'INR' {extra} ORDER BY id"
        )
        chosen = self.chance.sample(rows, min(len(rows), self.chance.choice([0, 1, 1, 1, 2, 3])))
        found = []
        for row in chosen:
            amount = min(most, self.chance.choice([row["amount_due"], row["total"], max(1, row["amount_due"] // 2)]))
            if amount > 0:
                found.append(NewTarget(row["id"], amount))
                most -= amount
        return found

    def record(self) -> object:
        amount = self.chance.randint(1, 15_000)
        targets = self._targets(amount, "AND status IN ('open', 'partial')" if self.chance.random() < 0.9 else "")
        contact = self.some("contacts WHERE user_id = :user")
        if contact is None:
            return False
        new = NewPayment(
            amount=amount,
            currency="INR",
            method=self.chance.choice(HAND),
            date=self.chance.choice([DAY, NOW.date()]),
            targets=targets,
            contact_id=None if targets else contact["id"],
        )
        return self.hand(manual.record, new)

    def _financed(self) -> Any:
        return self.some(
            "invoices WHERE id IN (SELECT invoice_id FROM financings WHERE seller_id = :user AND funded_at IS NOT NULL)"
        )

    def vouch(self) -> object:
        """The seller says that something of a financed invoice is settled."""
        if (one := self._financed()) is None:
            return False
        amount = self.chance.choice([2_000, 1_000, max(1, one["amount_due"]), self.chance.randint(1, 3_000)])
        new = NewPayment(
            amount=amount, currency="INR", method=self.chance.choice(HAND),
            date=self.chance.choice([DAY, NOW.date()]), targets=[NewTarget(one["id"], amount)],
        )  # fmt: skip
        return self.hand(manual.record, new)

    def repay(self) -> object:
        """The buyer pays what investors wait for, or about that."""
        if (one := self._financed()) is None:
            return False
        name, amount = self.name("pmt"), self.chance.choice([7_000, 5_600, 3_500, one["total"]])
        self.told[name] = Payment(
            object_id=name, version=1, status=PaymentStatus.SUCCEEDED, money=Money(amount, "INR"), fee=None,
            occurred_at=NOW + timedelta(seconds=self.chance.randint(-90_000, 9)),
            references=(Reference(1, one["number"]),),
        )  # fmt: skip
        return self.hear(self.told[name])

    def _payment(self, condition: str = "status = 'succeeded'") -> Any:
        return self.some(f"payments WHERE user_id = :user AND {condition}")

    def edit(self) -> object:
        if (one := self._payment()) is None:
            return False
        by_hand = one["source"] == "manual"
        amount = self.chance.choice([None, self.chance.randint(1, 15_000)]) if by_hand else None
        targets = self._targets(amount or one["amount"]) if self.chance.random() < 0.6 else None
        changes = PaymentChanges(
            amount=amount,
            targets=targets,
            date=self.chance.choice([None, DAY]) if by_hand else None,
            method=self.chance.choice([None, *HAND]) if by_hand else None,
            notes=self.chance.choice([None, "seen"]) if one["source"] != "credit_note" else None,
        )
        return self.hand(manual.edit, one["id"], changes)

    def delete(self) -> object:
        one = self._payment("source IN ('manual', 'credit_note', 'bank')")
        return False if one is None else self.hand(manual.delete, one["id"])

    def give_back(self) -> object:
        if (one := self._payment("net > 0 AND source <> 'gateway'")) is None:
            return False
        paid = self.some("payment_targets WHERE payment_id = :id AND allocated > 0", id=one["id"])
        amount = self._part(paid["allocated"] if paid else one["net"])
        invoice = paid["invoice_id"] if paid and self.chance.random() < 0.5 else None
        new = NewRefund(amount=amount, method="cash", date=DAY, invoice_id=invoice)
        self.hand(manual.refund, one["id"], new)
        (after,) = self.shop.rows("SELECT net FROM payments WHERE id = :id", id=one["id"])
        assert self.word or after["net"] == one["net"] - amount
        return True

    def take_back(self) -> object:
        one = self.some(
            "manual_refunds WHERE reverses IS NULL AND payment_id IN (SELECT id FROM payments WHERE user_id = :user)"
        )
        return False if one is None else self.hand(manual.take_refund_back, one["payment_id"], one["id"])

    def allocate(self) -> object:
        if (one := self._payment("net > allocated AND currency = 'INR'")) is None:
            return False
        targets = self._targets(one["net"] - one["allocated"], "AND status IN ('open', 'partial')")
        return self.hand(manual.allocate, one["id"], targets)

    def apply_credit(self) -> object:
        if (one := self.some("contacts WHERE user_id = :user")) is None:
            return False
        targets = self._targets(self.chance.randint(1, 6_000), "AND status IN ('open', 'partial')")
        return self.hand(manual.allocate_credit, one["id"], targets)

    def credit(self) -> object:
        if (one := self.some("invoices WHERE seller_id = :user")) is None:
            return False
        items = None if self.chance.random() < 0.4 else self._items()
        return self.hand(
            credit_notes.create, NewCreditNote(invoice_id=one["id"], reason="returned", issue_date=DAY, items=items)
        )

    def void_note(self) -> object:
        one = self.some("credit_notes WHERE seller_id = :user")
        return False if one is None else self.hand(credit_notes.void, one["id"])

    # Lines of the bank

    def line(self) -> None:
        one = self.some("invoices WHERE seller_id = :user AND status IN ('open', 'partial') AND currency = 'INR'")
        self.bank(self.name("btx"), 1, self._part(one["amount_due"] + 500) if one else 700, one and one["number"])

    def bank(self, name: str, version: int, amount: int, words: str | None, status: Line = Line.POSTED) -> bool:
        return self.hear(
            BankTransaction(
                object_id=name,
                version=version,
                account_id="ba_1",
                status=status,
                money=Money(amount, "INR"),
                narration=words or "NEFT",
                occurred_at=NOW + timedelta(seconds=self.chance.randint(-90_000, 9)),
            )
        )

    def restate(self) -> object:
        """The bank says another amount of a line, or takes it back."""
        if (one := self.some("transactions WHERE user_id = :user")) is None:
            return False
        gone = self.chance.random() < 0.4
        return self.bank(
            one["object_id"], one["version"] + 1, one["amount"] if gone else self._part(one["amount"]),
            one["narration"], Line.REMOVED if gone else Line.POSTED,
        )  # fmt: skip

    def accept(self) -> object:
        if (one := self.some("transactions WHERE user_id = :user AND match_state IN ('none', 'proposed')")) is None:
            return False
        way: dict[str, Any] = {}
        due = self._targets(one["amount"], "AND status IN ('open', 'partial')")
        free = self._payment("status = 'succeeded' AND source IN ('manual', 'gateway')")
        match self.chance.randint(0, 3):
            case 0 if due:
                way = {"targets": [Target(*_pair(target)) for target in due]}
            case 1 if due:
                way = {"given": due[0].invoice_id}
            case 2 if free:
                way = {"payment_id": free["id"]}
        with self.shop.database.session() as session:
            return decisions.accept(session, self.shop.seller.id, one["id"], way.pop("given", None), NOW, **way) or True

    def undo(self) -> object:
        if (one := self.some("transactions WHERE user_id = :user AND match_state = 'accepted'")) is None:
            return False
        with self.shop.database.session() as session:
            decisions.undo(session, self.shop.seller.id, one["id"], NOW)
        return True


def _pair(target: NewTarget) -> tuple[UUID, int]:
    return target.invoice_id, target.amount

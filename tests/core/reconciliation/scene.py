"""What the tests of reconciliation build on: a seller with customers, invoices and bank lines."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import text

from core import intake
from core.events import BankTransaction, Payment, PaymentStatus, Payout, PayoutStatus, TransactionStatus, Trust
from core.invoicing import invoices
from core.invoicing.invoices import NewInvoice, NewItem
from core.money import Money
from core.payments import manual
from core.payments.manual import NewPayment
from core.reconciliation import decisions, rejections, run
from tests.builders import NOW, Clockwork, Json, Shop, check_sums, open_shop

ISSUED, DUE = date(2026, 10, 1), date(2026, 10, 31)


@dataclass(slots=True)
class Scene:
    """A shop, and what is told to it."""

    shop: Shop
    lines: dict[str, UUID] = field(default_factory=dict)
    count: int = 0

    def bill(self, total: int, customer: str = "Rao Retail", **more: Any) -> Json:
        """An open invoice over `total` minor units, due on the last of October."""
        email = f"{customer.lower().replace(' ', '.')}@buyer.test"
        with self.shop.database.session() as session:
            return invoices.create(
                session,
                self.shop.seller,
                NewInvoice(
                    contact_name=customer,
                    contact_email=email,
                    currency="INR",
                    issue_date=ISSUED,
                    due_date=DUE,
                    items=[NewItem(description="Cloth", quantity=Decimal(1), unit_price=total)],
                    **more,
                ),
                NOW,
            )

    def line(
        self,
        amount: int,
        narration: str,
        *,
        name: str | None = None,
        day: date = DUE,
        payer: str | None = None,
        utr: str | None = None,
        shop: Shop | None = None,
        version: int = 1,
        status: TransactionStatus = TransactionStatus.POSTED,
        trust: Trust = Trust.SIGNED,
    ) -> UUID:
        """Let the bank tell of money that came; the id of the line."""
        self.count += 1
        object_id = name or f"line-{self.count}"
        record = BankTransaction(
            object_id=object_id,
            version=version,
            account_id="acc",
            status=status,
            money=Money(amount, "INR"),
            narration=narration,
            occurred_at=datetime.combine(day, NOW.timetz()),
            booked_on=day,
            counterparty=payer,
            bank_reference=utr,
        )
        self.tell(record, shop=shop, trust=trust)
        found = self.shop.one(
            "SELECT id FROM transactions WHERE user_id = :user AND object_id = :object AND connection_id = :connection",
            object=object_id,
            connection=(shop or self.shop).connection_id,
        )
        return UUID(str(found["id"]))

    def tell(self, *records: Any, shop: Shop | None = None, trust: Trust = Trust.SIGNED) -> None:
        """Let a connection tell something."""
        with self.shop.database.connect() as connection:
            intake.apply(connection, (shop or self.shop).state(*records, trust=trust), now=NOW)

    def gateway(self, amount: int, *, utr: str, number: str | None = None, name: str = "pay-1") -> None:
        """Let the gateway tell of a payment."""
        from core.events import Reference

        references = (Reference(0, number),) if number else ()
        self.tell(
            Payment(
                object_id=name,
                version=1,
                status=PaymentStatus.SUCCEEDED,
                money=Money(amount, "INR"),
                occurred_at=datetime.combine(DUE, NOW.timetz()),
                references=references,
                bank_reference=utr,
            )
        )

    def payout(self, amount: int, *, utr: str | None = None) -> UUID:
        """Let the gateway tell of a payout."""
        self.tell(
            Payout(
                object_id="po-1",
                version=1,
                status=PayoutStatus.PAID,
                money=Money(amount, "INR"),
                occurred_at=datetime.combine(DUE, NOW.timetz()),
                bank_reference=utr,
            )
        )
        return UUID(str(self.shop.one("SELECT id FROM payouts WHERE user_id = :user")["id"]))

    def typed(self, invoice: Json, amount: int, *, reference: str = "") -> UUID:
        """A payment that the seller typed in."""
        from core.payments.hand import NewTarget

        with self.shop.database.session() as session:
            told = manual.record(
                session,
                self.shop.seller,
                NewPayment(
                    amount=amount,
                    currency="INR",
                    method="bank_transfer",
                    date=DUE,
                    targets=[NewTarget(UUID(invoice["id"]), amount)],
                    reference=reference,
                ),
                NOW,
            )
        return UUID(told["id"])

    def engine(self) -> run.Done:
        """Let the engine look."""
        with self.shop.database.session() as session:
            return run.reconcile(session, self.shop.seller.id, NOW)

    def accept(self, line: UUID, invoice: Json | None = None, **more: Any) -> UUID | None:
        """Decide as the seller."""
        target = None if invoice is None else UUID(invoice["id"])
        with self.shop.database.session() as session:
            return decisions.accept(session, self.shop.seller.id, line, target, NOW, **more)

    def decide(self, what: str, line: UUID) -> None:
        """undo, reject, restore, ignore or reopen as the seller."""
        with self.shop.database.session() as session:
            getattr(rejections if what == "restore" else decisions, what)(session, self.shop.seller.id, line, NOW)

    def state(self, line: UUID) -> str:
        """How far a line is decided."""
        return str(self.shop.one("SELECT match_state FROM transactions WHERE id = :id", id=line)["match_state"])

    def match(self, line: UUID) -> Json:
        """The match of a line that stands."""
        return self.shop.one(
            "SELECT *, ARRAY(SELECT invoice_id::text FROM match_targets WHERE match_id = matches.id ORDER BY position) "
            "AS invoices FROM matches WHERE transaction_id = :id AND state IN ('proposed', 'accepted')",
            id=line,
        )

    def due(self, *given: Json) -> list[int]:
        """What is due of invoices."""
        return [
            int(self.shop.one("SELECT amount_due FROM invoices WHERE id = :id", id=one["id"])["amount_due"])
            for one in given
        ]

    def set(self, statement: str, **values: object) -> None:
        """Change something by hand."""
        with self.shop.database.connect() as connection:
            connection.execute(text(statement), {"user": self.shop.seller.id, **values})

    def by_hand(self) -> None:
        """Have nothing accepted that nobody clicked."""
        self.set("INSERT INTO business_profiles (user_id, match_automatically) VALUES (:user, false)")

    def money(self) -> int:
        """What stands as received, in minor units: the sum of payments that are not taken back."""
        found = self.shop.one("SELECT coalesce(sum(net), 0)::bigint AS net FROM payments WHERE user_id = :user")
        return int(found["net"])

    def check(self) -> None:
        """Sums agree, and every matched line is one payment."""
        check_sums(self.shop.database)
        assert self.shop.rows(
            "SELECT transaction_id FROM matches WHERE user_id = :user AND state = 'accepted' AND kind <> 'payout' "
            "AND NOT EXISTS (SELECT FROM transaction_payments AS link WHERE link.transaction_id = "
            "matches.transaction_id AND link.payment_id = matches.payment_id)"
        ) == []  # fmt: skip


def open_scene(context: Clockwork) -> Scene:
    """A seller of their own."""
    return Scene(open_shop(context))


def other_source(scene: Scene) -> Shop:
    """A second connection of the same seller."""
    return open_shop(scene.shop.context, seller=scene.shop.seller)


def utr(number: int = 1) -> str:
    """A reference as banks give them."""
    return f"HDFCN5202611{number:010d}"

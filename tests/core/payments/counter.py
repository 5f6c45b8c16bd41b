"""A shop whose seller writes payments down: what the tests of payments by hand build on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, TypeVar
from uuid import UUID

from core.payments import manual
from core.payments.manual import NewPayment, NewRefund, NewTarget, PaymentChanges
from tests.builders import NOW, Clockwork, Json, Shop, open_shop

T = TypeVar("T")
DAY = date(2026, 11, 2)


@dataclass(slots=True)
class Counter:
    """A shop, with its invoices by what they are called in a test."""

    shop: Shop
    invoices: list[Json] = field(default_factory=list)

    def bill(self, *totals: int, currency: str = "INR") -> list[UUID]:
        """Invoices of one customer over these totals."""
        made = [self.shop.invoice(total, currency) for total in totals]
        self.invoices += made
        return [UUID(one["id"]) for one in made]

    def do(self, work: Callable[..., T], *given: object, **more: Any) -> T:
        """Call one of the functions of core.payments.manual in a transaction of its own, as the seller."""
        with self.shop.database.session() as session:
            return work(session, self.shop.seller, *given, NOW, **more)

    def record(self, amount: int, *targets: tuple[UUID, int], **more: Any) -> UUID:
        """Write a payment down; return its id."""
        return UUID(self.written(amount, *targets, **more)["id"])

    def written(self, amount: int, *targets: tuple[UUID, int], **more: Any) -> Json:
        """Write a payment down; return what is answered."""
        given = {"currency": "INR", "method": "cash", "date": DAY, "amount": amount, "targets": aims(targets), **more}
        return self.do(manual.record, NewPayment(**given))

    def edit(self, payment: UUID, *, expected_version: int | None = None, **changes: Any) -> Json:
        return self.do(manual.edit, payment, PaymentChanges(**changes), expected_version=expected_version)

    def delete(self, payment: UUID) -> Json:
        return self.do(manual.delete, payment)

    def give_back(self, payment: UUID, amount: int, invoice: UUID | None = None) -> Json:
        return self.do(manual.refund, payment, NewRefund(amount=amount, method="cash", date=DAY, invoice_id=invoice))

    def allocate(self, payment: UUID, *targets: tuple[UUID, int]) -> Json:
        return self.do(manual.allocate, payment, aims(targets))

    def standing(self, *invoices: UUID) -> list[tuple[str, int]]:
        """The state of invoices and what is paid of them."""
        rows = {row["id"]: row for row in self.shop.rows("SELECT id, status, amount_paid FROM invoices")}
        return [(rows[identity]["status"], rows[identity]["amount_paid"]) for identity in invoices]

    def parts(self, payment: UUID) -> dict[UUID, int]:
        """What a payment pays of each invoice, by its allocations."""
        rows = self.shop.rows(
            "SELECT invoice_id, sum(amount)::bigint AS amount FROM allocations WHERE payment_id = :id "
            "GROUP BY invoice_id HAVING sum(amount) <> 0",
            id=payment,
        )
        return {row["invoice_id"]: row["amount"] for row in rows}

    def gateway(self, object_id: str) -> UUID:
        """The id of a payment that the provider told of."""
        found: UUID = self.shop.one("SELECT id FROM payments WHERE user_id = :user AND object_id = :o", o=object_id)[
            "id"
        ]
        return found


def aims(targets: Sequence[tuple[UUID, int]]) -> list[NewTarget]:
    return [NewTarget(invoice, amount) for invoice, amount in targets]


def open_counter(context: Clockwork) -> Counter:
    return Counter(open_shop(context))

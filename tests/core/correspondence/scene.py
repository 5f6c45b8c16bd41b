"""A shop whose invoice was sent, and what is read back of its mails."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from core.correspondence import sending
from core.invoicing import links
from core.invoicing.links import CustomerLinks
from tests.builders import Clockwork, Json, Shop, open_shop

# add_invoice makes invoices that are due on this day.
DUE = date(2026, 12, 1)


@dataclass(frozen=True, slots=True)
class Scene:
    """A seller, and an invoice of 100 rupees that was sent on 3 November."""

    shop: Shop
    invoice: Json

    @property
    def id(self) -> UUID:
        return UUID(str(self.invoice["id"]))

    @property
    def context(self) -> Clockwork:
        return self.shop.context

    def at(self, day: date) -> None:
        """Move the clock to nine in the morning of a day."""
        self.context.moment[0] = datetime(day.year, day.month, day.day, 9, tzinfo=UTC)

    def mails(self, **only: Any) -> list[Json]:
        """The mails about the invoice, oldest first."""
        return self.shop.rows(
            "SELECT id, to_address, subject, text, html, state, attachments, sender_id, sender_name, reply_to, "
            "bounced_at, bounce_reason FROM mails WHERE subject_id = :id ORDER BY id",
            id=self.id,
        )

    def run(self, sql: str, **values: object) -> None:
        """Change something behind everybody's back."""
        with self.shop.database.connect() as connection:
            connection.execute(text(sql), {"id": self.id, "seller": self.shop.seller.id, **values})


def customer_links(context: Clockwork) -> CustomerLinks:
    return links.of(context.settings)


def sent_invoice(context: Clockwork, *, total: int = 10_000, send: bool = True) -> Scene:
    """A new shop with one invoice."""
    shop = open_shop(context)
    made = Scene(shop, shop.invoice(total))
    if send:
        with shop.database.session() as session:
            sending.send(session, shop.seller, made.id, customer_links(context), context.now())
        made.run("DELETE FROM mails WHERE subject_id = :id")
    return made

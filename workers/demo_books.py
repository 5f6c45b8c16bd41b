"""Demo data of the everyday half: exchange rates, a recurring invoice, a credit note, a mail, a payout, a statement.

Nothing of it pays an invoice by itself, so that the invoices that the documentation names are as it says. The lines of
the statement are found by the reconciliation of the first worker that runs.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from config.settings import Settings
from core.banking import statement_taking, statements
from core.banking.statement_accounts import Wanted
from core.connections.sealing import KeyRing
from core.correspondence import sending
from core.database import Database
from core.files import ANYTHING, Cabinet
from core.identity import Actor
from core.invoicing import credit_notes, links, rates, recurring
from core.invoicing.totals import NewItem
from core.money import Money
from core.statement_files import Mapping

_RATES = {"AUD": Decimal("55.12"), "USD": Decimal("84.05")}
# A rate holds for ten days; so many of them reach back to the first invoice of the demo.
_WEEKS = 13
_COLUMNS = Mapping(date=0, narration=[1], reference=2, debit=3, credit=4, date_format="%d-%m-%Y")
_DAY = timedelta(days=1)


def stock(session: Session, settings: Settings, seller: Actor, made: list[dict[str, Any]], now: datetime) -> None:
    """What the seller made beside invoices. `made` are the demo's invoices in order."""
    kept = [
        # A little up, a little down: rates that never move would look wrong.
        rates.Rate(currency=code, home="INR", day=(now - 7 * week * _DAY).date(), rate=rate + Decimal(week % 5) / 10)
        for code, rate in _RATES.items()
        for week in range(_WEEKS)
    ]
    rates.write(session, seller, kept, "csv", now)
    due, mailed = made[1], made[4]
    credit_notes.create(
        session,
        seller,
        credit_notes.NewCreditNote(
            invoice_id=UUID(due["id"]),
            reason="One saree was returned",
            issue_date=(now - 9 * _DAY).date(),
            items=[_item("Silk saree, handloom", "5007", 4_75_000, "5", unit="pcs")],
        ),
        now,
    )
    recurring.create(
        session,
        seller,
        recurring.NewRecurring(
            name="Showroom, half of the rent",
            contact_id=UUID(mailed["contact"]["id"]),
            currency="INR",
            items=[_item("Rent of the showroom, Laxmi Road", "997212", 32_000_00, "18")],
            frequency="month",
            starts_on=(now.date().replace(day=1) + 32 * _DAY).replace(day=1),
        ),
        now,
    )
    sending.send(session, seller, UUID(mailed["id"]), links.of(settings), now)


def _item(words: str, hsn: str, price: int, rate: str, *, unit: str = "") -> NewItem:
    return NewItem(description=words, hsn=hsn, quantity=Decimal(1), unit=unit, unit_price=price, tax_rate=Decimal(rate))


def statement(
    database: Database, settings: Settings, ring: KeyRing, seller: Actor, paid_out: Money, now: datetime
) -> None:
    """A statement of the seller's bank: the payout, a payment to decide about, one that nothing explains, costs."""
    with database.session() as session:
        utr = session.scalar(text("SELECT bank_reference FROM payouts ORDER BY id DESC LIMIT 1"))
    lines = [
        (6, "ACH D- ELECTRICITY BOARD MUMBAI", "N326111", "8420.00", ""),
        (3, f"NEFT RAZORPAY SOFTWARE SETTLEMENT {utr}", str(utr), "", str(paid_out.to_decimal())),
        (2, "UPI 432212 SHREE TRADERS ADVANCE", "432212883", "", "15000.00"),
        (1, "KAVERI EXPORTS ZARI BORDER", "KAVN326172", "", "33600.00"),
        (1, "SALARY NOVEMBER WEAVERS", "N326190", "48000.00", ""),
    ]
    rows = [
        f"{now - days * _DAY:%d-%m-%Y},{words},{reference},{out},{into}" for days, words, reference, out, into in lines
    ]
    content = "\n".join(["Date,Narration,Reference,Withdrawal,Deposit", *rows, ""]).encode()
    cabinet = Cabinet(settings.data_dir / "files", ring)
    kept = cabinet.keep("hdfc-statement.csv", content, ANYTHING)
    understood = statements.understand(content, mapping=_COLUMNS, currency="INR")
    with database.session() as session:
        account = Wanted(name="HDFC current account", currency="INR")
        identity = statements.bring(session, seller, kept, understood, account, now)
        statement_taking.confirm(session, seller, identity, now)
        while statement_taking.take(session, identity, now):
            pass

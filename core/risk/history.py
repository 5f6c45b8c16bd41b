"""A History out of the database: a fixed number of queries, whatever the size of the books.

What a part of the platform does not know (no document, no KYC, no request to compare) stays empty, and an empty fact
gives no points: it only costs data quality.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.errors import NotFound
from core.risk import identities, integrity, summary
from core.risk.facts import Bill, Confirmation, History, Price, Sale
from core.risk.likenesses import Likeness, hits_of
from core.risk.weights import CURRENT, Weights

# The newest invoices are enough to say what is usual; a seller with more is judged by these.
_MOST_SALES = 2000
_MOST_BILLS = 500
_MOST_EDGES = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Keyed digests of what a request was like, by name (ip, user_agent), and when."""

    at: datetime
    marks: Mapping[str, str]


_SUBJECT = text(
    """
    SELECT invoices.id, invoices.number, invoices.seller_id, invoices.buyer_id, invoices.contact_id, invoices.currency,
           invoices.issue_date, invoices.due_date, invoices.total, invoices.subtotal, invoices.tax,
           invoices.amount_paid, sellers.email AS seller_email, sellers.created_at AS seller_since,
           coalesce(buyers.email, financings.buyer_email, contacts.email) AS buyer_email,
           buyers.created_at AS buyer_since,
           financings.id AS financing_id, financings.confirmed_amount, financings.deductions, financings.principal,
           financings.discount, financings.submitted_at, financings.document, financings.file_hashes,
           EXISTS (SELECT FROM payments WHERE payments.user_id = invoices.seller_id AND payments.status = 'succeeded'
                   AND payments.source IN ('gateway', 'bank') AND payments.trust <> 'hint') AS proven,
           (SELECT md5(string_agg(concat_ws('|', lower(description), quantity, unit_price, tax_rate), E'\\n'
                   ORDER BY position)) FROM invoice_items WHERE invoice_id = invoices.id) AS content
    FROM invoices
    JOIN users AS sellers ON sellers.id = invoices.seller_id
    JOIN contacts ON contacts.id = invoices.contact_id
    LEFT JOIN LATERAL (SELECT * FROM financings WHERE financings.invoice_id = invoices.id ORDER BY id DESC LIMIT 1)
        AS financings ON true
    LEFT JOIN users AS buyers ON buyers.id = coalesce(invoices.buyer_id, financings.buyer_id)
    WHERE invoices.id = :id
    """
)

# Only what has the same total to the same customer can say the same, so only that is read line by line.
_SALES = text(
    """
    SELECT id, number, contact_id, issue_date, due_date, total, amount_paid, status, updated_at,
           CASE WHEN contact_id = :contact AND total = :total THEN (
               SELECT md5(string_agg(concat_ws('|', lower(description), quantity, unit_price, tax_rate), E'\\n'
                   ORDER BY position)) FROM invoice_items WHERE invoice_id = invoices.id) ELSE '' END AS content
    FROM invoices
    WHERE seller_id = :seller AND id <> :id AND status <> 'draft' AND currency = :currency
    ORDER BY id DESC LIMIT :limit
    """
)

_BILLS = text(
    """
    SELECT invoices.due_date, invoices.status, (
        SELECT max(payments.occurred_at) FROM allocations JOIN payments ON payments.id = allocations.payment_id
        WHERE allocations.invoice_id = invoices.id AND allocations.amount > 0) AS paid_at
    FROM invoices
    WHERE buyer_id = :buyer AND id <> :id AND (status = 'paid' OR (status IN ('open', 'partial') AND due_date < :today))
    ORDER BY id DESC LIMIT :limit
    """
)

# Who invoices whom, by address, from the buyer on. UNION forgets what was seen, so a circle ends.
_TRADES = text(
    """
    WITH RECURSIVE trade (source, target, depth) AS (
        SELECT CAST(:buyer AS text), CAST(:buyer AS text), 0
        UNION
        SELECT users.email, contacts.email, trade.depth + 1
        FROM trade JOIN users ON users.email = trade.target
        JOIN invoices ON invoices.seller_id = users.id AND invoices.issue_date > :since
            AND invoices.status NOT IN ('draft', 'void')
        JOIN contacts ON contacts.id = invoices.contact_id
        WHERE trade.depth < :longest
    )
    SELECT DISTINCT source, target FROM trade WHERE depth > 0 LIMIT :limit
    """
)

_CREDITED = text(
    """
    SELECT coalesce(sum(total), 0) FROM mirrored_invoices
    WHERE user_id = :seller AND kind = 'credit_note' AND direction = 'sales' AND status <> 'void'
      AND currency = :currency AND issued_on > :since AND lower(contact_email) = :buyer
    """
)

_UPLOAD = text(
    "SELECT at, outputs #> '{evidence}' AS marks FROM risk_assessments "
    "WHERE invoice_id = :id AND financing_id = :financing AND cause = 'submission' ORDER BY id LIMIT 1"
)


def _sale(row: Any) -> Sale:
    return Sale(
        id=str(row.id),
        number=row.number,
        buyer=str(row.contact_id),
        issued=row.issue_date,
        due=row.due_date,
        amount=row.total,
        paid=row.amount_paid,
        paid_on=row.updated_at.date() if row.status == "paid" else None,
        void=row.status == "void",
        content=row.content or "",
    )


def _sales(session: Session, subject: Any) -> tuple[Sale, ...]:
    rows = session.execute(
        _SALES,
        {
            "seller": subject.seller_id,
            "id": subject.id,
            "contact": subject.contact_id,
            "total": subject.total,
            "currency": subject.currency,
            "limit": _MOST_SALES,
        },
    ).all()
    return tuple(_sale(row) for row in rows)


def _bills(session: Session, subject: Any, today: date) -> tuple[Bill, ...]:
    if subject.buyer_id is None:
        return ()
    rows = session.execute(
        _BILLS, {"buyer": subject.buyer_id, "id": subject.id, "today": today, "limit": _MOST_BILLS}
    ).all()
    return tuple(
        Bill(due=row.due_date, paid_on=row.paid_at.date() if row.status == "paid" and row.paid_at else None)
        for row in rows
        # Paid without a payment that we know of: nothing is known of when.
        if row.status != "paid" or row.paid_at
    )


def _confirmation(session: Session, subject: Any, asked: Request | None) -> Confirmation | None:
    """How the acceptance compares with the upload, where both requests are known."""
    if asked is None or subject.financing_id is None:
        return None
    upload = session.execute(_UPLOAD, {"id": subject.id, "financing": subject.financing_id}).one_or_none()
    if upload is None:
        return None
    theirs = (upload.marks or {}).get("ip")
    return Confirmation(
        seconds=(asked.at - upload.at).total_seconds(), same_address=bool(theirs) and asked.marks.get("ip") == theirs
    )


def _price(subject: Any) -> Price | None:
    if subject.principal is None:
        return None
    return Price(principal=subject.principal, discount=subject.discount or 0)


def _known(subject: Any, sales: Sequence[Sale], today: date, parties: identities.Parties) -> dict[str, bool]:
    document: Mapping[str, Any] = subject.document or {}
    oldest = min((sale.issued for sale in sales), default=today)
    return {
        "seller_gstin": bool(document.get("supplier_gstin") or parties.seller.gstin),
        "buyer_gstin": bool(document.get("buyer_gstin") or parties.buyer.gstin),
        "seller_verified": parties.seller.verified,
        "buyer_verified": parties.buyer.verified,
        "buyer_account": subject.buyer_since is not None,
        "irn": bool(document.get("irn")),
        "document": bool(subject.file_hashes),
        "weeks_of_history": (today - oldest).days >= 7 * CURRENT.dense_weeks,
        "proven_payments": subject.proven,
    }


def load(
    session: Session,
    invoice_id: UUID,
    now: datetime,
    *,
    hits: Sequence[Likeness] = (),
    asked: Request | None = None,
    weights: Weights = CURRENT,
) -> History:
    """Everything that is known of an invoice. `hits` are its duplicates, `asked` the request that confirms it.

    At most ten queries. Raises NotFound.
    """
    subject = session.execute(_SUBJECT, {"id": invoice_id}).one_or_none()
    if subject is None:
        raise NotFound("invoice", invoice_id)
    today = now.date()
    sales = _sales(session, subject)
    values = {
        "seller": subject.seller_id,
        "buyer": subject.buyer_email,
        "currency": subject.currency,
        "since": today - timedelta(days=weights.circle_days),
        "longest": weights.circle_longest,
        "limit": _MOST_EDGES,
    }
    trades = session.execute(_TRADES, values).all()
    credited = session.scalar(_CREDITED, {**values, "since": today - timedelta(days=weights.dilution_days)}) or 0
    parties = identities.of(session, subject.seller_id, subject.buyer_id, subject.financing_id)
    history = History(
        now=now,
        currency=subject.currency,
        invoice_id=str(invoice_id),
        number=subject.number,
        seller=subject.seller_email,
        buyer=subject.buyer_email,
        issued=subject.issue_date,
        due=subject.due_date,
        amount=subject.total,
        price=_price(subject),
        hits=hits_of(session, hits),
        shared=parties.shared,
        trades=tuple((row.source, row.target) for row in trades),
        checks=integrity.checks(session, subject, parties),
        confirmation=_confirmation(session, subject, asked),
        seller_days=(now - subject.seller_since).days,
        buyer_days=(now - subject.buyer_since).days if subject.buyer_since else None,
        small_seller=parties.seller.small,
        bills=_bills(session, subject, today),
        known=_known(subject, sales, today, parties),
    )
    return summary.fill(history, _books(subject, sales, today), weights, credited=int(credited))


def _books(subject: Any, sales: tuple[Sale, ...], today: date) -> summary.Ledger:
    mine = Sale(
        id=str(subject.id),
        number=subject.number,
        buyer=str(subject.contact_id),
        issued=subject.issue_date,
        due=subject.due_date,
        amount=subject.total,
        content=subject.content or "",
    )
    return summary.Ledger(subject=mine, others=sales, today=today)

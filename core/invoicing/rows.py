"""Invoices as rows: what is computed before they are written, written, and read back to be changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.errors import Forbidden, Invalid
from core.identity import Actor
from core.invoicing import inputs, lines, numbering, profiles, queries
from core.invoicing.customers import Customer
from core.invoicing.inputs import NewInvoice
from core.invoicing.numbering import Series
from core.invoicing.profiles import Profile
from core.invoicing.totals import Basis, NewItem, Regime, Totals


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a seller's invoices are made by: the business as it is now, or as an issued invoice froze it."""

    regime: Regime
    gstin: str | None
    state: str | None
    hsn_digits: int
    round_total: bool

    @classmethod
    def of(cls, profile: Profile) -> Terms:
        """The business as it is now."""
        gst = profile.tax_regime == "gst"
        return cls(
            regime=profile.tax_regime,
            gstin=profile.gstin if gst else None,
            state=profile.state_code if gst else None,
            hsn_digits=profile.hsn_digits,
            round_total=profile.round_total,
        )

    @classmethod
    def frozen(cls, row: Any, profile: Profile) -> Terms:
        """As they stand on an invoice that was issued."""
        return cls(
            regime=row.tax_regime,
            gstin=row.supplier_gstin,
            state=row.supplier_state,
            hsn_digits=profile.hsn_digits,
            round_total=profile.round_total,
        )

    def basis(self, new: NewInvoice, customer: Customer) -> Basis:
        """How these lines are taxed. What is for GST alone is left out without it."""
        if self.regime == "plain":
            return Basis(currency=new.currency, round_total=self.round_total)
        return Basis(
            currency=new.currency,
            regime="gst",
            supplier_state=self.state,
            # Of a customer of whom no address is known the seller's own state is the place (IGST Act 12(2)(b)).
            place_of_supply=new.place_of_supply or customer.state_code or self.state,
            reverse_charge=new.reverse_charge,
            round_total=self.round_total,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """An invoice that may be written."""

    new: NewInvoice
    terms: Terms
    basis: Basis
    totals: Totals
    customer: Customer
    series: Series

    def columns(self) -> dict[str, Any]:
        """The columns of its row, but for number and state."""
        new, totals, basis = self.new, self.totals, self.basis
        gst = basis.regime == "gst"
        return {
            "contact_id": self.customer.id,
            "buyer_id": self.customer.buyer_id,
            "series": self.series.prefix,
            "year": self.series.year(new.issue_date),
            "currency": new.currency,
            "issue_date": new.issue_date,
            "due_date": new.due_date,
            "notes": new.notes.strip(),
            "payment_terms": new.payment_terms.strip(),
            "reference": new.reference.strip(),
            "delivery_address": new.delivery_address.strip(),
            "reminders": new.reminders,
            "recurring_id": new.recurring_id,
            "tax_regime": basis.regime,
            "supplier_gstin": self.terms.gstin,
            "supplier_state": self.terms.state,
            "buyer_gstin": self.customer.gstin if gst else None,
            "place_of_supply": basis.place_of_supply,
            "reverse_charge": basis.reverse_charge,
            **{
                name: getattr(totals, name)
                for name in ("subtotal", "discount", "tax", "cgst", "sgst", "igst", "rounding", "total")
            },
        }


def prepare(
    session: Session, seller_id: UUID, new: NewInvoice, customer: Customer, terms: Terms, *, final: bool
) -> Prepared:
    """Compute an invoice. `final`: everything that must stand on an issued one must be there. Raises Invalid."""
    basis = terms.basis(new, customer)
    inputs.check_basis(basis)
    totals = inputs.check_items(new.items, basis)
    if final and basis.regime == "gst":
        inputs.check_gst(new.items, hsn_digits=terms.hsn_digits, buyer_gstin=customer.gstin)
    series = numbering.find(session, seller_id, new.series)
    return Prepared(new=new, terms=terms, basis=basis, totals=totals, customer=customer, series=series)


def refuse_gst_fields(new: NewInvoice, terms: Terms) -> None:
    """Raise Invalid for what only a GST invoice has, when it is asked for on another."""
    if terms.regime == "plain":
        if new.place_of_supply:
            raise Invalid("place_of_supply", "is for GST invoices; your business is not set up for GST")
        if new.reverse_charge:
            raise Invalid("reverse_charge", "is for GST invoices; your business is not set up for GST")


def insert(session: Session, identity: UUID, seller_id: UUID, ready: Prepared, now: datetime) -> None:
    """Write a draft."""
    columns = ready.columns()
    session.execute(
        text(
            f"INSERT INTO invoices (id, seller_id, status, {', '.join(columns)}, created_at, updated_at) "
            f"VALUES (:id, :seller, 'draft', {', '.join(f':{name}' for name in columns)}, :now, :now)"
        ),
        {**columns, "id": identity, "seller": seller_id, "now": now},
    )
    lines.write(session, "invoice", identity, ready.new.items, ready.totals.lines)


def rewrite(session: Session, identity: UUID, ready: Prepared, *, keep: Sequence[str] = ()) -> None:
    """Write an invoice anew, lines and all; the columns named in `keep` stay as they are."""
    columns = {name: value for name, value in ready.columns().items() if name not in keep}
    session.execute(
        text(f"UPDATE invoices SET {', '.join(f'{name} = :{name}' for name in columns)} WHERE id = :id"),
        {**columns, "id": identity},
    )
    session.execute(text("DELETE FROM invoice_items WHERE invoice_id = :id"), {"id": identity})
    lines.write(session, "invoice", identity, ready.new.items, ready.totals.lines)


def freeze(session: Session, identity: UUID, supplier: dict[str, Any], customer: Customer) -> None:
    """Write down both sides as they stand on the document from now on."""
    session.execute(
        text(
            "UPDATE invoices SET supplier = CAST(:supplier AS jsonb), customer = CAST(:customer AS jsonb) "
            "WHERE id = :id"
        ),
        {"supplier": json.dumps(supplier), "customer": json.dumps(customer.side()), "id": identity},
    )


def stored_items(session: Session, identity: UUID) -> list[NewItem]:
    """The lines of an invoice as they were filled in."""
    rows = session.execute(
        text(
            "SELECT description, unit, hsn, quantity, unit_price, discount_rate, tax_rate FROM invoice_items "
            "WHERE invoice_id = :id ORDER BY position"
        ),
        {"id": identity},
    )
    return [NewItem(**row._asdict()) for row in rows]


def stored(session: Session, row: Any) -> NewInvoice:
    """An invoice as it was filled in; `row` has READ."""
    return NewInvoice(
        contact_id=row.contact_id,
        currency=row.currency,
        issue_date=row.issue_date,
        due_date=row.due_date,
        items=stored_items(session, row.id),
        notes=row.notes,
        payment_terms=row.payment_terms,
        reference=row.reference,
        delivery_address=row.delivery_address,
        place_of_supply=row.place_of_supply,
        reverse_charge=row.reverse_charge,
        series=row.series,
        reminders=row.reminders,
        recurring_id=row.recurring_id,
    )


READ = (
    "id, seller_id, buyer_id, contact_id, number, status, series, year, sequence, currency, issue_date, due_date, "
    "notes, payment_terms, reference, delivery_address, place_of_supply, reverse_charge, reminders, recurring_id, "
    "tax_regime, supplier_gstin, supplier_state, supplier, customer, subtotal, tax, total, amount_paid, version, "
    "sent_at, viewed_at, issued_at, updated_at"
)


def terms_of(session: Session, row: Any) -> Terms:
    """What an invoice is made by: a draft by the business as it is now, an issued one by what it froze."""
    profile = profiles.profile(session, row.seller_id)
    return Terms.of(profile) if row.status == "draft" else Terms.frozen(row, profile)


def own(session: Session, actor: Actor, invoice_id: UUID) -> Any:
    """The seller's invoice as `READ` names it, locked. Raises NotFound or Forbidden."""
    row = session.execute(
        text(f"SELECT {READ} FROM invoices WHERE id = :id AND seller_id = :seller FOR UPDATE"),
        {"id": invoice_id, "seller": actor.id},
    ).one_or_none()
    if row is None:
        # A buyer, who may see it, may not change it; for everybody else it is not there.
        queries.get_invoice(session, actor, invoice_id)
        raise Forbidden("only the seller changes an invoice")
    return row


def credited(session: Session, invoice_id: UUID) -> bool:
    """Whether credit notes stand against an invoice."""
    return bool(
        session.scalar(
            text("SELECT EXISTS (SELECT FROM credit_notes WHERE invoice_id = :id AND status = 'issued')"),
            {"id": invoice_id},
        )
    )

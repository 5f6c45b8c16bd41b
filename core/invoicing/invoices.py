"""Making invoices, and taking drafts back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core import audit, books
from core.bulk import Rows
from core.errors import Conflict, Forbidden, Invalid
from core.events import DomainEvent
from core.identity import Actor, Role
from core.identity.users import clean_email
from core.ids import new_id
from core.invoicing import numbering, queries
from core.invoicing.references import number_key
from core.live import announce
from core.marketplace import states
from core.money import MAX_MINOR, exponent
from core.payments import apply as payments

MAX_ITEMS = 200
_MAX_DESCRIPTION = 500
_MAX_NAME = 200
_MAX_TEXT = 5000
_MAX_QUANTITY = Decimal(10**12)
_QUANTITY_PLACES = 6
_RATE_PLACES = 4
_YEARS = range(2000, 2200)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewItem:
    """A line: so many of something at a price each, in minor units, with a tax rate in percent."""

    description: str
    quantity: Decimal
    unit_price: int
    tax_rate: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewInvoice:
    """What a seller fills in."""

    contact_name: str
    contact_email: str
    currency: str
    issue_date: date
    due_date: date
    items: Sequence[NewItem]
    notes: str = ""
    payment_terms: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The amounts of an item, in minor units."""

    net: int
    tax: int


def _whole(value: Decimal) -> int:
    return int(value.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def line(item: NewItem) -> Line:
    """Net is quantity times price, tax is net times rate; each rounded half up, once, to whole minor units."""
    net = _whole(item.quantity * item.unit_price)
    return Line(net=net, tax=_whole(net * item.tax_rate / 100))


def _places(value: Decimal) -> int:
    spelled = value.normalize().as_tuple().exponent
    return max(0, -spelled) if isinstance(spelled, int) else 99


def _check_item(item: NewItem, place: int) -> None:
    at = f"items.{place}"
    if not 0 < len(item.description.strip()) <= _MAX_DESCRIPTION:
        raise Invalid(f"{at}.description", f"must have 1 to {_MAX_DESCRIPTION} characters")
    if not item.quantity.is_finite() or not 0 < item.quantity < _MAX_QUANTITY:
        raise Invalid(f"{at}.quantity", f"must be more than 0 and less than {_MAX_QUANTITY}")
    if _places(item.quantity) > _QUANTITY_PLACES:
        raise Invalid(f"{at}.quantity", f"may have {_QUANTITY_PLACES} decimal places")
    if type(item.unit_price) is not int or not 0 <= item.unit_price <= MAX_MINOR:
        raise Invalid(f"{at}.unit_price", f"must be 0 to {MAX_MINOR} minor units")
    if not item.tax_rate.is_finite() or not 0 <= item.tax_rate <= 100 or _places(item.tax_rate) > _RATE_PLACES:
        raise Invalid(f"{at}.tax_rate", f"must be 0 to 100 percent with up to {_RATE_PLACES} decimal places")


def check(new: NewInvoice) -> tuple[list[Line], int, int]:
    """The lines, subtotal and tax of an invoice. Raises Invalid, naming the field."""
    exponent(new.currency)
    clean_email(new.contact_email, "contact.email")
    if not 0 < len(new.contact_name.strip()) <= _MAX_NAME:
        raise Invalid("contact.name", f"must have 1 to {_MAX_NAME} characters")
    if new.issue_date.year not in _YEARS:
        raise Invalid("issue_date", f"must lie in {_YEARS.start} to {_YEARS.stop - 1}")
    if new.due_date.year not in _YEARS:
        raise Invalid("due_date", f"must lie in {_YEARS.start} to {_YEARS.stop - 1}")
    if new.due_date < new.issue_date:
        raise Invalid("due_date", "must not be before the issue date")
    if not 0 < len(new.items) <= MAX_ITEMS:
        raise Invalid("items", f"must have 1 to {MAX_ITEMS} lines")
    for field, value in (("notes", new.notes), ("payment_terms", new.payment_terms)):
        if len(value) > _MAX_TEXT:
            raise Invalid(field, f"must have at most {_MAX_TEXT} characters")
    lines = []
    for place, item in enumerate(new.items):
        _check_item(item, place)
        lines.append(line(item))
    subtotal, tax = sum(each.net for each in lines), sum(each.tax for each in lines)
    if not 0 < subtotal + tax <= MAX_MINOR:
        raise Invalid("items", f"must add up to 1 to {MAX_MINOR} minor units")
    return lines, subtotal, tax


_ITEMS = Rows(
    invoice_id="uuid",
    position="integer",
    description="text",
    quantity="numeric",
    unit_price="bigint",
    tax_rate="numeric",
    net="bigint",
    tax="bigint",
)


def _contact(session: Session, seller: Actor, name: str, email: str, now: datetime) -> tuple[UUID, UUID | None]:
    row = session.execute(
        text(
            "INSERT INTO contacts AS known (id, user_id, name, email, buyer_id, created_at) "
            "VALUES (:id, :seller, :name, :email, "
            "(SELECT id FROM users WHERE email = :email AND role = 'buyer' AND is_active), :now) "
            "ON CONFLICT (user_id, email) DO UPDATE "
            "SET name = excluded.name, buyer_id = coalesce(known.buyer_id, excluded.buyer_id) RETURNING id, buyer_id"
        ),
        {"id": new_id(), "seller": seller.id, "name": name, "email": email, "now": now},
    ).one()
    return row.id, row.buyer_id


def create(session: Session, actor: Actor, new: NewInvoice, now: datetime, *, draft: bool = False) -> dict[str, Any]:
    """Make an invoice of a seller and return it as `get_invoice` shows it.

    It is open at once, or a draft that can still be deleted. Money that came before and names it is applied.
    Making it again makes another one: the edge has Idempotency-Key for that.
    """
    if actor.role is not Role.SELLER:
        raise Forbidden("only sellers make invoices")
    lines, subtotal, tax = check(new)
    contact_id, buyer_id = _contact(
        session, actor, new.contact_name.strip(), clean_email(new.contact_email, "contact.email"), now
    )
    year = new.issue_date.year
    # The counter's row is locked from here to the commit, so everything slow stands above.
    sequence = numbering.next_sequence(session, actor.id, year)
    number, identity = numbering.spell(year, sequence), new_id()
    session.execute(
        text(
            "INSERT INTO invoices (id, seller_id, buyer_id, contact_id, number, number_key, year, sequence, status, "
            "currency, issue_date, due_date, subtotal, tax, total, notes, payment_terms, created_at, updated_at) "
            "VALUES (:id, :seller, :buyer, :contact, :number, :key, :year, :sequence, :status, :currency, "
            ":issue_date, :due_date, :subtotal, :tax, :total, :notes, :payment_terms, :now, :now)"
        ),
        {
            "id": identity,
            "seller": actor.id,
            "buyer": buyer_id,
            "contact": contact_id,
            "number": number,
            "key": number_key(number),
            "year": year,
            "sequence": sequence,
            "status": "draft" if draft else "open",
            "currency": new.currency,
            "issue_date": new.issue_date,
            "due_date": new.due_date,
            "subtotal": subtotal,
            "tax": tax,
            "total": subtotal + tax,
            "notes": new.notes.strip(),
            "payment_terms": new.payment_terms.strip(),
            "now": now,
        },
    )
    session.execute(
        text(_ITEMS.insert("invoice_items")),
        _ITEMS.parameters(
            {
                "invoice_id": identity,
                "position": place,
                "description": item.description.strip(),
                "quantity": item.quantity,
                "unit_price": item.unit_price,
                "tax_rate": item.tax_rate,
                "net": amounts.net,
                "tax": amounts.tax,
            }
            for place, (item, amounts) in enumerate(zip(new.items, lines, strict=True))
        ),
    )
    audit.record(session, actor, "invoice.created", "invoice", identity, {"number": number}, now)
    made = queries.get_invoice(session, actor, identity)
    _tell(session, "invoice.created", made)
    if not draft and payments.adopt_waiting(session, identity, now=now):
        return queries.get_invoice(session, actor, identity)
    return made


def _tell(session: Session, name: str, invoice: dict[str, Any]) -> None:
    """Tell the parties, and whoever looks at the invoice. A draft is the seller's alone.

    Whatever is told has changed, and the seller's books follow.
    """
    books.touch(session)
    people = [invoice["seller"]["id"], None if invoice["status"] == "draft" else invoice["buyer_id"]]
    rooms = [f"user:{person}" for person in people if person is not None]
    data: dict[str, object] = {
        "invoice_id": invoice["id"],
        **{field: invoice[field] for field in ("number", "status", "amount_paid", "amount_due", "total", "currency")},
    }
    announce(
        session,
        [
            *(DomainEvent(room=room, name=name, data=data) for room in (*rooms, f"invoice:{invoice['id']}")),
            *(DomainEvent(room=room, name="dashboard.updated", data={}) for room in rooms),
        ],
    )


def _own(session: Session, actor: Actor, invoice_id: UUID) -> Any:
    row = session.execute(
        text("SELECT number, status FROM invoices WHERE id = :id AND seller_id = :seller FOR UPDATE"),
        {"id": invoice_id, "seller": actor.id},
    ).one_or_none()
    if row is None:
        # A buyer, who may see it, may not change it; for everybody else it is not there.
        queries.get_invoice(session, actor, invoice_id)
        raise Forbidden("only the seller changes an invoice")
    return row


def update(
    session: Session,
    actor: Actor,
    invoice_id: UUID,
    now: datetime,
    *,
    due_date: date | None = None,
    notes: str | None = None,
    payment_terms: str | None = None,
) -> dict[str, Any]:
    """Change what the buyer does not owe by: the words, and until it is paid the due date."""
    row = _own(session, actor, invoice_id)
    if row.status in {"paid", "void"} and due_date is not None:
        raise Conflict(f"the due date of a {row.status} invoice stays as it is")
    if due_date is not None and (state := states.holds_invoice(session, invoice_id)) is not None:
        # The buyer accepts, and investors pay for, a debt that is due on this day.
        raise Conflict(f"the due date of an invoice whose financing is {state.value} stays as it is")
    if due_date is not None and due_date.year not in _YEARS:
        raise Invalid("due_date", f"must lie in {_YEARS.start} to {_YEARS.stop - 1}")
    for field, value in (("notes", notes), ("payment_terms", payment_terms)):
        if value is not None and len(value) > _MAX_TEXT:
            raise Invalid(field, f"must have at most {_MAX_TEXT} characters")
    changed = session.execute(
        text(
            "UPDATE invoices SET due_date = coalesce(CAST(:due AS date), due_date), notes = coalesce(:notes, notes), "
            "payment_terms = coalesce(:terms, payment_terms), version = version + 1, updated_at = :now "
            "WHERE id = :id AND coalesce(CAST(:due AS date), due_date) >= issue_date RETURNING id"
        ),
        {"due": due_date, "notes": notes, "terms": payment_terms, "now": now, "id": invoice_id},
    ).one_or_none()
    if changed is None:
        raise Invalid("due_date", "must not be before the issue date")
    audit.record(session, actor, "invoice.updated", "invoice", invoice_id, {"number": row.number}, now)
    invoice = queries.get_invoice(session, actor, invoice_id)
    _tell(session, "invoice.updated", invoice)
    return invoice


def void(session: Session, actor: Actor, invoice_id: UUID, now: datetime) -> dict[str, Any]:
    """Take an invoice back: nothing is owed by it. Its number stays taken, so the sequence has no gap.

    Only while nothing was paid. Voiding it again changes nothing.
    """
    row = _own(session, actor, invoice_id)
    if row.status in {"partial", "paid"}:
        raise Conflict("money was paid towards this invoice; refund it first")
    if row.status == "void":
        return queries.get_invoice(session, actor, invoice_id)
    if (state := states.holds_invoice(session, invoice_id)) is not None:
        raise Conflict(f"this invoice is on the marketplace ({state.value}); withdraw it first")
    session.execute(
        text("UPDATE invoices SET status = 'void', version = version + 1, updated_at = :now WHERE id = :id"),
        {"id": invoice_id, "now": now},
    )
    audit.record(session, actor, "invoice.deleted", "invoice", invoice_id, {"number": row.number}, now)
    invoice = queries.get_invoice(session, actor, invoice_id)
    # A buyer who was never told of the draft is not told of its end.
    _tell(session, "invoice.deleted", {**invoice, "buyer_id": None} if row.status == "draft" else invoice)
    return invoice


def may_see(session: Session, actor: Actor, invoice_id: UUID) -> bool:
    """Whether an invoice is the actor's to look at, and to hear of: for investors what is on offer or theirs."""
    return queries.may_read(session, actor, invoice_id)

"""What a seller fills in to make an invoice or change one, and what may stand there. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from core.errors import Invalid
from core.identity.users import clean_email
from core.invoicing.totals import Basis, NewItem, Totals, compute
from core.money import MAX_MINOR, exponent
from core.taxids.gstin import STATES

MAX_ITEMS: Final = 200
MAX_DESCRIPTION: Final = 500
MAX_UNIT: Final = 20
MAX_REFERENCE: Final = 100
MAX_ADDRESS: Final = 1000
_MAX_NAME = 200
_MAX_TEXT = 5000
_MAX_QUANTITY = Decimal(10**12)
_QUANTITY_PLACES = 6
_RATE_PLACES = 4
_YEARS = range(2000, 2200)
_HSN = re.compile(r"[0-9]{4}|[0-9]{6}|[0-9]{8}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewInvoice:
    """What a seller fills in.

    The customer is a contact of theirs (`contact_id`), or a name and an address, which become one. The contact's
    other fields are written to the contact where they are given (None: as it has them). For the regime gst
    `place_of_supply` is a state code (None: the customer's state, else the seller's own). `series` is a prefix of
    the seller's (None: their default).
    """

    contact_name: str = ""
    contact_email: str = ""
    currency: str
    issue_date: date
    due_date: date
    items: Sequence[NewItem]
    notes: str = ""
    payment_terms: str = ""
    reference: str = ""
    delivery_address: str = ""
    place_of_supply: str | None = None
    reverse_charge: bool = False
    contact_id: UUID | None = None
    contact_legal_name: str | None = None
    contact_gstin: str | None = None
    contact_state: str | None = None
    contact_address: str | None = None
    contact_phone: str | None = None
    series: str | None = None
    reminders: bool = True
    recurring_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceChanges:
    """What is to be different; None stays as it is, an empty text takes away. See NewInvoice for the fields."""

    contact_name: str | None = None
    contact_email: str | None = None
    currency: str | None = None
    issue_date: date | None = None
    due_date: date | None = None
    items: Sequence[NewItem] | None = None
    notes: str | None = None
    payment_terms: str | None = None
    reference: str | None = None
    delivery_address: str | None = None
    place_of_supply: str | None = None
    reverse_charge: bool | None = None
    contact_id: UUID | None = None
    contact_legal_name: str | None = None
    contact_gstin: str | None = None
    contact_state: str | None = None
    contact_address: str | None = None
    contact_phone: str | None = None
    series: str | None = None
    reminders: bool | None = None

    def given(self) -> dict[str, Any]:
        """The fields that are to change, by name."""
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None}


# The fields of NewInvoice that belong to the contact, and what the contact calls them.
CONTACT_FIELDS: Final = {
    "contact_legal_name": "legal_name",
    "contact_gstin": "gstin",
    "contact_state": "state_code",
    "contact_address": "address",
    "contact_phone": "phone",
}


def _places(value: Decimal) -> int:
    spelled = value.normalize().as_tuple().exponent
    return max(0, -spelled) if isinstance(spelled, int) else 99


def _check_rate(at: str, value: Decimal) -> None:
    if not value.is_finite() or not 0 <= value <= 100 or _places(value) > _RATE_PLACES:
        raise Invalid(at, f"must be 0 to 100 percent with up to {_RATE_PLACES} decimal places")


def check_item(item: NewItem, at: str) -> None:
    """Whether a line may stand on an invoice; `at` is its path. Raises Invalid, naming the field."""
    if not 0 < len(item.description.strip()) <= MAX_DESCRIPTION:
        raise Invalid(f"{at}.description", f"must have 1 to {MAX_DESCRIPTION} characters")
    if not item.quantity.is_finite() or not 0 < item.quantity < _MAX_QUANTITY:
        raise Invalid(f"{at}.quantity", f"must be more than 0 and less than {_MAX_QUANTITY}")
    if _places(item.quantity) > _QUANTITY_PLACES:
        raise Invalid(f"{at}.quantity", f"may have {_QUANTITY_PLACES} decimal places")
    if type(item.unit_price) is not int or not 0 <= item.unit_price <= MAX_MINOR:
        raise Invalid(f"{at}.unit_price", f"must be 0 to {MAX_MINOR} minor units")
    if len(item.unit.strip()) > MAX_UNIT:
        raise Invalid(f"{at}.unit", f"must have at most {MAX_UNIT} characters")
    if item.hsn and not _HSN.fullmatch(item.hsn):
        raise Invalid(f"{at}.hsn", "must have 4, 6 or 8 digits")
    _check_rate(f"{at}.discount_rate", item.discount_rate)
    _check_rate(f"{at}.tax_rate", item.tax_rate)


def check_items(items: Sequence[NewItem], basis: Basis) -> Totals:
    """What the lines come to. Raises Invalid, naming the field."""
    exponent(basis.currency)
    if not 0 < len(items) <= MAX_ITEMS:
        raise Invalid("items", f"must have 1 to {MAX_ITEMS} lines")
    for place, item in enumerate(items):
        check_item(item, f"items.{place}")
    totals = compute(items, basis)
    if totals.gross > MAX_MINOR or not 0 < totals.total <= MAX_MINOR:
        raise Invalid("items", f"must add up to 1 to {MAX_MINOR} minor units")
    return totals


def _check_day(field: str, day: date) -> None:
    if day.year not in _YEARS:
        raise Invalid(field, f"must lie in {_YEARS.start} to {_YEARS.stop - 1}")


def check_texts(new: NewInvoice) -> None:
    """The words of an invoice. Raises Invalid, naming the field."""
    limits = {
        "notes": _MAX_TEXT,
        "payment_terms": _MAX_TEXT,
        "reference": MAX_REFERENCE,
        "delivery_address": MAX_ADDRESS,
    }
    for field, most in limits.items():
        if len(getattr(new, field)) > most:
            raise Invalid(field, f"must have at most {most} characters")


def check_days(new: NewInvoice) -> None:
    """The days of an invoice. Raises Invalid, naming the field."""
    _check_day("issue_date", new.issue_date)
    _check_day("due_date", new.due_date)
    if new.due_date < new.issue_date:
        raise Invalid("due_date", "must not be before the issue date")


def check(new: NewInvoice) -> None:
    """Everything but lines and taxes. Raises Invalid, naming the field."""
    exponent(new.currency)
    if new.contact_id is None:
        clean_email(new.contact_email, "contact.email")
        if not 0 < len(new.contact_name.strip()) <= _MAX_NAME:
            raise Invalid("contact.name", f"must have 1 to {_MAX_NAME} characters")
    check_days(new)
    check_texts(new)


def check_basis(basis: Basis) -> None:
    """Whether taxes can be told from this. Raises Invalid, naming the field."""
    if basis.regime == "plain":
        if basis.reverse_charge:
            raise Invalid("reverse_charge", "is for GST invoices; your business is not set up for GST")
    elif basis.place_of_supply not in STATES:
        raise Invalid("place_of_supply", "must be the code of a state, such as 27")


def check_gst(items: Sequence[NewItem], *, hsn_digits: int, buyer_gstin: str | None) -> None:
    """What Rule 46 asks of the lines of a GST invoice that is issued (marketplace rules 2.10). Raises Invalid.

    Who gives four digits may leave codes out towards customers who are not registered (notification 78/2020).
    """
    for place, item in enumerate(items):
        if not item.hsn and (buyer_gstin or hsn_digits > 4):
            raise Invalid(f"items.{place}.hsn", f"an HSN or SAC code of at least {hsn_digits} digits must stand here")
        if item.hsn and len(item.hsn) < hsn_digits:
            raise Invalid(f"items.{place}.hsn", f"must have at least {hsn_digits} digits")

"""Reading forms: what was typed stays as it was typed, and each field has its own message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation

from core.errors import Invalid
from core.money import Money
from webapp.pages.format import spoken

_MAX_TEXT = 2000


@dataclass(slots=True)
class Form:
    """Typed values and, for each field that is wrong, why."""

    values: Mapping[str, str]
    errors: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return not self.errors

    def raw(self, name: str) -> str:
        """What was typed, without the space around it."""
        return self.values.get(name, "").replace("\x00", "").strip()

    def text(self, name: str, label: str, *, limit: int = 200, required: bool = True) -> str:
        """Some words."""
        value = self.raw(name)
        if not value and required:
            self.errors[name] = f"Enter {label}."
        elif len(value) > limit:
            self.errors[name] = f"Use at most {limit} characters."
        return value[:_MAX_TEXT]

    def email(self, name: str = "email") -> str:
        """An e-mail address, loosely: core decides."""
        value = self.text(name, "an e-mail address", limit=254)
        if value and ("@" not in value.strip("@") or " " in value):
            self.errors[name] = "Enter an e-mail address such as name@example.com."
        return value

    def day(self, name: str, label: str) -> date | None:
        """A calendar day."""
        value = self.raw(name)
        try:
            return date.fromisoformat(value)
        except ValueError:
            self.errors[name] = f"Enter {label} as year-month-day." if value else f"Choose {label}."
            return None

    def number(self, name: str, label: str, *, low: Decimal, high: Decimal, places: int) -> Decimal | None:
        """A decimal number within bounds; a comma is never a decimal point here."""
        value = self.raw(name)
        try:
            number = Decimal(value)
        except InvalidOperation:
            number = Decimal("NaN")
        if not number.is_finite() or "e" in value.lower() or "_" in value or len(value) > 32:
            self.errors[name] = f"Enter {label} as a number." if value else f"Enter {label}."
            return None
        if not low <= number <= high:
            self.errors[name] = f"Must be between {low} and {high}."
            return None
        exponent = number.as_tuple().exponent
        if isinstance(exponent, int) and -exponent > places:
            self.errors[name] = f"Use at most {places} decimal places."
            return None
        return number

    def amount(self, name: str, label: str, currency: str) -> int | None:
        """An amount in major units, as minor units."""
        value = self.raw(name)
        if not value:
            self.errors[name] = f"Enter {label}."
            return None
        try:
            minor = Money.from_decimal(value, currency).minor
        except Invalid as error:
            self.errors[name] = f"{error.message[:1].upper()}{error.message[1:]}."
            return None
        if minor < 0:
            self.errors[name] = "Must not be negative."
            return None
        return minor

    def blame(self, error: Invalid, fields: Mapping[str, str] | None = None, currency: str = "INR") -> None:
        """Put what core refused beside its field. `fields` maps core's names to this form's."""
        name = (fields or {}).get(error.field, error.field) or "form"
        self.errors.setdefault(name, spoken(error.message, currency))

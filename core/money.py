"""Money: whole minor units beside an ISO 4217 currency, never a float."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import lru_cache

from babel.numbers import get_currency_precision, list_currencies

from core.errors import CurrencyMismatch, Invalid

# PostgreSQL bigint holds more, but every sum of amounts that are each below this stays inside it.
MAX_MINOR = 10**15

# ISO 4217 minor units where CLDR, which rounds for everyday display, says something else.
_ISO_EXPONENTS = {
    "AFN": 2, "ALL": 2, "COP": 2, "HUF": 2, "IDR": 2, "IQD": 3, "IRR": 2, "KPW": 2, "LAK": 2, "LBP": 2,
    "MGA": 2, "MMK": 2, "MRU": 2, "PKR": 2, "RSD": 2, "SLE": 2, "SOS": 2, "STN": 2, "SYP": 2, "TZS": 2,
    "UZS": 2, "YER": 2, "CRC": 2, "CLF": 4, "UYW": 4, "NOK": 2, "SEK": 2, "CZK": 2, "TWD": 2, "AMD": 2,
    "GYD": 2, "MUR": 2, "KHR": 2, "NPR": 2, "DKK": 2, "CHF": 2, "CAD": 2,
}  # fmt: skip


# Known without CLDR, whose tables cost a process five megabytes that most never need. A test compares them.
COMMON_EXPONENTS = {"AUD": 2, "EUR": 2, "GBP": 2, "INR": 2, "JPY": 0, "KES": 2, "KWD": 3, "NGN": 2, "USD": 2}


@lru_cache(maxsize=1)
def _currencies() -> frozenset[str]:
    return frozenset(list_currencies("en"))


@lru_cache(maxsize=512)
def exponent(currency: str) -> int:
    """Decimal places of a currency's minor unit (ISO 4217: JPY 0, INR 2, KWD 3). Raises Invalid."""
    if (known := COMMON_EXPONENTS.get(currency)) is not None:
        return known
    if currency not in _currencies():
        raise Invalid("currency", f"{currency[:16]!r} is not an ISO 4217 code in capitals")
    return _ISO_EXPONENTS.get(currency, get_currency_precision(currency))


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in whole minor units (paise, cents) of a currency; negative means money out."""

    minor: int
    currency: str

    def __post_init__(self) -> None:
        # bool is an int to Python and never an amount.
        if type(self.minor) is not int:
            raise Invalid("amount", f"expected whole minor units, got {type(self.minor).__name__}")
        if not -MAX_MINOR <= self.minor <= MAX_MINOR:
            raise Invalid("amount", f"must be within ±{MAX_MINOR} minor units")
        exponent(self.currency)

    @classmethod
    def from_decimal(cls, text: str, currency: str) -> Money:
        """Convert decimal text such as "-124.69" once and exactly.

        Raises Invalid for text that is not a plain decimal, or that has more places than the currency.
        """
        places = exponent(currency)
        try:
            value = Decimal(text)
        except InvalidOperation:
            value = Decimal("NaN")
        if not value.is_finite() or "e" in text.lower() or "_" in text or text != text.strip() or len(text) > 32:
            raise Invalid("amount", f"{text[:32]!r} is not a decimal number")
        scaled = value.scaleb(places)
        if scaled != scaled.to_integral_value():
            raise Invalid("amount", f"{text!r} has more decimal places than {currency} allows ({places})")
        return cls(int(scaled), currency)

    def to_decimal(self) -> Decimal:
        """The amount in major units, exactly."""
        return Decimal(self.minor).scaleb(-exponent(self.currency))

    def _same(self, other: Money) -> None:
        if self.currency != other.currency:
            raise CurrencyMismatch(f"{self.currency} and {other.currency} do not mix")

    def __add__(self, other: Money) -> Money:
        self._same(other)
        return Money(self.minor + other.minor, self.currency)

    def __sub__(self, other: Money) -> Money:
        self._same(other)
        return Money(self.minor - other.minor, self.currency)

    def __neg__(self) -> Money:
        return Money(-self.minor, self.currency)

"""What the marketplace is told from outside: its calendar, when money moves, and the keys of its fingerprints."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone

from config.settings import Settings
from core.marketplace import fingerprints
from core.marketplace.calendar import Calendar, Settlement

# Days of the marketplace are days in India, whatever the server's clock thinks.
INDIA = timezone(timedelta(hours=5, minutes=30))
CURRENCY = "INR"
# TReDS: an invoice is taken with at least so many days to run (marketplace rules 2.1).
MIN_TENOR_DAYS = 15
CONFIRM_DAYS = 14
LISTING_DAYS = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The part of the settings that decides about money."""

    calendar: Calendar
    settlement: Settlement
    fingerprint_key: bytes = field(repr=False)


def of(settings: Settings) -> Rules:
    """The rules of an installation. Raises ValueError without a SECRET_KEY."""
    if settings.secret_key is None:
        raise ValueError("SECRET_KEY must be set; `ledgerwire up` makes one under DATA_DIR")
    return Rules(
        calendar=Calendar(settings.holidays),
        settlement=Settlement(settings.settlement),
        fingerprint_key=fingerprints.key(settings.secret_key.get_secret_value()),
    )


def today(now: datetime) -> date:
    """The day of a moment, in India."""
    return now.astimezone(INDIA).date()

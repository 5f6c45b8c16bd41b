"""By what the same money is known on two lines: its bank's reference (UTR, RRN), amount and day (rule 0)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

# Indian banks date by this clock; a line that knows no day of its own is dated by it.
IST = timezone(timedelta(hours=5, minutes=30))
_MARKS = re.compile(r"[^0-9A-Z]+")
# A UTR has 16 (NEFT) or 22 (RTGS) characters, an RRN of IMPS and UPI 12 digits. What is shorter, or has few digits,
# is a cheque number or a word, which two payments may share.
_LEAST, _LEAST_DIGITS = 10, 6


def reference_key(reference: str | None) -> str | None:
    """A bank's reference in its normal form; None where it is too weak to be one of a kind.

    >>> reference_key("utr: hdfcn52026110312345678")
    'HDFCN52026110312345678'
    >>> reference_key("CHQ 000123") is None
    True
    """
    found = _MARKS.sub("", (reference or "").upper())
    for label in ("UTRNO", "UTR", "RRN", "REFNO", "REF"):
        if found.startswith(label) and len(found) - len(label) >= _LEAST:
            found = found[len(label) :]
            break
    if len(found) < _LEAST or sum(one.isdigit() for one in found) < _LEAST_DIGITS:
        return None
    return found[:60]


def day_of(occurred_at: datetime, booked_on: date | None) -> date:
    """The value date of a line."""
    return booked_on or occurred_at.astimezone(IST).date()


def fingerprint(line: Any) -> str | None:
    """Reference, amount, currency and day of a line (a row with these columns); None without a strong reference."""
    reference = reference_key(line.bank_reference)
    if reference is None:
        return None
    return f"{reference} {line.amount} {line.currency} {day_of(line.occurred_at, line.booked_on)}"


def target_key(invoices: Sequence[UUID], subject_id: UUID | None = None) -> UUID:
    """The key of what a match names: the only invoice's id, or the subject's, or a digest of several invoices."""
    if subject_id is not None:
        return subject_id
    if len(invoices) == 1:
        return invoices[0]
    return UUID(bytes=hashlib.sha256(b"".join(sorted(one.bytes for one in invoices))).digest()[:16])

"""MT940: the fields are cut apart here, so that an error names its line; the mt-940 library reads each of them."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import islice
from typing import Any

from core.errors import Invalid
from core.money import Money
from core.statement_files.lines import (
    MAX_LINES,
    MAX_NAME,
    MAX_REFERENCE,
    Line,
    Reading,
    StatementUnreadable,
    in_time,
    named,
    room,
    squeezed,
)

_TAG = re.compile(r"^:(\d{2}[A-Z]?|NS):")
# What stands around the fields of a message: {1:F01...}{2:...}{4: before, -} behind.
_ENVELOPE = re.compile(r"^\{.*\{4:|^\{[1-5]:.*$|^-\}?.*$")
_SUBFIELDS = re.compile(r"\?(\d{2})")
_LONGEST_FIELD = 4000


@dataclass(frozen=True, slots=True)
class _Field:
    row: int
    tag: str
    value: str


def recognised(text: str) -> bool:
    """Whether a text is MT940 by its first fields."""
    head = text[:4000]
    return re.search(r"(?:^|\{4:\s*):20:", head, re.MULTILINE) is not None and ":25" in head


def _fields(text: str) -> Iterator[_Field]:
    row, tag = 0, ""
    value: list[str] = []
    for number, raw in enumerate(text.split("\n"), start=1):
        line = _ENVELOPE.sub("", raw).rstrip()
        if (found := _TAG.match(line)) is not None:
            if tag:
                yield _Field(row, tag, "\n".join(value))
            row, tag, value = number, found.group(1), [line[found.end() :]]
        elif line and tag:
            value.append(line)
            if sum(map(len, value[-40:])) > _LONGEST_FIELD or len(value) > 200:
                raise StatementUnreadable(f"the field :{tag}: is too long", row)
    if tag:
        yield _Field(row, tag, "\n".join(value))


def read(text: str) -> Reading:
    """The statement in a text; several messages of one account are one. Raises StatementUnreadable."""
    accounts: dict[str, None] = {}
    currency: str | None = None
    opening: int | None = None
    closing: int | None = None
    lines: list[Line] = []
    # Two fields a line, and for each day those around them.
    fields = list(islice(_fields(text), 5 * MAX_LINES + 5))
    room(len(fields) // 5)
    for place, field in enumerate(fields):
        match field.tag[:2]:
            case "25":
                accounts[squeezed(field.value, 60)] = None
            case "60":
                said, minor = _balance(field)
                if currency not in (None, said):
                    raise StatementUnreadable(f"is in {said}, and what stands above in {currency}", field.row)
                currency = said
                opening = minor if opening is None else opening
            case "62":
                _, closing = _balance(field)
            case "61":
                details = fields[place + 1] if place + 1 < len(fields) and fields[place + 1].tag == "86" else None
                if currency is None:
                    raise StatementUnreadable("a line stands before the opening balance (:60F:)", field.row)
                lines.append(_line(field, details, currency))
                room(len(lines))
            case _:
                pass
    if len(accounts) > 1:
        raise StatementUnreadable(f"the file holds {len(accounts)} accounts; bring one file for each")
    if not accounts or currency is None:
        raise StatementUnreadable("no account (:25:) with an opening balance (:60F:) was found")
    number = next(iter(accounts))
    return Reading(
        format="mt940",
        lines=tuple(lines),
        account_number=number.rpartition("/")[2] or number,
        currency=currency,
        opening=opening,
        closing=closing,
    )


def _parsed(field: _Field, text: str) -> Any:
    """What the library makes of a field, as its own collection. Raises StatementUnreadable."""
    from mt940 import Options, models  # noqa: PLC0415 - web loads it with the first such file.

    # It logs what it cannot read, which is somebody's bank statement.
    logging.getLogger("mt940").setLevel(logging.CRITICAL + 1)
    made = models.Transactions(options=Options.all())
    try:
        made.parse(text)
    # RuntimeError is the library's own; the others come of what its patterns let through (":61:26043199C,").
    except (RuntimeError, ValueError, ArithmeticError, TypeError, AttributeError, LookupError) as error:
        raise StatementUnreadable(f"the field :{field.tag}: is not as MT940 has it", field.row) from error
    return made


def _minor(amount: Decimal, currency: str, field: _Field) -> int:
    try:
        return Money.from_decimal(f"{amount.normalize():f}", currency).minor
    except Invalid as error:
        raise StatementUnreadable(error.message, field.row) from error


def _balance(field: _Field) -> tuple[str, int]:
    tag = field.tag if field.tag[2:] in ("F", "M") else f"{field.tag[:2]}F"
    found = next(iter(_parsed(field, f":{tag}:{field.value}").data.values()), None)
    if found is None or found.amount is None or not hasattr(found.amount, "amount"):
        raise StatementUnreadable(f"the field :{field.tag}: is not as MT940 has it", field.row)
    currency = str(found.amount.currency or "").upper()
    return currency, _minor(found.amount.amount, currency, field)


def _line(field: _Field, details: _Field | None, currency: str) -> Line:
    text = f":61:{field.value}"
    if details is not None:
        text += f"\n:86:{details.value}"
    made = _parsed(field, text).transactions
    data: dict[str, Any] = made[0].data if made else {}
    if "amount" not in data or "date" not in data:
        raise StatementUnreadable("the field :61: is not as MT940 has it", field.row)
    minor = _minor(data["amount"].amount, currency, field)
    if minor == 0:
        raise StatementUnreadable("a line of nothing", field.row)
    valued = date(data["date"].year, data["date"].month, data["date"].day)
    entry = data.get("entry_date")
    booked = date(entry.year, entry.month, entry.day) if entry else valued
    words = _words(data, details)
    reference = named(data.get("end_to_end_reference"), MAX_REFERENCE) or named(
        data.get("customer_reference"), MAX_REFERENCE
    )
    bank_id = named(data.get("bank_reference"), MAX_REFERENCE)
    return Line(
        row=field.row,
        booked_on=in_time(booked, field.row),
        valued_on=in_time(valued, field.row),
        minor=minor,
        currency=currency,
        narration=words or reference or bank_id or "",
        counterparty=named(data.get("applicant_name"), MAX_NAME),
        reference=reference or bank_id,
        bank_id=bank_id,
        category="reversal" if str(data.get("status", "")).upper().startswith("R") else None,
    )


def _words(data: dict[str, Any], details: _Field | None) -> str:
    """What the line is about: the purpose of structured details, or the details as they stand."""
    if data.get("purpose"):
        return squeezed(" ".join(filter(None, (data.get("purpose"), data.get("additional_purpose")))))
    said = details.value if details is not None else data.get("extra_details") or ""
    # Structured in another way than the library knows: without the codes it still reads.
    return squeezed(_SUBFIELDS.sub(" ", said) if _SUBFIELDS.search(said) else said)

"""What becomes of the lines of a statement: new, known from an earlier file, or told by another source already."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Connection, text

from core.bulk import array
from core.reconciliation.fingerprints import IST, day_of, reference_key
from core.statement_files import Line

Fate = Literal["new", "known", "duplicate"]

# A bank's reference inside its text: UTR of NEFT and RTGS (letters of the bank, then digits), RRN of UPI and IMPS.
_REFERENCE = re.compile(r"(?<![A-Z0-9])(?:[A-Z]{4}[A-Z]?\d{11,17}|[A-Z]\d{15}|\d{12})(?![A-Z0-9])")
_PADDED = re.compile(r"0+(\d{12})")
# Two sources may book the same money on neighbouring days.
_NEAR = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A line as it is compared: its identity, and what says that another one is the same money."""

    object_id: str
    minor: int
    currency: str
    booked_on: date
    valued_on: date
    narration: str
    reference: str | None


def bank_reference(line: Line) -> str | None:
    """What the bank calls a line: its reference where that is one of a kind, else one found in its text."""
    if reference_key(line.reference) is not None:
        # An RRN has twelve digits, and some banks fill it up with zeros.
        padded = _PADDED.fullmatch(line.reference or "")
        return line.reference if padded is None else padded.group(1)
    found = _REFERENCE.search(line.narration.upper())
    return found.group() if found is not None else line.reference


def identities(lines: Iterable[Line]) -> list[str]:
    """The object id of each line: of the bank's own name for it, or its reference, or its text, with amount and day.

    Lines that are alike in all that are counted, so that the second of two equal charges of a day is another one. The
    same lines in another file have the same ids.
    """
    seen: Counter[str] = Counter()
    found = []
    for line in lines:
        if line.bank_id:
            kind, value = "id", line.bank_id
        elif line.reference:
            kind, value = "reference", re.sub(r"\W", "", line.reference).upper().lstrip("0")
        else:
            kind, value = "text", re.sub(r"\W+", "", line.narration).upper()
        spelled = json.dumps([kind, value, line.minor, line.currency, line.valued_on.isoformat()])
        digest = hashlib.sha256(spelled.encode()).hexdigest()[:32]
        seen[digest] += 1
        found.append(f"{digest}:{seen[digest]}")
    return found


def fates(
    connection: Connection,
    user_id: UUID,
    account_id: UUID | None,
    number_masked: str | None,
    lines: Sequence[Told],
    claimed: Iterable[UUID] = (),
) -> list[tuple[Fate, UUID | None]]:
    """Of each line what it is, and the transaction that it is already. Changes nothing and locks nothing.

    `claimed` are transactions that other lines of the same file are.
    """
    if not lines:
        return []
    known = _known(connection, account_id, [line.object_id for line in lines])
    found: list[tuple[Fate, UUID | None]] = []
    taken = {*known.values(), *claimed}
    candidates = _candidates(connection, user_id, lines)
    for line in lines:
        if (identity := known.get(line.object_id)) is not None:
            found.append(("known", identity))
            continue
        other = next(
            (
                each
                for each in candidates.get((line.minor, line.currency), ())
                if each.id not in taken and _same(line, each, account_id, number_masked)
            ),
            None,
        )
        if other is None:
            found.append(("new", None))
        else:
            taken.add(other.id)
            found.append(("duplicate", other.id))
    return found


def _known(connection: Connection, account_id: UUID | None, object_ids: Sequence[str]) -> dict[str, UUID]:
    if account_id is None:
        return {}
    rows = connection.execute(
        text(
            "SELECT object_keys.object_id, object_keys.id FROM object_keys "
            "JOIN transactions ON transactions.id = object_keys.id "
            "WHERE object_keys.connection_id = :account AND object_keys.kind = 'transaction' "
            "AND object_keys.object_id = ANY(CAST(:ids AS text[]))"
        ),
        {"account": account_id, "ids": array(object_ids, "text")},
    )
    return {row.object_id: row.id for row in rows}


def _candidates(connection: Connection, user_id: UUID, lines: Sequence[Told]) -> dict[tuple[int, str], list[Any]]:
    """The user's transactions of these amounts around these days, by amount and currency."""
    days = [day for line in lines for day in (line.booked_on, line.valued_on)]
    rows = connection.execute(
        text(
            "SELECT transactions.id, transactions.connection_id, amount, transactions.currency, narration, "
            "bank_reference, occurred_at, booked_on, bank_accounts.number_masked FROM transactions "
            "LEFT JOIN bank_accounts ON bank_accounts.connection_id = transactions.connection_id "
            "AND bank_accounts.object_id = transactions.account_object_id "
            "WHERE transactions.user_id = :user AND occurred_at BETWEEN :first AND :last AND status <> 'removed' "
            "AND amount = ANY(CAST(:amounts AS bigint[])) ORDER BY occurred_at, transactions.id"
        ),
        {
            "user": user_id,
            "first": datetime.combine(min(days), time.min, IST) - 2 * _NEAR,
            "last": datetime.combine(max(days), time.max, IST) + 2 * _NEAR,
            "amounts": array({line.minor for line in lines}, "bigint"),
        },
    ).all()
    found: dict[tuple[int, str], list[Any]] = {}
    for row in rows:
        found.setdefault((row.amount, row.currency), []).append(row)
    return found


def _same(line: Told, other: Any, account_id: UUID | None, number_masked: str | None) -> bool:
    """Whether a transaction is the same money: rule 0 of marketplace.md 4.2 (account, UTR or RRN, amount, value date).

    On the same account equal words of the same day are enough: another export of it names references otherwise.
    """
    day = day_of(other.occurred_at, other.booked_on)
    if min(abs(day - line.valued_on), abs(day - line.booked_on)) > _NEAR:
        return False
    key, its_key = reference_key(line.reference), reference_key(other.bank_reference)
    same_reference = key is not None and key == its_key
    if other.connection_id == account_id:
        unlike = key is not None and its_key is not None and key != its_key
        return same_reference or (
            not unlike and day == line.booked_on and _words(line.narration) == _words(other.narration)
        )
    apart = number_masked is not None and other.number_masked is not None and number_masked != other.number_masked
    return same_reference and not apart


def _words(narration: str) -> str:
    return re.sub(r"\W+", "", narration).upper()

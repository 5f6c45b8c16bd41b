"""How the columns of a CSV statement are read, and the guess at it from headers and content."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.errors import Invalid
from core.statement_files.amounts import DATE_FORMATS, guess_date_formats, guess_decimal, parse_amount

MAX_COLUMNS = 60
_LOOKED_AT = 200
Column = Annotated[int, Field(ge=0, lt=MAX_COLUMNS)]

# Words in headers, in the order in which they are tried; a column gets one meaning.
_WORDS: dict[str, str] = {
    "valued": r"value da?te?\b|val(?:ue)? ?dt|valuta|wertstellung|date de valeur",
    "date": r"^(?:txn|tran(?:s(?:action)?)?|posting|booking|post|entry|buchungs?)? ?(?:date|dt|tag)\b|^date|datum|"
    r"fecha",
    "balance": r"balance|saldo|solde|\bbal\b",
    "debit": r"withdraw|debit|\bdr\b.*am|paid out|money out|soll|d[eé]bit",
    "credit": r"deposit|credit|\bcr\b.*am|paid in|money in|haben|cr[eé]dit",
    "mark": r"^(?:dr ?/ ?cr|cr ?/ ?dr|debit ?/ ?credit|type|d ?/ ?c|c ?/ ?d|transaction type|s/h)$",
    "amount": r"amount|betrag|montant|importe|\bamt\b|umsatz|\bvalue\b",
    "reference": r"\bref|utr|rrn|che?q|instrument|transaction id|\btxn ?id|end.?to.?end",
    "counterparty": r"payee|payer|counter ?party|beneficiary|\bname\b|auftraggeber|beg(?:u|ü|ue)nstigt|merchant",
    "currency": r"currency|w[aä]hrung|devise|\bccy\b",
    "narration": r"narrat|descri|partic|detail|remark|memo|purpose|verwendungszweck|libell|buchungstext|concept",
}


class Mapping(BaseModel):
    """Which column is what (counted from 0), and how days and amounts are written.

    Either `amount` (signed, or with `mark` telling CR from DR) or `debit` and `credit` is given.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    delimiter: Literal[",", ";", "\t", "|"] = ","
    # The cells of the header row as they stand; empty for a file without one.
    header: tuple[Annotated[str, Field(max_length=200)], ...] = Field(default=(), max_length=MAX_COLUMNS)
    date: Column
    valued: Column | None = None
    amount: Column | None = None
    debit: Column | None = None
    credit: Column | None = None
    mark: Column | None = None
    narration: tuple[Column, ...] = Field(default=(), max_length=6)
    reference: Column | None = None
    counterparty: Column | None = None
    balance: Column | None = None
    currency: Column | None = None
    date_format: str = "%d-%m-%Y"
    decimal: Literal[".", ","] = "."
    # Whether a plus sign means that money left, as on statements of cards.
    turned: bool = False

    def check(self) -> Mapping:
        """Itself, when it makes sense. Raises Invalid."""
        if self.date_format not in DATE_FORMATS:
            raise Invalid("mapping.date_format", f"must be one of {', '.join(DATE_FORMATS)}")
        if self.amount is None and self.debit is None and self.credit is None:
            raise Invalid("mapping.amount", "choose the column of the amount, or those of debit and credit")
        if self.amount is not None and (self.debit is not None or self.credit is not None):
            raise Invalid("mapping.amount", "choose one column with a sign or two without, not both")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A CSV file as it lies there: `rows` with their line numbers, and the best guess at what they mean.

    `sure` is whether the guess leaves nothing open; `date_formats` are those that fit all the dates.
    """

    delimiter: str
    header: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...] = field(repr=False)
    guess: Mapping | None
    sure: bool
    date_formats: tuple[str, ...]

    @property
    def preview(self) -> list[tuple[str, ...]]:
        """The first rows, for a person to judge by."""
        return [cells for _, cells in self.rows[:5]]


def words_of(cell: str) -> str:
    """A header cell as it is compared: small, without signs."""
    return " ".join(re.sub(r"[^\w/]+", " ", cell.lower()).split())


def meanings(header: Sequence[str]) -> dict[str, list[int]]:
    """Which columns a header gives which meaning."""
    found: dict[str, list[int]] = {}
    taken: set[int] = set()
    for meaning, pattern in _WORDS.items():
        for place, cell in enumerate(header[:MAX_COLUMNS]):
            if place not in taken and len(cell) <= 60 and re.search(pattern, words_of(cell)):
                found.setdefault(meaning, []).append(place)
                taken.add(place)
    return found


def looks_like_header(cells: Sequence[str]) -> bool:
    """Whether a row names columns: a day and an amount at least."""
    found = meanings(cells)
    return bool(("date" in found or "valued" in found) and found.keys() & {"amount", "debit", "credit"})


def _column(rows: Sequence[Sequence[str]], place: int) -> list[str]:
    return [row[place] for row in rows[:_LOOKED_AT] if place < len(row) and row[place].strip()]


def _amounts(values: Sequence[str]) -> bool:
    """Whether a column holds amounts: most of what stands there, and something with cents, a sign or a mark."""
    good, telling = 0, 0
    for value in values:
        try:
            parse_amount(value, "INR", guess_decimal([value]))
        except Invalid:
            continue
        good += 1
        telling += re.search(r"[.,]\d{2}\b|^\s*[-+(]|[A-Za-z]$", value) is not None
    return bool(values) and good >= 0.9 * len(values) and telling > 0


def guess(
    delimiter: str, header: Sequence[str], rows: Sequence[Sequence[str]]
) -> tuple[Mapping | None, bool, list[str]]:
    """The best mapping of these rows, whether it leaves nothing open, and the formats that fit its dates."""
    found = meanings(header)
    first: Callable[[str], int | None] = lambda name: next(iter(found.get(name, ())), None)  # noqa: E731
    width = min(max((len(row) for row in rows[:_LOOKED_AT]), default=0), MAX_COLUMNS)
    date = first("date") if "date" in found else first("valued")
    amount, debit, credit, narration = first("amount"), first("debit"), first("credit"), found.get("narration", [])
    if not header:
        date = next((place for place in range(width) if guess_date_formats(_column(rows, place))), None)
        numeric = [place for place in range(width) if place != date and _amounts(_column(rows, place))]
        amount = numeric[0] if numeric else None
        words = [place for place in range(width) if place not in (date, *numeric)]
        narration = [max(words, key=lambda place: sum(map(len, _column(rows, place))))] if words else []
    if date is None or (amount is None and debit is None and credit is None):
        return None, False, []
    if debit is not None or credit is not None:
        amount = None
    dated = [value for value in _column(rows, date) if any(character.isdigit() for character in value)]
    # Below the table often stand words ("Closing balance"); they are no dates and settle nothing.
    formats = guess_date_formats(dated) or guess_date_formats(dated[: max(1, len(dated) * 9 // 10)])
    money = [value for place in (amount, debit, credit) if place is not None for value in _column(rows, place)]
    made = Mapping(
        delimiter=delimiter,
        header=tuple(cell[:200] for cell in header[:MAX_COLUMNS]),
        date=date,
        valued=first("valued") if first("valued") != date else None,
        amount=amount,
        debit=debit,
        credit=credit,
        mark=first("mark") if amount is not None else None,
        narration=tuple(narration[:6]),
        reference=first("reference"),
        counterparty=first("counterparty"),
        balance=first("balance"),
        currency=first("currency"),
        date_format=formats[0] if formats else "%d-%m-%Y",
        decimal="," if guess_decimal(money) == "," else ".",
    )
    sure = bool(header) and len(formats) == 1 and bool(narration)
    return made, sure, formats

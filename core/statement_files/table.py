"""CSV statements: the table inside the file, and its lines under a mapping."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence

from core.errors import Invalid
from core.statement_files.amounts import parse_amount, parse_day
from core.statement_files.lines import (
    MAX_ERRORS,
    MAX_LINES,
    MAX_NAME,
    MAX_REFERENCE,
    Line,
    LineError,
    Reading,
    StatementUnreadable,
    in_time,
    named,
    room,
    squeezed,
)
from core.statement_files.mapping import MAX_COLUMNS, Mapping, Table, guess, looks_like_header, words_of

_DELIMITERS = (",", ";", "\t", "|")
# A bank's own words above the table: address, period, account.
_PREAMBLE = 60
# What is meant as a day, in whatever format.
_DAY = re.compile(r"\d{1,4}[-/. ]+\w{1,9}[-/. ,]+\d{2,4}(?:[T ].*)?|[A-Za-z]{3,9} \d{1,2},? \d{4}|\d{8}")
_Row = tuple[int, tuple[str, ...]]


def _rows(text: str, delimiter: str) -> Iterator[_Row]:
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise StatementUnreadable(f"the table is broken ({error})", reader.line_num) from error
        yield reader.line_num, tuple(cells)


def _delimiter(text: str) -> str:
    """The one that cuts most of the first rows into the same number of cells, and into many."""
    head = "\n".join(text.split("\n", 2 * _PREAMBLE)[: 2 * _PREAMBLE])

    def regular(delimiter: str) -> tuple[bool, int]:
        counts: dict[int, int] = {}
        named = False
        try:
            for _, cells in _rows(head, delimiter):
                named = named or looks_like_header(cells)
                if len(cells) > 1:
                    counts[len(cells)] = counts.get(len(cells), 0) + 1
        except StatementUnreadable:
            return False, 0
        return named, max((number * min(width, 8) for width, number in counts.items()), default=0)

    return max(_DELIMITERS, key=regular)


def open_table(text: str) -> Table:
    """The table in a CSV file. Raises StatementUnreadable, or StatementTooLarge."""
    delimiter = _delimiter(text)
    # What Excel writes above a table to name its delimiter is no row of it.
    rows: list[_Row] = []
    for row, cells in _rows(text, delimiter):
        if any(cell.strip() for cell in cells):
            rows.append((row, cells[:MAX_COLUMNS]))
            # Above the limit by what may stand around the table.
            room(len(rows) - 2 * _PREAMBLE)
    place = next((at for at, (_, cells) in enumerate(rows[:_PREAMBLE]) if looks_like_header(cells)), None)
    header = tuple(cell.strip() for cell in rows[place][1]) if place is not None else ()
    body = tuple(rows[place + 1 :] if place is not None else rows)
    if not any(len(cells) > 1 for _, cells in body) and not header:
        raise StatementUnreadable("no table with dates and amounts was found")
    made, sure, formats = guess(delimiter, header, [cells for _, cells in body])
    return Table(delimiter=delimiter, header=header, rows=body, guess=made, sure=sure, date_formats=tuple(formats))


def same_columns(saved: Mapping, table: Table) -> bool:
    """Whether a mapping made for another file fits this one: the same columns under the same names."""
    return (
        saved.delimiter == table.delimiter
        and bool(saved.header)
        and [words_of(cell) for cell in saved.header] == [words_of(cell) for cell in table.header[:MAX_COLUMNS]]
    )


def read_table(table: Table, mapping: Mapping, currency: str) -> Reading:
    """The lines of a table; each row that cannot be read is an error of its own. Raises Invalid for the mapping."""
    mapping.check()
    lines: list[Line] = []
    errors: list[LineError] = []
    wrong = 0
    dated = [place for place, (_, cells) in enumerate(table.rows) if _dated(_cell(cells, mapping.date))]
    # Above the first day and below the last one stand the bank's own words and sums.
    for row, cells in table.rows[dated[0] : dated[-1] + 1] if dated else ():
        try:
            line = _line(row, cells, mapping, currency)
        except Invalid as error:
            wrong += 1
            if len(errors) < MAX_ERRORS:
                errors.append(LineError(row, error.message.removeprefix(f"line {row}: ")))
            continue
        if line is not None:
            lines.append(line)
            room(len(lines))
    if not lines and not errors:
        raise StatementUnreadable("no line with a date and an amount was found")
    opening, closing, breaks = _balances(lines)
    errors.extend(breaks)
    return Reading(
        format="csv",
        lines=tuple(lines),
        errors=tuple(errors),
        wrong=wrong,
        currency=currency,
        opening=opening,
        closing=closing,
    )


def _cell(cells: Sequence[str], place: int | None) -> str:
    return cells[place].strip() if place is not None and place < len(cells) else ""


def _dated(cell: str) -> bool:
    return _DAY.fullmatch(cell) is not None


def _line(row: int, cells: Sequence[str], mapping: Mapping, currency: str) -> Line | None:
    """The line, or None for a row that moves nothing, such as an opening balance. Raises Invalid."""
    said = _cell(cells, mapping.currency).upper() or currency
    minor = _minor(cells, mapping, said)
    dated = _cell(cells, mapping.date)
    day = parse_day(dated, mapping.date_format)
    if minor is None:
        return None
    if day is None:
        raise Invalid("date", f"{dated[:40]!r} is not a date like the others" if dated else "has no date")
    if said != currency:
        raise Invalid("currency", f"is in {said[:10]}, and the account in {currency}")
    if minor == 0:
        return None
    valued = parse_day(_cell(cells, mapping.valued), mapping.date_format) or day
    balance = _cell(cells, mapping.balance)
    reference = named(_cell(cells, mapping.reference), MAX_REFERENCE)
    counterparty = named(_cell(cells, mapping.counterparty), MAX_NAME)
    words = squeezed(" ".join(filter(None, (_cell(cells, place) for place in mapping.narration))))
    return Line(
        row=row,
        booked_on=in_time(day, row),
        valued_on=in_time(valued, row),
        minor=minor,
        currency=currency,
        narration=words or counterparty or reference or "",
        counterparty=counterparty,
        reference=reference,
        balance=parse_amount(balance, currency, mapping.decimal) if balance else None,
    )


def _minor(cells: Sequence[str], mapping: Mapping, currency: str) -> int | None:
    """What moved, in minor units; None where nothing is said. Raises Invalid."""

    def read(place: int | None) -> int | None:
        cell = _cell(cells, place)
        return parse_amount(cell, currency, mapping.decimal) if any(each.isdigit() for each in cell) else None

    if mapping.amount is not None:
        amount = read(mapping.amount)
        mark = _cell(cells, mapping.mark).upper()
        if amount is None:
            return None
        if mark.startswith(("D", "W", "S", "C", "H")):
            # H and S are the German credit and debit.
            amount = -abs(amount) if mark.startswith(("D", "W", "S")) else abs(amount)
        return -amount if mapping.turned else amount
    debit, credit = read(mapping.debit), read(mapping.credit)
    if debit is None and credit is None:
        return None
    if debit and credit:
        raise Invalid("amount", "has a debit and a credit")
    return credit or -abs(debit or 0)


def _balances(lines: Sequence[Line]) -> tuple[int | None, int | None, list[LineError]]:
    """The balances before and after, where every line has one; and the first line at which they do not add up.

    Files run either way: newest or oldest first.
    """
    balances = [line.balance for line in lines if line.balance is not None]
    if len(balances) != len(lines) or not lines:
        return None, None, []
    forth = _first_break([line.minor for line in lines], balances)
    back = _first_break([line.minor for line in reversed(lines)], balances[::-1])
    if (back is None and forth is not None) or (back is None and lines[0].booked_on > lines[-1].booked_on):
        return balances[-1] - lines[-1].minor, balances[0], []
    if forth is None:
        return balances[0] - lines[0].minor, balances[-1], []
    older_first = lines[0].booked_on <= lines[-1].booked_on
    at = forth if older_first or back is None else len(lines) - 1 - back
    return None, None, [LineError(lines[at].row, "from here on the balance does not follow from the lines")]


def _first_break(moves: Sequence[int], balances: Sequence[int]) -> int | None:
    for place in range(1, len(moves)):
        if balances[place] != balances[place - 1] + moves[place]:
            return place
    return None


__all__ = ["MAX_LINES", "open_table", "read_table", "same_columns"]

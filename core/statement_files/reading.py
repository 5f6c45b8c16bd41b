"""Which format a file has, and reading it."""

from __future__ import annotations

import re

from core.errors import Invalid
from core.money import exponent
from core.statement_files import camt, mt940, ofx
from core.statement_files.lines import MAX_BYTES, Format, Reading, StatementTooLarge, StatementUnreadable
from core.statement_files.mapping import Mapping, Table
from core.statement_files.table import open_table, read_table
from core.statement_files.text import decode


def format_of(content: bytes) -> Format:
    """The format by content; the name of a file proves nothing. Raises StatementUnreadable, StatementTooLarge."""
    if len(content) > MAX_BYTES:
        raise StatementTooLarge
    if camt.recognised(content):
        return "camt053"
    if ofx.recognised(content):
        return "ofx"
    text = decode(content)
    if mt940.recognised(text):
        return "mt940"
    if re.match(r"\s*<", text):
        raise StatementUnreadable("this XML is neither CAMT.053 nor OFX")
    return "csv"


def ask(content: bytes) -> Table:
    """A CSV file as a table with a guess at its columns. Raises StatementUnreadable or StatementTooLarge."""
    return open_table(decode(content))


def read(content: bytes, mapping: Mapping | None = None, currency: str | None = None) -> Reading:
    """What a file says. CSV needs a mapping and the account's currency; the others say both themselves.

    Raises StatementUnreadable (naming the line), StatementTooLarge, or Invalid for the mapping.
    """
    match format_of(content):
        case "camt053":
            reading = camt.read(content)
        case "ofx":
            reading = ofx.read(content)
        case "mt940":
            reading = mt940.read(decode(content))
        case _:
            if mapping is None or currency is None:
                raise Invalid("mapping", "a CSV file is read by a mapping and a currency")
            exponent(currency)
            reading = read_table(ask(content), mapping, currency)
    if reading.currency is not None:
        try:
            exponent(reading.currency)
        except Invalid as error:
            raise StatementUnreadable(error.message) from error
    return reading

"""Statement files of banks become plain lines: CSV, OFX/QFX, CAMT.053 and MT940. Pure: bytes in, values out."""

from __future__ import annotations

from core.statement_files.lines import (
    MAX_BYTES,
    MAX_LINES,
    Line,
    LineError,
    Reading,
    StatementTooLarge,
    StatementUnreadable,
)
from core.statement_files.mapping import Mapping, Table
from core.statement_files.reading import ask, format_of, read
from core.statement_files.table import same_columns

__all__ = [
    "MAX_BYTES",
    "MAX_LINES",
    "Line",
    "LineError",
    "Mapping",
    "Reading",
    "StatementTooLarge",
    "StatementUnreadable",
    "Table",
    "ask",
    "format_of",
    "read",
    "same_columns",
]

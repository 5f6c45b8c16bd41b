"""What a statement file says, whatever its format: an account, two balances, lines, and what could not be read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

from core import files
from core.errors import Invalid, PlatformError

# The cabinet keeps the original: one limit for both.
MAX_BYTES = files.MAX_BYTES
# What one file may hold: a busy account's month, or a quiet one's years.
MAX_LINES = 20_000
# Of lines that cannot be read so many are told; more of them are counted.
MAX_ERRORS = 100
MAX_NARRATION = 1000
MAX_NAME = 200
MAX_REFERENCE = 100
# No statement line is older or newer than what a bank's archive can hold.
FIRST_DAY, LAST_DAY = date(1990, 1, 1), date(2099, 12, 31)

Format = Literal["csv", "ofx", "camt053", "mt940"]


class StatementUnreadable(Invalid):
    """The file is no statement that we can read. `row` is the line at which that was seen, 0 for the whole file."""

    code = "statement_unreadable"

    def __init__(self, message: str, row: int = 0) -> None:
        super().__init__("file", f"line {row}: {message}" if row else message)
        self.row = row


class StatementTooLarge(files.FileTooLarge):
    """The file has more bytes or lines than are taken."""

    code = "statement_too_large"

    def __init__(self, what: str = "") -> None:
        # Past the wider class, which says another limit.
        PlatformError.__init__(
            self,
            what
            or f"a statement may have at most {MAX_BYTES // (1024 * 1024)} MB and {MAX_LINES:,} lines; "
            "export a shorter period",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One movement on the account. `minor` is negative when money left; `row` is where it stands in the file.

    `reference` is what the bank or the payer calls it (UTR, RRN, end-to-end id); `bank_id` is a name that the bank
    gives this very line, where it does.
    """

    row: int
    booked_on: date
    valued_on: date
    minor: int
    currency: str
    narration: str
    counterparty: str | None = None
    reference: str | None = None
    bank_id: str | None = None
    balance: int | None = None
    category: str | None = None


@dataclass(frozen=True, slots=True)
class LineError:
    """A line that is not taken, and why."""

    row: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A file that was read. Balances in minor units; `pending` lines are not booked yet and are left out."""

    format: Format
    lines: tuple[Line, ...]
    errors: tuple[LineError, ...] = ()
    # How many lines could not be read, told or not.
    wrong: int = 0
    account_number: str | None = None
    currency: str | None = None
    opening: int | None = None
    closing: int | None = None
    pending: int = 0

    @property
    def gap(self) -> int | None:
        """By how much the lines miss the way from the opening to the closing balance; None where it is not said."""
        if self.opening is None or self.closing is None:
            return None
        return self.closing - self.opening - sum(line.minor for line in self.lines)


def squeezed(words: str, limit: int = MAX_NARRATION) -> str:
    """Words on one line: no controls, no runs of spaces, so many characters at most."""
    shown = "".join(" " if character.isspace() or not character.isprintable() else character for character in words)
    return " ".join(shown.split())[:limit]


def named(words: str | None, limit: int) -> str | None:
    """The same for what may be missing: nothing, or one of the words that banks write for nothing, is None."""
    text = squeezed(words or "", limit)
    return None if not text or text.upper() in _NOTHING or not text.strip("0-./ ") else text


_NOTHING = frozenset({"NONREF", "NOTPROVIDED", "NOT PROVIDED", "NONE", "NULL", "N/A", "NA", "NIL"})


def in_time(day: date, row: int) -> date:
    """The day, if a bank can have booked on it. Raises StatementUnreadable."""
    if not FIRST_DAY <= day <= LAST_DAY:
        raise StatementUnreadable(f"{day.isoformat()} is no day of a statement", row)
    return day


def room(count: int) -> None:
    """Raises StatementTooLarge when a file has more lines than are taken."""
    if count > MAX_LINES:
        raise StatementTooLarge

"""The shapes of statements: files that are brought, what they say, and what becomes of their lines."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from core.money import MAX_MINOR
from core.statement_files import MAX_BYTES, Mapping
from webapp.api.models import Currency, Day, Input, Output, PageQuery

AccountName = Annotated[str, Field(min_length=1, max_length=100)]
Fate = Literal["new", "known", "duplicate"]


class AccountInput(Input):
    """Which account: one that there is by its id, or one by name, which is made (in `currency`) if it is new."""

    account_id: UUID | None = None
    account_name: AccountName | None = None
    currency: Currency | None = None


class StatementInput(AccountInput):
    """A file as base64. `mapping` says what the columns of a CSV are; without it the account's last one is tried."""

    filename: Annotated[str, Field(min_length=1, max_length=200)]
    content: Annotated[str, Field(min_length=1, max_length=(MAX_BYTES + 2) // 3 * 4 + 4)]
    mapping: Mapping | None = None


class AnswerInput(AccountInput):
    """What was asked: the account, the columns of a CSV file, or both."""

    mapping: Mapping | None = None


class LineInput(AccountInput):
    """A line typed by hand. `amount` is in minor units, negative when money left the account."""

    amount: Annotated[int, Field(strict=True, ge=-MAX_MINOR, le=MAX_MINOR)]
    booked_on: Day
    narration: Annotated[str, Field(min_length=1, max_length=1000, pattern=r"\S")]
    counterparty: Annotated[str, Field(max_length=200)] | None = None
    reference: Annotated[str, Field(max_length=100)] | None = None


class LinesQuery(PageQuery):
    """Which lines of a statement."""

    fate: Fate | None = None


class Account(Output):
    """A bank account whose statements are brought. `mapping` is how its CSV files were read last."""

    id: UUID
    name: str
    currency: str
    number_masked: str | None
    mapping: dict[str, Any] | None


class Accounts(Output):
    """All of them, by name."""

    items: list[Account]


class StatementAccount(Output):
    """The account that a statement is of."""

    id: UUID
    name: str
    currency: str
    number_masked: str | None


class LineError(Output):
    """A line of the file that is left out, and why."""

    row: int
    message: str


class StatementRow(Output):
    """A statement. Amounts in minor units of `currency`.

    asking: its account or columns are to be said; ready: looked over, nothing is taken in; taking: `taken` of its
    `lines` are; done; undone. `new`, `known` (from an earlier file) and `duplicates` (told by another source) add up
    to `lines`; `wrong` lines cannot be read, `pending` ones are not booked yet. `gap` is by how much the lines miss
    the way from the opening to the closing balance, null where the file does not say both.
    """

    id: UUID
    name: str
    format: Literal["csv", "ofx", "camt053", "mt940", "hand"]
    state: Literal["asking", "ready", "taking", "done", "undone"]
    account: StatementAccount | None
    lines: int
    new: int
    known: int
    duplicates: int
    taken: int
    errors: list[LineError]
    wrong: int
    pending: int
    currency: str | None
    number_masked: str | None
    opening: int | None
    closing: int | None
    gap: int | None
    first_on: date | None
    last_on: date | None
    has_file: bool
    created_at: datetime
    decided_at: datetime | None


class Statements(Output):
    """A page of statements, newest first."""

    items: list[StatementRow]
    next_cursor: str | None


class Table(Output):
    """The table of a CSV file: its header, its first rows, and the guess at what they mean.

    `date_formats` are those that fit all dates: where there are several, say which one it is.
    """

    header: list[str]
    preview: list[list[str]]
    guess: dict[str, Any] | None
    sure: bool
    date_formats: list[str]


class Statement(StatementRow):
    """A statement with what is asked about it."""

    mapping: dict[str, Any] | None
    table: Table | None


class BankStatementLine(Output):
    """A line. `row` is where it stands in the file, 0 where that is not known."""

    position: int
    row: int
    amount: int
    currency: str
    booked_on: date
    valued_on: date
    narration: str
    counterparty: str | None
    bank_reference: str | None
    balance: int | None
    fate: Fate
    transaction_id: UUID | None


class Lines(Output):
    """A page of lines in the order of the file."""

    items: list[BankStatementLine]
    next_cursor: str | None

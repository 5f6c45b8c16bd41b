"""Shapes of /api/reports."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from webapp.api.models import Output

Day = Annotated[date, Field(ge=date(1990, 1, 1), le=date(2199, 12, 31))]
PeriodName = Literal[
    "last_12_months",
    "this_month",
    "last_month",
    "this_quarter",
    "last_quarter",
    "this_year",
    "financial_year",
    "last_financial_year",
]
Kind = Literal["text", "money", "number", "percent", "date", "days"]


class ReportQuery(BaseModel):
    """Of which days, and for operators of whom. Days win over the name of a period; neither is the last 12 months."""

    model_config = ConfigDict(extra="forbid")

    period: PeriodName | None = None
    since: Day | None = Field(None, description="The first day.")
    until: Day | None = Field(None, description="The last day; today when left out.")
    seller: UUID | None = Field(None, description="Whose report; operators only.")


class ShowQuery(ReportQuery):
    """A report."""

    compare: bool = Field(False, description="Whether figures say what they were in the period before.")


class TableQuery(ReportQuery):
    """A table of a report as a file."""

    format: Literal["csv", "xlsx"] = "csv"


class RowsQuery(ReportQuery):
    """The rows behind a figure, as its `rows` name them."""

    measure: str | None = Field(None, max_length=40, description="What is added up.")
    part: Annotated[str, Field(max_length=400)] = ""
    limit: Annotated[int, Field(ge=1, le=100)] = 50
    cursor: str | None = None


class ReportRowItem(Output):
    """One document, payment, payout or bank line: its part of the figure, its own and at home, in minor units."""

    kind: Literal["invoice", "credit_note", "payment", "transaction", "payout"]
    id: UUID
    label: str
    who: str
    day: date
    currency: str
    amount: int
    home_amount: int


class ReportRowsOutput(Output):
    """A page of the rows behind a figure; all together, on this page or not, are `count` and come to `total`."""

    items: list[ReportRowItem]
    next_cursor: str | None
    total: int
    count: int
    measure: str
    kind: Literal["money", "number"]
    home: str


class ReportRows(Output):
    """Where the rows behind a figure are: `rows` of this report, with these filters, or one document by its id."""

    of: Literal["rows", "invoices", "credit_notes"]
    filters: dict[str, str]


class ReportFigure(Output):
    """One figure: minor units for money, per cent with decimal places as text for a share."""

    label: str
    kind: Kind
    value: int | str | None
    note: str
    currency: str | None
    before: int | str | None = Field(description="The same in the period before, where it was asked for.")
    rows: ReportRows | None


class ReportPoint(Output):
    """One bar of the picture."""

    label: str
    amount: int
    late: bool
    rows: ReportRows | None


class ReportPicture(Output):
    """What the picture shows."""

    label: str
    kind: Literal["money", "days", "number"]
    points: list[ReportPoint]


class ReportColumn(Output):
    """A column and what its cells are."""

    head: str
    kind: Kind


class ReportRow(Output):
    """Cells in the order of the columns. Money is minor units in `currency`."""

    cells: list[int | str | date | None]
    currency: str
    column: int | None = Field(description="The cell that the rows behind it add up to.")
    rows: ReportRows | None


class ReportTable(Output):
    """A table; `more` rows there are beyond those listed."""

    name: str
    title: str
    columns: list[ReportColumn]
    rows: list[ReportRow]
    note: str
    more: int


class ReportOutput(Output):
    """A report. Sums are in `home`, the seller's home currency; `apart` is money without a rate, by its currency."""

    name: str
    title: str
    how: str
    home: str
    since: date | None
    until: date
    figures: list[ReportFigure]
    picture: ReportPicture | None
    tables: list[ReportTable]
    apart: dict[str, int]


class ReportName(Output):
    """A report that there is."""

    name: str
    title: str
    has_period: bool


class ReportNames(Output):
    """Every report, in the order of the page."""

    items: list[ReportName]

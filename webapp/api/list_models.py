"""The shapes of views, of work on many invoices, of imports and exports."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from core.invoicing.filters import Filters
from core.lists.views import MAX_NAME
from webapp.api.invoice_models import Amount, Flag, Sort, Stage
from webapp.api.models import Currency, Day, FinancingState, Input, Output, PaymentStatus, Search

Action = Literal["send", "remind", "issue", "void", "delete_drafts"]


class ListFilters(Input):
    """Which invoices: what GET /api/invoices takes, without pages."""

    status: PaymentStatus | FinancingState | Literal["unpaid"] | None = None
    payment_status: PaymentStatus | None = None
    stage: Stage | None = None
    contact_id: UUID | None = None
    recurring_id: UUID | None = None
    currency: Currency | None = None
    issued_from: Day | None = None
    issued_to: Day | None = None
    due_from: Day | None = None
    due_to: Day | None = None
    amount_min: Amount | None = None
    amount_max: Amount | None = None
    search: Search | None = None
    sort: Sort = "newest"

    def asked(self) -> Filters:
        """The same for the core."""
        return Filters(**{name: getattr(self, name) for name in ListFilters.model_fields})


class ViewInput(Input):
    """A view to be kept; one of the same name becomes this one."""

    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
    filters: ListFilters = ListFilters()
    is_default: Flag = False


class View(Output):
    """Filters and an order under a name."""

    id: UUID
    name: str
    filters: dict[str, Any]
    is_default: bool
    created_at: datetime
    updated_at: datetime


class Views(Output):
    """All of somebody's."""

    items: list[View]


class BulkInput(Input):
    """What is to be done, and to which: either ids, or everything that filters show."""

    action: Action
    invoice_ids: Annotated[list[UUID], Field(min_length=1, max_length=10_000)] | None = None
    filters: ListFilters | None = None
    message: Annotated[str, Field(max_length=2000)] = ""


class JobError(Output):
    """A row that was refused, and why."""

    position: int
    invoice_id: UUID | None
    label: str
    code: str | None
    error: str


class JobRow(Output):
    """Work on many invoices: `done` and `failed` of `total` rows are worked off."""

    id: UUID
    action: Literal["send", "remind", "issue", "void", "delete_drafts", "import"]
    status: Literal["waiting", "working", "done", "cancelled"]
    total: int
    done: int
    failed: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class Job(JobRow):
    """With the first 100 rows that were refused. `over_limit` of them were mails beyond what a day has.

    `retriable` rows may be tried again, once, by the job that `retried_by` names afterwards.
    """

    retriable: int
    retried_by: UUID | None
    over_limit: int
    errors: list[JobError]


class Jobs(Output):
    """The newest twenty."""

    items: list[JobRow]


class ImportProblem(Output):
    """What is wrong in a line of a file; line 0 is the whole file."""

    line: int
    field: str
    message: str


class ImportTotal(Output):
    """What the invoices that are ready come to in a currency, in minor units."""

    currency: str
    total: int


class Import(Output):
    """A file of invoices, how it is read, and what would come of it."""

    id: UUID
    name: str
    job_id: UUID | None
    created_at: datetime
    mapping: dict[str, Any]
    fields: list[str]
    required: list[str]
    header: list[str]
    preview: list[list[str]]
    invoices: int
    ready: int
    made_before: int
    totals: list[ImportTotal]
    errors: list[ImportProblem]
    error_count: int


class ConfirmImportInput(Input):
    """How the invoices are made."""

    draft: Flag = False


class ExportQuery(ListFilters):
    """Which invoices, as which kind of file."""

    format: Literal["csv", "xlsx", "ubl", "pdf"] = "csv"
    ids: Annotated[str, Field(max_length=3700, pattern="^[0-9a-fA-F,-]+$")] | None = Field(
        None, description="Ids with commas between; the filters are left aside."
    )

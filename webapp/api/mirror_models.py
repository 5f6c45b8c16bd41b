"""What goes in and out where mirrored invoices are linked, taken over and decided about."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from webapp.api.models import Input, Output


class LinkInput(Input):
    """Which invoice here a mirrored one is."""

    invoice_id: UUID


class TakeOverInput(Input):
    """Of which connection; of all, where none is named."""

    connection_id: UUID | None = None


class ResolveInput(Input):
    """Which side of a field holds: ours is written there, theirs is done here."""

    field: Literal["total", "paid", "issue_date", "due_date", "void"]
    keep: Literal["ours", "theirs"]


class WriteInput(Input):
    """An invoice, and the connection whose books it is written to."""

    invoice_id: UUID
    connection_id: UUID


class Refused(Output):
    """What was not taken over, and why."""

    id: UUID
    number: str | None
    reason: str


class TakenOver(Output):
    """Invoices that were made here, and those that were not. There may be more: ask again until nothing is taken."""

    taken: list[UUID]
    refused: list[Refused]

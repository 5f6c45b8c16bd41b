"""What is asked of documents."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Day = Annotated[date, Field(ge=date(2000, 1, 1), le=date(2199, 12, 31))]


class PaperQuery(BaseModel):
    """How a document is handed over."""

    model_config = ConfigDict(extra="forbid")

    download: bool = Field(False, description="Have the browser save it; otherwise it shows it.")


class StatementQuery(PaperQuery):
    """Of which days, and which currency."""

    since: Day | None = Field(None, description="The first day; a year before the last one when left out.")
    until: Day | None = Field(None, description="The last day; today when left out.")
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] | None = Field(
        None, description="The currency in which the customer has most invoices when left out."
    )

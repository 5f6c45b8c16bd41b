"""/api/reports/tax/months: which months of GSTR-1 were filed, and the file of a month for the portal."""

from __future__ import annotations

import json
import re
from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from flask import Blueprint, Response
from pydantic import BaseModel, ConfigDict, Field

from core.errors import Invalid
from core.invoicing import rates
from core.reports import filings, tax
from webapp import auth, reporting
from webapp.api.edge import reply
from webapp.api.models import Output
from webapp.openapi import operation
from webapp.services import services

blueprint = Blueprint("tax_months", __name__, url_prefix="/api/reports/tax/months")
# To 2199, as the days of reports: `date` ends at 9999, and a month has a next one.
_MONTH = re.compile(r"2[01][0-9]{2}-(0[1-9]|1[0-2])")


class Whose(BaseModel):
    """For operators: whose months."""

    model_config = ConfigDict(extra="forbid")

    seller: UUID | None = Field(None, description="Whose; operators only.")


class TaxMonth(Output):
    """A month that was filed, by its first day, and how many documents its return named."""

    month: date
    filed_at: datetime
    documents: Annotated[int, Field(ge=0)]


class TaxMonths(Output):
    """The newest 120 months that were filed."""

    items: list[TaxMonth]


def month_of(spelled: str) -> date:
    """The first day of a month such as 2026-04, of those that can be filed. Raises Invalid."""
    if _MONTH.fullmatch(spelled) and (month := date.fromisoformat(f"{spelled}-01")) >= filings.FIRST_MONTH:
        return month
    raise Invalid("month", f"must be a month such as 2026-04, from {filings.FIRST_MONTH:%Y-%m} on")


@blueprint.get("")
@operation("reports", {200: TaxMonths}, query=Whose, problems=(404,))
def months(query: Whose) -> Response:
    """The months whose return was marked as filed, newest first."""
    person = auth.actor()
    with services().database.session() as session:
        return reply({"items": filings.months(session, reporting.whose(session, person, query.seller))})


@blueprint.post("/<month>/file")
@operation("reports", {200: TaxMonth}, problems=(409,))
def file(month: str) -> Response:
    """Mark a month as filed: what its return says is kept, and what changes later is a correction.

    Doing it again changes nothing.
    """
    person = auth.actor()
    with services().database.session() as session:
        return reply(filings.file(session, person, month_of(month), auth.now()))


@blueprint.post("/<month>/reopen")
@operation("reports", {200: TaxMonths}, problems=(409,))
def reopen(month: str) -> Response:
    """Take back that a month was filed; only of the newest one. Of one that is open nothing changes."""
    person = auth.actor()
    with services().database.session() as session:
        filings.reopen(session, person, month_of(month), auth.now())
        return reply({"items": filings.months(session, person.id)})


@blueprint.get("/<month>/gstr1.json")
@operation("reports", {200: None}, query=Whose, problems=(404,))
def gstr1(month: str, query: Whose) -> Response:
    """The return of a month in the shape of the portal's upload, as far as it is publicly described."""
    person = auth.actor()
    first = month_of(month)
    with services().database.session() as session:
        seller = reporting.whose(session, person, query.seller)
        made = tax.upload(session, seller, rates.home_currency(session, seller), first)
    name = f"GSTR1-{made['gstin'] or 'unregistered'}-{made['fp']}.json"
    headers = {"Content-Disposition": f"attachment; filename={name}", "Cache-Control": "private, no-store"}
    return Response(json.dumps(made, indent=1), content_type="application/json", headers=headers)

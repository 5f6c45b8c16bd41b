"""/api/connectors/custom/try: what a definition makes of a body, before anything depends on it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from flask import Blueprint, Response
from pydantic import Field

from connectors.custom import Tried, try_out
from connectors.drafts import MAX_DEFINITION
from core.identity import Role
from webapp import auth
from webapp.api import models
from webapp.api.edge import reply
from webapp.openapi import operation
from webapp.rehearsal import shown

blueprint = Blueprint("custom", __name__, url_prefix="/api/connectors/custom")

MAX_BODY = 100_000


class TrialInput(models.Input):
    """A definition as it would be saved, and a body as the sender would post it. No definition: the example."""

    definition: Annotated[str, Field(max_length=MAX_DEFINITION)] = ""
    body: Annotated[str, Field(max_length=MAX_BODY)]


class TrialEvent(models.Output):
    """What the event is called and known by, and the account it names."""

    id: str
    name: str
    account: str | None


class TrialRecord(models.Output):
    """A record in words: its kind, and what it says."""

    kind: str
    fields: dict[str, str]


class TrialError(models.Output):
    """What is wrong, and where: a part of the definition, or a field that the body does not fill."""

    place: str
    message: str


class Trial(models.Output):
    """What would become of the body. `note` is the reason why its event is ignored."""

    outcome: Literal["records", "ignored", "unknown", "error"]
    event: TrialEvent | None
    records: list[TrialRecord]
    note: str | None
    error: TrialError | None


def told(tried: Tried) -> dict[str, Any]:
    """A trial as the API and the pages show it."""
    event = tried.event
    if tried.error is not None:
        outcome = "error"
    elif tried.records:
        outcome = "records"
    else:
        outcome = "unknown" if tried.ignored is None else "ignored"
    return {
        "outcome": outcome,
        "event": None if event is None else {"id": event.id, "name": event.name, "account": event.external_id},
        "records": [shown(record) for record in tried.records],
        "note": tried.ignored,
        "error": None if tried.error is None else {"place": tried.place or "", "message": tried.error},
    }


@blueprint.post("/try")
@operation("connections", {200: Trial}, body=TrialInput)
def try_definition(body: TrialInput) -> Response:
    """Read a body by a definition. Nothing is verified, sent or kept, and what is wrong is named."""
    auth.require(Role.SELLER)
    return reply(told(try_out(body.definition, body.body.encode("utf-8", "surrogatepass"))))

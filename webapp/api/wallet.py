"""/api/wallet: demo money, what can be spent of it, and every movement."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from flask import Blueprint, Response

from core import wallets
from webapp import auth
from webapp.api import market_models as models
from webapp.api.edge import reply
from webapp.api.models import Wallet
from webapp.openapi import operation
from webapp.services import services

blueprint = Blueprint("wallet", __name__, url_prefix="/api/wallet")


@blueprint.get("")
@operation("wallet", {200: Wallet}, query=models.WalletQuery)
def show(query: models.WalletQuery) -> Response:
    """What is in my wallet; with `at`, what the books said at that instant."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(wallets.balance(session, person.id, at=query.at))


@blueprint.get("/transactions")
@operation("wallet", {200: models.WalletStatement}, query=models.WalletStatementQuery)
def transactions(query: models.WalletStatementQuery) -> Response:
    """The movements of my wallet, newest first, each with the balance after it."""
    person = auth.actor()
    with services().database.session() as session:
        return reply(
            wallets.transactions(
                session,
                person.id,
                limit=query.limit,
                cursor=query.cursor,
                side=query.type,
                since=query.since,
                until=query.until,
            )
        )


def csv_lines(rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    """Rows as lines of a CSV file (RFC 4180), beginning with the mark by which spreadsheets know UTF-8."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    yield "\ufeff"
    for row in rows:
        writer.writerow(row)
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


@blueprint.get("/transactions.csv")
@operation("wallet", {200: None}, query=models.WalletExportQuery)
def export(query: models.WalletExportQuery) -> Response:
    """The same as a file for spreadsheets: amounts as decimal text and in minor units."""
    person = auth.actor()
    with services().database.session() as session:
        rows = wallets.export(session, person.id, side=query.type, since=query.since, until=query.until)
        body = "".join(csv_lines(rows))
    return Response(
        body,
        mimetype="text/csv",
        headers={"Content-Disposition": "attachment; filename=wallet.csv", "Cache-Control": "private, no-store"},
    )

"""How the ledger is: the books at a glance, what is not clear, the chain, and the newest transfers. For operators."""

from __future__ import annotations

import time

from flask import Response, flash, make_response, redirect, url_for
from sqlalchemy import text
from sqlalchemy.orm import Session

from core.identity import Role
from core.ledger import health
from core.ledger.verify import verify
from webapp.auth import page_login_required
from webapp.pages import blueprint
from webapp.pages.shell import looking, only
from webapp.services import services

# More than this takes longer than a browser should wait, and holds up the process meanwhile.
MOST_ENTRIES = 20_000
COMMAND = "ledgerwire ledger verify"
PURPOSES = {
    "wallet": "Wallet",
    "escrow": "Escrow",
    "fees": "Fees",
    "gst": "GST",
    "unapplied": "Unapplied",
    "issuance": "Demo money issued",
    "outside": "Outside",
    "recoverable": "Claim",
    "scratch": "Scratch",
    "receivable": "Receivable",
    "sales": "Sales",
    "tax_due": "Tax due",
    "rounding": "Rounding",
    "credit": "Credit of customers",
    "clearing": "At the gateway",
    "bank": "Bank",
    "gateway_fees": "Gateway fees",
    "tds": "Tax withheld",
    "credit_notes": "Credit notes",
    "financing": "Paid to financings",
}
_ENTRIES = text("SELECT count(*) FROM (SELECT FROM ledger_entries LIMIT :limit) AS first_ones")


@blueprint.get("/ledger")
@page_login_required
def ledger() -> Response:
    """The ledger's health."""
    with looking() as look:
        only(look, Role.OPERATOR)
        return look.show(
            "pages/ledger.html",
            **health.health(look.db, look.now),
            transfers=health.recent(look.db),
            purposes=PURPOSES,
            small=_is_small(look.db),
            command=COMMAND,
        )


def _is_small(db: Session) -> bool:
    found: int = db.execute(_ENTRIES, {"limit": MOST_ENTRIES + 1}).scalar_one()
    return found <= MOST_ENTRIES


@blueprint.post("/ledger/verify")
@page_login_required
def verify_ledger() -> Response:
    """Verify a small ledger now; of a big one, name the command."""
    with looking() as look:
        only(look, Role.OPERATOR)
        small = _is_small(look.db)
    if not small:
        flash(f"This ledger is too big for a page: run “{COMMAND}”, its result appears here.", "warn")
    else:
        began = time.monotonic()
        with services().database.connect() as connection:
            report = verify(connection)
        with looking() as look:
            health.note(look.db, look.actor, report, time.monotonic() - began, look.now)
        if report.sound:
            flash("Verified: everything agrees.", "good")
        else:
            flash(f"{len(report.problems)} things do not agree. Run “{COMMAND}” for all of them.", "bad")
    return make_response(redirect(url_for("pages.ledger"), 303))

"""Reconcile: each bank line beside what it looks like, decided by keys or by touch."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from flask import Response, request, url_for
from sqlalchemy.orm import Session

from core import audit
from core.banking import open_invoices
from core.banking.headway import decided_at, decided_last, headway
from core.errors import Conflict, Invalid, NotFound
from core.identity import Role
from core.ids import parse_id
from core.reconciliation import decisions, overruling, queries, rejections
from core.reconciliation.booking import Target
from webapp import auth
from webapp.auth import page_login_required
from webapp.pages import blueprint, render
from webapp.pages.forms import Form
from webapp.pages.shell import Look, choice, cursor, limit, looking, only, search
from webapp.services import services

PAGE = 50
# Matches taken back by one request; what is left is taken back by the next ones.
UNDONE_AT_ONCE = 100
# Why lines of a batch stayed as they were, at most so many sentences of it.
SHOWN_REASONS = 3
# (state, tier) of `queries.worklist`.
TABS: dict[str, tuple[str, str, str | None]] = {
    "sure": ("Sure", "proposed", "sure"),
    "suggested": ("Suggested", "proposed", "suggested"),
    "suspense": ("Suspense", "suspense", None),
    "done": ("Done", "accepted", None),
    "aside": ("Set aside", "ignored", None),
    "doubled": ("Told twice", "duplicate", None),
}
SHORT = {"": "No reason", "tds": "TDS was deducted", "dispute": "It is disputed", "part": "A part is paid"}
_CHANGED: dict[str, object] = {"live:transaction.updated": {}, "live:invoice.updated": {}}


def _tab(far: dict[str, Any]) -> str:
    """The tab asked for, or the first one in which something waits."""
    asked = choice("tab", {name: label for name, (label, _, _) in TABS.items()})
    return asked or next((name for name in ("sure", "suggested", "suspense") if far[name]), "sure")


@blueprint.get("/reconcile")
@page_login_required
def reconcile() -> Response:
    """Money that came in, beside what it looks like."""
    with looking() as look:
        only(look, Role.SELLER, Role.OPERATOR)
        far = headway(look.db, look.actor, look.now, queries.progress(look.db, look.actor, look.now))
        tab = _tab(far)
        _, state, tier = TABS[tab]
        found = queries.worklist(
            look.db,
            look.actor,
            look.now,
            state=state,
            tier=tier,
            search=search(),
            limit=max(PAGE, limit()),
            cursor=cursor(),
            newest_first=state not in ("proposed", "suspense"),
        )
        decided = [UUID(one["id"]) for one in found["items"] if one["match_state"] == "accepted"]
        held = {str(line): names for line, names in overruling.held_by_investors(look.db, decided).items()}
        last = decided_last(look.db, look.actor) if tab == "done" else None
        return look.show(
            "pages/reconcile.html", **found, far=far, tab=tab, tabs=TABS, search=search(), held=held, last=last
        )


def _choosing(look: Look, line_id: UUID, form: Form, status: int = 200) -> Response:
    only(look, Role.SELLER)
    line = queries.line(look.db, look.actor, line_id, look.now)
    if line is None:
        raise NotFound("transaction", line_id)
    proposed = (line["proposal"] or {}).get("targets", [])
    asked = request.form.getlist("invoice") or request.args.getlist("invoice")
    chosen = [found for each in asked if (found := parse_id(each)) is not None][: decisions.MOST_TARGETS]
    words = (search() if request.method == "GET" else None) or ""
    if not asked and not words:
        chosen = [UUID(target["invoice_id"]) for target in proposed]
    invoices = open_invoices.find(
        look.db, look.actor, currency=line["currency"], amount=line["amount"], words=words, chosen=chosen
    )
    return look.show(
        "pages/reconcile_choose.html",
        status,
        line=line,
        invoices=invoices,
        words=words,
        form=form,
        short=SHORT,
        meant={target["invoice_id"]: target["amount"] for target in proposed},
    )


@blueprint.get("/reconcile/<uuid:transaction_id>/choose")
@page_login_required
def choose_invoices(transaction_id: UUID) -> Response:
    """Look for the invoices that a line is money for, one or several with amounts."""
    with looking() as look:
        # What is ticked and typed goes along with each search.
        return _choosing(look, transaction_id, Form(request.args))


@blueprint.post("/reconcile/<uuid:transaction_id>/choose")
@page_login_required
def match_by_hand(transaction_id: UUID) -> Response:
    """Match a line with what was ticked: one invoice takes all of it, several take what is said."""
    form = Form(request.form)
    with looking() as look:
        only(look, Role.SELLER)
        line = queries.line(look.db, look.actor, transaction_id, look.now)
        if line is None:
            raise NotFound("transaction", transaction_id)
        ticked = list(dict.fromkeys(filter(None, map(parse_id, request.form.getlist("invoice")))))
        targets = [
            Target(invoice_id, form.amount(f"amount-{invoice_id}", "an amount", line["currency"]) or 0)
            for invoice_id in ticked
        ] if len(ticked) > 1 else []  # fmt: skip
        if not ticked:
            form.errors["form"] = "Tick an invoice."
        if form:
            try:
                with look.db.begin_nested():
                    return _accept(
                        look.db,
                        transaction_id,
                        look.now,
                        invoice_id=ticked[0] if len(ticked) == 1 else None,
                        targets=targets,
                        short_reason=form.raw("short_reason") or None,
                    )
            except (Invalid, Conflict) as error:
                refused = error if isinstance(error, Invalid) else Invalid("form", str(error))
                form.blame(refused, {"targets": "form"}, line["currency"])
        return _choosing(look, transaction_id, form, 422)


def _accept(db: Session, transaction_id: UUID, now: datetime, **what: Any) -> Response:
    if what.get("short_reason") not in (None, *SHORT):
        raise Invalid("short_reason", "is not one that is offered")
    decisions.accept(
        db,
        auth.actor().id,
        transaction_id,
        what.pop("invoice_id", None),
        now,
        calendar=services().rules.calendar,
        **what,
    )
    audit.record(db, auth.actor(), "match.accepted", "transaction", transaction_id, {}, now)
    return _said("Matched: the money is on the books.", "accept", [transaction_id], now)


def _said(message: str, verb: str, ids: list[UUID], now: datetime, left: int = 0) -> Response:
    """The answer to a decision; `reconciled` tells the page's script what it was, so that it can be taken back."""
    named = [str(identity) for identity in ids] if len(ids) == 1 else []
    event = {"verb": verb, "ids": named, "at": now.isoformat(), "left": left}
    return render.done(message, render.back(url_for("pages.reconcile")), events={**_CHANGED, "reconciled": event})


def _decide(transaction_id: UUID, decide: Callable[[Look], tuple[str, str]]) -> Response:
    try:
        with looking() as look:
            message, verb = decide(look)
            audit.record(look.db, look.actor, f"match.{verb}", "transaction", transaction_id, {}, look.now)
            return _said(message, verb, [transaction_id], look.now)
    except (Conflict, Invalid) as error:
        return _refused(error)


def _stayed(batch: decisions.Batch) -> str:
    """Of how many lines of a batch nothing came, and why, for the end of a message."""
    if not batch.refused:
        return ""
    reasons = list(dict.fromkeys(f"{why[:1].upper()}{why[1:]}".rstrip(".") for why in batch.refused.values()))
    more = f" And {len(reasons) - SHOWN_REASONS} more." if len(reasons) > SHOWN_REASONS else ""
    stayed = "1 stayed as it was" if len(batch.refused) == 1 else f"{len(batch.refused)} stayed as they were"
    return f" {stayed}: {'. '.join(reasons[:SHOWN_REASONS])}.{more}"


def _refused(error: Exception) -> Response:
    words = f"{str(error)[:1].upper()}{str(error)[1:]}.".replace("..", ".")
    return render.refused(words, render.back(url_for("pages.reconcile")), 409)


@blueprint.post("/reconcile/<uuid:transaction_id>/accept")
@page_login_required
def accept_proposal(transaction_id: UUID) -> Response:
    """Accept what is proposed, as it was shown; or one of the other answers."""
    try:
        with looking() as look:
            only(look, Role.SELLER)
            others = [found for each in request.form.getlist("invoice") if (found := parse_id(each)) is not None]
            return _accept(
                look.db,
                transaction_id,
                look.now,
                # Several need amounts: those are split.
                invoice_id=others[0] if len(others) == 1 else None,
                match_id=None if len(others) == 1 else parse_id(request.form.get("match_id", "")),
            )
    except (Conflict, Invalid) as error:
        return _refused(error)


@blueprint.post("/reconcile/<uuid:transaction_id>/reject")
@page_login_required
def reject_proposal(transaction_id: UUID) -> Response:
    """Turn what is proposed down, until that is taken back."""

    def decide(look: Look) -> tuple[str, str]:
        decisions.reject(look.db, look.actor.id, transaction_id, look.now)
        return "Rejected. It is not proposed again.", "rejected"

    return _decide(transaction_id, decide)


@blueprint.post("/reconcile/<uuid:transaction_id>/aside")
@page_login_required
def set_aside(transaction_id: UUID) -> Response:
    """Say that a line pays no invoice."""

    def decide(look: Look) -> tuple[str, str]:
        decisions.ignore(look.db, look.actor.id, transaction_id, look.now)
        return "Set aside: it pays no invoice.", "ignored"

    return _decide(transaction_id, decide)


@blueprint.post("/reconcile/<uuid:transaction_id>/undo")
@page_login_required
def undo_decision(transaction_id: UUID) -> Response:
    """Take a match back, or a rejection, or have what was set aside wait again."""

    def decide(look: Look) -> tuple[str, str]:
        line = queries.line(look.db, look.actor, transaction_id, look.now)
        if line is not None and line["match_state"] == "ignored":
            decisions.reopen(look.db, look.actor.id, transaction_id, look.now)
            return "It waits again.", "reopened"
        if line is not None and line["rejected"]:
            rejections.restore(look.db, look.actor.id, transaction_id, look.now)
            return "Proposed again.", "restored"
        decisions.undo(look.db, look.actor.id, transaction_id, look.now, calendar=services().rules.calendar)
        return "Taken back: the invoice is due again.", "undone"

    return _decide(transaction_id, decide)


@blueprint.post("/reconcile/sure")
@page_login_required
def accept_sure() -> Response:
    """Accept all that is sure."""
    try:
        with looking() as look:
            only(look, Role.SELLER)
            batch = decisions.accept_sure(look.db, look.actor.id, look.now, calendar=services().rules.calendar)
            done = batch.done
            left = queries.progress(look.db, look.actor, look.now)["sure"] - len(batch.refused) if done else 0
            audit.record(
                look.db, look.actor, "match.sure_accepted", "user", look.actor.id, {"lines": len(done)}, look.now
            )
            lines = "line" if len(done) == 1 else "lines"
            message = f"{len(done)} {lines} matched.{_stayed(batch)}"
            return _said(message, "sure", done, look.now, left)
    except (Conflict, Invalid) as error:
        return _refused(error)


@blueprint.post("/reconcile/undo")
@page_login_required
def undo_together() -> Response:
    """Take back what was accepted together at a moment; a part of it where that is much."""
    try:
        moment = datetime.fromisoformat(request.form.get("at", ""))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        return render.refused("There is nothing to take back.", url_for("pages.reconcile"), 409)
    try:
        with looking() as look:
            only(look, Role.SELLER)
            ids = decided_at(look.db, look.actor, moment, decisions.BATCH)
            batch = decisions.undo_many(
                look.db, look.actor.id, ids, look.now, most=UNDONE_AT_ONCE, calendar=services().rules.calendar
            )
            count = len(batch.done)
            if not count:
                why = next(iter(batch.refused.values()), "that is taken back already")
                return _refused(Conflict(why))
            audit.record(look.db, look.actor, "match.undone", "user", look.actor.id, {"lines": count}, look.now)
            lines = "line" if count == 1 else "lines"
            message = f"{count} {lines} taken back.{_stayed(batch)}"
            return _said(message, "undone", batch.done, look.now, len(ids) - count - len(batch.refused))
    except (Conflict, Invalid) as error:
        return _refused(error)

"""KYC: a person's own page, and the operators' queue with one page for each decision."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response, flash, make_response, redirect, request, url_for

from core import kyc
from core.errors import Conflict, Forbidden, Invalid
from core.files import FileQuotaReached, FileTooLarge, FileTypeRefused
from core.identity import Role
from core.kyc import checks, documents, queries
from core.kyc.profile import CONSTITUTIONS
from core.kyc.states import MOVES, State
from webapp import limits, uploads
from webapp.auth import actor, page_login_required
from webapp.pages import blueprint
from webapp.pages.forms import Form
from webapp.pages.shell import Look, choice, cursor, limit, looking, only, search
from webapp.problems import UnsupportedMediaType
from webapp.services import services

STATES = {
    "submitted": "To decide",
    "verified": "Verified",
    "rejected": "Rejected",
    "expired": "Expired",
}
_LABELS = {
    "legal_name": "Legal name",
    "constitution": "What you are",
    "pan": "PAN",
    "gstin": "GSTIN",
    "udyam": "Udyam number",
    "account_name": "Name of the bank account",
    "reason": "Reason",
    "file": "File",
}
_DECISIONS = {"verify": State.VERIFIED, "reject": State.REJECTED, "expire": State.EXPIRED}
_DONE = {"verify": "verified", "reject": "rejected", "expire": "expired"}


def _mine(look: Look, form: Form | None = None, status: int = 200) -> Response:
    found = queries.mine(look.db, look.actor)
    given = {name: value or "" for name, value in (found["profile"] or {}).items()}
    return look.show(
        "pages/kyc.html",
        status,
        kyc=found,
        # A form with errors is false.
        form=form if form is not None else Form(given),
        labels=_LABELS,
        constitutions={"": "Choose", **CONSTITUTIONS},
        kinds=checks.DOCUMENTS,
        # Whoever is verified is asked first, because handing in anew stops their money.
        editing=form is not None or found["state"] != "verified" or request.args.get("edit") == "1",
    )


@blueprint.get("/kyc")
@page_login_required
def identity() -> Response:
    """How far one's own KYC is, and what is missing."""
    with looking() as look:
        only(look, Role.SELLER, Role.BUYER, Role.INVESTOR)
        return _mine(look)


@blueprint.post("/kyc")
@page_login_required
def submit_identity() -> Response:
    """Hand in the profile."""
    form = Form(request.form)
    legal, account = form.text("legal_name", "your legal name"), form.text("account_name", "the name of the account")
    if form.raw("constitution") not in CONSTITUTIONS:
        form.errors["constitution"] = "Choose what you are."
    number = form.text("pan", "your PAN", limit=30)
    with looking() as look:
        only(look, Role.SELLER, Role.BUYER, Role.INVESTOR)
        if not form:
            return _mine(look, form, 422)
        try:
            profile = kyc.clean(
                legal_name=legal,
                constitution=form.raw("constitution"),
                pan_text=number,
                account_name=account,
                gstin_text=form.raw("gstin"),
                udyam_text=form.raw("udyam"),
            )
        except Invalid as error:
            form.errors[error.field] = f"This {error.message}."
            return _mine(look, form, 422)
        kyc.submit(look.db, look.actor, profile, look.now)
    flash("It was handed in. An operator looks at it next.", "good")
    return make_response(redirect(url_for("pages.identity"), 303))


@blueprint.post("/kyc/documents")
@uploads.takes_file
@page_login_required
@limits.upload_limit
def add_identity_document() -> Response:
    """Hand in a paper."""
    kind = request.form.get("kind", "")
    with looking() as look:
        only(look, Role.SELLER, Role.BUYER, Role.INVESTOR)
    try:
        documents.check_kind(kind)
        kept = uploads.keep_file()
        with services().database.session() as session:
            documents.add(session, actor(), kind, kept, look.now)
    except (Invalid, FileTooLarge, FileTypeRefused, FileQuotaReached, UnsupportedMediaType) as error:
        words = "Choose a file first." if isinstance(error, Invalid) else f"{str(error)[:1].upper()}{str(error)[1:]}."
        flash(words, "bad")
    else:
        flash(f"{checks.DOCUMENTS[kind]}: handed in.", "good")
    return make_response(redirect(url_for("pages.identity") + "#papers", 303))


@blueprint.get("/kyc-reviews")
@page_login_required
def kyc_queue() -> Response:
    """Whose KYC waits, and everybody else's."""
    wanted = "all" if request.args.get("state") == "all" else choice("state", STATES) or "submitted"
    with looking() as look:
        only(look, Role.OPERATOR)
        found = queries.queue(
            look.db,
            look.actor,
            limit=limit(),
            cursor=cursor(),
            state=None if wanted == "all" else wanted,
            search=search(),
        )
        return look.show(
            "pages/kyc_queue.html",
            people=found["items"],
            next_cursor=found["next_cursor"],
            state=wanted,
            states=STATES,
            waiting=queries.waiting(look.db),
            search=search(),
            constitutions=CONSTITUTIONS,
        )


def _review(look: Look, user_id: UUID, form: Form, status: int = 200) -> Response:
    found: dict[str, Any] = queries.review(look.db, look.actor, user_id)
    after = MOVES[State(found["state"])] - {State(found["state"])}
    return look.show(
        "pages/kyc_review.html",
        status,
        kyc=found,
        person=found["user"],
        form=form,
        labels=_LABELS,
        constitutions=CONSTITUTIONS,
        kinds=checks.DOCUMENTS,
        failed=sum(not each["passed"] for each in found["checks"]),
        decisions=[name for name, state in _DECISIONS.items() if state in after and found["version"]],
    )


@blueprint.get("/kyc-reviews/<uuid:user_id>")
@page_login_required
def kyc_review(user_id: UUID) -> Response:
    """One person's KYC: what was handed in, the checks in words, and the decision."""
    with looking() as look:
        only(look, Role.OPERATOR)
        return _review(look, user_id, Form({}))


@blueprint.post("/kyc-reviews/<uuid:user_id>")
@page_login_required
def decide_kyc(user_id: UUID) -> Response:
    """Decide, for a reason."""
    form = Form(request.form)
    reason, decision = form.text("reason", "a reason", limit=500), form.raw("decision")
    version = form.raw("version")
    if decision not in _DECISIONS:
        form.errors["form"] = "Choose a decision."
    if not version.isdecimal() or len(version) > 9:
        form.errors["form"] = "Load the page again."
    with looking() as look:
        only(look, Role.OPERATOR)
        if not form:
            return _review(look, user_id, form, 422)
        try:
            kyc.decide(
                look.db,
                look.actor,
                user_id,
                decision,  # type: ignore[arg-type]  # It is one of _DECISIONS.
                reason,
                look.now,
                version=int(version),
            )
        except (Conflict, Forbidden) as error:
            form.errors["form"] = f"{str(error)[:1].upper()}{str(error)[1:]}."
            return _review(look, user_id, form, 409)
    flash(f"This person is {_DONE[decision]} now, and was told why.", "good")
    return make_response(redirect(url_for("pages.kyc_queue"), 303))

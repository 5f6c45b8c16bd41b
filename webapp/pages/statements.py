"""Statements: bringing a file, saying what its columns are, looking it over, taking it in; and lines by hand."""

from __future__ import annotations

from collections.abc import Mapping as Values
from typing import Any
from uuid import UUID

from flask import Response, flash, make_response, redirect, request, url_for
from pydantic import ValidationError

from core.banking import statement_accounts as book
from core.banking import statement_queries as queries
from core.banking import statement_taking as taking
from core.banking import statements as store
from core.banking.statement_accounts import Wanted
from core.banking.statement_taking import NewLine
from core.errors import Conflict, Invalid, PlatformError
from core.files import FileQuotaReached, FileTooLarge
from core.identity import Role
from core.ids import parse_id
from core.statement_files import Mapping
from core.statement_files.amounts import DATE_FORMATS
from webapp import auth, bringing, limits, uploads
from webapp.auth import page_login_required
from webapp.pages import blueprint, render
from webapp.pages.forms import Form
from webapp.pages.shell import Look, choice, cursor, limit, looking, only
from webapp.services import services

FATES = {"new": "New", "known": "Known", "duplicate": "Told elsewhere"}
FORMATS = {"csv": "CSV", "ofx": "OFX", "camt053": "CAMT.053", "mt940": "MT940", "hand": "By hand"}
STATES = {
    "asking": ("Asks something", "warn"),
    "ready": ("Looked over", "accent"),
    "taking": ("Being taken in", "accent"),
    "done": ("Taken in", "good"),
    "undone": ("Undone", ""),
}
NEW = "new"
# What a column may be, each once but the text, which may be several.
MEANINGS = {
    "date": "Date",
    "valued": "Value date",
    "narration": "Text",
    "reference": "Reference",
    "counterparty": "Payer or payee",
    "amount": "Amount with sign",
    "debit": "Money out",
    "credit": "Money in",
    "mark": "CR or DR",
    "balance": "Balance",
    "currency": "Currency",
}
_REFUSED = (Invalid, Conflict, FileTooLarge, FileQuotaReached)


def _wanted(form: Form) -> Wanted:
    """The account that was chosen, or the new one that was named."""
    chosen = form.raw("account")
    if chosen and chosen != NEW:
        return Wanted(id=parse_id(chosen))
    name = form.raw("account_name")
    return Wanted(name=name or None, currency=(form.raw("currency").upper() or None) if name else None)


def _blame(form: Form, error: PlatformError) -> None:
    words = error.message if isinstance(error, Invalid) else str(error)
    fields = {"account_name": "account_name", "currency": "currency", "account": "account", "file": "file",
              "mapping": "form", "mapping.amount": "form", "booked_on": "booked_on", "narration": "narration",
              "amount": "amount", "account_id": "account"}  # fmt: skip
    name = fields.get(error.field, "form") if isinstance(error, Invalid) else "form"
    form.errors.setdefault(name, f"{words[:1].upper()}{words[1:]}.".replace("..", "."))


def _list(look: Look, form: Form, status: int = 200) -> Response:
    only(look, Role.SELLER, Role.OPERATOR)
    return look.show(
        "pages/statements.html",
        status,
        **queries.list_statements(look.db, look.actor, limit=limit(), cursor=cursor()),
        accounts=book.accounts(look.db, look.actor),
        form=form,
        states=STATES,
        formats=FORMATS,
    )


@blueprint.get("/statements")
@page_login_required
def statements() -> Response:
    """What was brought, newest first, and the place to bring more."""
    with looking() as look:
        return _list(look, Form({}))


@blueprint.post("/statements")
@uploads.takes_file
@limits.upload_limit
@page_login_required
def bring_statement() -> Response:
    """Bring a file; what it says and asks is on its own page."""
    form = Form(request.form)
    try:
        name, content = uploads.read_file()
        made = bringing.bring(auth.actor(), name, content, _wanted(form), None)
    except _REFUSED as error:
        _blame(form, error)
        with looking() as look:
            return _list(look, form, 422)
    return make_response(redirect(url_for("pages.statement", statement_id=made), 303))


def _one(look: Look, statement_id: UUID, form: Form | None = None, status: int = 200) -> Response:
    found = queries.get_statement(look.db, look.actor, statement_id)
    fate = choice("fate", FATES)
    asks = found["state"] == "asking" or (found["state"] == "ready" and (form is not None or "edit" in request.args))
    shown: dict[str, Any] = {"items": [], "next_cursor": None}
    if not asks and found["state"] != "undone":
        shown = queries.list_lines(look.db, look.actor, statement_id, limit=limit(), cursor=cursor(), fate=fate)
    return look.show(
        "pages/statement.html",
        status,
        **shown,
        statement=found,
        asks=asks,
        form=Form(_filled(found)) if form is None else form,
        accounts=book.accounts(look.db, look.actor),
        meanings=MEANINGS,
        date_formats=DATE_FORMATS,
        states=STATES,
        formats=FORMATS,
        fates=FATES,
        fate=fate,
    )


def _filled(found: dict[str, Any]) -> dict[str, str]:
    """The form as the guess has it: column by column."""
    guess = found["mapping"] or (found["table"] or {}).get("guess") or {}
    filled = {"account": (found["account"] or {}).get("id", ""), "currency": found["currency"] or ""}
    for meaning in MEANINGS:
        places = guess.get(meaning)
        for place in places if isinstance(places, list | tuple) else [places]:
            if place is not None:
                filled[f"column-{place}"] = meaning
    filled["date_format"] = guess.get("date_format", "%d-%m-%Y")
    filled["decimal"] = guess.get("decimal", ".")
    filled["turned"] = "1" if guess.get("turned") else ""
    return filled


@blueprint.get("/statements/<uuid:statement_id>")
@page_login_required
def statement(statement_id: UUID) -> Response:
    """One statement: what it asks, what is in it, what became of it."""
    with looking() as look:
        return _one(look, statement_id)


def _mapping(values: Values[str, str]) -> Mapping | None:
    """The mapping that the form says; None for a file that needs none. Raises Invalid."""
    if "date_format" not in values:
        return None
    found: dict[str, Any] = {"narration": []}
    for name, meaning in values.items():
        column = name.removeprefix("column-")
        if name == column or not column.isdigit() or meaning not in MEANINGS:
            continue
        if meaning == "narration":
            found["narration"].append(int(column))
        elif meaning in found:
            raise Invalid("mapping", f"Two columns are said to be {MEANINGS[meaning].lower()}")
        else:
            found[meaning] = int(column)
    if "date" not in found:
        raise Invalid("mapping", "Say which column is the date")
    try:
        return Mapping(
            **found,
            date_format=values["date_format"],
            decimal="," if values.get("decimal") == "," else ".",
            turned=bool(values.get("turned")),
        )
    except ValidationError as error:
        raise Invalid("mapping", "These columns cannot be read so") from error


@blueprint.post("/statements/<uuid:statement_id>")
@limits.upload_limit
@page_login_required
def answer_statement(statement_id: UUID) -> Response:
    """Say which account it is of, and what its columns mean; it is read anew."""
    form = Form(request.form)
    wanted = _wanted(form)
    try:
        if wanted.id is None and wanted.name is None:
            raise Invalid("account", "Choose an account, or name a new one")
        bringing.answer(auth.actor(), statement_id, wanted, _mapping(request.form))
    except _REFUSED as error:
        _blame(form, error)
        with looking() as look:
            return _one(look, statement_id, form, 422)
    return make_response(redirect(url_for("pages.statement", statement_id=statement_id), 303))


def _act(statement_id: UUID, verb: str) -> Response:
    here = url_for("pages.statement", statement_id=statement_id)
    try:
        with services().database.session() as session:
            match verb:
                case "confirm":
                    bringing.take_in(session, auth.actor(), statement_id)
                case "drop":
                    store.drop(session, auth.actor(), statement_id, auth.now())
                case _:
                    gone = taking.undo(session, auth.actor(), statement_id, auth.now())
                    flash(f"Undone: {gone} transaction{'' if gone == 1 else 's'} taken back.", "good")
    except (Conflict, Invalid) as error:
        return render.refused(f"{str(error)[:1].upper()}{str(error)[1:]}.", here, 409)
    if verb == "confirm":
        bringing.ring()
    return make_response(redirect(url_for("pages.statements") if verb == "drop" else here, 303))


@blueprint.post("/statements/<uuid:statement_id>/confirm")
@page_login_required
def confirm_statement(statement_id: UUID) -> Response:
    """Take it in."""
    return _act(statement_id, "confirm")


@blueprint.post("/statements/<uuid:statement_id>/drop")
@page_login_required
def drop_statement(statement_id: UUID) -> Response:
    """Throw it away before it is taken in."""
    return _act(statement_id, "drop")


@blueprint.route("/statements/<uuid:statement_id>/undo", methods=["GET", "POST"])
@page_login_required
def undo_statement(statement_id: UUID) -> Response:
    """Take back what it brought; without JavaScript a page asks first."""
    if request.method == "POST":
        return _act(statement_id, "undo")
    with looking() as look:
        found = queries.get_statement(look.db, look.actor, statement_id)
        return look.show("pages/statement_ask.html", statement=found)


@blueprint.get("/statements/<uuid:statement_id>/file")
@page_login_required
def statement_file(statement_id: UUID) -> Response:
    """The file as it was brought."""
    with looking() as look:
        stored = queries.get_file(look.db, look.actor, statement_id)
    return uploads.send_file(stored, services().cabinet.read(stored.sha256))


@blueprint.route("/statements/line", methods=["GET", "POST"])
@page_login_required
def enter_line() -> Response:
    """Type one line of a bank account by hand."""
    form = Form(request.form if request.method == "POST" else {})
    with looking() as look:
        only(look, Role.SELLER)
        own = book.accounts(look.db, look.actor)
        made = _entered(look, form, own) if request.method == "POST" else None
        if made is None:
            shown = {"form": form, "accounts": own, "today": look.now.date()}
            return look.show("pages/statement_line.html", 422 if form.errors else 200, **shown)
    bringing.ring()
    flash("The line is on your books.", "good")
    return make_response(redirect(url_for("pages.transaction", transaction_id=made), 303))


def _entered(look: Look, form: Form, own: list[book.Account]) -> UUID | None:
    """The transaction that was made of the form; None where something is wrong with it."""
    wanted = _wanted(form)
    known = next((each for each in own if each.id == wanted.id or each.name == wanted.name), None)
    if known is None and wanted.name is None:
        form.errors["account"] = "Choose an account, or name a new one."
    day = form.day("booked_on", "the day")
    words = form.text("narration", "what the bank says", limit=1000)
    currency = known.currency if known else wanted.currency or "INR"
    try:
        minor = form.amount("amount", "the amount", currency)
    except Invalid as error:
        minor = None
        _blame(form, error)
    if not form or day is None or minor is None:
        return None
    new = NewLine(
        account=wanted,
        amount=-minor if form.raw("direction") == "out" else minor,
        booked_on=day,
        narration=words,
        counterparty=form.raw("counterparty")[:200] or None,
        reference=form.raw("reference")[:100] or None,
    )
    try:
        with look.db.begin_nested():
            return taking.add_line(look.db, look.actor, new, look.now, services().rules.calendar)[1]
    except (Invalid, Conflict) as error:
        _blame(form, error)
        return None

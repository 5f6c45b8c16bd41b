"""Exchange rates: what is kept, one more by hand, and files of them."""

from __future__ import annotations

from flask import Response, flash, make_response, redirect, request, url_for

from core.errors import Conflict, Invalid, NotFound
from core.files import FileTooLarge
from core.identity import Role
from core.invoicing import rate_feeds
from core.invoicing import rates as keeping
from core.invoicing.rates import Rate
from webapp import limits, uploads
from webapp.api.rates import ring_for_rates, taken
from webapp.auth import page_login_required
from webapp.pages import blueprint, render
from webapp.pages.format import spoken
from webapp.pages.forms import Form
from webapp.pages.invoice_forms import CURRENCIES
from webapp.pages.shell import Look, choice, cursor, limit, looking, only
from webapp.services import services

SOURCES = {"hand": "By hand", "csv": "From a file", "provider": "European Central Bank"}
_LABELS = {"currency": "Currency", "day": "Day", "rate": "Rate", "file": "File"}


def _page(look: Look, form: Form, status: int = 200, *, wrong: list[tuple[int, str]] | None = None) -> Response:
    currency = choice("currency", CURRENCIES)
    found = keeping.list_rates(look.db, look.actor, limit=limit(), cursor=cursor(), currency=currency)
    home = keeping.home_currency(look.db, look.actor.id)
    return look.show(
        "pages/rates.html",
        status,
        **found,
        form=form,
        labels=_LABELS,
        home=home,
        currencies={code: name for code, name in CURRENCIES.items() if code != home},
        chosen=currency,
        sources=SOURCES,
        wrong=wrong,
        fresh=keeping.FRESH_DAYS,
        today=look.now.date(),
        fetching=rate_feeds.feed(look.db, look.actor.id),
        made_up=services().settings.rates_base.startswith(f"{services().settings.base_url}/"),
    )


@blueprint.get("/rates")
@page_login_required
def rates() -> Response:
    """Exchange rates, the newest day first."""
    with looking() as look:
        only(look, Role.SELLER, Role.OPERATOR)
        return _page(look, Form({}))


@blueprint.post("/rates")
@page_login_required
def add_rate() -> Response:
    """Write a rate down; one of the same day is replaced."""
    form = Form(request.form)
    with looking() as look:
        only(look, Role.SELLER)
        day = form.day("day", "a day")
        home = keeping.home_currency(look.db, look.actor.id)
        if day is not None:
            try:
                given = Rate(
                    currency=form.raw("currency"), home=home, day=day, rate=keeping.decimal_of(form.raw("rate"))
                )
                keeping.write(look.db, look.actor, [keeping.check(given)], "hand", look.now)
            except Invalid as error:
                form.blame(error)
        if not form:
            return _page(look, form, 422)
    flash("The rate was saved.", "good")
    return make_response(redirect(url_for("pages.rates"), 303))


@blueprint.post("/rates/feed")
@limits.upload_limit
@page_login_required
def switch_rates() -> Response:
    """Have rates fetched (`do` is on), no more (off), or at once (now)."""
    do = request.form.get("do")
    try:
        with looking() as look:
            only(look, Role.SELLER)
            if do == "now":
                rate_feeds.fetch_now(look.db, look.actor, look.now)
            else:
                rate_feeds.switch(look.db, look.actor, look.now, on=do == "on")
    except Conflict as error:
        return render.refused(spoken(str(error), "INR"), url_for("pages.rates"), 409)
    ring_for_rates()
    told = "Rates are not fetched any more; those that came stay." if do == "off" else "The rates are being fetched."
    return render.done(told, url_for("pages.rates"))


@blueprint.post("/rates/import")
@uploads.takes_file
@limits.upload_limit
@page_login_required
def import_rates() -> Response:
    """Bring a file of rates. With a single wrong line nothing of it is kept."""
    form = Form({})
    wrong: list[tuple[int, str]] = []
    done = None
    with looking() as look:
        only(look, Role.SELLER)
        person, home = look.actor, keeping.home_currency(look.db, look.actor.id)
    try:
        _, content = uploads.read_file()
        done = taken(person, content, home)
        wrong = [(line["line"], line["message"]) for line in done["errors"]]
    except Invalid as error:
        form.blame(Invalid("file", error.message))
    except FileTooLarge:
        form.errors["file"] = "The file is larger than 5 MB."
    if done is None or wrong:
        with looking() as look:
            return _page(look, form, 422, wrong=wrong)
    flash(f"{done['added']} new, {done['changed']} changed, {done['unchanged']} as they were.", "good")
    return make_response(redirect(url_for("pages.rates"), 303))


@blueprint.post("/rates/remove")
@page_login_required
def remove_rate() -> Response:
    """Forget a rate."""
    form = Form(request.form)
    with looking() as look:
        only(look, Role.SELLER)
        day = form.day("day", "a day")
        if day is None:
            raise NotFound("exchange rate")
        keeping.remove(look.db, look.actor, currency=form.raw("currency"), home=form.raw("home"), day=day, now=look.now)
    flash("The rate was removed.", "good")
    return make_response(redirect(url_for("pages.rates"), 303))

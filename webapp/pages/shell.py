"""What is around every page: navigation by role, template names, and `looking`, by which a page reads."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from flask import Response, current_app, request, url_for
from flask.sansio.blueprints import BlueprintSetupState
from sqlalchemy.orm import Session

from connectors import registry
from core import live, notifications
from core.errors import Forbidden
from core.identity import Actor, Role
from core.live import default_rooms
from core.reconciliation import words
from webapp import auth
from webapp.pages import blueprint, render
from webapp.pages import format as formats
from webapp.services import services


@dataclass(frozen=True, slots=True)
class _Place:
    endpoint: str
    label: str
    icon: str
    roles: frozenset[Role]
    # Outside a demo only operators have one.
    demo: bool = False


_OWNERS = frozenset({Role.SELLER, Role.OPERATOR})
_SELLERS = frozenset({Role.SELLER})
_EVERYONE = frozenset(Role)
_BOOKS = frozenset({Role.SELLER, Role.BUYER, Role.OPERATOR})
_OPERATORS = frozenset({Role.OPERATOR})
_INVESTORS = frozenset({Role.INVESTOR})
_PEOPLE = frozenset({Role.SELLER, Role.BUYER, Role.INVESTOR})
_MARKET = frozenset({Role.SELLER, Role.INVESTOR, Role.OPERATOR})
_PLACES: tuple[tuple[str, tuple[_Place, ...]], ...] = (
    (
        "",
        (_Place("dashboard", "Dashboard", "layout-dashboard", _EVERYONE),),
    ),
    (
        "Sales",
        (
            _Place("invoices", "Invoices", "file-invoice", _BOOKS),
            _Place("contacts", "Contacts", "users", _OWNERS),
            _Place("recurring", "Recurring", "repeat", _SELLERS),
            _Place("payments", "Payments", "cash", _BOOKS),
        ),
    ),
    (
        "Bank",
        (
            _Place("reconcile", "Reconcile", "git-merge", _SELLERS),
            _Place("transactions", "Transactions", "arrows-exchange", _OWNERS),
            _Place("reports", "Reports", "chart-pie", _OWNERS),
        ),
    ),
    (
        "Financing",
        (
            _Place("marketplace", "Marketplace", "briefcase", _MARKET),
            _Place("portfolio", "Portfolio", "chart-pie", _INVESTORS),
            _Place("financing", "Financing", "cash-banknote", _BOOKS),
            _Place("wallet", "Wallet", "wallet", _PEOPLE),
        ),
    ),
    (
        "Sources",
        (
            _Place("connections", "Connections", "plug-connected", _OWNERS),
            _Place("deliveries", "Deliveries", "webhook", _OWNERS),
            _Place("quarantine", "Quarantine", "shield-x", _OPERATORS),
        ),
    ),
    (
        "Operations",
        (
            _Place("kyc_queue", "KYC", "shield-check", _OPERATORS),
            _Place("reviews", "Reviews", "alert-triangle", _OPERATORS),
            _Place("ledger", "Ledger", "scale", _OPERATORS),
        ),
    ),
    (
        "You",
        (
            _Place("business", "Business", "settings", _SELLERS),
            _Place("identity", "Identity", "shield-check", _PEOPLE),
            _Place("mailbox", "Mailbox", "inbox", _EVERYONE, demo=True),
        ),
    ),
)

# The bar at the bottom of a phone has room for four places beside the menu: what each role goes back to most.
_QUICK: dict[Role, dict[str, str]] = {
    Role.SELLER: {"dashboard": "Home", "invoices": "Invoices", "financing": "Financing", "wallet": "Wallet"},
    Role.BUYER: {"dashboard": "Home", "invoices": "Invoices", "financing": "To confirm", "payments": "Payments"},
    Role.INVESTOR: {"dashboard": "Home", "marketplace": "Market", "portfolio": "Portfolio", "wallet": "Wallet"},
    Role.OPERATOR: {"dashboard": "Home", "kyc_queue": "KYC", "reviews": "Reviews", "ledger": "Ledger"},
}


def _is_at(place: str) -> bool:
    return request.path == place or request.path.startswith(f"{place}/")


def _navigation(actor: Actor) -> list[dict[str, Any]]:
    groups, demo = [], services().settings.demo_mode
    for title, places in _PLACES:
        entries = [
            {
                "url": url_for(f"pages.{place.endpoint}"),
                "label": place.label,
                "short": _QUICK[actor.role].get(place.endpoint, ""),
                "icon": place.icon,
                "current": _is_at(url_for(f"pages.{place.endpoint}")),
            }
            for place in places
            if actor.role in place.roles and (demo or not place.demo or actor.is_operator)
        ]
        if entries:
            groups.append({"title": title, "entries": entries})
    return groups


@dataclass(slots=True, kw_only=True)
class Look:
    """One reading of the books by one person, and the feed numbers it is at least as new as."""

    db: Session
    actor: Actor
    now: datetime
    feed: Mapping[str, int]
    joined: tuple[str, ...] = ()
    values: dict[str, Any] = field(default_factory=dict)

    def show(self, template: str, code: int = 200, /, **values: Any) -> Response:
        """The page, inside the shell."""
        navigation = _navigation(self.actor)
        return render.show(
            template,
            code,
            actor=self.actor,
            now=self.now,
            feed=dict(self.feed),
            joined=self.joined,
            unread=notifications.unread(self.db, self.actor),
            navigation=navigation,
            quick=[entry for group in navigation for entry in group["entries"] if entry["short"]],
            **values,
        )


@contextmanager
def looking(*joined: str) -> Iterator[Look]:
    """Read as the signed-in person. `joined` are the rooms that the page listens to beside the personal ones."""
    actor = auth.actor()
    rooms = [*default_rooms(actor), *joined]
    with services().database.session() as db:
        # The numbers first: what is read after them can only be newer, so the page misses nothing.
        feed = live.sequences(db, rooms)
        yield Look(db=db, actor=actor, now=render.now(), feed=feed, joined=joined)


def only(look: Look, *roles: Role) -> None:
    """Refuse whoever has another role, in words for people."""
    if look.actor.role not in roles:
        raise Forbidden(f"This page is for {' and '.join(f'{role.value}s' for role in roles)}.")


def limit() -> int:
    """How many rows a list shows: 25, or as many as it has grown to."""
    wanted = request.args.get("limit", "")
    return max(1, min(100, int(wanted))) if wanted.isascii() and wanted.isdigit() and len(wanted) < 4 else 25


def cursor() -> str | None:
    """Where a list goes on."""
    return request.args.get("cursor") or None


def choice(name: str, allowed: Mapping[str, str]) -> str | None:
    """A filter's value, or None for anything that is not offered."""
    value = request.args.get(name, "")
    return value if value and value in allowed else None


def search() -> str | None:
    """The words searched for."""
    return request.args.get("search", "").replace("\x00", "").strip()[:100] or None


@lru_cache(maxsize=64)
def _fingerprint(path: str, _changed: float) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12]


def _asset(filename: str) -> str:
    # The address changes with the content, so that an update is seen at once.
    path = Path(current_app.static_folder or "") / filename
    if not path.is_file():
        return url_for("static", filename=filename)
    return url_for("static", filename=filename, v=_fingerprint(str(path), path.stat().st_mtime))


def _title(slug: str) -> str:
    known = registry.all().get(slug)
    return known.title if known else slug


def _moment(value: datetime | str) -> datetime:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


@blueprint.record_once
def _words(setup: BlueprintSetupState) -> None:
    """Filters and functions of the templates. A template is compiled before any request's names are made."""
    environment = setup.app.jinja_env
    environment.filters.update(
        money=lambda minor, currency, plus=False: formats.money(
            minor, currency, render.preferences()["locale"], plus=plus
        ),
        percent=formats.percent,
        rate=formats.rate,
        decimal=formats.decimal,
        relative=lambda value: formats.relative(value, render.now()),
        absolute=formats.absolute,
        clock=formats.clock,
        day=formats.day,
        plain=formats.plain,
        method=formats.method,
        exchange_rate=formats.exchange_rate,
        spoken=lambda words: formats.spoken(words, "INR", render.preferences()["locale"]),
        count=formats.count,
        ms=formats.milliseconds,
        size=formats.size,
        initials=formats.initials,
        reasons=words.reasons,
        stops=words.stops,
        history=formats.history,
        field_words=formats.field_words,
        changed_value=lambda value, field, currency: formats.changed_value(
            value, field, currency, render.preferences()["locale"]
        ),
        highlight=render.highlight,
        connector_title=_title,
        capitalize_first=lambda words: words[:1].upper() + words[1:],
        seconds=formats.seconds,
        iso_relative=lambda text: formats.relative(_moment(text), render.now()),
        iso_absolute=lambda text: formats.absolute(_moment(text)),
    )
    environment.globals.update(
        state=formats.state,
        asset=_asset,
        here=render.query,
        here_with_fragment=lambda block: render.query(fragment=block),
        here_with_cursor=lambda cursor, block=None: render.query(cursor=cursor, fragment=block),
        trust_meaning=formats.TRUST_MEANING,
    )


@blueprint.app_context_processor
def _names() -> dict[str, Any]:
    """Names that every template knows. Nothing here may touch the database: error pages use them too."""
    prefs = render.preferences()
    moment = render.now()
    environment = current_app.jinja_env
    return {
        "prefs": prefs,
        "today": moment.date(),
        "demo_mode": services().settings.demo_mode,
        "ui": environment.get_template("components/ui.html").module,
    }

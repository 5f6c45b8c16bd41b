"""Rendering: the values every page has, fragments of a page, answers to htmx, and values shown once."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from flask import Response, current_app, flash, make_response, redirect, request, session
from markupsafe import Markup, escape

from webapp.pages import format as formats

_MAX_LOCALE = 16
_SHELL = "shell.html"


def preferences() -> dict[str, str]:
    """Theme and locale of whoever looks, from a cookie that the profile page sets."""
    theme, locale = request.cookies.get("theme", "auto"), request.cookies.get("locale", "auto")[:_MAX_LOCALE]
    return {
        "theme": theme if theme in formats.THEMES else "auto",
        "locale": locale if locale in formats.LOCALES else "auto",
    }


def now() -> datetime:
    """The moment a page is made at: the one place where pages look at the clock."""
    return datetime.now(UTC)


def is_fragment() -> bool:
    """Whether htmx asks, and so for a part of a page."""
    return request.headers.get("HX-Request") == "true"


def show(template: str, code: int = 200, /, **values: Any) -> Response:
    """A page; or, when htmx asks with ?fragment=<block>, only that block of it."""
    made = current_app.jinja_env.get_template(template)
    context: dict[str, Any] = dict(values)
    current_app.update_template_context(context)
    if "actor" in context:
        # Macros that look at who looks. Imported here, because a block rendered alone has no imports of its own.
        context["lists"] = current_app.jinja_env.get_template("components/lists.html").make_module(context)
    block = request.args.get("fragment", "") if is_fragment() else ""
    # A block that the page has from the shell (the bell) is known to the shell alone.
    holder = made if block in made.blocks else current_app.jinja_env.get_template(_SHELL)
    if block.startswith("f_") and block in holder.blocks:
        text = "".join(holder.blocks[block](holder.new_context(context)))
    else:
        text = made.render(context)
    answer = make_response(text, code)
    answer.headers["Cache-Control"] = "no-store"
    answer.headers.add("Vary", "HX-Request")
    return answer


def readable(body: bytes) -> str:
    """A body for people to read: JSON with room around it, anything else as it is."""
    text = body.decode(errors="replace")
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text


def done(message: str, target: str, *, events: Mapping[str, object] | None = None) -> Response:
    """The answer to an action that worked: a toast for htmx, which refreshes by itself; else a redirect."""
    if is_fragment():
        answer = make_response("", 204)
        answer.headers["HX-Trigger"] = json.dumps({"toast": {"title": message, "tone": "good"}, **(events or {})})
        return answer
    flash(message, "good")
    return make_response(redirect(target, 303))


def refused(message: str, target: str, status: int) -> Response:
    """The answer to an action that did not work."""
    if is_fragment():
        answer = make_response("", status)
        answer.headers["HX-Reswap"] = "none"
        answer.headers["HX-Trigger"] = json.dumps({"toast": {"title": message, "tone": "bad"}})
        return answer
    flash(message, "bad")
    return make_response(redirect(target, 303))


def back(default: str) -> str:
    """Where a form was sent from, as a path of this site, or `default`."""
    wanted = request.form.get("next") or request.args.get("next") or ""
    parts = urlsplit(wanted)
    safe = wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and not parts.netloc and "\\" not in wanted
    return wanted if safe and wanted.isprintable() else default


def _shown_at() -> str:
    """The path that shows this page: after a refused form, that of the page on which the form stands."""
    path = request.path
    if request.method == "POST" and (routes := current_app.create_url_adapter(request)) is not None:
        while path.count("/") > 1 and not routes.test(path, "GET"):
            path = path.rpartition("/")[0]
    return path


def query(**changes: str | None) -> str:
    """The present address with some of its parameters changed; the fragment is never part of it."""
    values = {name: value for name, value in request.args.items() if name not in ("fragment", "cursor")}
    for name, value in changes.items():
        if value:
            values[name] = value
        else:
            values.pop(name, None)
    return _shown_at() + ("?" + urlencode(values) if values else "")


def _sealer() -> AESGCM:
    return AESGCM(hashlib.sha256(b"shown-once:" + str(current_app.secret_key).encode()).digest())


def keep_once(name: str, value: Mapping[str, str]) -> None:
    """Keep something for the page after the redirect, sealed: the session cookie is signed, not secret."""
    nonce = os.urandom(12)
    sealed = nonce + _sealer().encrypt(nonce, json.dumps(dict(value)).encode(), name.encode())
    session[f"once:{name}"] = base64.urlsafe_b64encode(sealed).decode()


def take_once(name: str) -> dict[str, str] | None:
    """What `keep_once` kept, the first time it is asked for; None after that."""
    text = session.pop(f"once:{name}", None)
    if not isinstance(text, str):
        return None
    try:
        raw = base64.urlsafe_b64decode(text)
        found = json.loads(_sealer().decrypt(raw[:12], raw[12:], name.encode()))
    except (ValueError, InvalidTag):
        return None
    return {str(key): str(value) for key, value in found.items()}


class _Number(str):
    """A number exactly as it was written."""

    __slots__ = ()


def highlight(text: str) -> Markup | None:
    """JSON, indented and coloured; None when the text is none."""
    try:
        pieces = _pieces(json.loads(text, parse_float=_Number, parse_int=_Number), "")
        # Every piece is escaped where it is made.
        return Markup("".join(pieces))  # noqa: S704
    except (ValueError, RecursionError):
        return None


def _span(kind: str, text: str) -> str:
    return f'<span class="{kind}">{escape(text)}</span>'


def _pieces(value: Any, pad: str) -> Iterator[str]:
    if isinstance(value, dict | list) and value:
        inner, comma = pad + "  ", ""
        opening, closing = "{}" if isinstance(value, dict) else "[]"
        yield opening
        for entry in value.items() if isinstance(value, dict) else value:
            yield f"{comma}\n{inner}"
            comma = ","
            if isinstance(value, dict):
                yield _span("k", json.dumps(entry[0], ensure_ascii=False)) + ": "
            yield from _pieces(entry[1] if isinstance(value, dict) else entry, inner)
        yield f"\n{pad}{closing}"
    elif isinstance(value, _Number):
        yield _span("n", value)
    elif isinstance(value, str):
        yield _span("s", json.dumps(value, ensure_ascii=False))
    else:
        yield _span("c", json.dumps(value))

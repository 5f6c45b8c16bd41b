"""Rate limits of what may be tried: signing in, registering, refreshing, uploading, sending, asking the registry.

Counted in Redis over all processes; with Redis down, in the memory of each.
"""

from __future__ import annotations

from flask import Flask, Response, request
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address

from config.settings import Settings

limiter = Limiter(
    get_remote_address,
    strategy="sliding-window-counter",
    in_memory_fallback_enabled=True,
    swallow_errors=True,
)

_MAX_KEY = 300


def _address_and_email() -> str:
    body = request.get_json(silent=True, cache=True) if request.is_json else request.form
    email = body.get("email") if isinstance(body, dict) else None
    named = email.strip().lower() if isinstance(email, str) else ""
    return f"{get_remote_address()} {named.encode('ascii', 'backslashreplace').decode()}"[:_MAX_KEY]


def _who() -> str:
    """The person who asks, wherever from; a stranger by their address."""
    # Here, as auth is made of limits.
    from webapp.auth import current_actor  # noqa: PLC0415

    found = current_actor()
    return get_remote_address() if found is None else str(found.id)


def _failed(response: Response) -> bool:
    return response.status_code >= 400


# Only failures count, so that a script which signs in rightly a hundred times is not locked out.
login_limit = limiter.shared_limit(
    "10 per minute;50 per hour", scope="login", key_func=_address_and_email, deduct_when=_failed
)
login_address_limit = limiter.shared_limit("100 per minute", scope="login-address", deduct_when=_failed)
register_limit = limiter.shared_limit("60 per minute", scope="register")
# Files are sealed and flushed to disk one by one.
upload_limit = limiter.shared_limit("60 per minute", scope="upload")
# A conversation, not a flood: every comment is told to all parties.
talk_limit = limiter.shared_limit("120 per minute", scope="talk")
# Whoever may ask whether an invoice is financed shall not ask for all of them.
registry_limit = limiter.shared_limit("120 per minute;1000 per hour", scope="registry")
# A link by mail is too long to be guessed; this keeps the trying cheap for us.
link_limit = limiter.shared_limit("60 per minute", scope="link")
# Every one is a mail to somebody who did not ask for it; how many a day is counted in core.correspondence.allowance.
send_limit = limiter.shared_limit("60 per minute", scope="send", key_func=_who)
# The page behind an invoice's link asks again every few seconds while it waits.
customer_limit = limiter.shared_limit("240 per minute", scope="customer")
# A file is set for each.
paper_limit = limiter.shared_limit("60 per minute", scope="paper")
# Each may make a provider do something.
pay_limit = limiter.shared_limit("20 per minute", scope="pay")
refresh_limit = limiter.shared_limit("120 per minute", scope="refresh")


def install(app: Flask, settings: Settings) -> None:
    """Bind the limiter to an app."""
    url = settings.redis_url or "memory://"
    options: dict[str, object] = {}
    if url.startswith("unix://"):
        url = "redis+unix://" + url.removeprefix("unix://")
    if not url.startswith("memory"):
        # A frozen Redis must not hold up a sign-in.
        options = {"socket_timeout": 0.5, "socket_connect_timeout": 0.5}
    app.config.setdefault("RATELIMIT_STORAGE_URI", url)
    app.config.setdefault("RATELIMIT_STORAGE_OPTIONS", options)
    limiter.init_app(app)

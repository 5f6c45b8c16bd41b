"""Where a request goes: below the API base, also when a link names the documented base instead."""

from __future__ import annotations

from urllib.parse import SplitResult, unquote, urlsplit

from connectors.base import Api
from core.errors import Permanent


def address_of(url: str, *, slug: str, api: Api, base: str, allow_local: bool) -> str:
    """The address that a connector's `url` stands for under the configured `base`, which has no trailing slash.

    Raises Permanent for a base that is no https address (http where `allow_local`), and for a link elsewhere.
    """
    configured = urlsplit(base)
    if configured.scheme not in ("https", "http") or not configured.hostname or configured.username or configured.query:
        raise Permanent(f"{slug}: the API base is not an https address")
    if configured.scheme == "http" and not allow_local:
        raise Permanent(f"{slug}: the API base must be https")
    given = _split(url)
    if given is None or given.username is not None or given.password is not None:
        raise Permanent(f"{slug}: a link cannot be read")
    if url.startswith("/") and not url.startswith("//"):
        return base + url
    for allowed in (configured, urlsplit(api.base.rstrip("/"))):
        same_path = given.path == allowed.path or given.path.startswith(allowed.path.rstrip("/") + "/")
        if _origin(given) == _origin(allowed) and same_path:
            rest = given.path[len(allowed.path) :] + (f"?{given.query}" if given.query else "")
            return base + rest
    for documented in api.also:
        other = urlsplit(documented)
        if _origin(given) == _origin(other) and given.path.startswith(other.path.rstrip("/") + "/"):
            # A sandbox has further hosts of its own beside its API.
            if base == api.base.rstrip("/") or _siblings(configured, other):
                return url
            return base + given.path + (f"?{given.query}" if given.query else "")
    raise Permanent(f"{slug}: a link leads outside the provider's API")


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    # A dot segment, also a quoted one, would climb out of the base once the address is normalised.
    climbs = any(unquote(segment) in (".", "..") for segment in parts.path.split("/"))
    return None if climbs or "\\" in url else parts


def _origin(parts: SplitResult) -> tuple[str, str, int]:
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _siblings(one: SplitResult, other: SplitResult) -> bool:
    """Whether two https hosts differ in their first label only, such as api.example.com and auth.example.com."""
    domains = [(parts.hostname or "").partition(".")[2] for parts in (one, other)]
    return one.scheme == other.scheme == "https" and "." in domains[0] and domains[0] == domains[1]

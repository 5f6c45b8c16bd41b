"""Where a provider sends the webhooks of a connection."""

from __future__ import annotations

from uuid import UUID


def webhook_url(base: str, connector: str, connection_id: UUID | str, hook_id: str, *, opaque: bool) -> str:
    """The address under `base`; an opaque one does not name the provider."""
    if opaque:
        return f"{base}/api/hooks/{hook_id}"
    return f"{base}/api/connectors/{connector}/webhook/{connection_id}"

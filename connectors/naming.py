"""How money is brought to its invoice, and what stands for the id of an event that has none."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from connectors.base import Envelope
from connectors.payload import MAX_IDENTIFIER, Payload
from core.events import RECEIVER, Reference

# Keys under which merchants keep the invoice's number in notes of their own.
NOTES = ("invoice_number", "invoice_id", "invoice")


def references(named: Iterable[tuple[int, str | None]]) -> tuple[Reference, ...]:
    """What may name the invoice, best first: each text once a rank, without those too long to be a number."""
    usable = [(rank, text.strip()) for rank, text in named if text]
    return tuple(sorted({Reference(rank, text) for rank, text in usable if 0 < len(text) <= MAX_IDENTIFIER}))


def received(
    *, ids: Iterable[str | None] = (), accounts: Iterable[str | None] = (), addresses: Iterable[str | None] = ()
) -> list[tuple[int, str | None]]:
    """Through what money came, spelled as it is looked for: ids, numbers of accounts, UPI addresses."""
    spelled = [text and "".join(text.split()).replace("-", "").upper() for text in accounts]
    return [(RECEIVER, text) for text in (*ids, *spelled, *(text and text.strip().lower() for text in addresses))]


def noted(notes: Payload | None, *, names: bool = False) -> list[tuple[int, str | None]]:
    """What notes name, all of the best rank. With `names` also whole numbers, where the provider keeps them so."""
    if notes is None:
        return []
    return [(0, notes.optional_name(key) if names else notes.optional_text(key)) for key in NOTES]


def digest(*said: str) -> str:
    """A digest of what an event says, in this order."""
    return hashlib.sha256("\n".join(said).encode()).hexdigest()


def body_id(envelope: Envelope) -> str:
    """A hash of the body, where nothing better stands for an event; a retry is expected to repeat the body."""
    return f"body:{hashlib.sha256(envelope.delivery.body).hexdigest()}"


def item_id(item: Payload) -> str:
    """The same of one item of a body."""
    return f"body:{hashlib.sha256(item.to_bytes()).hexdigest()}"

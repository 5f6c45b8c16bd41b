"""Whose a payment is, by the virtual account or the gateway's customer that it came through (rule 2)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, text

from core.bulk import array
from core.events import RECEIVER
from core.payments.merge import PaymentState
from core.reconciliation import requests

_CONTACTS = text(
    "SELECT user_id, key, contact_id FROM payer_accounts "
    "JOIN (SELECT DISTINCT * FROM unnest(CAST(:users AS uuid[]), CAST(:keys AS text[]))) AS asked (user_id, key) "
    "USING (user_id, key) WHERE kind IN ('virtual_account', 'upi_collect', 'gateway')"
)
# Payments that came through what somebody was given, and are nobody's: the words of an index (migration 0020).
_NOBODYS = (
    "payments.contact_id IS NULL AND NOT payments.decided "
    f"AND jsonb_path_exists(invoice_references, '$[*] ? (@[0] == {RECEIVER})')"
)
_UNSETTLED = text(
    "SELECT payments.id, connection_id, object_id FROM payments JOIN payer_accounts "
    "ON payer_accounts.user_id = payments.user_id AND kind IN ('virtual_account', 'upi_collect', 'gateway') "
    f"AND invoice_references @> jsonb_build_array(jsonb_build_array({RECEIVER}, key)) "
    f"WHERE payments.user_id = :user AND connection_id IS NOT NULL AND {_NOBODYS} "
    "GROUP BY payments.id, connection_id, object_id HAVING count(DISTINCT payer_accounts.contact_id) = 1 "
    "ORDER BY payments.id"
)
_RECEIVED = text(
    "SELECT id, connection_id, object_id FROM payments WHERE user_id = :user AND connection_id IS NOT NULL "
    "AND contact_id IS NULL AND NOT decided AND invoice_references @> CAST(:reference AS jsonb) ORDER BY id"
)


def resolve(connection: Connection, states: Sequence[PaymentState]) -> None:
    """Give payments to the customer that what they came through was given to; where it names two, to nobody.

    Whom it was given to may be written down at this very instant, and neither see the other: whoever of the two is
    committed last has asked for another look at what is nobody's (`unsettled`).
    """
    pairs = [(state.user_id, key) for state in states for key in state.receivers]
    if not pairs:
        return
    users, keys = [user for user, _ in pairs], [key for _, key in pairs]
    rows = connection.execute(_CONTACTS, {"users": array(users, "uuid"), "keys": array(keys, "text")})
    known = {(row.user_id, row.key): row.contact_id for row in rows}
    for state in states:
        found = {contact for key in state.receivers if (contact := known.get((state.user_id, key))) is not None}
        if len(found) == 1:
            state.contact_id = found.pop()
    requests.ask(connection, (state.user_id for state in states if state.receivers and state.contact_id is None))


def unsettled(connection: Connection, user_id: UUID) -> list[tuple[UUID, UUID, str]]:
    """Payments that are nobody's though one customer has what they came through, as (id, connection, object)."""
    return [(row.id, row.connection_id, row.object_id) for row in connection.execute(_UNSETTLED, {"user": user_id})]


def received(connection: Connection, user_id: UUID, key: str) -> list[tuple[UUID, UUID, str]]:
    """Payments that came through this and are nobody's yet, as (id, connection, object)."""
    reference = json.dumps([[RECEIVER, key]])
    rows = connection.execute(_RECEIVED, {"user": user_id, "reference": reference})
    return [(row.id, row.connection_id, row.object_id) for row in rows]

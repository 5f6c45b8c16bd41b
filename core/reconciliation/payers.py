"""By what a payer is known on a bank line, and whose customer that was when somebody decided (rule 5)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from core.bulk import Rows, array
from core.reconciliation.names import normal_name

_VPA = re.compile(r"\b([A-Za-z0-9._\-]{2,64}@[A-Za-z]{2,20})\b")
# An account at a branch: "HDFC0001234-50100012345678" and the like, as NEFT and IMPS narrations carry it.
BRANCHED = re.compile(r"\b([A-Z]{4}0[A-Z0-9]{6})\b[^A-Z0-9]{1,3}([0-9X]{6,18})\b")
Identity = tuple[str, str]
_WORDS = re.compile(r"[A-Za-z0-9_]+")
# An address at a bank, and none of mail.
_ADDRESS = re.compile(r"([A-Za-z0-9._-]+)@([A-Za-z][A-Za-z0-9]+)(?![A-Za-z0-9]|\.[A-Za-z])")
# An IBAN in groups of four has nine.
_MOST_GROUPS, _MOST_IN_GROUP = 9, 6
_LEAST_ACCOUNT, _MOST_ACCOUNT = 8, 64


def written_accounts(text: str) -> list[str]:
    """Every spelling in a text that may be an account, an id or a UPI address, as `core.contacts.accounts` keys them.

    >>> "GB29NWBK60161331926819" in written_accounts("FPI GB29 NWBK 6016 1331 9268 19")
    True
    """
    text, found = text[:512], []
    for local, bank in _ADDRESS.findall(text):
        # What stands before it by a hyphen may be of the address or not.
        parts = local.split("-")
        found += [f"{'-'.join(parts[start:])}@{bank}".lower() for start in range(len(parts))]
    words = _WORDS.findall(text)
    for start in range(len(words)):
        joined = ""
        for word in words[start : start + _MOST_GROUPS]:
            joined += word
            if _LEAST_ACCOUNT <= len(joined) <= _MOST_ACCOUNT:
                found += [joined.upper(), joined]
            if len(word) > _MOST_IN_GROUP:
                break
    return list(dict.fromkeys(found))


def _digest(user_id: UUID, value: str) -> str:
    """What another party's account or address is remembered as: to be recognised, not to be read."""
    return hashlib.blake2s(value.upper().encode(), key=user_id.bytes, digest_size=16).hexdigest()


def identities(user_id: UUID, narration: str, counterparty: str | None) -> list[Identity]:
    """(kind, value) of the payer of a line, the surest first: account, vpa, name."""
    found: list[Identity] = [
        ("account", _digest(user_id, f"{branch}{account}")) for branch, account in BRANCHED.findall(narration.upper())
    ]
    found.extend(("vpa", _digest(user_id, address)) for address in _VPA.findall(narration))
    name = normal_name(counterparty or "")
    if len(name) >= 3:
        found.append(("name", name[:200]))
    return list(dict.fromkeys(found))


_IDENTITIES = Rows(user_id="uuid", kind="text", value="text", contact_id="uuid")
_DECIDED = text(
    "SELECT transactions.user_id, narration, counterparty, invoices.contact_id FROM transactions "
    "JOIN matches ON matches.transaction_id = transactions.id AND matches.kind = 'invoices' "
    "AND matches.state = 'accepted' JOIN invoices ON invoices.id = matches.invoice_id "
    "WHERE transactions.id = ANY(CAST(:ids AS uuid[])) ORDER BY transactions.id"
)
_LEARN = text(
    "INSERT INTO payer_identities AS known (user_id, kind, value, contact_id, seen, seen_at) "
    "SELECT user_id, kind, value, contact_id, count(*), :now "
    f"FROM {_IDENTITIES.source('given')} GROUP BY user_id, kind, value, contact_id "
    "ORDER BY user_id, kind, value, contact_id "
    "ON CONFLICT (user_id, kind, value, contact_id) DO UPDATE SET seen = known.seen + excluded.seen, "
    "seen_at = greatest(known.seen_at, excluded.seen_at)"
)
_UNLEARN = text(
    "WITH given AS (SELECT user_id, kind, value, contact_id, count(*) AS times "
    f"FROM {_IDENTITIES.source('raw')} GROUP BY user_id, kind, value, contact_id), "
    "gone AS (DELETE FROM payer_identities AS known USING given WHERE (known.user_id, known.kind, known.value, "
    "known.contact_id) = (given.user_id, given.kind, given.value, given.contact_id) AND known.seen <= given.times) "
    "UPDATE payer_identities AS known SET seen = known.seen - given.times FROM given "
    "WHERE (known.user_id, known.kind, known.value, known.contact_id) = "
    "(given.user_id, given.kind, given.value, given.contact_id) AND known.seen > given.times"
)


def _of(connection: Connection, lines: Sequence[UUID]) -> list[dict[str, Any]]:
    if not lines:
        return []
    return [
        {"user_id": row.user_id, "kind": kind, "value": value, "contact_id": row.contact_id}
        for row in connection.execute(_DECIDED, {"ids": array(lines, "uuid")})
        for kind, value in identities(row.user_id, row.narration, row.counterparty)
    ]


def learn(connection: Connection, lines: Sequence[UUID], now: datetime) -> None:
    """Remember who the payers of accepted lines were."""
    if found := _of(connection, lines):
        connection.execute(_LEARN, {**_IDENTITIES.parameters(found), "now": now})


def unlearn(connection: Connection, lines: Sequence[UUID]) -> None:
    """Forget what these lines, still accepted, taught: call it before their matches change."""
    if found := _of(connection, lines):
        connection.execute(_UNLEARN, _IDENTITIES.parameters(found))

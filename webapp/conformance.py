"""The ledger's conformance endpoints: an independent suite drives the real ledger through them.

They exist only where `Settings.conformance` says so: asked for, on a database whose name says that it is scratch.
Accounts are scratch accounts, named by the suite. What cannot be a transfer is given to the ledger all the same, as
a leg that moves nothing: so it is the ledger that refuses, and that remembers what it refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from flask import Blueprint, Response, request
from sqlalchemy import Connection, Row, text

from core import ledger
from core.errors import Forbidden
from core.ledger import Account, Leg, Outcome, Purpose, Transfer, chain, clearing
from core.ledger.work import is_key
from webapp.api.edge import reply
from webapp.auth import now
from webapp.problems import BadRequest
from webapp.services import services

blueprint = Blueprint("conformance", __name__, url_prefix="/_lck")

_PREFIX = "lck:"
_LONGEST_NAME = 190
_LONGEST_NUMBER = 18
_STATUSES = {"applied": "APPLIED", "duplicate": "DUPLICATE", "refused": "REJECTED"}
_BY_KEY = text(
    "SELECT description FROM ledger_transfers WHERE id = "
    "(SELECT subject_id FROM ledger_keys WHERE key = :key AND outcome = 'applied')"
)
_NAME = text("SELECT current_database()")
# The suite's own words: what its chain begins with, and what stands between the parts of a hashed text.
_BEGINNING = "GENESIS"
_BETWEEN = "|"


@blueprint.post("/reset")
def reset() -> Response:
    """Empty the ledger. The server is asked its database's name once more, whatever the settings say."""
    with services().database.connect() as connection:
        name = connection.execute(_NAME).scalar_one()
        if "scratch" not in name:
            raise Forbidden("only a scratch database is emptied")
        clearing.empty(connection)
    return reply({"status": "EMPTY"})


@blueprint.post("/post")
def post() -> Response:
    """Post a transaction. A refusal by the rules is REJECTED with 200; a body that is no JSON object is 400."""
    asked = _asked()
    with services().database.connect() as connection:
        outcome, identity = _post(connection, asked)
    return reply(
        {
            "status": _STATUSES[outcome.status],
            "transactionId": identity,
            "reason": ": ".join(filter(None, (outcome.reason, outcome.detail))) or None,
        }
    )


@blueprint.get("/balance")
def balance() -> Response:
    """What an account has, in minor units: credits minus debits, 0 for one that was never named."""
    name, currency = request.args.get("account"), request.args.get("currency")
    if not name or not currency:
        raise BadRequest("name an account and a currency")
    with services().database.connect() as connection:
        found = ledger.balance(connection, Account(_PREFIX + name, Purpose.SCRATCH, currency))
    return reply({"subunits": found.balance})


@blueprint.get("/journal")
def journal() -> Response:
    """Seal what is committed, then list the suite's entries in the order of the chain."""
    with services().database.connect() as connection:
        chain.seal_all(connection)
    with services().database.connect() as connection:
        return reply(_entries(connection))


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request of the suite: the transfer, and the name the suite has for it."""

    transfer: Transfer
    identity: str


def _asked() -> _Asked:
    try:
        body = json.loads(request.get_data(), parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise BadRequest("the body is not JSON in UTF-8") from error
    if not isinstance(body, dict):
        raise BadRequest("the body is not an object")
    identity, key, legs = body.get("transactionId"), body.get("idempotencyKey"), body.get("legs")
    name = identity if isinstance(identity, str) else ""
    transfer = Transfer(
        kind="conformance",
        # An empty key, which nothing is kept under, when there is none.
        key=_PREFIX + key if isinstance(key, str) and key else "",
        legs=[_leg(leg) for leg in legs] if isinstance(legs, list) else [],
        description=name,
        overdraft=body.get("allowOverdraft") is True,
    )
    return _Asked(transfer, name)


def _leg(given: object) -> Leg:
    """A leg, or one that moves nothing where something of it cannot be read."""
    said: Mapping[str, Any] = given if isinstance(given, dict) else {}
    name, currency, side = said.get("accountId"), said.get("currency"), said.get("type")
    amount = _amount(said.get("amountSubunits"))
    if not (_is_name(name, _LONGEST_NAME) and _is_name(currency, 3)) or side not in ("DEBIT", "CREDIT"):
        return Leg(Account(_PREFIX, Purpose.SCRATCH, "XXX"), 0)
    return Leg(Account(f"{_PREFIX}{name}", Purpose.SCRATCH, str(currency)), amount if side == "CREDIT" else -amount)


def _is_name(value: object, longest: int) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= longest and is_key(value)


def _amount(value: object) -> int:
    """Minor units, from a JSON integer or digits in a string; 0, which no leg may move, for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _LONGEST_NUMBER:
        return int(value)
    return value if type(value) is int and value > 0 else 0


def _post(connection: Connection, asked: _Asked) -> tuple[Outcome, str]:
    """Post, and say by what name the suite knows the transaction that stands."""
    outcome = ledger.try_post(connection, [asked.transfer], now())
    if outcome.reason == "ledger_key_reused":
        # The suite's name for a transaction stands in its description, and a retry may bring another name: that
        # alone makes no other request of it.
        first = connection.execute(_BY_KEY, {"key": asked.transfer.key}).scalar_one_or_none()
        if first is not None and first != asked.identity:
            again = replace(asked.transfer, description=first)
            outcome = ledger.try_post(connection, [again], now())
            return outcome, first if outcome.status == "duplicate" else asked.identity
    return outcome, asked.identity


def _entries(connection: Connection) -> list[dict[str, Any]]:
    """The suite's entries. It recomputes hashes over a text of its own, so our chain is spelled anew in that.

    Every link is verified first. From one that does not hold on, the hashes are shown as they are kept: the suite
    then refuses them, as it should.
    """
    entries: list[dict[str, Any]] = []
    before, previous, sound = chain.GENESIS, _BEGINNING, True
    for row in chain.links(connection):
        sound = sound and _holds(row, before)
        before = bytes(row.hash)
        if row.id is not None and row.purpose != Purpose.SCRATCH:
            # Demo money that came meanwhile is none of the suite's.
            continue
        entry = _spelled(row)
        entry["prevHash"] = previous if sound else bytes(row.prev_hash).hex()
        entry["entryHash"] = _suite_hash(previous, entry) if sound else before.hex()
        previous = entry["entryHash"]
        entries.append(entry)
    return entries


def _holds(row: Row[Any], before: bytes) -> bool:
    return row.id == row.link_entry and bytes(row.prev_hash) == before and chain.digest(before, row) == bytes(row.hash)


def _spelled(row: Row[Any]) -> dict[str, Any]:
    amount = row.amount or 0
    return {
        "entryId": str(row.link_entry),
        "transactionId": row.description or str(row.transfer_id),
        "accountId": (row.owner or "").removeprefix(_PREFIX),
        "type": "CREDIT" if amount > 0 else "DEBIT",
        "amountSubunits": abs(amount),
        "currency": row.currency or "",
        "sequence": row.link_position,
        "accountSequence": row.link_sequence,
    }


def _suite_hash(previous: str, entry: Mapping[str, Any]) -> str:
    parts = ("transactionId", "accountId", "type", "amountSubunits", "currency", "sequence")
    told = _BETWEEN.join((previous, *(str(entry[name]) for name in parts)))
    return hashlib.sha256(told.encode()).hexdigest()

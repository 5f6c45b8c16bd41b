"""What the tests of wallet, marketplace and portfolio over HTTP build on: a world for the file, people with money."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from core import kyc, wallets
from core.identity import Role
from core.marketplace import funding
from tests.core.marketplace.builders import RULES, Listing, listed
from tests.webapp.conftest import Person, World


def rich(world: World, role: Role = Role.INVESTOR, name: str | None = None) -> Person:
    """Somebody signed in, verified, with the demo money everybody gets."""
    made = world.person(role, name=name)
    with world.session() as session:
        if role is not Role.OPERATOR:
            kyc.welcome(session, made.actor.id, datetime.now(UTC))
        wallets.welcome(session, made.actor.id, datetime.now(UTC))
    return made


def offer(world: World, seller: Person, buyer: Person, **terms: Any) -> Listing:
    """An invoice on offer from now on."""
    given: Mapping[str, Any] = {"face": 1_00_000_00, "ask": 90_000_00, "now": datetime.now(UTC), **terms}
    if "rate" in terms:
        given = {name: value for name, value in given.items() if name != "ask"}
    with world.session() as session:
        return listed(session, seller=seller.actor, buyer=buyer.actor, **given)


def fund(world: World, investor: Person, listing: Listing, amount: int) -> None:
    """Money goes into it."""
    with world.session() as session:
        funding.fund(session, investor.actor, listing.invoice_id, amount, datetime.now(UTC), rules=RULES)

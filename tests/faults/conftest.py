"""The installation that is hurt, a seller on it, and the chance by which it is hurt."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random

import pytest

from config import supervisor
from core.identity import Actor, tokens
from core.identity.tokens import Signing
from core.invoicing import profiles
from tests.builders import SECRET_KEY, Clockwork, Shop, add_seller, open_shop
from tests.faults.installation import Installation, note
from tests.faults.provider import Provider
from tests.scratch import scratch


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """A new seed each time. FAULTS_SEED gives one that failed again."""
    given = os.environ.get("FAULTS_SEED")
    chosen = int(given) if given else Random().randrange(1_000_000)
    # Shown with a failure, as everything that a test prints.
    note(f"to run it again: FAULTS_SEED={chosen} python -m pytest -m '' '{request.node.nodeid}'")
    return chosen


@pytest.fixture(scope="package")
def whole_installation() -> Iterator[Installation]:
    """One for all: starting it costs more than most of the tests."""
    with scratch("lw-faults-") as folder, pytest.MonkeyPatch.context() as patch:
        # What dies often is started again ever later. That would only make these tests longer.
        patch.setattr(supervisor, "_LONGEST_DELAY", 0.5)
        installation = None
        try:
            installation = Installation(folder)
            yield installation
        finally:
            if installation is not None:
                installation.stop()


@pytest.fixture
def installation(whole_installation: Installation) -> Iterator[Installation]:
    """The installation, well at the beginning of each test."""
    whole_installation.wait_well()
    yield whole_installation
    # Shown with a failure.
    note(whole_installation.said())


@dataclass(frozen=True, slots=True, kw_only=True)
class Seller:
    """A person who sells, and their connections to two providers."""

    actor: Actor
    shops: dict[str, Shop]

    @property
    def shop(self) -> Shop:
        """The gateway."""
        return self.shops["razorpay"]

    @property
    def room(self) -> str:
        return f"user:{self.actor.id}"

    def token(self) -> str:
        """An access token as signing in gives one."""
        with self.shop.database.session() as session:
            return tokens.sign_in(session, Signing(key=SECRET_KEY), self.actor, datetime.now(UTC)).access_token


def settle_in(context: Clockwork, account: str) -> Seller:
    """A new seller with connections to the gateway (under `account`) and to the bank."""
    actor = add_seller(context)
    with context.database.session() as session:
        # Which lines are sure depends on what else is known when they are looked at; nobody looks in the reference.
        profiles.save(session, actor, {"match_automatically": False}, datetime.now(UTC))
    return Seller(
        actor=actor,
        shops={
            "razorpay": open_shop(context, "razorpay", seller=actor, external_id=account),
            "standard_webhooks": open_shop(context, "standard_webhooks", seller=actor),
        },
    )


@pytest.fixture
def account() -> str:
    """The seller's account at the gateway."""
    return f"acc_{Random().randrange(10**13):014d}"


@pytest.fixture
def seller(installation: Installation, account: str) -> Seller:
    return settle_in(installation.context, account)


@pytest.fixture
def provider(installation: Installation, seller: Seller) -> Provider:
    return Provider(base=installation.url, shops=seller.shops)

"""The closed loop: a gateway's signed webhook reports the buyer's payment, and the investors have their money."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from connectors import samples
from core.errors import NotFound
from core.identity import Actor, Role
from core.inbox import queries, trail
from core.marketplace.states import State
from tests.builders import Clockwork, Json, worker
from tests.core.marketplace import builders
from tests.core.marketplace.builders import LAKH, Listing, check_books
from tests.core.marketplace.deals import BEGUN, DUE, SLICES, WORKED
from tests.webapp import gate as gates
from tests.webapp.gate import Address, Gate
from workers import normalize


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """An ingress, the worker behind it, and a funded invoice whose seller collects through Razorpay."""

    gate: Gate
    context: Clockwork
    offer: Listing
    address: Address

    def say(self, event: str, said: Json, message_id: str) -> None:
        reply = self.gate.say(self.address, json.dumps({**said, "event": event}).encode(), message_id=message_id)
        assert reply.status_code == 200, reply.get_data(as_text=True)
        while normalize.drain(self.context):
            pass

    def captured(self, amount: int, *, days_late: int = 0, message_id: str = "evt_captured") -> None:
        """payment.captured, with the invoice's number in the notes."""
        said = json.loads(samples.load("razorpay", "payment.captured"))
        entity = said["payload"]["payment"]["entity"]
        paid_at = int((DUE + timedelta(days=days_late)).timestamp())
        entity |= {"id": "pay_loop", "amount": amount, "currency": "INR", "created_at": paid_at, "amount_refunded": 0}
        entity["notes"] = {"invoice_number": self.offer.number}
        self.say("payment.captured", said, message_id)

    def money(self) -> list[int]:
        with self.context.database.connect() as connection:
            return builders.money(connection, *self.offer.investors, self.offer.seller)

    @property
    def state(self) -> State:
        with self.context.database.connect() as connection:
            return builders.standing(connection, self.offer).state


@pytest.fixture(scope="module")
def gate(file_database_url: str, servers: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    made = gates.build(
        file_database_url, "redis://127.0.0.1:1", Path(tmp_path_factory.mktemp("gate")), WEBHOOK_MAX_BYTES="65536"
    )
    yield made
    gates.close(made)


@pytest.fixture(scope="module")
def context(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as parts:
        # The ingress goes by the real clock, and what it stores is due from then on.
        parts.moment[0] = datetime.now(UTC) + timedelta(hours=1)
        yield parts


def loop_of(gate: Gate, context: Clockwork, **terms: object) -> Loop:
    with context.database.session() as session:
        offer = builders.funded(session, **(terms or WORKED))
    return Loop(gate=gate, context=context, offer=offer, address=gate.connect("razorpay", owner=offer.seller))


def test_the_webhook_of_a_gateway_repays_the_investors(gate: Gate, context: Clockwork) -> None:
    loop = loop_of(gate, context, face=LAKH, ask=90_000_00, now=BEGUN)
    assert loop.money() == [9_10_000_00, 10_90_000_00]
    loop.captured(LAKH)
    assert loop.money() == [10_10_000_00, 10_90_000_00]
    assert loop.state is State.REPAID
    loop.captured(LAKH)
    loop.captured(LAKH, message_id="evt_again")
    assert loop.money() == [10_10_000_00, 10_90_000_00]
    check_books(context.database)


def test_a_forged_webhook_moves_nothing(gate: Gate, context: Clockwork) -> None:
    loop = loop_of(gate, context)
    before = loop.money()
    body = samples.load("razorpay", "payment.captured")
    assert gate.say(loop.address, body, secret="somebody else's").status_code == 401
    while normalize.drain(context):
        pass
    assert (loop.money(), loop.state) == (before, State.FUNDED)


@pytest.mark.parametrize(
    ("amount", "interest", "principal", "seller"),
    [
        pytest.param(5_00_000_00, 2_958_90, 4_00_000_00, 97_041_10, id="whole"),
        pytest.param(4_60_000_00, 2_958_90, 4_00_000_00, 57_041_10, id="short"),
        pytest.param(3_50_000_00, 2_958_90, 3_47_041_10, 0, id="far too short"),
    ],
)
def test_the_worked_rows_of_a_payment_15_days_late_through_a_signed_webhook(
    gate: Gate, context: Clockwork, amount: int, interest: int, principal: int, seller: int
) -> None:
    loop = loop_of(gate, context)
    before = loop.money()
    loop.captured(amount, days_late=15)
    gained = [after - was for after, was in zip(loop.money(), before, strict=True)]
    assert (sum(gained[: len(SLICES)]), gained[-1]) == (interest + principal, seller)
    check_books(context.database)


def test_the_delivery_shows_what_the_ledger_posted_and_an_entry_leads_back_to_the_delivery(
    gate: Gate, context: Clockwork
) -> None:
    loop = loop_of(gate, context)
    loop.captured(5_00_000_00, days_late=15)
    [delivery] = gate.rows("SELECT id FROM deliveries WHERE connection_id = :id", id=loop.address.id)
    with context.database.session() as session:
        operator = builders.person(session, Role.OPERATOR)
        shown = queries.provenance(session, loop.offer.seller, delivery["id"])
    [event] = shown["events"]
    [transfer] = event["transfers"]
    legs = [(leg["account"], leg["amount"]) for leg in transfer["legs"]]
    assert legs[:3] == [
        ("From outside", -5_00_000_00),
        ("Escrow of the invoice", 5_00_000_00),
        ("Escrow of the invoice", -5_00_000_00),
    ]
    assert ("Your wallet", 97_041_10) in legs
    assert [name for name, _ in legs].count("Wallet of the investor") == 3
    assert ("repayment", "created") in {(one["kind"], one["effect"]) for one in event["effects"]}

    def source(who: Actor) -> Json:
        with context.database.session() as session:
            return trail.transfer(session, who, UUID(transfer["id"]))

    # The seller's own delivery; the investor learns what it was, and not where the seller keeps it.
    assert source(loop.offer.seller)["source"]["delivery_id"] == str(delivery["id"])
    assert source(operator)["source"]["delivery_id"] == str(delivery["id"])
    seen = source(loop.offer.investors[0])
    assert (seen["source"]["connector"], seen["source"]["delivery_id"]) == ("razorpay", None)
    assert [leg["mine"] for leg in seen["legs"]] == [True]
    with pytest.raises(NotFound):
        source(loop.offer.buyer)


def test_what_is_not_cleared_is_told_to_who_watches(gate: Gate, context: Clockwork) -> None:
    loop = loop_of(gate, context)
    loop.captured(5_00_000_01)
    told = gate.app.test_client().get("/metrics").get_data(as_text=True)
    assert 'ledgerwire_uncleared_accounts{purpose="escrow"} 0.0' in told
    assert 'ledgerwire_uncleared_accounts{purpose="unapplied"} 1.0' in told
    assert "ledgerwire_unsealed_entries " in told

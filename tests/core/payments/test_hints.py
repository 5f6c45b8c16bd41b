"""What is unsigned and unconfirmed never decides where money goes, however early or late it is heard."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import pytest

from core import intake
from core.events import Payment, PaymentStatus, Record, Reference, Trust
from core.money import Money
from tests.budget import some
from tests.builders import NOW, Clockwork, Shop, books, check_sums, open_shop, worker


@pytest.fixture
def context(database_url: str) -> Iterator[Clockwork]:
    with worker(database_url) as parts:
        yield parts


def told(*names: str, version: int = 1) -> Record:
    return Payment(
        object_id="pmt_1",
        version=version,
        status=PaymentStatus.SUCCEEDED,
        money=Money(5_000, "INR"),
        occurred_at=NOW,
        references=tuple(Reference(0, name) for name in names),
    )


def hear(shop: Shop, record: Record, trust: Trust) -> None:
    with shop.database.connect() as connection:
        intake.apply(connection, shop.state(record, trust=trust))


@pytest.mark.parametrize(
    ("confirmed", "paid"),
    [
        pytest.param((), {}, id="the confirmed statement names nothing"),
        pytest.param(("INV-2",), {"INV-2": 5_000}, id="the confirmed statement names another"),
        pytest.param(("INV-1",), {"INV-1": 5_000}, id="the confirmed statement names the same"),
    ],
)
def test_a_hint_does_not_choose_the_invoice_that_confirmed_money_pays(
    context: Clockwork, confirmed: tuple[str, ...], paid: dict[str, int]
) -> None:
    ended = []
    says = [
        (told("INV-1"), Trust.HINT),
        (told("INV-1", version=9), Trust.HINT),
        (told(*confirmed), Trust.SIGNED),
        (told(version=2), Trust.FETCHED),
    ]
    for order in some(list(permutations(says)), 6):
        for together in (False, True):
            shop = open_shop(context)
            for number in ("INV-1", "INV-2"):
                shop.name_invoice(shop.invoice(), number)
            if together:
                with shop.database.connect() as connection:
                    intake.apply(connection, [one for what, trust in order for one in shop.state(what, trust=trust)])
            else:
                for what, trust in order:
                    hear(shop, what, trust)
            found = books(shop)
            assert {row["number"]: row["amount_paid"] for row in found["invoices"] if row["amount_paid"]} == paid
            ended.append(found)
    assert all(found == ended[0] for found in ended)
    check_sums(context.database)

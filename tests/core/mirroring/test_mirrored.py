"""Invoices of other people's books: any order ends the same, and what cannot be true is not stored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from itertools import permutations
from uuid import uuid4

import pytest
from sqlalchemy.exc import DBAPIError

from core import intake
from core.errors import NotFound
from core.events import MirroredInvoice, MirroredInvoiceGone, MirroredStatus, Record, Trust
from core.identity import Role
from core.mirroring import queries
from core.money import Money
from tests.builders import Clockwork, Shop, add_seller, books, open_shop, worker

TOLD = MirroredInvoice(
    object_id="inv_1",
    version=5,
    status=MirroredStatus.OPEN,
    number="INV-7",
    direction="sales",
    total=Money(10_000, "INR"),
    due=Money(10_000, "INR"),
    issued_on=date(2026, 11, 1),
    due_on=date(2026, 12, 1),
    contact_name="Rao Retail",
    contact_email="accounts@rao.test",
    url="https://books.example/inv_1",
)


@pytest.fixture(scope="module")
def context(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as parts:
        yield parts


def hear(shop: Shop, *records: Record, trust: Trust = Trust.FETCHED) -> list[str]:
    """What applying them did, in the order of the records."""
    with shop.database.connect() as connection:
        return [effect.effect for effect in intake.apply(connection, shop.state(*records, trust=trust)).effects]


def paid(version: int) -> MirroredInvoice:
    return replace(TOLD, version=version, status=MirroredStatus.PAID, due=Money(0, "INR"))


STORIES = {
    "paid, then open again because the payment was taken back": (
        [TOLD, paid(6), replace(TOLD, version=7)],
        ("open", 10_000),
    ),
    "void, and an older word that comes late": (
        [replace(TOLD, version=9, status=MirroredStatus.VOID, due=Money(0, "INR")), paid(8), TOLD],
        ("void", 0),
    ),
    "two statements of one instant": (
        [TOLD, paid(5), replace(TOLD, status=MirroredStatus.PARTIALLY_PAID, due=Money(400, "INR"))],
        ("partially_paid", 400),
    ),
    "an instant at which only the contact differs": (
        [replace(TOLD, contact_name="Rao"), TOLD, replace(TOLD, contact_name=None), replace(TOLD, url=None)],
        ("open", 10_000),
    ),
}


@pytest.mark.parametrize("story", STORIES)
def test_any_order_ends_with_the_same_invoice(context: Clockwork, story: str) -> None:
    told, (status, due) = STORIES[story]
    ended = []
    for order in permutations(told):
        for together in (True, False):
            shop = open_shop(context)
            if together:
                hear(shop, *order, *order)
            else:
                for record in order:
                    hear(shop, record)
            ended.append(books(shop)["mirrored"])
    assert all(found == ended[0] for found in ended)
    (row,) = ended[0]
    assert (row["status"], row["due"], row["number"], row["total"]) == (status, due, "INV-7", 10_000)


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        pytest.param([TOLD, paid(6), MirroredInvoiceGone(object_id="inv_1", version=6)], ("void", 0), id="for good"),
        pytest.param([TOLD, MirroredInvoiceGone(object_id="inv_1", version=6), paid(7)], ("paid", 0), id="restored"),
        pytest.param(
            [replace(TOLD, version=9), *(MirroredInvoiceGone(object_id="inv_1", version=at) for at in (3, 8))],
            ("open", 10_000),
            id="deleted before it was last stated",
        ),
    ],
)
def test_a_deleted_invoice_is_void_unless_it_is_stated_later(
    context: Clockwork, told: list[MirroredInvoice | MirroredInvoiceGone], shown: tuple[str, int]
) -> None:
    ended = []
    for order in permutations(told):
        shop = open_shop(context)
        for record in order:
            hear(shop, record)
        with context.database.session() as session:
            (row,) = queries.list_mirrored(session, shop.seller)["items"]
            assert (row["status"], row["due"], row["total"], row["number"]) == (*shown, 10_000, "INV-7")
            assert queries.list_mirrored(session, shop.seller, status=shown[0])["items"] == [row]
        heard = shop.rows("SELECT data FROM outbox WHERE room = 'user:' || :user AND name LIKE 'mirrored%' ORDER BY id")
        assert (heard[-1]["data"]["status"], heard[-1]["data"]["due"]) == shown
        ended.append(books(shop)["mirrored"])
    assert all(found == ended[0] for found in ended)


def test_what_was_deleted_before_it_was_known_shows_nothing(context: Clockwork) -> None:
    shop = open_shop(context)
    assert hear(shop, MirroredInvoiceGone(object_id="inv_1", version=6)) == ["unchanged"]
    assert books(shop)["mirrored"] == []


def test_a_hint_never_overrules_what_is_confirmed(context: Clockwork) -> None:
    for order in permutations([(TOLD, Trust.FETCHED), (paid(99), Trust.HINT)]):
        shop = open_shop(context)
        for record, trust in order:
            hear(shop, record, trust=trust)
        assert [row["status"] for row in books(shop)["mirrored"]] == ["open"]


def test_effects_say_what_happened_and_the_owner_hears_of_changes_only(context: Clockwork) -> None:
    shop = open_shop(context)
    assert hear(shop, TOLD) == ["created"]
    assert hear(shop, TOLD) == ["unchanged"]
    # Said again and newer, as a pull does: nobody hears of that, and it still counts against what is older.
    assert hear(shop, replace(TOLD, version=7)) == ["unchanged"]
    assert hear(shop, paid(6)) == ["unchanged"]
    assert hear(shop, paid(8)) == ["updated"]
    heard = shop.rows(
        "SELECT name, data FROM outbox WHERE room = 'user:' || :user AND name LIKE 'mirrored%' ORDER BY id"
    )
    assert [(row["name"], row["data"]["status"], row["data"]["due"]) for row in heard] == [
        ("mirrored_invoice.updated", "open", 10_000),
        ("mirrored_invoice.updated", "paid", 0),
    ]


def test_the_same_id_at_two_connections_is_two_invoices(context: Clockwork) -> None:
    first = open_shop(context)
    second = open_shop(context, seller=first.seller)
    hear(first, TOLD)
    hear(second, paid(1))
    assert {row["status"] for row in books(first)["mirrored"]} == {"open", "paid"}


@pytest.mark.parametrize(
    ("wrong", "constraint"),
    [
        pytest.param({"due": Money(10_000, "USD")}, "one_currency", id="two currencies"),
        pytest.param({"due": Money(-1, "INR")}, "not_negative", id="less than nothing due"),
        pytest.param({"total": Money(-5, "INR"), "due": Money(-5, "INR")}, "not_negative", id="negative total"),
        pytest.param({"due": Money(10_001, "INR")}, "due_within_total", id="more due than the total"),
    ],
)
def test_the_database_refuses_what_cannot_be(context: Clockwork, wrong: dict[str, Money], constraint: str) -> None:
    shop = open_shop(context)
    with pytest.raises(DBAPIError, match=f"mirrored_invoices_{constraint}"):
        hear(shop, replace(TOLD, **wrong))  # type: ignore[arg-type]
    assert books(shop)["mirrored"] == []


def test_a_credit_note_may_have_more_to_give_than_its_total(context: Clockwork) -> None:
    shop = open_shop(context)
    assert hear(shop, replace(TOLD, kind="credit_note", due=Money(10_001, "INR"))) == ["created"]


def test_texts_are_cut_and_a_link_that_is_none_is_left_out(context: Clockwork) -> None:
    shop = open_shop(context)
    hear(shop, replace(TOLD, number="", contact_name="x" * 500, contact_email=" ", url="javascript:alert(1)"))
    (row,) = books(shop)["mirrored"]
    assert (row["number"], len(row["contact_name"]), row["contact_email"], row["url"]) == (None, 200, None, None)


def test_the_owner_and_operators_read_them_page_by_page_and_nobody_else(context: Clockwork) -> None:
    shop = open_shop(context)
    for number in range(5):
        hear(shop, replace(TOLD if number % 2 else paid(5), object_id=f"inv_{number}", number=f"N-{number}"))
    operator, stranger = add_seller(context, Role.OPERATOR), add_seller(context)
    with context.database.session() as session:
        first = queries.list_mirrored(session, shop.seller, limit=3)
        second = queries.list_mirrored(session, shop.seller, limit=3, cursor=first["next_cursor"])
        assert [row["number"] for row in first["items"] + second["items"]] == ["N-4", "N-3", "N-2", "N-1", "N-0"]
        assert second["next_cursor"] is None
        found = queries.list_mirrored(session, operator, connection_id=shop.connection_id, status="open")
        assert [row["number"] for row in found["items"]] == ["N-3", "N-1"]
        assert queries.list_mirrored(session, shop.seller, connection_id=uuid4())["items"] == []
        assert queries.list_mirrored(session, stranger)["items"] == []
        one = first["items"][0]
        assert queries.get_mirrored(session, operator, one["id"])["number"] == "N-4"
        with pytest.raises(NotFound):
            queries.get_mirrored(session, stranger, one["id"])

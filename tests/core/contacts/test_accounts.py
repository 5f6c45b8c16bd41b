"""Accounts that stand for one customer: what may be written, whose they are, and whose money comes by them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from connectors import samples
from connectors.payload import Payload
from connectors.razorpay import read_payment
from core import intake
from core.contacts import accounts
from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.events import RECEIVER, Payment, Trust
from core.identity import Role
from core.reconciliation import run
from tests.builders import NOW, Clockwork, Json, add_seller, worker
from tests.core.reconciliation.scene import Scene, open_scene

VIRTUAL = "1112220006712324"


@pytest.fixture(scope="module")
def context(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as parts:
        yield parts


@pytest.fixture
def scene(context: Clockwork) -> Scene:
    return open_scene(context)


def add(scene: Scene, invoice: Json, kind: str, value: str, ifsc: str | None = None) -> Json:
    contact = UUID(invoice["contact"]["id"])
    with scene.shop.database.session() as session:
        return accounts.add(session, scene.shop.seller, contact, NOW, kind=kind, value=value, ifsc=ifsc)


def credited() -> Payment:
    """Razorpay's own sample of money that came by a virtual account."""
    said = json.loads(samples.load("razorpay", "virtual_account.credited"))
    found = read_payment(Payload(said))
    assert isinstance(found, list)
    assert isinstance(found[0], Payment)
    return found[0]


@pytest.mark.parametrize(
    ("kind", "value", "ifsc", "key"),
    [
        pytest.param("virtual_account", " lw12-3456 78 ", "ratn0vaapis", "LW12345678", id="number"),
        pytest.param("virtual_account", "12345678", None, "12345678", id="eight digits"),
        pytest.param("bank_account", "A" * 28 + "123456", None, "A" * 28 + "123456", id="thirty-four"),
        pytest.param("upi_collect", "LW.Rao-1@OkHdfc", None, "lw.rao-1@okhdfc", id="address"),
        pytest.param("vpa", "a1@s2b", None, "a1@s2b", id="short address"),
        pytest.param("gateway", "va_DET8z3wBxfPB5L", None, "va_DET8z3wBxfPB5L", id="id"),
    ],
)
def test_what_is_written_down_is_looked_for_without_marks(kind: str, value: str, ifsc: str | None, key: str) -> None:
    assert accounts.clean(kind, value, ifsc) == (value.strip(), key, ifsc and ifsc.upper())


@pytest.mark.parametrize(
    ("kind", "value", "ifsc", "field"),
    [
        pytest.param("cash", "12345678", None, "kind", id="kind"),
        pytest.param("virtual_account", "1234567", None, "value", id="seven"),
        pytest.param("virtual_account", "A" * 29 + "123456", None, "value", id="thirty-five"),
        pytest.param("bank_account", "ABCDEFG12345", None, "value", id="five digits"),
        pytest.param("bank_account", "१२३४५६७८", None, "value", id="other digits"),
        *(pytest.param("bank_account", f"12345678{one}", None, "value", id=ascii(one)) for one in ("ß", "\ufb01", "-")),
        pytest.param("bank_account", "1234\n5678", None, "value", id="two lines"),
        pytest.param("bank_account", "12345678", "HDFC1001234", "ifsc", id="IFSC without its zero"),
        pytest.param("bank_account", "12345678", "HDFC000123", "ifsc", id="IFSC too short"),
        pytest.param("bank_account", "12345678", "HDFC00012345", "ifsc", id="IFSC too long"),
        pytest.param("vpa", "rao@okhdfc", "HDFC0001234", "ifsc", id="IFSC of an address"),
        pytest.param("vpa", "rao", None, "value", id="no bank"),
        pytest.param("vpa", "r@okhdfc", None, "value", id="one letter"),
        pytest.param("vpa", "rao@okhdfc.com", None, "value", id="mail"),
        pytest.param("upi_collect", "a" * 81 + "@okhdfc", None, "value", id="long address"),
        pytest.param("gateway", "va-1234", None, "value", id="no id"),
        pytest.param("gateway", "va_" + "x" * 41, None, "value", id="long id"),
    ],
)
def test_what_is_no_account_is_refused_by_its_field(kind: str, value: str, ifsc: str | None, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        accounts.clean(kind, value, ifsc)
    assert caught.value.field == field


def test_two_customers_of_a_seller_share_no_account_and_two_sellers_may(scene: Scene, context: Clockwork) -> None:
    first, second = scene.bill(10_000), scene.bill(20_000, "Verma Steel")
    made = add(scene, first, "virtual_account", VIRTUAL, "RATN0VAAPIS")
    assert add(scene, first, "virtual_account", f"{VIRTUAL[:4]} {VIRTUAL[4:]}") == made
    for kind, ifsc in (("bank_account", None), ("virtual_account", "HDFC0001234")):
        with pytest.raises(Conflict, match="has it already, as virtual account"):
            add(scene, first, kind, VIRTUAL, ifsc)
    with pytest.raises(Conflict, match="another customer"):
        add(scene, second, "bank_account", VIRTUAL)
    other = open_scene(context)
    assert add(other, other.bill(10_000), "virtual_account", VIRTUAL)["id"] != made["id"]
    with pytest.raises(IntegrityError, match="payer_accounts_one_customer"), scene.shop.database.session() as session:
        session.execute(
            text(
                "INSERT INTO payer_accounts (id, user_id, contact_id, kind, value, key, created_at) VALUES "
                "(:id, :user, :contact, 'bank_account', :key, :key, now())"
            ),
            {"id": UUID(int=7), "user": scene.shop.seller.id, "contact": second["contact"]["id"], "key": VIRTUAL},
        )


def test_an_account_is_kept_by_the_contact_s_own_seller(scene: Scene, context: Clockwork) -> None:
    contact = UUID(scene.bill(10_000)["contact"]["id"])
    stranger = add_seller(context)
    operator = replace(stranger, role=Role.OPERATOR)
    for actor, refusal in ((stranger, NotFound), (operator, Forbidden)):
        with pytest.raises(refusal), scene.shop.database.session() as session:
            accounts.add(session, actor, contact, NOW, kind="vpa", value="rao@okhdfc")
    with pytest.raises(IntegrityError, match="payer_accounts_contact_id"), scene.shop.database.session() as session:
        session.execute(
            text(
                "INSERT INTO payer_accounts (id, user_id, contact_id, kind, value, key, created_at) VALUES "
                "(:id, :user, :contact, 'vpa', 'rao@okhdfc', 'rao@okhdfc', now())"
            ),
            {"id": UUID(int=8), "user": stranger.id, "contact": contact},
        )


def test_a_contact_has_twenty_and_each_can_be_taken_away(scene: Scene) -> None:
    invoice = scene.bill(10_000)
    made = [add(scene, invoice, "vpa", f"rao{place}@okhdfc") for place in range(accounts.MOST)]
    with pytest.raises(Conflict, match="20 accounts at most"):
        add(scene, invoice, "vpa", "more@okhdfc")
    contact, account = UUID(invoice["contact"]["id"]), UUID(made[0]["id"])
    with scene.shop.database.session() as session:
        accounts.remove(session, scene.shop.seller, contact, account, NOW)
        assert len(accounts.of_contact(session, scene.shop.seller, contact)) == 19
        with pytest.raises(NotFound):
            accounts.remove(session, scene.shop.seller, contact, account, NOW)


def test_a_gateway_says_through_what_the_money_came() -> None:
    assert [each.text for each in credited().references if each.priority == RECEIVER] == [
        VIRTUAL, "cust_BtQNqzmBlAXyTY", "va_DET8z3wBxfPB5L",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        pytest.param("virtual_account", VIRTUAL, id="number"),
        pytest.param("gateway", "va_DET8z3wBxfPB5L", id="virtual account"),
        pytest.param("gateway", "cust_BtQNqzmBlAXyTY", id="customer"),
    ],
)
@pytest.mark.parametrize("first", ["account", "payment"])
def test_money_by_a_virtual_account_is_its_customer_s_whichever_is_told_first(
    scene: Scene, first: str, kind: str, value: str
) -> None:
    invoice = scene.bill(10_000)
    deeds: list[Callable[[], object]] = [lambda: add(scene, invoice, kind, value), lambda: scene.tell(credited())]
    for deed in deeds if first == "account" else deeds[::-1]:
        deed()
    row = scene.shop.one("SELECT contact_id, invoice_id, allocated FROM payments WHERE user_id = :user")
    assert row == {"contact_id": UUID(invoice["contact"]["id"]), "invoice_id": None, "allocated": 0}


@pytest.mark.parametrize("last", ["account", "payment"])
def test_an_account_that_is_written_down_while_its_payment_comes_is_found_by_the_next_look(
    scene: Scene, last: str
) -> None:
    invoice = scene.bill(10_000)
    database, seller = scene.shop.database, scene.shop.seller
    with database.session() as writing, database.connect() as telling:
        contact = UUID(invoice["contact"]["id"])
        if last == "payment":
            intake.apply(telling, scene.shop.state(credited()), now=NOW)
        accounts.add(writing, seller, contact, NOW, kind="virtual_account", value=VIRTUAL)
        if last == "account":
            intake.apply(telling, scene.shop.state(credited()), now=NOW)
            telling.commit()
            with database.connect() as connection:
                assert run.due(connection, 1000).count(seller.id) == 1
            run.work(database, seller.id, NOW)
        writing.commit()
    assert scene.shop.one("SELECT contact_id FROM payments WHERE user_id = :user") == {"contact_id": None}
    with database.connect() as connection:
        assert run.due(connection, 1000).count(seller.id) == 1
    run.work(database, seller.id, NOW)
    assert scene.shop.one("SELECT contact_id FROM payments WHERE user_id = :user") == {"contact_id": contact}
    told = scene.shop.rows("SELECT id FROM outbox WHERE room = 'user:' || :user AND name LIKE 'payment.%'")
    run.work(database, seller.id, NOW)
    assert scene.shop.rows("SELECT id FROM outbox WHERE room = 'user:' || :user AND name LIKE 'payment.%'") == told


def test_where_a_hint_pointed_does_not_decide_whose_confirmed_money_is(scene: Scene) -> None:
    add(scene, scene.bill(10_000), "virtual_account", VIRTUAL)
    hinted = credited()
    with scene.shop.database.connect() as connection:
        intake.apply(connection, scene.shop.state(hinted, trust=Trust.HINT), now=NOW)
    scene.tell(replace(hinted, references=(), version=hinted.version + 1))
    row = scene.shop.one("SELECT contact_id, trust FROM payments WHERE user_id = :user")
    assert row == {"contact_id": None, "trust": "signed"}


def test_an_account_from_which_somebody_pays_is_nothing_that_money_came_by(scene: Scene) -> None:
    add(scene, scene.bill(10_000), "bank_account", VIRTUAL)
    scene.tell(credited())
    assert scene.shop.one("SELECT contact_id FROM payments WHERE user_id = :user") == {"contact_id": None}


def test_the_number_of_a_virtual_account_is_no_number_of_an_invoice(scene: Scene) -> None:
    invoice = scene.bill(10_000)
    scene.shop.name_invoice(invoice, VIRTUAL)
    scene.tell(credited())
    assert scene.shop.one("SELECT invoice_id FROM payments WHERE user_id = :user") == {"invoice_id": None}


def test_a_bank_line_by_a_virtual_account_pays_what_its_customer_owes(scene: Scene) -> None:
    ours = scene.bill(11_800)
    scene.bill(11_800, "Verma Steel")
    line = scene.line(11_800, f"NEFT CR-KKBK0000007-S KUMAR-{VIRTUAL}")
    with scene.shop.database.session() as session:
        run.reconcile(session, scene.shop.seller.id, NOW)
    assert scene.shop.one("SELECT match_state FROM transactions WHERE id = :id", id=line)["match_state"] == "none"
    add(scene, ours, "virtual_account", VIRTUAL)
    asked = scene.shop.one("SELECT count(*) AS times FROM reconcile_requests WHERE user_id = :user")
    assert asked["times"] > 0
    with scene.shop.database.session() as session:
        run.reconcile(session, scene.shop.seller.id, NOW)
    match = scene.shop.one("SELECT invoice_id, tier, features FROM matches WHERE transaction_id = :id", id=line)
    assert (str(match["invoice_id"]), match["tier"], match["features"]["payer"]) == (ours["id"], "sure", "given")

"""The pages of payments and payouts, without a browser: what is shown, to whom, and what a form does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from core.identity import Role
from core.ids import new_id
from tests.conftest import Servers
from tests.webapp.configured import settings_for
from tests.webapp.conftest import INVOICE, Person, World, make_world


@pytest.fixture(scope="module")
def standing(servers: Servers, file_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = make_world(settings_for(file_database_url, tmp_path_factory.mktemp("pages"), REDIS_URL=servers.redis_url))
    yield made
    made.app.extensions["ledgerwire.gateway"].stop()
    made.parts.database.dispose()


class Till:
    """A seller with a browser, a buyer, and two invoices between them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.seller, self.buyer = world.person(Role.SELLER), world.person(Role.BUYER, f"{new_id()}@shop.test")
        body = {**INVOICE, "contact": {"name": "Bina Buyer", "email": self.buyer.actor.email}}
        made = [world.post("/api/invoices", self.seller, body).body for _ in range(2)]
        self.first, self.second = (one["id"] for one in made)
        self.total, self.contact = made[0]["total"], made[0]["contact"]["id"]
        self.browser = world.browser(self.seller)

    def see(self, path: str, who: Person | None = None) -> tuple[int, str]:
        answer = (self.world.browser(who) if who else self.browser).get(path)
        return answer.status_code, answer.get_data(as_text=True)

    def send(self, path: str, at: str | None = None, **fields: str) -> tuple[int, str]:
        """Fill in the form of a page; the status, and where it leads or what it says."""
        page = self.see(at or path)[1]
        found = re.search(r'name="csrf_token" value="([^"]+)"', page)
        assert found, page
        answer = self.browser.post(path, data={"csrf_token": found[1], **fields})
        return answer.status_code, answer.headers.get("Location") or answer.get_data(as_text=True)

    def record(self, amount: str, **fields: str) -> str:
        """Write a payment down; return its path."""
        given = {"contact": self.contact, "amount": amount, "date": "2026-11-02", "method": "cash", **fields}
        status, there = self.send("/payments/new", f"/payments/new?contact={self.contact}", **given)
        assert status == 303, there
        return there

    def shown(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = self.world.get(f"/api{path}", self.seller).body
        return found


@pytest.fixture
def till(standing: World) -> Till:
    return Till(standing)


def rupees(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02}"


def test_the_form_from_an_invoice_has_its_customer_and_what_is_due(till: Till) -> None:
    status, page = till.see(f"/payments/new?invoice={till.first}")
    assert status == 200
    assert page.count(f'value="{rupees(till.total)}"') == 2
    assert f'name="target-{till.first}"' in page
    assert f'name="target-{till.second}"' in page


def test_a_payment_is_recorded_edited_refunded_applied_and_deleted(till: Till) -> None:
    half = till.total // 2
    path = till.record(rupees(till.total), **{f"target-{till.first}": rupees(half), "reference": "UTR 5"})
    assert (till.shown(path)["allocated"], till.shown(path)["bank_reference"]) == (half, "UTR 5")
    status, page = till.see(path)
    assert status == 200
    assert "Apply" in page
    assert till.send(f"{path}/apply", **{f"target-{till.second}": "1.00"})[0] == 303
    assert [one["amount"] for one in till.shown(path)["targets"]] == [half, 100]
    assert till.send(f"{path}/refund", amount="2.00", date="2026-11-03", method="upi")[0] == 303
    refund = till.shown(path)["refunds"][0]["id"]
    assert till.send(f"{path}/refunds/{refund}/undo", path)[0] == 303
    assert till.shown(path)["refunded"] == 0
    changed = {"amount": "3.00", "date": "2026-11-01", "method": "cheque", "notes": "late", f"target-{till.first}": "3"}
    assert till.send(f"{path}/edit", **changed, version=str(till.shown(path)["version"]))[0] == 303
    assert [(one["amount"], one["allocated"]) for one in till.shown(path)["targets"]] == [(300, 300)]
    assert till.send(f"{path}/delete", reason="bounced")[0] == 303
    assert "It was deleted: bounced" in till.see(path)[1]


def test_tax_kept_back_is_not_called_money_that_was_received(till: Till) -> None:
    till.record("5.00", **{"method": "tds_withheld", f"target-{till.first}": "5.00"})
    page = till.see(f"/invoices/{till.first}")[1]
    assert ("<h3>Tax kept back</h3>" in page, "<h3>Payment received</h3>" in page) == (True, False)
    till.record("6.00", **{"method": "upi", f"target-{till.first}": "6.00"})
    page = till.see(f"/invoices/{till.first}")[1]
    assert ("<h3>Payment received</h3>" in page, ">UPI</a>" in page) == (True, True)


def test_an_operator_reads_whose_each_invoice_and_payment_is(till: Till) -> None:
    operator = till.world.person(Role.OPERATOR)
    page = till.see("/invoices", operator)[1]
    assert 'data-label="Seller"' in page
    assert 'data-label="Seller"' not in till.see("/invoices")[1]


def test_what_is_wrong_stands_beside_its_field(till: Till) -> None:
    at = f"/payments/new?contact={till.contact}"
    status, page = till.send("/payments/new", at, contact=till.contact, amount="", date="", method="barter")
    assert status == 422
    for said in ("Enter an amount.", "Choose a day.", "Choose how it was paid."):
        assert said in page
    given = {"contact": till.contact, "amount": "5.00", "date": "2026-11-02", "method": "cash"}
    status, page = till.send("/payments/new", at, **given, **{f"target-{till.first}": "6.00"})
    assert status == 422
    assert "The invoices get more than the payment of ₹5.00 has" in page
    status, page = till.send("/payments/new", at, **{**given, "date": "2099-01-01"})
    assert status == 422
    assert "Must lie between 2000 and today" in page
    status, page = till.send("/payments/new", "/payments/new?contact=" + till.contact, amount="5", method="cash")
    assert status == 422
    assert "Choose whose money it is." in page


def test_the_second_of_two_who_edit_sees_what_the_first_changed(till: Till) -> None:
    path = till.record("5.00", **{f"target-{till.first}": "5.00"})
    fields = {"amount": "5.00", "date": "2026-11-02", "method": "cash", f"target-{till.first}": "5.00"}
    assert till.send(f"{path}/edit", **fields, notes="first", version="1")[0] == 303
    status, page = till.send(f"{path}/edit", **fields, notes="second", version="1")
    assert status == 409
    assert "Somebody changed this payment" in page
    assert "first" in page
    assert 'name="version" value="2"' in page
    assert till.send(f"{path}/edit", **fields, notes="second", version="2")[0] == 303


def test_the_same_payment_again_is_asked_about(till: Till) -> None:
    for _ in range(2):
        till.record("5.00", reference="UTR 5")
    assert "Is it the same money?" in till.see("/payments")[1]


def test_the_list_is_filtered_and_an_odd_address_shows_nothing(till: Till) -> None:
    till.record("5.00", reference="UTR 5")
    assert "Bina Buyer" in till.see("/payments?search=utr&source=manual&method=cash&from=2026-11-01&to=2026-11-30")[1]
    for query in ("search=nothing", "source=gateway", "from=9999-12-31", "cursor=nonsense", "to=0001-01-01"):
        status, page = till.see(f"/payments?{query}")
        assert (status, "<tbody" in page) == (200, False), query


@pytest.mark.parametrize("role", [Role.BUYER, Role.INVESTOR, Role.OPERATOR])
def test_only_the_seller_writes(till: Till, role: Role) -> None:
    path = till.record("5.00", **{f"target-{till.first}": "5.00"})
    person = till.buyer if role is Role.BUYER else till.world.person(role)
    for page in ("/payments/new", f"{path}/edit", f"{path}/refund", f"{path}/apply", f"{path}/delete"):
        assert till.see(page, person)[0] == 403
    assert till.see(path, person)[0] == (403 if role is Role.INVESTOR else 200)
    assert till.see("/payouts", person)[0] == (200 if role is Role.OPERATOR else 403)
    stranger = till.world.person(Role.SELLER)
    for page in (path, f"{path}/edit", f"{path}/refund", f"{path}/apply", f"{path}/delete"):
        assert till.see(page, stranger)[0] == 404


def test_a_dispute_and_a_payout_are_shown(till: Till) -> None:
    connection = UUID(
        till.world.post("/api/connections", till.seller, {"connector": "razorpay", "name": "S"}).body["id"]
    )
    ids = {name: new_id() for name in ("payout", "payment", "dispute")}
    with till.world.session() as session:
        for table, columns in {
            "payments": "id, user_id, connection_id, connector, object_id, source, version, status, amount, currency, "
            "fee, payer_name, occurred_at, trust) VALUES (:payment, :user, :connection, 'razorpay', 'pay_1', "
            "'gateway', 1, 'succeeded', 1000, 'INR', 20, 'Rao', now(), 'signed'",
            "payment_adjustments": "id, connection_id, kind, object_id, payment_object_id, version, status, amount, "
            "taken, currency, reason, respond_by, occurred_at) VALUES (:dispute, :connection, 'dispute', 'd', 'pay_1', "
            "1, 'open', 700, 0, 'INR', 'not_received', now(), now()",
            "payouts": "id, user_id, connection_id, object_id, version, status, amount, currency, occurred_at, "
            "unexplained) VALUES (:payout, :user, :connection, 's', 1, 'paid', 990, 'INR', now(), 10",
            "payout_lines": "subject_id, payout_id, kind, amount, fee, occurred_at) "
            "VALUES (:payment, :payout, 'payment', 1000, 20, now()",
        }.items():
            values = {**ids, "user": till.seller.actor.id, "connection": connection}
            session.execute(text(f"INSERT INTO {table} ({columns})"), values)
    page = till.see(f"/payments/{ids['payment']}")[1]
    assert "The payer disputes ₹7.00" in page
    assert f"/payouts/{ids['payout']}" in page
    assert "Disputed" in till.see("/payments?state=disputed")[1]
    status, page = till.see("/payouts")
    assert status == 200
    assert "1 payment" in page
    page = till.see(f"/payouts/{ids['payout']}")[1]
    assert "Not all of it is explained" in page
    assert "Found by order, not named by the provider" in page
    assert "Rao" in page
    with till.world.session() as session:
        session.execute(text("DELETE FROM payout_lines WHERE subject_id = :payment"), ids)
        for kind, subject, amount, fee in (("payment", "pay_2", 1010, 10), ("fee", None, -10, 0)):
            session.execute(
                text(
                    "INSERT INTO payout_items (id, user_id, connection_id, object_id, version, payout_object_id, kind, "
                    "subject_object_id, amount, fee, currency, occurred_at) VALUES (:id, :user, :connection, :name, 1, "
                    "'s', :kind, :subject, :amount, :fee, 'INR', now())"
                ),
                {
                    "id": new_id(),
                    "user": till.seller.actor.id,
                    "connection": connection,
                    "name": subject or "fee_1",
                    "kind": kind,
                    "subject": subject,
                    "amount": amount,
                    "fee": fee,
                },
            )
    page = till.see(f"/payouts/{ids['payout']}")[1]
    for words in ("Named by the provider", "One part is not known here yet", "pay_2", "Fee of the gateway", "fee_1"):
        assert words in page

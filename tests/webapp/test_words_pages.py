"""What people see of the rule that a seller's word leaves investors alone: amounts, reasons, and no dead buttons."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

import pytest

from core.identity import Role
from tests.conftest import Servers
from tests.webapp.api.test_financing import email_of, join, make_invoice, today
from tests.webapp.api.test_transactions import line
from tests.webapp.conftest import Person, Reply, World, standing_world

WHY = "₹2,000.00 of this invoice is not part of what investors financed"


@dataclass(frozen=True, slots=True)
class Stall:
    """A funded invoice of ₹1,00,000 of which ₹2,000 is tax that the buyer keeps back, and the people around it."""

    world: World
    seller: Person
    buyer: Person
    operator: Person
    invoice: str
    number: str

    def page(self, who: Person, path: str) -> str:
        reply = self.world.browser(who).get(path)
        assert reply.status_code == 200, reply.text
        return str(reply.text)

    def send(self, who: Person, path: str, action: str, **typed: str) -> tuple[int, str]:
        """Fill in the form of a page."""
        browser = self.world.browser(who)
        token = re.search(r'name="csrf_token" value="([^"]+)"', browser.get(path).text)
        assert token is not None
        reply = browser.post(action, data={"csrf_token": token[1], **typed})
        return reply.status_code, reply.text


@pytest.fixture(scope="module")
def stall(servers: Servers, file_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stall]:
    for world in standing_world(servers, file_database_url, tmp_path_factory.mktemp("words")):
        seller, buyer, investor = (join(world, role) for role in (Role.SELLER, Role.BUYER, Role.INVESTOR))
        made = make_invoice(world, seller, buyer)
        at = f"/api/invoices/{made['id']}"
        for who, what, given in (
            (seller, "submit", {"buyer_email": email_of(buyer), "tax_withheld": 2_000_00}),
            (buyer, "confirm", {}),
            (seller, "list", {"mode": "fixed", "ask_amount": 90_000_00, "fee_plan": "none"}),
            (investor, "fund", {"amount": 90_000_00}),
        ):
            done = world.post(f"{at}/{what}", who, json=given)
            assert done.status in (200, 201), done.body
        yield Stall(world, seller, buyer, world.person(Role.OPERATOR), made["id"], made["number"])


def test_pages_say_what_may_be_settled_by_hand_and_why(stall: Stall) -> None:
    assert WHY in stall.page(stall.seller, f"/invoices/{stall.invoice}")
    assert WHY not in stall.page(stall.buyer, f"/invoices/{stall.invoice}")
    assert WHY in stall.page(stall.seller, f"/invoices/{stall.invoice}/credit")
    form = stall.page(stall.seller, f"/payments/new?invoice={stall.invoice}")
    assert WHY in form
    assert f'name="target-{stall.invoice}" value="2000.00"' in form
    assert 'data-due="200000"' in form


def test_a_payment_by_hand_says_how_much_is_allowed(stall: Stall) -> None:
    path = f"/payments/new?invoice={stall.invoice}"
    typed = {"date": today(), "method": "tds_withheld", "amount": "2000.01", f"target-{stall.invoice}": "2000.01"}
    status, text = stall.send(stall.seller, path, path, **typed)
    assert (status, "at most ₹2,000.00 of it may be settled by hand" in text) == (422, True)
    body = {"currency": "INR", "method": "cash", "date": today()}

    def pay(amount: int) -> Reply:
        given = {**body, "amount": amount, "targets": [{"invoice_id": stall.invoice, "amount": amount}]}
        return stall.world.post("/api/payments", stall.seller, json=given)

    above, at = pay(2_000_01), pay(2_000_00)
    assert (above.status, above.body["code"]) == (409, "invoice_financed")
    assert at.status == 201, at.body
    assert "and is settled already" in stall.page(stall.seller, f"/invoices/{stall.invoice}")
    assert stall.world.delete(f"/api/payments/{at.body['id']}", stall.seller).status == 200


def test_a_match_that_repaid_investors_has_a_reason_in_place_of_a_button(stall: Stall) -> None:
    world, path = stall.world, ""
    bank = line(world, stall.seller, 98_000_00, f"NEFT {stall.number}")
    path = f"/transactions/{bank}"
    done = world.post(f"/api{path}/match", stall.seller, json={"invoice_id": stall.invoice})
    assert done.status == 200, done.body
    shown = stall.page(stall.seller, path)
    assert f"Investors of {stall.number} were repaid with this money, so you cannot undo it" in shown
    assert f"{path}/undo" not in shown
    listed = stall.page(stall.seller, "/reconcile?tab=done")
    assert f"Repaid the investors of {stall.number}" in listed
    assert f"/reconcile/{bank}/undo" not in listed
    refused = world.post(f"/api{path}/unmatch", stall.seller, json={})
    assert (refused.status, refused.body["code"]) == (409, "investors_repaid")
    # An operator's own form, which wants a reason.
    assert f"{path}/overrule" not in shown
    assert "and they wait for it again" in stall.page(stall.operator, path)
    assert stall.send(stall.seller, path, f"{path}/overrule", reason="I should like it back")[0] == 403
    assert world.post(f"/api{path}/overrule", stall.seller, json={"reason": "0123456789"}).status == 403
    for reason, status in (("012345678", 422), ("x" * 501, 422), (" " * 12, 422), ("x" * 500, 200)):
        reply = world.post(f"/api{path}/overrule", stall.operator, json={"reason": reason})
        assert reply.status == status, reply.body
    assert world.get(f"/api/invoices/{stall.invoice}", stall.seller).body["amount_paid"] == 0
    # Once more, by the page.
    assert world.post(f"/api{path}/match", stall.seller, json={"invoice_id": stall.invoice}).status == 200
    assert stall.send(stall.operator, path, f"{path}/overrule", reason="short")[0] == 303
    assert world.get(f"/api{path}", stall.operator).body["match_state"] == "accepted"
    assert stall.send(stall.operator, path, f"{path}/overrule", reason="the bank told of it twice")[0] == 303
    assert world.get(f"/api{path}", stall.operator).body["match_state"] == "proposed"
    assert UUID(bank)

"""The pages of financing: each is there for whom it is for, and each of its parts refreshes alone."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from core.identity import Role
from core.marketplace import bidding
from tests.conftest import Servers
from tests.webapp.api.test_financing import LAKH, join, listed, make_invoice, today
from tests.webapp.conftest import Person, World, standing_world


@dataclass(frozen=True, slots=True)
class Fair:
    """One deal in every stage, and the people around them."""

    world: World
    people: dict[str, Person]
    invoices: dict[str, str]


@pytest.fixture(scope="module")
def fair(servers: Servers, file_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fair]:
    """Built once: these tests only look."""
    for world in standing_world(servers, file_database_url, tmp_path_factory.mktemp("pages")):
        people = {role.value: join(world, role) for role in (Role.SELLER, Role.BUYER, Role.INVESTOR)}
        people["operator"] = world.person(Role.OPERATOR)
        people["newcomer"] = join(world, Role.INVESTOR)
        seller, buyer, investor = people["seller"], people["buyer"], people["investor"]
        asked = make_invoice(world, seller, buyer, amount=LAKH + 7)["id"]
        world.post(f"/api/invoices/{asked}/submit", seller, json={"buyer_email": buyer.actor.email})
        confirmed = make_invoice(world, seller, buyer, amount=LAKH + 11)["id"]
        world.post(f"/api/invoices/{confirmed}/submit", seller, json={"buyer_email": buyer.actor.email})
        world.post(f"/api/invoices/{confirmed}/confirm", buyer)
        fixed = listed(world, seller, buyer)
        world.post(f"{fixed}/fund", investor, json={"amount": 30_000_00})
        auction = listed(world, seller, buyer, mode="auction", ask_amount=None, discount_rate=14)
        world.post(f"{auction}/bids", investor, json={"rate": 11, "amount": 50_000_00})
        funded = listed(world, seller, buyer)
        world.post(f"{funded}/fund", investor, json={"amount": 90_000_00})
        invoices = {"open": make_invoice(world, seller, buyer, amount=LAKH + 13)["id"], "asked": asked}
        invoices |= {"confirmed": confirmed, "fixed": fixed[-36:], "auction": auction[-36:], "funded": funded[-36:]}
        yield Fair(world, people, invoices)


PAGES = [
    *(
        ("seller", path)
        for path in ("/financing", "/financing?group=listed", "/financing?group=funded", "/marketplace")
    ),
    *(("seller", f"/invoices/{{{stage}}}") for stage in ("open", "asked", "confirmed", "fixed", "auction", "funded")),
    ("seller", "/invoices/{open}/finance"),
    ("seller", "/invoices/{confirmed}/offer"),
    ("seller", "/marketplace/{fixed}"),
    ("seller", "/wallet"),
    ("seller", "/dashboard"),
    ("investor", "/profile"),
    *(("buyer", path) for path in ("/financing", "/financing?group=to_pay", "/financing?group=closed", "/wallet")),
    *(("buyer", f"/invoices/{{{stage}}}") for stage in ("asked", "confirmed", "fixed", "funded")),
    ("buyer", "/dashboard"),
    *(("investor", f"/marketplace/{{{stage}}}") for stage in ("fixed", "auction", "funded")),
    *(("investor", path) for path in ("/marketplace", "/portfolio", "/portfolio?status=open", "/wallet", "/dashboard")),
    ("investor", f"/portfolio?on={today(-1)}"),
    ("investor", "/marketplace?tenor=30&yield=15&mode=auction&band=high&sort=yield&search=x"),
    *(("newcomer", path) for path in ("/marketplace", "/portfolio", "/wallet?type=debit", "/dashboard")),
    *(("operator", path) for path in ("/financing", "/marketplace", "/marketplace/{fixed}", "/invoices/{fixed}")),
]


@pytest.mark.parametrize(("who", "path"), PAGES)
def test_a_page_and_every_part_of_it_that_refreshes_alone(fair: Fair, who: str, path: str) -> None:
    browser = fair.world.browser(fair.people[who])
    page = browser.get(path.format(**fair.invoices))
    assert page.status_code == 200, page.text
    parts = {html.unescape(found) for found in re.findall(r'hx-get="([^"]+)"', page.text)}
    assert any("fragment=f_bell" in part for part in parts)
    for part in parts:
        answer = browser.get(part, headers={"HX-Request": "true"})
        assert answer.status_code == 200, (part, answer.text)
        assert "<html" not in answer.text, part


NOT_FOR = [
    ("buyer", "/marketplace", 403),
    ("buyer", "/marketplace/{fixed}", 403),
    ("buyer", "/portfolio", 403),
    ("seller", "/portfolio", 403),
    ("investor", "/financing", 403),
    ("investor", "/invoices/{asked}", 404),
    ("investor", "/marketplace/{asked}", 404),
    ("newcomer", "/marketplace/{funded}", 404),
    ("buyer", "/invoices/{open}/finance", 403),
    ("operator", "/invoices/{confirmed}/offer", 403),
]


@pytest.mark.parametrize(("who", "path", "status"), NOT_FOR)
def test_a_page_that_is_not_for_them_says_so(fair: Fair, who: str, path: str, status: int) -> None:
    page = fair.world.browser(fair.people[who]).get(path.format(**fair.invoices))
    assert page.status_code == status


def test_the_price_is_shown_before_it_is_listed(fair: Fair) -> None:
    browser = fair.world.browser(fair.people["seller"])
    address = f"/invoices/{fair.invoices['confirmed']}/offer"
    typed = {"fragment": "f_preview", "mode": "fixed", "price_by": "amount", "ask_amount": "90000", "fee_plan": "none"}
    shown = browser.get(address, query_string=typed, headers={"HX-Request": "true"})
    assert (shown.status_code, "₹10,000.11" in shown.text, "<form" in shown.text) == (200, True, False)
    wrong = browser.get(address, query_string=typed | {"ask_amount": "200000"}, headers={"HX-Request": "true"})
    assert (wrong.status_code, "Must be ₹0.01 to ₹1,00,000.11" in wrong.text) == (200, True)


def test_what_is_on_offer_now_is_left_out_of_the_portfolio_of_yesterday(fair: Fair) -> None:
    browser = fair.world.browser(fair.people["investor"])
    now, then = (browser.get(path).text for path in ("/portfolio", f"/portfolio?on={today(-1)}"))
    assert ("1,00,000.00" in now, "As the books said" in then, "1,00,000.00" in then) == (True, True, False)


@pytest.mark.parametrize("moment", ["0001-01-01T00:00", "9999-12-31T23:59", "2026-13-01", "now"])
def test_a_closing_time_that_no_clock_has_is_a_mistake_in_its_field(fair: Fair, moment: str) -> None:
    form = {"price_by": "rate", "discount_rate": "12", "closes_at": moment}
    path = f"/invoices/{fair.invoices['confirmed']}/offer"
    shown = fair.world.browser(fair.people["seller"]).get(path, query_string=form)
    assert shown.status_code == 200


def _sent(page: str, action: str, **typed: str) -> dict[str, str]:
    token = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert token is not None
    assert action in page
    return {"csrf_token": token[1], **typed}


def test_a_refused_amount_stays_in_its_form_and_the_page_refreshes_where_it_stands(fair: Fair) -> None:
    browser, address = fair.world.browser(fair.people["newcomer"]), f"/marketplace/{fair.invoices['fixed']}"
    typed = _sent(browser.get(address).text, f"{address}/fund", amount="60000.01")
    refused = browser.post(f"{address}/fund", data=typed)
    assert (refused.status_code, "Only ₹60,000.00 is left to fund." in refused.text) == (422, True)
    assert 'value="60000.01"' in refused.text
    parts = {html.unescape(found) for found in re.findall(r'hx-get="([^"]+)"', refused.text)}
    assert not [part for part in parts if browser.get(part, headers={"HX-Request": "true"}).status_code != 200]


def test_a_closed_auction_shows_its_seller_the_other_price_and_its_loser_that_it_is_over(fair: Fair) -> None:
    world, seller, winner = fair.world, fair.people["seller"], fair.people["investor"]
    loser = join(world, Role.INVESTOR)
    at = listed(world, seller, fair.people["buyer"], mode="auction", ask_amount=None, discount_rate=14)
    for who, rate, amount in ((winner, 10, LAKH // 2), (winner, 12, LAKH // 2), (loser, 13, LAKH)):
        assert world.post(f"{at}/bids", who, json={"rate": rate, "amount": amount}).status == 201
    address = f"/marketplace/{at[-36:]}"
    assert "How the auction ended" not in world.browser(seller).get(address).text
    now = datetime.now(UTC)
    with world.session() as session:
        session.execute(
            text("UPDATE financings SET closes_at = :now WHERE invoice_id = :id"), {"now": now, "id": at[-36:]}
        )
        bidding.close_due(session, now, 1, rules=world.parts.rules)
    offer = world.get(f"/api/marketplace/listings/{at[-36:]}", seller).body
    end = offer["result"]
    # Both at 12 %, or one at 10 and one at 12: eleven twelfths of it.
    assert (end["pricing"], end["price"], end["agrees"], len(end["bids"])) == ("uniform", "12", True, 3)
    assert end["discount"] == offer["financing"]["discount"]
    assert abs(12 * end["other_discount"] - 11 * end["discount"]) <= 12
    page = world.browser(seller).get(address).text
    assert ("How the auction ended" in page, "the books say the same" in page) == (True, True)
    lost = world.browser(loser).get(address)
    assert (lost.status_code, "Lost" in lost.text, "How the auction ended" in lost.text) == (200, True, False)
    assert world.get(f"/api/marketplace/listings/{at[-36:]}", loser).body["result"] is None
    # A notification leads an investor to the offer, as the invoice itself is not theirs to see.
    assert world.browser(loser).get(f"/invoices/{at[-36:]}").headers["Location"] == address


def test_an_investor_sets_caps_of_their_own_and_one_that_is_none_is_said_so(fair: Fair) -> None:
    browser = fair.world.browser(join(fair.world, Role.INVESTOR))
    typed = _sent(browser.get("/profile").text, "/profile/caps", per_invoice="0", max_days="30")
    refused = browser.post("/profile/caps", data=typed)
    assert (refused.status_code, "Must be between 0.01 and 100." in refused.text) == (422, True)
    assert browser.post("/profile/caps", data=typed | {"per_invoice": "7.5"}).status_code == 303
    assert 'value="7.5"' in browser.get("/profile").text
    assert "/profile/caps" not in fair.world.browser(fair.people["seller"]).get("/profile").text


def test_a_line_of_the_wallet_leads_to_its_transfer_and_nobody_else_gets_there(fair: Fair) -> None:
    found = re.search(r"/transfers/[0-9a-f-]{36}", fair.world.browser(fair.people["investor"]).get("/wallet").text)
    assert found is not None
    mine, theirs, all_of_it = (
        fair.world.browser(fair.people[who]).get(found[0]) for who in ("investor", "newcomer", "operator")
    )
    assert (mine.status_code, theirs.status_code, all_of_it.status_code) == (200, 404, 200)
    assert ("Escrow of the invoice" in mine.text, "Escrow of the invoice" in all_of_it.text) == (False, True)


def test_what_is_withdrawn_need_not_be_confirmed_any_more_and_all_is_read_at_once(fair: Fair) -> None:
    world, seller, buyer = fair.world, fair.people["seller"], join(fair.world, Role.BUYER)
    invoice = make_invoice(world, seller, buyer, amount=LAKH + 17)["id"]
    for wanted in (1, 0, 1):
        action = "submit" if wanted else "withdraw"
        world.post(
            f"/api/invoices/{invoice}/{action}", seller, json={"buyer_email": buyer.actor.email} if wanted else {}
        )
        assert world.get("/api/notifications", buyer).body["unread"] == wanted
    browser = world.browser(buyer)
    typed = _sent(browser.get("/notifications").text, "/notifications/read")
    assert browser.post("/notifications/read", data=typed).status_code == 303
    assert world.get("/api/notifications", buyer).body["unread"] == 0

"""The pages of financing: each is there for whom it is for, and each of its parts refreshes alone."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from core.identity import Role
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

"""Every page of invoicing, payments and reconciliation: there for whom it is for, and so is each part of it."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from core.identity import Role
from core.ids import new_id
from core.invoicing import links
from core.reconciliation import run
from tests.conftest import Servers
from tests.core.statement_files.samples import a_csv
from tests.webapp.conftest import INVOICE, Person, World, standing_world
from webapp.pages.format import spoken

MAPPING = {"date": 0, "narration": [1], "reference": 2, "amount": 3}
LINE = {"description": "Rent", "quantity": "1", "unit_price": 90_00, "tax_rate": 18}
IMPORT = (
    "Number,Customer,Email,Issue date,Due date,Description,Quantity,Unit price\nA,Rao,r@rao.test,2026-11-01,,Tea,1,5\n"
)


@dataclass(slots=True)
class Shop:
    """A seller with one of everything, and people who have nothing to do with it."""

    world: World
    people: dict[str, Person]
    # What {name} stands for in the paths below.
    ids: dict[str, str] = field(default_factory=dict)

    def make(self, name: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Have something made over the API; its id is called `name`."""
        made = self.world.post(f"/api/{path}", self.people["seller"], body)
        assert made.status == 201, (path, made.status, made.body)
        self.ids[name] = made.body["id"]
        found: dict[str, Any] = made.body
        return found

    def upload(self, name: str, path: str, content: str) -> None:
        """Bring a file by the form of a page; what it leads to is called `name`."""
        browser = self.world.browser(self.people["seller"])
        token = re.search(r'name="csrf_token" value="([^"]+)"', browser.get(path).text)
        assert token is not None
        sent = browser.post(
            path,
            data={"csrf_token": token[1], "file": (io.BytesIO(content.encode()), "a.csv")},
            content_type="multipart/form-data",
        )
        assert sent.status_code == 303, sent.text
        self.ids[name] = sent.headers["Location"].rpartition("/")[2]


def stock(shop: Shop) -> None:
    """One of everything that the pages show."""
    world, seller = shop.world, shop.people["seller"]
    bill = {**INVOICE, "contact": {"name": "Bina Buyer", "email": shop.people["buyer"].actor.email}}
    shop.ids["contact"] = shop.make("open", "invoices", bill)["contact"]["id"]
    shop.make("draft", "invoices", {**bill, "draft": True})
    shop.make("credited", "invoices", bill)
    shop.make("note", "credit-notes", {"invoice_id": shop.ids["credited"], "reason": "Torn"})
    plan = {"name": "Rent", "contact_id": shop.ids["contact"], "currency": "INR", "frequency": "month"}
    shop.make("recurring", "recurring", {**plan, "items": [LINE], "starts_on": "2027-01-31"})
    paid = {"amount": 10_00, "currency": "INR", "method": "cash", "date": "2026-11-02"}
    shop.make("payment", "payments", {**paid, "contact_id": shop.ids["contact"]})
    shop.make("bulk", "bulk", {"action": "issue", "invoice_ids": [shop.ids["draft"]]})
    statement = {"filename": "a.csv", "account_name": "Current", "currency": "INR", "mapping": MAPPING}
    lines = [("01/11/2026", "NEFT BINA BUYER", "U1", "29.54"), ("02/11/2026", "FEE", "", "-17.70")]
    shop.make("statement", "statements", {**statement, "content": base64.b64encode(a_csv(lines)).decode()})
    world.post(f"/api/statements/{shop.ids['statement']}/confirm", seller)
    moved = world.get("/api/transactions", seller).body["items"]
    shop.ids["transaction"] = next(line["id"] for line in moved if line["amount"] > 0)
    world.post(f"/api/invoices/{shop.ids['open']}/send", seller, {})
    shop.upload("import", "/invoices/import", IMPORT)
    shop.ids["payout"] = str(new_id())
    connection = world.post("/api/connections", seller, {"connector": "razorpay", "name": "S"}).body["id"]
    with world.session() as session:
        session.execute(
            text(
                "INSERT INTO payouts (id, user_id, connection_id, object_id, version, status, amount, currency, "
                "occurred_at, unexplained) VALUES (:id, :user, :connection, 's', 1, 'paid', 990, 'INR', now(), 10)"
            ),
            {"id": shop.ids["payout"], "user": seller.actor.id, "connection": UUID(connection)},
        )
        run.reconcile(session, seller.actor.id, datetime.now(UTC))
        shop.ids["mail"] = str(session.scalar(text("SELECT id FROM mails ORDER BY id DESC LIMIT 1")))
        shop.ids["link"] = links.of(world.parts.settings).token(UUID(shop.ids["open"]), 1)


@pytest.fixture(scope="module")
def shop(servers: Servers, file_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Built once: these tests only look."""
    for world in standing_world(servers, file_database_url, tmp_path_factory.mktemp("walk")):
        people = {role.value: world.person(role) for role in Role}
        made = Shop(world, people | {"rival": world.person(Role.SELLER, f"{new_id()}@example.com")})
        stock(made)
        yield made


# Each page, and who sees it beside its owner. {…} are those of `Shop.ids`.
PAGES: dict[str, str] = {
    "/dashboard": "buyer operator investor rival",
    "/invoices": "buyer operator rival",
    "/invoices?search=bnia&sort=total&stage=open&all=1": "buyer operator rival",
    "/invoices/{open}": "buyer operator",
    "/invoices/{draft}": "operator",
    "/invoices/{credited}": "buyer operator",
    "/invoices/{open}/print": "buyer operator",
    "/invoices/{open}/edit": "",
    "/invoices/{open}/credit": "",
    "/invoices/{open}/mail?do=send": "",
    "/invoices/{open}/mail?do=remind": "",
    "/invoices/{open}/mail?do=write": "",
    "/invoices/new": "rival",
    "/invoices/new?contact={contact}": "",
    "/invoices/import": "rival",
    "/invoices/import/{import}": "",
    "/invoices/jobs/{bulk}": "operator",
    "/contacts": "operator rival",
    "/contacts?search=bina&archived=1": "operator rival",
    "/contacts/new": "rival",
    "/contacts/{contact}": "operator",
    "/contacts/{contact}/edit": "",
    "/contacts/{contact}/statement": "operator",
    "/credit-notes": "buyer operator rival",
    "/credit-notes/{note}": "buyer operator",
    "/recurring": "operator rival",
    "/recurring/new": "rival",
    "/recurring/{recurring}": "operator",
    "/recurring/{recurring}/edit": "",
    "/rates": "operator rival",
    "/payments": "buyer operator rival",
    "/payments/new": "rival",
    # Somebody else's contact is no choice there.
    "/payments/new?contact={contact}": "rival",
    "/payments/{payment}": "operator",
    "/payments/{payment}/edit": "",
    "/payments/{payment}/refund": "",
    "/payments/{payment}/apply": "",
    "/payments/{payment}/delete": "",
    "/payouts": "operator rival",
    "/payouts/{payout}": "operator",
    "/statements": "operator rival",
    "/statements/{statement}": "operator",
    "/statements/line": "rival",
    "/reconcile": "operator rival",
    **{f"/reconcile?tab={tab}": "operator rival" for tab in ("sure", "suggested", "suspense", "done", "aside")},
    "/reconcile/{transaction}/choose": "",
    "/transactions": "operator rival",
    "/transactions/{transaction}": "operator",
    "/reports": "operator rival",
    **{
        f"/reports/{name}": "operator rival"
        for name in ("ageing", "expected", "dso", "tax", "income", "methods", "fees", "reconciliation")
    },
    "/settings/business": "rival",
    "/settings/mail": "rival",
    "/settings/mail/invoice": "rival",
    "/mailbox": "buyer operator investor rival",
    "/mailbox/{mail}": "buyer operator",
}


@pytest.mark.parametrize("path", PAGES)
def test_its_owner_sees_a_page_and_every_part_of_it_that_refreshes_alone(shop: Shop, path: str) -> None:
    browser = shop.world.browser(shop.people["seller"])
    page = browser.get(path.format(**shop.ids))
    assert page.status_code == 200, page.text[:800]
    parts = {html.unescape(found) for found in re.findall(r'hx-get="([^"]+)"', page.text)}
    for part in parts:
        answer = browser.get(part, headers={"HX-Request": "true"})
        assert answer.status_code == 200, (part, answer.text[:800])
        assert "<html" not in answer.text, part


@pytest.mark.parametrize("path", PAGES)
def test_others_see_it_or_are_told_that_it_is_not_theirs(shop: Shop, path: str) -> None:
    found = {}
    for who in ("buyer", "operator", "investor", "rival"):
        answer = shop.world.browser(shop.people[who]).get(path.format(**shop.ids))
        found[who] = answer.status_code
        assert answer.status_code in (200, 403, 404), (who, answer.text[:800])
        assert "<h1" in answer.text, who
    assert " ".join(who for who, status in found.items() if status == 200) == PAGES[path]
    assert shop.world.browser().get(path.format(**shop.ids)).status_code == 302


def test_a_customer_needs_no_account_and_every_part_of_their_page_refreshes(shop: Shop) -> None:
    stranger = shop.world.browser()
    page = stranger.get(f"/i/{shop.ids['link']}")
    assert page.status_code == 200, page.text[:800]
    parts = {html.unescape(found) for found in re.findall(r'hx-get="([^"]+)"', page.text)}
    assert parts
    assert {stranger.get(part).status_code for part in parts} <= {200, 204}


def test_a_form_opened_from_a_customer_knows_them(shop: Shop) -> None:
    path = f"/invoices/new?contact={shop.ids['contact']}"
    page = shop.world.browser(shop.people["seller"]).get(path).text
    assert 'value="Bina Buyer"' in page
    assert f'value="{shop.people["buyer"].actor.email}"' in page


def test_an_operator_chooses_whose_reports_they_are(shop: Shop) -> None:
    browser, seller = shop.world.browser(shop.people["operator"]), shop.people["seller"].actor.id
    assert f'<option value="{seller}">' in browser.get("/reports").text
    shown = browser.get(f"/reports/ageing?seller={seller}").text
    assert f'<option value="{seller}" selected>' in shown
    assert f"/reports/expected?seller={seller}" in html.unescape(shown)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("items.1.hsn: must have at least 4 digits", "Line 2: must have at least 4 digits."),
        ("contact.email: is no address", "Email: is no address."),
        ("due_date: must not be before the issue date", "Due date: must not be before the issue date."),
        ("file: line 4, quantity: 'x' is no number", "Line 4, quantity: 'x' is no number."),
        ("amount: must be 500 to 1000 minor units", "Amount: must be ₹5.00 to ₹10.00."),
        ("INV-2026-00003: is paid", "INV-2026-00003: is paid."),
    ],
)
def test_a_refusal_names_the_place_as_people_do(words: str, said: str) -> None:
    assert spoken(words, "INR") == said

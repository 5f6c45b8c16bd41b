"""Every page: usable with a keyboard and by a screen reader, within its width, and with nothing to complain of."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import axe_playwright_python
import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from tests import budget
from tests.e2e.conftest import SignIn, live, sign_in
from tests.e2e.stack import PASSWORD, Stack

pytestmark = pytest.mark.e2e
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
STATIC = ("/dashboard", "/invoices", "/invoices/new", "/payments", "/transactions", "/connections", "/connections/new")
MORE = (
    *("/connections/new/razorpay", "/connections/new/basiq", "/deliveries", "/profile", "/invoices?search=nothing"),
    "/notifications",
    *("/kyc", "/kyc?edit=1"),
)
# The everyday half: forms and what is wide at 390 px, lists at 1440 px, and all of it in the long run.
BOOKS = {
    390: ("/reconcile", "/payments/new", "/recurring/new", "/statements", "/settings/business", "/rates"),
    1440: ("/reconcile?tab=suspense", "/contacts", "/credit-notes", "/recurring", "/payouts", "/invoices/import"),
}
MORE_BOOKS = (
    *(
        "/contacts/new",
        "/statements/line",
        "/reconcile?tab=done",
        "/settings/mail",
        "/settings/mail/invoice",
        "/mailbox",
    ),
    *(f"/reports/{name}" for name in ("dso", "income", "methods", "fees", "reconciliation")),
)
# What is done with one that stands in a list, on pages of its own.
ENTRIES: dict[int, dict[str, tuple[str, ...]]] = {
    390: {"/contacts": ("", "/statement"), "/credit-notes": ("",)},
    1440: {"/payouts": ("",), "/statements": ("",), "/invoices": ("/edit",)},
}
MORE_ENTRIES = {"/contacts": ("/edit",), "/recurring": ("", "/edit"), "/invoices": ("/credit", "/mail")}
# Each also looks at the dashboard; the last stays for the offers.
PEOPLE = {
    "operator@demo.com": ("/quarantine", "/reviews", "/kyc-reviews", "/kyc-reviews?state=all", "/ledger"),
    "seller@demo.com": (
        *("/financing", "/financing?group=listed", "/marketplace", "/wallet"),
        *("/reports", "/reports/ageing", "/reports/expected", "/reports/tax"),
    ),
    "buyer@demo.com": ("/financing", "/financing?group=to_pay", "/mailbox"),
    "seller2@demo.com": ("/financing?group=funded",),
    "investor2@demo.com": ("/portfolio", "/wallet"),
    "investor@demo.com": ("/marketplace", "/marketplace?search=nothing", "/portfolio", "/profile"),
}
LISTS = ("/invoices", "/payments", "/transactions", "/connections", "/deliveries")


def first_of(page: Page, path: str) -> str:
    """The address of the first entry of a list."""
    page.goto(path)
    links: list[str] = page.eval_on_selector_all("a.cover", "links => links.map(link => link.getAttribute('href'))")
    return next(link for link in links if re.search(r"[0-9a-f-]{36}$", link))


def of_entries(page: Page, deeds: dict[str, tuple[str, ...]]) -> list[str]:
    """The addresses of what is done with the first entry of each of these lists."""
    return [first + deed for path, all_of_it in deeds.items() for first in [first_of(page, path)] for deed in all_of_it]


def offers(page: Page) -> list[str]:
    """The address of an offer at a fixed price and of an auction."""
    return [first_of(page, f"/marketplace?mode={mode}") for mode in ("fixed", "auction")]


def complaints(page: Page) -> list[str]:
    """What axe-core finds, and whether the page is wider than the window."""
    page.evaluate(AXE)
    found: dict[str, Any] = page.evaluate(
        "rules => axe.run(document, {runOnly: {type: 'tag', values: rules}, resultTypes: ['violations']})", RULES
    )
    said = [f"{one['id']}: {one['help']}: {one['nodes'][0]['html'][:160]}" for one in found["violations"]]
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return [*said, *([f"{wide} px too wide"] if wide > 0 else [])]


class Looker:
    """Somebody who goes from page to page and writes down what is wrong with each."""

    def __init__(self, page: Page, scheme: str, half: int | None = None) -> None:
        self.page, self.scheme, self.half = page, scheme, half
        self.problems: dict[str, list[str]] = {}
        self.said: list[str] = []
        page.on("console", lambda heard: self.said.append(heard.text) if heard.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: self.said.append(str(error)))

    def look(self, *paths: str, status: int = 200) -> None:
        """Go to each of these; one who looks at half of everything, to every second of them."""
        for path in paths if self.half is None or len(paths) == 1 else paths[self.half :: 2]:
            self.said.clear()
            answer = self.page.goto(path)
            assert answer is not None
            assert answer.status == status, path
            expect(self.page.locator("html")).to_have_attribute("data-bs-theme", self.scheme)
            if self.page.locator("#live").count():
                live(self.page)
            # The browser itself reports that the answer was an error, where one was asked for.
            heard = [text for text in self.said if not (status >= 400 and "Failed to load resource" in text)]
            if found := heard + complaints(self.page):
                self.problems[path] = found


# Each scheme, each width and each page once in every run; every page in every pair in the long one.
@pytest.mark.parametrize(
    ("scheme", "width", "long"),
    [
        ("light", 1440, False),
        ("dark", 390, False),
        pytest.param("light", 390, True, marks=pytest.mark.long),
        pytest.param("dark", 1440, True, marks=pytest.mark.long),
    ],
)
def test_no_page_has_a_flaw(
    stack: Stack, browser: Browser, *, width: int, scheme: Literal["light", "dark"], long: bool
) -> None:
    base = stack.web()
    size: ViewportSize = {"width": width, "height": 900}
    context = browser.new_context(base_url=base, viewport=size, color_scheme=scheme, reduced_motion="reduce")
    page = context.new_page()
    walker = Looker(page, scheme, None if budget.whole() else int(width == 390))
    walker.look("/login", "/register")
    sign_in(page, base, "seller@demo.com")
    walker.look(*STATIC, *MORE)
    for path in LISTS:
        walker.look(first_of(page, path))
    walker.look(*BOOKS[width], *of_entries(page, ENTRIES[width]))
    if long:
        other = 390 + 1440 - width
        walker.look(*BOOKS[other], *MORE_BOOKS, *of_entries(page, ENTRIES[other]), *of_entries(page, MORE_ENTRIES))
    walker.look(first_of(page, "/deliveries") + "/replay")
    walker.look("/invoices/nothing", status=404)
    walker.look("/quarantine", status=403)
    for email, paths in PEOPLE.items():
        context.clear_cookies()
        sign_in(page, base, email)
        walker.look("/dashboard", *paths)
    walker.look(*offers(page), first_of(page, "/wallet"))
    walker.look("/financing", status=403)
    context.close()
    assert walker.problems == {}


def test_signing_in_needs_only_a_keyboard(stack: Stack, browser: Browser) -> None:
    context = browser.new_context(base_url=stack.web())
    page = context.new_page()
    page.goto("/login?next=/payments")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.get_by_label("E-mail").focus()
    page.keyboard.type("seller@demo.com")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/payments")
    context.close()


def test_forms_say_what_is_wrong_beside_the_field(stack: Stack, signed_in: SignIn) -> None:
    page = signed_in()
    page.goto("/invoices/new")
    page.get_by_label("Name", exact=True).fill("Kaveri Exports")
    page.get_by_label("E-mail").fill("not an address")
    page.get_by_role("button", name="Make invoice").click()
    expect(page.locator("#contact_email-error")).to_have_text("Enter an e-mail address such as name@example.com.")
    expect(page.get_by_label("E-mail")).to_be_focused()
    expect(page.locator("#items-0-description-error")).to_have_text("Say what.")
    expect(page.locator("#items-0-unit_price-error")).to_have_text("Enter a price.")
    page.get_by_label("E-mail").fill("accounts@kaveri.example")
    expect(page.locator("#contact_email-error")).to_have_text("")

    page.locator("#items-0-description").fill("Zari border")
    # A customer with a GSTIN, which the form fills in by itself, must read what each line is.
    page.locator("#items-0-hsn").fill("5808")
    page.locator("#items-0-quantity").fill("2.5")
    page.locator("#items-0-unit_price").fill("19.99")
    page.locator("#items-0-tax_rate").fill("18")
    page.get_by_role("button", name="Add a line").click()
    page.locator("#items-1-description").fill("Packing")
    page.locator("#items-1-hsn").fill("9985")
    page.locator("#items-1-unit_price").fill("100000.005")
    page.get_by_role("button", name="Make invoice").click()
    # The browser cannot know how many places a rupee has; the server does, and keeps what was typed.
    expect(page.locator("#items-1-unit_price-error")).to_contain_text("decimal places")
    expect(page.locator("[data-error-summary]")).to_be_focused()
    page.locator("#items-1-unit_price").fill("100000")
    expect(page.locator("[data-total=total]")).to_have_text("₹1,18,058.98")
    page.get_by_role("button", name="Make invoice").click()
    page.wait_for_url(re.compile(r"/invoices/[0-9a-f-]{36}$"))
    expect(page.locator(".totals")).to_contain_text("₹1,18,058.98")


def test_forms_work_without_javascript(stack: Stack, browser: Browser) -> None:
    context = browser.new_context(base_url=stack.web(), java_script_enabled=False)
    page = context.new_page()
    sign_in(page, stack.url(), "seller@demo.com")
    page.goto("/invoices/new")
    page.get_by_label("Name", exact=True).fill("Kaveri Exports")
    page.get_by_label("E-mail").fill("accounts@kaveri.example")
    page.get_by_role("button", name="Add a line").click()
    expect(page.get_by_label("Name", exact=True)).to_have_value("Kaveri Exports")
    for place, price in enumerate(("10", "20")):
        page.locator(f"#items-{place}-description").fill("Thread")
        page.locator(f"#items-{place}-unit_price").fill(price)
    page.get_by_role("button", name="Make invoice").click()
    expect(page.locator(".totals")).to_contain_text("₹30.00")
    # A question is shown by its address.
    page.get_by_label("More to do with this invoice").click()
    page.get_by_role("link", name="Cancel invoice").click()
    question = page.get_by_role("dialog", name="Cancel ")
    expect(question).to_be_visible()
    question.get_by_role("link", name="Back").click()
    expect(question).to_be_hidden()
    page.go_back()
    question.get_by_role("button", name="Cancel invoice").click()
    expect(page.locator("#invoice-head")).to_have_attribute("data-stage", "void")
    context.close()


def test_a_connection_shows_its_secret_once(stack: Stack, signed_in: SignIn) -> None:
    page = signed_in()
    page.goto("/connections/new/standard_webhooks")
    page.get_by_label("Name").fill("Shop of the tests")
    page.get_by_role("button", name="Connect").click()
    page.wait_for_url(re.compile(r"/connections/[0-9a-f-]{36}$"))
    secret = page.get_by_label("Secret", exact=True)
    expect(secret).to_contain_text("whsec_")
    expect(page.get_by_label("Webhook address", exact=True)).to_contain_text(
        "/api/connectors/standard_webhooks/webhook/"
    )
    first = secret.inner_text()
    page.reload()
    expect(secret).to_have_count(0)
    assert first not in page.content()

    # Before its scripts are there, a question is a page of its own and no dialog.
    live(page)
    page.get_by_role("link", name="Make a new secret").click()
    page.get_by_role("dialog").get_by_role("button", name="Make a new secret").click()
    expect(secret).to_contain_text("whsec_")
    assert secret.inner_text() != first
    live(page)
    page.get_by_role("link", name="Remove this connection").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove", exact=True).click()
    page.wait_for_url("**/connections")
    expect(page.locator("#list")).not_to_contain_text("Shop of the tests")


def test_every_icon_is_in_the_sprite() -> None:
    root = Path(__file__).resolve().parents[2] / "webapp"
    sprite = set(re.findall(r'<symbol id="([^"]+)"', (root / "static/vendor/icons.svg").read_text()))
    templates = "".join(path.read_text() for path in (root / "templates").rglob("*.html"))
    pages = "".join(path.read_text() for path in (root / "pages").glob("*.py"))
    named = set(re.findall(r"(?:icon|glyph)\('([a-z0-9-]+)'", templates)) | set(
        re.findall(r"icon_name='([a-z0-9-]+)'", templates)
    )
    assert named <= sprite
    assert {"layout-dashboard", "shield-check", "broadcast", "git-merge"} <= sprite
    assert all(name in sprite for name in re.findall(r'_Place\("\w+", "\w+", "([a-z0-9-]+)"', pages))


def test_a_delivery_is_processed_again_from_its_page(stack: Stack, browser: Browser) -> None:
    context = browser.new_context(base_url=stack.web())
    page = context.new_page()
    sign_in(page, stack.web(), "seller@demo.com")
    page.goto(first_of(page, "/deliveries?connector=razorpay"))
    page.get_by_role("link", name="Process again").click()
    expect(page.get_by_text("Nothing would change")).to_be_visible()
    page.get_by_role("button", name="Process 1 event again").click()
    expect(page.get_by_text("Its events are processed again")).to_be_visible()
    context.close()

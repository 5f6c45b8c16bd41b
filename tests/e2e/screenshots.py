"""Pictures of every page: `python -m tests.e2e.screenshots OUT`, at two widths, light and dark.

With `--readme` it makes the three pictures of the README instead.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from config import embedded
from core import migrations
from tests.e2e.conftest import launch, live, sign_in
from tests.e2e.stack import Stack
from tests.e2e.test_pages import LISTS, MORE, PEOPLE, STATIC, first_of, offers

SIZES = {"phone": (390, 844), "desktop": (1440, 900)}


def _name(path: str) -> str:
    parts = path.replace("?", "/").replace("=", "-").split("/")
    return "-".join(part for part in parts if 0 < len(part) < 32)


def _paid(page: Page, stack: Stack) -> str:
    """Have a payment come in while the page is open; returns the delivery's id."""
    made = stack.invoice(1_25_000_00)
    answer = stack.send("razorpay", "payment.captured", number=made["number"], minor=1_25_000_00)
    expect(page.locator(".toast-card").first).to_be_visible(timeout=10_000)
    page.wait_for_timeout(1000)
    return str(answer.json()["delivery_id"])


def _others(page: Page, base: str, take: Callable[[str], None]) -> None:
    """What the others see: each person's own pages, and both kinds of offer."""
    for email, paths in PEOPLE.items():
        page.context.clear_cookies()
        sign_in(page, base, email)
        live(page)
        who = email.partition("@")[0]
        take(f"dashboard-{who}")
        for path in paths:
            page.goto(path)
            page.wait_for_timeout(300)
            take(f"{who}-{_name(path)}")
    for mode, path in zip(("fixed", "auction"), offers(page), strict=True):
        page.goto(path)
        page.wait_for_timeout(300)
        take(f"offer-{mode}")


def walk(stack: Stack, browser: Browser, out: Path) -> None:
    """Every page of every role."""
    for size, (width, height) in SIZES.items():
        for scheme in ("light", "dark"):
            context = browser.new_context(
                base_url=stack.url(),
                viewport={"width": width, "height": height},
                color_scheme="dark" if scheme == "dark" else "light",
            )
            page = context.new_page()

            def take(name: str, *, whole: bool = True, page: Page = page, ending: str = f"{size}-{scheme}.png") -> None:
                page.screenshot(path=out / f"{name}-{ending}", full_page=whole)

            for path in ("/login", "/register"):
                page.goto(path)
                take(_name(path))
            sign_in(page, stack.url(), "seller@demo.com")
            live(page)
            delivery = _paid(page, stack)
            take("toast", whole=False)
            for path in (*STATIC, *MORE, f"/deliveries/{delivery}"):
                page.goto(path)
                page.wait_for_timeout(300)
                take("delivery" if delivery in path else _name(path))
            for path in LISTS:
                page.goto(first_of(page, path))
                page.wait_for_timeout(300)
                take(f"one-of-{_name(path)}")
            for path in ("/invoices/nothing", "/quarantine"):
                page.goto(path)
                take(f"error-{_name(path)}")
            _others(page, stack.url(), take)
            context.close()


def readme(stack: Stack, browser: Browser, out: Path) -> None:
    """The dashboard, the provenance page and an offer, as the README shows them."""
    context = browser.new_context(base_url=stack.url(), viewport={"width": 1280, "height": 860})
    page = context.new_page()
    sign_in(page, stack.url(), "seller@demo.com")
    live(page)
    delivery = _paid(page, stack)
    page.screenshot(path=out / "dashboard.png")
    page.goto(f"/deliveries/{delivery}")
    page.wait_for_timeout(500)
    page.set_viewport_size({"width": 1280, "height": 1180})
    page.screenshot(path=out / "provenance.png")
    context.clear_cookies()
    sign_in(page, stack.url(), "investor@demo.com")
    page.goto(offers(page)[0])
    live(page)
    page.screenshot(path=out / "offer.png")
    context.close()


def main() -> None:
    """Start everything, take the pictures, stop everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--readme", action="store_true")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="lw-shots-") as name:
        folder = Path(name)
        postgres = embedded.start_postgres(folder, "ledgerwire", die_with_parent=True, sync=False)
        valkey = embedded.start_valkey(folder, die_with_parent=True)
        migrations.upgrade("postgresql+psycopg://" + postgres.url.split("://", 1)[1])
        stack = Stack(database_url=postgres.url, redis_url=valkey.url, folder=folder)
        try:
            stack.start()
            with sync_playwright() as playwright:
                browser = launch(playwright)
                (readme if arguments.readme else walk)(stack, browser, arguments.out)
                browser.close()
        finally:
            stack.stop()
            for server in (valkey, postgres):
                server.stop(5.0)


if __name__ == "__main__":
    main()

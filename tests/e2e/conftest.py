"""The stack, one browser, and people who are signed in."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, sync_playwright

from tests.conftest import Servers
from tests.e2e.stack import PASSWORD, Stack
from tests.scratch import scratch
from tests.standing import standing_database

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SignIn = Callable[..., Page]


def chromium() -> str | None:
    """The system's Chromium."""
    named = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    return named or shutil.which("google-chrome")


def launch(playwright: Playwright) -> Browser:
    """A browser without a window."""
    return playwright.chromium.launch(executable_path=chromium(), args=FLAGS)


def sign_in(page: Page, base: str, email: str) -> None:
    """Sign in by the form."""
    page.goto(f"{base}/login")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url("**/dashboard")


def live(page: Page) -> None:
    """Wait until the page hears the feed."""
    # An `expect` looks again after 100 ms, then 250, 500 and 1,000: over all pages that is minutes.
    page.wait_for_function("() => document.querySelector('#live')?.dataset.state === 'connected'", timeout=15_000)


@pytest.fixture(scope="package")
def stack(servers: Servers, template_database: str) -> Iterator[Stack]:
    """Real processes over a database of their own, with the demo data in it."""
    with standing_database(servers, template_database) as address, scratch("lw-e2e-") as folder:
        running = Stack(database_url=address, redis_url=servers.redis_url, folder=folder)
        try:
            running.start()
            yield running
        finally:
            running.stop()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One browser for all of them."""
    if chromium() is None:
        pytest.skip("no Chromium on this machine; name one in CHROMIUM")
    with sync_playwright() as playwright:
        opened = launch(playwright)
        yield opened
        opened.close()


@pytest.fixture
def signed_in(stack: Stack, browser: Browser) -> Iterator[SignIn]:
    """Open a browser of one's own for a person, who then stands on the dashboard and is live."""
    contexts: list[BrowserContext] = []

    def enter(email: str = "seller@demo.com", *, mode: str = "eventlet", width: int = 1440) -> Page:
        base = stack.web(mode)
        context = browser.new_context(base_url=base, viewport={"width": width, "height": 900})
        contexts.append(context)
        page = context.new_page()
        sign_in(page, base, email)
        live(page)
        return page

    yield enter
    for context in contexts:
        context.close()

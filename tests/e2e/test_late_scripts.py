"""What somebody does before the scripts of a page have come counts when they have."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Route, expect

from tests.e2e.conftest import SignIn

pytestmark = pytest.mark.e2e


def test_what_was_chosen_before_the_scripts_came_is_answered_and_the_way_back_stays_open(signed_in: SignIn) -> None:
    page = signed_in()
    page.goto("/connections")
    page.locator("#list li", has_text="Razorpay").locator("a.cover").first.click()
    address = page.get_by_role("link", name="Try an event").get_attribute("href")
    assert address
    late: list[Route] = []
    # Playwright marks the handler it is given, which a method of a list does not let it.
    page.route(re.compile(r"/js/ui\b.*\.js"), lambda route: late.append(route), times=1)  # noqa: PLW0108
    with page.expect_request(re.compile(r"/js/ui\b.*\.js")):
        page.goto(address, wait_until="commit")
    page.locator("#sample").select_option("payment.captured")
    # The request is seen a moment before the handler holds it.
    for _ in range(250):
        if late:
            break
        page.wait_for_timeout(20)
    assert late
    for one in late:
        one.continue_()
    page.wait_for_url(re.compile(r"sample=payment\.captured"))
    expect(page.locator("main")).to_contain_text("pay_DESlfW9H8K9uqM")
    # What the browser restores on the way back is not chosen again.
    page.go_back()
    expect(page.get_by_text("Choose an event", exact=True).last).to_be_visible()
    expect(page.locator("#live")).to_have_attribute("data-state", "connected")
    assert "sample=" not in page.url

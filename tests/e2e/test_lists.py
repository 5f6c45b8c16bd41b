"""Long lists go on where they stopped, and stay as long as they were when they refresh themselves."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import SignIn, live
from tests.e2e.stack import Stack

pytestmark = pytest.mark.e2e
SOON_MS = 6000


def test_a_list_goes_on_and_keeps_its_length(stack: Stack, signed_in: SignIn) -> None:
    first = stack.invoice(10_00)
    for _ in range(26):
        stack.invoice(10_00)
    page = signed_in()
    page.goto("/invoices")
    live(page)
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(25)
    page.get_by_role("link", name="Load more").click()
    expect(page.locator("#rows")).to_contain_text(first["number"])
    shown = rows.count()
    assert shown > 25
    numbers = page.locator("tbody a.cover").all_inner_texts()
    assert len(numbers) == len(set(numbers))

    newest = stack.invoice(20_00)
    expect(page.locator("#rows")).to_contain_text(newest["number"], timeout=SOON_MS)
    assert rows.count() >= shown
    expect(page.locator("#rows")).to_contain_text(numbers[-2])


def test_the_link_to_more_is_a_page_of_its_own(stack: Stack, signed_in: SignIn) -> None:
    page = signed_in()
    page.goto("/invoices")
    older = page.get_by_role("link", name="Load more").get_attribute("href")
    assert older is not None
    assert "fragment" not in older
    page.goto(older)
    expect(page.locator("tbody tr").first).to_be_visible()

"""No id and no link leads a request out of the provider's API."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from connectors.base import Api, Authorization, AuthorizationTalk, Credentials
from core.errors import Permanent
from workers.addresses import address_of

BASE = "https://api.provider.example/pg"


def authorize(credentials: Credentials) -> AuthorizationTalk:
    del credentials
    yield from ()
    return Authorization(headers={}, expires_in_seconds=1)


def lead(url: str) -> str:
    return address_of(url, slug="planted", api=Api(base=BASE, authorize=authorize), base=BASE, allow_local=False)


@pytest.mark.parametrize("identity", [".", "..", "%2e%2e", ".%2E"])
@pytest.mark.parametrize("base", ["", BASE])
def test_an_id_that_is_a_dot_segment_is_refused(identity: str, base: str) -> None:
    # Quoting an id leaves dots as they are, and a quoted dot is unquoted before it is sent.
    for path in (f"/orders/{identity}", f"/orders/{identity}/verify"):
        with pytest.raises(Permanent, match="cannot be read"):
            lead(base + path)


@pytest.mark.parametrize("identity", ["a..b", "...", "../x", "a/../b", "x?y=1", "a\\b", "%2e%2e"])
def test_other_ids_go_where_they_should_when_they_are_quoted(identity: str) -> None:
    quoted = quote(identity, safe="")
    assert lead(f"/orders/{quoted}") == f"{BASE}/orders/{quoted}"


@pytest.mark.parametrize("url", ["//elsewhere.example/x", "/orders/../../x", "https://api.provider.example/pg/../x"])
def test_what_leads_elsewhere_is_refused(url: str) -> None:
    with pytest.raises(Permanent):
        lead(url)

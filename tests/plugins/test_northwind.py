"""The made-up connector keeps the whole contract, so that a case that fails with a fault fails for that fault."""

from __future__ import annotations

from pathlib import Path

from connectors import contract
from tests.plugins.northwind import connector

CASES = contract.cases(connector, samples=Path(__file__).parent / "samples")
FOR_OTHERS = {
    "has_a_page_of_its_own",
    "lets_an_unproven_body_lead_to_a_fetch_only",
    "lets_nothing_unsigned_change_what_a_body_means",
    "refuses_when_the_key_is_missing_or_garbled",
    "takes_keys_only_from_where_the_scheme_says",
}

globals().update(CASES)


def test_every_case_is_asked_but_those_for_other_schemes() -> None:
    asked = {name.removeprefix("test_northwind_") for name in CASES}
    assert set(contract.case_names()) - asked == FOR_OTHERS

"""Levels: the rules, the evidence, the generated table, and how long a connector is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median

import pytest

from connectors import levels, ranks, registry
from connectors.levels import RULES, Subject, Verdict
from tests.plugins import northwind

SLUGS = levels.ranked()


def verdicts() -> dict[str, Mapping[str, Verdict]]:
    # The contract of each runs in test_contract.py; here it is taken to hold.
    return {slug: levels.verdicts(levels.of_the_house(slug, run=False)) for slug in SLUGS}


def test_the_table_and_the_file_are_what_the_rules_say_now() -> None:
    found = verdicts()
    page = levels.TABLE.read_text(encoding="utf-8")
    hint = "stale: run python -m connectors.levels --write"
    assert levels.page_with(page, levels.table(found)) == page, hint
    assert ranks.FILE.read_text(encoding="utf-8") == levels.ranks_of(found), hint
    assert ranks.published() == json.loads(levels.ranks_of(found))


@pytest.mark.parametrize("slug", sorted(levels.evidence()))
def test_the_evidence_names_tests_that_are_there_or_says_why_there_are_none(slug: str) -> None:
    assert slug in registry.all()
    for rule, said in levels.evidence()[slug].items():
        assert rule in {"vectors", "stream", "sdk", "pull", "back-fill", "registers"}
        path, _, function = said.partition("::")
        assert (said.startswith("none: ") and len(said) > 20) or function in levels.functions_of(levels.ROOT / path)


@pytest.mark.parametrize(
    ("changes", "level"),
    [
        ({}, "gold"),
        ({"sdk": "there is none"}, "gold"),
        ({"sdk": False}, "silver"),
        ({"pull": False, "back-fill": False}, "silver"),
        ({"vectors": False}, "bronze"),
        ({"stream": False}, "bronze"),
        ({"docs": False}, None),
        ({"contract": False}, None),
    ],
)
def test_a_level_needs_its_own_rules_and_those_below(changes: dict[str, Verdict], level: str | None) -> None:
    found: dict[str, Verdict] = {rule.name: True for rule in RULES}
    assert levels.level_of({**found, **changes}) == level


def test_a_broken_contract_costs_every_level() -> None:
    subject = levels.of_the_house("standard_webhooks", run=False)
    assert levels.level_of(levels.verdicts(subject)) is not None
    assert levels.level_of(levels.verdicts(replace(subject, broken={"case": "why"}))) is None


def test_each_rule_sees_what_is_missing() -> None:
    samples = Path(northwind.__file__).parent / "samples"
    bare = replace(northwind.connector, steps=(), pull=None, register=None)
    found = levels.verdicts(Subject(connector=bare, samples=samples / "elsewhere", broken={"a": "b"}))
    assert not any(found.values())
    assert set(found) == {rule.name for rule in RULES}
    whole = levels.verdicts(Subject(connector=northwind.connector, samples=samples, page=levels.TABLE))
    assert {name for name, holds in whole.items() if not holds} == {"vectors", "stream", "sdk"}
    assert levels.broken(northwind.connector, folder=samples) == {}
    assert "tells_a_person_what_to_do" in levels.broken(bare, folder=samples)


def test_what_is_generated_replaces_what_was_and_nothing_else() -> None:
    page = f"before\n\n{levels.BEGIN}\nold\n{levels.END}\n\nafter\n"
    assert levels.page_with(page, "new") == f"before\n\n{levels.BEGIN}\n\nnew\n\n{levels.END}\n\nafter\n"


def test_lines_of_code_are_those_without_blanks_comments_and_docstrings() -> None:
    source = '"""A module\n\nof words."""\n\nimport os  # counts\n\n# does not\ndef f() -> str:\n    """Nor this."""\n'
    source += '    return """these\n    count"""\n\n\nPAIR = (\n    1,\n    # not this\n    2,\n)\n'
    assert levels.code_lines(source) == 1 + 1 + 2 + 4


# A new connector for an ordinary HMAC provider has at most 60: tests/webapp/cli/test_connector.py.


def test_connectors_do_not_grow() -> None:
    # The aim is 120. What is over it are pulls, registrations and the tables of events; Xero and QuickBooks also write,
    # Razorpay, Stripe, GoCardless and Square also say what is in a payout.
    assert median(levels.lines_of(slug) for slug in SLUGS) <= 285

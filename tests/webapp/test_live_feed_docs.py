"""The description of the live feed says what the code does."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from tests.webapp.conftest import Person, World
from tests.webapp.test_sockets import by_token, one_process, say

__all__ = ["one_process"]

ROOT = Path(__file__).parents[2]
DOCUMENT: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "asyncapi.yaml").read_text("utf-8"))
NAMES = set(DOCUMENT["components"]["schemas"]["Event"]["properties"]["name"]["enum"])


def _names(node: ast.expr) -> Iterator[str]:
    """The texts an expression may be: a literal, or either side of a condition."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _names(node.body)
        yield from _names(node.orelse)


def _announced() -> set[str]:
    """Every name given to DomainEvent(name=…), Outcome.tell(rooms, name, …) or a module's own _tell(…)."""
    found: set[str] = set()
    for folder in ("core", "webapp", "workers"):
        for path in (ROOT / folder).rglob("*.py"):
            for call in ast.walk(ast.parse(path.read_text("utf-8"))):
                if not isinstance(call, ast.Call):
                    continue
                called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
                if called == "DomainEvent":
                    given = [keyword.value for keyword in call.keywords if keyword.arg == "name"]
                elif called in {"tell", "_tell"}:
                    given = list(call.args)
                else:
                    continue
                for argument in given:
                    found.update(_names(argument))
    return found


def test_every_name_that_is_announced_is_described_and_no_other() -> None:
    assert _announced() == NAMES


def test_the_table_names_the_same_events() -> None:
    text = (ROOT / "docs" / "live-feed.md").read_text("utf-8")
    hearing = text.partition("## Hearing")[2].partition("## Missing")[0]
    told = {line.split("`")[1] for line in hearing.splitlines() if line.startswith("| `")}
    assert told == NAMES


def _check(message: str, value: object) -> None:
    schema = {"$ref": f"#/components/messages/{message}/payload", "components": DOCUMENT["components"]}
    jsonschema_rs.validate(schema, value)


def test_what_is_said_and_answered_is_as_described(world: World, seller: Person) -> None:
    mine = f"user:{seller.actor.id}"
    say(world, (mine, "invoice.created"))
    listener = by_token(world, seller)
    [greeting] = listener.heard()
    _check("connected", greeting["args"][0])
    resumed = listener.ask("resume", {"rooms": {mine: 0, "marketplace": 5}})
    assert resumed["reset"] == ["marketplace"]
    _check("resumed", resumed)
    _check("event", resumed["events"][0])
    _check("joined", listener.ask("join", {"room": mine}))
    _check("joined", listener.ask("join", {"room": "operators"}))
    _check("left", listener.ask("leave", {"room": "invoice:x"}))
    with pytest.raises(jsonschema_rs.ValidationError):
        _check("event", {"room": mine})

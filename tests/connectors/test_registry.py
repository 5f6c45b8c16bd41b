"""Finding connectors: a broken plugin never takes the rest with it."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib import import_module
from importlib.metadata import EntryPoint
from pkgutil import iter_modules
from types import ModuleType

import pytest

import connectors
from connectors import registry
from core.errors import NotFound


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("nobody_ledgerwire")
    monkeypatch.setitem(sys.modules, "nobody_ledgerwire", module)
    return module


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name=name, value=value, group=registry.GROUP)


def test_every_module_of_the_house_that_holds_a_connector_is_found() -> None:
    tried = {one.name for one in iter_modules(connectors.__path__) if not one.name.startswith("_")}
    holding = {name for name in tried if hasattr(import_module(f"connectors.{name}"), "connector")}
    assert set(registry.BUILT_IN) <= holding
    assert set(registry.all()) == holding
    assert list(registry.all()) == sorted(registry.BUILT_IN)
    assert registry.refused() == {}


def test_an_unknown_slug_is_not_found() -> None:
    with pytest.raises(NotFound, match="connector nobody does not exist"):
        registry.get("nobody")


def test_a_plugin_joins(plugin: ModuleType) -> None:
    plugin.connector = replace(registry.get("razorpay"), slug="nobody")  # type: ignore[attr-defined]
    found, refused = registry.load([entry("nobody", "nobody_ledgerwire:connector")])
    assert found["nobody"].slug == "nobody"
    assert refused == {}


def test_broken_plugins_are_named_and_left_out(plugin: ModuleType) -> None:
    plugin.taken = registry.get("razorpay")  # type: ignore[attr-defined]
    plugin.other = "not a connector"  # type: ignore[attr-defined]
    found, refused = registry.load(
        [
            entry("absent", "no_such_module_at_all:connector"),
            entry("missing", "nobody_ledgerwire:connector"),
            entry("taken", "nobody_ledgerwire:taken"),
            entry("other", "nobody_ledgerwire:other"),
        ]
    )
    assert set(found) == set(registry.BUILT_IN)
    absent = "cannot be imported: ModuleNotFoundError: No module named 'no_such_module_at_all'"
    missing = "cannot be imported: AttributeError: module 'nobody_ledgerwire' has no attribute 'connector'"
    assert refused == {
        "absent (no_such_module_at_all:connector)": absent,
        "missing (nobody_ledgerwire:connector)": missing,
        "taken (nobody_ledgerwire:taken)": "the slug razorpay is taken",
        "other (nobody_ledgerwire:other)": "is a str, not a Connector",
    }


def test_a_connector_that_contradicts_itself_cannot_be_made() -> None:
    good = registry.get("razorpay")
    with pytest.raises(ValueError, match="slug"):
        replace(good, slug="Bad Slug")
    with pytest.raises(ValueError, match="both mapped and ignored"):
        replace(good, ignored={"payment.captured": "no reason"})
    with pytest.raises(ValueError, match="aliases of unknown events"):
        replace(good, aliases={"a": "b"})


@pytest.mark.parametrize("slug", sorted(registry.all()))
def test_a_connection_holds_a_secret_exactly_where_the_scheme_keeps_one(slug: str) -> None:
    connector = registry.get(slug)
    assert connector.keeps_secret == bool(connector.signature.receiving(connector.signature.new_secret()))

"""A plugin from elsewhere brings its samples along."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest

from connectors import registry, samples
from workers.simulators import places


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    module = ModuleType("ledgerwire_northwind")
    module.__file__ = str(tmp_path / "ledgerwire_northwind.py")
    monkeypatch.setitem(sys.modules, "ledgerwire_northwind", module)
    point = EntryPoint("northwind", "ledgerwire_northwind:connector", registry.GROUP)
    monkeypatch.setattr(places, "entry_points", lambda group: [point])
    (tmp_path / "samples" / "northwind").mkdir(parents=True)
    places.folder_of.cache_clear()
    yield tmp_path / "samples"
    places.folder_of.cache_clear()


def test_a_plugins_samples_stand_beside_its_module(plugin: Path) -> None:
    assert places.folder_of("northwind") == plugin


def test_the_houses_own_are_not_looked_for_elsewhere(plugin: Path) -> None:
    (plugin / "stripe").mkdir()
    assert places.folder_of("stripe") == samples.HERE

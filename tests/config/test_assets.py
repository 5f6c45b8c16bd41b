"""Browser libraries: the sprite, and when the folder counts as current."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from config import assets

ICON = """<svg\n  width="24"\n  class="icon">
  <path stroke="none" d="M0 0h24v24H0z" fill="none" />
  <path d="M5 12l-2 0" />
</svg>"""


def test_an_icon_becomes_a_symbol_without_its_empty_square() -> None:
    text = assets.symbol("home", ICON)
    element = ET.fromstring(text)
    assert (element.tag, element.get("id"), element.get("viewBox")) == ("symbol", "home", "0 0 24 24")
    assert [path.get("d") for path in element] == ["M5 12l-2 0"]


def test_the_sprite_holds_every_icon_once() -> None:
    tree = ET.fromstring(assets.sprite(assets.ICONS, lambda _: ICON))
    names = [symbol.get("id") for symbol in tree]
    assert names == list(assets.ICONS)
    assert len(set(names)) == len(names)


def test_what_is_no_picture_is_refused_by_name() -> None:
    with pytest.raises(assets.AssetsFailed, match="home"):
        assets.symbol("home", "<html></html>")


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    """A folder that looks like node_modules."""
    folder = tmp_path / "node_modules"
    for source in assets.FILES.values():
        path = folder / source
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("code;\n//# sourceMappingURL=code.map\n", encoding="utf-8")
    icons = folder / "@tabler" / "icons" / "icons" / "outline"
    icons.mkdir(parents=True)
    for name in assets.ICONS:
        (icons / f"{name}.svg").write_text(ICON, encoding="utf-8")
    return folder


def test_only_the_named_files_are_kept_without_their_source_maps(tmp_path: Path, modules: Path) -> None:
    vendor = tmp_path / "vendor"
    vendor.mkdir()
    assets.collect(modules, vendor, b"lock")
    assert {path.name for path in vendor.iterdir()} == {*assets.FILES, "icons.svg", ".made-from"}
    assert (vendor / "htmx.min.js").read_text(encoding="utf-8") == "code;\n"


def test_the_folder_is_current_until_the_lock_or_a_file_changes(tmp_path: Path, modules: Path) -> None:
    vendor = tmp_path / "vendor"
    vendor.mkdir()
    assert not assets.is_current(vendor, b"lock")
    assets.collect(modules, vendor, b"lock")
    assert assets.is_current(vendor, b"lock")
    assert not assets.is_current(vendor, b"another lock")
    (vendor / "icons.svg").unlink()
    assert not assets.is_current(vendor, b"lock")


def test_the_lock_names_no_addresses_of_a_registry() -> None:
    assert '"resolved"' not in (assets.ROOT / "package-lock.json").read_text(encoding="utf-8")

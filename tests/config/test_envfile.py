"""`.env` and `.env.example`."""

from __future__ import annotations

from pathlib import Path

from config import envfile
from config.settings import Settings, from_environment


def test_the_example_is_what_the_settings_say() -> None:
    assert envfile.EXAMPLE.read_text(encoding="utf-8") == envfile.example(), "run: python -m config.envfile"


def test_the_example_names_every_setting_and_its_defaults_can_be_used(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text(envfile.example().replace("\n#", "\n"), encoding="utf-8")
    values = envfile.read(path)
    expected = {name.upper() for name, field in Settings.model_fields.items() if not field.exclude}
    assert expected <= set(values)
    assert from_environment(values) == from_environment({})


def test_quotes_comments_and_export_are_understood(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("# no\nexport PORT=1\nHOST = 'a b'\nnothing\nX=\"1=2\"\n", encoding="utf-8")
    assert envfile.read(path) == {"PORT": "1", "HOST": "a b", "X": "1=2"}


def test_no_file_means_no_variables(tmp_path: Path) -> None:
    assert envfile.read(tmp_path / "none") == {}

"""Keys on disk: made once, private, and never replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.keys import BrokenKeys, add_master_key, ensure_keys, stored_keys
from config.settings import from_environment


def test_keys_are_made_once_and_read_back(tmp_path: Path) -> None:
    first = ensure_keys(tmp_path, {})
    assert set(first) == {"SECRET_KEY", "MASTER_KEYS"}
    assert ensure_keys(tmp_path, {}) == first == stored_keys(tmp_path)
    from_environment(first)


def test_only_the_owner_may_read_them(tmp_path: Path) -> None:
    ensure_keys(tmp_path, {})
    secrets = tmp_path / "secrets"
    assert [oct(path.stat().st_mode & 0o777) for path in (secrets, *secrets.iterdir())] == [
        "0o700",
        "0o600",
        "0o600",
    ]


def test_a_key_of_the_environment_is_left_alone(tmp_path: Path) -> None:
    assert set(ensure_keys(tmp_path, {"SECRET_KEY": "mine"})) == {"MASTER_KEYS"}
    assert not (tmp_path / "secrets" / "secret_key").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("master_keys", b"", id="empty after a full disk"),
        pytest.param("master_keys", b"k1:AAAA\n", id="cut short"),
        pytest.param("master_keys", b"\xff\xfe", id="not text"),
        pytest.param("secret_key", b"short", id="a short secret"),
    ],
)
def test_a_damaged_key_stops_the_start_and_stays_as_it_is(tmp_path: Path, name: str, content: bytes) -> None:
    ensure_keys(tmp_path, {})
    path = tmp_path / "secrets" / name
    path.write_bytes(content)
    with pytest.raises(BrokenKeys, match=name):
        ensure_keys(tmp_path, {})
    assert path.read_bytes() == content


def test_rotation_puts_a_new_key_in_front_of_the_old(tmp_path: Path) -> None:
    before = ensure_keys(tmp_path, {})["MASTER_KEYS"]
    ring = add_master_key(tmp_path)
    assert ring.startswith("k2:")
    assert ring.endswith(f",{before}")
    assert ensure_keys(tmp_path, {})["MASTER_KEYS"] == ring

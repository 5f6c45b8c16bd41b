"""Files that their own reader has judged are kept as the bytes they are, under a name that is safe."""

from __future__ import annotations

import pytest

from core.files import ANYTHING, DOCUMENTS, MAX_BYTES, FileTooLarge, FileTypeRefused, clean_name, media_type_of
from core.files.kinds import BYTES


@pytest.mark.parametrize("content", [b"\xff\xfeD\x00a\x00", b"<?xml version='1.0'?>", b"\x00", b"x" * MAX_BYTES])
def test_any_bytes_are_taken_where_they_are_allowed_and_nowhere_else(content: bytes) -> None:
    assert media_type_of(content, "a.bin", ANYTHING) == BYTES
    with pytest.raises(FileTypeRefused):
        media_type_of(content, "a.bin", DOCUMENTS)


def test_nothing_and_too_much_are_refused_all_the_same() -> None:
    with pytest.raises(FileTypeRefused, match="empty"):
        media_type_of(b"", "a.bin", ANYTHING)
    with pytest.raises(FileTooLarge):
        media_type_of(b"x" * (MAX_BYTES + 1), "a.bin", ANYTHING)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../april.sta", "april.sta"),
        ("april", "april"),
        ("", "file"),
        ("a." + "b" * 300, ("a." + "b" * 300)[:120]),
        ("x" * 300 + ".csv", "x" * 116 + ".csv"),
        ("a\u202excod.csv", "axcod.csv"),
    ],
)
def test_names_keep_their_ending_and_lose_what_is_dangerous(given: str, kept: str) -> None:
    assert clean_name(given, BYTES) == kept

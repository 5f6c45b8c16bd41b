"""Statement files as banks write them, made for these tests."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parents[2] / "samples" / "statements"


def sample(name: str) -> bytes:
    return (FOLDER / name).read_bytes()


def a_csv(lines: list[tuple[str, str, str, str]], header: str = "Date,Narration,Reference,Amount") -> bytes:
    """A CSV of (date, narration, reference, signed amount)."""
    return "\n".join([header, *(f'{a},{b},{c},"{d}"' for a, b, c, d in lines), ""]).encode()

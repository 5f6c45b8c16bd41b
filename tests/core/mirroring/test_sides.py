"""Who moved since both sides last agreed: every case, and that looking again changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mirroring import sides
from core.mirroring.sides import SENT, Side, compare, sending, writable

BASE: Side = {"total": 100, "paid": 0, "issue_date": "2026-11-01", "due_date": "2026-12-01", "void": False}


def side(**changes: Any) -> Side:
    return BASE | changes


CASES: dict[str, tuple[dict[str, Any], Side, Side, dict[str, sides.Moved], set[str]]] = {
    "the same": (BASE, side(), side(), {}, set()),
    "ours moved": (BASE, side(total=120), side(), {"total": "ours"}, {"total"}),
    "theirs moved": (BASE, side(), side(total=120), {"total": "theirs"}, set()),
    "both moved": (BASE, side(total=120), side(total=130), {"total": "both"}, set()),
    "both moved alike": (BASE, side(total=120), side(total=120), {}, set()),
    "never agreed": ({}, side(), side(total=90), {"total": "both"}, set()),
    "paid here before anything was agreed": ({}, side(paid=40), side(), {"paid": "ours"}, {"paid"}),
    "paid there before anything was agreed": ({}, side(), side(paid=40), {"paid": "theirs"}, set()),
    "money given back here": (BASE | {"paid": 40}, side(paid=10), side(paid=40), {"paid": "ours"}, set()),
    "a conflict holds the rest back": (
        BASE,
        side(total=120, due_date="2027-01-01"),
        side(total=130),
        {"total": "both", "due_date": "ours"},
        set(),
    ),
    "void here": (BASE, side(void=True), side(total=120), {"void": "ours"}, {"void"}),
    "void there": (BASE, side(total=120), side(void=True, total=0), {"void": "theirs"}, set()),
    "void on both sides, whatever else": (BASE, side(void=True), side(void=True, total=0), {}, set()),
    "they do not say": (BASE, side(due_date="2027-01-01"), side(due_date=None), {}, set()),
    "what we sent is there, and ours moved on": (
        BASE | {SENT: {"due_date": ["2027-01-01"]}},
        side(due_date="2027-01-02"),
        side(due_date="2027-01-01"),
        {"due_date": "ours"},
        {"due_date"},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_who_moved_and_what_may_be_written(case: str) -> None:
    agreed, ours, theirs, moved, behind = CASES[case]
    found = compare(agreed, ours, theirs)
    assert found.moved == moved
    assert set(writable(found, ours, theirs)) == behind


def test_what_was_sent_is_forgotten_once_it_is_there() -> None:
    agreed = sending(BASE, ["due_date"], side(due_date="2027-01-01"))
    assert compare(agreed, side(due_date="2027-01-01"), side()).agreed[SENT] == {"due_date": ["2027-01-01"]}
    assert SENT not in compare(agreed, side(due_date="2027-01-01"), side(due_date="2027-01-01")).agreed


ANY = st.fixed_dictionaries(
    {
        "total": st.integers(1, 3),
        "paid": st.integers(0, 2),
        "issue_date": st.sampled_from(["2026-11-01", "2026-11-02"]),
        "due_date": st.sampled_from(["2026-12-01", "2026-12-02", None]),
        "void": st.booleans(),
    }
)
OURS = ANY.map(lambda found: found | {"due_date": found["due_date"] or "2026-12-03"})


@given(agreed=st.one_of(st.just({}), OURS), ours=OURS, theirs=ANY)
def test_looking_again_says_the_same(agreed: Side, ours: Side, theirs: Side) -> None:
    first = compare(agreed, ours, theirs)
    assert compare(first.agreed, ours, theirs) == first


@given(agreed=OURS, ours=OURS, theirs=ANY)
def test_what_they_changed_is_never_written_over(agreed: Side, ours: Side, theirs: Side) -> None:
    for name in writable(compare(agreed, ours, theirs), ours, theirs):
        assert theirs[name] == agreed[name]


@given(ours=OURS, theirs=ANY)
def test_a_digest_names_what_a_side_says(ours: Side, theirs: Side) -> None:
    assert (sides.digest(ours) == sides.digest(theirs)) == (ours == theirs)

"""Whose name a bank account is in, compared with the legal name.

A real penny drop pays one rupee and reads the name that the bank sends back. This installation asks no bank: the name
that was typed stands for the bank's answer, and every sentence says so.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from difflib import SequenceMatcher

# At this score two spellings are taken for one name.
ENOUGH = 85
_INITIAL = _LEAST = 0.5
_WORDS = re.compile(r"[^\W_]+")
_SAME = {
    "pvt": "private", "ltd": "limited", "co": "company", "corp": "corporation", "bros": "brothers", "intl":
    "international", "mfg": "manufacturing", "ent": "enterprises", "inds": "industries", "tdg": "trading",
}  # fmt: skip
_SAID_OR_NOT = frozenset({"m", "s", "ms", "mr", "mrs", "dr", "shri", "smt", "the", "and"})


@dataclass(frozen=True, slots=True, kw_only=True)
class NameMatch:
    """How alike two names are, 0 to 100, with a sentence."""

    score: int
    sentence: str

    @property
    def passed(self) -> bool:
        """Whether they are taken for one."""
        return self.score >= ENOUGH


def _words(name: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", name).casefold()
    found = [_SAME.get(word, word) for word in _WORDS.findall(plain)]
    return sorted(word for word in found if word not in _SAID_OR_NOT) or sorted(found)


def _alike(one: str, two: str) -> float:
    if len(one) == 1 or len(two) == 1:
        # An initial stands for a name that begins with it, and proves less than the name.
        return _INITIAL if one[:1] == two[:1] else 0.0
    return SequenceMatcher(None, one, two, autojunk=False).ratio()


def compare(account_name: str, legal_name: str) -> NameMatch:
    """Compare word by word, in any order; each word is used once, and a word without a counterpart counts against."""
    mine, theirs = _words(account_name), _words(legal_name)
    pairs = sorted(
        ((_alike(one, two), a, b) for a, one in enumerate(mine) for b, two in enumerate(theirs)),
        key=lambda pair: (-pair[0], pair[1], pair[2]),
    )
    used_mine: set[int] = set()
    used_theirs: set[int] = set()
    weight = 0.0
    for alike, a, b in pairs:
        if alike >= _LEAST and a not in used_mine and b not in used_theirs:
            used_mine.add(a)
            used_theirs.add(b)
            weight += alike * (len(mine[a]) + len(theirs[b]))
    whole = sum(len(word) for word in (*mine, *theirs))
    score = int(100 * weight / whole) if whole else 0
    verdict = "is taken for" if score >= ENOUGH else "is not taken for"
    return NameMatch(
        score=score,
        sentence=f"Simulated penny drop: the account is in the name “{account_name}”, which {verdict} "
        f"“{legal_name}” ({score} of 100, {ENOUGH} are enough).",
    )

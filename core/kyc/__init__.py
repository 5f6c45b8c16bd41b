"""Who people are (marketplace rules 2.11): profiles, papers, an operator's decision, and who may move money."""

from __future__ import annotations

from core.kyc.profile import Profile, clean
from core.kyc.states import State
from core.kyc.store import (
    KycChanged,
    KycRequired,
    Numbers,
    decide,
    numbers,
    require_verified,
    same_person,
    state_of,
    submit,
    welcome,
    welcome_all,
)

__all__ = [
    "KycChanged",
    "KycRequired",
    "Numbers",
    "Profile",
    "State",
    "clean",
    "decide",
    "numbers",
    "require_verified",
    "same_person",
    "state_of",
    "submit",
    "welcome",
    "welcome_all",
]

"""What can be checked of a profile without asking anybody, in words (marketplace rules 2.11). Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from core.errors import Invalid
from core.kyc import pennydrop
from core.kyc.profile import CONSTITUTIONS, Profile
from core.taxids import gstin, pan

DOCUMENTS = {
    "pan_card": "PAN card",
    "gst_certificate": "GST certificate",
    "address_proof": "Proof of address",
    "bank_statement": "Bank statement",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at. `code` never changes its meaning."""

    code: str
    title: str
    passed: bool
    sentence: str


def needed(profile: Profile | None) -> list[str]:
    """The kinds of paper that a profile needs; a GST certificate only with a GSTIN."""
    return [kind for kind in DOCUMENTS if kind != "gst_certificate" or (profile is not None and profile.gstin)]


def _holder(profile: Profile) -> Check:
    holder = pan.HOLDERS[profile.pan[3]]
    declared = CONSTITUTIONS[profile.constitution]
    fits = pan.fits_constitution(profile.pan, profile.constitution)
    return Check(
        code="pan_holder",
        title="PAN holder",
        passed=fits,
        sentence=f"The fourth letter {profile.pan[3]} is of a {holder}; declared is: {declared}.",
    )


def _initial(profile: Profile) -> Check:
    fits = pan.fits_name(profile.pan, profile.legal_name)
    whose = "a name of the person" if profile.pan[3] == "P" else "the legal name"
    return Check(
        code="pan_initial",
        title="PAN initial",
        passed=fits,
        sentence=f"The fifth letter {profile.pan[4]} {'is' if fits else 'is not'} the first letter of {whose}.",
    )


def _registration(profile: Profile) -> list[Check]:
    if not profile.gstin:
        return []
    try:
        found = gstin.parse(profile.gstin)
    except Invalid as error:
        return [Check(code="gstin", title="GSTIN", passed=False, sentence=f"The GSTIN {error.message}.")]
    return [
        Check(
            code="gstin",
            title="GSTIN",
            passed=True,
            sentence=f"Shape and check character are right; registered in {found.state}.",
        ),
        Check(
            code="gstin_pan",
            title="PAN inside the GSTIN",
            passed=found.pan is None or found.pan == profile.pan,
            sentence="This kind of registration carries no PAN."
            if found.pan is None
            else "It is the PAN given."
            if found.pan == profile.pan
            else f"It is {found.pan}, not the PAN given.",
        ),
    ]


def run(profile: Profile, documents: Collection[str], sharing: int = 0) -> list[Check]:
    """Every check of a profile. `documents` are the kinds handed in, `sharing` how many others give the same PAN."""
    matched = pennydrop.compare(profile.account_name, profile.legal_name)
    missing = [DOCUMENTS[kind] for kind in needed(profile) if kind not in documents]
    return [
        _holder(profile),
        _initial(profile),
        *_registration(profile),
        Check(code="account_name", title="Name of the account", passed=matched.passed, sentence=matched.sentence),
        Check(
            code="documents",
            title="Documents",
            passed=not missing,
            sentence=f"Missing: {', '.join(missing)}." if missing else "Everything that is needed was handed in.",
        ),
        Check(
            code="shared_pan",
            title="PAN used once",
            passed=sharing == 0,
            sentence="No other account gives this PAN."
            if sharing == 0
            else f"{sharing} other account{'s give' if sharing > 1 else ' gives'} this PAN: they count as one person.",
        ),
    ]

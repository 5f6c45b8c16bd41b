"""What is checked of a profile without asking anybody."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core import kyc
from core.errors import Invalid
from core.kyc import checks, pennydrop
from core.kyc.profile import CONSTITUTIONS, Profile
from core.taxids import pan

ROYAL = Profile(
    legal_name="Uma Traders LLP",
    constitution="llp",
    pan="AAPFU0939F",
    gstin="27AAPFU0939F1ZV",
    account_name="Uma Traders LLP",
)
PAPERS = list(checks.DOCUMENTS)


def failed(profile: Profile, documents: list[str] = PAPERS, sharing: int = 0) -> list[str]:
    return [each.code for each in checks.run(profile, documents, sharing) if not each.passed]


def test_a_profile_that_fits_passes_every_check() -> None:
    assert failed(ROYAL) == []
    assert len(checks.run(ROYAL, PAPERS)) == 7


@pytest.mark.parametrize(
    ("profile", "code"),
    [
        (replace(ROYAL, constitution="company"), "pan_holder"),
        (replace(ROYAL, legal_name="Asha Traders LLP", account_name="Asha Traders LLP"), "pan_initial"),
        (replace(ROYAL, gstin="29AAFCC9980M1ZR"), "gstin_pan"),
        (replace(ROYAL, account_name="Somebody Else"), "account_name"),
    ],
)
def test_each_check_names_what_does_not_fit(profile: Profile, code: str) -> None:
    assert failed(profile) == [code]


def test_a_registration_without_a_pan_inside_is_no_contradiction() -> None:
    assert failed(replace(ROYAL, gstin="9917SGP29001OST")) == []


def test_a_gst_certificate_is_needed_only_with_a_gstin() -> None:
    without = [kind for kind in PAPERS if kind != "gst_certificate"]
    assert failed(ROYAL, without) == ["documents"]
    assert failed(replace(ROYAL, gstin=None), without) == []
    assert checks.needed(None) == without


def test_a_shared_pan_is_said_with_how_many_share_it() -> None:
    found = checks.run(ROYAL, PAPERS, 2)[-1]
    assert (found.code, found.passed) == ("shared_pan", False)
    assert "2 other accounts" in found.sentence


def test_every_constitution_has_words() -> None:
    assert set(CONSTITUTIONS) == set(pan.CONSTITUTIONS)


@pytest.mark.parametrize(
    ("account", "legal", "passed"),
    [
        ("Uma Traders LLP", "UMA TRADERS LLP", True),
        ("M/S UMA TRADERS PVT LTD", "Uma Traders Private Limited", True),
        ("Rao Asha", "Asha Rao", True),
        ("A Rao", "Asha Rao", False),
        ("Uma Trader LLP", "Uma Traders LLP", True),
        ("Uma Traders", "Uma Textiles", False),
        ("Asha", "Asha Rao", False),
        ("Somebody Else", "Asha Rao", False),
        ("", "Asha Rao", False),
        ("ম", "Asha Rao", False),
    ],
)
def test_a_penny_drop_compares_names_as_people_do(account: str, legal: str, passed: bool) -> None:
    found = pennydrop.compare(account, legal)
    assert found.passed is passed, found
    assert found.sentence.startswith("Simulated penny drop")


def test_names_that_are_the_same_score_100_and_the_order_of_the_two_does_not_matter() -> None:
    assert pennydrop.compare("Asha Rao", "asha rao").score == 100
    for one, two in (("A Rao", "Asha Rao"), ("Uma Traders", "Uma Textiles"), ("a b c", "c d")):
        assert pennydrop.compare(one, two).score == pennydrop.compare(two, one).score


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("legal_name", {"legal_name": "  "}),
        ("legal_name", {"legal_name": "x" * 201}),
        ("constitution", {"constitution": "sole trader"}),
        ("pan", {"pan_text": "AAPXU0939F"}),
        ("gstin", {"gstin_text": "27AAPFU0939F1ZW"}),
        ("udyam", {"udyam_text": "UDYAM-1"}),
        ("account_name", {"account_name": ""}),
    ],
)
def test_what_is_no_such_number_is_refused_by_name(field: str, change: dict[str, str]) -> None:
    given = {
        "legal_name": "Uma  Traders LLP",
        "constitution": "llp",
        "pan_text": "aapfu0939f",
        "account_name": "Uma Traders LLP",
        "gstin_text": "27aapfu0939f1zv",
        "udyam_text": " ",
    }
    assert kyc.clean(**given) == ROYAL
    with pytest.raises(Invalid) as refused:
        kyc.clean(**{**given, **change})
    assert refused.value.field == field

"""What a buyer accepted is signed, stays as it is, and anybody can check it; a link opens for whom it was made."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from core.errors import NotFound
from core.identity import Actor, Role
from core.ids import new_id
from core.marketplace import confirmations, links, states
from core.marketplace.confirmations import Notary
from core.marketplace.letters import Asked, ask_to_confirm
from core.marketplace.states import Financing, State
from core.marketplace.submitting import Confirmer
from tests.builders import NOW, SECRET_KEY, Clockwork, add_invoice, add_seller, worker

NOTARY = Notary.of(SECRET_KEY)


@pytest.fixture
def context(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as made:
        yield made


def confirmed(context: Clockwork, amount: int = 490_000) -> tuple[Financing, Actor]:
    """A financing of an invoice over 5,000.00, as it stands after its buyer accepted it, and the buyer."""
    seller, buyer = add_seller(context), add_seller(context, Role.BUYER)
    with context.database.session() as session:
        invoice = add_invoice(session, seller, 500_000)
        session.execute(
            text(
                "INSERT INTO financings (id, invoice_id, seller_id, buyer_id, buyer_email, state, currency, face, "
                "deductions, due_date, issue_date, document, submitted_at, confirm_by, created_at, updated_at) "
                "VALUES (:id, :invoice, :seller, :buyer, :email, 'pending_buyer_confirmation', 'INR', 500000, 5000, "
                "'2026-12-01', '2026-11-01', '{\"document_type\": \"INV\"}', :now, :now, :now, :now)"
            ),
            {
                "id": new_id(),
                "invoice": invoice["id"],
                "seller": seller.id,
                "buyer": buyer.id,
                "email": buyer.email,
                "now": NOW,
            },
        )
        financing = states.lock(session, UUID(invoice["id"]))
        states.record(session, financing, None, NOW, actor=seller, reason="submitted")
        moved = states.move(
            session,
            financing,
            State.CONFIRMED,
            NOW,
            actor=buyer,
            reason="accepted",
            confirmed_amount=amount,
            confirmed_at=NOW,
        )
        who = Confirmer(email=buyer.email, actor=buyer, evidence={"ip": "ab" * 32, "user_agent": "cd" * 32})
        NOTARY.record(session, moved, who, NOW)
    return moved, buyer


def record_of(context: Clockwork, financing: Financing) -> confirmations.Record:
    with context.database.session() as session:
        return confirmations.of_invoice(session, financing.invoice_id)


def test_the_record_says_what_was_accepted(context: Clockwork) -> None:
    financing, buyer = confirmed(context)
    record = record_of(context, financing)
    said = json.loads(record.canonical)
    assert said["kind"] == "ledgerwire.confirmation/1"
    assert "irrevocably" in said["statement"]
    assert (said["amount"], said["face"], said["deductions"], said["currency"]) == (490_000, 500_000, 5_000, "INR")
    assert (said["due_date"], said["invoice"]["issue_date"]) == ("2026-12-01", "2026-11-01")
    assert said["document"] == {"document_type": "INV"}
    assert said["evidence"] == {"ip": "ab" * 32, "user_agent": "cd" * 32}
    assert said["buyer"]["id"] == str(buyer.id)
    assert said["version"] == financing.version == 2
    assert said["accepted_at"] == NOW.isoformat()
    # Investors read it: the buyer's address is not theirs to know, and can be compared by who knows it.
    assert buyer.email not in record.canonical
    assert said["buyer"]["address_sha256"] == hashlib.sha256(f"{financing.id}:{buyer.email}".encode()).hexdigest()


def test_anybody_verifies_it_with_the_public_key_alone(context: Clockwork) -> None:
    record = record_of(context, confirmed(context)[0])
    key = Ed25519PublicKey.from_public_bytes(NOTARY.public_key)
    key.verify(record.signature, record.canonical.encode())
    assert record.sha256 == hashlib.sha256(record.canonical.encode()).digest()
    assert confirmations.verify(record.canonical, record.signature, record.public_key)


def test_a_changed_byte_is_noticed(context: Clockwork) -> None:
    record = record_of(context, confirmed(context)[0])
    key = Ed25519PublicKey.from_public_bytes(NOTARY.public_key)
    raw = bytearray(record.canonical.encode())
    for place in range(len(raw)):
        raw[place] ^= 1
        with pytest.raises(InvalidSignature):
            key.verify(record.signature, bytes(raw))
        raw[place] ^= 1
    assert not confirmations.verify(record.canonical.replace("490000", "490001"), record.signature, NOTARY.public_key)
    assert not confirmations.verify(record.canonical, record.signature, Notary.of(SECRET_KEY + "x").public_key)
    assert not confirmations.verify(record.canonical, b"", NOTARY.public_key)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here")
def test_openssl_verifies_it_as_the_document_says(context: Clockwork, tmp_path: Path) -> None:
    record = record_of(context, confirmed(context)[0])
    (tmp_path / "key.pem").write_text(confirmations.pem(record.public_key))
    (tmp_path / "record.txt").write_bytes(record.canonical.encode())
    (tmp_path / "record.sig").write_bytes(record.signature)
    command = "openssl pkeyutl -verify -pubin -inkey key.pem -rawin -in record.txt -sigfile record.sig"
    said = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    (tmp_path / "record.txt").write_bytes(record.canonical.replace("490000", "490001").encode())
    assert subprocess.run(command.split(), cwd=tmp_path, capture_output=True, check=False).returncode != 0


def test_the_document_says_how_to_verify() -> None:
    words = Path("docs/confirmation.md").read_text(encoding="utf-8")
    assert "openssl pkeyutl -verify -pubin -inkey key.pem -rawin -in record.txt -sigfile record.sig" in words
    for name in ("statement", "address_sha256", "accepted_at", "deductions", "key_id"):
        assert f"`{name}`" in words


def test_the_key_comes_from_the_secret_and_reads_as_pem() -> None:
    assert Notary.of(SECRET_KEY).public_key == NOTARY.public_key
    assert Notary.of(SECRET_KEY + "x").public_key != NOTARY.public_key
    assert load_pem_public_key(confirmations.pem(NOTARY.public_key).encode()) == Ed25519PublicKey.from_public_bytes(
        NOTARY.public_key
    )
    assert "_signing" not in repr(NOTARY)


def test_a_new_secret_leaves_old_records_verifiable(context: Clockwork) -> None:
    record = record_of(context, confirmed(context)[0])
    with context.database.session() as session:
        known = confirmations.known_keys(session, Notary.of("another secret of thirty-two characters"))
    assert [each["id"] for each in known[:1]] != [record.key_id]
    (key,) = [each["public_key"] for each in known if each["id"] == record.key_id]
    assert confirmations.verify(record.canonical, record.signature, key)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE confirmations SET amount = 1 WHERE id = :id",
        "DELETE FROM confirmations WHERE id = :id",
        "TRUNCATE confirmations",
        "UPDATE confirmation_keys SET public_key = public_key",
    ],
)
def test_nobody_changes_a_record_not_even_by_hand(context: Clockwork, statement: str) -> None:
    record = record_of(context, confirmed(context)[0])
    with pytest.raises(DBAPIError, match="append-only"), context.database.connect() as connection:
        connection.execute(text(statement), {"id": record.id} if ":id" in statement else {})


def test_one_version_of_a_financing_is_accepted_once(context: Clockwork) -> None:
    financing, buyer = confirmed(context)
    with pytest.raises(IntegrityError, match="financing_id_version"), context.database.session() as session:
        NOTARY.record(session, financing, Confirmer(email=buyer.email, actor=buyer), NOW)


def test_a_hash_that_is_not_of_the_text_is_not_taken(context: Clockwork) -> None:
    financing, _ = confirmed(context)
    copied = (
        "INSERT INTO confirmations SELECT :new, financing_id, invoice_id, 3, buyer_id, buyer_email, via, currency, "
        "face, deductions, amount, due_date, document, evidence, canonical || ' ', sha256, signature, key_id, "
        "accepted_at FROM confirmations WHERE financing_id = :id"
    )
    with pytest.raises(IntegrityError, match="hash_is_of_text"), context.database.connect() as connection:
        connection.execute(text(copied), {"id": financing.id, "new": new_id()})


def test_what_was_not_confirmed_has_no_record(context: Clockwork) -> None:
    financing, buyer = confirmed(context)
    with context.database.session() as session, pytest.raises(ValueError, match="nothing"):
        NOTARY.record(session, replace(financing, confirmed_amount=None), Confirmer(email=buyer.email), NOW)
    with context.database.session() as session, pytest.raises(NotFound):
        confirmations.of_invoice(session, new_id())


# Links ----------------------------------------------------------------------------------------------------------

UNTIL = NOW + timedelta(days=14)
FINANCING = new_id()


def token(**more: Any) -> str:
    given: dict[str, Any] = {"financing_id": FINANCING, "version": 3, "email": "rao@shop.test", "expires_at": UNTIL}
    return NOTARY.link_token(**{**given, **more})


def test_a_link_says_for_what_and_for_whom_it_was_made() -> None:
    found = NOTARY.open_link(token(), UNTIL - timedelta(seconds=1))
    assert found == links.Link(financing_id=FINANCING, version=3, email="rao@shop.test", expires_at=UNTIL)


def test_a_link_ends_at_its_time() -> None:
    with pytest.raises(links.LinkExpired):
        NOTARY.open_link(token(), UNTIL)


@given(st.data())
def test_no_other_spelling_of_a_link_is_good(data: st.DataObject) -> None:
    good = token()
    place = data.draw(st.integers(0, len(good) - 1))
    letter = data.draw(st.sampled_from("ABCXYZabcxyz0189-_=+/ .é").filter(lambda one: one != good[place]))
    for bad in (good[:place] + letter + good[place + 1 :], good[:place], good + letter):
        with pytest.raises(links.LinkInvalid):
            NOTARY.open_link(bad, NOW)


@given(st.text(max_size=200))
def test_any_text_is_no_link_and_no_error_of_ours(given_text: str) -> None:
    with pytest.raises(links.LinkInvalid):
        NOTARY.open_link(given_text, NOW)


def test_a_link_of_another_installation_is_not_good_here() -> None:
    other = Notary.of("another secret of thirty-two characters")
    with pytest.raises(links.LinkInvalid):
        other.open_link(token(), NOW)


def test_a_long_text_is_not_even_decoded() -> None:
    with pytest.raises(links.LinkInvalid):
        NOTARY.open_link(base64.urlsafe_b64encode(b"x" * 10_000_000).decode(), NOW)


def test_the_mail_holds_the_link_in_both_forms_and_escapes_what_people_typed() -> None:
    asked = Asked(
        financing_id=FINANCING,
        version=1,
        number="INV-2026-00001",
        seller="Rao <b>& Sons</b>",
        buyer="Mehta",
        buyer_email="mehta@shop.test",
        currency="INR",
        face=50_000_000,
        deductions=100_000,
        issue_date=date(2026, 11, 1),
        due_date=date(2026, 12, 31),
        confirm_by=date(2026, 11, 17),
        link="https://ledger.test/confirm/abc_-1",
    )
    mail = ask_to_confirm(asked)
    assert mail.to == "mehta@shop.test"
    assert mail.subject == "Please confirm invoice INV-2026-00001 of Rao <b>& Sons</b>"
    assert asked.link in mail.text
    assert "₹5,00,000.00" in mail.text
    assert "₹4,99,000.00" in mail.text
    assert "cannot be taken back" in mail.text
    assert mail.html is not None
    assert f'href="{asked.link}"' in mail.html
    assert "<b>" not in mail.html
    assert asked.link not in repr(mail)
    assert mail.key == ask_to_confirm(asked).key
    assert mail.key != ask_to_confirm(replace(asked, version=2)).key

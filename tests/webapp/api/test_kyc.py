"""KYC over the API: handing in, papers, the operators' queue; and the registry's one word."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from core.files import MAX_BYTES
from core.identity import Role
from core.marketplace import fingerprints
from core.marketplace.fingerprints import Document
from tests.webapp.conftest import Person, Reply, Standing, World

PDF = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n%%EOF\n"
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + b"\x00" * 20 + b"IEND\xaeB`\x82"
JPEG = b"\xff\xd8\xff\xe0" + b"\x00" * 20 + b"\xff\xd9"
PROFILE: dict[str, Any] = {
    "legal_name": "Uma Traders LLP",
    "constitution": "llp",
    "pan": "aapfu0939f",
    "gstin": "27AAPFU0939F1ZV",
    "account_name": "Uma Traders LLP",
}


@pytest.fixture
def world(standing: Standing) -> World:
    return standing.world


def upload(world: World, person: Person | None, content: bytes, kind: str = "pan_card", name: str = "a.pdf") -> Reply:
    # Put together here: the test client would leave the temporary file of a large one open.
    head = f'--X\r\nContent-Disposition: form-data; name="kind"\r\n\r\n{kind}\r\n--X\r\nContent-Disposition: '
    body = f'{head}form-data; name="file"; filename="{name}"\r\n\r\n'.encode() + content + b"\r\n--X--\r\n"
    sent = {"data": body, "content_type": "multipart/form-data; boundary=X"}
    return world.ask("POST", "/api/auth/kyc/documents", person, **sent)


def sized(size: int) -> bytes:
    """A PDF of exactly so many bytes."""
    return PDF[:9] + b"%" * (size - len(PDF)) + PDF[9:]


def test_a_profile_is_handed_in_looked_at_and_decided_on(world: World) -> None:
    seller, operator = world.person(), world.person(Role.OPERATOR)
    assert world.get("/api/auth/kyc", seller).body["state"] == "not_started"
    sent = world.post("/api/auth/kyc", seller, PROFILE)
    assert (sent.status, sent.body["state"]) == (200, "submitted")
    assert sent.body["profile"]["pan"] == "AAPFU0939F"
    assert sent.body["missing"] == ["pan_card", "gst_certificate", "address_proof", "bank_statement"]
    assert [each["code"] for each in sent.body["checks"] if not each["passed"]] == ["documents"]
    queue = world.get("/api/kyc", operator, state="submitted").body["items"]
    entry = next(item for item in queue if item["user"]["id"] == str(seller.actor.id))
    assert entry["pan"] == "•••F•••••F"
    seen = world.get(f"/api/kyc/{seller.actor.id}", operator).body
    decision = {"decision": "verify", "reason": "Everything fits.", "version": seen["version"]}
    decided = world.post(f"/api/kyc/{seller.actor.id}/decide", operator, decision)
    assert (decided.status, decided.body["state"], decided.body["evidence"]) == (200, "verified", "documents")
    mine = world.get("/api/auth/kyc", seller).body
    assert (mine["state"], mine["reason"]) == ("verified", "Everything fits.")
    # Which operator it was is nothing for the person.
    assert mine["history"][0]["by"] == "operator"
    assert mine["history"][0]["actor"] is None
    assert world.get("/api/notifications", seller).body["items"][0]["title"] == "Your identity is verified"
    again = world.post(f"/api/kyc/{seller.actor.id}/decide", operator, decision)
    assert (again.status, again.body["code"]) == (409, "kyc_changed")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"pan": "AAPXU0939F"}, "pan"),
        ({"gstin": "27AAPFU0939F1ZW"}, "gstin"),
        ({"udyam": "UDYAM-1"}, "udyam"),
        ({"constitution": "sole trader"}, "constitution"),
        ({"legal_name": " "}, "legal_name"),
        ({"aadhaar": "1234"}, "aadhaar"),
    ],
)
def test_what_cannot_be_is_refused_by_field(world: World, change: dict[str, str], field: str) -> None:
    person = world.person()
    answer = world.post("/api/auth/kyc", person, PROFILE | change)
    assert answer.status == 422
    assert [each["field"] for each in answer.body["errors"]] == [field]
    assert world.get("/api/auth/kyc", person).body["state"] == "not_started"


def test_the_same_request_again_is_one_submission(world: World) -> None:
    person = world.person()
    answers = [world.post("/api/auth/kyc", person, PROFILE, Idempotency_Key="k-1") for _ in range(2)]
    assert answers[0].body == answers[1].body
    assert world.get("/api/auth/kyc", person).body["version"] == 1


@pytest.mark.parametrize(
    ("content", "media_type"), [(PDF, "application/pdf"), (PNG, "image/png"), (JPEG, "image/jpeg")]
)
def test_papers_are_kept_and_come_back_as_downloads(world: World, content: bytes, media_type: str) -> None:
    seller, operator, stranger = world.person(), world.person(Role.OPERATOR), world.person(Role.INVESTOR)
    made = upload(world, seller, content, name="../scan<.exe")
    assert (made.status, made.body["media_type"]) == (201, media_type)
    address = f"/api/kyc/documents/{made.body['id']}"
    for reader in (seller, operator):
        answer = world.app.test_client().get(address, headers=reader.headers)
        assert (answer.status_code, answer.data, answer.mimetype) == (200, content, media_type)
        assert answer.headers["Content-Disposition"].startswith("attachment")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "/" not in answer.headers["Content-Disposition"].partition(";")[2]
    assert world.get(address, stranger).status == 404
    assert world.get(address).status == 401
    assert world.get("/api/auth/kyc", stranger).body["documents"] == []


@pytest.mark.parametrize(
    ("size", "status"),
    [
        pytest.param(MAX_BYTES - 1, 201, id="below"),
        pytest.param(MAX_BYTES, 201, id="at"),
        pytest.param(MAX_BYTES + 1, 413, id="above"),
        pytest.param(MAX_BYTES * 2, 413, id="far above"),
    ],
)
def test_a_paper_has_at_most_5_mb(world: World, size: int, status: int) -> None:
    person = world.person()
    answer = upload(world, person, sized(size))
    assert answer.status == status
    if status == 413:
        assert answer.body["type"] in ("/problems/file_too_large", "/problems/too_large")
    assert len(world.get("/api/auth/kyc", person).body["documents"]) == (status == 201)


@pytest.mark.parametrize(
    ("content", "kind", "name", "status", "code"),
    [
        pytest.param(
            b"MZ\x90\x00 a program", "pan_card", "scan.pdf", 415, "file_type_refused", id="a program named pdf"
        ),
        pytest.param(b"<svg onload=alert(1)>", "pan_card", "a.png", 415, "file_type_refused", id="a script named png"),
        pytest.param(b"just words", "pan_card", "a.txt", 415, "file_type_refused", id="text"),
        pytest.param(b"", "pan_card", "a.pdf", 415, "file_type_refused", id="nothing"),
        pytest.param(PDF, "selfie", "a.pdf", 422, "invalid", id="a kind that there is not"),
        pytest.param(PDF, "pan_card", "", 422, "invalid", id="no file"),
    ],
)
def test_what_is_no_paper_is_refused(
    world: World, content: bytes, kind: str, name: str, status: int, code: str
) -> None:
    person = world.person()
    answer = upload(world, person, content, kind, name)
    assert (answer.status, answer.body["code"]) == (status, code)
    assert world.get("/api/auth/kyc", person).body["documents"] == []


def test_a_body_that_is_no_form_is_refused(world: World) -> None:
    person = world.person()
    assert world.post("/api/auth/kyc/documents", person, {"kind": "pan_card"}).status in (415, 422)


def test_only_operators_see_the_queue_and_decide(world: World) -> None:
    seller, other = world.person(), world.person(Role.INVESTOR)
    decision = {"decision": "verify", "reason": "me"}
    for person in (seller, other):
        assert world.get("/api/kyc", person).status == 403
        assert world.get(f"/api/kyc/{seller.actor.id}", person).status == 403
        assert world.post(f"/api/kyc/{seller.actor.id}/decide", person, decision).status == 403
    assert world.get("/api/kyc", seller, state="submitted").body["code"] == "forbidden"


def test_the_registry_says_financed_or_not_and_nothing_else(world: World) -> None:
    seller, operator = world.person(), world.person(Role.OPERATOR)
    asked = {
        "supplier_gstin": "27AAPFU0939F1ZV",
        "buyer_gstin": "29AAFCC9980M1ZR",
        "number": "ka-0042",
        "issue_date": "2026-11-03",
    }
    assert world.post("/api/registry/check", operator, asked).body == {"financed": False}
    _financed(world, seller)
    by_pan = {"supplier_gstin": None, "supplier_pan": "AAPFU0939F"}
    other_buyer = {"buyer_gstin": "0717UNO00157UNO"}
    # A supplier's number is its own, whoever the buyer is said to be.
    for change in ({}, {"number": "KA/42"}, by_pan, other_buyer):
        answer = world.post("/api/registry/check", operator, asked | change)
        assert (answer.status, answer.body) == (200, {"financed": True}), change
    for change in ({"number": "KA-43"}, {"issue_date": "2027-04-01"}, by_pan | other_buyer):
        assert world.post("/api/registry/check", operator, asked | change).body == {"financed": False}, change
    assert world.post("/api/registry/check", seller, asked).status == 403
    assert world.post("/api/registry/check", None, asked).status == 401
    missing = world.post("/api/registry/check", operator, {**asked, "supplier_gstin": None})
    assert (missing.status, missing.body["errors"][0]["field"]) == (422, "supplier_gstin")


def _financed(world: World, seller: Person) -> None:
    """A confirmed financing of KA-0042, written as the marketplace would."""
    from datetime import UTC, date, datetime

    from core.ids import new_id
    from core.taxids import Party

    document = Document(
        seller_id=seller.actor.id,
        buyer_email="b@buyer.test",
        number="KA-0042",
        issued=date(2026, 11, 3),
        amount=5_00_000,
        currency="INR",
        seller=Party(gstin="27AAPFU0939F1ZV"),
        buyer=Party(gstin="29AAFCC9980M1ZR"),
    )
    invoice = {
        "contact": {"name": "B", "email": "b@buyer.test"},
        "currency": "INR",
        "issue_date": "2026-11-03",
        "due_date": "2027-01-03",
        "items": [{"description": "Tea", "quantity": "1", "unit_price": 5_00_000}],
    }
    made = world.post("/api/invoices", seller, invoice).body["id"]
    prints = fingerprints.of(document, world.parts.rules.fingerprint_key)
    identity, now = new_id(), datetime.now(UTC)
    with world.session() as session:
        session.execute(
            text(
                "INSERT INTO financings (id, invoice_id, seller_id, buyer_email, state, currency, face, "
                "confirmed_amount, due_date, issue_date, fp_e1, fp_e2, fp_n1, submitted_at, confirm_by, created_at, "
                "updated_at) VALUES (:id, :invoice, :seller, 'b@buyer.test', 'confirmed', 'INR', 500000, 500000, "
                "'2027-01-03', '2026-11-03', :e1, :e2, :n1, :now, :now, :now, :now)"
            ),
            {
                "id": identity,
                "invoice": made,
                "seller": seller.actor.id,
                "e1": prints.e1,
                "e2": prints.e2,
                "n1": prints.n1,
                "now": now,
            },
        )
        session.execute(
            text(
                "INSERT INTO financing_moves (id, financing_id, version, after, reason, at) "
                "VALUES (:move, :id, 1, 'confirmed', 'test', :now)"
            ),
            {"move": new_id(), "id": identity, "now": now},
        )

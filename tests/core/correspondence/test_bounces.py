"""Mails that came back: what mail servers say of them, and what becomes of it."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest

from core.correspondence import bounces, sending
from core.correspondence.bounces import Report
from core.errors import Invalid
from tests.builders import Clockwork, worker
from tests.core.correspondence.scene import Scene, customer_links, sent_invoice


@pytest.fixture(scope="module")
def context(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as made:
        yield made


@pytest.fixture
def scene(context: Clockwork) -> Scene:
    return sent_invoice(context)


MAIL = UUID("0192a4b0-1111-7000-8000-00000000abcd")


def notification(
    action: str = "failed",
    *,
    returned: str = "text/rfc822-headers",
    message_id: str = f"<{MAIL}@shop.test>",
    kind: str = 'multipart/report; report-type=delivery-status; boundary="b"',
) -> bytes:
    """A notification as Postfix writes it (RFC 3464)."""
    return f"""From: MAILER-DAEMON@mx.test (Mail Delivery System)
To: books@shop.test
Subject: Undelivered Mail Returned to Sender
Message-ID: <20261103.1@mx.test>
MIME-Version: 1.0
Content-Type: {kind}

--b
Content-Type: text/plain; charset=us-ascii

I'm sorry to have to inform you that your message could not be delivered.

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.test
Arrival-Date: Tue, 3 Nov 2026 09:00:00 +0000

Final-Recipient: rfc822; rao@shop.test
Original-Recipient: rfc822;rao@shop.test
Action: {action}
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 <rao@shop.test>:
 Recipient address rejected: User unknown

--b
Content-Type: {returned}

Return-Path: <books@shop.test>
From: Asha via Ledger <books@shop.test>
To: rao@shop.test
Message-ID: {message_id}
Subject: Invoice

--b--
""".encode()


@pytest.mark.parametrize("returned", ["text/rfc822-headers", "message/rfc822"])
def test_a_notification_names_the_mail_and_says_why(returned: str) -> None:
    assert bounces.read_report(notification(returned=returned)) == [
        Report(mail_id=MAIL, reason="smtp; 550 5.1.1 <rao@shop.test>: Recipient address rejected: User unknown")
    ]


@pytest.mark.parametrize("action", ["delayed", "delivered", "relayed", "expanded", ""])
def test_what_is_late_or_arrived_has_not_come_back(action: str) -> None:
    assert bounces.read_report(notification(action)) == []


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff\x00\xfe", id="no text"),
        pytest.param(b"Subject: Out of office\n\nI am away", id="an ordinary mail"),
        pytest.param(notification(kind='multipart/mixed; boundary="b"'), id="no report"),
        pytest.param(notification(kind="multipart/report"), id="no boundary"),
        pytest.param(notification(message_id="<somebody@else.test>"), id="not ours"),
        pytest.param(notification(message_id="none"), id="no id"),
    ],
)
def test_what_is_no_notification_of_a_mail_of_ours_is_refused(raw: bytes) -> None:
    with pytest.raises(Invalid):
        bounces.read_report(raw)


def send(scene: Scene) -> UUID:
    with scene.shop.database.session() as session:
        now = scene.context.now()
        made = sending.send(session, scene.shop.seller, scene.id, customer_links(scene.context), now)
    scene.run("UPDATE mails SET state = 'sent', text = '', html = NULL, sent_at = now() WHERE subject_id = :id")
    return UUID(str(made["mail_id"]))


def mark(scene: Scene, mail_id: UUID, reason: str = "User unknown") -> list[str]:
    with scene.shop.database.session() as session:
        marked, _ = bounces.taken_in(session, [Report(mail_id=mail_id, reason=reason)], scene.context.now())
    return marked


def test_a_mail_comes_back_once_and_its_sender_hears_of_it(scene: Scene) -> None:
    mail_id = send(scene)
    assert mark(scene, mail_id) == [str(mail_id)]
    assert mark(scene, mail_id, "again") == []
    (mail,) = scene.mails()
    assert (mail["bounce_reason"], mail["bounced_at"]) == ("User unknown", scene.context.now())
    notice = scene.shop.one("SELECT kind, subject_id, title, body FROM notifications WHERE user_id = :user")
    assert (notice["kind"], notice["subject_id"]) == ("mail.bounced", scene.id)
    assert notice["title"] == "A mail to buyer@rao.test came back"
    assert "User unknown" in notice["body"]


def test_an_address_is_bad_until_a_mail_to_it_does_not_come_back(scene: Scene) -> None:
    def state() -> str | None:
        with scene.shop.database.session() as session:
            found = bounces.of_address(session, scene.shop.seller.id, "buyer@rao.test")
        return None if found is None else str(found["reason"])

    assert state() is None
    mark(scene, send(scene))
    assert state() == "User unknown"
    send(scene)
    assert state() is None


def test_what_is_still_on_its_way_or_unknown_cannot_come_back(scene: Scene) -> None:
    with scene.shop.database.session() as session:
        now = scene.context.now()
        queued = sending.send(session, scene.shop.seller, scene.id, customer_links(scene.context), now)
    assert mark(scene, UUID(str(queued["mail_id"]))) == []
    assert mark(scene, uuid4()) == []

"""Mail reaches a real SMTP server once, or waits, or says why not."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import text

from core import mail as core_mail
from core.errors import Invalid
from core.identity import Role
from core.mail import Mail, queue
from tests.builders import NOW, Clockwork, Refusal, add_seller, make_settings, worker
from workers import mail, sweep


@dataclass
class Office:
    """A mail server that keeps what it gets, and answers what a test wants."""

    got: list[EmailMessage] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    logins: list[tuple[bytes, bytes]] = field(default_factory=list)
    rcpt_answer: str | None = None
    data_answer: str | None = None
    sealed: bool = False
    port: int = 0

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name.
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.rcpt_answer and not address.startswith("good"):
            return self.rcpt_answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.data_answer:
            return self.data_answer
        assert isinstance(envelope.content, bytes)
        self.raw.append(envelope.content)
        self.sealed = session.ssl is not None
        made = message_from_bytes(envelope.content, policy=default)
        assert isinstance(made, EmailMessage)
        self.got.append(made)
        return "250 taken"

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, given: Any
    ) -> AuthResult:
        self.logins.append((given.login, given.password))
        return AuthResult(success=given.password == b"right/word", handled=False)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def office(made: Office | None = None, port: int = 0, **more: Any) -> Iterator[Office]:
    found = made or Office()
    found.port = port or free_port()
    controller = Controller(found, hostname="127.0.0.1", port=found.port, **more)
    controller.start()
    try:
        yield found
    finally:
        controller.stop()


@pytest.fixture
def context(file_database_url: str) -> Iterator[Clockwork]:
    with worker(file_database_url) as made, made.database.connect() as connection:
        connection.execute(text("DELETE FROM mails"))
        connection.commit()
        yield made


def by(context: Clockwork, port: int, user: str = "") -> Clockwork:
    """The same worker with a mail server."""
    address = f"smtp://{user}127.0.0.1:{port}"
    url = context.settings.sqlalchemy_url
    settings = make_settings(url, "redis://127.0.0.1:1", smtp_url=address, mail_from="Ledger <books@shop.test>")
    return Clockwork(
        settings=settings,
        database=context.database,
        doorbell=context.doorbell,
        transport=context.transport,
        ring=context.ring,
        moment=context.moment,
    )


def write(context: Clockwork, to: str = "rao@shop.test", **more: Any) -> UUID:
    given: dict[str, Any] = {"subject": "Please confirm", "text": "Grüße, see https://x.test/confirm/abc", **more}
    with context.database.session() as session:
        made = core_mail.write(session, Mail(to=to, **given), context.now())
    assert made is not None
    return made


def row(context: Clockwork, identity: UUID) -> dict[str, Any]:
    with context.database.connect() as connection:
        found = connection.execute(text("SELECT * FROM mails WHERE id = :id"), {"id": identity}).mappings().one()
        return dict(found)


def test_a_mail_is_sent_in_both_forms_and_its_words_are_forgotten(context: Clockwork) -> None:
    with office() as server:
        identity = write(context, html="<p>Grüße</p>")
        assert mail.drain(by(context, server.port)) == 1
    (got,) = server.got
    assert (got["To"], got["From"], got["Subject"]) == ("rao@shop.test", "Ledger <books@shop.test>", "Please confirm")
    assert got["Message-ID"] == f"<{identity}@shop.test>"
    plain, html = got.get_body(("plain",)), got.get_body(("html",))
    assert plain is not None
    assert html is not None
    assert plain.get_content().strip() == "Grüße, see https://x.test/confirm/abc"
    assert html.get_content().strip() == "<p>Grüße</p>"
    left = row(context, identity)
    assert (left["state"], left["text"], left["html"], left["sent_at"]) == ("sent", "", None, NOW)


def test_what_is_rolled_back_is_never_sent(context: Clockwork) -> None:
    def fail_after_writing() -> None:
        with context.database.session() as session:
            core_mail.write(session, Mail(to="rao@shop.test", subject="S", text="T"), NOW)
            raise Refusal

    with pytest.raises(Refusal):
        fail_after_writing()
    with office() as server:
        assert mail.drain(by(context, server.port)) == 0
    assert server.got == []


def test_the_same_key_is_one_mail(context: Clockwork) -> None:
    write(context, key="confirm:1")
    with context.database.session() as session:
        again = core_mail.write(session, Mail(to="rao@shop.test", subject="S", text="T", key="confirm:1"), NOW)
    assert again is None


def test_a_chosen_name_begins_no_header_of_its_own(context: Clockwork) -> None:
    with office() as server:
        write(context, subject="Invoice of A\r\nBcc:\x07 \u202eall\u2066@shop.test")
        mail.drain(by(context, server.port))
    assert server.got[0]["Subject"] == "Invoice of A Bcc: all@shop.test"
    assert server.got[0]["Bcc"] is None


def test_what_is_no_address_is_refused_when_it_is_written(context: Clockwork) -> None:
    with pytest.raises(Invalid, match="e-mail"):
        write(context, to="rao\r\nRCPT TO:<x@y.z>@shop.test")


def test_an_address_that_no_header_can_hold_is_given_up(context: Clockwork) -> None:
    identity = write(context, to="a,b@shop.test")
    with office() as server:
        mail.drain(by(context, server.port))
    assert row(context, identity)["state"] == "failed"
    assert server.got == []


def test_a_refused_recipient_is_given_up_and_operators_hear_of_it(context: Clockwork) -> None:
    operator = add_seller(context, Role.OPERATOR)
    with office(Office(rcpt_answer="550 5.1.1 no such user")) as server:
        bad, good = write(context), write(context, "good@shop.test")
        assert mail.drain(by(context, server.port)) == 2
    assert row(context, bad)["state"] == "failed"
    assert "550 5.1.1 no such user" in row(context, bad)["error"]
    assert row(context, bad)["text"] != ""
    assert row(context, good)["state"] == "sent"
    with context.database.connect() as connection:
        told = connection.execute(
            text("SELECT kind, title FROM notifications WHERE user_id = :id"), {"id": operator.id}
        ).all()
    assert told == [("mail.failed", "A mail to rao@shop.test was not sent")]


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(Office(rcpt_answer="451 later"), id="by the recipient's box"),
        pytest.param(Office(data_answer="452 full"), id="by the server"),
    ],
)
def test_a_mail_that_is_put_off_waits(context: Clockwork, made: Office) -> None:
    with office(made) as server:
        identity = write(context)
        assert mail.drain(by(context, server.port)) == 1
        waiting = row(context, identity)
        assert (waiting["state"], waiting["attempts"], waiting["due_at"]) == ("queued", 1, NOW + timedelta(seconds=5))
        server.rcpt_answer = server.data_answer = None
        assert mail.drain(by(context, server.port)) == 0
        context.wait(5)
        assert mail.drain(by(context, server.port)) == 1
    assert row(context, identity)["state"] == "sent"


def test_with_the_server_down_mails_wait_and_go_when_it_is_back(context: Clockwork) -> None:
    port = free_port()
    first, second = write(context), write(context)
    assert mail.drain(by(context, port)) == 0
    assert [row(context, each)["attempts"] for each in (first, second)] == [1, 0]
    assert "not to be had" in row(context, first)["error"]
    context.wait(5)
    with office(port=port) as server:
        assert mail.drain(by(context, port)) == 2
    assert len(server.got) == 2
    assert {row(context, each)["state"] for each in (first, second)} == {"sent"}


def test_tries_are_bounded(context: Clockwork) -> None:
    port, identity = free_port(), write(context)
    for _ in range(context.settings.max_attempts):
        assert row(context, identity)["state"] == "queued"
        mail.drain(by(context, port))
        context.wait(7 * 3600)
    assert row(context, identity)["state"] == "failed"


def test_a_worker_killed_between_sending_and_writing_sends_the_same_bytes_again(
    context: Clockwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object) -> bool:
        raise Killed

    identity = write(context, html="<p>H</p>")
    with office() as server:
        with monkeypatch.context() as patch:
            patch.setattr(queue, "sent", die)
            with pytest.raises(Killed):
                mail.drain(by(context, server.port))
        assert row(context, identity)["state"] == "queued"
        context.wait(mail.LEASE_SECONDS - 1)
        assert mail.drain(by(context, server.port)) == 0
        context.wait(1)
        assert mail.drain(by(context, server.port)) == 1
    first, second = server.raw
    assert first == second
    assert row(context, identity)["state"] == "sent"


def test_who_lost_the_lease_writes_nothing(context: Clockwork) -> None:
    identity = write(context)
    with context.database.connect() as connection:
        slow = queue.claim(connection, lease_seconds=10, now=NOW)
    context.wait(10)
    with context.database.connect() as connection:
        fast = queue.claim(connection, lease_seconds=10, now=context.now())
        assert slow is not None
        assert fast is not None
        assert not queue.sent(connection, slow, context.now())
        assert queue.failed(connection, slow, error="x", now=context.now(), max_attempts=1) == "lost"
        assert queue.sent(connection, fast, context.now())
    assert row(context, identity)["state"] == "sent"


def certificate(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=2000))
        .not_valid_after(NOW + timedelta(days=2000))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return tls


def test_tls_is_used_where_it_is_offered_and_the_certificate_must_be_good(
    context: Clockwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = certificate(tmp_path)
    made = Office()
    with office(made, tls_context=tls, authenticator=made.authenticate, auth_required=True) as server:
        identity = write(context)
        at = by(context, server.port, "books:right%2Fword@")
        named = at.settings.model_copy(
            update={
                "smtp_url": type(at.settings.smtp_url)(  # type: ignore[misc]
                    f"smtp://books:right%2Fword@localhost:{server.port}"
                )
            }
        )
        clock = Clockwork(
            settings=named,
            database=at.database,
            doorbell=at.doorbell,
            transport=at.transport,
            ring=at.ring,
            moment=context.moment,
        )
        assert mail.drain(clock) == 0
        assert "CERTIFICATE_VERIFY_FAILED" in row(context, identity)["error"]
        assert server.logins == []
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        context.wait(5)
        assert mail.drain(clock) == 1
    assert server.sealed
    assert server.logins == [(b"books", b"right/word")]


def test_a_wrong_password_is_no_mails_fault(context: Clockwork) -> None:
    made = Office()
    with office(made, authenticator=made.authenticate, auth_require_tls=False) as server:
        identity = write(context)
        assert mail.drain(by(context, server.port, "books:wrong@")) == 0
    assert (row(context, identity)["state"], row(context, identity)["attempts"]) == ("queued", 1)
    assert "535" in row(context, identity)["error"]
    assert "wrong" not in row(context, identity)["error"]


def test_without_a_server_mails_are_kept_and_their_readers_hear_of_it(context: Clockwork) -> None:
    reader = add_seller(context)
    mine, other = write(context, reader.email), write(context, "nobody@shop.test")
    assert mail.drain(context) > 0
    assert mail.drain(context) == 0
    assert {row(context, each)["state"] for each in (mine, other)} == {"kept"}
    with context.database.session() as session:
        shown = core_mail.list_mails(session, reader)["items"]
        heard = session.scalars(
            text("SELECT data->>'mail_id' FROM outbox WHERE room = :room"), {"room": f"user:{reader.id}"}
        ).all()
    assert [each["id"] for each in shown] == [str(mine)]
    assert heard == [str(mine)]


def test_the_sweep_sees_what_is_due_and_the_house_forgets_what_is_old(context: Clockwork) -> None:
    assert not sweep.due(context)["mail"]
    old, waiting = write(context), write(context)
    assert sweep.due(context)["mail"]
    mail.drain(context)
    assert not sweep.due(context)["mail"]
    with context.database.connect() as connection:
        connection.execute(text("UPDATE mails SET state = 'queued', sent_at = NULL WHERE id = :id"), {"id": waiting})
        queue.forget(connection, NOW + timedelta(days=91))
        assert connection.scalars(text("SELECT id FROM mails")).all() == [waiting]
        assert old != waiting

"""Mail: claimed one by one, handed to the SMTP server of the settings; without one, kept for the mailbox page.

One connection to the server carries all mails of a round. A server that does not answer ends the round: what was
in hand comes again later, and nothing else waits in vain.
"""

from __future__ import annotations

import smtplib
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from ipaddress import ip_address
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit
from uuid import UUID

import structlog
from sqlalchemy.exc import DBAPIError

from core.correspondence import bounces, papers, stale
from core.errors import NotFound, Permanent, Transient
from core.invoicing import links
from core.live import announce
from core.mail import queue
from core.mail.message import Paper, compose
from core.mail.queue import Claimed
from workers.context import Context

log = structlog.get_logger(__name__)

BATCH = 20
# Longer than everything that one mail can make us wait for: eight answers of the server.
LEASE_SECONDS = 180.0
_TIMEOUT_SECONDS = 15.0
_TRIES_WITH_FILES = 3
_PORTS = {"smtp": 587, "smtps": 465}


class ServerAway(Transient):
    """The mail server does not answer, or does not let us in: no mail's fault."""

    code = "mail_server_away"


class MailRefused(Permanent):
    """The server will never take this mail."""

    code = "mail_refused"


class MailPutOff(Transient):
    """The server does not take this mail now."""

    code = "mail_put_off"


@dataclass(slots=True)
class Line:
    """A connection to the mail server, made with the first mail."""

    url: str = field(repr=False)
    _server: smtplib.SMTP | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._hang_up()

    def send(self, message: EmailMessage) -> None:
        """Hand a mail over. Raises ServerAway, MailPutOff or MailRefused."""
        try:
            server = self._connected()
        except (OSError, smtplib.SMTPException) as error:
            self._hang_up()
            raise ServerAway(f"the mail server is not to be had: {_words(error)}") from error
        try:
            server.send_message(message)
        except smtplib.SMTPRecipientsRefused as error:
            code, answer = next(iter(error.recipients.values()))
            raise _refusal(code, answer) from error
        except smtplib.SMTPNotSupportedError as error:
            raise MailRefused(f"the mail server cannot carry this address: {_words(error)}") from error
        except smtplib.SMTPResponseException as error:
            # Of the sender or of the content. 421 says that the server is closing.
            if error.smtp_code == 421:
                self._hang_up()
                raise ServerAway(f"the mail server is not to be had: {_words(error)}") from error
            raise _refusal(error.smtp_code, error.smtp_error) from error
        except (OSError, smtplib.SMTPException) as error:
            self._hang_up()
            raise ServerAway(f"the mail server broke off: {_words(error)}") from error

    def _connected(self) -> smtplib.SMTP:
        if self._server is not None:
            return self._server
        parts = urlsplit(self.url)
        host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        tls = ssl.create_default_context()
        if parts.scheme == "smtps":
            self._server = smtplib.SMTP_SSL(host, port, timeout=_TIMEOUT_SECONDS, context=tls)
        else:
            self._server = smtplib.SMTP(host, port, timeout=_TIMEOUT_SECONDS)
        server = self._server
        server.ehlo_or_helo_if_needed()
        sealed = parts.scheme == "smtps"
        if not sealed and server.has_extn("starttls"):
            server.starttls(context=tls)
            sealed = True
        if parts.username:
            if not sealed and not _here(host):
                # Somebody on the way may have taken the offer of TLS out of the greeting.
                raise smtplib.SMTPException("it offers no TLS, and the password is not sent in the clear")
            server.login(unquote(parts.username), unquote(parts.password or ""))
        return server

    def _hang_up(self) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        try:
            server.quit()
        except (OSError, smtplib.SMTPException):
            server.close()


def _here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _words(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{error.smtp_code} {_text(error.smtp_error)}"
    return f"{type(error).__name__}: {error}"[:300]


def _text(answer: bytes | str) -> str:
    return (answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer)[:300]


def _refusal(code: int, answer: bytes | str) -> MailRefused | MailPutOff:
    words = f"the mail server answered {code} {_text(answer)}"
    return MailPutOff(words) if 400 <= code < 500 else MailRefused(words)


def drain(context: Context) -> int:
    """Send what is due; return how many mails were dealt with, 0 when none is due or the server is away."""
    url = context.settings.smtp_url
    if url is None:
        with context.database.connect() as connection:
            told = queue.keep_due(connection, context.now())
            announce(connection, told)
        if told:
            context.doorbell.ring("relay")
        return len(told)
    count = 0
    with Line(url.get_secret_value()) as line:
        while count < BATCH:
            with context.database.statements() as connection:
                mail = queue.claim(connection, lease_seconds=LEASE_SECONDS, now=context.now())
            if mail is None:
                return count
            if not _withdrawn(context, mail) and not _deliver(context, line, mail):
                return 0
            count += 1
    return count


def papers_of(context: Context, mail: Claimed) -> list[Paper]:
    """What hangs on a mail, made now. What is not there any more is left out: the mail says where it is looked at.

    Raises MailPutOff while a file cannot be set; after some tries the mail goes without it.
    """
    made: list[Paper] = []
    for wanted in mail.attachments:
        try:
            with context.database.session() as session:
                setting = papers.attached(
                    session, wanted["kind"], UUID(wanted["id"]), mail.subject_id, links.of(context.settings)
                )
            made.append(setting())
        except NotFound as error:
            log.warning("a file of a mail is not there", mail=str(mail.id), error=str(error))
        except Transient as error:
            if mail.attempts < _TRIES_WITH_FILES:
                raise MailPutOff(f"its file {wanted['kind']} could not be made: {error}") from error
            log.warning("a mail goes without its file", mail=str(mail.id), error=str(error))
    return made


def _withdrawn(context: Context, mail: Claimed) -> bool:
    """Whether a mail is not to be sent any more; it is given up then, and nobody needs to mend anything."""
    with context.database.session() as session:
        reason = stale.why(session, mail)
        if reason is None:
            return False
        queue.failed(session.connection(), mail, error=reason, now=context.now(), max_attempts=0, permanent=True)
    log.info("mail withdrawn", mail=str(mail.id), reason=reason)
    return True


def _deliver(context: Context, line: Line, mail: Claimed) -> bool:
    """Send one mail and write how that ended. False when the server is away."""
    try:
        line.send(
            compose(
                mail_id=mail.id,
                mail_from=context.settings.mail_from,
                to_address=mail.to_address,
                subject=mail.subject,
                text=mail.text,
                html=mail.html,
                created_at=mail.created_at,
                sender_name=mail.sender_name,
                reply_to=mail.reply_to,
                papers=papers_of(context, mail),
            )
        )
    except ServerAway as error:
        _fail(context, mail, str(error))
        return False
    except Transient as error:
        _fail(context, mail, str(error))
    except MailRefused as error:
        _fail(context, mail, str(error), permanent=True, bounced=True)
    except Permanent as error:
        _fail(context, mail, str(error), permanent=True)
    except DBAPIError:
        raise
    except Exception as error:
        # One mail that nobody thought of must not hold up the others, nor come again for ever.
        log.exception("a mail could not be made", mail=str(mail.id))
        _fail(context, mail, f"it could not be made: {type(error).__name__}")
    else:
        with context.database.connect() as connection:
            if not queue.sent(connection, mail, context.now()):
                log.warning("a mail was sent by two workers", mail=str(mail.id))
            announce(connection, queue.told_sender(mail))
        if mail.sender_id is not None:
            context.doorbell.ring("relay")
    return True


def _fail(context: Context, mail: Claimed, error: str, *, permanent: bool = False, bounced: bool = False) -> None:
    with context.database.connect() as connection:
        outcome = queue.failed(
            connection,
            mail,
            error=error,
            now=context.now(),
            max_attempts=context.settings.max_attempts,
            permanent=permanent,
        )
        if outcome == "failed" and bounced:
            announce(connection, bounces.bounced(connection, mail.id, error, context.now()))
        if outcome == "failed" and (not bounced or mail.sender_id is None):
            # What a customer's server does not take is the sender's to mend, and theirs alone.
            announce(connection, queue.tell_operators(connection, mail, error, context.now()))
    if outcome == "failed":
        context.doorbell.ring("relay")
    # Not the address: a log is read by more people than the mail was meant for.
    log.warning("mail not sent", mail=str(mail.id), outcome=outcome, error=error)

"""Payment pages: made at the provider when a customer wants to pay, closed when what they ask for is no more open."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import urlsplit

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from connectors import registry
from connectors.base import Connector, LinkMade, LinkWanted, PaymentLinks
from core import notifications
from core.errors import MalformedPayload, NotFound, Permanent, PlatformError, Transient
from core.events import DomainEvent
from core.invoicing import links as customer_links
from core.invoicing import payment_links
from core.invoicing.payment_links import Claimed
from core.live import announce
from core.money import Money
from core.notifications import Notice
from workers.context import Context
from workers.credentials import credentials_of, custody_of
from workers.normalize import why_failed

log = structlog.get_logger(__name__)

NOTICE = "payment_link.failed"


def drain(context: Context) -> int:
    """Make or close one page; return 1, or 0 when none is due."""
    with context.database.connect() as connection:
        payment_links.retire(connection, context.now())
    with context.database.statements() as connection:
        link = payment_links.claim(connection, lease_seconds=context.settings.lease_seconds, now=context.now())
    if link is None:
        return 0
    try:
        _work(context, link)
    except (OperationalError, InterfaceError, PoolTimeout):
        # Due again when the lease ends.
        raise
    except Transient as error:
        _fail(context, link, error, wait_seconds=error.retry_after_seconds)
    except (Permanent, MalformedPayload, NotFound) as error:
        _fail(context, link, error, permanent=True)
    except (PlatformError, DBAPIError) as error:
        _fail(context, link, error)
    except Exception as error:  # A plugin's bug must not stop the others.
        log.exception("connector failed", connector=link.connector)
        _fail(context, link, error, permanent=True)
    return 1


def _work(context: Context, link: Claimed) -> None:
    connector = registry.get(link.connector)
    if (able := connector.payment_links) is None:
        raise Permanent(f"{connector.title} makes no payment pages")
    if link.state == "wanted":
        _make(context, connector, able, link)
    else:
        _close(context, connector, able, link)


def _make(context: Context, connector: Connector, able: PaymentLinks, link: Claimed) -> None:
    wanted = wanted_of(context, link)
    with context.database.session() as session:
        credentials = credentials_of(session, context.ring, link.connection_id, context.now())
    made: LinkMade = context.transport.run(
        connector,
        credentials,
        lambda known: able.create(known, wanted),
        custody=custody_of(context, link.connection_id),
    )
    check_address(made.url, allow_local=context.settings.local_providers_allowed)
    now: datetime = context.now()
    with context.database.connect() as connection:
        kept = payment_links.opened(
            connection, link, provider_id=made.provider_id, url=made.url, expires_at=made.expires_at, now=now
        )
        if kept:
            announce(connection, notifications.clear(connection, link.invoice_id, [NOTICE], now))
    context.doorbell.ring("relay")


def _close(context: Context, connector: Connector, able: PaymentLinks, link: Claimed) -> None:
    provider_id = link.provider_id
    if provider_id is not None:
        with context.database.session() as session:
            credentials = credentials_of(session, context.ring, link.connection_id, context.now())
        context.transport.run(
            connector,
            credentials,
            lambda known: able.close(known, provider_id),
            custody=custody_of(context, link.connection_id),
        )
    with context.database.connect() as connection:
        payment_links.closed(connection, link, context.now())


def wanted_of(context: Context, link: Claimed) -> LinkWanted:
    """What a provider is asked for. Its own name for it is the invoice's number, and which link of it this is."""
    page = customer_links.of(context.settings).address(link.invoice_id, link.link_version)
    return LinkWanted(
        key=str(link.id),
        reference=link.number if link.ordinal == 1 else f"{link.number}/{link.ordinal}",
        number=link.number,
        money=Money(link.amount, link.currency),
        description=f"Invoice {link.number} of {link.seller}",
        customer_name=link.customer,
        customer_email=link.customer_email,
        return_url=f"{page}?back=1",
        again=link.attempts > 1,
    )


def check_address(url: str, *, allow_local: bool) -> None:
    """Raises MalformedPayload for an address that a customer must not be sent to."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise MalformedPayload("url", "is no address") from None
    usable = parts.scheme == "https" or (parts.scheme == "http" and allow_local)
    if not usable or not parts.hostname or parts.username is not None or not url.isprintable() or len(url) > 2000:
        raise MalformedPayload("url", "is no https address")


def _fail(
    context: Context, link: Claimed, error: Exception, *, permanent: bool = False, wait_seconds: float | None = None
) -> None:
    words = str(error) if isinstance(error, PlatformError) else why_failed(error)
    now = context.now()
    with context.database.connect() as connection:
        outcome = payment_links.failed(connection, link, words, now, permanent=permanent, wait_seconds=wait_seconds)
        if outcome == "failed" and link.state == "wanted":
            announce(connection, _tell(connection, link, words, now))
    if outcome == "failed":
        context.doorbell.ring("relay")
    log.warning("no payment page", connector=link.connector, link=str(link.id), outcome=outcome, error=words)


def _tell(connection: Connection, link: Claimed, words: str, now: datetime) -> list[DomainEvent]:
    """The seller hears that a customer wanted to pay and could not."""
    title = registry.get(link.connector).title if link.connector in registry.all() else link.connector
    notice = Notice(
        user_id=link.seller_id,
        kind=NOTICE,
        subject_kind="invoice",
        subject_id=link.invoice_id,
        title=f"{link.customer} could not pay {link.number} by {title}",
        body=f"{words}. Look at the connection; your bank details stand on the invoice's page meanwhile.",
    )
    return notifications.tell(connection, notice, now)

"""Mirrors: what changed on either side is looked at, and what is behind in other books is written there."""

from __future__ import annotations

from datetime import datetime

import structlog
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from connectors import registry
from connectors.base import Connector, Credentials
from connectors.books import BookInvoice, BookLine, BookPayment, Known, Written
from core.errors import MalformedPayload, NotFound, Permanent, PlatformError, Transient
from core.mirroring import judging, pushes, writing
from core.mirroring.pushes import Claimed
from core.mirroring.writing import Job
from core.money import Money
from workers.context import Context
from workers.credentials import credentials_of, custody_of
from workers.normalize import why_failed

log = structlog.get_logger(__name__)


def able() -> list[str]:
    """Connectors that can write to their provider's books."""
    return [slug for slug, connector in registry.all().items() if connector.mirror is not None]


def drain(context: Context) -> int:
    """Look at what changed, then write to one provider's books; return how much was done, 0 when nothing was due."""
    done = _look(context)
    with context.database.statements() as connection:
        push = pushes.claim(connection, lease_seconds=context.settings.lease_seconds, now=context.now())
    if push is None:
        return done
    try:
        _write(context, push)
    except (OperationalError, InterfaceError, PoolTimeout):
        # Due again when the lease ends.
        raise
    except Transient as error:
        _fail(context, push, error, wait_seconds=error.retry_after_seconds)
    except (Permanent, MalformedPayload, NotFound) as error:
        _fail(context, push, error, permanent=True)
    except (PlatformError, DBAPIError) as error:
        _fail(context, push, error)
    except Exception as error:  # A plugin's bug must not stop the others.
        log.exception("connector failed", connector=push.connector)
        _fail(context, push, error, permanent=True)
    return done + 1


def _look(context: Context) -> int:
    with context.database.session() as session:
        taken = judging.take(session, able(), context.now())
    if taken:
        context.doorbell.ring("relay")
    return taken


def _write(context: Context, push: Claimed) -> None:
    connector: Connector = registry.get(push.connector)
    if (mirror := connector.mirror) is None:
        raise Permanent(f"{connector.title} is only read")
    with context.database.session() as session:
        job = writing.prepare(session, push, context.now())
        credentials = credentials_of(session, context.ring, push.connection_id, context.now())
    if job is None:
        return
    check_settings(connector, credentials)
    invoice = invoice_of(push, job)
    written: Written = context.transport.run(
        connector,
        credentials,
        lambda known: mirror.write(known, invoice),
        custody=custody_of(context, push.connection_id),
    )
    now: datetime = context.now()
    with context.database.session() as session:
        writing.store(session, push, job, written.record, able(), now, stopped=written.stopped, made=written.payments)
    context.doorbell.ring("relay")
    log.info("written to other books", connector=push.connector, push=str(push.id), kind=job.kind)


def check_settings(connector: Connector, credentials: Credentials) -> None:
    """Raises Permanent, naming the settings that writing needs and the connection does not have."""
    needs = connector.mirror.needs if connector.mirror else ()
    labels = {field.name: field.label for field in connector.fields}
    if missing := [labels.get(name, name) for name in needs if not credentials.settings.get(name)]:
        raise Permanent(f"to write to {connector.title} the connection needs {', '.join(missing)}")


def invoice_of(push: Claimed, job: Job) -> BookInvoice:
    """What the connector is told."""
    ours, theirs = job.ours, job.theirs
    known = None
    if theirs is not None:
        void = theirs.status == "void"
        known = Known(
            total=0 if void else theirs.total,
            due=0 if void else theirs.due,
            issued_on=theirs.issued_on,
            due_on=theirs.due_on,
            void=void,
        )
    return BookInvoice(
        key=str(push.id),
        object_id=None if theirs is None else theirs.object_id,
        known=known,
        fields=job.fields,
        number=ours.number,
        currency=ours.currency,
        issued_on=ours.issue_date,
        due_on=ours.due_date,
        customer_name=ours.customer_name,
        customer_email=ours.customer_email,
        reference=ours.reference,
        reverse_charge=ours.reverse_charge,
        lines=tuple(
            BookLine(
                words=line.words,
                quantity=line.quantity,
                unit_price=line.unit_price,
                net=line.net,
                tax=line.tax,
                tax_rate=line.tax_rate,
            )
            for line in job.lines
        ),
        rounding=ours.rounding,
        total=ours.total,
        payments=tuple(
            BookPayment(
                reference=one.reference, money=Money(one.amount, ours.currency), paid_on=one.paid_on, cash=one.cash
            )
            for one in job.payments
        ),
    )


def _fail(
    context: Context, push: Claimed, error: Exception, *, permanent: bool = False, wait_seconds: float | None = None
) -> None:
    words = str(error) if isinstance(error, PlatformError) else why_failed(error)
    with context.database.session() as session:
        outcome = writing.failed(session, push, words, context.now(), permanent=permanent, wait_seconds=wait_seconds)
    if outcome == "failed":
        context.doorbell.ring("relay")
    log.warning("not written", connector=push.connector, push=str(push.id), outcome=outcome, error=words)

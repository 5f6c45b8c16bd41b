"""Send a really signed webhook, as a provider would, and show what came of it.

    ledgerwire simulate razorpay payment.captured --invoice INV-2026-00003
    ledgerwire simulate razorpay payment.captured --invoice INV-2026-00003 --amount 1000.00
    ledgerwire simulate basiq transactions.updated --invoice INV-2026-00007

The body is a captured sample with fresh ids, signed with the connection's own secret and posted to its
public address. Basiq's webhook is only a pointer, so a local simulator answers the worker's requests.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
import requests

from config import runtime
from config.settings import InvalidSettings, Settings

if TYPE_CHECKING:
    from uuid import UUID

    from core.database import Database
    from workers.simulators.basiq import Simulator

_TIMEOUT_SECONDS = 10
_PATIENCE_SECONDS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """A connection to play the provider of, and the invoice to name."""

    connection_id: UUID
    external_id: str | None
    secret: str
    invoice: Any


@click.command("simulate")
@click.argument("provider")
@click.argument("event")
@click.option("--invoice", "number", help="Number of the invoice that the event names.")
@click.option("--amount", help="Amount in major units, such as 1000.00. Default: what the invoice still needs.")
@click.option("--narration", help="Text of the bank transaction (basiq). Default: a text that names the invoice.")
@click.option("--payment", "payment_id", help="The provider's id of the payment that a refund or dispute is about.")
@click.option("--variant", help="An awkward variant of the sample, see connectors/samples.")
@click.option("--repeat", default=1, show_default=True, help="Send the same delivery so many times.")
@click.option("--message-id", help="The provider's message id. The same id makes the same delivery again.")
@click.option("--tamper", is_flag=True, help="Change one byte after signing: the answer must be 401.")
@click.option("--to", help="Base address of another Ledgerwire; needs --secret.")
@click.option("--secret", help="Sign with this secret instead of the connection's. With --to: the platform-wide one.")
@click.option("--wait/--no-wait", default=True, help="Wait until the event is processed, and tell.")
def command(provider: str, event: str, **options: Any) -> None:
    """Send EVENT of PROVIDER to this installation, signed like the real thing."""
    try:
        _simulate(provider, event, options)
    except (runtime.NotRunning, InvalidSettings) as error:
        raise click.ClickException(str(error)) from error
    except requests.RequestException as error:
        raise click.ClickException(f"the webhook could not be sent: {type(error).__name__}") from error


def _simulate(provider: str, event: str, options: dict[str, Any]) -> None:
    from connectors import registry, samples  # noqa: PLC0415 - help must not wait for the connectors.
    from core.errors import Invalid, NotFound  # noqa: PLC0415
    from core.money import Money  # noqa: PLC0415
    from workers.simulators.sending import Changes, build_delivery  # noqa: PLC0415

    try:
        connector = registry.get(provider)
    except NotFound as error:
        known = ", ".join(registry.all())
        raise click.ClickException(f"no connector {provider!r}; there are: {known}") from error
    settings = None if options["to"] else runtime.connect()
    with _database(settings) as database:
        target = None if settings is None else _target(database, settings, provider, options["number"])
        secret = options["secret"] or (target.secret if target else None)
        if secret is None:
            raise click.ClickException("--to needs --secret, the webhook secret at that installation")
        try:
            money = _money(options["amount"], target, Money)
        except Invalid as error:
            raise click.ClickException(str(error)) from error
        changes = Changes(
            invoice_number=options["number"],
            money=money,
            external_id=target.external_id if target else None,
            payment_id=options["payment_id"],
        )
        try:
            headers, body = build_delivery(
                connector,
                connector.aliases.get(event, event),
                secret=secret,
                at=datetime.now(UTC),
                message_id=options["message_id"] or f"msg_{secrets.token_hex(12)}",
                changes=changes,
                variant=options["variant"],
                tamper=options["tamper"],
            )
        except FileNotFoundError as error:
            known = ", ".join(sorted({name for name, _ in samples.names(provider)}))
            raise click.ClickException(f"no sample of {event!r}; there are: {known}") from error
        with _provider_api(database, provider, target, changes, options["narration"], body):
            url = _url(provider, options["to"], settings, target)
            accepted = next(iter([_post(url, headers, body) for _ in range(options["repeat"])]), None)
            if accepted and options["wait"] and database is not None and settings is not None:
                _tell(database, settings, accepted)


@contextlib.contextmanager
def _database(settings: Settings | None) -> Iterator[Database | None]:
    if settings is None:
        yield None
        return
    from core.database import Database  # noqa: PLC0415

    database = Database(settings.sqlalchemy_url, pool_size=1, application_name="ledgerwire-simulate")
    try:
        yield database
    finally:
        database.dispose()


def _target(database: Database | None, settings: Settings, provider: str, number: str | None) -> _Target:
    """The connection that plays, and the invoice: of the seller who has that invoice, or of anyone."""
    from sqlalchemy import text  # noqa: PLC0415

    from core.connections import store  # noqa: PLC0415
    from core.connections.sealing import KeyRing  # noqa: PLC0415

    if database is None or settings.master_keys is None:
        raise click.ClickException("MASTER_KEYS: not set, so the connection's secret cannot be opened")
    ring = KeyRing.parse(settings.master_keys.get_secret_value())
    with database.session() as session:
        invoice = None
        if number is not None:
            invoice = session.execute(
                text(
                    "SELECT seller_id, number, amount_due, currency, status FROM invoices WHERE number = :number "
                    "ORDER BY seller_id = (SELECT id FROM users WHERE email = 'seller@demo.com') DESC LIMIT 1"
                ),
                {"number": number},
            ).one_or_none()
            if invoice is None:
                raise click.ClickException(f"there is no invoice {number}")
        row = session.execute(
            text(
                "SELECT id, external_id FROM connections WHERE connector = :connector AND deleted_at IS NULL "
                "AND (CAST(:seller AS uuid) IS NULL OR user_id = :seller) ORDER BY created_at LIMIT 1"
            ),
            {"connector": provider, "seller": None if invoice is None else invoice.seller_id},
        ).one_or_none()
        if row is None:
            raise click.ClickException(
                f"nobody is connected to {provider}: make a connection on the page Connections, or `ledgerwire seed`"
            )
        secret = store.newest_secrets(session, ring, row.id, datetime.now(UTC))["webhook_secret"]
        return _Target(connection_id=row.id, external_id=row.external_id, secret=secret, invoice=invoice)


def _money(amount: str | None, target: _Target | None, money: Any) -> Any:
    invoice = target.invoice if target else None
    currency = invoice.currency if invoice is not None else "INR"
    if amount is not None:
        return money.from_decimal(amount, currency)
    if invoice is None or invoice.amount_due == 0:
        return None
    return money(invoice.amount_due, currency)


@contextlib.contextmanager
def _provider_api(
    database: Database | None, provider: str, target: _Target | None, changes: Any, narration: str | None, body: bytes
) -> Iterator[None]:
    """Where the webhook is only a pointer, a simulator of the provider's API that knows what it points at."""
    if provider != "basiq" or database is None or target is None:
        yield
        return
    from workers.demo import set_api_base  # noqa: PLC0415

    with _basiq(changes, narration) as basiq:
        basiq.announce(body)
        with database.session() as session:
            set_api_base(session, target.connection_id, basiq.base_url)
        click.echo(f"Basiq's API is simulated at {basiq.base_url}")
        yield


def _basiq(changes: Any, narration: str | None) -> Simulator:
    from workers.simulators.basiq import SimulatedTransaction, Simulator  # noqa: PLC0415

    money = changes.money
    words = narration or (
        f"TRANSFER FOR {changes.invoice_number}" if changes.invoice_number else "TRANSFER FROM A CUSTOMER"
    )
    return Simulator(
        transactions=[
            SimulatedTransaction(
                narration=words,
                amount=str(money.to_decimal()) if money else "120.00",
                currency=money.currency if money else "AUD",
            ),
            SimulatedTransaction(narration="MONTHLY ACCOUNT FEE", amount="-10.00"),
        ]
    )


def _url(provider: str, to: str | None, settings: Settings | None, target: _Target | None) -> str:
    if to is not None:
        return f"{to.rstrip('/')}/api/connectors/{provider}/webhook"
    if settings is None or target is None:
        raise click.ClickException("nowhere to send to")
    return f"http://{settings.host}:{settings.port}/api/connectors/{provider}/webhook/{target.connection_id}"


def _post(url: str, headers: dict[str, str], body: bytes) -> str | None:
    """Post, print the answer, and return the delivery's id when it was accepted."""
    started = time.perf_counter()
    answer = requests.post(url, data=body, headers=headers, timeout=_TIMEOUT_SECONDS, allow_redirects=False)
    milliseconds = (time.perf_counter() - started) * 1000
    try:
        said = answer.json()
    except ValueError:
        said = {}
    word = said.get("status") if answer.ok else said.get("detail", "")
    click.echo(f"POST {url}\n{answer.status_code} {word} in {milliseconds:.0f} ms")
    return str(said["delivery_id"]) if answer.ok and "delivery_id" in said else None


def _tell(database: Database, settings: Settings, delivery_id: str) -> None:
    """Wait until everything in the delivery is done, and print what it did."""
    from sqlalchemy import text  # noqa: PLC0415

    query = text(
        "SELECT events.name, results.outcome, results.note, queue.state, queue.error, "
        "extract(epoch FROM results.finished_at - events.received_at) * 1000 AS milliseconds, "
        "(SELECT string_agg(DISTINCT object_kind || ' ' || effect, ', ') FROM event_effects "
        " WHERE event_id = events.id) AS effects "
        "FROM events LEFT JOIN event_results AS results ON results.event_id = events.id "
        "LEFT JOIN event_queue AS queue ON queue.event_id = events.id WHERE events.delivery_id = :id"
    )
    ends = time.monotonic() + _PATIENCE_SECONDS
    while True:
        with database.session() as session:
            rows = session.execute(query, {"id": delivery_id}).all()
        waiting = [row for row in rows if row.state in {"ready", "fetch"} and row.error is None]
        if not waiting or time.monotonic() > ends:
            break
        time.sleep(0.05)
    for row in rows:
        if row.outcome:
            click.echo(f"{row.name}: {row.outcome} after {row.milliseconds:.0f} ms: {row.note or row.effects}")
        else:
            click.echo(f"{row.name}: {row.state} {row.error or '(is the worker running?)'}")
    if not rows:
        click.echo("The event was known already: it counts once.")
    click.echo(f"Provenance: {settings.base_url}/deliveries/{delivery_id}")

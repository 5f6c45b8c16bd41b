"""Send really signed webhooks, as a provider would, and show what came of them.

    ledgerwire simulate razorpay payment.captured --invoice INV-2026-00003
    ledgerwire simulate basiq transactions.updated --invoice INV-2026-00007
    ledgerwire simulate stripe payment_intent.succeeded --count 500 --rate 50 --duplicates 1 --shuffle
    ledgerwire simulate mollie --list
    ledgerwire simulate mollie --serve

The body is a captured sample with fresh ids, signed with the connection's own secret, or with a key of the
simulator's own where the provider has one, and posted to the connection's public address. The provider's API is
simulated on this machine for as long as the events are worked on.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
import requests

from config import runtime
from config.settings import InvalidSettings, Settings

if TYPE_CHECKING:
    from connectors.base import Connector
    from core.database import Database
    from core.money import Money
    from workers.simulators.api import Provider
    from workers.simulators.playing import Player
    from workers.simulators.runs import Plan
    from workers.simulators.sending import Built

# So many deliveries are shown one by one; of more, a summary.
_FEW = 10


@click.command("simulate")
@click.argument("provider")
@click.argument("event", required=False)
@click.option("--list", "listing", is_flag=True, help="List the provider's events, and send nothing.")
@click.option("--serve", is_flag=True, help="Only simulate the provider's API, for pulls, until Ctrl-C.")
@click.option("--invoice", "number", help="Number of the invoice that the event names.")
@click.option("--amount", help="Amount in major units, such as 1000.00. Default: what the invoice still needs.")
@click.option("--currency", help="Currency of the amount. Default: the invoice's.")
@click.option("--narration", help="Text of a bank transaction. Default: a text that names the invoice.")
@click.option("--payment", "payment_id", help="The provider's id of the payment that a refund or dispute is about.")
@click.option("--variant", help="An awkward variant of the sample, see connectors/samples.")
@click.option("--count", default=1, show_default=True, type=click.IntRange(1, 100_000), help="Messages to send.")
@click.option("--rate", type=click.FloatRange(0.01, 5000), help="Deliveries a second. Default: one after the other.")
@click.option("--duplicates", default=0, type=click.IntRange(0, 1000), help="Send each so many times again.")
@click.option("--repeat", default=1, show_default=True, type=click.IntRange(1, 1000), help="Send each so many times.")
@click.option("--shuffle", is_flag=True, help="Send out of order.")
@click.option("--message-id", help="The provider's message id. The same id makes the same delivery again.")
@click.option("--tamper", is_flag=True, help="Change one byte after signing: the answer must be 401.")
@click.option("--to", help="Base address of another Ledgerwire; needs --secret.")
@click.option("--secret", help="Sign with this secret instead of the connection's. With --to: the platform-wide one.")
@click.option("--wait/--no-wait", default=True, help="Wait until the event is processed, and tell.")
def command(provider: str, event: str | None, **options: Any) -> None:
    """Send EVENT of PROVIDER to this installation, signed like the real thing."""
    from connectors import registry  # noqa: PLC0415 - help must not wait for the connectors.
    from core.errors import Conflict, Invalid, NotFound  # noqa: PLC0415
    from workers.simulators.sending import NotSigned  # noqa: PLC0415

    try:
        connector = registry.get(provider)
    except NotFound as error:
        known = ", ".join(registry.all())
        raise click.ClickException(f"no connector {provider!r}; there are: {known}") from error
    if options["listing"]:
        _list(connector)
        return
    if event is None and not options["serve"]:
        raise click.UsageError(f"which event? `ledgerwire simulate {provider} --list` lists them")
    try:
        if event is None:
            _serve(connector, options)
        else:
            _simulate(connector, _sampled(connector, event, options["variant"]), options)
    except (runtime.NotRunning, InvalidSettings, NotSigned, Invalid, Conflict) as error:
        raise click.ClickException(str(error)) from error
    except requests.RequestException as error:
        raise click.ClickException(f"the webhook could not be sent: {type(error).__name__}") from error


def _sampled(connector: Connector, event: str, variant: str | None) -> str:
    """The event's name as its sample has it. Raises ClickException where there is none."""
    from connectors import samples  # noqa: PLC0415
    from workers.simulators.places import folder_of  # noqa: PLC0415

    known = samples.names(connector.slug, folder=folder_of(connector.slug))
    name = event if (event, variant) in known else connector.aliases.get(event, event)
    if (name, variant) not in known:
        variants = [f"--variant {other}" for found, other in known if found == name and other]
        words = ", ".join(variants or sorted({found for found, _ in known}))
        raise click.ClickException(f"no sample of {event!r} {variant or ''}; there are: {words}")
    return name


def _serve(connector: Connector, options: dict[str, Any]) -> None:
    """Answer as the provider's API until the user has enough."""
    with _scene(connector, runtime.connect(), {**options, "amount": None}) as scene:
        if scene.provider is None:
            raise click.ClickException(f"{connector.title} has no API that could be simulated here")
        click.echo("It answers until Ctrl-C. `ledgerwire sync` and the connection's page pull from it.")
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


def _list(connector: Connector) -> None:
    from connectors import samples  # noqa: PLC0415
    from workers.simulators.places import folder_of  # noqa: PLC0415

    found = samples.names(connector.slug, folder=folder_of(connector.slug))
    width = max((len(name) for name, _ in found), default=0)
    for name in dict.fromkeys(name for name, _ in found):
        variants = ", ".join(variant for other, variant in found if other == name and variant)
        reason = connector.ignores(name)
        note = f"ignored: {reason}" if reason else f"variants: {variants}" if variants else ""
        click.echo(f"{name:<{width}}  {note}".rstrip())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scene:
    """Who sends what to where."""

    connector: Connector
    settings: Settings | None
    database: Database | None
    player: Player | None
    provider: Provider | None
    options: dict[str, Any]
    money: Money | None

    @property
    def url(self) -> str:
        """The address that is posted to."""
        if self.settings is None or self.player is None:
            return f"{self.options['to'].rstrip('/')}/api/connectors/{self.connector.slug}/webhook"
        return f"http://{self.settings.host}:{self.settings.port}{self.player.path}"

    @property
    def public_url(self) -> str:
        """The same as the provider was given it, which some of them sign."""
        if self.settings is None or self.player is None:
            return self.url
        return f"{self.settings.base_url}{self.player.path}"


def _simulate(connector: Connector, event: str, options: dict[str, Any]) -> None:
    from workers.simulators.runs import Plan  # noqa: PLC0415

    plan = Plan(
        count=options["count"],
        duplicates=options["duplicates"] + options["repeat"] - 1,
        rate_per_second=options["rate"],
        shuffle=options["shuffle"],
        seed=options["message_id"] or secrets.token_hex(8),
    )
    settings = None if options["to"] else runtime.connect()
    if settings is None and options["secret"] is None:
        raise click.ClickException("--to needs --secret, the webhook secret at that installation")
    with _scene(connector, settings, options) as scene:
        if scene.provider is not None:
            scene.provider.in_turn = plan.count > 1
        _send(scene, event, plan)


@contextlib.contextmanager
def _scene(connector: Connector, settings: Settings | None, options: dict[str, Any]) -> Iterator[_Scene]:
    """The connection, and a simulator of the provider's API that it asks meanwhile."""
    if settings is None:
        yield _Scene(
            connector=connector,
            settings=None,
            database=None,
            player=None,
            provider=None,
            options=options,
            money=_money(options, None),
        )
        return
    from core.database import Database  # noqa: PLC0415
    from webapp.cli.casting import cast  # noqa: PLC0415

    database = Database(settings.sqlalchemy_url, pool_size=1, application_name="ledgerwire-simulate")
    try:
        with cast(database, settings, connector, options["number"], options["secret"]) as found:
            yield _Scene(
                connector=connector,
                settings=settings,
                database=database,
                player=found.player,
                provider=found.provider,
                options=options,
                money=_money(options, found.invoice),
            )
    finally:
        database.dispose()


def _money(options: dict[str, Any], invoice: Any) -> Money | None:
    from core.money import Money  # noqa: PLC0415

    currency = (options["currency"] or (invoice.currency if invoice is not None else "INR")).upper()
    if options["amount"] is not None:
        return Money.from_decimal(options["amount"], currency)
    if invoice is None or invoice.amount_due == 0:
        return None
    return Money(invoice.amount_due, currency)


def _send(scene: _Scene, event: str, plan: Plan) -> None:
    from webapp.cli import telling  # noqa: PLC0415
    from workers.simulators.runs import post, run  # noqa: PLC0415

    since = datetime.now(UTC)
    first = scene.options["message_id"] or f"msg_{secrets.token_hex(12)}"

    def make(number: int) -> Built:
        return _build(scene, event, f"{first}-{number + 1}" if number else first)

    total = len(plan.order())
    waits = scene.options["wait"] and scene.database is not None and scene.settings is not None
    if total > _FEW or plan.rate_per_second:
        answers = run(plan, scene.url, make, tell=lambda words: click.echo(words, err=True))
        click.echo(f"POST {scene.url}\n{answers.summary()}")
        if waits and scene.player is not None:
            telling.tell_all(scene.database, scene.player.connection_id, since, echo=click.echo)
        return
    built: dict[int, Built] = {}
    told = None
    with requests.Session() as session:
        for number in plan.order():
            answer = post(session, scene.url, built.get(number) or built.setdefault(number, make(number)))
            click.echo(f"POST {scene.url}\n{answer.status} {answer.word} in {answer.milliseconds:.0f} ms")
            told = told or answer
    if not waits or told is None or told.status >= 400:
        return
    if plan.count > 1 and scene.player is not None:
        telling.tell_all(scene.database, scene.player.connection_id, since, echo=click.echo)
    elif scene.player is not None:
        telling.tell_one(
            scene.database,
            scene.settings,
            told.delivery_id or telling.newest_delivery(scene.database, scene.player.connection_id, since),
        )


def _build(scene: _Scene, event: str, message_id: str) -> Built:
    from workers.simulators.sending import Changes, build, convinces  # noqa: PLC0415

    player, options, now = scene.player, scene.options, datetime.now(UTC)
    built = build(
        scene.connector,
        event,
        secret=options["secret"] or (player.secret if player else ""),
        at=now,
        message_id=message_id,
        changes=Changes(
            invoice_number=options["number"],
            money=scene.money,
            external_id=player.external_id if player else None,
            payment_id=options["payment_id"],
            narration=options["narration"],
        ),
        variant=options["variant"],
        tamper=options["tamper"],
        url=scene.public_url,
    )
    by_itself = player is not None and not options["tamper"] and not options["secret"]
    if by_itself and player and not convinces(scene.connector, built, player.receiving, now, scene.public_url):
        raise click.ClickException(
            f"the connection believes {scene.connector.title} alone, whose key nobody else has: "
            "make another connection to play with, or give --secret"
        )
    if scene.provider is not None:
        scene.provider.tell(built)
    return built

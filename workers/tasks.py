"""The Celery tasks: each opens nothing, takes nothing, and calls one job. All are safe to run twice."""

from __future__ import annotations

from functools import lru_cache

from celery import shared_task
from celery.signals import worker_process_init, worker_process_shutdown

from connectors import registry
from workers import (
    bulk,
    fetch,
    mail,
    market,
    mirror,
    normalize,
    overdue,
    payment_links,
    pull,
    rates,
    reconcile,
    recurring,
    register,
    reminders,
    statements,
    sweep,
)
from workers.context import context
from workers.crew import Crew
from workers.doorbell import Bell
from workers.shift import shift
from workers.watch import Watch


@lru_cache(maxsize=1)
def _watch() -> Watch:
    return Watch(context())


@worker_process_init.connect
def begin(**_: object) -> None:
    """Load everything before the first event, which would otherwise wait for it, and take up the watch."""
    registry.all()
    _watch().start()


@worker_process_shutdown.connect
def end(**_: object) -> None:
    """Finish the batch in hand."""
    _watch().stop()


@shared_task(name="ledgerwire.normalize")
def normalize_events() -> int:
    """Work off events that nobody was rung for."""
    return normalize.work_off(context())


# A provider that does not answer holds whoever asks for the best part of a minute. In threads of their own they
# hold nobody else: neither the events that need no fetch, nor (until all are taken) those of other providers.
_FETCHERS = 8


@lru_cache(maxsize=1)
def _fetchers() -> Crew:
    parts = context()

    def work_off() -> None:
        shift(
            parts.doorbell,
            "fetch",
            lambda: fetch.drain(parts),
            full=fetch.BATCH,
            send_for_another=crew.call,
            linger_seconds=0.1,
        )

    crew = Crew(_FETCHERS, work_off)
    return crew


@shared_task(name="ledgerwire.fetch")
def fetch_events() -> None:
    """Have somebody work off the queue of fetches; returns at once."""
    _fetchers().call()


# Fewer than those who fetch, and none of them: what is pulled can wait, what a webhook points at should not.
_PULLERS = 4


@lru_cache(maxsize=1)
def _pullers() -> Crew:
    parts = context()

    def work_off() -> None:
        shift(
            parts.doorbell,
            "pull",
            lambda: pull.drain(parts) + register.drain(parts) + statements.drain(parts) + rates.drain(parts),
            full=1,
            send_for_another=crew.call,
            linger_seconds=0.1,
        )

    crew = Crew(_PULLERS, work_off)
    return crew


@shared_task(name="ledgerwire.pull")
def pull_lists() -> None:
    """Have somebody pull what is due, and check webhooks at their providers; returns at once."""
    _pullers().call()


@lru_cache(maxsize=1)
def _posters() -> Crew:
    parts = context()

    def work_off() -> None:
        shift(
            parts.doorbell,
            "mail",
            lambda: mail.drain(parts),
            full=mail.BATCH,
            send_for_another=crew.call,
            linger_seconds=0.1,
        )

    # One a process: a mail server likes few connections, and mail can wait a second.
    crew = Crew(1, work_off)
    return crew


@shared_task(name="ledgerwire.mail")
def send_mails() -> None:
    """Have somebody send the mails that are due; returns at once."""
    _posters().call()


# A customer waits for the page. Few at once: a gateway that is down holds one of these for the best part of a minute.
_TELLERS = 4


@lru_cache(maxsize=1)
def _tellers() -> Crew:
    parts = context()

    def work_off() -> None:
        shift(
            parts.doorbell,
            "links",
            lambda: payment_links.drain(parts),
            full=1,
            send_for_another=crew.call,
            linger_seconds=0.1,
        )

    crew = Crew(_TELLERS, work_off)
    return crew


@shared_task(name="ledgerwire.links")
def make_payment_links() -> None:
    """Have somebody make and close payment pages at their providers; returns at once."""
    _tellers().call()


@lru_cache(maxsize=1)
def _clerks() -> Crew:
    parts = context()

    def work_off() -> None:
        shift(
            parts.doorbell,
            "bulk",
            lambda: bulk.drain(parts),
            full=bulk.BATCH,
            send_for_another=crew.call,
            linger_seconds=0.1,
        )

    # One a process: a long job shall not take the whole database for itself.
    crew = Crew(1, work_off)
    return crew


@shared_task(name="ledgerwire.bulk")
def work_on_many() -> None:
    """Have somebody work off what is to be done to many invoices; returns at once."""
    _clerks().call()


# Whoever keeps a set of books allows few requests a second, so more would wait for each other.
_SCRIBES = 2


@lru_cache(maxsize=1)
def _scribes() -> Crew:
    parts = context()

    def work_off() -> None:
        shift(
            parts.doorbell,
            "mirror",
            lambda: mirror.drain(parts),
            full=1,
            send_for_another=crew.call,
            linger_seconds=0.5,
        )

    crew = Crew(_SCRIBES, work_off)
    return crew


@shared_task(name="ledgerwire.mirror")
def keep_mirrors() -> None:
    """Have somebody look at mirrored invoices and write to other books; returns at once."""
    _scribes().call()


@shared_task(name="ledgerwire.letters")
def write_letters() -> None:
    """Write the receipts and reminders that are due."""
    reminders.work_off(context())


@shared_task(name="ledgerwire.market")
def mind_the_market() -> None:
    """Do what the clock wants of financings, and seal what was posted."""
    market.work_off(context())


@lru_cache(maxsize=1)
def _judges() -> Crew:
    parts = context()

    def work_off() -> None:
        shift(
            parts.doorbell,
            "reconcile",
            lambda: reconcile.drain(parts),
            full=reconcile.BATCH,
            send_for_another=crew.call,
            linger_seconds=0.5,
        )

    # One a process: it computes, and the events that are read beside it shall have their turn.
    crew = Crew(1, work_off)
    return crew


@shared_task(name="ledgerwire.reconcile")
def reconcile_lines() -> None:
    """Have the engine judge the lines of sellers who asked; returns at once."""
    _judges().call()


_WOKEN: tuple[Bell, ...] = (
    "normalize", "fetch", "pull", "mail", "market", "reconcile", "links", "letters", "bulk",
    "mirror",
)  # fmt: skip


@shared_task(name="ledgerwire.sweep")
def look_what_is_due() -> None:
    """Ring for whatever waits: the way back for every ring that was lost."""
    parts = context()
    sweep.adopt(parts)
    due = sweep.due(parts)
    if due["relay"]:
        parts.doorbell.ring("relay")
    for bell in _WOKEN:
        if due[bell]:
            parts.wake(bell)


@shared_task(name="ledgerwire.housekeeping")
def keep_house() -> None:
    """What the clock wants: old rows, late matches, recurring and overdue invoices, reminders, the ledger's head."""
    sweep.match(context())
    recurring.work_off(context())
    overdue.work_off(context())
    reminders.work_off(context())
    sweep.keep_house(context())
    market.anchor(context())

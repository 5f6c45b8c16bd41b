"""The real thing for tests and screenshots: web, worker, relay and beat as processes over servers of their own."""

from __future__ import annotations

import base64
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import requests
from sqlalchemy import text

from config.settings import Settings, from_environment
from connectors import registry
from core.connections import store
from core.connections.sealing import KeyRing
from core.database import Database
from core.identity import Actor, users
from core.invoicing import invoices
from core.money import Money
from workers.simulators.basiq import SimulatedTransaction, Simulator
from workers.simulators.playing import set_api_base
from workers.simulators.sending import Changes, build_delivery

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "password123"
_STARTS_SECONDS = 40.0
_MODES = ("eventlet", "gevent", "threading")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(slots=True)
class Stack:
    """Processes over one database, and the ways a provider and a seller touch it."""

    database_url: str
    redis_url: str
    folder: Path
    ports: dict[str, int] = field(default_factory=lambda: {mode: _free_port() for mode in _MODES})
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    basiq: Simulator = field(default_factory=lambda: Simulator(transactions=[]))
    _database: Database | None = None

    def environment(self, mode: str = "eventlet") -> dict[str, str]:
        """The variables of a process."""
        return {
            "PATH": os.environ.get("PATH", ""),
            "HOME": os.environ.get("HOME", "/"),
            "PYTHONPATH": str(ROOT),
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "DATA_DIR": str(self.folder),
            "SECRET_KEY": "the secret key of the end-to-end tests",
            "MASTER_KEYS": "k1:" + base64.b64encode(b"\x07" * 32).decode(),
            "ASYNC_MODE": mode,
            "HOST": "127.0.0.1",
            "PORT": str(self.ports[mode]),
            "LOG_LEVEL": "WARNING",
        }

    @property
    def settings(self) -> Settings:
        """The settings that the processes run with."""
        return from_environment(self.environment())

    @property
    def database(self) -> Database:
        """The test's own way into the database."""
        if self._database is None:
            self._database = Database(self.settings.sqlalchemy_url, pool_size=2, application_name="e2e")
        return self._database

    def url(self, mode: str = "eventlet") -> str:
        """Where a web process listens."""
        return f"http://127.0.0.1:{self.ports[mode]}"

    def run(self, name: str, module: str, mode: str = "eventlet") -> None:
        """Start a process; what it says goes to a file of its name."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", module], cwd=ROOT, env=self.environment(mode), stdout=log, stderr=log
            )

    def web(self, mode: str = "eventlet") -> str:
        """Have a web process of this runtime, and return its address when it answers."""
        name = f"web-{mode}"
        if name not in self.processes:
            self.run(name, "webapp.serve", mode)
        ends = time.monotonic() + _STARTS_SECONDS
        while True:
            try:
                if requests.get(f"{self.url(mode)}/api/health", timeout=2).ok:
                    return self.url(mode)
            except requests.RequestException:
                pass
            if time.monotonic() > ends or self.processes[name].poll() is not None:
                raise AssertionError(f"{name} does not answer:\n" + (self.folder / f"{name}.log").read_text()[-3000:])
            time.sleep(0.1)

    def kill(self, name: str) -> None:
        """End a process without a warning."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait(10)

    def start(self) -> None:
        """Load the demo data, then start web, worker, relay and beat."""
        code = "from config.settings import load; from workers import demo; demo.load(load())"
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=self.environment(), check=True, capture_output=True)
        self.basiq.start()
        with self.database.session() as session:
            set_api_base(session, self.connection("basiq"), self.basiq.base_url)
        self.run("worker", "workers.serve")
        self.run("relay", "workers.relay")
        self.run("beat", "workers.beat")
        self.web()

    def stop(self) -> None:
        """End everything."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(6)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)
        self.basiq.stop()
        if self._database is not None:
            self._database.dispose()

    # A provider -------------------------------------------------------------------------------------------------

    def connection(self, connector: str) -> UUID:
        """The demo seller's connection to a provider."""
        with self.database.session() as session:
            query = text(
                "SELECT id FROM connections WHERE connector = :slug AND deleted_at IS NULL ORDER BY id LIMIT 1"
            )
            found = session.execute(query, {"slug": connector}).scalar_one()
        return UUID(str(found))

    def send(
        self,
        connector: str,
        event: str,
        *,
        number: str | None = None,
        minor: int | None = None,
        currency: str = "INR",
        message_id: str = "",
        tamper: bool = False,
    ) -> requests.Response:
        """Post a really signed delivery, as the provider would."""
        identity = self.connection(connector)
        keys = self.settings.master_keys
        assert keys is not None
        with self.database.session() as session:
            ring = KeyRing.parse(keys.get_secret_value())
            secret = store.newest_secrets(session, ring, identity, datetime.now(UTC))["webhook_secret"]
            query = text("SELECT external_id FROM connections WHERE id = :id")
            external = session.execute(query, {"id": identity}).scalar_one()
        headers, body = build_delivery(
            registry.get(connector),
            event,
            secret=secret,
            at=datetime.now(UTC),
            message_id=message_id or f"msg_{secrets.token_hex(12)}",
            changes=Changes(
                invoice_number=number,
                money=None if minor is None else Money(minor, currency),
                external_id=external,
            ),
            tamper=tamper,
        )
        if connector == "basiq":
            self.basiq.announce(body)
        address = f"{self.url()}/api/connectors/{connector}/webhook/{identity}"
        return requests.post(address, data=body, headers=headers, timeout=10)

    def bank_shows(self, *transactions: SimulatedTransaction) -> None:
        """What the bank's API lists from now on."""
        self.basiq.show(transactions)

    # A seller ---------------------------------------------------------------------------------------------------

    def person(self, email: str = "seller@demo.com") -> Actor:
        """A person of the demo."""
        with self.database.session() as session:
            account = users.find_account(session, email)
        assert account is not None
        return account.actor

    def invoice(
        self, amount: int = 1_000_00, currency: str = "INR", email: str = "buyer@demo.com"
    ) -> Mapping[str, Any]:
        """A new invoice of the demo seller."""
        today = datetime.now(UTC).date()
        with self.database.session() as session:
            new = invoices.NewInvoice(
                contact_name="Rao Retail",
                contact_email=email,
                currency=currency,
                issue_date=today,
                due_date=today + timedelta(days=30),
                items=[invoices.NewItem(description="Cotton", quantity=Decimal(1), unit_price=amount)],
            )
            return invoices.create(session, self.person(), new, datetime.now(UTC))

"""What was refused is judged again: by the secrets of today, and the age it had when it came."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from connectors import registry
from core.errors import Conflict, NotFound
from core.identity import Role, users
from core.ids import new_id
from tests.webapp.gate import GENERIC, LIMIT, Address, Gate, expect, platform_body, said, sized
from webapp.amends import verify_again

NEW_SECRET = registry.get("standard_webhooks").signature.new_secret()


def refused(gate: Gate) -> UUID:
    return UUID(str(gate.rows("SELECT id FROM quarantine ORDER BY id DESC LIMIT 1")[0]["id"]))


def again(gate: Gate, address: Address, refused_id: UUID | None = None) -> int:
    with gate.app.app_context():
        found = verify_again(address.owner, refused_id or refused(gate), datetime.now(UTC))
    return int(found["new_events"])


def test_a_delivery_that_a_wrong_secret_refused_is_accepted_once_the_secret_is_mended(gate: Gate) -> None:
    address = gate.connect()
    expect(gate.say(address, said(), message_id="evt_1", secret=NEW_SECRET), 401)
    with pytest.raises(Conflict, match="still refused"):
        again(gate, address)
    assert gate.kept() == (0, 0, 1)
    gate.replace_secret(address, NEW_SECRET)
    assert again(gate, address) == 1
    assert gate.kept() == (1, 1, 0)
    assert gate.queue() == [("ready", address.id)]
    # The provider, which was told 401, sends it again: it is known.
    expect(gate.say(address, said(), message_id="evt_1", secret=NEW_SECRET), 200)
    assert gate.count("events") == 1


def age(gate: Gate, refused_id: UUID, by: timedelta) -> None:
    with gate.parts.database.connect() as connection:
        connection.execute(
            text("UPDATE quarantine SET received_at = received_at + :by WHERE id = :id"), {"by": by, "id": refused_id}
        )


def test_its_age_is_judged_at_its_arrival(gate: Gate) -> None:
    address = gate.connect()
    gate.replace_secret(address, NEW_SECRET)
    body, sent = said(), datetime.now(UTC) - timedelta(days=3)
    old = GENERIC.sign(body, NEW_SECRET, at=sent, message_id="evt_1").headers
    expect(gate.send(address.path, body, old), 401)
    kept = refused(gate)
    with pytest.raises(Conflict, match="timestamp"):
        again(gate, address, kept)
    # Had it arrived when it was sent, it would have been fresh.
    age(gate, kept, timedelta(days=-3))
    assert again(gate, address, kept) == 1


def test_an_altered_body_stays_refused_whatever_is_mended(gate: Gate) -> None:
    address = gate.connect()
    headers = GENERIC.sign(said(), address.secret, at=datetime.now(UTC), message_id="evt_1").headers
    expect(gate.send(address.path, said(note="altered"), headers), 401)
    with pytest.raises(Conflict, match="still refused"):
        again(gate, address)
    assert gate.kept() == (0, 0, 1)


def test_a_body_that_was_not_kept_whole_cannot_be_judged(gate: Gate) -> None:
    address = gate.connect()
    expect(gate.say(address, sized(LIMIT), secret=NEW_SECRET), 401)
    with gate.parts.database.connect() as connection:
        connection.execute(text("UPDATE quarantine SET body = substr(body, 1, 100)"))
    with pytest.raises(Conflict, match="kept whole"):
        again(gate, address)


def test_a_body_that_no_connector_reads_stays_where_it_is(gate: Gate) -> None:
    address = gate.connect()
    expect(gate.say(address, b"{}"), 400)
    with pytest.raises(Conflict, match="still unreadable"):
        again(gate, address)


def test_after_the_connection_was_removed_there_is_nobody_to_judge_for(gate: Gate) -> None:
    address = gate.connect()
    expect(gate.say(address, said(), secret=NEW_SECRET), 401)
    kept = refused(gate)
    with gate.parts.database.connect() as connection:
        connection.execute(text("UPDATE connections SET deleted_at = now() WHERE id = :id"), {"id": address.id})
    with pytest.raises(Conflict, match="removed"):
        again(gate, address, kept)


def test_what_came_to_the_platforms_address_is_judged_by_its_secrets(gate: Gate) -> None:
    address = gate.connect(account="acc_1")
    headers, body = platform_body(secret=NEW_SECRET, account_id="acc_1")
    expect(gate.send("/api/connectors/standard_webhooks/webhook", body, headers), 401)
    kept = refused(gate)
    with gate.parts.database.session() as session:
        operator = users.register(
            session,
            email=f"{new_id()}@house.test",
            name="Op",
            role=Role.OPERATOR,
            password_hash="-",
            now=datetime.now(UTC),
        )
    with gate.app.app_context(), pytest.raises(NotFound):
        verify_again(address.owner, kept, datetime.now(UTC))
    with gate.app.app_context(), pytest.raises(Conflict, match="still refused"):
        verify_again(operator, kept, datetime.now(UTC))


def test_twice_is_once(gate: Gate) -> None:
    address = gate.connect()
    expect(gate.say(address, said(), secret=NEW_SECRET), 401)
    gate.replace_secret(address, NEW_SECRET)
    kept = refused(gate)
    assert again(gate, address, kept) == 1
    with pytest.raises(NotFound):
        again(gate, address, kept)
    assert gate.kept() == (1, 1, 0)

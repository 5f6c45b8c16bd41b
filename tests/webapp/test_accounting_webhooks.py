"""How accounting systems check an address, at the door: Xero's intent to receive, Apideck's question, Intuit's list."""

from __future__ import annotations

import base64
import hmac
import json

from connectors import samples
from tests.webapp.gate import Address, Gate

HANDSHAKE = b'{"events":[],"firstEventSequence": 0,"lastEventSequence": 0, "entropy": "S0m3r4Nd0mt3xt"}'
QUESTION = b'{"message":"Validating delivery URL"}'


def sealed(address: Address, body: bytes) -> str:
    return base64.b64encode(hmac.digest(address.secret.encode(), body, "sha256")).decode()


def test_xeros_intent_to_receive_is_answered_200_and_401_without_a_word(gate: Gate) -> None:
    address = gate.connect("xero")
    right = sealed(address, HANDSHAKE)
    wrong = ("/" if right[0] != "/" else "A") + right[1:]
    for path in (address.path, address.opaque_path):
        reply = gate.send(path, HANDSHAKE, {"x-xero-signature": right, "Content-Type": "application/json"})
        assert (reply.status_code, reply.data) == (200, b"")
        assert "Set-Cookie" not in reply.headers
        for headers in ({"x-xero-signature": wrong}, {"x-xero-signature": ""}, {}):
            refused = gate.send(path, HANDSHAKE, headers)
            assert refused.status_code == 401
            assert "Set-Cookie" not in refused.headers
    assert gate.rows("SELECT * FROM events") == []


def test_an_event_of_xero_goes_to_the_organisation_that_it_names(gate: Gate) -> None:
    mine = gate.connect("xero", account="c2cc9b6e-9458-4c7d-93cc-f02b81b0594f")
    other = gate.connect("xero", account="aef86862-2015-4b6b-88bc-d89032cecc50")
    body = samples.load("xero", "INVOICE.UPDATE", "several_organisations")
    assert gate.send(mine.path, body, {"x-xero-signature": sealed(mine, body)}).data == b""
    rows = gate.rows("SELECT name, connection_id::text FROM events ORDER BY item_index")
    # The other organisation is somebody else's: an address of one person never reaches another's books.
    assert [(row["name"], row["connection_id"]) for row in rows] == [
        ("INVOICE.UPDATE", mine.id),
        ("CREDITNOTE.CREATE", None),
        ("CONTACT.UPDATE", mine.id),
    ]
    assert other.id not in {row["connection_id"] for row in rows}


def test_apidecks_question_is_answered_and_opens_no_way_round_the_signature(gate: Gate) -> None:
    address = gate.connect("apideck")
    kind = {"x-apideck-event-type": "apideck.subscription.created"}
    reply = gate.send(address.path, QUESTION, kind)
    assert (reply.status_code, reply.data) == (200, b"")
    event = samples.load("apideck", "vault.connection.revoked")
    assert gate.send(address.path, event, kind).status_code == 401
    both = json.dumps({**json.loads(QUESTION), **json.loads(event)}).encode()
    assert gate.send(address.path, both, kind).status_code == 401
    assert gate.rows("SELECT * FROM events") == []
    digest = hmac.digest(address.secret.encode(), event, "sha256").hex()
    assert gate.send(address.path, event, {"x-apideck-signature": digest}).status_code == 200
    assert len(gate.rows("SELECT * FROM events")) == 1


def test_a_list_of_cloud_events_is_taken_whatever_its_content_type(gate: Gate) -> None:
    address = gate.connect("quickbooks", account="310687")
    body = samples.load("quickbooks", "invoice.updated", "batch")
    headers = {"intuit-signature": sealed(address, body), "Content-Type": "application/cloudevents+json"}
    assert gate.send(address.path, body, headers).status_code == 200
    rows = gate.rows("SELECT name, connection_id::text FROM events ORDER BY item_index")
    assert [(row["name"], row["connection_id"]) for row in rows] == [
        ("class.created", address.id),
        ("invoice.updated", address.id),
        ("payment.created", None),
    ]
    # Sent again, it is acknowledged again and brings nothing new.
    assert gate.send(address.path, body, headers).status_code == 200
    assert len(gate.rows("SELECT * FROM events")) == 3

"""M-PESA: unsigned notices, and the list that proves them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors import registry, samples
from connectors.base import Credentials, Fetch, Page, Registration, Request
from connectors.contract import deliver
from connectors.payload import micros
from core.errors import MalformedPayload, Permanent, Transient
from core.events import Payment, PaymentStatus, Record, Reference, Trust
from core.money import Money
from tests.connectors.asking import hold

connector = registry.get("mpesa")
# Shortly after what the samples tell, in Kenyan time 12:13:25 on 21 November 2023.
TOLD = datetime(2023, 11, 21, 9, 13, 25, tzinfo=UTC)
NOW = TOLD + timedelta(minutes=2)
Json = dict[str, Any]


def credentials(asked_at: datetime = NOW, **changes: Any) -> Credentials:
    given: Json = {
        "secrets": {"consumer_key": "key", "consumer_secret": "secret", "passkey": "pass"},
        "settings": {},
        "external_id": "600966",
        "asked_at": asked_at,
    }
    return Credentials(**{**given, **changes})


class Recorded:
    """The API as recorded: two pages and the end."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.pages = [json.loads(samples.api("mpesa", f"payments_{one}")) for one in ("page_1", "page_2", "end")]
        self.push: Json = json.loads(samples.api("mpesa", "push_query"))

    def __call__(self, request: Request) -> Json:
        self.asked.append(request)
        if "stkpush" in request.url:
            return self.push
        assert isinstance(request.json, dict)
        page: Json = self.pages[{"0": 0, "2": 1}.get(request.json["OffSetValue"], 2)]
        return page

    def rows(self) -> list[Json]:
        return [row for page in self.pages for row in page["Response"][0]]


def fetch(
    name: str, reply: Callable[[Request], object], *, change: Callable[[Json], None] = lambda _: None, **given: Any
) -> list[Record]:
    event, _, variant = name.partition("__")
    said = json.loads(samples.load("mpesa", event, variant or None))
    change(said)
    delivery = deliver({}, json.dumps(said).encode())
    (found,) = connector.open(delivery, connector.verify(delivery, []))
    reading = connector.read(found.name, found.item)
    assert isinstance(reading, Fetch)
    records: list[Record] = hold(reading.talk(credentials(**given)), reply)
    return records


def test_nothing_is_proven_by_a_notice() -> None:
    assert connector.verify(deliver({}, samples.load("mpesa", "stk.paid")), []).trust is Trust.HINT
    assert connector.opaque_address


def test_a_confirmation_becomes_the_payment_that_the_short_codes_list_tells() -> None:
    api = Recorded()
    assert fetch("c2b.confirmation", api) == [
        Payment(
            object_id="RKL51ZDR4F",
            version=micros(NOW),
            status=PaymentStatus.SUCCEEDED,
            money=Money(500, "KES"),
            occurred_at=TOLD,
            references=(Reference(0, "INV-2026-0042"),),
            method="c2b-pay-bill-debit",
            payer_name="A CUSTOMER",
            bank_reference="RKL51ZDR4F",
        )
    ]
    # Kenyan local time, a quarter of an hour to each side.
    assert api.asked[0].json == {
        "ShortCode": "600966",
        "StartDate": "2023-11-21 11:58:25",
        "EndDate": "2023-11-21 12:28:25",
        "OffSetValue": "0",
    }


def test_a_payment_on_a_later_page_is_found() -> None:
    api = Recorded()
    (paid,) = fetch("c2b.confirmation__till_whole_shillings", api)
    assert isinstance(paid, Payment)
    assert (paid.money, paid.references) == (Money(1000, "KES"), ())
    assert len(api.asked) == 2


@pytest.mark.parametrize("name", ["stk.paid", "stk.paid__text_in_another_order"])
def test_a_push_is_asked_for_and_then_found_in_the_list_under_the_same_receipt(name: str) -> None:
    api = Recorded()
    (paid,) = fetch(name, api)
    assert isinstance(paid, Payment)
    assert (paid.object_id, paid.money, paid.references) == (
        "NLJ7RT61SV",
        Money(100, "KES"),
        (Reference(0, "INV-2026-0042"),),
    )
    assert [request.url for request in api.asked] == ["/mpesa/stkpushquery/v1/query", "/pulltransactions/v1/query"]


def test_the_password_of_a_push_query_is_the_published_one() -> None:
    sandbox = "bfb279f9aa9bdbcf158e97dd71a467cd2e0c893059b10f78e6b72ada1ed2c919"
    api, asked_at = Recorded(), datetime(2021, 6, 28, 6, 24, 8, tzinfo=UTC)

    def change(said: Json) -> None:
        said["Body"]["stkCallback"]["CallbackMetadata"]["Item"][2]["Value"] = 20210628092400

    fetch("stk.paid", api, change=change, asked_at=asked_at, external_id="174379", secrets={"passkey": sandbox})
    assert isinstance(api.asked[0].json, dict)
    assert api.asked[0].json["Timestamp"] == "20210628092408"
    assert api.asked[0].json["Password"] == (
        "MTc0Mzc5YmZiMjc5ZjlhYTliZGJjZjE1OGU5N2RkNzFhNDY3Y2QyZTBjODkzMDU5YjEwZjc4ZTZiNzJhZGExZWQyYzkxOTIwMjEwNjI4MDkyNDA4"
    )


@pytest.mark.parametrize("told", [{"ResultCode": "1032"}, {"CheckoutRequestID": "ws_CO_other"}])
def test_a_push_that_the_api_does_not_call_paid_is_refused(told: Json) -> None:
    api = Recorded()
    api.push |= told
    with pytest.raises(MalformedPayload):
        fetch("stk.paid", api)


def test_another_amount_than_the_listed_one_is_refused() -> None:
    with pytest.raises(MalformedPayload, match="amount of the callback"):
        fetch("c2b.confirmation", Recorded(), change=lambda said: said.update(TransAmount="5000.00"))


def test_a_payment_to_another_short_code_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(MalformedPayload, match="BusinessShortCode"):
        fetch("c2b.confirmation", lambda _: pytest.fail("asked"), external_id="600000")


def test_a_receipt_that_is_not_listed_by_either_clock_is_looked_for_again() -> None:
    api = Recorded()
    with pytest.raises(Transient, match="not yet"):
        fetch("c2b.confirmation", api, change=lambda said: said.update(TransID="RKL00000XX"))
    begun = [request.json["StartDate"] for request in api.asked if isinstance(request.json, dict)]
    assert sorted(set(begun), reverse=True) == ["2023-11-21 11:58:25", "2023-11-21 08:58:25"]


def test_a_list_that_is_kept_by_utc_is_read_all_the_same() -> None:
    api = Recorded()

    def reply(request: Request) -> Json:
        assert isinstance(request.json, dict)
        early = request.json["StartDate"] < "2023-11-21 09"
        return api(request) if early else {"ResponseCode": "1001", "Response": [[]]}

    (paid,) = fetch("c2b.confirmation", reply)
    assert isinstance(paid, Payment)
    assert paid.object_id == "RKL51ZDR4F"


@pytest.mark.parametrize("later", [timedelta(hours=49), timedelta(days=-2)])
def test_a_payment_outside_of_the_listed_time_is_given_up(later: timedelta) -> None:
    with pytest.raises(Permanent, match="48 hours"):
        fetch("c2b.confirmation", lambda _: pytest.fail("asked"), asked_at=TOLD + later)


def test_a_list_without_end_is_refused() -> None:
    row = Recorded().rows()[0]
    with pytest.raises(MalformedPayload, match="does not end"):
        fetch("c2b.confirmation", lambda _: {"ResponseCode": "1000", "Response": [[row]]})


def test_a_reversal_moves_nothing_and_says_what_to_do() -> None:
    with pytest.raises(Permanent, match=r"give back 1\.00 KES of SKC82PACB8.*by hand"):
        fetch("result.reversal", lambda _: pytest.fail("asked"))


def test_a_row_that_is_no_customers_payment_confirms_nothing() -> None:
    api = Recorded()
    for row in api.rows():
        row["transactiontype"] = "organization-withdrawal"
    with pytest.raises(Transient):
        fetch("c2b.confirmation", api)


@pytest.mark.parametrize(
    ("sample", "name"),
    [
        ("c2b.validation", "c2b.validation"),
        ("stk.failed", "stk.failed"),
        ("result.failed", "result.failed"),
        ("result.status", "result.status"),
    ],
)
def test_what_moves_no_money_is_ignored_for_a_reason(sample: str, name: str) -> None:
    (event,) = connector.open(deliver({}, samples.load("mpesa", sample)), connector.verify(deliver({}, b""), []))
    assert event.name == name
    assert connector.read(event.name, event.item) is None
    assert connector.ignores(event.name)


def test_an_unknown_result_is_neither_mapped_nor_ignored() -> None:
    said = json.loads(samples.load("mpesa", "result.status"))
    said["Result"]["ResultParameters"]["ResultParameter"] = [{"Key": "B2CWorkingAccountAvailableFunds", "Value": 1}]
    (event,) = connector.open(deliver({}, json.dumps(said).encode()), connector.verify(deliver({}, b""), []))
    assert (event.name, connector.ignores(event.name)) == ("result.other", None)


def test_a_question_is_answered_and_a_payment_is_not_taken_for_one() -> None:
    assert connector.challenge is not None
    answer = connector.challenge(deliver({}, samples.load("mpesa", "c2b.validation")), ())
    assert answer is not None
    assert json.loads(answer.body) == {"ResultCode": "0", "ResultDesc": "Accepted"}
    for body in (samples.load("mpesa", "c2b.confirmation"), samples.load("mpesa", "stk.paid"), b'{"TransID":', b"[1]"):
        assert connector.challenge(deliver({}, body), ()) is None
    assert connector.accepted is not None
    assert json.loads(connector.accepted.body) == {"ResultCode": 0, "ResultDesc": "Success"}


def test_a_forged_notice_does_not_use_up_the_identity_of_the_real_one() -> None:
    real = samples.load("mpesa", "c2b.confirmation")
    forged = real.replace(b'"5.00"', b'"6.00"')
    ids = [
        event.id
        for body in (real, forged, real)
        for event in connector.open(deliver({}, body), connector.verify(deliver({}, body), []))
    ]
    assert ids[0] == ids[2] != ids[1]


def pull(cursor: str | None, reply: Callable[[Request], object], since: datetime = NOW - timedelta(days=9)) -> Page:
    assert connector.pull is not None
    page: Page = hold(connector.pull.talk(credentials(), cursor, since), reply)
    return page


def test_a_pull_reads_on_from_its_cursor_and_begins_the_next_one_a_little_earlier() -> None:
    api, cursor, records = Recorded(), None, []
    while True:
        page = pull(cursor, api)
        records += [one.object_id for one in page.records]
        cursor = page.cursor
        if not page.more:
            break
    assert records == ["NLJ7RT61SV", "RKL51ZDR4F", "RKL51ZDR4G"]
    assert [request.json["OffSetValue"] for request in api.asked if isinstance(request.json, dict)] == ["0", "2", "3"]
    # However far back it is asked for, 48 hours are listed.
    assert isinstance(api.asked[0].json, dict)
    assert api.asked[0].json["StartDate"] == "2023-11-19 12:15:25"
    assert cursor == (NOW - timedelta(hours=1)).isoformat()
    again = Recorded()
    pull(cursor, again)
    assert isinstance(again.asked[0].json, dict)
    assert again.asked[0].json["StartDate"] == "2023-11-21 11:15:25"


@pytest.mark.parametrize("empty", [[[]], "[[]]", []])
def test_an_empty_list_is_empty_however_it_is_written(empty: object) -> None:
    page = pull(None, lambda _: {"ResponseCode": "1001", "Response": empty})
    assert (page.records, page.more) == ([], False)


def register(url: str, reply: Callable[[Request], object], **settings: str) -> Registration:
    assert connector.register is not None
    made: Registration = hold(connector.register(credentials(settings=settings), url), reply)
    return made


@pytest.mark.parametrize(
    ("told", "state"),
    [({"ResponseStatus": "1000"}, "created"), ({"ResponseStatus": "1001"}, "kept"), ({"ResponseCode": 1001}, "kept")],
)
def test_the_short_code_is_registered_to_be_listed(told: Json, state: str) -> None:
    asked: list[Request] = []

    def reply(request: Request) -> object:
        asked.append(request)
        return told

    address = "https://ledgerwire.example/api/hooks/AbC"
    assert register(address, reply, nominated_number="254700000000").state == state
    assert [(request.url, request.json) for request in asked] == [
        (
            "/pulltransactions/v1/register",
            {
                "ShortCode": "600966",
                "RequestType": "Pull",
                "NominatedNumber": "254700000000",
                "CallBackURL": address,
            },
        )
    ]


def test_without_a_nominated_number_nothing_is_asked() -> None:
    with pytest.raises(Permanent, match="nominated number"):
        register("https://ledgerwire.example/api/hooks/AbC", lambda _: pytest.fail("asked"))


@pytest.mark.parametrize("word", ["mpesa", "M-PESA", "Safaricom", "exec", "CMD", "sql", "Query"])
def test_an_address_with_a_forbidden_word_is_not_registered(word: str) -> None:
    with pytest.raises(Permanent, match="refuses addresses"):
        register(f"https://ledgerwire.example/api/hooks/{word}", lambda _: pytest.fail("asked"))


def test_a_registration_that_was_refused_is_no_success() -> None:
    with pytest.raises(Permanent, match="did not register"):
        register("https://l.example/x", lambda _: {"ResponseCode": "500003"}, nominated_number="254700000000")


@pytest.mark.parametrize("life", [3599, "3599", "soon"])
def test_a_token_is_asked_for_with_key_and_secret(life: object) -> None:
    assert connector.api is not None
    asked: list[Request] = []

    def reply(request: Request) -> object:
        asked.append(request)
        return {"access_token": "t", "expires_in": life}

    made = hold(connector.api.authorize(credentials()), reply)
    assert asked[0].headers["Authorization"] == "Basic a2V5OnNlY3JldA=="
    assert made.headers == {"Authorization": "Bearer t"}
    assert made.expires_in_seconds == (60 if life == "soon" else 3599)

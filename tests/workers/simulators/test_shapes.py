"""New values keep the form of old ones, and bodies of every kind are changed by path."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from core.money import Money
from workers.simulators import script
from workers.simulators.bodies import taken_apart
from workers.simulators.script import Changes, Story
from workers.simulators.shapes import fresh_id, restated_amount, restated_currency, restated_time

AT = datetime(2026, 11, 3, 9, 5, 7, 123456, tzinfo=UTC)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (1567674606, 1793696707),
        ("1567674606", "1793696707"),
        (1567674606000, 1793696707123),
        (1567674606000000, 1793696707123456),
        ("2026-11-03T01:02:03+11:00", "2026-11-03T20:05:07+11:00"),
        ("2026-11-03T01:02:03+1100", "2026-11-03T20:05:07+1100"),
        ("2020-01-01T00:00:00.000Z", "2026-11-03T09:05:07.123Z"),
        ("2020-01-01T00:00:00Z", "2026-11-03T09:05:07Z"),
        ("2022-10-20 13:13:10", "2026-11-03 12:05:07"),
        ("2022-10-20 13:13:10 UTC", "2026-11-03 09:05:07 UTC"),
        ("2022-10-20T13:13", "2026-11-03T12:05"),
        ("2022-10-20", "2026-11-03"),
        (20191219102115, 20261103120507),
        ("20191219", "20261103"),
        ("/Date(1439434356790+0000)/", "/Date(1793696707123+0000)/"),
        ("yesterday", "yesterday"),
        (None, None),
        (7, 7),
    ],
)
def test_a_time_is_restated_in_the_form_that_stands_there(old: Any, new: Any) -> None:
    assert restated_time(old, AT, ZoneInfo("Africa/Nairobi")) == new


@pytest.mark.parametrize(
    ("old", "money", "minor", "new"),
    [
        (100, Money(12_345, "EUR"), True, 12_345),
        ("100", Money(12_345, "EUR"), True, "12345"),
        ("1.00", Money(12_345, "EUR"), False, "123.45"),
        ("-124.69", Money(12_345, "EUR"), False, "-123.45"),
        (-72.1, Money(12_345, "EUR"), False, -123.45),
        ("5000", Money(7, "JPY"), False, "7"),
        ("129.500", Money(1_234, "KWD"), False, "1.234"),
        (0, Money(12_345, "EUR"), True, 0),
        ("", Money(12_345, "EUR"), False, ""),
        (None, Money(12_345, "EUR"), False, None),
        (True, Money(12_345, "EUR"), True, True),
    ],
)
def test_an_amount_keeps_its_form_and_its_sign(old: Any, money: Money, minor: bool, new: Any) -> None:
    restated = restated_amount(old, money, minor=minor)
    assert (restated, type(restated)) == (new, type(new))


def test_a_currency_keeps_its_case() -> None:
    assert (restated_currency("usd", "EUR"), restated_currency("USD", "EUR")) == ("eur", "EUR")


@pytest.mark.parametrize(
    ("old", "prefix"),
    [
        ("pay_DESlfW9H8K9uqM", "pay_"),
        ("WH-58D329510W468432D-8HN650336L201105X", "WH-"),
        ("PM00008Q30R2BR", "PM"),
        ("ws_CO_191220191020363925", "ws_CO_"),
        ("5371f102-35cf-5b9d-b9ca-68af762a14b9", ""),
        ("61723", ""),
        ("evt_1", "evt_"),
        ("6shqtp", ""),
    ],
)
def test_an_id_keeps_its_kind_and_is_another_for_another_message(old: str, prefix: str) -> None:
    made = {fresh_id(f"msg_{number}", old) for number in range(2000)}
    assert len(made) == 2000
    assert fresh_id("msg_1", old) == fresh_id("msg_1", old)
    assert all(one.startswith(prefix) and one != old for one in made)
    assert all(one.isdigit() for one in made) == old.isdigit()


JSON = b"""{"id": "evt_old1", "list": [{"n": 41, "name": "Amount", "v": "1.00"}, {"name": "Time", "v": 20191219102115}],
 "link": "https://api.example/things/evt_old1?x=evt_old12", "notes": [], "none": null, "kinds": ["a", "b"]}"""


def test_paths_lead_through_objects_lists_and_named_entries() -> None:
    body = taken_apart(JSON)
    assert [slot.get() for slot in body.slots("list.*.name")] == ["Amount", "Time"]
    assert [slot.get() for slot in body.slots("list.name=Time.v")] == [20191219102115]
    assert [slot.get() for slot in body.slots("list.0.v")] == ["1.00"]
    assert body.slots("list.9.v") == body.slots("no.such") == body.slots("id.deeper") == []


def test_a_last_key_is_made_below_an_object_and_never_at_the_root() -> None:
    body = taken_apart(JSON)
    for path in ("notes.invoice", "none.invoice", "list.0.invoice", "invoice", "missing.invoice"):
        for slot in body.slots(path, create=True):
            slot.set("INV-1")
    said = taken_apart(body.to_bytes())
    assert said.slots("notes.invoice")[0].get() == said.slots("list.0.invoice")[0].get() == "INV-1"
    assert said.slots("invoice") == said.slots("missing") == []
    assert said.slots("none")[0].get() is None


def test_a_word_is_taken_out_of_a_list_by_itself() -> None:
    body = taken_apart(JSON)
    for slot in body.slots("kinds.a"):
        slot.drop()
    assert body.slots("kinds")[0].get() == ["b"]


def test_ids_are_replaced_in_links_and_numbers_and_never_inside_a_word() -> None:
    body = taken_apart(JSON)
    body.rename({"evt_old1": "evt_new", "41": "42"})
    assert body.slots("link")[0].get() == "https://api.example/things/evt_new?x=evt_old12"
    assert body.slots("list.0.n")[0].get() == 42


def test_forms_and_xml_are_changed_alike() -> None:
    form = taken_apart(b"id=tr_7UhSN1zuXS&note=")
    form.rename({"tr_7UhSN1zuXS": "tr_new"})
    assert form.to_bytes() == b"id=tr_new&note="
    xml = taken_apart(b"<n><kind>k</kind><subject><tx><id>abc</id><amount>1.00</amount></tx></subject></n>")
    xml.rename({"abc": "def"})
    for slot in xml.slots("subject/tx/amount"):
        slot.set("2.00")
    for slot in xml.slots("subject.tx.order", create=True):
        slot.set("INV-1")
    assert xml.to_bytes().endswith(
        b"<n><kind>k</kind><subject><tx><id>def</id><amount>2.00</amount><order>INV-1</order></tx></subject></n>"
    )


def test_a_slip_of_the_pen_in_a_script_is_told() -> None:
    with pytest.raises(ValueError, match="ammount"):
        script.parse({"ammount": ["a"]})
    with pytest.raises(ValueError, match="frsh"):
        script.parse({"except": {"refund.*": {"frsh": []}}})


def test_what_a_pattern_names_is_told_otherwise() -> None:
    known = script.parse({"amount": ["a:minor", "b:major"], "minor": True, "except": {"zero.*": {"amount": []}}})
    story = Story(script=known, message_id="m", at=AT, changes=Changes(money=Money(150, "EUR")))
    assert story.told(b'{"a": 1, "b": "1.00"}', "one.made").to_bytes() == b'{"a":150,"b":"1.50"}'
    assert story.told(b'{"a": 1, "b": "1.00"}', "zero.made").to_bytes() == b'{"a":1,"b":"1.00"}'


def test_an_earlier_payment_is_named_and_not_restated() -> None:
    known = script.parse({"fresh": ["refund.id", "payment.id"], "payment": ["refund.of"], "earlier": ["payment"]})
    story = Story(script=known, message_id="m", at=AT, changes=Changes(payment_id="pay_1"))
    told = story.told(b'{"refund": {"id": "rf_1", "of": "pay_0"}, "payment": {"id": "pay_0"}}', "refund.made")
    assert told.slots("payment") == []
    assert told.slots("refund.of")[0].get() == "pay_1"
    assert told.slots("refund.id")[0].get() != "rf_1"

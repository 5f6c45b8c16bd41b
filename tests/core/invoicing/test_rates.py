"""Exchange rates: which one holds on a day, what they make of an amount, and what files of them are read."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from core.errors import Forbidden, Invalid, NotFound
from core.identity import Actor, Role
from core.ids import new_id
from core.invoicing import rate_files, rates
from core.invoicing.rates import FRESH_DAYS, MAX_RATES, Rate
from core.money import MAX_MINOR, exponent
from tests.builders import NOW, Clockwork, add_seller

DAY = date(2026, 11, 20)


def rate(value: str = "84.12", *, currency: str = "USD", home: str = "INR", day: date = DAY) -> Rate:
    return Rate(currency=currency, home=home, day=day, rate=Decimal(value))


def test_the_newest_rate_holds_for_so_many_days_and_no_longer(session: Session, seller: Actor) -> None:
    rates.write(session, seller, [rate("84"), rate("83", day=DAY - timedelta(days=3))], "hand", NOW)

    def on(days: int) -> Decimal | None:
        return rates.rate_on(session, seller.id, "USD", "INR", DAY + timedelta(days=days))

    assert [on(days) for days in (-4, -3, -1, 0, 1, FRESH_DAYS, FRESH_DAYS + 1)] == [
        None, 83, 83, 84, 84, 84, None,
    ]  # fmt: skip
    assert rates.rate_on(session, seller.id, "INR", "INR", DAY) == 1
    assert rates.rate_on(session, new_id(), "USD", "INR", DAY) is None


def test_a_pair_is_known_both_ways_round_and_the_newer_holds(session: Session, seller: Actor) -> None:
    rates.write(session, seller, [rate("0.0125", currency="INR", home="USD")], "hand", NOW)
    assert rates.rate_on(session, seller.id, "USD", "INR", DAY) == 80
    rates.write(session, seller, [rate("79", day=DAY - timedelta(days=1))], "hand", NOW)
    assert rates.rate_on(session, seller.id, "USD", "INR", DAY) == 80
    rates.write(session, seller, [rate("81")], "hand", NOW)
    assert rates.rate_on(session, seller.id, "USD", "INR", DAY) == 81


def test_many_are_asked_for_at_once_with_the_same_answers(session: Session, seller: Actor) -> None:
    turned = rate("2", currency="INR", home="JPY")
    rates.write(session, seller, [rate("84"), rate("90", currency="EUR"), turned], "csv", NOW)
    days = [DAY + timedelta(days=days) for days in (-1, 0, 9, 11)]
    asked = [(currency, day) for currency in ("USD", "EUR", "JPY", "INR", "GBP") for day in days]
    one_by_one = {pair: rates.rate_on(session, seller.id, pair[0], "INR", pair[1]) for pair in asked}
    assert rates.rates_on(session, seller.id, "INR", asked) == {
        pair: found for pair, found in one_by_one.items() if found is not None
    }
    assert rates.rates_on(session, seller.id, "INR", []) == {}


@given(
    minor=st.integers(-MAX_MINOR, MAX_MINOR),
    value=st.decimals("0.000000000001", "100000000000", places=12),
    pair=st.sampled_from([("USD", "INR"), ("JPY", "INR"), ("INR", "JPY"), ("KWD", "JPY"), ("JPY", "KWD")]),
)
def test_an_amount_is_rounded_half_up_once(minor: int, value: Decimal, pair: tuple[str, str]) -> None:
    exact = Fraction(abs(minor)) * Fraction(value) * Fraction(10) ** (exponent(pair[1]) - exponent(pair[0]))
    whole = (exact + Fraction(1, 2)).__floor__()
    assert rates.convert(minor, *pair, value) == (whole if minor >= 0 else -whole)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        pytest.param(rate("0"), "rate", id="nothing"),
        pytest.param(rate("-1"), "rate", id="below nothing"),
        pytest.param(rate("NaN"), "rate", id="no number"),
        pytest.param(rate("0.0000000000001"), "rate", id="13 decimals"),
        pytest.param(rate("100000000001"), "rate", id="above the most"),
        pytest.param(rate(currency="ABC"), "currency", id="no currency"),
        pytest.param(rate(home="ABC"), "home", id="no home"),
        pytest.param(rate(currency="INR"), "currency", id="itself"),
        pytest.param(rate(day=date(1989, 12, 31)), "day", id="too early"),
        pytest.param(rate(day=date(2200, 1, 1)), "day", id="too late"),
    ],
)
def test_what_is_no_rate_is_named(given: Rate, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        rates.check(given)
    assert refused.value.field == field


def test_rates_at_the_limits_are_kept(session: Session, seller: Actor) -> None:
    edges = [
        rate("0.000000000001"),
        rate("100000000000", currency="EUR"),
        rate("1", day=date(1990, 1, 1)),
        rate("1", day=date(2199, 12, 31)),
    ]
    assert rates.write(session, seller, [rates.check(one) for one in edges], "hand", NOW).added == 4
    shown = {(one["currency"], one["day"]): one["rate"] for one in rates.list_rates(session, seller)["items"]}
    assert shown["USD", DAY] == "0.000000000001"
    assert shown["EUR", DAY] == "100000000000"


def test_a_repeat_changes_nothing_and_a_provider_does_not_overrule_a_person(session: Session, seller: Actor) -> None:
    def write(value: str, source: rates.Source) -> tuple[int, int, int]:
        done = rates.write(session, seller, [rate(value)], source, NOW)
        return done.added, done.changed, done.unchanged

    assert write("80", "provider") == (1, 0, 0)
    assert write("80", "provider") == (0, 0, 1)
    assert write("81", "provider") == (0, 1, 0)
    assert write("82", "hand") == (0, 1, 0)
    assert write("83", "provider") == (0, 0, 1)
    assert rates.rate_on(session, seller.id, "USD", "INR", DAY) == 82
    assert write("84", "csv") == (0, 1, 0)
    # Of several for one day in one file the last one holds.
    assert rates.write(session, seller, [rate("1"), rate("2")], "csv", NOW).changed == 1
    assert rates.rate_on(session, seller.id, "USD", "INR", DAY) == 2
    rates.remove(session, seller, currency="USD", home="INR", day=DAY, now=NOW)
    assert rates.rate_on(session, seller.id, "USD", "INR", DAY) is None
    with pytest.raises(NotFound):
        rates.remove(session, seller, currency="USD", home="INR", day=DAY, now=NOW)


def test_rates_are_their_sellers_and_an_operator_reads_them(
    context: Clockwork, session: Session, seller: Actor
) -> None:
    rates.write(session, seller, [rate()], "hand", NOW)
    with pytest.raises(Forbidden):
        rates.write(session, add_seller(context, Role.OPERATOR), [rate()], "hand", NOW)
    assert rates.list_rates(session, add_seller(context))["items"] == []
    assert rates.list_rates(session, add_seller(context, Role.OPERATOR))["items"]


def test_the_list_is_read_in_pages(session: Session, seller: Actor) -> None:
    given = [rate(currency=code, day=DAY + timedelta(days=days)) for code in ("USD", "EUR") for days in range(3)]
    rates.write(session, seller, given, "csv", NOW)
    found, cursor = [], None
    for _ in range(3):
        page = rates.list_rates(session, seller, limit=2, cursor=cursor)
        found += [(one["day"], one["currency"]) for one in page["items"]]
        cursor = page["next_cursor"]
    assert cursor is None
    assert found == sorted(((one.day, one.currency) for one in given), key=lambda pair: (-pair[0].toordinal(), pair[1]))
    assert len(rates.list_rates(session, seller, currency="EUR")["items"]) == 3
    for wrong in ("x", page_of("2026-13-01"), page_of("2026-11-20", user="me")):
        with pytest.raises(Invalid, match="cursor"):
            rates.list_rates(session, seller, cursor=wrong)


def page_of(day: str, user: str = "0192f0c1-0000-7000-8000-000000000000") -> str:
    from core import paging

    return paging.spell_places([day, "USD", "INR", user])


def test_a_csv_file_is_read_whatever_its_order_and_separator() -> None:
    for text in (
        "day,currency,rate\n2026-11-20,usd,84.12\n\n2026-11-21, EUR ,90\n",
        "\ufeffRate;Date;Currency\r\n84.12;2026-11-20;USD\r\n90;2026-11-21;EUR\r\n",
        'currency\tto\tday\trate\nUSD\tINR\t2026-11-20\t"84.12"\nEUR\t\t2026-11-21\t90',
    ):
        read, kind = rate_files.read(text.encode(), "INR")
        assert (kind, read.errors) == ("csv", [])
        assert read.rates == [rate(), rate("90", currency="EUR", day=date(2026, 11, 21))]


def test_each_wrong_line_of_a_csv_file_is_named() -> None:
    read = rate_files.read_csv(
        b"day,currency,rate\n2026-11-20,USD,84.12\n2026-02-30,USD,84\n2026-11-20,ABC,84\n2026-11-20,USD\n"
        b"2026-11-20,USD,1e3\n20.11.2026,USD,84\n2026-11-20,INR,1\n",
        "INR",
    )
    assert len(read.rates) == 1
    assert [line for line, _ in read.errors] == [3, 4, 5, 6, 7, 8]
    assert [words.split(":")[0] for _, words in read.errors] == ["day", "currency", "rate", "rate", "day", "currency"]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"day,currency,rate\n", id="no line"),
        pytest.param(b"2026-11-20,USD,84\n", id="no heading"),
        pytest.param(b"day,currency,rate\n\xff\xfe", id="not UTF-8"),
        pytest.param(b"day,currency,rate\n2026-11-20,\x00,1", id="a NUL"),
        pytest.param(b'day,currency,rate\n"2026', id="a quote without end"),
        pytest.param(b"<html>", id="broken XML"),
        pytest.param(b"<html></html>", id="other XML"),
        pytest.param(b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>', id="entities"),
        pytest.param(b'<?xml version="1.0" encoding="nonsense"?><x/>', id="an encoding that is none"),
    ],
)
def test_what_is_no_file_of_rates_is_refused(content: bytes) -> None:
    with pytest.raises(Invalid) as refused:
        rate_files.read(content, "INR")
    assert refused.value.field == "file"


def test_a_file_holds_so_many_rates_and_no_more() -> None:
    line = b"2026-11-20,USD,84\n"
    assert len(rate_files.read_csv(b"day,currency,rate\n" + line * MAX_RATES, "INR").rates) == MAX_RATES
    with pytest.raises(Invalid, match="at most"):
        rate_files.read_csv(b"day,currency,rate\n" + line * (MAX_RATES + 1), "INR")


ECB = b"""<?xml version="1.0" encoding="UTF-8"?>
<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01"
 xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">
 <gesmes:subject>Reference rates</gesmes:subject>
 <gesmes:Sender><gesmes:name>European Central Bank</gesmes:name></gesmes:Sender>
 <Cube><Cube time='2026-11-20'><Cube currency='USD' rate='1.1'/><Cube currency='INR' rate='99'/>
 <Cube currency='XYZ' rate='3'/></Cube>
 <Cube time='2026-11-19'><Cube currency='USD' rate='1.2'/><Cube currency='INR' rate='96'/></Cube></Cube>
</gesmes:Envelope>"""


def test_the_central_banks_file_is_crossed_to_the_home_currency() -> None:
    read, kind = rate_files.read(ECB, "INR")
    assert kind == "provider"
    assert sorted((one.day.day, one.currency, one.rate) for one in read.rates) == [
        (19, "EUR", Decimal(96)),
        (19, "USD", Decimal(80)),
        (20, "EUR", Decimal(99)),
        (20, "USD", Decimal(90)),
    ]
    euros, _ = rate_files.read(ECB, "EUR")
    assert {(one.day.day, one.currency): one.rate for one in euros.rates}[20, "USD"] == Decimal("0.909090909091")
    with pytest.raises(Invalid, match="has no rate of KES"):
        rate_files.read(ECB, "KES")


@pytest.mark.parametrize("home", ["INR", "USD"])
def test_rates_of_the_central_bank_beyond_all_are_none(home: str) -> None:
    huge, tiny = b"'" + b"9" * 31 + b"'", b"'0." + b"0" * 28 + b"1'"
    with pytest.raises(Invalid, match=f"has no rate of {home} on 2026-11-20"):
        rate_files.read(ECB.replace(b"'99'", huge).replace(b"'1.1'", tiny), home)


def test_a_rate_of_the_central_bank_that_is_no_number_is_refused() -> None:
    with pytest.raises(Invalid):
        rate_files.read(ECB.replace(b"'1.1'", b"'many'"), "INR")
    with pytest.raises(Invalid):
        rate_files.read(ECB.replace(b"2026-11-20", b"yesterday"), "INR")

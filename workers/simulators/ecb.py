"""The European Central Bank's reference rates, made up: the same on every day for everybody, and plausible at a glance.

As the bank does, it has one file of the newest working day and one of the ninety days before it, and none of weekends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final

from workers.simulators.api import Answer

_WORTH: Final = {
    "USD": "1.0855", "JPY": "168.20", "GBP": "0.8432", "CHF": "0.9388", "AUD": "1.6605", "CAD": "1.5190",
    "CNY": "7.8310", "INR": "91.4350", "SGD": "1.4560", "KRW": "1511.40", "BRL": "6.2210", "ZAR": "19.6400",
}  # fmt: skip
_DAYS: Final = {"/eurofxref-daily.xml": 1, "/eurofxref-hist-90d.xml": 90}
_SATURDAY = 5


def _today() -> date:
    return datetime.now(UTC).date()


@dataclass(frozen=True, slots=True)
class Bank:
    """Answers for the bank. `today` is what day it is there."""

    today: Callable[[], date] = _today
    slug: str = "ecb"

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """One of the two files."""
        del headers, body
        count = _DAYS.get(target)
        if method != "GET" or count is None:
            return Answer.error(404, "no such file")
        return Answer(content=document(self.today(), count).encode(), content_type="text/xml")


def document(today: date, count: int) -> str:
    """The file of the working days among the `count` days up to the newest working day, the newest first."""
    newest = today - timedelta(days=max(0, today.weekday() - _SATURDAY + 1))
    days = [newest - timedelta(days=back) for back in range(count)]
    cubes = "".join(_cube(day) for day in days if day.weekday() < _SATURDAY)
    return (
        '<?xml version="1.0" encoding="UTF-8"?><gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01" '
        'xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref"><gesmes:subject>Reference rates</gesmes:subject>'
        "<gesmes:Sender><gesmes:name>Simulated bank, made-up rates</gesmes:name></gesmes:Sender>"
        f"<Cube>{cubes}</Cube></gesmes:Envelope>"
    )


def _cube(day: date) -> str:
    # A little up, a little down, within two in a hundred.
    rates = "".join(
        f'<Cube currency="{code}" rate="{_moved(Decimal(worth), day.toordinal() + place * 7)}"/>'
        for place, (code, worth) in enumerate(_WORTH.items())
    )
    return f'<Cube time="{day.isoformat()}">{rates}</Cube>'


def _moved(worth: Decimal, step: int) -> Decimal:
    return (worth * (1 + Decimal((step * 37) % 41 - 20) / 1000)).quantize(Decimal("0.0001"))

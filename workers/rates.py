"""Exchange rates of the European Central Bank are fetched for the sellers who want them. Safe to run twice, and late.

One file serves all of a round: that of the day, and that of ninety days for who has none or missed some.
"""

from __future__ import annotations

import structlog

from core.errors import Invalid, Permanent, PlatformError, Transient
from core.invoicing import rate_feeds, rate_files
from core.invoicing.rate_feeds import Due
from core.invoicing.rates import Rate
from workers.context import Context

log = structlog.get_logger(__name__)

DAILY, QUARTER = "/eurofxref-daily.xml", "/eurofxref-hist-90d.xml"
# Ninety days of thirty currencies are a tenth of it.
MOST_BYTES = 1_000_000


def drain(context: Context) -> int:
    """Fetch for those who are due; return how many sellers. Zero means that nothing is due."""
    with context.database.connect() as connection:
        due = rate_feeds.claim(connection, context.now())
    if not due:
        return 0
    files: dict[str, bytes] = {}
    for each in due:
        try:
            found = _found(context, each, files)
        except (Transient, Permanent, Invalid) as error:
            words = _why(error)
            log.warning("rates were not fetched", user=str(each.user_id), error=words[:300])
            with context.database.session() as session:
                rate_feeds.failed(session, each, words, context.now())
        else:
            with context.database.session() as session:
                rate_feeds.came(session, each, found, context.now())
    context.doorbell.ring("relay")
    return len(due)


def _why(error: PlatformError) -> str:
    if not isinstance(error, Invalid):
        return str(error)
    return f"the file {error.message}" if error.field == "file" else f"the file has a wrong {error.field}"


def _found(context: Context, due: Due, files: dict[str, bytes]) -> list[Rate]:
    """The rates that a seller is to have. Raises Transient, Permanent or Invalid."""
    found = _read(context, DAILY, due.home, files)
    if not rate_feeds.behind(due.newest_day, max(one.day for one in found)):
        return found
    return [*_read(context, QUARTER, due.home, files), *found]


def _read(context: Context, path: str, home: str, files: dict[str, bytes]) -> list[Rate]:
    if path not in files:
        files[path] = context.transport.file("ecb", context.settings.rates_base, path, most_bytes=MOST_BYTES)
    return rate_files.read_ecb(files[path], home).rates

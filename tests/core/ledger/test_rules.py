"""Every rule of the ledger, on a database that helps and on one that believes everything."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.core.ledger.desk import Desk
from tests.core.ledger.rules import ALONE, AT_ONCE


@pytest.mark.parametrize("rule", ALONE, ids=lambda rule: rule.__name__)
def test_one_at_a_time(desk: Desk, rule: Callable[[Desk], None]) -> None:
    rule(desk)


@pytest.mark.parametrize("rule", AT_ONCE, ids=lambda rule: rule.__name__)
def test_all_at_once(desk: Desk, rule: Callable[[Desk], None]) -> None:
    rule(desk)

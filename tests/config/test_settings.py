"""Settings: every limit, and messages that name the variable and never a secret."""

from __future__ import annotations

import base64

import pytest

from config.settings import InvalidSettings, Settings, from_environment

SECRET = "planted-secret-planted-secret-planted"
RING = "k1:" + base64.b64encode(bytes(32)).decode()


def bounded() -> list[tuple[str, str, int]]:
    """(variable, side, limit) of every number that has a limit."""
    return [
        (name.upper(), side, getattr(rule, side))
        for name, field in Settings.model_fields.items()
        for rule in field.metadata
        for side in ("ge", "le")
        if getattr(rule, side, None) is not None
    ]


@pytest.mark.parametrize(("variable", "side", "limit"), bounded(), ids=str)
def test_a_number_is_taken_up_to_its_limit_and_not_past_it(variable: str, side: str, limit: int) -> None:
    inwards = 1 if side == "ge" else -1
    for value in (limit, limit + inwards):
        assert getattr(from_environment({variable: str(value)}), variable.lower()) == value
    with pytest.raises(InvalidSettings, match=f"^{variable}: "):
        from_environment({variable: str(limit - inwards)})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        pytest.param("PORT", "http", id="not a number"),
        pytest.param("DATABASE_URL", "mysql://localhost/x", id="another database"),
        pytest.param("REDIS_URL", "amqp://localhost", id="another queue"),
        pytest.param("DATABASE_NAME", "Ledger-Wire", id="a name that needs quoting"),
        pytest.param("DATABASE_NAME", "a" * 64, id="a name PostgreSQL would cut"),
        pytest.param("ASYNC_MODE", "twisted", id="another runtime"),
        pytest.param("DEMO_MODE", "perhaps", id="not a switch"),
        pytest.param("SECRET_KEY", "s" * 31, id="a short key"),
        pytest.param("MASTER_KEYS", "k1:short", id="a short master key"),
        pytest.param("MASTER_KEYS", f"{RING},k2", id="a second key without a value"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_with_its_name(variable: str, value: str) -> None:
    with pytest.raises(InvalidSettings, match=f"^{variable}: "):
        from_environment({variable: value})


def test_every_bad_variable_is_named_at_once() -> None:
    with pytest.raises(InvalidSettings) as raised:
        from_environment({"PORT": "0", "LOG_LEVEL": "LOUD"})
    assert [line.split(":")[0] for line in str(raised.value).splitlines()] == ["PORT", "LOG_LEVEL"]


@pytest.mark.parametrize("variable", ["SECRET_KEY", "MASTER_KEYS", "DATABASE_URL", "REDIS_URL"])
def test_a_refused_secret_is_not_in_the_message(variable: str) -> None:
    with pytest.raises(InvalidSettings) as raised:
        from_environment({variable: "planted", "PORT": "0"})
    assert "planted" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_secrets_are_not_in_the_repr() -> None:
    found = from_environment(
        {"SECRET_KEY": SECRET, "MASTER_KEYS": RING, "RAZORPAY_WEBHOOK_SECRET": f"{SECRET},older-{SECRET}"}
    )
    assert SECRET not in repr(found) + str(found)
    assert RING not in repr(found) + str(found)


def test_provider_secrets_are_split_newest_first() -> None:
    found = from_environment({"RAZORPAY_WEBHOOK_SECRET": "new, old ,"})
    assert found.webhook_secrets("razorpay") == ("new", "old")
    assert found.webhook_secrets("basiq") == ()


def test_an_empty_variable_means_not_set() -> None:
    assert from_environment({"DATABASE_URL": "", "PORT": " "}).port == 5000


def test_a_setting_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        from_environment({}).port = 1  # type: ignore[misc]


def test_each_client_gets_its_own_form_of_an_address() -> None:
    found = from_environment({"DATABASE_URL": "postgres://u@h/n", "REDIS_URL": "unix:///run/v.sock?db=3"})
    assert found.sqlalchemy_url == "postgresql+psycopg://u@h/n"
    assert found.libpq_url == "postgresql://u@h/n"
    assert found.celery_broker_url == "redis+socket:///run/v.sock?db=3"


def test_production_needs_keys_of_its_own() -> None:
    production = {"DEMO_MODE": "0", "DATABASE_URL": "postgresql://h/n"}
    with pytest.raises(InvalidSettings, match="SECRET_KEY and MASTER_KEYS"):
        from_environment(production)
    assert not from_environment({**production, "SECRET_KEY": SECRET, "MASTER_KEYS": RING}).demo_mode

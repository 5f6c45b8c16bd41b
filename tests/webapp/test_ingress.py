"""The ingress: webhooks and health checks, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from core.database import Database
from tests.webapp.configured import settings_for
from webapp.app import create_app


@pytest.fixture
def client(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[FlaskClient]:
    settings = settings_for(database_url, tmp_path, REDIS_URL=redis_url)
    database = Database(settings.sqlalchemy_url, pool_size=2)
    yield create_app(settings, database=database, role="ingress").test_client()
    database.dispose()


def test_it_takes_webhooks(client: FlaskClient) -> None:
    refused = client.post("/api/connectors/razorpay/webhook", data=b"{}")
    assert refused.status_code == 401
    assert refused.content_type == "application/problem+json"


def test_it_tells_its_health(client: FlaskClient) -> None:
    assert client.get("/api/health").status_code == 200
    assert client.get("/api/health/ready").status_code == 200


@pytest.mark.parametrize("path", ["/", "/login", "/dashboard", "/api/invoices", "/api/auth/login", "/socket.io/"])
@pytest.mark.parametrize("accept", ["text/html", "application/json", "*/*"])
def test_it_has_nothing_else_and_says_so_as_a_problem_document(client: FlaskClient, path: str, accept: str) -> None:
    answer = client.get(path, headers={"Accept": accept})
    assert answer.status_code == 404
    assert answer.content_type == "application/problem+json"

"""What lets a connection in at its provider: the fields it is typed into, and how requests are authorised with it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping

from connectors.base import Authorization, AuthorizationTalk, Credentials, Field, Request

DAY = 86_400


def secret(name: str, label: str, help: str = "", *, required: bool = False) -> Field:  # noqa: A002  # As in Field.
    """A form field whose value is kept encrypted and never shown again."""
    return Field(name=name, label=label, help=help, secret=True, required=required)


def setting(name: str, label: str, help: str = "", *, required: bool = False) -> Field:  # noqa: A002  # As in Field.
    """A form field whose value may be shown."""
    return Field(name=name, label=label, help=help, required=required)


def fixed(
    headers: Callable[[Credentials], Mapping[str, str]], *, seconds: int = DAY
) -> Callable[[Credentials], AuthorizationTalk]:
    """An `Api.authorize` for headers that are known without asking anybody."""

    def authorize(credentials: Credentials) -> AuthorizationTalk:
        yield from ()
        return Authorization(headers=headers(credentials), expires_in_seconds=seconds)

    return authorize


def bearer(name: str, *, seconds: int = DAY, **more: str) -> Callable[[Credentials], AuthorizationTalk]:
    """An `Api.authorize` that sends a secret as it is. `more` are constant headers, with _ for - in their names."""
    constant = {header.replace("_", "-"): value for header, value in more.items()}
    return fixed(lambda held: {**token(held.secret(name)), **constant}, seconds=seconds)


def token(text: str) -> dict[str, str]:
    """The header of a bearer token."""
    return {"Authorization": f"Bearer {text}"}


def basic(user: str, password: str) -> dict[str, str]:
    """The header of a name and password."""
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


def client(credentials: Credentials) -> dict[str, str]:
    """The header of an app's client id, a setting, and its client secret. Raises CredentialsRefused."""
    return basic(credentials.settings.get("client_id", ""), credentials.secret("client_secret"))


def trade(url: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None) -> AuthorizationTalk:
    """Trade a grant for a bearer token, as OAuth has it. A refresh token that is replaced comes as `renewed`."""
    request = Request(method="POST", url=url, form=form, headers=headers or {}, authorized=False)
    given = (yield request).payload()
    used = form.get("refresh_token")
    fresh = given.optional_text("refresh_token") if used else None
    return Authorization(
        headers=token(given.text("access_token")),
        expires_in_seconds=given.integer("expires_in"),
        renewed={"refresh_token": fresh} if fresh and fresh != used else {},
    )

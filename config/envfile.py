"""Files of environment variables: reading `.env`, and writing `.env.example` from the settings.

`python -m config.envfile` writes the example; a test says when it is out of date.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

from pydantic_core import PydanticUndefined

from config.settings import Settings

EXAMPLE = Path(__file__).resolve().parent.parent / ".env.example"

_HEAD = """\
# Every setting of Ledgerwire, with its default. Copy to .env and take the # away from what you change.
# Made from config/settings.py by `python -m config.envfile`; a variable of the shell comes before .env.
"""

_PROVIDERS = """
# Webhook secret of a provider, the same for all its connections; several comma-separated while rotating.
#RAZORPAY_WEBHOOK_SECRET=

# Address of a provider's API, where it differs from the connector's own.
#BASIQ_API_BASE=
"""


def example() -> str:
    """The text of `.env.example`."""
    parts = [_HEAD]
    for name, field in Settings.model_fields.items():
        if field.exclude:
            continue
        lines = textwrap.wrap(field.description or "", width=108)
        default = "" if field.default in (None, PydanticUndefined) else field.default
        value = int(default) if isinstance(default, bool) else default
        parts.append("\n".join([*(f"# {line}" for line in lines), f"#{name.upper()}={value}"]) + "\n")
    return "\n".join(parts) + _PROVIDERS


def read(path: Path) -> dict[str, str]:
    """The variables of a `.env` file; none when it does not exist. Quotes around a value are taken off."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    values = {}
    for line in text.splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if not equals or name.startswith("#"):
            continue
        value = value.strip()
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        values[name.strip()] = value
    return values


if __name__ == "__main__":
    EXAMPLE.write_text(example(), encoding="utf-8")

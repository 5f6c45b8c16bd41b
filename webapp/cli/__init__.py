"""The command line `ledgerwire`.

A command is a module of this package with a click command named `command`; the first line of its docstring
is what `--help` shows. Only the module that is called gets imported, so that help stays fast.
"""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from typing import cast

import click

from config import __version__

_HERE = Path(__file__).parent


class _Lazy(click.Group):
    """A group that finds its commands as modules."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(path.stem.replace("_", "-") for path in _HERE.glob("[a-z]*.py"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"{__name__}.{cmd_name.replace('-', '_')}")
        return cast("click.Command", module.command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, _summary(name)) for name in self.list_commands(ctx)])


def _summary(name: str) -> str:
    source = (_HERE / f"{name.replace('-', '_')}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ledgerwire")
def main() -> None:
    """Ledgerwire: verified webhooks from banks and payment gateways, turned into live, double-entry books."""

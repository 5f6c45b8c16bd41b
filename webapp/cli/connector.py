"""List connectors, start a new one, and say what one still lacks.

ledgerwire connector list
ledgerwire connector new acme --scheme timestamped-hmac --folder ~/ledgerwire-acme
ledgerwire connector check acme
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from connectors.base import Connector
    from connectors.levels import Subject

# The names of connectors.scaffold.SCHEMES: help must not wait for the connectors.
SCHEMES = (
    "hmac",
    "timestamped-hmac",
    "hmac-and-timestamp",
    "hmac-and-address",
    "standard-webhooks",
    "static-secret",
    "unsigned",
)


@click.group("connector")
def command() -> None:
    """Connectors to providers."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
def list_connectors(*, as_json: bool) -> None:
    """Every connector that is installed, one a line."""
    from connectors import ranks, registry  # noqa: PLC0415

    rows = [
        {
            "slug": slug,
            "title": found.title,
            "level": ranks.published().get(slug),
            "events": len(found.events),
            "brings": list(found.brings),
            "pull": found.pull.what if found.pull else None,
            "registers": found.register is not None,
        }
        for slug, found in registry.all().items()
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    click.echo(f"{'slug':20} {'title':20} {'level':7} {'events':>6}  pulls  registers")
    for row in rows:
        pulls, registers = "yes" if row["pull"] else "-", "yes" if row["registers"] else "-"
        click.echo(
            f"{row['slug']:20} {row['title']:20} {row['level'] or '-':7} {row['events']:>6}  {pulls:5}  {registers}"
        )
    for label, reason in registry.refused().items():
        click.echo(f"left out: {label} {reason}", err=True)


@command.command("new")
@click.argument("slug")
@click.option("--scheme", type=click.Choice(SCHEMES), required=True, help="How the provider signs.")
@click.option("--title", help="The provider's name as people write it. Default: from the slug.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write a package of its own there, found through its entry point. Default: into this source tree.",
)
def new_connector(slug: str, scheme: str, title: str | None, folder: Path | None) -> None:
    """Write a connector that works at once, to be filled in where it says TODO.

    SLUG is its short name: small letters, digits and _.
    """
    from connectors import levels, scaffold  # noqa: PLC0415
    from core.errors import PlatformError  # noqa: PLC0415

    if folder is None and not (levels.ROOT / "tests" / "connectors").is_dir():
        raise click.ClickException("this installation has no source tree: give --folder")
    try:
        written = scaffold.new(slug, scheme, title=title, folder=folder, root=levels.ROOT)
    except PlatformError as error:
        raise click.ClickException(str(error)) from error
    for path in written:
        click.echo(f"wrote {path}")
    if folder is None:
        rank_again(levels.ROOT)
        click.echo(
            f"\nNow fill in what says TODO, run `python -m pytest tests/connectors -k {slug}`,\n"
            f"and ask `ledgerwire connector check {slug}` what is missing."
        )
    else:
        click.echo(
            f"\nNow, in {folder}: `pip install --no-deps --no-build-isolation -e .` and `python -m pytest`;\n"
            f"fill in what says TODO, and ask `ledgerwire connector check {slug}` what is missing."
        )


def rank_again(root: Path) -> None:
    """Put the connectors of a source tree into the table of levels, in a process that knows the new one."""
    subprocess.run([sys.executable, "-m", "connectors.levels", "--write", "--quick"], cwd=root, check=True)


@command.command("check")
@click.argument("slug")
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The package of a connector that is not installed.",
)
def check_connector(slug: str, folder: Path | None) -> None:
    """Say in words what a connector still lacks. Ends with 1 where something essential does."""
    from connectors import levels  # noqa: PLC0415

    subject, files = _subject(slug, folder)
    for case, reason in subject.broken.items():
        click.echo(f"broken   {case.replace('_', ' ')}: {reason[:300]}")
    left = [f"{path.name}:{number}: {line}" for path in files for number, line in _unfinished(path)]
    for one in left:
        click.echo(f"todo     {one}")
    made_up = _made_up(subject)
    for name in made_up:
        click.echo(f"todo     samples/{slug}/{name} is still the made-up one: keep a real body, without people's data")
    found = levels.verdicts(subject)
    for rule in levels.RULES:
        if not found[rule.name] and rule.name != "contract":
            click.echo(f"{'missing' if rule.level == 'bronze' else rule.level:8} {rule.name}: {rule.missing}")
        elif isinstance(found[rule.name], str):
            click.echo(f"none     {rule.name}: {found[rule.name]}")
    level = levels.level_of(found)
    click.echo(f"{subject.connector.title}: {level or 'no level yet'}")
    if level is None or left or made_up:
        sys.exit(1)


def _subject(slug: str, folder: Path | None) -> tuple[Subject, list[Path]]:
    """What is checked, and the files in which nothing may be left to do."""
    from connectors import levels, registry  # noqa: PLC0415

    if folder is None and slug in registry.BUILT_IN:
        subject = levels.of_the_house(slug, run=True)
        modules = [levels.HERE / f"{slug}.py", *(levels.HERE / slug).glob("*.py"), levels.PAGES / f"{slug}.md"]
        return subject, [path for path in modules if path.is_file()]
    module = folder / f"ledgerwire_{slug}.py" if folder else _module_of(slug)
    connector = _load(slug, module) if folder else registry.get(slug)
    pages = [module.parent / "README.md", module.parent / "docs" / f"{slug}.md"]
    page = next((path for path in pages if path.is_file()), None)
    samples = module.parent / "samples"
    subject = levels.Subject(
        connector=connector,
        samples=samples,
        page=page,
        root=module.parent,
        evidence=levels.evidence(module.parent).get(slug, {}),
        broken=levels.broken(connector, folder=samples, page=page),
    )
    return subject, [module, *([page] if page else [])]


def _module_of(slug: str) -> Path:
    """The module of an installed plugin."""
    from connectors import registry  # noqa: PLC0415

    if slug not in registry.all():
        refused = [f"{label} {reason}" for label, reason in registry.refused().items() if label.startswith(f"{slug} ")]
        known = ", ".join(registry.all())
        raise click.ClickException(refused[0] if refused else f"no connector {slug!r}; there are: {known}")
    for point in entry_points(group=registry.GROUP):
        module = sys.modules.get(point.module)
        file = getattr(module, "__file__", None)
        # The name of an entry point is free; the connector it leads to is what counts.
        if file and getattr(getattr(module, point.attr, None), "slug", None) == slug:
            return Path(file)
    raise click.ClickException(f"the module of {slug} has no file")


def _load(slug: str, path: Path) -> Connector:
    """The connector of a module that is not installed."""
    from connectors.base import Connector  # noqa: PLC0415

    spec = spec_from_file_location(path.stem, path) if path.is_file() else None
    if spec is None or spec.loader is None:
        raise click.ClickException(f"there is no {path}")
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise click.ClickException(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    found = getattr(module, "connector", None)
    if not isinstance(found, Connector) or found.slug != slug:
        raise click.ClickException(f"{path} has no `connector` with the slug {slug}")
    return found


def _unfinished(path: Path) -> list[tuple[int, str]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [(number, line.strip()) for number, line in enumerate(lines, 1) if "TODO" in line]


def _made_up(subject: Subject) -> list[str]:
    """The samples that `new` wrote and nobody has replaced."""
    from connectors import scaffold  # noqa: PLC0415

    folder = subject.samples / subject.connector.slug
    made = {(name, text) for scheme in scaffold.SCHEMES for name, text in scaffold.contents(scheme).items()}
    kept = {(path.name, path.read_text(encoding="utf-8")) for path in folder.glob("payment.*.json")}
    return sorted(name for name, _ in made & kept)

"""How far each connector is proven: rules that are run, the level they add up to, and the table in the docs.

    python -m connectors.levels                   # the table
    python -m connectors.levels --write           # docs/connectors/README.md, once every contract was run
    python -m connectors.levels --write --quick   # the same, with the contracts taken to hold

Bronze is what every connector must have, silver adds that others' signatures prove it, and gold that nothing is
missed. A rule that a provider makes impossible (it publishes no vectors, it has nothing to list) does not count; the
reason stands in evidence.toml, beside the tests that prove the rest.
"""

from __future__ import annotations

import ast
import io
import json
import sys
import tokenize
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from connectors import contract, ranks, registry, samples
from connectors.base import Connector
from core.errors import SignatureRejected
from core.events import Trust

HERE = Path(__file__).parent
ROOT = HERE.parent
PAGES = ROOT / "docs" / "connectors"
TABLE = PAGES / "README.md"
BEGIN, END = "<!-- levels: generated -->", "<!-- levels: end -->"
LEVELS = ("bronze", "silver", "gold")
# Days that a first pull must be able to go back, unless the provider keeps less.
BACK_FILL_DAYS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A connector and what there is about it. `broken` names the cases of the contract that fail, with the reason."""

    connector: Connector
    samples: Path = samples.HERE
    page: Path | None = None
    # Where the paths of `evidence` begin.
    root: Path = ROOT
    # By rule: the test that proves it, as path::function, or "none: " and why there can be none.
    evidence: Mapping[str, str] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)


Verdict = bool | str
"""True and False, or the reason why a rule cannot be asked of this connector."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One demand. `missing` says in words what to do when it is not met."""

    name: str
    level: str
    missing: str
    met: Callable[[Subject], Verdict]


def _told(name: str) -> Callable[[Subject], Verdict]:
    """Whether evidence.toml names a test that is there, or says why there can be none."""

    def met(subject: Subject) -> Verdict:
        said = subject.evidence.get(name, "")
        if said.startswith("none: "):
            return said.removeprefix("none: ")
        path, _, function = said.partition("::")
        return bool(function) and function in functions_of(subject.root / path)

    return met


def functions_of(path: Path) -> set[str]:
    """The names of a module's functions; none where there is no such file."""
    if not path.is_file():
        return set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def _has_samples(subject: Subject) -> bool:
    events, aliases = set(subject.connector.events), subject.connector.aliases
    found = samples.names(subject.connector.slug, folder=subject.samples)
    return events <= {aliases.get(event, event) for event, _ in found}


def _signed(subject: Subject) -> Verdict:
    """Whether a signature proves bodies: where none does, each event is a hint that a fetch must confirm."""
    connector, signature = subject.connector, subject.connector.signature
    secret = signature.new_secret()
    kept = (signature.receiving(secret),)
    for event, variant in samples.names(connector.slug, folder=subject.samples):
        body = samples.load(connector.slug, event, variant, folder=subject.samples)
        delivery = contract.signed(connector, body, secret)
        try:
            if connector.verify(delivery, kept if kept[0] else ()).trust is not Trust.HINT:
                return True
        except SignatureRejected:
            return False
    return False


def _pulls(subject: Subject) -> Verdict:
    return True if subject.connector.pull else _impossible(subject, "pull")


def _fills_back(subject: Subject) -> Verdict:
    pull = subject.connector.pull
    return True if pull is not None and pull.days >= BACK_FILL_DAYS else _impossible(subject, "back-fill")


def _registers(subject: Subject) -> Verdict:
    return True if subject.connector.register else _impossible(subject, "registers")


def _impossible(subject: Subject, name: str) -> Verdict:
    said = subject.evidence.get(name, "")
    return said.removeprefix("none: ") if said.startswith("none: ") else False


RULES: tuple[Rule, ...] = (
    Rule(name="contract", level="bronze", missing="cases of the contract fail", met=lambda one: not one.broken),
    Rule(name="samples", level="bronze", missing="keep a sample of every mapped event", met=_has_samples),
    Rule(
        name="steps",
        level="bronze",
        missing="say in `steps` and `brings` what a person does and gets",
        met=lambda one: bool(one.connector.steps and one.connector.brings),
    ),
    Rule(
        name="docs",
        level="bronze",
        missing="write the page about it",
        met=lambda one: one.page is not None and one.page.is_file(),
    ),
    Rule(
        name="vectors",
        level="silver",
        missing="verify the signatures that the provider publishes, in a test that evidence.toml names",
        met=_told("vectors"),
    ),
    Rule(
        name="stream",
        level="silver",
        missing="give the life of an object as a stream, whose every order ends the same (evidence.toml: stream)",
        met=_told("stream"),
    ),
    Rule(name="signed", level="gold", missing="nothing that the provider signs proves a body", met=_signed),
    Rule(
        name="sdk",
        level="gold",
        missing="let the provider's own library sign and verify, in a test that evidence.toml names",
        met=_told("sdk"),
    ),
    Rule(name="pull", level="gold", missing="list what the provider has, in `pull`", met=_pulls),
    Rule(
        name="back-fill",
        level="gold",
        missing=f"let the first pull go back {BACK_FILL_DAYS} days or more",
        met=_fills_back,
    ),
    Rule(name="registers", level="gold", missing="register the webhook at the provider, in `register`", met=_registers),
)


def verdicts(subject: Subject) -> dict[str, Verdict]:
    """What each rule says of a connector, by the rule's name."""
    return {rule.name: rule.met(subject) for rule in RULES}


def level_of(found: Mapping[str, Verdict]) -> str | None:
    """The highest level whose rules, and those of the levels below, all hold or cannot be asked."""
    reached = None
    for level in LEVELS:
        if not all(found[rule.name] for rule in RULES if rule.level == level):
            break
        reached = level
    return reached


def broken(connector: Connector, *, folder: Path = samples.HERE, page: Path | None = None) -> dict[str, str]:
    """The cases of the contract that fail, by their name, with the reason."""
    found = {}
    for name, case in contract.cases(connector, samples=folder, docs=page).items():
        try:
            case()
        except Exception as error:  # noqa: BLE001  # A plugin may break in any way; that is what is asked here.
            found[name.removeprefix(f"test_{connector.slug}_")] = str(error) or type(error).__name__
    return found


def evidence(folder: Path = HERE) -> dict[str, dict[str, str]]:
    """What a folder's evidence.toml says, by connector; nothing where there is none."""
    path = folder / "evidence.toml"
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _stream_of(slug: str) -> dict[str, str]:
    """Streams of the house are found by their place: each is told in any order by tests/core/intake/test_order.py."""
    path = f"tests/connectors/streams/{slug}.py"
    return {"stream": f"{path}::stream"} if (ROOT / path).is_file() else {}


def of_the_house(slug: str, *, run: bool) -> Subject:
    """A connector of this repository. With `run` its contract is run; without, it is taken to hold."""
    connector, page = registry.get(slug), PAGES / f"{slug}.md"
    return Subject(
        connector=connector,
        page=page,
        evidence=evidence().get(slug, {}) | _stream_of(slug),
        broken=broken(connector, page=page) if run else {},
    )


def ranked() -> list[str]:
    """The built-in connectors of providers: what an owner types in a form is as good as what he types."""
    return [slug for slug in registry.BUILT_IN if slug != "custom"]


# Lines of code.


def code_lines(source: str) -> int:
    """Lines that hold code: none that is blank, a comment or a docstring."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in _NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - _docstring_lines(source))


_NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def _docstring_lines(source: str) -> set[int]:
    """Where texts stand by themselves, as docstrings do."""
    found: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            found.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return found


def lines_of(slug: str) -> int:
    """The lines of code of a built-in connector, of all its modules where it is a package."""
    modules = [HERE / f"{slug}.py"] if (HERE / f"{slug}.py").is_file() else sorted((HERE / slug).glob("*.py"))
    return sum(code_lines(path.read_text(encoding="utf-8")) for path in modules)


# The table.


def table(found: Mapping[str, Mapping[str, Verdict]]) -> str:
    """The levels of connectors as a Markdown table. `found` holds the verdicts by slug."""
    names = [rule.name for rule in RULES if rule.name not in {"contract", "steps"}]
    rows = [
        "| connector | level | " + " | ".join(names) + " | events |",
        "|---|---|" + "---|" * len(names) + "--:|",
    ]
    for slug, said in sorted(found.items()):
        connector = registry.get(slug)
        cells = [_cell(said[name]) for name in names]
        cells.append(str(len(connector.events)))
        rows.append(f"| [{connector.title}]({slug}.md) | {level_of(said) or '-'} | {' | '.join(cells)} |")
    reached = [level_of(said) for said in found.values()]
    counted = ", ".join(f"{reached.count(level)} {level}" for level in reversed(LEVELS))
    rows += ["", f"{len(found)} connectors: {counted}."]
    if reasons := _reasons(found):
        rows += ["", "What cannot be asked (○), and why:", "", *reasons]
    return "\n".join(rows)


def _cell(verdict: Verdict) -> str:
    return "○" if isinstance(verdict, str) else "●" if verdict else ""


def _reasons(found: Mapping[str, Mapping[str, Verdict]]) -> list[str]:
    return [
        f"- {registry.get(slug).title}, {name}: {verdict}"
        for slug, verdicts_of in sorted(found.items())
        for name, verdict in verdicts_of.items()
        if isinstance(verdict, str)
    ]


def ranks_of(found: Mapping[str, Mapping[str, Verdict]]) -> str:
    """The levels reached, as levels.json holds them."""
    reached = {slug: level_of(said) for slug, said in sorted(found.items())}
    return json.dumps({slug: level for slug, level in reached.items() if level}, indent=2) + "\n"


def page_with(text: str, made: str) -> str:
    """A page with what is generated between its two marks."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{made}\n\n{END}{rest.partition(END)[2]}"


def main(arguments: Sequence[str]) -> int:
    """Print the table, or write it into its page."""
    write = "--write" in arguments
    run = write and "--quick" not in arguments
    subjects = {slug: of_the_house(slug, run=run) for slug in ranked()}
    found = {slug: verdicts(subject) for slug, subject in subjects.items()}
    made = table(found)
    for slug, subject in subjects.items():
        for case, reason in subject.broken.items():
            sys.stderr.write(f"{slug} breaks the contract: {case}: {reason}\n")
    if not write:
        sys.stdout.write(made + "\n")
        return 0
    TABLE.write_text(page_with(TABLE.read_text(encoding="utf-8"), made), encoding="utf-8")
    ranks.FILE.write_text(ranks_of(found), encoding="utf-8")
    return int(any(subject.broken for subject in subjects.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""ledgerwire connector: what is listed, what a new one is, and what is said to be missing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from connectors import levels, registry, scaffold
from webapp.cli import connector as module
from webapp.cli import main

ROOT = Path(__file__).parents[3]


def ledgerwire(*words: str) -> Result:
    return CliRunner().invoke(main, ["connector", *words])


def pytest_in(folder: Path, *words: str, path: Path) -> str:
    """Run the tests of a folder as somebody would, and return what they print."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def checks_clean(*paths: Path, root: Path) -> None:
    """Formatted, linted and sorted as the project's own code is."""
    for words in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *words, "--no-cache", "--config", root / "pyproject.toml", *paths],
            cwd=root,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


def test_the_list_names_every_connector_with_its_level() -> None:
    result = ledgerwire("list")
    assert result.exit_code == 0
    lines = {line.split()[0]: line for line in result.output.splitlines()}
    assert set(registry.all()) <= set(lines)
    assert "Razorpay" in lines["razorpay"]
    assert any(level in lines["razorpay"] for level in levels.LEVELS)


def test_the_list_as_json_has_what_a_program_needs() -> None:
    rows = {row["slug"]: row for row in json.loads(ledgerwire("list", "--json").output)}
    assert set(rows) == set(registry.all())
    assert rows["basiq"]["title"] == "Basiq"
    assert rows["basiq"]["events"] == len(registry.get("basiq").events)
    assert rows["standard_webhooks"]["pull"] is None


def test_the_schemes_offered_are_those_that_can_be_written() -> None:
    assert set(module.SCHEMES) == set(scaffold.SCHEMES)


@pytest.mark.parametrize("scheme", sorted(scaffold.SCHEMES))
def test_a_new_package_is_formatted_short_and_says_what_is_left(scheme: str, tmp_path: Path) -> None:
    folder = tmp_path / "acme"
    result = ledgerwire("new", "acme", "--scheme", scheme, "--folder", str(folder))
    assert result.exit_code == 0, result.output
    assert str(folder / "ledgerwire_acme.py") in result.output
    written = folder / "ledgerwire_acme.py"
    assert levels.code_lines(written.read_text(encoding="utf-8")) <= 60
    checks_clean(written, root=ROOT)
    checked = ledgerwire("check", "acme", "--folder", str(folder))
    assert checked.exit_code == 1
    said = checked.output.splitlines()
    # Nothing is broken: it is green at once, and only unfinished.
    assert [line for line in said if line.startswith(("broken", "missing"))] == []
    assert any(line.startswith("todo     ledgerwire_acme.py:") for line in said)
    assert any("payment.succeeded.json is still the made-up one" in line for line in said)
    assert any(line.startswith("gold     pull: ") for line in said)


@pytest.mark.long
def test_the_tests_of_new_packages_pass(tmp_path: Path) -> None:
    for slug, scheme in (("acme_pay", "timestamped-hmac"), ("acme_hint", "unsigned")):
        ledgerwire("new", slug, "--scheme", scheme, "--folder", str(tmp_path / slug))
    assert int(pytest_in(tmp_path, path=ROOT).split(" passed")[0].split()[-1]) > 60


@pytest.mark.long
def test_a_new_connector_of_the_house_is_listed_tested_and_documented(tmp_path: Path) -> None:
    for name in ("connectors", "core", "config", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "docs").mkdir()
    shutil.copytree(ROOT / "docs" / "connectors", tmp_path / "docs" / "connectors")
    written = scaffold.new("acme", "timestamped-hmac", root=tmp_path)
    assert tmp_path / "connectors" / "registry.py" in written
    assert tmp_path / "docs" / "connectors" / "acme.md" in written
    python = [path for path in written if path.suffix == ".py"]
    checks_clean(*python, root=tmp_path)
    module.rank_again(tmp_path)
    assert "| [Acme](acme.md) | bronze |" in (tmp_path / "docs" / "connectors" / "README.md").read_text(
        encoding="utf-8"
    )
    # Its own test, the contract, the stream as all streams are, and the table of levels.
    said = pytest_in(
        tmp_path,
        "tests/connectors/test_acme.py",
        "tests/connectors/test_contract.py",
        "tests/connectors/test_streams.py",
        "tests/connectors/test_levels.py",
        "-k",
        "acme or every_connector or the_table",
        path=tmp_path,
    )
    assert " passed" in said
    assert int(said.split(" passed")[0].split()[-1]) > 35


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["Acme", "--scheme", "hmac"], "must be small letters, digits and _"),
        (["stripe", "--scheme", "hmac"], "there is a connector stripe already"),
        (["acme", "--scheme", "rot13"], "'rot13' is not one of"),
        (["acme"], "Missing option '--scheme'"),
        (["acme", "--scheme", "hmac", "--title", 'A "quoted" one'], "must be plain words"),
    ],
    ids=["a name in capitals", "a name that is taken", "an unknown scheme", "no scheme", "a title that breaks code"],
)
def test_what_cannot_be_made_is_said_and_nothing_is_written(words: list[str], said: str, tmp_path: Path) -> None:
    result = ledgerwire("new", *words, "--folder", str(tmp_path / "new"))
    assert result.exit_code != 0
    assert said in result.output
    assert not (tmp_path / "new").exists()


def test_nothing_is_ever_overwritten(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine", encoding="utf-8")
    result = ledgerwire("new", "acme", "--scheme", "hmac", "--folder", str(tmp_path))
    assert result.exit_code == 1
    assert "there is already README.md" in result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md"]
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == "mine"


def test_check_says_what_is_broken_in_the_words_of_the_case(tmp_path: Path) -> None:
    ledgerwire("new", "acme", "--scheme", "hmac", "--folder", str(tmp_path))
    path = tmp_path / "ledgerwire_acme.py"
    careless = path.read_text(encoding="utf-8").replace(
        'data.minor_money("amount", data.currency("currency"), positive=True)',
        'data.minor_money("amount", data.currency("currency"))',
    )
    path.write_text(careless, encoding="utf-8")
    result = ledgerwire("check", "acme", "--folder", str(tmp_path))
    assert result.exit_code == 1
    assert "broken   survives every field missing or of another kind" in result.output
    assert "Acme: no level yet" in result.output


def test_check_of_a_finished_connector_names_its_level_and_ends_well() -> None:
    result = ledgerwire("check", "standard_webhooks")
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1].startswith("Standard Webhooks: ")


@pytest.mark.parametrize(
    ("text", "said"),
    [("import nowhere_at_all", "cannot be imported: ModuleNotFoundError"), ("connector = 5", "has no `connector`")],
    ids=["a module that does not load", "a module without a connector"],
)
def test_check_says_why_a_package_cannot_be_looked_at(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "ledgerwire_acme.py").write_text(text, encoding="utf-8")
    result = ledgerwire("check", "acme", "--folder", str(tmp_path))
    assert result.exit_code == 1
    assert said in result.output


def test_check_of_what_does_not_exist_names_what_does() -> None:
    result = ledgerwire("check", "nobody")
    assert result.exit_code == 1
    assert "no connector 'nobody'; there are: " in result.output
    assert "razorpay" in result.output

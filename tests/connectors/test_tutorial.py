"""docs/adding-a-connector.md is followed to the letter: its files are written, its commands run, in their order."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "adding-a-connector.md"
BLOCK = re.compile(r'^```(?P<kind>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^```$', re.MULTILINE | re.DOTALL)
# A folder of its own for packages, and everything of this installation beside it.
SITE = "import site; site.addsitedir({packages!r})\n"
COMMAND = "#!{python}\nimport sys\nfrom webapp.cli import main\nsys.exit(main())\n"
PIP = '#!/bin/sh\nexec "{python}" -m pip "$@"\n'


@dataclass
class Shell:
    """Runs commands one after another, in the folder where the last `cd` led."""

    folder: Path
    path: str

    def run(self, command: str) -> str:
        if command.startswith("cd "):
            self.folder = self.folder / command.removeprefix("cd ")
            return ""
        environment = {
            "PATH": f"{self.path}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.folder),
            # No index is asked: what the page says works offline.
            "PIP_NO_INDEX": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
        return done.stdout


def installation(folder: Path) -> str:
    """An installation that has Ledgerwire, and where packages can be added; its folder of commands."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    packages = next((folder / "lib").glob("python*")) / "site-packages"
    (packages / "ledgerwire.pth").write_text(SITE.format(packages=sysconfig.get_paths()["purelib"]), encoding="utf-8")
    python = folder / "bin" / "python"
    for name, text in (("ledgerwire", COMMAND), ("pip", PIP)):
        command = folder / "bin" / name
        command.write_text(text.format(python=python), encoding="utf-8")
        command.chmod(0o755)
    return str(folder / "bin")


@pytest.mark.skipif(sys.platform == "win32", reason="the page's commands are those of a POSIX shell")
def test_the_tutorial_works_from_an_empty_folder(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    shell = Shell(folder=work, path=installation(tmp_path / "installed"))
    blocks = list(BLOCK.finditer(PAGE.read_text(encoding="utf-8")))
    assert len(blocks) > 8
    for block in blocks:
        if block["kind"] != "console":
            assert block["title"], f"a block without a title: {block['text'][:40]}"
            (shell.folder / block["title"]).write_text(block["text"], encoding="utf-8")
            continue
        said = ""
        for line in block["text"].splitlines():
            if line.startswith("$ "):
                said = shell.run(line.removeprefix("$ "))
            else:
                assert line in said, f"expected {line!r} in:\n{said}"


def test_every_block_of_the_tutorial_is_followed() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text.count("```") == 2 * len(BLOCK.findall(text))

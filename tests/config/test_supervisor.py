"""The supervisor, over tiny processes that print, die, refuse to stop and leave children behind."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config.embedded.server import is_running
from config.supervisor import (
    Backoff,
    BadProcfile,
    Supervisor,
    find_procfile,
    instances,
    parse_procfile,
)

STEADY = "import time; print('up', flush=True); time.sleep(60)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {STEADY}"
# The child prints its pid and, like a pool's worker, would outlive its parent.
PARENT = (
    "import os, signal, time\n"
    "pid = os.fork()\n"
    "if pid == 0:\n"
    "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "    print('child', os.getpid(), flush=True)\n"
    "time.sleep(60)\n"
)


class Bench:
    """A supervisor over named scripts, and what it printed."""

    def __init__(self, grace_seconds: float, **scripts: str) -> None:
        self.out = io.StringIO()
        commands = {name: ["python", "-c", script] for name, script in scripts.items()}
        self.supervisor = Supervisor(commands, dict(os.environ), out=self.out, grace_seconds=grace_seconds)
        self.supervisor.start()

    def until(self, condition: Callable[[], bool], seconds: float = 10.0) -> None:
        """Step until the condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.out.getvalue()
            self.supervisor.step(0.02)

    def printed(self, text: str) -> Callable[[], bool]:
        """Whether a text was printed."""
        return lambda: text in self.out.getvalue()


@pytest.fixture
def bench() -> Iterator[Callable[..., Bench]]:
    """Make benches that are stopped whatever happens."""
    made: list[Bench] = []

    def make(grace_seconds: float = 5.0, **scripts: str) -> Bench:
        made.append(Bench(grace_seconds, **scripts))
        return made[-1]

    yield make
    for one in made:
        one.supervisor.stop()


def test_lines_carry_the_name_of_their_process(bench: Callable[..., Bench]) -> None:
    one = bench(web=STEADY, worker="import time; print('half', end='', flush=True); time.sleep(0.2)")
    one.until(one.printed("web    | up"))
    one.until(one.printed("worker | half"))


def test_a_process_that_dies_is_started_again_and_the_terminal_says_so(bench: Callable[..., Bench]) -> None:
    one = bench(web=STEADY, relay=STEADY)
    one.until(one.printed("relay | up"))
    first = one.supervisor.pids()
    os.kill(first["relay"], signal.SIGKILL)
    one.until(one.printed("relay was started again"))
    assert "relay was killed by SIGKILL; starting it again in 0.5 s" in one.out.getvalue()
    assert one.supervisor.pids()["web"] == first["web"]
    assert one.supervisor.pids()["relay"] != first["relay"]


def test_one_that_dies_at_once_waits_longer_each_time(bench: Callable[..., Bench]) -> None:
    one = bench(web="raise SystemExit(3)")
    one.until(one.printed("web ended with exit code 3; starting it again in 1 s"))
    assert "starting it again in 0.5 s" in one.out.getvalue()


def test_the_wait_doubles_to_half_a_minute_and_starts_over_after_a_long_life() -> None:
    backoff = Backoff()
    assert [backoff.after(1.0) for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert backoff.after(29.9) == 30
    assert backoff.after(30.0) == 0.5
    assert backoff.after(1.0) == 1


def test_children_of_a_dead_process_are_ended_before_it_starts_again(bench: Callable[..., Bench]) -> None:
    one = bench(worker=PARENT)
    one.until(one.printed("child "))
    orphan = int(one.out.getvalue().split("child ")[1].split()[0])
    os.kill(one.supervisor.pids()["worker"], signal.SIGKILL)
    one.until(lambda: not is_running(orphan))


def test_stop_ends_everything_within_its_time_also_what_does_not_listen(bench: Callable[..., Bench]) -> None:
    one = bench(grace_seconds=1.0, web=STEADY, deaf=DEAF, worker=PARENT)
    one.until(lambda: one.out.getvalue().count("up") == 2 and "child " in one.out.getvalue())
    everything = [*one.supervisor.pids().values(), int(one.out.getvalue().split("child ")[1].split()[0])]
    began = time.monotonic()
    one.supervisor.stop()
    assert time.monotonic() - began < 4
    assert not any(is_running(pid) for pid in everything)
    assert "deaf did not stop within 1 s and is ended by force" in one.out.getvalue()
    assert "web did not stop" not in one.out.getvalue()


def test_a_dead_server_beside_the_processes_is_launched_again() -> None:
    class Server:
        title = "Server"
        launches = 0

        def alive(self) -> bool:
            return self.launches > 0

        def launch(self) -> None:
            self.launches += 1

    server = Server()
    out = io.StringIO()
    supervisor = Supervisor({}, dict(os.environ), watched={"valkey": server}, out=out)
    deadline = time.monotonic() + 5
    while not server.launches and time.monotonic() < deadline:
        supervisor.step(0.02)
    assert server.launches == 1
    assert "valkey was started again" in out.getvalue()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_to_the_whole_terminal_group_stops_the_tree_once(tmp_path: Path, number: signal.Signals) -> None:
    child = tmp_path / "child.py"
    child.write_text(
        "import signal, sys, time\n"
        "def hit(number, frame):\n"
        "    print('hit', signal.Signals(number).name, flush=True); sys.exit(0)\n"
        "signal.signal(signal.SIGINT, hit); signal.signal(signal.SIGTERM, hit)\n"
        "print('up', flush=True)\ntime.sleep(60)\n",
        encoding="utf-8",
    )
    code = (
        "import os, sys; from config import supervisor as s\n"
        "one = s.Supervisor({'web': ['python', sys.argv[1]]}, dict(os.environ))\n"
        "with s.signals(one.request_stop):\n"
        "    one.start(); one.run()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(child)], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "web | up\n"
        began = time.monotonic()
        os.killpg(process.pid, number)
        rest = process.stdout.read()
        assert process.wait(10) == 0
    assert rest == "web | hit SIGTERM\n"
    assert time.monotonic() - began < 5


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_processes_of_a_killed_supervisor_end_by_themselves() -> None:
    code = (
        "import os; from config import supervisor as s\n"
        f"one = s.Supervisor({{'web': ['python', '-c', {STEADY!r}]}}, dict(os.environ))\n"
        "one.start(); print(one.pids()['web'], flush=True); one.run()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.stdout.readline()
        process.kill()
    deadline = time.monotonic() + 5
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_running(pid)


def test_the_procfile_has_the_five_processes() -> None:
    entries = parse_procfile(find_procfile().read_text(encoding="utf-8"))
    assert list(entries) == ["web", "ingress", "worker", "relay", "beat"]
    assert entries["web"] == ["python", "-m", "webapp.serve"]


def test_scale_says_how_many_of_each_run() -> None:
    entries = {"web": ["w"], "ingress": ["i"], "worker": ["k"]}
    assert list(instances(entries, {"ingress": 0, "worker": 2})) == ["web", "worker", "worker.2"]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("web python", id="no colon"),
        pytest.param("web:", id="no command"),
        pytest.param("# fine\n\nweb: a\nweb: b", id="twice"),
    ],
)
def test_a_procfile_that_cannot_be_read_is_refused_with_the_line(text: str) -> None:
    with pytest.raises(BadProcfile, match="Procfile line"):
        parse_procfile(text)

"""What the runtime of a web process leaves out."""

from __future__ import annotations

import subprocess
import sys


def test_what_only_costs_memory_is_left_out_and_requests_are_there_when_they_are_needed() -> None:
    lines = (
        "import sys",
        "from webapp import runtime",
        "runtime.spare_memory()",
        "import socketio, structlog",
        "loaded = {'rich', 'valkey', 'requests', 'websocket'} & {n for n, m in sys.modules.items() if m is not None}",
        "assert not loaded, loaded",
        "import requests",
        "assert requests.Session",
    )
    ran = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr

"""`python -m bench [s1] [s2] [s3] [s4] [s6] [s7] [memory]`: run all benchmarks, or the named ones.

Run them on a machine that does nothing else: the ratios hold on any machine, on a busy one they mean little.
"""

from __future__ import annotations

import importlib
import sys

BENCHMARKS = {
    "s1": "s1_webhooks",
    "s2": "s2_latency",
    "s3": "s3_backlog",
    "s4": "s4_fanout",
    "s6": "s6_ledger",
    "s7": "s7_lists",
    "memory": "memory",
}


def main(names: list[str]) -> int:
    """Run benchmarks by name; 2 for a name that is none."""
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are: {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    for name in names or BENCHMARKS:
        importlib.import_module(f"bench.{BENCHMARKS[name]}").run()
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

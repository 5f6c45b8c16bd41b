"""The program that sets documents: JSON on standard input, the PDFs one after the other on standard output.

It is run as a file of its own, by `typesetting`, so that typst and its fonts take no memory of the process that
asks, and so that a document that takes too long can be ended. It imports nothing of Ledgerwire.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Any

# More than the largest document needs many times over (200 lines: 0.2 seconds, 120 MB).
_CPU_SECONDS = 60
_MEMORY_BYTES = 2 * 1024**3


def _fonts() -> Any:
    import manimgx_fonts  # noqa: PLC0415
    import manimgx_fonts_cjk  # noqa: PLC0415
    import typst  # noqa: PLC0415

    folders = [str(Path(package.__file__).parent) for package in (manimgx_fonts, manimgx_fonts_cjk)]
    # No font of this machine: the same input must give the same bytes everywhere.
    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=folders)


def main() -> int:
    """Read {"documents": [{"timestamp", "data"}, …]}; write for each its length in 8 bytes and the PDF."""
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    import typst  # noqa: PLC0415

    template = Path(__file__).with_name("templates") / "document.typ"
    compiler: Any = typst.Compiler(root=template.parent, font_paths=_fonts(), ignore_system_fonts=True)
    for document in json.load(sys.stdin.buffer)["documents"]:
        made = compiler.compile(
            str(template),
            format="pdf",
            # Data, never markup: the template reads it as JSON and shows texts as texts.
            sys_inputs={"data": json.dumps(document["data"])},
            timestamp=document["timestamp"],
        )
        sys.stdout.buffer.write(len(made).to_bytes(8, "big") + made)
    return 0


if __name__ == "__main__":
    sys.exit(main())

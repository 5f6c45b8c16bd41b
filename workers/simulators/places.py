"""Where the samples of a connector are: with those of the house, or beside the module of a plugin."""

from __future__ import annotations

import sys
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path

from connectors import registry, samples


@lru_cache(maxsize=64)
def folder_of(slug: str) -> Path:
    """The folder that holds `<slug>/` with its samples."""
    if slug not in registry.BUILT_IN:
        for point in entry_points(group=registry.GROUP):
            file = getattr(sys.modules.get(point.module), "__file__", None)
            if file and (beside := Path(file).parent / "samples" / slug).is_dir():
                return beside.parent
    return samples.HERE

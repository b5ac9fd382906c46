"""How often the test rows were looked at: what earlier runs scored, as their directories say.

A figure on held-out rows is honest the first time. Whoever changes the prompt after it and scores the same rows again
has begun to choose on them. Source: Dwork et al. 2015, "The reusable holdout".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from promptc.runners.run_directory import MANIFEST


class _Manifest(msgspec.Struct):
    """What a manifest says of the rows that its run scored."""

    identity: str = ""
    scored: tuple[str, ...] = ()
    digests: dict[str, str] = {}


def looks_at_test(folders: Iterable[Path], test: str, *, besides: str) -> list[Path]:
    """The runs in these folders that scored the test rows of this digest, oldest first.

    `besides` is the identity of the run that asks: the same run again is no further look.
    """
    seen: dict[str, tuple[float, Path]] = {}
    for path in {folder.resolve() for folder in folders}:
        for written, manifest, run in _runs(path):
            scored = {"test", "all"} & set(manifest.scored)
            if scored and manifest.digests.get("test") == test and manifest.identity != besides:
                seen[manifest.identity] = (written, run)
    return [run for _, run in sorted(seen.values())]


def _runs(folder: Path) -> Iterator[tuple[float, _Manifest, Path]]:
    """The finished runs in a folder: when each was finished, its manifest, and where it stands."""
    if not folder.is_dir():
        return
    for entry in sorted(folder.iterdir()):
        path = entry / MANIFEST
        if entry.is_symlink() or not path.is_file():
            continue
        try:
            yield path.stat().st_mtime, msgspec.json.decode(path.read_bytes(), type=_Manifest), entry
        except (OSError, msgspec.DecodeError):
            continue  # Another program's manifest, or a run that is being deleted: neither has looked at these rows.

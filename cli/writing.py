"""Files that commands write outside of run directories: whole or not at all, and untouched where nothing changed."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from promptc.spec.errors import RunError


def replace_file(path: Path, content: bytes) -> bool:
    """Write the file under another name and rename it; False where it held these bytes, whose time it keeps.

    Raises RunError.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if holds(path, content):
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise RunError(
            f"{path} cannot be written: {error.strerror}", "choose another place with -o"
        ) from error
    return True


def holds(path: Path, content: bytes) -> bool:
    """Whether the file is there with exactly this content."""
    return path.is_file() and path.read_bytes() == content

"""Files as a run writes them: whole or not at all, or line by line; and what a full or closed disk becomes."""

from __future__ import annotations

import contextlib
import errno
import filecmp
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from promptc.spec.errors import RunError

FLUSH_SECONDS = 0.5
"""How long a line may stay in this process."""


class LineLog:
    """Lines appended as they come, each with a place; put in the order of the places at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: list[tuple[int, int, int]] = []
        self._size = 0
        self._flushed = time.monotonic()
        with disk_errors(path):
            self._file = open(path, "wb")  # noqa: SIM115  closed by `put_in_order`

    @property
    def count(self) -> int:
        """How many lines there are."""
        return len(self._places)

    def append(self, place: int, value: Any) -> None:
        """Add one line; others may read it a second later."""
        line = msgspec.json.encode(value) + b"\n"
        with disk_errors(self._path):
            self._file.write(line)
            if time.monotonic() - self._flushed > FLUSH_SECONDS:
                self._file.flush()
                self._flushed = time.monotonic()
        self._places.append((place, self._size, len(line)))
        self._size += len(line)

    def flush(self) -> None:
        """Hand what was appended to the system."""
        with disk_errors(self._path):
            self._file.flush()

    def put_in_order(self) -> None:
        """Rewrite the file in the order of the places, whole and atomically."""
        with disk_errors(self._path):
            self._file.close()
            temporary = self._path.with_name(f".{self._path.name}.tmp")
            with open(self._path, "rb") as source, open(temporary, "wb") as target:
                for _, offset, length in sorted(self._places):
                    source.seek(offset)
                    target.write(source.read(length))
                target.flush()
                os.fsync(target.fileno())
            os.replace(temporary, self._path)

    def close(self) -> None:
        """Close the file as it is."""
        with disk_errors(self._path):
            self._file.close()


def write_file(target: Path, parts: Iterable[bytes]) -> None:
    """Write a file under a temporary name, then rename it. Equal bytes keep their time. Raises RunError."""
    temporary = target.with_name(f".{target.name}.tmp")
    with disk_errors(target), contextlib.ExitStack() as unfinished:
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished.callback(temporary.unlink, missing_ok=True)
        with open(temporary, "wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        if not (target.is_file() and filecmp.cmp(temporary, target, shallow=False)):
            os.replace(temporary, target)


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Give what the system says of a path as a RunError."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        hint = (
            "free space and run the same command again: it resumes"
            if full
            else "mend the permissions, or use -o"
        )
        raise RunError(f"{path}: {error.strerror or error}", hint) from error

"""Files that a spec names: read only from the spec's folder, in one place."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import msgspec

from promptc.spec.suggest import closest

OVERRIDE, SWEEP = FLAGS = ("--set ", "--sweep ")
"""How messages call what stands in no file: an override, or a sweep, on the command line."""
MAX_BYTES = 16 * 1024 * 1024
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+:")


class FileRefused(Exception):
    """A file that cannot be read, or may not be; the sentence and the hint say why."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Folder(msgspec.Struct, frozen=True):
    """The spec's folder. `base` is where it is, `shown` how messages call it ("" for here)."""

    base: Path
    shown: str = ""

    def name(self, path: Path) -> str:
        """How a file of this folder is called in messages."""
        return os.path.join(self.shown, os.path.relpath(path, self.base.resolve()))

    def key(self, path: Path) -> str:
        """How a file of this folder is called whatever the working directory: relative to the folder."""
        return path.relative_to(self.base.resolve()).as_posix()

    def origin(self, file: str) -> Path:
        """The folder of a file that messages call so: what is written in it is relative to this.

        What a flag says (`--set …`) is relative to the spec's folder, like the rest of the spec.
        """
        root = self.base.resolve()
        if file.startswith(FLAGS):
            return root
        folder = root.joinpath(os.path.relpath(os.path.dirname(file) or ".", self.shown or ".")).resolve()
        return folder if folder.is_relative_to(root) else root

    def inside(self, text: str, *, origin: Path | None = None) -> Path:
        """The file that a path names, seen from `origin`; FileRefused unless it lies in this folder."""
        if _SCHEME.match(text):
            raise FileRefused(
                f'"{text}" is not a path', "write a path relative to the spec, such as prompts/a.md"
            )
        if not text or "\0" in text or "\n" in text:
            raise FileRefused("this is not a path", "write a path relative to the spec, such as prompts/a.md")
        root = self.base.resolve()
        try:
            path = (origin or root).joinpath(text).resolve()
        except (OSError, RuntimeError) as error:
            raise FileRefused(f'"{text}" leads nowhere: {error}') from error
        if not path.is_relative_to(root):
            raise FileRefused(
                f'"{text}" lies outside of the spec\'s folder',
                "includes, prompts and code stay beside the spec; only data may lie anywhere",
            )
        return path

    def read(self, path: Path) -> bytes:
        """The content of a file that `inside` gave."""
        shown = self.name(path)
        try:
            if path.is_dir():
                raise FileRefused(f"{shown} is a folder", "name a file")
            if not path.is_file():
                raise FileRefused(f"there is no file {shown}", _neighbour(path))
            if path.stat().st_size > MAX_BYTES:
                raise FileRefused(f"{shown} is larger than {MAX_BYTES // 1024 // 1024} MiB")
            return path.read_bytes()
        except OSError as error:
            raise FileRefused(f"{shown} cannot be read: {error.strerror or error}") from error

    def read_text(self, path: Path) -> str:
        """The text of a file that `inside` gave, without a byte order mark and with plain line ends."""
        content = self.read(path)
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise FileRefused(
                f"{self.name(path)} is not UTF-8: byte 0x{content[error.start]:02x} at offset {error.start}",
                "save the file as UTF-8",
            ) from error
        return text.replace("\r\n", "\n").replace("\r", "\n")


def digest(content: bytes) -> str:
    """32 hex digits over a file's content."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _neighbour(path: Path) -> str:
    """A hint that names a file with a similar name, "" where there is none."""
    if not path.parent.is_dir():
        return f"there is no folder {path.parent.name}"
    near = closest(path.name, [entry.name for entry in path.parent.iterdir()])
    return f'did you mean "{near}"?' if near else ""

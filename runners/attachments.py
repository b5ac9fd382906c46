"""Images, recordings and files of a run: found, checked, known by their content, and read again when they are sent.

A row names them by path, URL or data URI. A path is relative to the folder of the row's file or to the spec's, and must
lie inside one of these; hidden files are never sent. What is in a file has to be of the kind that its field says, so
that a row cannot have any odd file sent to a provider.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import mimetypes
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from promptc.runners.failures import RowFailed
from promptc.runners.models.request import Attachment
from promptc.spec.fields import Field
from promptc.spec.media import AttachmentKind, most_bytes
from promptc.spec.model import Spec

_URL = re.compile(r"https?://", re.IGNORECASE)
_DATA = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w=.+-]+)*;base64,", re.IGNORECASE)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_HEAD = 16
_SIGNATURES: tuple[tuple[AttachmentKind, re.Pattern[bytes], str], ...] = (
    ("image", re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    ("image", re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    ("image", re.compile(rb"GIF8[79]a"), "image/gif"),
    ("image", re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp"),
    ("audio", re.compile(rb"RIFF....WAVE", re.DOTALL), "audio/wav"),
    ("audio", re.compile(rb"ID3|\xff[\xe0-\xff]"), "audio/mpeg"),
    ("audio", re.compile(rb"OggS"), "audio/ogg"),
    ("audio", re.compile(rb"fLaC"), "audio/flac"),
    ("audio", re.compile(rb"....ftyp(?:M4A|mp4|isom)", re.DOTALL), "audio/mp4"),
)
_WANTED: dict[AttachmentKind, str] = {
    "image": "an image (PNG, JPEG, GIF or WebP)",
    "audio": "a recording (WAV, MP3, Ogg, FLAC or M4A)",
    "file": "a file",
}


class AttachmentRefused(Exception):
    """Why something cannot be attached, in a sentence."""


class _Read(msgspec.Struct, frozen=True):
    """What is known of a file, and the stamp (size and time) of the file that it is known of."""

    digest: str
    media_type: str
    size: int
    stamp: tuple[int, int]


class Attachments:
    """Finds and reads what rows attach. `folders` are those that a relative path is looked for in, in order."""

    def __init__(self, folders: Iterable[str | Path] = ()) -> None:
        self._folders = tuple(dict.fromkeys(Path(os.path.abspath(folder)) for folder in folders))
        self._known: dict[tuple[Path, AttachmentKind], _Read] = {}
        self._sources: dict[str, Path | str] = {}

    def settled(self, attachment: Attachment) -> Attachment:
        """The attachment by its content: digest, media type and size in place of the path. Raises AttachmentRefused."""
        source = attachment.source
        if not source or _URL.match(source):
            return attachment
        if source[:5].lower() == "data:":
            found = described(attachment, _decoded(source), "", "the data URI")
            self._sources[found.digest] = source
            return found
        path = self._path(source)
        read = self._file(attachment, path)
        _check_size(read.size, attachment, source)
        self._sources[read.digest] = path
        return Attachment(
            kind=attachment.kind,
            label=attachment.label,
            digest=read.digest,
            media_type=read.media_type,
            size=read.size,
            name=path.name if attachment.kind == "file" else "",
        )

    def problem(self, attachment: Attachment) -> str:
        """What is wrong with an attachment as far as its first bytes and its size tell; "" where nothing is."""
        source = attachment.source
        try:
            if _URL.match(source):
                return ""
            if source[:5].lower() == "data:":
                self.settled(attachment)
                return ""
            path = self._path(source)
            _media_type(attachment.kind, _head(path, source), path.name, source)
            _check_size(path.stat().st_size, attachment, source)
        except AttachmentRefused as error:
            return str(error)
        return ""

    def content(self, attachment: Attachment) -> bytes:
        """The bytes of a settled attachment. Raises AttachmentRefused where the file has changed since."""
        source = self._sources.get(attachment.digest)
        if source is None:
            raise AttachmentRefused(f"nobody has the {attachment.kind} with the digest {attachment.digest}")
        content = _decoded(source) if isinstance(source, str) else _content(source)
        if _digest(content) != attachment.digest:
            raise AttachmentRefused(f"{source} has changed while the run was under way")
        return content

    def _path(self, source: str) -> Path:
        if _SCHEME.match(source) or "\0" in source:
            raise AttachmentRefused(f"{_short(source)} is neither a path nor an http or https address")
        for folder in self._folders:
            path = Path(os.path.normpath(folder / source))
            inside = path.is_relative_to(folder)
            if inside and any(part.startswith(".") for part in path.relative_to(folder).parts):
                raise AttachmentRefused(f"{_short(source)} is a hidden file, and these are not sent")
            if inside and path.is_file():
                return path
        places = " and in ".join(str(folder) for folder in self._folders)
        if os.path.isabs(source) or ".." in Path(source).parts:
            raise AttachmentRefused(f"{_short(source)} is no file inside of {places}; others are not sent")
        raise AttachmentRefused(f"there is no file {_short(source)} in {places}")

    def _file(self, attachment: Attachment, path: Path) -> _Read:
        status = path.stat()
        stamp = (status.st_size, status.st_mtime_ns)
        known = self._known.get((path, attachment.kind))
        if known is not None and known.stamp == stamp:
            return known
        _check_size(status.st_size, attachment, attachment.source)
        found = described(attachment, _content(path), path.name, attachment.source)
        read = _Read(found.digest, found.media_type, found.size, stamp)
        self._known[path, attachment.kind] = read
        return read


def described(attachment: Attachment, content: bytes, name: str, source: str) -> Attachment:
    """The attachment with this content, which messages call `source`. Raises AttachmentRefused."""
    _check_size(len(content), attachment, source)
    return Attachment(
        kind=attachment.kind,
        label=attachment.label,
        digest=_digest(content),
        media_type=_media_type(attachment.kind, content[:_HEAD], name, source),
        size=len(content),
        name=name if attachment.kind == "file" else "",
    )


def attached(fields: Sequence[Field], inputs: Mapping[str, Any]) -> tuple[Attachment, ...]:
    """What a row or demo attaches, in the order of the fields. Raises RowFailed for what is no path and no URL."""
    return tuple(
        Attachment(kind=kind, label=label, source=source, limit=most_bytes(field.schema))
        for field in fields
        if (kind := field.attachment) is not None
        for label, source in labelled(field.name, inputs.get(field.name))
    )


def labelled(name: str, value: Any) -> list[tuple[str, str]]:
    """Each path or URL with the label by which a prompt's text speaks of it. Raises RowFailed for what is neither."""
    values = value if isinstance(value, list) else [] if value is None else [value]
    for each in values:
        if not isinstance(each, str) or not each:
            raise RowFailed("data", f"`{name}` is a path or a URL, not {each!r:.40}")
    if not isinstance(value, list):
        return [(name, each) for each in values]
    return [(f"{name} {number}", each) for number, each in enumerate(values, start=1)]


def store_of(spec: Spec, rows: Path | None = None) -> Attachments:
    """Where the files of a spec's rows are: beside the data, beside other `rows`, beside the spec."""
    source = spec.data
    named = [rows, *(Path(p) for p in (source.path, source.train, source.dev, source.test) if p is not None)]
    return Attachments([*(path.parent for path in named if path is not None), spec.base])


def content_digest(spec: Spec, rows: Iterable[Mapping[str, Any]]) -> str:
    """32 hex digits over the files that rows attach, whatever they are called; "" where there are none."""
    fields = [field for field in spec.inputs if field.attachment is not None]
    if not fields:
        return ""
    store = store_of(spec)
    whole = hashlib.blake2b(digest_size=16)
    for row in rows:
        for attachment in attached(fields, row):
            found = store.settled(attachment)
            whole.update(f"{found.label}\t{found.digest or found.source}\n".encode())
    return whole.hexdigest()


def carried(fields: Sequence[Field], inputs: dict[str, Any], store: Attachments) -> dict[str, Any]:
    """A demo's inputs with its files inside, as data URIs, so that they can be shown wherever the demo goes.

    Raises AttachmentRefused and RowFailed.
    """

    def one(field: Field, source: str) -> str:
        (attachment,) = attached([field], {field.name: [source]})
        if is_address(source):
            return source
        found = store.settled(attachment)
        data = base64.b64encode(store.content(found)).decode("ascii")
        return f"data:{found.media_type};base64,{data}"

    changed = {
        field.name: [one(field, each) for each in value] if isinstance(value, list) else one(field, value)
        for field in fields
        if field.attachment is not None and (value := inputs.get(field.name))
    }
    return {**inputs, **changed}


def is_address(source: str) -> bool:
    """True for an http or https address, which is sent or fetched as it is."""
    return _URL.match(source) is not None


def _check_size(size: int, attachment: Attachment, source: str) -> None:
    if attachment.limit and size > attachment.limit:
        raise AttachmentRefused(
            f"{_short(source)} has {size:,} bytes, more than the allowed {attachment.limit:,}"
        )


def _media_type(kind: AttachmentKind, head: bytes, name: str, source: str) -> str:
    """What the content is, by its first bytes; of a `file` by its name. Raises AttachmentRefused for another kind."""
    for found, signature, media_type in _SIGNATURES:
        if found == kind and signature.match(head):
            return media_type
    if kind != "file":
        raise AttachmentRefused(f"{_short(source)} is not {_WANTED[kind]}")
    if head.startswith(b"%PDF-"):
        return "application/pdf"
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def _decoded(source: str) -> bytes:
    match = _DATA.match(source)
    if match is None:
        raise AttachmentRefused("a data URI has to be base64: data:image/png;base64,…")
    try:
        return base64.b64decode(source[match.end() :], validate=True)
    except binascii.Error as error:
        raise AttachmentRefused(f"the data URI is not base64: {error}") from error


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise AttachmentRefused(f"{path} cannot be read: {error.strerror or error}") from error


def _head(path: Path, source: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_HEAD)
    except OSError as error:
        raise AttachmentRefused(f"{_short(source)} cannot be read: {error.strerror or error}") from error


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _short(source: str) -> str:
    return source if len(source) <= 100 else f"{source[:99]}…"

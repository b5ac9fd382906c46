"""Reads YAML into a tree with places: the one way in which text becomes data.

Works on the parser's events, one at a time: PyYAML's composer recurses in C and its process dies on deeply
nested input, and its constructors follow YAML 1.1. Nothing here makes an object of anything but text,
numbers, true, false and null.
"""

from __future__ import annotations

from typing import Any

import msgspec
import yaml

from promptc.spec.diagnostics import Diagnostic, Findings, Position
from promptc.spec.nodes import Document, Node
from promptc.spec.scalars import resolve
from promptc.spec.source import Source, decode, readable_json
from promptc.spec.yaml_traps import explain

MAX_DEPTH = 64
MAX_NODES = 100_000

_CORE_TAGS = {
    "!": str,
    "tag:yaml.org,2002:str": str,
    "tag:yaml.org,2002:int": int,
    "tag:yaml.org,2002:float": float,
    "tag:yaml.org,2002:bool": bool,
    "tag:yaml.org,2002:null": type(None),
    "tag:yaml.org,2002:map": dict,
    "tag:yaml.org,2002:seq": list,
}


def parse(
    text: str | bytes, file: str, *, hint_when_empty: str = ""
) -> tuple[Document | None, tuple[Diagnostic, ...]]:
    """The document in a file, or None and why. Findings that leave a tree standing come with the tree.

    `hint_when_empty` says what to do about an empty file.
    """
    findings = Findings()
    decoded = decode(text, file, findings)
    if decoded is None:
        return None, findings.arranged()
    source = Source(file, readable_json(decoded))
    root = _Composer(source, findings).document()
    if root is None and not findings.failed:
        findings.error("the file is empty", source.span(0, 1), hint=hint_when_empty)
    if root is None:
        return None, findings.arranged()
    return Document(file=file, text=decoded, root=root), findings.arranged()


class _Open(msgspec.Struct):
    """A mapping or list whose end has not been reached."""

    value: Any
    start: int
    anchor: str | None
    tag: str | None
    flow: bool
    key: Position | None
    pending: str | None = None
    pending_key: Position | None = None
    waiting: bool = False
    size: int = 1
    height: int = 1


class _Anchor(msgspec.Struct):
    """What an alias stands for, None while it is still open, with the number of its values and levels."""

    node: Node | None
    size: int
    height: int


class _Stop(Exception):
    """Reading cannot go on; the reason has been noted."""


class _Composer:
    """Builds the tree, event by event."""

    def __init__(self, source: Source, findings: Findings) -> None:
        self._source = source
        self._findings = findings
        self._stack: list[_Open] = []
        self._anchors: dict[str, _Anchor] = {}
        self._count = 0
        self._root: Node | None = None

    def document(self) -> Node | None:
        """The root of the file's one document, None where there is none or none to build on."""
        try:
            self._read()
        except yaml.YAMLError as error:
            self._findings.extend([explain(error, self._source.text, self._source.span)])
            return None
        except _Stop:
            return None
        return self._root

    def _read(self) -> None:
        documents = 0
        for event in yaml.parse(self._source.text, Loader=yaml.CSafeLoader):
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._stop(
                        "a second document starts here; a file holds one", event, hint="remove the `---`"
                    )
            elif isinstance(event, yaml.AliasEvent):
                self._alias(event)
            elif isinstance(event, yaml.ScalarEvent):
                self._scalar(event)
            elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
                self._open(event)
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                self._close(event)

    def _stop(self, message: str, event: Any, hint: str = "") -> None:
        self._findings.error(message, self._place(event), hint=hint)
        raise _Stop

    def _place(self, event: Any) -> Position:
        return self._source.span(event.start_mark.index, event.end_mark.index)

    def _open(self, event: Any) -> None:
        if len(self._stack) >= MAX_DEPTH:
            self._stop(f"nested more than {MAX_DEPTH} levels deep", event)
        value: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
        self._check_key_is_text(event)
        if event.anchor:
            self._anchors[event.anchor] = _Anchor(None, 0, 0)
        key = self._stack[-1].pending_key if self._stack else None
        self._stack.append(
            _Open(value, event.start_mark.index, event.anchor, event.tag, bool(event.flow_style), key)
        )

    def _close(self, event: Any) -> None:
        done = self._stack.pop()
        end = event.end_mark.index if done.flow else done.start + 1
        node = Node(value=done.value, position=self._source.span(done.start, end), key=done.key)
        if not done.flow and isinstance(done.value, dict) and done.value:
            first = next(iter(done.value.values()))
            node = msgspec.structs.replace(node, position=first.key or node.position)
        self._check_tag(done.tag, node.value, node.position)
        self._add(node, done.anchor, done.size, done.height)

    def _alias(self, event: Any) -> None:
        anchor = self._anchors.get(event.anchor)
        if anchor is None:
            self._stop(
                f"the alias *{event.anchor} has no anchor &{event.anchor} before it",
                event,
                hint="quote text that starts with `*`",
            )
        elif anchor.node is None:
            self._stop(f"the alias *{event.anchor} stands inside of what it names", event)
        else:
            self._check_key_is_text(event)
            key = self._stack[-1].pending_key if self._stack else None
            self._add(msgspec.structs.replace(anchor.node, key=key), None, anchor.size, anchor.height, event)

    def _scalar(self, event: Any) -> None:
        text, position = event.value, self._place(event)
        value: Any = text
        if event.implicit[0] and event.tag != "!":
            try:
                value = resolve(text)
            except ValueError as error:
                self._findings.error(f"{error}: {text[:40]}", position, hint="put text in quotes")
        elif event.tag:
            value = self._tagged(event.tag, text, position)
        frame = self._stack[-1] if self._stack else None
        if frame is not None and isinstance(frame.value, dict) and not frame.waiting:
            self._key(frame, value, text, event, position)
            return
        raw = self._source.text[event.start_mark.index : event.end_mark.index]
        key = frame.pending_key if frame is not None else None
        self._check_forgotten_value(frame, event)
        self._add(Node(value=value, position=position, key=key, raw=raw), event.anchor, 1, 1, event)

    def _key(self, frame: _Open, value: Any, text: str, event: Any, position: Position) -> None:
        """A key of a mapping: text, once, and not `<<`."""
        quoted = text.replace('"', "'")
        frame.waiting = True
        frame.pending, frame.pending_key = text, position
        if not isinstance(value, str):
            shown = "null" if value is None else text
            self._findings.error(
                f"a key is text, and {shown} is not", position, hint=f'quote it: "{quoted}"' if text else ""
            )
        elif text == "<<" and event.implicit[0]:
            self._findings.error(
                "merge keys (<<) are not read", position, hint="use extends:, or repeat the keys"
            )
        elif frame.flow and self._source.text[event.start_mark.index - 1 : event.start_mark.index] == "?":
            self._findings.error(
                'a "?" in front of a key in braces is read as a sign of YAML',
                self._source.span(event.start_mark.index - 1, event.end_mark.index),
                hint=f'quote this: "?{quoted}"',
            )
            frame.pending = None

    def _check_key_is_text(self, event: Any) -> None:
        frame = self._stack[-1] if self._stack else None
        if frame is not None and isinstance(frame.value, dict) and not frame.waiting:
            self._stop(
                "a key is text, and this is a mapping, a list or an alias",
                event,
                hint="quote text that starts with {, [ or *",
            )

    def _check_forgotten_value(self, frame: _Open | None, event: Any) -> None:
        """In braces, `{a: red, green}` makes a key `green` without a value, which nobody means."""
        if frame is None or not frame.flow or frame.pending is None or event.value or not event.implicit[0]:
            return
        if isinstance(frame.value, dict) and event.start_mark.index == event.end_mark.index:
            written = self._source.text[: event.start_mark.index].rstrip()
            rest = self._source.text[event.start_mark.index :].strip()
            if rest and not written.endswith(":") and not event.anchor:
                self._findings.error(
                    f'"{frame.pending}" has no value: in braces a comma starts a new key',
                    frame.pending_key,
                    hint="quote this: text that holds a comma needs quotes here",
                )
                frame.pending = None

    def _tagged(self, tag: str, text: str, position: Position) -> Any:
        kind = _CORE_TAGS.get(tag)
        value: Any = text
        if kind is not str and kind is not None:
            try:
                value = resolve(text)
            except ValueError as error:
                self._findings.error(str(error), position)
                return 0
        if kind is float and type(value) is int:
            return float(value)
        self._check_tag(tag, value, position)
        return value

    def _check_tag(self, tag: str | None, value: Any, position: Position) -> None:
        if tag is None:
            return
        kind = _CORE_TAGS.get(tag)
        shown = tag.replace("tag:yaml.org,2002:", "!!")
        if kind is None:
            self._findings.error(
                f"the tag {shown} is not read", position, hint="quote text that starts with `!`"
            )
        elif not isinstance(value, kind) and tag != "!":
            self._findings.error(f"this is not what its tag {shown} says", position)

    def _add(self, node: Node, anchor: str | None, size: int, height: int, event: Any | None = None) -> None:
        """Put a finished value where it belongs, and count what it stands for."""
        self._count += size if event is not None else 1
        if self._count > MAX_NODES or len(self._stack) + height > MAX_DEPTH + 1:
            position = self._place(event) if event is not None else node.position
            self._findings.error(
                f"aliases or lists blow the file up to more than {MAX_NODES:,} values or {MAX_DEPTH} levels",
                position,
                hint="put rows into a JSONL file and name it under data:",
            )
            raise _Stop
        if anchor is not None:
            self._anchors[anchor] = _Anchor(node, size, height)
        if not self._stack:
            self._root = node
            return
        frame = self._stack[-1]
        frame.size += size
        frame.height = max(frame.height, height + 1)
        if isinstance(frame.value, list):
            frame.value.append(node)
            return
        key = frame.pending
        frame.waiting = False
        frame.pending = None
        if key is None:
            return
        earlier = frame.value.get(key)
        if earlier is None:
            frame.value[key] = node
            return
        first = earlier.key or earlier.position
        self._findings.error(
            f'the key "{key}" stands here twice; the first time in line {first.line}, column {first.column}',
            frame.pending_key,
            hint="keep one of them",
        )

"""Writes plain trees as YAML that a person likes to read and `load` reads back unchanged."""

from __future__ import annotations

import re
from typing import Any

import yaml

from promptc.spec.model import Spec
from promptc.spec.scalars import resolve

_ENDLESS = 1 << 30
_BLOCK = re.compile(
    r"[^\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\t]*\n[^\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\t]*"
)


def to_yaml(spec: Spec) -> str:
    """spec.resolved.yaml: the spec as it was understood, credentials unresolved."""
    return dump_tree(spec.resolved)


def dump_tree(tree: Any) -> str:
    """A plain tree as YAML: keys in their order, texts of several lines as blocks."""
    text: str = yaml.dump(
        tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_ENDLESS, default_flow_style=False
    )
    return text


class _Dumper(yaml.SafeDumper):
    """Quotes what the core schema of YAML 1.2 would not read as text, and indents lists."""

    def ignore_aliases(self, data: Any) -> bool:
        """Nothing is written as an alias."""
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Lists stand deeper than their key."""
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None
    if _BLOCK.fullmatch(text) and not text.startswith((" ", "\n")) and not re.search(r" +(\n|$)", text):
        style = "|"
    elif not _reads_as_text(text):
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _reads_as_text(text: str) -> bool:
    """True when the text could stand without quotes and would still be text."""
    if "\n" in text or not text.isprintable():
        return False
    try:
        return resolve(text) == text and not isinstance(resolve(text), int | float)
    except ValueError:
        return False


_Dumper.add_representer(str, _text)

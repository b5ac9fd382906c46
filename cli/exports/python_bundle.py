"""Copies definitions out of promptc's own source files into one that stands alone.

What an exported file reads replies with is promptc's code, line by line: the definitions that are asked for and all
that they use. Nothing is rewritten but private names that two modules share, and what belongs to libraries that the
export must not need.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

import msgspec

Name = tuple[str, str]
"""A module and a name in it; "" where the module itself is meant."""

STAND_INS = "promptc.cli.exports.python_stand_ins"

_OWN = "promptc."
_REPLACED: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"^class (\w+)\(msgspec\.Struct, (.*?)\):$", re.M), r"@dataclass(\2)\nclass \1:"),
    (re.compile(r"\bmsgspec\.UNSET\b"), "UNSET"),
    (re.compile(r"\bmsgspec\.json\.encode\((\w+)\)"), r"json.dumps(\1).encode()"),
)
"""msgspec, which nobody else needs, in terms of the standard library."""
_REPLACED_BY: Mapping[str, Name] = {
    "dataclass": ("dataclasses", "dataclass"),
    "json": ("json", ""),
    "UNSET": (STAND_INS, "UNSET"),
}
"""What the replacements use."""


class Bundle(msgspec.Struct, frozen=True):
    """Definitions that stand alone, and the import lines that they need.

    `sections` are pairs of module and code, those first that others need when they are defined.
    """

    imports: tuple[Name, ...]
    sections: tuple[tuple[str, str], ...]


def bundle(
    wanted: Iterable[Name], *, stand_ins: Mapping[Name, Name], overrides: Mapping[Name, str]
) -> Bundle:
    """These definitions and all that they use.

    A name with a stand-in is replaced by it wherever it is used; `overrides` are definitions in other words.
    """
    collector = _Collector(stand_ins, overrides)
    for name in wanted:
        collector.take(name)
    return collector.bundle()


def import_lines(imports: Iterable[Name]) -> list[str]:
    """The import statements, sorted, one for each module."""
    plain = sorted({module for module, name in imports if not name})
    named: dict[str, set[str]] = {}
    for module, name in imports:
        if name:
            named.setdefault(module, set()).add(name)
    lines = [f"import {module}" for module in plain]
    return lines + [f"from {module} import {', '.join(sorted(named[module]))}" for module in sorted(named)]


class _Source:
    """One module's file: its definitions as text, and what its names mean."""

    def __init__(self, module: str) -> None:
        spec = find_spec(module)
        assert spec is not None
        assert spec.origin is not None
        self.module = module
        self._text = Path(spec.origin).read_text(encoding="utf-8")

    @cached_property
    def definitions(self) -> dict[str, ast.stmt]:
        """The functions, classes and constants by name, in the order of the file."""
        return {name: statement for statement in self._tree.body for name in _defined(statement)}

    @cached_property
    def imported(self) -> dict[str, Name]:
        """What the module imports at its top, by the names that it uses."""
        found: dict[str, Name] = {}
        for statement in self._tree.body:
            if isinstance(statement, ast.ImportFrom) and statement.module:
                found |= {alias.name: (statement.module, alias.name) for alias in statement.names}
            elif isinstance(statement, ast.Import):
                found |= {alias.name.partition(".")[0]: (alias.name, "") for alias in statement.names}
        return found

    def text(self, name: str) -> str:
        """The lines of a definition, with the comment above it and the docstring below it."""
        statement = self.definitions[name]
        first = min([statement.lineno, *(d.lineno for d in getattr(statement, "decorator_list", ()))])
        while self._lines[first - 2].startswith("#"):
            first -= 1
        last = statement.end_lineno or statement.lineno
        following = next((other for other in self._tree.body if other.lineno > last), None)
        if isinstance(following, ast.Expr):
            last = following.end_lineno or last
        return "\n".join(self._lines[first - 1 : last])

    @cached_property
    def _tree(self) -> ast.Module:
        return ast.parse(self._text)

    @cached_property
    def _lines(self) -> list[str]:
        return self._text.splitlines()


class _Collector:
    """Follows names from definition to definition."""

    def __init__(self, stand_ins: Mapping[Name, Name], overrides: Mapping[Name, str]) -> None:
        self._stand_ins = stand_ins
        self._overrides = overrides
        self._sources: dict[str, _Source] = {}
        self._taken: dict[str, set[str]] = {}
        self._imports: set[Name] = set()

    def take(self, name: Name) -> None:
        """Note a definition and, once, all that it uses."""
        module, own = name = self._stand_ins.get(name, name)
        taken = self._taken.setdefault(module, set())
        if own in taken:
            return
        taken.add(own)
        source = self._source(module)
        for used in _names(self._text(name)):
            meant = (module, used) if used in source.definitions else source.imported.get(used)
            meant = meant or _REPLACED_BY.get(used)
            if meant is not None:
                self._use(meant)

    def bundle(self) -> Bundle:
        """All that was noted."""
        owners = Counter(name for names in self._taken.values() for name in names)
        shared = {name for name, modules in owners.items() if modules > 1}
        sections = [(module, self._code(module, shared)) for module in self._ordered()]
        return Bundle(tuple(sorted(self._imports)), tuple(sections))

    def _use(self, name: Name) -> None:
        name = self._stand_ins.get(name, name)
        if name[0].startswith(_OWN):
            self.take(name)
        elif name[0] != "msgspec":
            self._imports.add(name)

    def _source(self, module: str) -> _Source:
        if module not in self._sources:
            self._sources[module] = _Source(module)
        return self._sources[module]

    def _text(self, name: Name) -> str:
        text = self._overrides.get(name) or self._source(name[0]).text(name[1])
        for pattern, replacement in _REPLACED:
            text = pattern.sub(replacement, text)
        return text

    def _ordered(self) -> list[str]:
        """The modules, each behind those that it imports. A stand-in and what it stands in need each other."""
        ordered: list[str] = []
        visited: set[str] = set()

        def visit(module: str) -> None:
            if module in visited:
                return
            visited.add(module)
            for needed in sorted(self._needed(module)):
                visit(needed)
            ordered.append(module)

        for module in sorted(self._taken):
            visit(module)
        return ordered

    def _needed(self, module: str) -> set[str]:
        imported = self._source(module).imported.values()
        return {self._stand_ins.get(name, name)[0] for name in imported} & self._taken.keys()

    def _code(self, module: str, shared: set[str]) -> str:
        """The module's definitions in the order of its file, names that others have too with its own in front."""
        source = self._source(module)
        code = ""
        previous: ast.stmt | None = None
        for name, statement in source.definitions.items():
            if name in self._taken[module]:
                text = self._text((module, name))
                code += _gap(previous, statement, text) + text
                previous = statement
        for used, meant in (source.imported | {name: (module, name) for name in source.definitions}).items():
            owner, own = self._stand_ins.get(meant, meant)
            called = f"_{owner.rpartition('.')[2]}{own}" if own in shared and own.startswith("_") else own
            if own and called != used:
                code = re.sub(rf"(?<![\w.]){used}\b", called, code)
        return code


def _gap(previous: ast.stmt | None, statement: ast.stmt, text: str) -> str:
    """Constants stand together, all else apart."""
    if previous is None:
        return ""
    constants = isinstance(previous, ast.Assign | ast.AnnAssign) and isinstance(
        statement, ast.Assign | ast.AnnAssign
    )
    return "\n" if constants else "\n\n\n"


def _defined(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        yield statement.target.id
    elif isinstance(statement, ast.Assign):
        yield from (target.id for target in statement.targets if isinstance(target, ast.Name))


def _names(code: str) -> list[str]:
    return sorted({node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)})

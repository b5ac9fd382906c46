"""DSPy signatures out of Python source: read as text, never run."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from promptc.cli.imports.imported import read_bytes
from promptc.spec.errors import DataError, UsageError
from promptc.spec.signature import name_problem
from promptc.spec.suggest import did_you_mean

MODULES: Mapping[str, str] = {"Predict": "predict", "ChainOfThought": "chain_of_thought"}
"""DSPy's modules that promptc has under another name."""

_PLAIN = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "None": "null"}
MOST_TYPES = 5000
"""Types within types that are read: a class may be used many times over, and by itself."""


class SourceField(msgspec.Struct, frozen=True, kw_only=True):
    """One field of a signature; `type` as a spec says it."""

    name: str
    type: dict[str, Any]
    description: str = ""


class SourceSignature(msgspec.Struct, frozen=True, kw_only=True):
    """A signature class, or the text of one."""

    name: str
    instructions: str
    inputs: tuple[SourceField, ...]
    outputs: tuple[SourceField, ...]


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """What a file of Python says: its signatures by name, and which predictor uses which of them in which module.

    `predictors` maps the names that DSPy gives to predictors (`answer` for `self.answer = …`, "" for one outside of a
    class) to pairs of signature and module. `unknown` are sentences on what was not understood.
    """

    signatures: dict[str, SourceSignature]
    predictors: dict[str, tuple[str, str]]
    unknown: tuple[str, ...] = ()

    def module_of(self, signature: SourceSignature) -> str:
        """The module that a predictor of this signature has; `predict` where there is none."""
        used = [module for name, module in self.predictors.values() if name == signature.name]
        return used[0] if used else "predict"


def read_source(path: Path) -> Source:
    """The signatures in a file. Raises DataError for what is no Python."""
    try:
        tree = ast.parse(read_bytes(path))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise DataError(path, f"not Python: {error}") from error
    return _Reader(tree).source()


def chosen(source: Source, path: Path, wanted: str) -> SourceSignature:
    """The signature of that name, or the only one. Raises UsageError."""
    if wanted and wanted not in source.signatures:
        raise UsageError(f"{path} has no signature {wanted}", did_you_mean(wanted, source.signatures))
    if not source.signatures:
        raise UsageError(f"{path} has no signature", "a class that inherits from dspy.Signature is one")
    if not wanted and len(source.signatures) > 1:
        names = ", ".join(source.signatures)
        raise UsageError(f"{path} has several signatures: {names}", f"say which: --signature {path}:NAME")
    return source.signatures[wanted or next(iter(source.signatures))]


class _Reader:
    """Reads classes and calls in a tree."""

    def __init__(self, tree: ast.Module) -> None:
        self._tree = tree
        self._classes = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
        self._unknown: list[str] = []
        self._within: list[str] = []
        self._types = 0

    def source(self) -> Source:
        signatures = {
            name: self._signature(node)
            for name, node in self._classes.items()
            if _inherits(node, "Signature")
        }
        predictors: dict[str, tuple[str, str]] = {}
        for name, call in self._calls():
            written = call.args[0] if call.args else None
            module = MODULES[_last_name(call.func)]
            if isinstance(written, ast.Constant) and isinstance(written.value, str):
                short = self._short(name or f"signature_{len(signatures) + 1}", written.value)
                if short is not None:
                    signatures[short.name] = short
                    predictors[name] = (short.name, module)
            elif isinstance(written, ast.Name):
                predictors[name] = (written.id, module)
        known = {name: used for name, used in predictors.items() if used[0] in signatures}
        return Source(signatures=signatures, predictors=known, unknown=tuple(dict.fromkeys(self._unknown)))

    def _calls(self) -> Iterator[tuple[str, ast.Call]]:
        """Assignments of a module to an attribute or a variable."""
        for node in ast.walk(self._tree):
            if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Call):
                continue
            if _last_name(node.value.func) not in MODULES:
                continue
            for target in node.targets:
                if isinstance(target, ast.Attribute):
                    yield target.attr, node.value
                elif isinstance(target, ast.Name):
                    yield "", node.value

    def _signature(self, node: ast.ClassDef) -> SourceSignature:
        sides: dict[str, list[SourceField]] = {"InputField": [], "OutputField": []}
        for statement in node.body:
            name, annotation, value = _member(statement)
            kind = _last_name(value.func) if isinstance(value, ast.Call) else ""
            if kind in sides and not name_problem(name):
                description = _keyword(value, "desc") or _keyword(value, "description")
                found = SourceField(name=name, type=self._type(annotation, name), description=description)
                sides[kind].append(found)
        doc = ast.get_docstring(node, clean=False) or ""
        return SourceSignature(
            name=node.name,
            instructions=inspect.cleandoc(doc),
            inputs=tuple(sides["InputField"]),
            outputs=tuple(sides["OutputField"]),
        )

    def _short(self, name: str, text: str) -> SourceSignature | None:
        """A signature in one line, such as `question, context: list[str] -> answer: int`."""
        left, arrow, right = text.partition("->")
        sides = []
        for side in (left, right):
            try:
                parsed = ast.parse(f"def f({side.strip()}): ...").body[0]
            except SyntaxError:
                return None
            assert isinstance(parsed, ast.FunctionDef)
            sides.append(
                tuple(
                    SourceField(name=arg.arg, type=self._type(arg.annotation, arg.arg))
                    for arg in parsed.args.args
                )
            )
        if not arrow:
            return None
        return SourceSignature(name=name, instructions="", inputs=sides[0], outputs=sides[1])

    def _type(self, node: ast.expr | None, where: str) -> dict[str, Any]:
        """An annotation as a spec's type; text for what is not understood, with a note."""
        self._types += 1
        found = self._known_type(node, where) if self._types <= MOST_TYPES else None
        if found is None:
            self._unknown.append(f"the type of {where}, {ast.unparse(node) if node else '?'}: taken as text")
            return {"type": "string"}
        return found

    def _known_type(self, node: ast.expr | None, where: str) -> dict[str, Any] | None:
        if node is None:
            return {"type": "string"}
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            quoted = _expression(node.value)
            return self._known_type(quoted, where) if quoted is not None else None
        if isinstance(node, ast.Constant) and node.value is None:
            return {"type": "null"}
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            return self._union([node.left, node.right], where)
        if isinstance(node, ast.Subscript):
            return self._generic(node, where)
        name = _last_name(node)
        if name in _PLAIN:
            return {"type": _PLAIN[name]}
        if name in ("list", "List"):
            return {"type": "array"}
        if name in ("dict", "Dict"):
            return {"type": "object", "additionalProperties": True}
        if name not in self._classes or name in self._within:
            return None
        self._within.append(name)
        found = self._class(self._classes[name], where)
        self._within.pop()
        return found

    def _generic(self, node: ast.Subscript, where: str) -> dict[str, Any] | None:
        name = _last_name(node.value)
        inner = list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]
        if name == "Literal":
            values = [part.value for part in inner if isinstance(part, ast.Constant)]
            return {"enum": values} if len(values) == len(inner) else None
        if name in ("list", "List", "Sequence", "tuple", "set"):
            return {"type": "array", "items": self._type(inner[0], where)}
        if name in ("dict", "Dict") and len(inner) == 2:
            return {"type": "object", "additionalProperties": self._type(inner[1], where)}
        if name == "Optional":
            return self._union([*inner, ast.Constant(None)], where)
        if name == "Union":
            return self._union(inner, where)
        return self._known_type(inner[0], where) if name == "Annotated" else None

    def _union(self, parts: list[ast.expr], where: str) -> dict[str, Any]:
        types = [self._type(part, where) for part in parts]
        others = [one for one in types if one != {"type": "null"}]
        whole = others[0] if len(others) == 1 else {"anyOf": others}
        return {**whole, "nullable": True} if len(others) < len(types) else whole

    def _class(self, node: ast.ClassDef, where: str) -> dict[str, Any] | None:
        """An enum's values, or the members of a model or a typed dictionary."""
        if _inherits(node, "Enum") or _inherits(node, "StrEnum"):
            values = [
                value.value for _, _, value in map(_member, node.body) if isinstance(value, ast.Constant)
            ]
            return {"enum": values} if values else None
        if not (_inherits(node, "BaseModel") or _inherits(node, "TypedDict")):
            return None
        properties = {}
        for statement in node.body:
            name, annotation, value = _member(statement)
            if name and annotation is not None:
                said = _keyword(value, "description")
                properties[name] = {
                    **self._type(annotation, f"{where}.{name}"),
                    **({"description": said} if said else {}),
                    **({"optional": True} if _has_default(value) else {}),
                }
        return {"type": "object", "properties": properties}


def _expression(text: str) -> ast.expr | None:
    """A quoted annotation; None where it is none."""
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError):
        return None


def _member(statement: ast.stmt) -> tuple[str, ast.expr | None, ast.expr | None]:
    """Name, annotation and value of a class's member; "" for other statements."""
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return statement.target.id, statement.annotation, statement.value
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
        return statement.targets[0].id, None, statement.value
    return "", None, None


def _has_default(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Call) and _last_name(value.func) == "Field":
        given = [keyword.arg for keyword in value.keywords]
        return bool({"default", "default_factory"} & set(given)) or bool(
            value.args and not _is_ellipsis(value.args[0])
        )
    return value is not None


def _is_ellipsis(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is ...


def _inherits(node: ast.ClassDef, base: str) -> bool:
    return any(_last_name(each) == base for each in node.bases)


def _last_name(node: ast.expr) -> str:
    """`Signature` of `dspy.Signature`; "" for what is no name."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _keyword(node: ast.expr | None, name: str) -> str:
    """A keyword argument that is a text."""
    for keyword in node.keywords if isinstance(node, ast.Call) else ():
        if (
            keyword.arg == name
            and isinstance(keyword.value, ast.Constant)
            and isinstance(keyword.value.value, str)
        ):
            return keyword.value.value
    return ""

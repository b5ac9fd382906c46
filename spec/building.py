"""From a checked tree to the parts of a spec. What has been found wrong before is left out, not guessed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

import msgspec

from promptc.spec.diagnostics import Findings
from promptc.spec.expressions import ExpressionError, compile_expression, wrong_reference
from promptc.spec.fields import field_tree
from promptc.spec.files import Folder
from promptc.spec.gates import parse_gate
from promptc.spec.model import (
    Budget,
    Check,
    DataSource,
    Gate,
    MetricUse,
    Model,
    Promotion,
    RetrieverUse,
    RunSettings,
    Subprogram,
    ToolUse,
)
from promptc.spec.nodes import Node, Path, children, dotted, plain
from promptc.spec.plugin import Plugin
from promptc.spec.structure import Schema, whole_numbers
from promptc.spec.type_text import TypeTextError
from promptc.spec.types import TypeBuilder

RETRIEVER_KEYS = ("k",)
TOOL_KEYS = ("description", "effects", "timeout", "stubs")
METRIC_KEYS = ("name", "weight", "negate", "field", "expected", "when", "model")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+://")

Scope = dict[str, frozenset[str] | None]
ProgramReader = Callable[["Parts", Node, str], Subprogram | None]
"""Reads what `program:` names, for the step of that name; None where it is wrong."""


class Parts:
    """Reads the parts of a spec that stand on their own. `broken` holds the paths of what does not fit the
    grammar.

    Paths are seen from `root`, which is the whole spec or, with a `prefix`, a step in it.
    """

    def __init__(
        self,
        root: Node,
        *,
        folder: Folder,
        schema: Schema,
        findings: Findings,
        broken: frozenset[Path],
        prefix: Path = (),
    ) -> None:
        self.root = root
        self.folder = folder
        self.prefix = prefix
        self._schema = schema
        self._properties = (schema["$defs"]["step"] if prefix else schema)["properties"]
        self.findings = findings
        self.broken = broken

    def of_step(self, node: Node, path: Path) -> Parts:
        """The parts of one step of this pipeline, or of this loop."""
        return Parts(
            node,
            folder=self.folder,
            schema=self._schema,
            findings=self.findings,
            broken=frozenset(bad[len(path) :] for bad in self.broken if bad[: len(path)] == path),
            prefix=(*self.prefix, *path),
        )

    def with_root(self, root: Node) -> Parts:
        """The same place with another tree."""
        return Parts(
            root,
            folder=self.folder,
            schema=self._schema,
            findings=self.findings,
            broken=self.broken,
            prefix=self.prefix,
        )

    def where(self, path: Path) -> str:
        """A path as the whole spec writes it."""
        return dotted((*self.prefix, *path))

    def usable(self, path: Path) -> bool:
        """True when nothing at the path or above it is wrong."""
        return not any(path[: len(bad)] == bad for bad in self.broken)

    def sound(self, path: Path) -> bool:
        """True when nothing at the path, above or below it is wrong."""
        return self.usable(path) and not any(bad[: len(path)] == path for bad in self.broken)

    def at(self, key: str) -> Node | None:
        """The value of a top-level key, None where it is missing or wrong; parts of it may be wrong."""
        node: Node | None = self.root.value.get(key)
        return node if node is not None and self.usable((key,)) else None

    def whole(self, key: str) -> Node | None:
        """The value of a top-level key, None where it is missing or something in it is wrong."""
        return self.at(key) if self.sound((key,)) else None

    def entries(self, key: str) -> list[tuple[Path, Node]]:
        """The entries of a top-level mapping or list in which nothing is wrong."""
        node = self.at(key)
        found = [((key, part), child) for part, child in children(node)] if node is not None else []
        return [(path, child) for path, child in found if self.sound(path)]

    def value(self, node: Node, path: Path) -> Any:
        """The plain value without what is wrong in it, whole numbers as such."""
        sound = self._sound(node, path)
        if len(path) > 1:
            return sound
        return whole_numbers(sound, self._properties[path[0]], self._schema)

    def _sound(self, node: Node, path: Path) -> Any:
        if isinstance(node.value, dict):
            return {
                key: self._sound(child, (*path, key))
                for key, child in node.value.items()
                if self.usable((*path, key))
            }
        if isinstance(node.value, list):
            return [plain(child) for index, child in enumerate(node.value) if self.usable((*path, index))]
        return node.value

    def models(self) -> dict[str, Model]:
        """Models by name. Under `model:` alone, a litellm name serves as the task model, too."""
        models: dict[str, Model] = {}
        section = whole_numbers(
            {str(path[1]): plain(node) for path, node in self.entries("models")},
            self._properties["models"],
            self._schema,
        )
        for path, node in self.entries("models"):
            entry = section[str(path[1])]
            tree = {"model": entry} if isinstance(entry, str) else entry
            model = msgspec.convert(tree, Model, strict=False)
            models[str(path[1])] = msgspec.structs.replace(model, position=node.key or node.position)
        own = self.whole("model")
        if "task" not in models and own is not None and "/" in own.value and self.usable(("models",)):
            models["task"] = Model(model=own.value, position=own.position)
        return models

    def data(self) -> DataSource:
        """Where the rows come from, with absolute paths."""
        node = self.at("data")
        if node is None:
            return DataSource()
        place = node.key or node.position
        if isinstance(node.value, str):
            return DataSource(path=self._data_path(node, ("data",)), position=place)
        tree = self.value(node, ("data",))
        for key in ("path", "train", "dev", "test"):
            if key in tree:
                tree[key] = self._data_path(node.value[key], ("data", key))
        if "rows" in tree:
            tree["rows"] = plain(node.value["rows"])
        if isinstance(tree.get("split"), dict):
            self._check_folds(tree, node)
            if not any(tree["split"].get(key, 1) for key in ("train", "dev", "test")):
                self._error("all shares are 0: no row is left", node.value["split"], ("data", "split"))
        self._check_sources(tree, node)
        return msgspec.structs.replace(msgspec.convert(tree, DataSource, strict=False), position=place)

    def _check_folds(self, tree: dict[str, Any], node: Node) -> None:
        """Folds take the place of what else would be held out."""
        if "folds" not in tree["split"]:
            return
        place = node.value["split"].value["folds"]
        given: list[str] = [key for key in ("dev", "test") if key in tree]
        given += [f"split.{key}" for key in ("test",) if tree["split"].get(key)]
        if given:
            self._error(
                f"folds: puts each row into test once, and here is {given[0]}: too",
                place,
                ("data", "split", "folds"),
                f"take {given[0]}: out, or folds:",
            )

    def _check_sources(self, tree: dict[str, Any], node: Node) -> None:
        given = [key for key in ("path", "rows") if key in tree]
        parts = [key for key in ("train", "dev", "test") if key in tree]
        if len(given) > 1 or (given and parts):
            names = " and ".join([*given, *parts])
            hint = "name one file under path:, or files under train:, dev: and test:, or write rows:"
            self._error(f"rows come from one place, and here are {names}", node, ("data",), hint)
        if not given and not parts and not any(path[:1] == ("data",) for path in self.broken):
            self._error(
                "data: says nothing about where the rows are", node, ("data",), "add path: rows.jsonl"
            )

    def _data_path(self, node: Node, path: Path) -> str:
        text: str = node.value
        if _SCHEME.match(text) or "\0" in text:
            hint = "data is read from local files: JSONL, CSV, Parquet"
            self._error(f'"{text}" is not a path', node, path, hint)
        return os.path.normpath(self.folder.origin(node.position.file) / os.path.expanduser(text))

    def budget(self) -> Budget:
        """Walls for the run."""
        node = self.at("budget")
        if node is None:
            return Budget()
        budget = msgspec.convert(self.value(node, ("budget",)), Budget, strict=False)
        return msgspec.structs.replace(budget, position=node.key or node.position)

    def run(self) -> RunSettings:
        """How the run behaves."""
        node = self.at("run")
        if node is None:
            return RunSettings()
        run = msgspec.convert(self.value(node, ("run",)), RunSettings, strict=False)
        wanted = re.search(r"[@^](\d+)$", run.reduce)
        if wanted is not None and int(wanted[1]) > run.repeat:
            self._error(
                f"{run.reduce} needs {wanted[1]} runs of each row, and repeat is {run.repeat}",
                node.value["reduce"],
                ("run", "reduce"),
                f"write repeat: {2 * int(wanted[1])}, say: more runs make the estimate better",
            )
        return run

    def gates(self) -> tuple[Gate, ...]:
        """Promises about figures."""
        gates = []
        for path, node in self.entries("gates"):
            try:
                gates.append(parse_gate(node.value, node.position))
            except TypeTextError as error:
                place = node.inside(error.offset, error.length)
                self.findings.error(error.message, place, path=self.where(path), hint=error.hint)
        return tuple(gates)

    def promotion(self) -> Promotion | None:
        """Where a winner is copied to: a JSON file, whose way begins at the spec's folder."""
        node = self.whole("promote")
        if node is None:
            return None
        written = plain(node)
        place = node.value["path"] if isinstance(node.value, dict) else node
        parts = {"path": written} if isinstance(written, str) else written
        path = parts["path"]
        if os.path.isabs(path) or _SCHEME.match(path) or not path.endswith(".json"):
            self._error(
                f'promote: "{path}" is no place for a compiled program',
                place,
                ("promote",),
                "write a path relative to the spec that ends in .json, such as prompts/triage.json",
            )
            return None
        return Promotion(**parts, position=node.position)

    def plugin(self, kind: str, node: Node, path: Path) -> Plugin:
        """A plug-in as data. A name alone that needs parameters is an error."""
        if isinstance(node.value, str):
            plugin = Plugin(kind=kind, name=node.value, position=node.position)
        else:
            ((name, child),) = node.value.items()
            schema = self._schema["$defs"][kind]["properties"].get(name)
            params = whole_numbers(plain(child) or {}, schema, self._schema)
            plugin = Plugin(kind=kind, name=name, params=params, position=child.key or node.position)
        self._check_required(plugin, node, path)
        return plugin

    def _check_required(self, plugin: Plugin, node: Node, path: Path) -> None:
        schema = self._schema["$defs"][plugin.kind]["properties"].get(plugin.name, {})
        missing = [name for name in schema.get("required", ()) if name not in plugin.params]
        if not missing:
            return
        examples = schema["properties"][missing[0]].get("examples", [""])
        shown = msgspec.json.encode(examples[0]).decode()
        self._error(
            f'the {plugin.kind} "{plugin.name}" needs {" and ".join(missing)}',
            node,
            path,
            f"write {plugin.name}: {{{missing[0]}: {shown}}}",
        )

    def retrievers(self) -> dict[str, RetrieverUse]:
        """Where passages are found, by name; documents with absolute paths."""
        return {str(path[1]): self._retriever(node, path) for path, node in self.entries("retrievers")}

    def _retriever(self, node: Node, path: Path) -> RetrieverUse:
        plugin = self.plugin("retriever", node, path)
        own = {key: value for key, value in plugin.params.items() if key in RETRIEVER_KEYS}
        params = {key: value for key, value in plugin.params.items() if key not in RETRIEVER_KEYS}
        if "documents" in params:
            written = node.value[plugin.name].value["documents"]
            params["documents"] = self._data_path(written, (*path, plugin.name, "documents"))
        judged = msgspec.structs.replace(plugin, params=params)
        return RetrieverUse(plugin=judged, name=str(path[1]), position=node.key or node.position, **own)

    def tools(self, types: TypeBuilder) -> dict[str, ToolUse]:
        """What models may call, by name; the arguments that one declares as plain field types."""
        return {str(path[1]): self._tool(node, path, types) for path, node in self.entries("tools")}

    def _tool(self, node: Node, path: Path, types: TypeBuilder) -> ToolUse:
        plugin = self.plugin("tool", node, path)
        own = {key: value for key, value in plugin.params.items() if key in TOOL_KEYS}
        params = {key: value for key, value in plugin.params.items() if key not in TOOL_KEYS}
        if "arguments" in params:
            declared = node.value[plugin.name].value["arguments"]
            fields = types.fields(declared, (*path, plugin.name, "arguments"))
            params["arguments"] = {field.name: field_tree(field) for field in fields}
        plugin = msgspec.structs.replace(plugin, params=params)
        tree = {**own, "plugin": plugin, "name": str(path[1]), "position": node.key or node.position}
        return msgspec.convert(tree, ToolUse, strict=False)

    def metrics(self, scope: Scope, programs: ProgramReader) -> tuple[MetricUse, ...]:
        """Metrics with what they are applied to. Every name is there once."""
        uses = [self._metric(node, path, scope, programs) for path, node in self.entries("metrics")]
        return self._named(uses)

    def _metric(self, node: Node, path: Path, scope: Scope, programs: ProgramReader) -> MetricUse:
        plugin = self.plugin("metric", node, path)
        own = {key: value for key, value in plugin.params.items() if key in METRIC_KEYS}
        rest = {key: value for key, value in plugin.params.items() if key not in METRIC_KEYS}
        if "when" in own:
            where = (*path, plugin.name, "when")
            self.expression(node.value[plugin.name].value["when"], where, scope)
        if "weight" in own:
            own["weight"] = float(own["weight"])
        if rest.get("program") is not None:
            own["program"] = self._judging(node.value[plugin.name], (*path, plugin.name), programs)
        judged = {"plugin": msgspec.structs.replace(plugin, params=rest), "position": plugin.position}
        return MetricUse(**{"name": "", **own, **judged})

    def _judging(self, node: Node, path: Path, programs: ProgramReader) -> Subprogram | None:
        """The program that judges, as a step of the metric's name; its task model is the metric's."""
        program = node.value["program"]
        model = node.value.get("model", msgspec.structs.replace(program, value="judge"))
        own = self.of_step(msgspec.structs.replace(node, value={"model": model, "program": program}), path)
        return programs(own, program, str(path[-1]))

    def _named(self, uses: list[MetricUse]) -> tuple[MetricUse, ...]:
        """A metric without a name is called like its plug-in, and by its field where that stands twice."""
        kinds = [use.plugin.name for use in uses if not use.name]
        named: list[MetricUse] = []
        taken: set[str] = set()
        for use in uses:
            name = use.name or use.plugin.name
            if not use.name and kinds.count(name) > 1 and use.field:
                name = f"{name}_{use.field}"
            if name in taken:
                self.findings.error(
                    f'two metrics are called "{name}"',
                    use.position,
                    path="metrics",
                    hint="give one of them a name:",
                )
            taken.add(name)
            named.append(msgspec.structs.replace(use, name=name))
        return tuple(named)

    def checks(self, scope: Scope | None) -> tuple[Check, ...]:
        """What must hold of a reply."""
        checks = []
        for path, node in self.entries("assert"):
            where, text = checked_text(path, node)
            if self.expression(text, where, scope):
                tree = {"check": node.value} if isinstance(node.value, str) else self.value(node, path)
                check = msgspec.convert(tree, Check, strict=False)
                checks.append(msgspec.structs.replace(check, position=text.position))
        return tuple(checks)

    def expression(self, node: Node, path: Path, scope: Scope | None) -> bool:
        """Note what is wrong with an expression; True when nothing is. Without a scope, any name will do."""
        try:
            expression = compile_expression(node.value)
        except ExpressionError as error:
            wrong: ExpressionError | None = error
        else:
            wrong = wrong_reference(expression, scope) if scope is not None else None
        if wrong is None:
            return True
        place = node.inside(wrong.offset, wrong.length)
        self.findings.error(wrong.message, place, path=self.where(path), hint=wrong.hint)
        return False

    def texts(self, key: str) -> tuple[str, ...]:
        """A top-level list of texts."""
        return tuple(node.value for _, node in self.entries(key))

    def _error(self, message: str, node: Node, path: Path, hint: str = "") -> None:
        self.findings.error(message, node.place, path=self.where(path), hint=hint)


def checked_text(path: Path, node: Node) -> tuple[Path, Node]:
    """The expression of an assertion, with its path."""
    return (path, node) if isinstance(node.value, str) else ((*path, "check"), node.value["check"])

"""Whether the steps of a pipeline fit together: names, references, types, cycles, and what nothing reads."""

from __future__ import annotations

import graphlib
from collections.abc import Iterable, Mapping, Sequence

from promptc.spec.building import Parts, Scope, checked_text
from promptc.spec.expressions import ExpressionError, compile_expression
from promptc.spec.fields import Field
from promptc.spec.model import Loop, PythonCall, Retrieve, SetValues, Stage, Step
from promptc.spec.nodes import Path, find
from promptc.spec.pipeline import Written
from promptc.spec.program import module_name, step_scope
from promptc.spec.suggest import did_you_mean
from promptc.spec.type_text import Schema

Known = Mapping[str, "tuple[Field, ...] | None"]
"""What each name of the scope holds: fields, or None where nobody knows."""


def stage_expressions(stage: Stage) -> dict[str, str]:
    """Every expression of a step, by a name of its own; those of a loop's steps too."""
    action = stage.action
    texts = {f"inputs.{name}": text for name, text in stage.inputs.items()}
    texts |= {key: text for key in ("when", "foreach") if (text := getattr(stage, key)) is not None}
    if isinstance(action, SetValues):
        texts |= {f"set.{name}": text for name, text in action.values.items()}
    elif isinstance(action, Step):
        texts |= {f"assert.{index}": check.check for index, check in enumerate(action.checks)}
    elif isinstance(action, Retrieve) and isinstance(action.filter, str):
        texts["filter"] = action.filter
    elif isinstance(action, Loop):
        texts |= {"until": action.until} if action.until is not None else {}
        for inner in action.stages:
            texts |= {f"{inner.name}.{name}": text for name, text in stage_expressions(inner).items()}
    return texts


def names_within(stage: Stage) -> tuple[str, ...]:
    """The step's name, and those of a loop's steps, which are seen from outside too."""
    inner = stage.action.stages if isinstance(stage.action, Loop) else ()
    return (stage.name, *(name for one in inner for name in names_within(one)))


def needs(stages: Sequence[Stage]) -> tuple[frozenset[int], ...]:
    """Per step the places of those whose outputs it reads. Its own are left out: a loop's steps read each other."""
    owner = {name: place for place, stage in enumerate(stages) for name in names_within(stage)}
    found = []
    for place, stage in enumerate(stages):
        roots: set[str] = set()
        for text in stage_expressions(stage).values():
            roots |= _roots(text)
        found.append(frozenset(owner[root] for root in roots if root in owner) - {place})
    return tuple(found)


def _roots(text: str) -> frozenset[str]:
    try:
        return compile_expression(text).roots
    except ExpressionError:
        return frozenset()


def schema_of(text: str, known: Known) -> Schema | None:
    """The type of an expression that is a plain path, or the first of several of one type; None where unclear."""
    try:
        expression = compile_expression(text)
    except ExpressionError:
        return None
    paths = [".".join(reference.names) for reference in expression.references]
    plain = text.strip() == paths[0] if len(paths) == 1 else False
    compact = "".join(text.split())
    if not plain and compact != f"first({','.join(paths)})":
        return None
    found = [_schema_at(reference.names, known) for reference in expression.references]
    return found[0] if found and all(one == found[0] for one in found) else None


def _schema_at(names: Sequence[str], known: Known) -> Schema | None:
    fields = known.get(names[0])
    if fields is None or len(names) != 2:
        return None
    return next((field.schema for field in fields if field.name == names[1]), None)


class Wiring:
    """Checks the steps of one pipeline, and of the loops in it. `outer` is what is known outside of the steps."""

    def __init__(self, written: Sequence[Written], outer: Known, taken: Iterable[str]) -> None:
        self._written = tuple(written)
        self._outer = outer
        self._taken = frozenset(taken)

    def check(self) -> None:
        """Note everything that does not fit."""
        self._check_names(self._written, set())
        known = self.known()
        for written in self._written:
            self._check_stage(written, known)
        self._check_cycles()

    def known(self) -> dict[str, tuple[Field, ...] | None]:
        """What every name holds, outside of any loop."""
        return {**self._outer, **_fields_of(self._written)}

    def _check_names(self, written: Sequence[Written], seen: set[str]) -> None:
        for one in written:
            name, parts = one.stage.name, one.parts
            if name in seen:
                self._error(parts, ("step",), f'two steps are called "{name}"', "rename one of them")
            if name in self._taken:
                self._error(parts, ("step",), f'"{name}" is an input and a step', "rename one of them")
            seen.add(name)
            self._check_names(one.inner, seen)

    def _check_stage(self, written: Written, known: Known) -> None:
        stage, parts = written.stage, written.parts
        if stage.foreach is not None:
            node = parts.root.value["foreach"]
            path: Path = ("foreach",) if isinstance(node.value, str) else ("foreach", "over")
            self._expression(parts, path, known)
        inside = {**known, "item": None} if stage.foreach is not None else known
        for name in stage.inputs:
            self._expression(parts, ("inputs", name), inside)
        if stage.when is not None:
            self._expression(parts, ("when",), inside)
        self._check_action(written, inside)
        self._check_default(stage, parts)

    def _check_action(self, written: Written, known: Known) -> None:
        stage, parts, action = written.stage, written.parts, written.stage.action
        if isinstance(action, Step):
            self._check_inputs(stage, parts, action.signature.inputs, known)
            own = step_scope(action.signature, module_name(parts))
            scope = {**_scope(known), "args": own["args"], "self": own["self"]}
            for path, node in parts.entries("assert"):
                where, text = checked_text(path, node)
                if not _broken(text.value):
                    parts.expression(text, where, scope)
        elif isinstance(action, Retrieve):
            self._check_inputs(stage, parts, (_QUERY,), known)
            if isinstance(action.filter, str):
                self._expression(parts, ("filter",), known)
        elif isinstance(action, PythonCall):
            if action.signature is not None:
                self._check_inputs(stage, parts, action.signature.inputs, known)
        elif isinstance(action, SetValues):
            for name in action.values:
                self._expression(parts, ("set", name), known)
        elif isinstance(action, Loop):
            self._check_loop(written, action, known)
        else:
            self._check_inputs(stage, parts, action.inputs, known)

    def _check_loop(self, written: Written, loop: Loop, known: Known) -> None:
        rounds = {**known, "previous": None}
        for inner in written.inner:
            self._check_stage(inner, rounds)
            self._check_previous(inner, frozenset(names_within(written.stage)) - {written.stage.name})
        if loop.until is not None:
            self._expression(written.parts, ("loop", "until"), rounds)
        cycle = _cycle(loop.stages)
        if cycle:
            first = next(one for one in written.inner if one.stage.name == cycle[0])
            self._error(
                first.parts,
                ("step",),
                f"steps wait for each other: {' -> '.join(cycle)}",
                "what a step said in the round before is previous.<step>.<field>",
            )

    def _check_previous(self, written: Written, names: frozenset[str]) -> None:
        """`previous.<step>.x` names a step of the loop."""
        for key, text in stage_expressions(written.stage).items():
            if _broken(text):
                continue
            for reference in compile_expression(text).references:
                if (
                    reference.names[0] == "previous"
                    and len(reference.names) > 1
                    and reference.names[1] not in names
                ):
                    self._error(
                        written.parts,
                        _place_of(key),
                        f'the loop has no step "{reference.names[1]}"',
                        did_you_mean(reference.names[1], sorted(names)),
                    )

    def _check_inputs(self, stage: Stage, parts: Parts, fields: Sequence[Field], known: Known) -> None:
        """What is wired in is what the step takes, and of its types."""
        by_name = {field.name: field for field in fields}
        for name, text in stage.inputs.items():
            if name not in by_name:
                hint = did_you_mean(name, by_name) or f"it takes {', '.join(by_name) or 'nothing'}"
                self._error(parts, ("inputs", name), f'the step takes no "{name}"', hint)
                continue
            given = schema_of(text, known)
            wanted = by_name[name].schema
            problem = mismatch(given, wanted) if given is not None else ""
            if problem:
                self._error(parts, ("inputs", name), f'"{name}" does not fit: {problem}', "")
        if not parts.sound(("inputs",)):
            return
        for field in fields:
            if field.required and field.name not in stage.inputs:
                self._error(
                    parts,
                    ("inputs",) if "inputs" in parts.root.value else ("step",),
                    f'nothing is wired to "{field.name}"',
                    f"add inputs: {{{field.name}: {self._suggested(field.name, known, stage.name)}}}",
                )

    def _suggested(self, name: str, known: Known, own: str) -> str:
        """A path that could be wired to a field: one with its name, else the first there is."""
        for root, fields in known.items():
            if root != own and any(field.name == name for field in fields or ()):
                return f"{root}.{name}"
        first = (known.get("inputs") or (Field(name="x"),))[0]
        return f"inputs.{first.name}"

    def _check_default(self, stage: Stage, parts: Parts) -> None:
        if stage.on_error != "default":
            return
        action = stage.action
        fields: tuple[Field, ...] | None = stage.outputs
        if isinstance(action, Step | PythonCall) and action.signature is not None:
            fields = action.signature.outputs
        if isinstance(action, Retrieve | SetValues | Loop) or fields is None:
            self._error(
                parts,
                ("on_error",),
                "there is no default to go on with here",
                "on_error: skip makes its fields null",
            )
            return
        without = [field.name for field in fields if field.required]
        if without:
            self._error(
                parts,
                ("on_error",),
                f"on_error: default, and {' and '.join(without)} has no default",
                "give it one in fields: {outputs: {…: {default: …}}}",
            )

    def _check_cycles(self) -> None:
        cycle = _cycle([written.stage for written in self._written])
        if cycle:
            first = next(one for one in self._written if one.stage.name == cycle[0])
            self._error(
                first.parts,
                ("step",),
                f"steps wait for each other: {' -> '.join(cycle)}",
                "repeat them with loop: {max: 3, steps: …}, or take one of the references out",
            )

    def _expression(self, parts: Parts, path: Path, known: Known) -> None:
        node = find(parts.root, path)
        if node is not None and parts.sound(path):
            parts.expression(node, path, _scope(known))

    def _error(self, parts: Parts, path: Path, message: str, hint: str) -> None:
        node = find(parts.root, path)
        place = (node.key or node.position) if node is not None and len(path) > 1 else None
        if place is None:
            place = node.place if node is not None else parts.root.place
        parts.findings.error(message, place, path=parts.where(path), hint=hint)


_QUERY = Field(name="query", schema={"type": ["string", "array"], "items": {"type": "string"}})


def unread(stages: Sequence[Stage], results: Mapping[str, str]) -> list[str]:
    """The steps whose outputs no other step and no result reads."""
    read: set[str] = set()
    for text in results.values():
        read |= _roots(text)
    for stage in stages:
        for text in stage_expressions(stage).values():
            read |= _roots(text) - set(names_within(stage))
    return [stage.name for stage in stages if not read & set(names_within(stage))]


def mismatch(given: Schema, wanted: Schema) -> str:
    """Why a value of one type can never be one of the other; "" where it may."""
    have, want = _kinds(given), _kinds(wanted)
    if not have or not want or have & want or ("integer" in have and "number" in want):
        if (
            have & want == {"array"}
            and isinstance(given.get("items"), dict)
            and isinstance(wanted.get("items"), dict)
        ):
            inner = mismatch(given["items"], wanted["items"])
            return f"in the list, {inner}" if inner else ""
        return ""
    return f"it is wired to {_words(have)}, and wants {_words(want)}"


def _kinds(schema: Schema) -> frozenset[str]:
    kinds = schema.get("type", ())
    if not kinds and "enum" in schema:
        kinds = ["string"] if all(isinstance(value, str) for value in schema["enum"]) else []
    return frozenset([kinds] if isinstance(kinds, str) else kinds) - {"null"}


_WORDS = {
    "string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false",
    "array": "a list", "object": "an object",
}  # fmt: skip


def _words(kinds: frozenset[str]) -> str:
    return " or ".join(_WORDS.get(kind, kind) for kind in sorted(kinds))


def _fields_of(written: Sequence[Written]) -> dict[str, tuple[Field, ...] | None]:
    known: dict[str, tuple[Field, ...] | None] = {}
    for one in written:
        known[one.stage.name] = one.stage.outputs
        known |= _fields_of(one.inner)
    return known


def _scope(known: Known) -> Scope:
    return {
        name: None if fields is None else frozenset(field.name for field in fields)
        for name, fields in known.items()
    }


def _cycle(stages: Sequence[Stage]) -> list[str]:
    """The names around a cycle, the first one again at the end; empty where there is none."""
    for stage in stages:
        own = set(names_within(stage)) if not isinstance(stage.action, Loop) else set()
        if any(own & _roots(text) for text in stage_expressions(stage).values()):
            return [stage.name, stage.name]
    try:
        graph = dict(enumerate(needs(stages)))
        tuple(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        return [stages[place].name for place in reversed(error.args[1])]
    return []


def _broken(text: str) -> bool:
    try:
        compile_expression(text)
    except ExpressionError:
        return True
    return False


def _place_of(key: str) -> Path:
    """The path of an expression in its step, from the name that `stage_expressions` gave it."""
    head, _, rest = key.partition(".")
    if head in ("inputs", "set"):
        return (head, rest)
    return ("assert", int(rest)) if head == "assert" else (head,)

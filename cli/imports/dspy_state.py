"""`--from dspy`: a program's state (what DSPy's `save` writes as JSON), its signatures' source, or both.

The state has instructions, descriptions and demos, but neither names nor types, and does not say which field goes in:
these stand in the source. Without it they are guessed, and the guess is named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from promptc.cli.imports.dspy_draft import Notes, Predictor, predictor_draft, signature_draft
from promptc.cli.imports.dspy_source import Source, SourceSignature, chosen, read_source
from promptc.cli.imports.imported import DEFAULT_FILE, Draft, Imported, Wanted, read_json
from promptc.cli.wishes import plain_name
from promptc.spec.errors import DataError, UsageError


def from_dspy(wanted: Wanted) -> Imported:
    """A spec for each predictor. Raises UsageError, DataError."""
    if wanted.file.suffix in (".pkl", ".pickle"):
        raise UsageError(
            f"{wanted.file} is a pickle, which runs code when it is read: promptc never does",
            "save the state as JSON: program.save('program.json')",
        )
    notes = Notes()
    source, path, name = _source(wanted)
    if wanted.file.suffix == ".py":
        drafts = _of_source(wanted, source, path, name)
    else:
        drafts = _of_state(wanted, source, path, name, notes)
    return _imported(wanted, drafts, source, notes)


def _of_source(wanted: Wanted, source: Source, path: Path, name: str) -> list[Draft]:
    """A spec for the signature that was named, or for each of the file."""
    if name or len(source.signatures) < 2:
        only = chosen(source, path, name)
        return [Draft(tree=signature_draft(wanted, only, source.module_of(only)))]
    return [
        Draft(tree=tree, file=f"{tree['name']}.yaml")
        for signature in source.signatures.values()
        for tree in [signature_draft(wanted, signature, source.module_of(signature))]
    ]


def _of_state(wanted: Wanted, source: Source, path: Path, name: str, notes: Notes) -> list[Draft]:
    """A spec for each predictor of a state."""
    predictors = _predictors(read_json(wanted.file), wanted.file)
    alone = len(predictors) == 1
    drafts = []
    for predictor in predictors:
        signature = _signature_of(predictor, source, path, name, alone)
        called = plain_name(wanted.file.stem if alone else predictor.name.removesuffix(".predict"))
        tree = predictor_draft(wanted, predictor, signature, called, notes)
        drafts.append(Draft(tree=tree, file=DEFAULT_FILE if alone else f"{called}.yaml"))
    if not alone:
        files = ", ".join(draft.file for draft in drafts)
        notes.lost.append(
            f"how the {len(drafts)} predictors are wired, which is Python: there is a spec for each ({files})"
        )
    return drafts


def _imported(wanted: Wanted, drafts: Sequence[Draft], source: Source, notes: Notes) -> Imported:
    judged = dict.fromkeys(_judged(draft) for draft in drafts)
    missing = ["the metric and the optimizer, which are Python"]
    if wanted.data is None:
        missing.append(
            "rows, of which DSPy's files hold none: name yours with --data FILE, or as data: in the spec"
        )
    return Imported(
        drafts=tuple(drafts),
        guessed=(*dict.fromkeys(notes.guessed), *judged),
        lost=tuple(dict.fromkeys([*missing, *notes.lost, *source.unknown])),
    )


def _judged(draft: Draft) -> str:
    """Which metric was taken for which field."""
    pairs = [(kind, own["field"]) for entry in draft.tree["metrics"] for kind, own in entry.items()]
    return "metrics, by the types of fields: " + ", ".join(f"{kind} for {field}" for kind, field in pairs)


def _source(wanted: Wanted) -> tuple[Source, Path, str]:
    """The source that was named, its path, and the class in it that is meant."""
    file, _, name = (wanted.signature or "").partition(":")
    path = Path(file) if file else wanted.file
    if path.suffix == ".py":
        return read_source(path), path, name
    if file:
        raise UsageError(f"--signature {wanted.signature}: expected FILE.py or FILE.py:CLASS")
    return Source(signatures={}, predictors={}), path, ""


def _predictors(state: Any, path: Path) -> list[Predictor]:
    """Every predictor in a state, in its order. Raises DataError where there is none."""
    if not isinstance(state, dict):
        raise DataError(path, "not a state of DSPy's: expected a JSON object")
    entries = [("", state)] if "signature" in state else list(state.items())
    found = [
        _predictor(name, value)
        for name, value in entries
        if isinstance(value, dict) and isinstance(value.get("signature"), dict)
    ]
    if not found:
        raise DataError(
            path, "not a state of DSPy's: no predictor in it", hint="program.save('program.json') writes one"
        )
    return found


def _predictor(name: str, state: Mapping[str, Any]) -> Predictor:
    extended = state.get("extended_signature")
    signature = extended if isinstance(extended, dict) else state["signature"]
    fields = [field for field in signature.get("fields") or () if isinstance(field, dict)]
    return Predictor(
        name=name,
        instructions=str(signature.get("instructions") or ""),
        fields=tuple(
            (str(field.get("prefix") or ""), str(field.get("description") or "")) for field in fields
        ),
        demos=tuple(demo for demo in state.get("demos") or () if isinstance(demo, dict)),
        lm=state["lm"] if isinstance(state.get("lm"), dict) else {},
    )


def _signature_of(
    predictor: Predictor, source: Source, path: Path, name: str, alone: bool
) -> SourceSignature | None:
    """The signature in the source that belongs to a predictor; None without a source. Raises UsageError."""
    if not source.signatures:
        return None
    own = predictor.name.removesuffix("predict").removesuffix(".")
    if not name and own in source.predictors:
        return source.signatures[source.predictors[own][0]]
    if not name and not alone:
        raise UsageError(
            f"{path} does not say which signature {predictor.name} has",
            "promptc looks for self.NAME = dspy.Predict(SIGNATURE) or dspy.ChainOfThought(SIGNATURE)",
        )
    return chosen(source, path, name)

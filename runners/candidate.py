"""What an optimizer may change, as plain data."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import msgspec

from promptc.runners.retrievers.words import Language


class Called(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A tool that a model called, and what came back. `failed` says that `result` is what went wrong."""

    tool: str
    arguments: Any = {}
    result: str = ""
    failed: bool = False


class Turn(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One reply on the way to an answer: what the model said, and what it called. `ends` where the answer came so."""

    text: str = ""
    calls: tuple[Called, ...] = ()
    ends: bool = False


class Demo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A worked example in a prompt: `labeled` (from the data) or `bootstrapped` (from a trace that passed).

    `turns` are what a module with tools did on the way.
    """

    inputs: dict[str, Any]
    outputs: dict[str, Any]
    turns: tuple[Turn, ...] = ()
    source: Literal["labeled", "bootstrapped"] = "labeled"
    row_id: str = ""


class Nearest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Shows a row only the `k` of a predictor's demos that are most like it, the most similar one last.

    `by` words (bm25, of a `language`) or by vectors (dense, of a `model`; hashed where the spec names none). `fields`
    are the inputs that are compared, all where none is named. No row is shown a demo with its own inputs.
    """

    k: int
    by: Literal["bm25", "dense"] = "bm25"
    language: Language | None = None
    fields: tuple[str, ...] = ()
    model: str = ""

    def in_words(self) -> str:
        """Which demos these are: `the 4 demos that are most like it, by the words in question`."""
        by = "words" if self.by == "bm25" else "vectors"
        of = f" of {' and '.join(self.fields)}" if self.fields else ""
        return f"the {self.k} demos that are most like it, by the {by}{of}"


class PredictorTexts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one predictor says: instructions, descriptions of its fields (only those that differ), demos, model.

    With `nearest`, each row sees a few of the demos only; without, it is as the predictor's module says, else all.
    """

    instructions: str = ""
    descriptions: dict[str, str] = {}
    demos: tuple[Demo, ...] = ()
    model: str = ""
    nearest: Nearest | None = None


class Candidate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Per predictor its texts, and the choices under `tune:`. Equal content has an equal digest."""

    predictors: dict[str, PredictorTexts] = {}
    choices: dict[str, Any] = {}

    def digest(self) -> str:
        """12 hex digits that name the candidate in trials and reports."""
        canonical = msgspec.json.encode(self, order="deterministic")
        return hashlib.blake2b(canonical, digest_size=6).hexdigest()

    def with_predictor(self, name: str, texts: PredictorTexts) -> Candidate:
        """A new candidate in which one predictor says something else."""
        return msgspec.structs.replace(self, predictors={**self.predictors, name: texts})

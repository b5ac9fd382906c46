"""What an optimizer may change, as plain data."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import msgspec


class Demo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A worked example in a prompt: `labeled` (from the data) or `bootstrapped` (from a trace that passed)."""

    inputs: dict[str, Any]
    outputs: dict[str, Any]
    source: Literal["labeled", "bootstrapped"] = "labeled"
    row_id: str = ""


class PredictorTexts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one predictor says: instructions, descriptions of its fields (only those that differ), demos, model."""

    instructions: str = ""
    descriptions: dict[str, str] = {}
    demos: tuple[Demo, ...] = ()
    model: str = ""


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

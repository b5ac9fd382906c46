"""The spec as data: everything a YAML file can say, checked, with defaults filled in.

A `Spec` is built by `promptc.spec.load` and by nothing else. It is frozen, holds plain data only, and
compares equal when it says the same.
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import msgspec

from promptc.spec.diagnostics import Position
from promptc.spec.fields import Field, Signature
from promptc.spec.plugin import Plugin

Transport = Literal["litellm", "direct", "embedded", "script", "replay"]

MODEL_ROLES: tuple[str, ...] = ("task", "teacher", "proposer", "judge", "embed", "extract")
"""Names under `models:` that have a meaning of their own; all but `embed` fall back to `task`."""


class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """US dollars per million tokens."""

    input: float
    output: float
    cached_input: float | None = None


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Walls that the user sets for a model: requests a minute, tokens a minute, requests at once."""

    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """One language model and how to reach it.

    `model` is a litellm name (`openai/gpt-4.1`) or `embedded/icl`, `embedded/script`. `api_key`,
    `api_key_command` and values of `headers` may hold `${env:NAME}`: these stay unresolved here and are
    resolved when the model is opened, so that no secret is ever part of a spec. `timeout` is in seconds.
    """

    model: str
    api_base: str | None = None
    api_key: str | None = None
    api_key_command: str | None = None
    headers: dict[str, str] = {}
    transport: Transport | None = None
    timeout: float | None = None
    price: Price | None = None
    limits: Limits = Limits()
    params: dict[str, Any] = {}
    on_unsupported: Literal["error", "drop"] = "error"
    batch: bool = False
    position: Position | None = None


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """How one file of rows is cut into train, dev and test. Shares are relative and need not sum to 1."""

    train: float = 0.4
    dev: float = 0.3
    test: float = 0.3
    seed: int | None = None
    stratify: str | None = None
    group: str | None = None
    folds: int | None = None


class DataSource(msgspec.Struct, frozen=True, kw_only=True):
    """Where the rows come from. Paths are absolute. `files` maps train, dev, test (or `path`) to a file."""

    path: str | None = None
    train: str | None = None
    dev: str | None = None
    test: str | None = None
    rows: tuple[dict[str, Any], ...] | None = None
    id: str | None = None
    cluster: str | None = None
    on_error: Literal["fail", "skip"] = "fail"
    split: Split = Split()
    position: Position | None = None


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """An assertion on a step: an expression that must be true, and what to tell the model when it is not."""

    check: str
    message: str = ""
    retries: int = 2
    suggest: bool = False
    position: Position | None = None


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One module with its signature: the place in a program that does something.

    `model` is a name under `models:` or a litellm name. `freeze` says what an optimizer must leave alone;
    `keep` lists sentences that stand verbatim in every proposal. `demos` are rows given by hand.
    """

    name: str
    signature: Signature
    module: Plugin
    format: Plugin
    model: str = "task"
    demos: tuple[dict[str, Any], ...] | Literal["none"] | None = None
    keep: tuple[str, ...] = ()
    freeze: tuple[Literal["instructions", "descriptions", "demos"], ...] = ()
    checks: tuple[Check, ...] = ()
    position: Position | None = None


class MetricUse(msgspec.Struct, frozen=True, kw_only=True):
    """One entry under `metrics:`: a metric and what it is applied to.

    `field` is the output field that is judged (None: the only one, or the whole prediction for metrics that
    want it); `expected` the gold column. `when` is an expression over the row: where it is false the metric
    abstains.
    """

    plugin: Plugin
    name: str
    weight: float = 1.0
    negate: bool = False
    field: str | None = None
    expected: str | None = None
    when: str | None = None
    model: str = "judge"
    position: Position | None = None


class RoleBudget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A wall for one role."""

    calls: int | None = None
    tokens: int | None = None
    usd: float | None = None


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """Walls for the whole run: replies, tokens, US dollars, minutes; and for single roles."""

    calls: int | None = None
    tokens: int | None = None
    usd: float | None = None
    minutes: float | None = None
    roles: dict[str, RoleBudget] = {}
    position: Position | None = None


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """A promise about a figure: `path` into summary.json or timing.json, an operator, a number."""

    text: str
    path: str
    operator: Literal[">=", ">", "<=", "<", "==", "!="]
    value: float
    position: Position | None = None


class RunSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a run behaves. `concurrency` and `timeout` (seconds per request) change no result."""

    seed: int = 0
    concurrency: int = 64
    timeout: float = 120.0
    retries: int = 5
    format_retries: int = 2
    repeat: int = 1
    pass_rule: str | None = None
    max_unscored: float = 0.02
    cache: bool = True
    journal: Literal["file", "memory"] = "file"
    record: dict[str, str] = {}
    runner: str = "local"


class Spec(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A whole spec. Two are equal when they say the same, wherever and however it is written.

    `base` is the folder of the spec's file, against which its relative paths were resolved. `resolved` is the
    tree after `extends`, includes and overrides, with defaults left out and credentials unresolved: what
    `spec.resolved.yaml` shows and what a run's identity is computed from. `files` maps every file that the
    spec includes to the digest of its content. `positions` and `key_positions` map dotted paths
    (`data.split.stratify`, `metrics.0.exact_match.field`) to the place of the value and of its key, in the
    file in which they stand.
    """

    version: int
    name: str
    description: str = ""
    base: str = "."
    source: str = ""
    models: dict[str, Model] = {}
    data: DataSource = DataSource()
    inputs: tuple[Field, ...] = ()
    outputs: tuple[Field, ...] = ()
    steps: tuple[Step, ...] = ()
    metrics: tuple[MetricUse, ...] = ()
    objective: tuple[str, ...] = ()
    slices: tuple[str, ...] = ()
    optimizer: Plugin | None = None
    budget: Budget = Budget()
    gates: tuple[Gate, ...] = ()
    run: RunSettings = RunSettings()
    resolved: dict[str, Any] = {}
    files: dict[str, str] = {}
    positions: dict[str, Position] = {}
    key_positions: dict[str, Position] = {}

    def digest(self) -> str:
        """32 hex digits over what the spec says, whatever its layout, comments and file name."""
        canonical = msgspec.json.encode(self.resolved, order="deterministic")
        return hashlib.blake2b(canonical, digest_size=16).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spec) and self.resolved == other.resolved

    def __hash__(self) -> int:
        return hash(self.digest())

    def model_named(self, name: str) -> Model:
        """The model behind a name under `models:`, a role that falls back to `task`, or a litellm name."""
        if name in self.models:
            return self.models[name]
        if name in MODEL_ROLES and name != "embed" and "task" in self.models:
            return self.models["task"]
        return Model(model=name)

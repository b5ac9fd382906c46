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

DEFAULT_K = 4
"""How many passages a search brings where nobody says."""


FOLD = "fold"
"""The slice that a cross-validation adds."""


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
    `keep` lists sentences that stand verbatim in every proposal. `demos` are rows given by hand. `path` is where the
    step stands in the spec, "" where the whole spec is the step.
    `temperature` is a choice of a search; None leaves it to the model's own parameters.
    """

    name: str
    signature: Signature
    module: Plugin
    format: Plugin
    model: str = "task"
    temperature: float | None = None
    demos: tuple[dict[str, Any], ...] | Literal["none"] | None = None
    keep: tuple[str, ...] = ()
    freeze: tuple[Literal["instructions", "descriptions", "demos"], ...] = ()
    checks: tuple[Check, ...] = ()
    path: str = ""
    position: Position | None = None

    def at(self, key: str) -> str:
        """The dotted path of one of the step's keys in the spec."""
        return f"{self.path}.{key}" if self.path else key


class Retrieve(msgspec.Struct, frozen=True, kw_only=True):
    """Ask a retriever. `filter` is a mapping of metadata, or an expression that gives one."""

    retriever: str
    k: int | None = None
    filter: dict[str, Any] | str | None = None


class PythonCall(msgspec.Struct, frozen=True, kw_only=True):
    """Call a function of the user's. Without a signature, whatever mapping it returns is what comes out."""

    reference: str
    signature: Signature | None = None


class SetValues(msgspec.Struct, frozen=True, kw_only=True):
    """Compute values from others, each by an expression."""

    values: dict[str, str]


class Loop(msgspec.Struct, frozen=True, kw_only=True):
    """Repeat steps, `most` rounds at the most, until an expression is true."""

    stages: tuple[Stage, ...]
    most: int
    until: str | None = None


class Subprogram(msgspec.Struct, frozen=True, kw_only=True):
    """Another program as one step, with steps of its own, whose names begin with the step's.

    `inputs` and `outputs` are its fields, `results` the expressions of its outputs. `texts` is a candidate as plain
    data: what the predictors of an artifact say, by their names in this program. `source` is all of it as a spec says
    it: its folder, its own spec, the candidate. `model` stands for the program's task model; nothing of a `frozen` one
    changes.
    """

    stages: tuple[Stage, ...]
    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    results: dict[str, str]
    texts: dict[str, Any] = {}
    source: dict[str, Any] = {}
    model: str = "task"
    frozen: bool = False


Action = Step | Retrieve | PythonCall | SetValues | Loop | Subprogram


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """A step of a pipeline: what it does and how it is wired.

    `inputs` maps what goes in to expressions. Under `foreach` the action runs once for each element, at most
    `most_items`, and what comes out are lists. `outputs` are its fields as the other steps see them; None where
    nobody knows them before it has run.
    """

    name: str
    action: Action
    outputs: tuple[Field, ...] | None
    inputs: dict[str, str] = {}
    when: str | None = None
    foreach: str | None = None
    most_items: int = 0
    on_error: Literal["fail", "default", "skip"] = "fail"
    position: Position | None = None


class MetricUse(msgspec.Struct, frozen=True, kw_only=True):
    """One entry under `metrics:`: a metric and what it is applied to.

    `field` is the output field that is judged (None: the only one, or the whole prediction for metrics that
    want it); `expected` the gold column. `when` is an expression over the row: where it is false the metric
    abstains. `program` judges in the place of a rubric, its steps named after the metric.
    """

    plugin: Plugin
    name: str
    weight: float = 1.0
    negate: bool = False
    field: str | None = None
    expected: str | None = None
    when: str | None = None
    model: str = "judge"
    program: Subprogram | None = None
    position: Position | None = None


class RetrieverUse(msgspec.Struct, frozen=True, kw_only=True):
    """One entry under `retrievers:`: where passages are found, and how many a search brings unless it says so."""

    plugin: Plugin
    name: str
    k: int = DEFAULT_K
    position: Position | None = None


Effects = Literal["none", "read", "write"]
"""What a tool does outside: nothing, look something up, or change something."""


class Stub(msgspec.Struct, frozen=True, kw_only=True):
    """What a tool answers in place of being called, where the arguments hold all of these values.

    `tool` names a function of a server that offers several; None where there is only one.
    """

    result: Any
    arguments: dict[str, Any] = {}
    tool: str | None = None


class ToolUse(msgspec.Struct, frozen=True, kw_only=True):
    """One entry under `tools:`: what a model may call, under the name by which it does.

    `description` and `effects` go before what the tool says of itself. `timeout` is in seconds for one call.
    """

    plugin: Plugin
    name: str
    description: str = ""
    effects: Effects | None = None
    timeout: float = 30.0
    stubs: tuple[Stub, ...] = ()
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


class Promotion(msgspec.Struct, frozen=True, kw_only=True):
    """Where a winner's artifact is copied to, seen from the spec's folder, and what the verdict has to be for that."""

    path: str
    when: Literal["improved", "gates"] = "improved"
    position: Position | None = None


class RunSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a run behaves. `concurrency` and `timeout` (seconds per request) change no result."""

    seed: int = 0
    concurrency: int = 64
    timeout: float = 120.0
    retries: int = 5
    format_retries: int = 2
    repeat: int = 1
    reduce: str = "mean"
    pass_rule: str | None = None
    max_unscored: float = 0.02
    cache: bool = True
    journal: Literal["file", "memory"] = "file"
    record: dict[str, str] = {}
    runner: str = "local"


class Spec(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A whole spec. Two are equal when they say the same, wherever and however it is written.

    `steps` are all steps that carry a signature out, wherever they stand; `stages` is the pipeline that they stand
    in, empty where there is only the one step; `results` the expressions of the pipeline's outputs.
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
    stages: tuple[Stage, ...] = ()
    results: dict[str, str] = {}
    retrievers: dict[str, RetrieverUse] = {}
    tools: dict[str, ToolUse] = {}
    metrics: tuple[MetricUse, ...] = ()
    objective: tuple[str, ...] = ()
    slices: tuple[str, ...] = ()
    optimizer: Plugin | None = None
    tune: dict[str, tuple[Any, ...]] = {}
    budget: Budget = Budget()
    gates: tuple[Gate, ...] = ()
    run: RunSettings = RunSettings()
    promote: Promotion | None = None
    resolved: dict[str, Any] = {}
    files: dict[str, str] = {}
    positions: dict[str, Position] = {}
    key_positions: dict[str, Position] = {}

    def digest(self) -> str:
        """32 hex digits over what the spec says, whatever its layout, comments and file name."""
        canonical = msgspec.json.encode(
            self.resolved
        )  # in its own order: that of fields and labels is in the prompt
        return hashlib.blake2b(canonical, digest_size=16).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spec) and self.resolved == other.resolved

    def __hash__(self) -> int:
        return hash(self.digest())

    @property
    def sliced(self) -> tuple[str, ...]:
        """The columns whose values get figures of their own; a cross-validation adds its folds."""
        folds = (FOLD,) if self.data.split.folds is not None and FOLD not in self.slices else ()
        return (*self.slices, *folds)

    def model_named(self, name: str) -> Model:
        """The model behind a name under `models:`, a role that falls back to `task`, or a litellm name."""
        if name in self.models:
            return self.models[name]
        if name in MODEL_ROLES and name != "embed" and "task" in self.models:
            return self.models["task"]
        return Model(model=name)

"""What a run says in figures: summary.json, as data. It holds no time, no latency, no retry and no cache hit."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from promptc.runners.baselines import BaselineComparison
from promptc.runners.evaluate import RowRecord
from promptc.runners.grouping import by_value, clusters_of
from promptc.runners.judging import Judge
from promptc.runners.ledger import Amount, Ledger
from promptc.runners.metrics.protocol import Score
from promptc.runners.program import Prediction
from promptc.runners.repeat_figures import RepeatFigures, repeat_figures
from promptc.runners.rows import Example
from promptc.runners.statistics import mean_interval

SUMMARY_VERSION = 1
FRONT_FOLDER = "compiled/front"


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A mean with its 95 % interval over `n` rows; all None where n is 0."""

    score: float | None
    ci_low: float | None
    ci_high: float | None
    n: int


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """The paired difference winner − start of one metric or one slice; `p_adjusted` is Holm's, over all beside it."""

    difference: float
    ci_low: float
    ci_high: float
    p: float
    p_adjusted: float
    n: int
    wins: int = 0
    ties: int = 0
    losses: int = 0


class Improvement(msgspec.Struct, frozen=True, kw_only=True):
    """The paired difference winner − start, with interval, p and what they mean; wins, ties and losses count rows.

    `detectable` is the smallest difference that these rows show four times out of five. `metrics` and `slices` part
    the difference, where there are several metrics, and slices.
    """

    difference: float
    ci_low: float
    ci_high: float
    p: float
    permutation_p: float = 1.0
    detectable: float | None = None
    wins: int = 0
    ties: int = 0
    losses: int = 0
    verdict: str = ""
    fallen_slices: int = 0
    metrics: dict[str, Change] = {}
    slices: dict[str, dict[str, Change]] = {}


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """The winner's score on dev, by which it was chosen, minus that on test, with its 95 % interval."""

    difference: float
    ci_low: float
    ci_high: float


class SplitSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one candidate on one split.

    `metrics` has a figure per metric, `tallies` what a metric says about all rows together (macro-F1, a confusion
    matrix), `slices` a figure per column and value, `failures` a count per kind. `unscored` rows failed without a
    score, `abstained` rows had no gold for any metric. `passed` is the share of rows that the pass rule passes, and
    `repeats` says how much the runs of a row differ. `start` and `improvement` stand beside an optimized result.
    """

    score: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    metrics: dict[str, Figure] = {}
    tallies: dict[str, dict[str, Any]] = {}
    slices: dict[str, dict[str, Figure]] = {}
    failures: dict[str, int] = {}
    rows: int = 0
    unscored: int = 0
    abstained: int = 0
    reasks: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None
    passed: Figure | None = None
    repeats: RepeatFigures | None = None
    start: SplitSummary | None = None
    improvement: Improvement | None = None


class RoleCost(msgspec.Struct, frozen=True, kw_only=True):
    """What one role asked for, at recorded prices."""

    calls: int
    tokens: int
    usd: float


class GateResult(msgspec.Struct, frozen=True, kw_only=True):
    """A gate and the figure it was held against; `status` says whether it was met, or did not apply."""

    text: str
    value: float | None
    status: Literal["met", "failed", "not applicable", "missing"]
    threshold: float | None = None


class VerdictLine(msgspec.Struct, frozen=True, kw_only=True):
    """One reason for an exit code, in words."""

    code: int
    message: str


class TrialLine(msgspec.Struct, frozen=True, kw_only=True):
    """A trial in short: a line of trials.jsonl, without the rows' scores.

    `cost` (US dollars, None where a price is unknown) and the tokens are those of its own pass over dev; `spent` is
    what the whole run had asked for when the trial was done. Trials that were tried together have the same.
    """

    number: int
    candidate: str
    origin: str
    score: float | None
    ci_low: float | None = None
    ci_high: float | None = None
    n: int = 0
    prompt_characters: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None
    spent: RoleCost | None = None


class FrontMember(msgspec.Struct, frozen=True, kw_only=True):
    """A trial that no other beats at one objective without losing at another.

    `figures` has its value on dev for each objective, None where it is not known.
    """

    number: int
    candidate: str
    origin: str
    figures: dict[str, float | None]
    prompt_characters: int
    won: bool = False

    @property
    def folder(self) -> str:
        """Where it lies, below the run directory."""
        return f"{FRONT_FOLDER}/trial-{self.number}"


class FoldLine(msgspec.Struct, frozen=True, kw_only=True):
    """One of the searches that a cross-validation makes: its start and its winner on the rows that it never saw."""

    fold: int
    rows: int
    trials: int
    winner: str
    start_score: float | None
    score: float | None
    stop_reason: str = ""


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """summary.json: everything that a run found out, the same on every replay.

    `exit_code` is the highest-ranking of `verdicts`. `skipped` says why nothing was done, "" where something was.
    `splits` stand at the top level of the JSON (`train`, `dev`, `test`, `all`).
    """

    version: int = SUMMARY_VERSION
    command: str = ""
    name: str = ""
    identity: str = ""
    optimizer: str = ""
    stop_reason: str = ""
    verdict: str = ""
    skipped: str = ""
    exit_code: int = 0
    verdicts: tuple[VerdictLine, ...] = ()
    train: SplitSummary | None = None
    dev: SplitSummary | None = None
    test: SplitSummary | None = None
    all: SplitSummary | None = None
    folds: tuple[FoldLine, ...] = ()
    gap: Gap | None = None
    baseline: BaselineComparison | None = None
    gates: tuple[GateResult, ...] = ()
    cost: dict[str, RoleCost] = {}
    calls: int = 0
    tokens: int = 0
    usd: float = 0.0
    trials: tuple[TrialLine, ...] = ()
    winner: TrialLine | None = None
    objectives: tuple[str, ...] = ()
    front: tuple[FrontMember, ...] = ()
    served_models: dict[str, tuple[str, ...]] = {}
    notes: tuple[str, ...] = ()

    def split(self, name: str) -> SplitSummary | None:
        """The figures of a split by its name."""
        return {"train": self.train, "dev": self.dev, "test": self.test, "all": self.all}.get(name)


def figure(
    scores: Sequence[float], *, binary: bool, clusters: Sequence[Hashable] | None, seed: int
) -> Figure:
    """A mean with its interval."""
    if not len(scores):
        return Figure(score=None, ci_low=None, ci_high=None, n=0)
    interval = mean_interval(scores, binary=binary, clusters=clusters, seed=seed)
    return Figure(score=interval.mean, ci_low=interval.low, ci_high=interval.high, n=interval.n)


def summarize(
    records: Iterable[RowRecord],
    examples: Sequence[Example],
    judge: Judge,
    *,
    slices: Sequence[str] = (),
    cluster: str | None = None,
    seed: int = 0,
) -> SplitSummary:
    """The figures of one candidate's records, which stand in the order of the examples."""
    rows = list(zip(records, examples, strict=True))

    def over(chosen: Iterable[tuple[RowRecord, Example]], value: _Value, binary: bool) -> Figure:
        scored = [(v, e) for r, e in chosen if (v := value(r)) is not None]
        clusters = clusters_of((e for _, e in scored), cluster)
        return figure([v for v, _ in scored], binary=binary, clusters=clusters, seed=seed)

    whole = over(rows, lambda r: r.score, judge.binary_rows)
    return SplitSummary(
        score=whole.score,
        ci_low=whole.ci_low,
        ci_high=whole.ci_high,
        n=whole.n,
        metrics={
            m.use.name: over(rows, _metric_value(m.use.name), judge.binary_metric(m)) for m in judge.metrics
        },
        tallies=_tallies(rows, judge),
        slices={
            column: {
                value: over(chosen, lambda r: r.score, judge.binary_rows)
                for value, chosen in by_value(rows, column).items()
            }
            for column in slices
        },
        failures=_counts(r.failure.kind for r, _ in rows if r.failure is not None),
        rows=len(rows),
        unscored=sum(1 for r, _ in rows if r.failure is not None and not r.failure.scored),
        abstained=sum(1 for r, _ in rows if r.failure is None and r.score is None),
        reasks=sum(r.reasks for r, _ in rows),
        input_tokens=sum(r.input_tokens for r, _ in rows),
        output_tokens=sum(r.output_tokens for r, _ in rows),
        cost=total_cost(r.cost for r, _ in rows),
        passed=over(rows, _passed, True) if judge.repeats.pass_rule else None,
        repeats=repeat_figures([r for r, _ in rows], judge.repeats),
    )


def costs(ledger: Ledger) -> dict[str, RoleCost]:
    """What each role asked for so far."""
    return {role: role_cost(amount) for role, amount in ledger.by_role().items()}


def role_cost(amount: Amount) -> RoleCost:
    """An amount as a summary keeps it."""
    return RoleCost(calls=int(amount.calls), tokens=int(amount.tokens), usd=round(amount.usd, 10))


_Value = Any


def _metric_value(name: str) -> _Value:
    return lambda record: record.metrics.get(name)


def _tallies(rows: Sequence[tuple[RowRecord, Example]], judge: Judge) -> dict[str, dict[str, Any]]:
    figures: dict[str, dict[str, Any]] = {}
    for applied in judge.metrics:
        tally = applied.tally()
        if tally is None:
            continue
        for record, example in rows:
            value = record.metrics.get(applied.use.name)
            if value is None:
                continue
            prediction = Prediction(outputs=record.outputs or {})
            details: Mapping[str, Any] = record.details.get(applied.use.name, {})
            tally.add(applied.case(example.row, prediction), Score(value, details=dict(details)))
        figures[applied.use.name] = tally.figures()
    return figures


def _passed(record: RowRecord) -> float | None:
    return None if record.passed is None else float(record.passed)


def _counts(kinds: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for kind in kinds:
        counts[kind] = counts.get(kind, 0) + 1
    return dict(sorted(counts.items()))


def total_cost(costs_of_rows: Iterable[float | None]) -> float | None:
    """US dollars of all rows together; None where a price is unknown."""
    whole = 0.0
    for cost in costs_of_rows:
        if cost is None:
            return None
        whole += cost
    return round(whole, 10)

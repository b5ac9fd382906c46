"""Baselines: the scores that a new run is held against, row by row, as a small file that belongs in the repository."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from promptc.runners.finished_run import FinishedRun, ScoredRow, open_run
from promptc.runners.hook_source import hook_digest
from promptc.runners.metrics.registry import ASKING
from promptc.runners.rows import Example
from promptc.runners.statistics import Difference, paired_difference
from promptc.runners.trust import code_of
from promptc.spec.errors import DataError, UsageError
from promptc.spec.model import Spec

BASELINE_VERSION = 1

BaselineVerdict = Literal["regression", "tie", "improvement", "not enough data"]


class BaselineRow(msgspec.Struct, frozen=True):
    """A row by its id and the digest of its content, with its score; null where it had none."""

    id: str
    digest: str
    score: float | None


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """The scores of an earlier run. `scoring` is the digest of what judged them."""

    baseline: int = BASELINE_VERSION
    name: str = ""
    split: str = ""
    identity: str = ""
    scoring: str = ""
    score: float | None = None
    rows: tuple[BaselineRow, ...] = ()


class Allowance(msgspec.Struct, frozen=True):
    """How far a score may fall, and how sure a fall must be to count."""

    max_drop: float = 0.02
    alpha: float = 0.05


class BaselineComparison(msgspec.Struct, frozen=True, kw_only=True):
    """A run beside its baseline: the paired difference on the rows that both scored, with interval and p.

    `before` and `after` are the means over these rows. `missing` rows are in the baseline alone, `new` ones in this run
    alone, `changed` ones have other content than they had; none of them is compared.
    """

    source: str
    verdict: BaselineVerdict
    before: float | None
    after: float | None
    difference: float
    ci_low: float
    ci_high: float
    p: float
    n: int
    wins: int
    ties: int
    losses: int
    detectable: float | None
    max_drop: float
    alpha: float
    missing: int = 0
    new: int = 0
    changed: int = 0


def scoring_digest(spec: Spec) -> str:
    """Equal for runs whose scores may be compared: metrics, objective, reducer, judges, and the code of metrics."""
    judges = {
        use.model: spec.model_named(use.model).model for use in spec.metrics if use.plugin.name in ASKING
    }
    parts = {
        "metrics": spec.resolved.get("metrics"),
        "objective": spec.resolved.get("objective"),
        "reduce": spec.run.reduce,
        "judges": judges,
        "code": {
            use.reference: hook_digest(spec.base, use.reference)
            for use in code_of(spec)
            if use.kind == "function" and use.used_by.startswith("metric ")
        },
    }
    return hashlib.blake2b(msgspec.json.encode(parts, order="deterministic"), digest_size=16).hexdigest()


def read_baseline(path: Path) -> Baseline:
    """A baseline from its file, or from a run's directory. Raises UsageError, DataError."""
    if path.is_dir():
        return of_run(open_run(path))
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"the baseline {path} cannot be read: {error.strerror}",
            "write one with `promptc eval --save-baseline FILE`, or name a run's directory",
        ) from error
    try:
        found = msgspec.json.decode(content, type=Baseline)
    except msgspec.DecodeError as error:
        raise DataError(
            path, f"not a baseline: {error}", hint="write it anew with --save-baseline"
        ) from error
    if found.baseline != BASELINE_VERSION:
        raise DataError(
            path, f"a baseline of version {found.baseline}, and this promptc reads {BASELINE_VERSION}"
        )
    return found


def of_run(run: FinishedRun) -> Baseline:
    """The scores of a finished run; of an `optimize` those of its winner on test."""
    rows = list(run.rows())
    scores = [row.score for row in rows if row.score is not None]
    return Baseline(
        name=run.marker.name,
        split=rows[0].split if rows else "",
        identity=run.marker.identity,
        scoring=run.digests.get("scoring", ""),
        score=sum(scores) / len(scores) if scores else None,
        rows=tuple(BaselineRow(row.id, row.digest, row.score) for row in rows),
    )


def baseline_bytes(baseline: Baseline) -> bytes:
    """The file: a row a line, in the order of the ids, so that a version control shows what changed."""
    head = msgspec.json.encode(msgspec.structs.replace(baseline, rows=()))[: -len(b'"rows":[]}')]
    lines = [msgspec.json.encode(row) for row in sorted(baseline.rows, key=lambda row: row.id)]
    return head + b'"rows":[\n' + b",\n".join(lines) + b"\n]}\n"


def check_comparable(baseline: Baseline, examples: Sequence[Example], scoring: str, source: str) -> None:
    """Raise UsageError for a baseline of other rows or other metrics, before anything is paid."""
    if baseline.scoring and baseline.scoring != scoring:
        raise UsageError(
            f"the baseline {source} was scored otherwise: by other metrics, another judge or another reducer",
            "save it anew with --save-baseline; `eval --from RUN` scores an earlier run's replies again",
        )
    known = {row.id: row.digest for row in baseline.rows}
    if not any(known.get(example.id) in ("", example.digest) for example in examples):
        raise UsageError(
            f"not one of these {len(examples)} rows is in the baseline {source} (split {baseline.split or 'unknown'})",
            "score the rows that it holds, or save it anew with --save-baseline",
        )


def compared_with(
    baseline: Baseline,
    rows: Iterable[ScoredRow],
    allowance: Allowance,
    *,
    source: str,
    clusters: Mapping[str, Hashable] | None = None,
    seed: int = 0,
) -> BaselineComparison:
    """A run's rows beside those of the baseline with the same id and content. `clusters` names each row's, by id."""
    known = {row.id: row for row in baseline.rows}
    now = list(rows)
    same = [row for row in now if row.id in known and known[row.id].digest in ("", row.digest)]
    scored = [(known[row.id].score, row) for row in same if row.score is not None]
    pairs = [(before, row.score, row.id) for before, row in scored if before is not None]
    found = paired_difference(
        [before for before, _, _ in pairs],
        [after for _, after, _ in pairs],
        binary=all(score in (0.0, 1.0) for before, after, _ in pairs for score in (before, after)),
        clusters=[clusters.get(name) for _, _, name in pairs] if clusters is not None else None,
        confidence=1 - allowance.alpha,
        seed=seed,
    )
    return BaselineComparison(
        source=source,
        verdict=baseline_verdict(found, allowance),
        before=_mean([before for before, _, _ in pairs]),
        after=_mean([after for _, after, _ in pairs if after is not None]),
        difference=found.difference,
        ci_low=found.ci_low,
        ci_high=found.ci_high,
        p=found.p,
        n=found.n,
        wins=found.wins,
        ties=found.ties,
        losses=found.losses,
        detectable=found.detectable,
        max_drop=allowance.max_drop,
        alpha=allowance.alpha,
        missing=len(known.keys() - {row.id for row in now}),
        new=sum(row.id not in known for row in now),
        changed=sum(row.id in known for row in now) - len(same),
    )


def baseline_verdict(found: Difference, allowance: Allowance) -> BaselineVerdict:
    """What a difference says: the interval is that of 1 − alpha.

    A regression is a fall by more than `max_drop` that is no chance, an improvement a rise that is none. A tie is what
    rules out a fall by more than `max_drop`, or not one row that changed. All else is too little to tell.
    """
    significant = found.p < allowance.alpha and not found.ci_low <= 0 <= found.ci_high
    if significant and found.difference < -allowance.max_drop:
        return "regression"
    if significant and found.difference > 0:
        return "improvement"
    unchanged = found.n > 0 and found.wins == found.losses == 0
    return "tie" if unchanged or found.ci_low >= -allowance.max_drop else "not enough data"


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None

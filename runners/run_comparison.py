"""Finished runs beside each other: the first is what the others are held against, row by row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from promptc.runners.baselines import Allowance, baseline_verdict
from promptc.runners.comparison_document import Answered, ComparedRun, Comparison, Flip, Part, RunDifference
from promptc.runners.corrections import holm
from promptc.runners.finished_run import FinishedRun, ScoredRow
from promptc.runners.ranking import tokens_per_row, usd_per_1000_rows
from promptc.runners.run_rows import Pair, WholeRow, difference, paired, whole_rows
from promptc.runners.statistics import Difference
from promptc.runners.summary import SplitSummary, Summary
from promptc.runners.timing import Timing
from promptc.spec.errors import DataError, NothingSelected, UsageError

SPLITS = ("test", "all", "dev", "train")
"""The splits of runs in the order in which they tell something."""


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A run that was read: its figures, and the rows of the split that is compared."""

    run: FinishedRun
    label: str
    summary: Summary
    timing: Timing | None
    rows: dict[str, ScoredRow] = {}

    def on(self, split: str) -> Candidate:
        """The same with the rows of a split."""
        return msgspec.structs.replace(self, rows={row.id: row for row in self.run.rows(split)})


def read_candidate(run: FinishedRun, label: str) -> Candidate:
    """A run's summary and timing. Raises DataError."""
    try:
        summary = msgspec.json.decode((run.path / "summary.json").read_bytes(), type=Summary)
        timing = msgspec.json.decode((run.path / "timing.json").read_bytes(), type=Timing)
    except (OSError, msgspec.DecodeError) as error:
        raise DataError(run.path, f"this run cannot be read: {error}") from error
    return Candidate(run=run, label=label, summary=summary, timing=timing)


def common_split(candidates: Sequence[Candidate], wanted: str | None) -> str:
    """The split to compare: the one that is wanted, or the most telling one that all scored. Raises UsageError."""
    scored = {c.label: [name for name in SPLITS if c.summary.split(name) is not None] for c in candidates}
    for name in (wanted,) if wanted else SPLITS:
        if name is not None and all(name in splits for splits in scored.values()):
            return name
    each = "; ".join(
        f"{label} scored {' and '.join(splits) or 'nothing'}" for label, splits in scored.items()
    )
    what = f"not every run scored {wanted}" if wanted else "the runs were scored on different splits"
    raise UsageError(f"{what}: {each}", "score them on the same rows with `promptc eval RUN --split …`")


def check_scoring(candidates: Sequence[Candidate]) -> None:
    """Raise UsageError for runs whose scores were not made in the same way."""
    known = {c.label: c.run.digests.get("scoring", "") for c in candidates}
    first = next(iter(known.values()))
    other = [label for label, digest in known.items() if digest and first and digest != first]
    if other:
        raise UsageError(
            f"{other[0]} was scored otherwise than {candidates[0].label}: by other metrics, another judge or another "
            "reducer",
            "`promptc eval --from RUN` scores an earlier run's replies again, without a call",
        )


def compared_runs(
    candidates: Sequence[Candidate], split: str, allowance: Allowance, *, flips: int
) -> Comparison:
    """The runs against the first of them; at most so many flipped rows for each. Raises NothingSelected."""
    reference, *others = (candidate.on(split) for candidate in candidates)
    pairs = [paired(reference.rows, other.rows) for other in others]
    for other, found in zip(others, pairs, strict=True):
        if not found.rows:
            raise NothingSelected(
                f"no row is in both {reference.label} and {other.label}"
                + (" with the same content" if found.other_content else ""),
                "score both on the same data and split",
            )
    confidence = 1 - allowance.alpha
    wholes = [difference(found.rows, confidence=confidence) for found in pairs]
    adjusted = holm([whole.p for whole in wholes])
    letters = [_letter(number) for number in range(len(candidates))]
    differences = tuple(
        RunDifference(
            letter=letter,
            verdict=baseline_verdict(msgspec.structs.replace(whole, p=p), allowance),
            whole=_part(found.rows, None, whole, p),
            detectable=whole.detectable,
            only_before=len(reference.rows.keys() - other.rows.keys()),
            only_after=len(other.rows.keys() - reference.rows.keys()),
            other_content=found.other_content,
            metrics=_metrics(found.rows, confidence),
            slices=_slices(found.rows, confidence),
            flips=_flips(reference, other, found.rows, split, flips),
        )
        for letter, other, found, whole, p in zip(letters[1:], others, pairs, wholes, adjusted, strict=True)
    )
    return Comparison(
        split=split,
        max_drop=allowance.max_drop,
        alpha=allowance.alpha,
        runs=tuple(_run(c, letter, split) for c, letter in zip((reference, *others), letters, strict=True)),
        differences=differences,
    )


def _letter(number: int) -> str:
    """A, B … Z, AA, AB …"""
    rest = number // 26
    return (_letter(rest - 1) if rest else "") + chr(ord("A") + number % 26)


def _run(candidate: Candidate, letter: str, split: str) -> ComparedRun:
    summary = candidate.summary
    figures = summary.split(split) or SplitSummary(score=None, ci_low=None, ci_high=None, n=0)
    return ComparedRun(
        letter=letter,
        path=candidate.label,
        name=summary.name,
        command=summary.command,
        identity=summary.identity,
        score=figures.score,
        ci_low=figures.ci_low,
        ci_high=figures.ci_high,
        n=figures.n,
        usd_per_1000_rows=usd_per_1000_rows(figures),
        tokens_per_row=tokens_per_row(figures),
        median_latency=_latency(candidate.timing),
        calls=summary.calls,
        usd=summary.usd,
    )


def _latency(timing: Timing | None) -> float | None:
    """A reply's median seconds: of the task model, or of the one that was asked most."""
    asked = (
        {name: model for name, model in timing.models.items() if model.calls} if timing is not None else {}
    )
    if not asked:
        return None
    return (asked.get("task") or max(asked.values(), key=lambda model: model.calls)).median_latency


def _metrics(rows: Sequence[Pair], confidence: float) -> dict[str, Part]:
    """Every metric that both runs have; nothing where there is one, which is the score."""
    names = [name for name in rows[0][0].metrics if name in rows[0][1].metrics]
    if len(names) < 2:
        return {}
    found = {name: difference(rows, name, confidence=confidence) for name in names}
    adjusted = holm([one.p for one in found.values()])
    return {name: _part(rows, name, one, p) for (name, one), p in zip(found.items(), adjusted, strict=True)}


def _slices(rows: Sequence[Pair], confidence: float) -> dict[str, dict[str, Part]]:
    """Every value of each column of slices, by the reference's rows."""
    groups: dict[tuple[str, str], list[Pair]] = {}
    for pair in rows:
        for column, value in pair[0].slices.items():
            groups.setdefault((column, value), []).append(pair)
    found = {place: difference(group, confidence=confidence) for place, group in sorted(groups.items())}
    adjusted = holm([one.p for one in found.values()])
    slices: dict[str, dict[str, Part]] = {}
    for ((column, value), one), p in zip(found.items(), adjusted, strict=True):
        slices.setdefault(column, {})[value] = _part(groups[column, value], None, one, p)
    return slices


def _part(rows: Sequence[Pair], metric: str | None, found: Difference, p_adjusted: float) -> Part:
    scored = [
        (one, other)
        for before, after in rows
        if (one := _value(before, metric)) is not None and (other := _value(after, metric)) is not None
    ]
    return Part(
        before=_mean(one for one, _ in scored),
        after=_mean(other for _, other in scored),
        difference=found.difference,
        ci_low=found.ci_low,
        ci_high=found.ci_high,
        p=found.p,
        p_adjusted=p_adjusted,
        n=found.n,
        wins=found.wins,
        ties=found.ties,
        losses=found.losses,
    )


def _value(row: ScoredRow, metric: str | None) -> float | None:
    return row.score if metric is None else row.metrics.get(metric)


def _mean(values: Iterable[float]) -> float | None:
    known = list(values)
    return sum(known) / len(known) if known else None


def _flips(
    reference: Candidate, other: Candidate, rows: Sequence[Pair], split: str, most: int
) -> tuple[Flip, ...]:
    """The rows whose score changed: those that lost most, then those that won most."""
    moved = [(after.score - before.score, before.id) for before, after in rows if _moved(before, after)]  # type: ignore[operator]
    moved.sort(key=lambda entry: (entry[0] > 0, -abs(entry[0])))
    chosen = [name for _, name in moved[:most]]
    before, after = (_answers(one, split, chosen) for one in (reference, other))
    return tuple(
        Flip(
            id=name,
            inputs=before[name].inputs | after[name].inputs,
            expected=before[name].expected | after[name].expected,
            before=_answered(before[name]),
            after=_answered(after[name]),
        )
        for name in chosen
    )


def _moved(before: ScoredRow, after: ScoredRow) -> bool:
    return before.score is not None and after.score is not None and before.score != after.score


def _answers(candidate: Candidate, split: str, chosen: Sequence[str]) -> Mapping[str, WholeRow]:
    wanted = frozenset(chosen)
    by = next(iter(candidate.rows.values())).candidate
    return {row.id: row for row in whole_rows(candidate.run.path, split, by) if row.id in wanted}


def _answered(row: WholeRow) -> Answered:
    failure = f"{row.failure.kind}: {row.failure.message}" if row.failure is not None else ""
    return Answered(score=row.score, outputs=row.outputs, failure=failure)

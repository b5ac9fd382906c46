"""`optimize`: search on train and dev, then score start and winner on test, once each."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from promptc.optimizers.protocol import Optimizer
from promptc.optimizers.search import Search, Trial
from promptc.optimizers.structure import choose_structure
from promptc.runners.candidate import Candidate
from promptc.runners.comparison import fallen_notes, gap
from promptc.runners.evaluate import Arm, RowRecord
from promptc.runners.grouping import clusters_of
from promptc.runners.ledger import Amount, scaled
from promptc.runners.metric_check import check_metrics
from promptc.runners.objectives import objectives
from promptc.runners.rows import Example
from promptc.runners.run_directory import LineLog
from promptc.runners.session import Session, row_line
from promptc.runners.summary import (
    Figure,
    FrontMember,
    SplitSummary,
    Summary,
    TrialLine,
    VerdictLine,
    costs,
    figure,
    role_cost,
    total_cost,
)
from promptc.runners.verdicts import split_verdicts


class Optimized(msgspec.Struct, frozen=True, kw_only=True):
    """What a search found: the winner, its figures, and the records behind them.

    `front` has a candidate for each member of the summary's front.
    """

    winner: Trial
    summary: Summary
    front: tuple[Candidate, ...]
    shown: tuple[tuple[RowRecord, Example], ...]


async def optimize(session: Session, optimizer: Optimizer, *, skip_metric_check: bool = False) -> Optimized:
    """Search for a better candidate than the session's start, and measure what was found."""
    data = session.dataset
    notes = list(data.notes)
    if not skip_metric_check:
        rows = data.train or data.dev
        notes += await check_metrics(session.evaluator, session.judge, rows, session.spec.run.seed)
    trials = session.directory.appending("trials.jsonl")
    candidates = session.directory.appending("candidates.jsonl")
    search = _search(session, trials, candidates)
    session.effects.ledger.reserve("test", _test_estimate(session))
    session.progress.phase("search", None)
    search.tuned = await choose_structure(search)
    await optimizer.optimize(search)
    session.effects.ledger.release("test")
    for log in (trials, candidates):
        log.put_in_order()
    return await _measured(session, search, notes + search.notes)


def _search(session: Session, trials: LineLog, candidates: LineLog) -> Search:
    def report(trial: Trial, best: Trial) -> None:
        line = _trial_line(session, trial)
        scores = {r.id: r.score for r in trial.records}
        trials.append(trial.number, {**msgspec.to_builtins(line), "scores": scores})
        candidates.append(
            trial.number,
            {"digest": trial.candidate.digest(), "origin": trial.origin, "candidate": trial.candidate},
        )
        for log in (trials, candidates):
            log.flush()
        session.progress.trial(trial.number, trial.origin, trial.score, best.score)

    return Search(
        session.program,
        session.evaluator,
        start=session.start,
        train=session.dataset.train,
        dev=session.dataset.dev,
        seed=session.spec.run.seed,
        judge=session.judge,
        objectives=objectives(session.spec),
        report=report,
        announce=lambda what: session.progress.phase(what, None),
    )


async def _measured(session: Session, search: Search, notes: Sequence[str]) -> Optimized:
    data, winner = session.dataset, search.best()
    start = search.trials[0] if search.trials else winner
    rows_log = session.directory.appending("rows.jsonl")
    dev = _dev_figures(session, search, start, winner)
    test: SplitSummary | None = None
    shown = tuple(zip(winner.records, search.dev, strict=True)) if winner.records else ()
    if data.test:
        arms = _distinct(start, winner)
        label = "test of start and winner together" if len(arms) > 1 else "test of the start"
        session.progress.phase(label, len(data.test) * len(arms))
        before, after = await _test(session, start, winner)
        test = session.compared(before, after, data.test)
        _log_rows(session, rows_log, "test", data.test, before, after)
        shown = tuple(zip(after, data.test, strict=True))
    elif winner.records:
        _log_rows(session, rows_log, "dev", search.dev, start.records, winner.records)
    rows_log.put_in_order()
    verdicts = (
        [VerdictLine(code=7, message="the budget did not cover a single trial")] if not search.trials else []
    )
    for name, figures in (("dev", dev), ("test", test)):
        if figures is not None:
            verdicts += split_verdicts(name, figures, session.spec.run.max_unscored)
    spent = session.effects.ledger.spent
    front = search.front() if search.objectives else []
    summary = Summary(
        command="optimize",
        name=session.spec.name,
        identity=session.directory.marker.identity,
        optimizer=session.spec.optimizer.name if session.spec.optimizer else "",
        stop_reason="budget" if search.short_of_budget else search.stop_reason,
        verdict=in_words(
            test if test is not None else dev, held_out=test is not None, won=winner is not start
        ),
        verdicts=tuple(verdicts),
        dev=dev,
        test=test,
        gap=gap(dev, test),
        cost=costs(session.effects.ledger),
        calls=int(spent.calls),
        tokens=int(spent.tokens),
        usd=round(spent.usd, 10),
        trials=tuple(_trial_line(session, trial) for trial in search.trials),
        winner=_trial_line(session, winner),
        objectives=tuple(one.name for one in search.objectives),
        front=tuple(_front_member(trial, winner) for trial in front),
        served_models=session.effects.served(),
        notes=(*notes, *_fallen(dev, test), *session.served_notes()),
    )
    return Optimized(
        winner=winner, summary=summary, front=tuple(trial.candidate for trial in front), shown=shown
    )


def _fallen(dev: SplitSummary | None, test: SplitSummary | None) -> list[str]:
    """Slices that fell, on the rows that the search never saw where there are some."""
    name, split = ("test", test) if test is not None else ("dev", dev)
    return fallen_notes(name, split) if split is not None else []


def in_words(figures: SplitSummary | None, *, held_out: bool, won: bool) -> str:
    """The outcome in one sentence."""
    if figures is None or figures.improvement is None:
        return "no verdict: nothing was scored"
    if not won:
        return "the start won: no candidate was better on dev"
    found = figures.improvement
    change = f"{found.difference:+.3f} (95 % interval {found.ci_low:+.3f} to {found.ci_high:+.3f}, p = {found.p:.2g})"
    if not held_out:
        return f"no held-out figure: on the rows that it was chosen on the score changed by {change}"
    return f"{found.verdict} on test: {change}"


async def _test(
    session: Session, start: Trial, winner: Trial
) -> tuple[tuple[RowRecord, ...], tuple[RowRecord, ...]]:
    """Records of start and winner on test; the start alone when it won."""
    arms = [Arm(compiled=session.program.compile(trial.candidate)) for trial in _distinct(start, winner)]
    results = await session.evaluator.evaluate_all(arms, session.dataset.test)
    return results[0], results[-1]


def _distinct(start: Trial, winner: Trial) -> list[Trial]:
    return [start] if winner.candidate == start.candidate else [start, winner]


def _test_estimate(session: Session) -> dict[str, Amount]:
    """Two passes over test, without re-asks: those take what the search leaves."""
    arm = Arm(compiled=session.program.compile(session.start))
    test = session.dataset.test
    if not test:
        return {}
    # The winner may have chosen a structure that asks more often.
    wider = session.program.widest_calls()[1] / max(1, session.program.calls()[1])
    return scaled(session.evaluator.nominal_estimate(arm, test), math.ceil((1 + wider) * len(test)))


def _dev_figures(session: Session, search: Search, start: Trial, winner: Trial) -> SplitSummary | None:
    if not winner.records:
        return None
    return session.compared(start.records, winner.records, search.dev)


def _log_rows(
    session: Session,
    log: LineLog,
    split: str,
    examples: Sequence[Example],
    before: Sequence[RowRecord],
    after: Sequence[RowRecord],
) -> None:
    """The lines of the start, then those of the winner; once where they are the same."""
    arms = [("start", before)] if before is after else [("start", before), ("winner", after)]
    lines = (
        (record, example, name)
        for name, records in arms
        for record, example in zip(records, examples, strict=True)
    )
    for place, (record, example, name) in enumerate(lines):
        log.append(place, row_line(record, example, session, split, name))


def _trial_line(session: Session, trial: Trial) -> TrialLine:
    scored = [
        (r.score, e) for r, e in zip(trial.records, session.dataset.dev, strict=False) if r.score is not None
    ]
    found: Figure = figure(
        [score for score, _ in scored],
        binary=session.judge.binary_rows,
        clusters=clusters_of((example for _, example in scored), session.spec.data.cluster),
        seed=session.spec.run.seed,
    )
    return TrialLine(
        number=trial.number,
        candidate=trial.candidate.digest(),
        origin=trial.origin,
        score=trial.score,
        ci_low=found.ci_low,
        ci_high=found.ci_high,
        n=found.n,
        prompt_characters=trial.prompt_characters,
        input_tokens=sum(r.input_tokens for r in trial.records),
        output_tokens=sum(r.output_tokens for r in trial.records),
        cost=total_cost(r.cost for r in trial.records),
        spent=role_cost(trial.spent),
    )


def _front_member(trial: Trial, winner: Trial) -> FrontMember:
    return FrontMember(
        number=trial.number,
        candidate=trial.candidate.digest(),
        origin=trial.origin,
        figures=trial.figures,
        prompt_characters=trial.prompt_characters,
        won=trial.number == winner.number,
    )

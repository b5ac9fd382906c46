"""What a search came to: its log while it goes on, its figures, and the sentence that a person reads first."""

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
from promptc.runners.finished_run import ROWS
from promptc.runners.grouping import clusters_of
from promptc.runners.ledger import Amount, scaled
from promptc.runners.objectives import objectives
from promptc.runners.rows import Example
from promptc.runners.session import Session, row_line
from promptc.runners.summary import (
    Figure,
    FoldLine,
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
    front: tuple[Candidate, ...] = ()
    shown: tuple[tuple[RowRecord, Example], ...]


class TrialLog:
    """trials.jsonl and candidates.jsonl, in the order of the trials of one search after the other."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._trials = session.directory.appending("trials.jsonl")
        self._candidates = session.directory.appending("candidates.jsonl")
        self._lines = 0

    def search(self, train: Sequence[Example], dev: Sequence[Example], fold: int | None = None) -> Search:
        """A search on these rows whose trials are written down; `fold` is which of several it is."""
        session = self._session
        marked = {} if fold is None else {"fold": fold}

        def report(trial: Trial, best: Trial) -> None:
            line = trial_line(session, trial, dev)
            scores = {r.id: r.score for r in trial.records}
            written = {**marked, **msgspec.to_builtins(line), "scores": scores}
            self._trials.append(self._lines, written)
            candidate = {
                "digest": trial.candidate.digest(),
                "origin": trial.origin,
                "candidate": trial.candidate,
            }
            self._candidates.append(self._lines, {**marked, **candidate})
            self._lines += 1
            for log in (self._trials, self._candidates):
                log.flush()
            session.progress.trial(trial.number, trial.origin, trial.score, best.score)

        return Search(
            session.program,
            session.evaluator,
            start=session.start,
            train=train,
            dev=dev,
            seed=session.spec.run.seed,
            judge=session.judge,
            objectives=objectives(session.spec),
            report=report,
            announce=lambda what: session.progress.phase(what, None),
        )

    def close(self) -> None:
        """No more trials come."""
        for log in (self._trials, self._candidates):
            log.put_in_order()


async def carried_out(optimizer: Optimizer, search: Search) -> None:
    """Choose among what the spec lists under tune:, then search for texts."""
    search.tuned = await choose_structure(search)
    await optimizer.optimize(search)


def start_and_winner(search: Search) -> tuple[Trial, Trial]:
    """The trial that every other is compared with, and the best of all."""
    winner = search.best()
    return (search.trials[0] if search.trials else winner), winner


async def held_out(
    session: Session, start: Trial, winner: Trial, examples: Sequence[Example], label: str
) -> tuple[tuple[RowRecord, ...], tuple[RowRecord, ...]]:
    """Records of start and winner on rows that the search never saw; of the start alone when it won."""
    distinct = [start] if winner.candidate == start.candidate else [start, winner]
    who = "start and winner together" if len(distinct) > 1 else "the start"
    session.progress.phase(f"{label} of {who}", len(examples) * len(distinct))
    arms = [Arm(compiled=session.program.compile(trial.candidate)) for trial in distinct]
    results = await session.evaluator.evaluate_all(arms, examples)
    return results[0], results[-1]


def two_passes(session: Session, examples: Sequence[Example]) -> dict[str, Amount]:
    """What scoring start and winner takes, without re-asks: those take what the search leaves."""
    arm = Arm(compiled=session.program.compile(session.start))
    if not examples:
        return {}
    # The winner may have chosen a structure that asks more often.
    wider = session.program.widest_calls()[1] / max(1, session.program.calls()[1])
    return scaled(session.evaluator.nominal_estimate(arm, examples), math.ceil((1 + wider) * len(examples)))


def write_rows(
    session: Session,
    file: str,
    split: str,
    examples: Sequence[Example],
    before: Sequence[RowRecord],
    after: Sequence[RowRecord],
) -> None:
    """A file with the lines of the start, then those of the winner; once where they are the same."""
    log = session.directory.appending(file)
    arms = [("start", before)] if before is after else [("start", before), ("winner", after)]
    for name, records in arms:
        for record, example in zip(records, examples, strict=True):
            log.append(log.count, row_line(record, example, session, split, name))
    log.put_in_order()


def on_dev(session: Session, search: Search, notes: Sequence[str]) -> Optimized:
    """What a search found where nothing is held out, or is not to be looked at: start and winner on dev."""
    start, winner = start_and_winner(search)
    write_rows(session, ROWS, "dev", search.dev if winner.records else (), start.records, winner.records)
    return Optimized(
        winner=winner,
        summary=summary_of(session, search, None, notes),
        front=tuple(trial.candidate for trial in front_of(search)),
        shown=tuple(zip(winner.records, search.dev, strict=True)) if winner.records else (),
    )


def summary_of(
    session: Session,
    search: Search,
    test: SplitSummary | None,
    notes: Sequence[str],
    folds: Sequence[FoldLine] = (),
) -> Summary:
    """Everything that a search found out, beside its figures on held-out rows."""
    start, winner = start_and_winner(search)
    dev = session.compared(start.records, winner.records, search.dev) if winner.records else None
    verdicts = []
    if not search.trials:
        verdicts.append(VerdictLine(code=7, message="the budget did not cover a single trial"))
    for name, figures in (("dev", dev), ("test", test)):
        if figures is not None:
            verdicts += split_verdicts(name, figures, session.spec.run.max_unscored)
    spent = session.effects.ledger.spent
    return Summary(
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
        folds=tuple(folds),
        gap=gap(dev, test),
        cost=costs(session.effects.ledger),
        calls=int(spent.calls),
        tokens=int(spent.tokens),
        usd=round(spent.usd, 10),
        trials=tuple(trial_line(session, trial, search.dev) for trial in search.trials),
        winner=trial_line(session, winner, search.dev),
        objectives=tuple(one.name for one in search.objectives),
        front=tuple(_front_member(trial, winner) for trial in front_of(search)),
        served_models=session.effects.served(),
        notes=(*notes, *_fallen(dev, test), *session.served_notes()),
    )


def front_of(search: Search) -> list[Trial]:
    """The trials that no other beats, where the spec names several objectives."""
    return search.front() if search.objectives else []


def _front_member(trial: Trial, winner: Trial) -> FrontMember:
    return FrontMember(
        number=trial.number,
        candidate=trial.candidate.digest(),
        origin=trial.origin,
        figures=trial.figures,
        prompt_characters=trial.prompt_characters,
        won=trial.number == winner.number,
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


def trial_line(session: Session, trial: Trial, dev: Sequence[Example]) -> TrialLine:
    """A trial in short. Its records stand in the order of the first rows of dev."""
    scored = [(r.score, e) for r, e in zip(trial.records, dev, strict=False) if r.score is not None]
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

"""`optimize`: search on train and dev, then score start and winner on test, once each."""

from __future__ import annotations

from collections.abc import Sequence

from promptc.optimizers.folds import cross_validated
from promptc.optimizers.outcome import (
    Optimized,
    TrialLog,
    carried_out,
    front_of,
    held_out,
    log_rows,
    start_and_winner,
    summary_of,
    two_passes,
)
from promptc.optimizers.protocol import Optimizer
from promptc.optimizers.search import Search
from promptc.runners.metric_check import check_metrics
from promptc.runners.session import Session


async def optimize(session: Session, optimizer: Optimizer, *, skip_metric_check: bool = False) -> Optimized:
    """Search for a better candidate than the session's start, and measure what was found."""
    data = session.dataset
    notes = list(data.notes)
    if not skip_metric_check:
        rows = data.train or data.dev
        notes += await check_metrics(session.evaluator, session.judge, rows, session.spec.run.seed)
    log = TrialLog(session)
    if data.folds:
        return await cross_validated(session, optimizer, log, notes)
    search = log.search(data.train, data.dev)
    session.effects.ledger.reserve("test", two_passes(session, data.test))
    session.progress.phase("search", None)
    await carried_out(optimizer, search)
    session.effects.ledger.release("test")
    log.close()
    return await _measured(session, search, notes + search.notes)


async def _measured(session: Session, search: Search, notes: Sequence[str]) -> Optimized:
    examples = session.dataset.test
    start, winner = start_and_winner(search)
    rows = session.directory.appending("rows.jsonl")
    if examples:
        before, after = await held_out(session, start, winner, examples, "test")
        log_rows(session, rows, "test", examples, before, after)
        test = session.compared(before, after, examples)
    else:
        before, after, examples, test = start.records, winner.records, search.dev, None
        if winner.records:
            log_rows(session, rows, "dev", examples, before, after)
    rows.put_in_order()
    return Optimized(
        winner=winner,
        summary=summary_of(session, search, test, notes),
        front=tuple(trial.candidate for trial in front_of(search)),
        shown=tuple(zip(after, examples, strict=True)) if after else (),
    )

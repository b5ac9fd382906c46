"""`optimize`: search on train and dev, then score start and winner on test, once each.

A sweep scores test for one of its cells alone. The others end where test would be scored: they have reserved its cost
all the same, so a cell goes on from its journal, and comes out as if nobody had waited.
"""

from __future__ import annotations

from collections.abc import Sequence

from promptc.optimizers.folds import cross_validated
from promptc.optimizers.outcome import (
    Optimized,
    TrialLog,
    carried_out,
    front_of,
    held_out,
    on_dev,
    start_and_winner,
    summary_of,
    two_passes,
    write_rows,
)
from promptc.optimizers.protocol import Optimizer
from promptc.optimizers.search import Search
from promptc.runners.finished_run import DEV_ROWS, ROWS
from promptc.runners.metric_check import check_metrics
from promptc.runners.rows import Example
from promptc.runners.session import Session


async def optimize(
    session: Session, optimizer: Optimizer, *, skip_metric_check: bool = False, score_test: bool = True
) -> Optimized:
    """Search for a better candidate than the session's start, and measure what was found."""
    data = session.dataset
    notes = list(data.notes)
    if not skip_metric_check:
        rows = data.train or data.dev
        notes += await check_metrics(session.evaluator, session.judge, rows, session.spec.run.seed)
    log = TrialLog(session)
    if data.folds:
        return await cross_validated(session, optimizer, log, notes, score_test=score_test)
    search = log.search(data.train, data.dev)
    session.effects.ledger.reserve("test", two_passes(session, data.test))
    session.progress.phase("search", None)
    await carried_out(optimizer, search)
    session.effects.ledger.release("test")
    log.close()
    examples = data.test if score_test else ()
    return await _measured(session, search, notes + search.notes, examples)


async def _measured(
    session: Session, search: Search, notes: Sequence[str], examples: Sequence[Example]
) -> Optimized:
    """Score start and winner on these rows; without any, show them on those that the search chose by."""
    if not examples:
        return on_dev(session, search, notes)
    start, winner = start_and_winner(search)
    before, after = await held_out(session, start, winner, examples, "test")
    write_rows(session, ROWS, "test", examples, before, after)
    if winner.records:
        write_rows(session, DEV_ROWS, "dev", search.dev, start.records, winner.records)
    return Optimized(
        winner=winner,
        summary=summary_of(session, search, session.compared(before, after, examples), notes),
        front=tuple(trial.candidate for trial in front_of(search)),
        shown=tuple(zip(after, examples, strict=True)),
    )

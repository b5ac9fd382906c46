"""Cross-validated optimizing, for data too small to hold some of it out.

The artifact comes from a search on all rows. What such a search is worth is measured beside it: for each fold another
search looks at the other folds alone, and its start and its winner are scored on the fold, once each. Together the
folds hold every row once, so the paired comparison rests on all of them.

Source: Stone 1974, "Cross-validatory choice and assessment of statistical predictions": what is assessed is the whole
procedure, the choice included, and not the candidate that it happened to choose.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import msgspec

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
)
from promptc.optimizers.protocol import Optimizer
from promptc.optimizers.search import Search
from promptc.runners.dataset import Fold
from promptc.runners.disk import LineLog
from promptc.runners.evaluate import RowRecord
from promptc.runners.ledger import UNLIMITED, Amount, Ledger
from promptc.runners.rows import Example
from promptc.runners.session import Session, row_line
from promptc.runners.summary import FoldLine

_OTHERS = "the other searches"


class _Scored(msgspec.Struct, frozen=True, kw_only=True):
    """A fold's rows as start and winner of its search answered them."""

    line: FoldLine
    examples: tuple[Example, ...]
    before: tuple[RowRecord, ...]
    after: tuple[RowRecord, ...]


async def cross_validated(
    session: Session, optimizer: Optimizer, log: TrialLog, notes: list[str], *, score_test: bool = True
) -> Optimized:
    """The winner of a search on all rows, with figures from one search per fold.

    The searches share the budget: each may spend an equal part of what is left, so that what one leaves goes to those
    after it. The search on all rows comes first: it makes what is kept.
    """
    data, ledger = session.dataset, session.effects.ledger
    waiting = len(data.folds)
    ledger.reserve("test", two_passes(session, data.part("all")))
    session.progress.phase("search on all rows", None)
    search = log.search(data.train, data.dev)
    with _share(ledger, 1 / (waiting + 1)):
        await carried_out(optimizer, search)
    if not score_test:
        log.close()
        return on_dev(session, search, (*notes, *search.notes))
    scored = []
    for number, fold in enumerate(data.folds, 1):
        scored.append(await _fold(session, optimizer, log, number, fold))
    log.close()
    rows = session.directory.appending("rows.jsonl")
    _log_rows(session, rows, scored)
    before = [record for fold in scored for record in fold.before]
    after = [record for fold in scored for record in fold.after]
    examples = [example for fold in scored for example in fold.examples]
    test = session.compared(before, after, examples)
    said = (
        f"test is cross-validated: {len(data.folds)} further searches, each scored on the fold of rows that it never "
        "saw; the compiled program comes from the search on all rows, and has no held-out row of its own"
    )
    summary = summary_of(session, search, test, (*notes, said, *search.notes), [fold.line for fold in scored])
    return Optimized(
        winner=search.best(),
        summary=summary,
        front=tuple(trial.candidate for trial in front_of(search)),
        shown=tuple(zip(after, examples, strict=True)),
    )


async def _fold(session: Session, optimizer: Optimizer, log: TrialLog, number: int, fold: Fold) -> _Scored:
    """Search on the other folds, then score start and winner on this one."""
    ledger, folds = session.effects.ledger, session.dataset.folds
    session.progress.phase(f"search beside fold {number} of {len(folds)}", None)
    search = log.search(fold.train, fold.dev, number)
    with _share(ledger, 1 / (len(folds) - number + 1)):
        await carried_out(optimizer, search)
    start, winner = start_and_winner(search)
    later = tuple(example for other in folds[number:] for example in other.test)
    ledger.reserve("test", two_passes(session, later))
    before, after = await held_out(session, start, winner, fold.test, f"fold {number}")
    return _Scored(line=_line(number, search, before, after), examples=fold.test, before=before, after=after)


@contextlib.contextmanager
def _share(ledger: Ledger, part: float) -> Iterator[None]:
    """Leave only a part of what is left to spend, under every wall that there is."""
    rest = 1.0 - part
    reserved = {role: _bounded(ledger.role_room(role)) * rest for role in ledger.walled_roles()}
    by_role = sum(reserved.values(), Amount())
    whole = _bounded(ledger.room()) * rest
    reserved[""] = Amount(
        *(max(0.0, one - other) for one, other in zip(_parts(whole), _parts(by_role), strict=True))
    )
    ledger.reserve(_OTHERS, reserved)
    try:
        yield
    finally:
        ledger.release(_OTHERS)


def _bounded(room: Amount) -> Amount:
    """The room under the walls that there are; nothing of what has none can be set aside."""
    return Amount(*(0.0 if part >= UNLIMITED else max(0.0, part) for part in _parts(room)))


def _parts(amount: Amount) -> tuple[float, float, float]:
    return amount.calls, amount.tokens, amount.usd


def _line(
    number: int, search: Search, before: tuple[RowRecord, ...], after: tuple[RowRecord, ...]
) -> FoldLine:
    return FoldLine(
        fold=number,
        rows=len(before),
        trials=len(search.trials),
        winner=search.best().origin,
        start_score=_mean(before),
        score=_mean(after),
        stop_reason="budget" if search.short_of_budget else search.stop_reason,
    )


def _mean(records: tuple[RowRecord, ...]) -> float | None:
    scores = [record.score for record in records if record.score is not None]
    return sum(scores) / len(scores) if scores else None


def _log_rows(session: Session, log: LineLog, scored: list[_Scored]) -> None:
    """Each row as its fold's start answered it, then as its fold's winner did."""
    place = 0
    for name in ("start", "winner"):
        for fold in scored:
            records = fold.before if name == "start" else fold.after
            for record, example in zip(records, fold.examples, strict=True):
                line = row_line(record, example, session, "test", name)
                log.append(place, {**line, "fold": fold.line.fold})
                place += 1
    log.put_in_order()

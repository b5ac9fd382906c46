"""`eval`: one candidate on one split, scored."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from promptc.runners.candidate import Candidate
from promptc.runners.evaluate import Arm, RowRecord, not_reached
from promptc.runners.rows import Example
from promptc.runners.session import Session, row_line
from promptc.runners.summary import Summary, costs
from promptc.runners.verdicts import split_verdicts


async def evaluate_split(
    session: Session, split: str, examples: Sequence[Example], candidate: Candidate, *, overlap: int = 0
) -> tuple[Summary, tuple[RowRecord, ...]]:
    """Score a candidate on rows, writing each row as it finishes. The budget may admit only the first of them."""
    arm = Arm(compiled=session.program.compile(candidate))
    ledger = session.effects.ledger
    nominal = session.evaluator.nominal_estimate(arm, examples)
    admitted = examples[: ledger.largest(nominal, len(examples))]
    session.progress.phase(f"eval {split}", len(admitted))
    log = session.directory.appending("rows.jsonl")
    records: list[RowRecord | None] = [None] * len(examples)
    digest = candidate.digest()

    def finished(place: int, record: RowRecord) -> None:
        records[place] = record
        log.append(place, row_line(record, examples[place], session, split, digest))

    try:
        await session.evaluator.stream([(arm, admitted)], finished)
    finally:
        log.flush()
    log.put_in_order()
    whole = tuple(record or not_reached(example) for record, example in zip(records, examples, strict=True))
    figures = session.summarized(whole, examples)
    if session.dataset.folds:
        figures = msgspec.structs.replace(
            figures, slices={**figures.slices, **session.by_fold(whole, examples)}
        )
    verdicts = split_verdicts(split, figures, session.spec.run.max_unscored)
    notes = list(session.dataset.notes)
    if overlap:
        notes.append(
            f"{overlap} of these rows are rows that this artifact was trained or chosen on: the score flatters"
        )
    spent = ledger.spent
    summary = Summary(
        command="eval",
        name=session.spec.name,
        identity=session.directory.marker.identity,
        verdicts=tuple(verdicts),
        cost=costs(ledger),
        calls=int(spent.calls),
        tokens=int(spent.tokens),
        usd=round(spent.usd, 10),
        served_models=session.effects.served(),
        notes=(*notes, *session.served_notes()),
    )
    summary = msgspec.structs.replace(summary, **{split: figures})
    return summary, whole

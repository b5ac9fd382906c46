"""Everything that one run works with, opened together and closed together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from promptc.runners.candidate import Candidate
from promptc.runners.comparison import Settings, compared
from promptc.runners.dataset import Dataset
from promptc.runners.effects import Effects
from promptc.runners.evaluate import Evaluator, RowRecord
from promptc.runners.grouping import clusters_of, slice_of
from promptc.runners.judging import Judge
from promptc.runners.program import Program
from promptc.runners.progress import Progress
from promptc.runners.rows import Example
from promptc.runners.run_directory import RunDirectory
from promptc.runners.summary import Figure, SplitSummary, figure, summarize
from promptc.spec.model import FOLD, Spec


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """The context of a run: no part of it is global, and none is opened twice."""

    spec: Spec
    program: Program
    judge: Judge
    dataset: Dataset
    effects: Effects
    evaluator: Evaluator
    directory: RunDirectory
    progress: Progress
    version: str
    start: Candidate

    def summarized(self, records: Sequence[RowRecord], examples: Sequence[Example]) -> SplitSummary:
        """The figures of records that stand in the order of the examples."""
        return summarize(
            records,
            examples,
            self.judge,
            slices=self.spec.slices,
            cluster=self.spec.data.cluster,
            seed=self.spec.run.seed,
        )

    def by_fold(
        self, records: Sequence[RowRecord], examples: Sequence[Example]
    ) -> dict[str, dict[str, Figure]]:
        """The score of each fold's rows, as a slice: how far a mean moves with the rows that it rests on."""
        if FOLD in self.spec.slices:
            return {}
        width = len(str(len(self.dataset.folds)))
        numbered = enumerate(self.dataset.folds, 1)
        places = {e.id: f"{number:0{width}d}" for number, fold in numbered for e in fold.test}
        figures = {}
        for name in sorted(set(places.values())):
            rows = [
                (record.score, example)
                for record, example in zip(records, examples, strict=True)
                if record.score is not None and places[example.id] == name
            ]
            figures[name] = figure(
                [score for score, _ in rows],
                binary=self.judge.binary_rows,
                clusters=clusters_of((example for _, example in rows), self.spec.data.cluster),
                seed=self.spec.run.seed,
            )
        return {FOLD: figures}

    def compared(
        self, before: Sequence[RowRecord], after: Sequence[RowRecord], examples: Sequence[Example]
    ) -> SplitSummary:
        """The figures of `after` with those of `before` and the differences; all stand in the examples' order."""
        return compared(
            self.summarized(after, examples),
            self.summarized(before, examples),
            list(zip(before, after, strict=True)),
            examples,
            self.judge,
            Settings(slices=self.spec.slices, cluster=self.spec.data.cluster, seed=self.spec.run.seed),
        )

    def served_notes(self) -> list[str]:
        """A sentence for each model whose provider changed what answers under its name while the run went on."""
        return [
            f"{name} was answered by more than one model: {', '.join(served)}"
            for name, served in self.effects.served().items()
            if len(served) > 1
        ]


def row_line(
    record: RowRecord, example: Example, session: Session, split: str, candidate: str
) -> dict[str, Any]:
    """A line of rows.jsonl: what went in, what came out, and what was thought of it."""
    program = session.program
    golds = session.judge.gold_columns()
    line: dict[str, Any] = {
        "id": record.id,
        "digest": example.digest,
        "split": split,
        "candidate": candidate,
        "score": record.score,
        "metrics": record.metrics,
        "inputs": {f.name: example.row[f.name] for f in program.inputs if f.name in example.row},
        "outputs": record.outputs,
        "expected": {column: example.row[column] for column in golds if column in example.row},
    }
    spec = session.spec
    if spec.slices:
        line["slices"] = {column: slice_of(example.row, column) for column in spec.slices}
    if spec.data.cluster is not None:
        cluster = example.row.get(spec.data.cluster)
        line["cluster"] = None if cluster is None else str(cluster)
    if record.feedback:
        line["feedback"] = record.feedback
    if record.details:
        line["details"] = record.details
    if record.failure is not None:
        line["failure"] = record.failure
    if record.passed is not None:
        line["passed"] = record.passed
    if record.repeats:
        line["repeats"] = record.repeats
    if record.reasks:
        line["reasks"] = record.reasks
    reasoning = _unseen(record)
    if reasoning:
        line["steps"] = reasoning
    line["tokens"] = {"input": record.input_tokens, "output": record.output_tokens}
    line["cost"] = record.cost
    return line


def _unseen(record: RowRecord) -> list[dict[str, Any]]:
    """What predictors said beyond the prediction itself: reasoning, what tools were called, failed checks."""
    shown: Mapping[str, Any] = record.outputs or {}
    found = []
    for step in record.trace:
        extra = {name: value for name, value in step.outputs.items() if shown.get(name) != value}
        if extra or step.notes or step.reply or step.turns or step.kind == "skipped":
            found.append(
                {
                    "predictor": step.predictor,
                    **({"kind": step.kind} if step.kind != "predict" else {}),
                    "outputs": extra,
                    **({"reply": step.reply} if step.reply else {}),
                    **({"turns": msgspec.to_builtins(step.turns)} if step.turns else {}),
                    **({"notes": step.notes} if step.notes else {}),
                }
            )
    return found

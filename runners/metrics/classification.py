"""Classification: the label is right; over all rows macro-F1, figures per class and the confusion matrix."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, ClassVar

import msgspec

from promptc.runners.agreement import cohens_kappa
from promptc.runners.metrics.compare import same
from promptc.runners.metrics.golds import acceptable, any_of
from promptc.runners.metrics.protocol import Case, Score, Services
from promptc.runners.metrics.text import IgnoreCase, as_text, quote, text_rule

NO_LABEL = "(none)"
"""Stands in the figures for a prediction without a label: a failed row, null or empty text."""
OTHER = "(other)"
"""Stands for wrong labels beyond the first MOST_LABELS that were seen."""
MOST_LABELS = 1000
"""Labels that are told apart. Free text in the place of a label must not fill the memory or the report."""


class Classification(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """1 when the label is right, else 0, so that the mean is the accuracy.

    A list-typed field holds several labels: all of them have to be right, whatever their order. Figures over
    all rows: macro-F1, precision, recall, F1 and support of every label, and the confusion matrix.
    """

    labels: Annotated[
        tuple[str, ...],
        msgspec.Meta(
            description="All labels, so that one that occurs in no row shows in the figures.",
            examples=[["yes", "no"]],
        ),
    ] = ()
    ignore_case: IgnoreCase = False

    binary: ClassVar[bool] = True
    reads_gold: ClassVar[bool] = True

    def calls(self) -> int:
        """None."""
        return 0

    def tally(self) -> ClassificationTally:
        """Figures per label over all rows."""
        return ClassificationTally(self)

    async def score(self, case: Case, services: Services) -> Score | None:
        """Compare the label, or the set of labels."""
        if case.expected is msgspec.UNSET:
            return None
        golds = acceptable(case.value, case.expected)
        right = self.matching(case.value, golds) is not None
        feedback = (
            f"{quote(case.value)} is right" if right else f"expected {any_of(golds)}, got {quote(case.value)}"
        )
        return Score(float(right), feedback)

    def matching(self, value: Any, golds: tuple[Any, ...]) -> int | None:
        """Which of the acceptable values the prediction is; None where it is none of them."""
        rule = text_rule(self.ignore_case, False, None)
        return next((i for i, gold in enumerate(golds) if same(value, gold, rule, ignore_order=True)), None)


class ClassificationTally:
    """Counts per label, and per pair of gold and predicted label.

    Which labels fall under OTHER depends on the order of the rows; nothing else does.
    """

    def __init__(self, metric: Classification) -> None:
        self._metric = metric
        self._names = {self._key(label): label for label in metric.labels}
        self._rows = 0
        self._right = 0
        self._hits: Counter[str] = Counter()
        self._gold: Counter[str] = Counter()
        self._predicted: Counter[str] = Counter()
        self._confusion: dict[str, Counter[str]] = {}

    def add(self, case: Case, score: Score) -> None:
        """Take one row in; of several acceptable labels the one that was hit, else the first."""
        golds = acceptable(case.value, case.expected)
        hit = self._metric.matching(case.value, golds)
        gold = golds[hit or 0]
        self._rows += 1
        self._right += hit is not None
        expected = [self._name(label) for label in _labels(gold)]
        predicted = [self._name(label) for label in _labels(case.value)]
        self._gold.update(expected)
        self._predicted.update(predicted)
        self._hits.update((Counter(expected) & Counter(predicted)).elements())
        if not isinstance(gold, list) and not isinstance(case.value, list):
            self._confusion.setdefault(expected[0], Counter())[predicted[0]] += 1

    def figures(self) -> dict[str, Any]:
        """Accuracy, means over the labels that occur, figures per label, and `confusion[gold][predicted]`."""
        if not self._rows:
            return {}
        per_label = {label: self._of(label) for label in self._shown()}
        occurring = [figures for figures in per_label.values() if figures["support"] or figures["predicted"]]
        return {
            "accuracy": self._right / self._rows,
            "macro_f1": _mean([figures["f1"] for figures in occurring]),
            "macro_precision": _mean([figures["precision"] for figures in occurring]),
            "macro_recall": _mean([figures["recall"] for figures in occurring]),
            "cohens_kappa": self._kappa(),
            "labels": per_label,
            "confusion": {gold: dict(sorted(row.items())) for gold, row in sorted(self._confusion.items())},
        }

    def _kappa(self) -> float | None:
        """Agreement with the gold beyond what the labels' frequencies alone would bring; None for lists of labels."""
        pairs = {
            (gold, predicted): rows
            for gold, row in self._confusion.items()
            for predicted, rows in row.items()
        }
        return cohens_kappa(pairs)

    def _shown(self) -> list[str]:
        """Declared labels in their order, then the others; a missing label is none, unless it is the gold."""
        seen = sorted({*self._gold, *self._predicted})
        labels = dict.fromkeys([*self._metric.labels, *seen])
        return [label for label in labels if label not in (NO_LABEL, OTHER) or self._gold[label]]

    def _of(self, label: str) -> dict[str, Any]:
        hits, predicted, support = self._hits[label], self._predicted[label], self._gold[label]
        return {
            "precision": hits / predicted if predicted else 0.0,
            "recall": hits / support if support else 0.0,
            "f1": 2 * hits / (predicted + support) if predicted + support else 0.0,
            "support": support,
            "predicted": predicted,
        }

    def _key(self, label: str) -> str:
        return text_rule(self._metric.ignore_case, False, None)(label)

    def _name(self, label: Any) -> str:
        """How a label is called: as declared, else as it is compared."""
        key = self._key(as_text(label))
        if not key:
            return NO_LABEL
        if key not in self._names and len(self._names) >= MOST_LABELS:
            return OTHER
        return self._names.setdefault(key, key)


def _labels(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0

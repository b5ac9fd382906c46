"""What a judge's rows say together: whether its votes agree, and whether it agrees with people."""

from __future__ import annotations

from collections import Counter
from typing import Any

from promptc.runners.agreement import Coincidences, Level, cohens_kappa
from promptc.runners.metrics.protocol import Case, Score
from promptc.runners.metrics.tally import RunningMean
from promptc.runners.metrics.verdicts import overall
from promptc.runners.repeats import variance

_NAMES = {1.0: "pass", 0.0: "fail"}


class JudgeTally:
    """Agreement of votes with each other, and of verdicts with labels.

    `people` of one answer are one label by majority (a tie is none), by mean on a scale; alpha takes each as a rater.
    """

    def __init__(self, *, level: Level) -> None:
        self._level: Level = level
        self._unanimous = RunningMean()
        self._variance = RunningMean()
        self._pairs: Counter[tuple[float, float]] = Counter()
        self._all = Coincidences()
        self._people = Coincidences()
        self._several = False
        self._unjudged = 0

    def add(self, case: Case, score: Score) -> None:
        """Take one row in."""
        verdicts = [
            verdict for vote in score.details.get("votes", ()) if (verdict := overall(vote)) is not None
        ]
        spread = variance(verdicts)
        if spread is not None:
            self._unanimous.add(float(len(set(verdicts)) == 1))
            self._variance.add(spread)
        labelled = score.details.get("labelled")
        if labelled is not None:
            self._compare(labelled)

    def _compare(self, labelled: dict[str, Any]) -> None:
        people, judge = labelled["people"], labelled.get("judge")
        self._people.add(people)
        self._several = self._several or len(people) > 1
        if judge is None:
            self._unjudged += 1
            return
        self._all.add([judge, *people])
        label = self._together(people)
        if label is not None:
            self._pairs[label, judge] += 1

    def _together(self, people: list[float]) -> float | None:
        if self._level == "interval":
            return sum(people) / len(people)
        (most, times), *rest = Counter(people).most_common()
        return None if rest and rest[0][1] == times else most

    def figures(self) -> dict[str, Any]:
        """How far votes and labels agree; the confusion of labels and verdicts between pass and fail."""
        figures: dict[str, Any] = {}
        if self._unanimous.count:
            figures |= {"unanimous": self._unanimous.mean, "vote_variance": self._variance.mean}
        count = sum(self._pairs.values())
        if count:
            figures |= {
                "labelled": count,
                "human_agreement": self._share(count),
                "cohens_kappa": cohens_kappa(self._pairs, self._level),
                "krippendorffs_alpha": self._all.alpha(self._level),
            }
        if self._several:
            figures["alpha_of_people"] = self._people.alpha(self._level)
        if self._unjudged:
            figures["unjudged"] = self._unjudged
        if count and self._level == "nominal":
            figures["confusion"] = self._confusion()
        return figures

    def _share(self, count: int) -> float:
        """Equal verdicts between pass and fail; on a scale 1 minus the mean distance."""
        apart = sum(times * abs(label - judge) for (label, judge), times in sorted(self._pairs.items()))
        return 1.0 - apart / count

    def _confusion(self) -> dict[str, dict[str, int]]:
        matrix: dict[str, dict[str, int]] = {}
        for (label, judge), times in sorted(self._pairs.items()):
            matrix.setdefault(_NAMES.get(label, f"{label:g}"), {})[_NAMES.get(judge, f"{judge:g}")] = times
        return matrix

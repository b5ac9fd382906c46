"""Reads what metrics say of all rows together, whatever metric it came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from promptc.runners.summary import Figure

MOST_CONFUSIONS = 5
_NAMES = {
    "macro_f1": "macro-F1",
    "corpus_bleu": "corpus BLEU",
    "corpus_chrf": "corpus chrF",
    "cohens_kappa": "Cohen's kappa",
    "krippendorffs_alpha": "Krippendorff's alpha",
    "brier": "Brier score",
    "ece": "expected calibration error",
    "human_agreement": "agreement",
    "labelled": "labelled rows",
    "unanimous": "rows with unanimous votes",
    "consistent": "same verdict in both orders",
    "first_preferred": "first place preferred",
}
_SAME_AS_SCORE = frozenset({"accuracy"})


class Confusion(msgspec.Struct, frozen=True):
    """So many of the `support` rows whose gold is `expected` were taken for `predicted`."""

    expected: str
    predicted: str
    rows: int
    support: int


class Bin(msgspec.Struct, frozen=True):
    """Probabilities from `low` to `high`: so many rows, their mean, and how often what they said came true."""

    low: float
    high: float
    rows: int
    probability: float
    came_true: float


def bins(tally: Mapping[str, Any]) -> list[Bin]:
    """The reliability bins of a calibration."""
    found = tally.get("bins")
    return msgspec.convert(found, list[Bin]) if isinstance(found, list | tuple) else []


def scalars(tally: Mapping[str, Any]) -> dict[str, float]:
    """The single numbers of a tally by a readable name; the accuracy is left out, since it is the score."""
    return {
        _NAMES.get(name, name.replace("_", " ")): value
        for name, value in sorted(tally.items())
        if isinstance(value, int | float) and not isinstance(value, bool) and name not in _SAME_AS_SCORE
    }


def figure(value: float) -> str:
    """A number of a tally in its own unit: counts whole, shares with three decimals, others with two."""
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3f}" if abs(value) <= 1 else f"{value:,.2f}"


def fields(tally: Mapping[str, Any]) -> dict[str, Figure]:
    """The mean score by path of an object."""
    paths = tally.get("fields")
    if not isinstance(paths, Mapping):
        return {}
    return {
        path: Figure(score=entry.get("score"), ci_low=None, ci_high=None, n=int(entry.get("rows", 0)))
        for path, entry in paths.items()
        if isinstance(entry, Mapping)
    }


def confusions(tally: Mapping[str, Any], limit: int = MOST_CONFUSIONS) -> list[Confusion]:
    """The largest cells of the confusion matrix off its diagonal, largest first."""
    matrix = tally.get("confusion")
    if not isinstance(matrix, Mapping):
        return []
    found = [
        Confusion(expected, predicted, rows, sum(row.values()))
        for expected, row in matrix.items()
        for predicted, rows in row.items()
        if predicted != expected and rows > 0
    ]
    found.sort(key=lambda confusion: (-confusion.rows, confusion.expected, confusion.predicted))
    return found[:limit]

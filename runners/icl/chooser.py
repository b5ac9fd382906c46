"""Ability 1: which of several labels a text belongs to, by their names, descriptions, rules and demos."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

from promptc.runners.icl.memory import Memory, Space, Vector, scaled
from promptc.runners.icl.rules import Rule, rule_strength

_SPREAD_SMOOTHING = 0.005
_FEW = 8
_MANY = 20
_NEAREST = 3
_CENTRED = 4
_CENTRE_SAMPLE = 200
_RULE_WEIGHT = 0.35


class Chooser(msgspec.Struct, frozen=True):
    """Prototypes of the labels, ready to be compared with a row.

    `weights` maps a feature to its weight for each label that has it. `offsets` is what each label's
    prototype scores with texts of other labels, so that a wordy label is not chosen for its words.
    `neighbours` (0 to 1) is the say of the nearest demos beside the prototypes: none without demos, most with
    many. `gold` is each demo's labels by their indices: one, none, or several where the field is a list.
    """

    names: tuple[str, ...]
    weights: Mapping[str, Sequence[tuple[int, float]]]
    offsets: tuple[float, ...]
    neighbours: float
    gold: tuple[tuple[int, ...], ...]
    rules: tuple[tuple[Rule, ...], ...]

    def scores(self, vector: Vector, similarities: Sequence[float], words: Sequence[str]) -> list[float]:
        """How well each label fits, in the order of `names`; `similarities` are the row's with every demo."""
        found = self.prototype_scores(vector)
        for index, near in enumerate(self._nearest(similarities)):
            top = sorted(near, reverse=True)[:_NEAREST]
            found[index] += self.neighbours * sum(top) / _NEAREST - self.offsets[index]
        for index, rules in enumerate(self.rules):
            found[index] += _RULE_WEIGHT * rule_strength(rules, words)
        return found

    def prototype_scores(self, vector: Vector) -> list[float]:
        """How well the vector fits each label's prototype alone, 0 to 1."""
        found = [0.0] * len(self.names)
        for key, weight in vector.items():
            for index, other in self.weights.get(key, ()):
                found[index] += weight * other
        return found

    def _nearest(self, similarities: Sequence[float]) -> list[list[float]]:
        near: list[list[float]] = [[] for _ in self.names]
        for similarity, labels in zip(similarities, self.gold, strict=True):
            if similarity > 0:
                for label in labels:
                    near[label].append(similarity)
        return near


def learn_labels(
    names: Sequence[str],
    texts: Sequence[str],
    rules: Sequence[Sequence[Rule]],
    gold: Sequence[Sequence[str]],
    space: Space,
    memory: Memory,
) -> Chooser:
    """A chooser from what the prompt says of each label (`texts`) and from the demos' labels.

    What a label's name and description say counts like one demo of it, so its weight falls as demos come in.
    """
    position = {name: index for index, name in enumerate(names)}
    labels = tuple(tuple(position[name] for name in named if name in position) for named in gold)
    members = [[space.vector(text)] for text in texts]
    for vector, own in zip(memory.vectors, labels, strict=True):
        for label in own:
            members[label].append(vector)
    per_label = sum(map(len, labels)) / max(1, len(names))
    weights = _prototypes(members, focus=_FEW / (_FEW + per_label))
    chooser = Chooser(
        names=tuple(names),
        weights=weights,
        offsets=(0.0,) * len(names),
        neighbours=per_label / (per_label + _MANY),
        gold=labels,
        rules=tuple(tuple(each) for each in rules),
    )
    share = _CENTRED / (_CENTRED + per_label)
    return msgspec.structs.replace(chooser, offsets=_offsets(chooser, memory, share))


def _prototypes(members: Sequence[Sequence[Vector]], focus: float) -> dict[str, list[tuple[int, float]]]:
    """Each label's mean vector, with features weighted by how few labels share them, scaled to length 1.

    `focus` is the power of that weight: with few demos, what tells labels apart has to be stressed, with many
    the means do it by themselves.
    """
    means: list[dict[str, float]] = []
    for vectors in members:
        mean: dict[str, float] = {}
        for vector in vectors:
            for key, weight in vector.items():
                mean[key] = mean.get(key, 0.0) + weight / len(vectors)
        means.append(mean)
    sharing: dict[str, list[float]] = {}
    for mean in means:
        for key, weight in mean.items():
            sharing.setdefault(key, []).append(weight)
    clarity = {key: _clarity(shares, len(members)) ** focus for key, shares in sharing.items()}
    table: dict[str, list[tuple[int, float]]] = {}
    for index, mean in enumerate(means):
        for key, weight in scaled({key: weight * clarity[key] for key, weight in mean.items()}).items():
            table.setdefault(key, []).append((index, weight))
    return table


def _clarity(shares: Sequence[float], labels: int) -> float:
    """1 for a feature of one label only, 0 for one that all share evenly: 1 minus the normalized entropy."""
    if labels < 2:
        return 1.0
    total = sum(shares) + _SPREAD_SMOOTHING * labels
    absent = _SPREAD_SMOOTHING / total
    entropy = -(labels - len(shares)) * absent * math.log(absent)
    for share in shares:
        part = (share + _SPREAD_SMOOTHING) / total
        entropy -= part * math.log(part)
    return max(0.0, 1.0 - entropy / math.log(labels))


def _offsets(chooser: Chooser, memory: Memory, share: float) -> tuple[float, ...]:
    """`share` of the mean score that each label gets from demos of other labels."""
    totals = [0.0] * len(chooser.names)
    counts = [0] * len(chooser.names)
    stride = 1 + len(memory.vectors) // _CENTRE_SAMPLE
    for vector, own in list(zip(memory.vectors, chooser.gold, strict=True))[::stride]:
        for index, score in enumerate(chooser.prototype_scores(vector)) if own else ():
            if index not in own:
                totals[index] += score
                counts[index] += 1
    return tuple(share * total / count if count else 0.0 for total, count in zip(totals, counts, strict=True))

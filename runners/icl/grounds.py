"""What a reasoning field gets: an honest line about the grounds of the other values."""

from __future__ import annotations

from collections.abc import Mapping

from promptc.runners.icl.case import Case, Lessons
from promptc.runners.icl.estimators import Choose, Copy, Estimator
from promptc.runners.icl.prompt import Prompt
from promptc.runners.icl.reply import as_text
from promptc.runners.icl.wanted import Leaf, Wanted

_NAMES = frozenset(
    {"reasoning", "rationale", "analysis", "thoughts", "thinking", "explanation", "justification"}
)
_SHOWN = 3


def is_grounds(wanted: Wanted, prompt: Prompt) -> bool:
    """Whether a text field asks for the way to the answer rather than for an answer.

    By its name, or because other fields follow it and its description asks for steps.
    """
    if not isinstance(wanted.node, Leaf) or wanted.node.kind != "text" or len(prompt.outputs) < 2:
        return False
    return wanted.name.casefold() in _NAMES or "step by step" in wanted.description.casefold()


def grounds_of(case: Case, lessons: Lessons, estimators: Mapping[str, Estimator]) -> str:
    """One line: the nearest demos with their values, and how the choices came out."""
    near = [index for index in case.nearest(_SHOWN) if case.similarities[index] > 0]
    parts: list[str] = []
    if near:
        shown = ", ".join(f"{index + 1} ({case.similarities[index]:.2f})" for index in near)
        parts.append(f"closest examples: {shown}")
    else:
        parts.append("no example is close" if lessons.demos else "no examples to go by")
    for name, estimator in estimators.items():
        if isinstance(estimator, Choose):
            parts.append(_choice(name, estimator, case))
        elif isinstance(estimator, Copy):
            parts.append(f"{name}: copied by shape and surroundings")
    line = "; ".join(parts)
    return f"{line[0].upper()}{line[1:]}."


def _choice(name: str, choose: Choose, case: Case) -> str:
    scores = choose.scores(case)
    order = sorted(range(len(scores)), key=lambda index: -scores[index])[:_SHOWN]
    ranking = ", ".join(f"{as_text(choose.values[index])} {scores[index]:.2f}" for index in order)
    return f"{name}: {ranking}"

"""Bayesian search over combinations of choices: which combination to try next, from the scores of those before.

Source: Bergstra et al., "Algorithms for Hyper-Parameter Optimization", 2011, section 4 (the tree-structured Parzen
estimator), in its multivariate form by Optuna, which is an extra: `promptc[mipro]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from promptc.runners.extras import lacking
from promptc.spec.diagnostics import Diagnostic
from promptc.spec.errors import SpecError
from promptc.spec.model import Spec

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Combination = Mapping[str, int]
"""For each variable the place of the option that is chosen."""


def require_optuna(spec: Spec) -> None:
    """Raise SpecError at the spec's optimizer where the library is missing; loads nothing."""
    plugin = spec.optimizer
    missing = lacking(f"the optimizer {plugin.name if plugin else 'mipro'}", ["optuna"], "mipro")
    if missing:
        what, _, how = missing.partition(": ")
        position = plugin.position if plugin else None
        raise SpecError((Diagnostic(message=what, position=position, path="optimizer", hint=how),))


class Draw(msgspec.Struct, frozen=True):
    """A combination to try, and the number under which its score is told."""

    number: int
    combination: dict[str, int]


class Bayesian:
    """Draws combinations and learns from their scores. Equal seeds and scores, told in order, give equal draws.

    `options` says how many options each variable has. Draws of which no score has come yet count as bad ones, so that
    several asked for at once differ.
    """

    def __init__(self, options: Mapping[str, int], seed: int) -> None:
        import optuna

        # Optuna tells of each study on stderr, which is ours to write on.
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
        self._study = optuna.create_study(direction="maximize", sampler=sampler, study_name="promptc")
        self._distributions: dict[str, BaseDistribution] = {
            name: optuna.distributions.CategoricalDistribution(range(count))
            for name, count in options.items()
        }

    def draw(self) -> Draw:
        """The next combination to try."""
        trial = self._study.ask(self._distributions)
        return Draw(trial.number, {name: int(place) for name, place in trial.params.items()})

    def tell(self, draw: Draw, score: float | None) -> None:
        """The score of a draw; None where nothing can be said about it."""
        from optuna.trial import TrialState

        if score is None:
            self._study.tell(draw.number, state=TrialState.FAIL)
        else:
            self._study.tell(draw.number, score)

    def add(self, combination: Combination, score: float) -> None:
        """A score that is known of a combination which was not drawn."""
        from optuna.trial import create_trial

        trial = create_trial(params=dict(combination), distributions=self._distributions, value=score)
        self._study.add_trial(trial)

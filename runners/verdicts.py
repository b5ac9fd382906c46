"""Exit codes from verdicts: each reason is kept, the gravest decides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from promptc.runners.baselines import BaselineComparison
from promptc.runners.summary import GateResult, SplitSummary, VerdictLine

REGRESSION = "regression against "
"""How the verdict of a run that is worse than its baseline begins."""

PRECEDENCE = (130, 143, 3, 2, 4, 5, 6, 7, 1, 8, 0)
"""The gravest first; design: exit codes are API."""


def exit_code(verdicts: Iterable[VerdictLine]) -> int:
    """The code of the gravest verdict; 0 where there is none."""
    codes = {verdict.code for verdict in verdicts}
    return next((code for code in PRECEDENCE if code in codes), 0)


def split_verdicts(name: str, split: SplitSummary, max_unscored: float) -> list[VerdictLine]:
    """What is wrong with the figures of one split: too many unscored rows, rows that the budget cut off."""
    found = []
    cut = split.failures.get("budget", 0)
    unscored = split.unscored - cut
    if unscored > max_unscored * split.rows:
        kinds = ", ".join(f"{count} {kind}" for kind, count in split.failures.items() if kind != "budget")
        found.append(
            VerdictLine(
                code=6,
                message=f"{name}: {unscored} of {split.rows} rows have no score ({kinds}), "
                f"more than {max_unscored:.0%}: the figure is not to be trusted; "
                "--retry-failed asks what the provider failed again",
            )
        )
    if cut:
        message = f"{name}: the budget ended with {cut} of {split.rows} rows not asked"
        found.append(VerdictLine(code=7, message=message))
    return found


def baseline_verdicts(found: BaselineComparison | None) -> list[VerdictLine]:
    """The verdict of a run that is worse than its baseline."""
    if found is None or found.verdict != "regression":
        return []
    figures = f"{found.difference:+.3f} ({found.ci_low:+.3f} to {found.ci_high:+.3f}, p = {found.p:.2g})"
    said = f"{REGRESSION}{found.source}: {figures} on {found.n} rows, and {found.max_drop:g} is allowed"
    return [VerdictLine(code=1, message=said)]


def gate_verdicts(gates: Sequence[GateResult]) -> list[VerdictLine]:
    """One verdict for each gate that failed, or whose figure is missing."""
    found = []
    for gate in gates:
        if gate.status == "failed":
            figure = "there are no held-out rows" if gate.value is None else _figure(gate, gate.value)
            found.append(VerdictLine(code=1, message=f"gate failed: {gate.text} ({figure})"))
        elif gate.status == "missing":
            found.append(VerdictLine(code=7, message=f"gate without a figure: {gate.text}"))
    return found


def _figure(gate: GateResult, value: float) -> str:
    """The figure and how far it is from what was promised; exactly on it where `>` or `<` asks for more."""
    if gate.threshold is None or gate.threshold == value:
        return f"it is {value:.4g}"
    return f"it is {value:.4g}, missed by {abs(value - gate.threshold):.2g}"

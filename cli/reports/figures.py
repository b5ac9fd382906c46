"""How figures are written: one way per kind, in every report."""

from __future__ import annotations

from promptc.runners.summary import Figure, SplitSummary

MISSING = "–"


def score(value: float | None) -> str:
    """A score in [0, 1] with three decimals, as gates are written."""
    return MISSING if value is None else f"{value:.3f}"


def interval(low: float | None, high: float | None) -> str:
    """A 95 % interval in brackets; empty where there is none."""
    if low is None or high is None:
        return ""
    first, last = bounds(low, high)
    return f"[{first}, {last}]"


def bounds(low: float, high: float) -> tuple[str, str]:
    """Both ends with two decimals; with three where two would make 0 or 1 of an end that is neither."""
    decimals = 2 if all(_honest(end) for end in (low, high)) else 3
    return _fixed(low, decimals), _fixed(high, decimals)


def _honest(end: float) -> bool:
    return round(end, 2) not in (-1.0, 0.0, 1.0) or abs(end - round(end, 2)) < 1e-9


def measured(figure: Figure | SplitSummary) -> str:
    """A mean with its interval."""
    return f"{score(figure.score)} {interval(figure.ci_low, figure.ci_high)}".rstrip()


def change(difference: float | None) -> str:
    """A difference of scores with its sign."""
    if difference is None:
        return MISSING
    text = f"{difference:+.3f}"
    return "0.000" if float(text) == 0.0 else text


def points(difference: float) -> str:
    """A difference of scores in points out of a hundred, as one speaks of it."""
    hundredths = 100 * difference
    figure = f"{hundredths:.1f}".removesuffix(".0") if hundredths < 9.95 else f"{hundredths:.0f}"
    return f"{figure} point{'' if figure == '1' else 's'}"


def signed_interval(low: float, high: float) -> str:
    """The interval of a difference, with signs."""
    first, last = bounds(low, high)
    return f"[{_signed(first)}, {_signed(last)}]"


def probability(p: float) -> str:
    """A p value, `p < 0.001` where it is smaller than that."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def dollars(amount: float) -> str:
    """US dollars: cents, or two digits of what is less than a cent."""
    if amount == 0 or abs(amount) >= 0.01:
        return f"${amount:,.2f}"
    return f"${float(f'{amount:.2g}'):f}".rstrip("0")


def count(number: float) -> str:
    """A whole number with thousands separated."""
    return f"{round(number):,}"


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its noun: `1 row`, `1,204 rows`."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    """A time as a person says it: `0.4 s`, `42 s`, `3 min 05 s`, `2 h 10 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def told_apart(value: float, threshold: float) -> tuple[str, str, str]:
    """A value, a threshold and their distance, with the decimals (3 to 8) that tell the two apart."""
    for decimals in range(3, 9):
        shown, wall = _fixed(value, decimals), _fixed(threshold, decimals)
        if shown != wall or value == threshold:
            break
    return shown, wall, _fixed(abs(value - threshold), decimals)


def _fixed(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    return text.removeprefix("-") if float(text) == 0.0 else text


def _signed(text: str) -> str:
    return text if text.startswith("-") or float(text) == 0.0 else f"+{text}"

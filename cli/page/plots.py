"""The plots of report.html as Vega-Lite specs: plain data, drawn elsewhere.

Colours are CSS variables of the page, so that one drawing serves light and dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from promptc.cli.untrusted import one_line

Plot = dict[str, Any]

SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"
INK, QUIET, GRID, CARD = "var(--ink)", "var(--quiet)", "var(--grid)", "var(--card)"
ACCENT, ACCENT_SOFT, START = "var(--accent)", "var(--accent-soft)", "var(--start)"
CHARACTER = 8
"""Pixels that a character takes at most, on average."""
LINE_HEIGHT = 30
"""Pixels from one bar to the next."""


class Size(msgspec.Struct, frozen=True):
    """Pixels for what is plotted, and for the names to its left, which stand in line from plot to plot."""

    width: int
    names: int


class TrialPoint(msgspec.Struct, frozen=True, kw_only=True):
    """A trial in a plot. `spent` is what the search had cost by then, `price` what the candidate costs to run."""

    name: str
    calls: float
    score: float
    low: float
    high: float
    best: float
    spent: float | None = None
    price: float | None = None
    front: bool = False
    mark: str = ""


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """A score over `rows` rows with its interval, and the start's where there is one."""

    name: str
    rows: int
    score: float
    low: float
    high: float
    start: float | None = None


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """A mean with its interval on a line of its own; `won` is the one that the run ended with."""

    name: str
    score: float
    low: float
    high: float
    won: bool = True


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """Probabilities that were said of so many rows: their mean, and how often what they said came true."""

    name: str
    rows: int
    said: float
    came: float


def reliability(bins: Sequence[Said], size: Size) -> Plot:
    """What was said against what came true; on the dashed line both are the same."""
    x, y = _share("said", "said"), _share("came", "came true")
    diagonal = {"values": [{"said": 0, "came": 0}, {"said": 1, "came": 1}]}
    return {
        **_drawn([msgspec.structs.asdict(one) | {"says": _told(one)} for one in bins]),
        "width": size.width,
        "height": size.width,
        "layer": [
            {
                "data": diagonal,
                "mark": {"type": "line", "color": QUIET, "strokeDash": [3, 3], "strokeWidth": 1, "aria": False},
                "encoding": {"x": x, "y": y},
            },
            {"mark": {"type": "line", "color": ACCENT, "strokeWidth": 1.5}, "encoding": {"x": x, "y": y}},
            {
                "mark": {"type": "point", "filled": True, "color": ACCENT, "opacity": 1},
                "encoding": {
                    "x": x,
                    "y": y,
                    "size": {
                        "field": "rows", "type": "quantitative", "legend": None, "scale": {"range": [30, 300]},
                    },
                    **_DESCRIBED,
                },
            },
        ],
    }  # fmt: skip


def _told(one: Said) -> str:
    return f"said {one.name}, {one.rows} rows: mean {one.said:.3f}, came true {one.came:.3f}"


def intervals(lines: Sequence[Interval], size: Size) -> Plot:
    """Means with their 95 % intervals, one below the other, from 0 to 1."""
    names = _names([(line.name, "") for line in lines], size)
    y = _named_axis(names, size)
    return _plot(
        size,
        lines,
        names,
        layer=[
            {
                "mark": _rule(3),
                "encoding": {"y": y, "x": _share("low"), "x2": {"field": "high"}, "color": _WON},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 90, "opacity": 1},
                "encoding": {"y": y, "x": _share("score"), "color": _WON, **_DESCRIBED},
            },
        ],
    )


def bars(lines: Sequence[Bar], size: Size) -> Plot:
    """A bar per name with its interval; a tick stands where the start was."""
    names = _names([(line.name, f" ({line.rows})") for line in lines], size)
    y = _named_axis(names, size)
    tick = {"type": "tick", "thickness": 2.5, "size": 22, "color": START, "opacity": 1}
    layer: list[Plot] = [
        {
            "mark": {"type": "bar", "color": ACCENT_SOFT, "height": 16},
            "encoding": {"y": y, "x": _share("score"), **_DESCRIBED},
        },
        {
            "mark": _rule(2) | {"color": ACCENT},
            "encoding": {"y": y, "x": _share("low"), "x2": {"field": "high"}},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 55, "color": ACCENT, "opacity": 1},
            "encoding": {"y": y, "x": _share("score")},
        },
    ]
    if any(line.start is not None for line in lines):
        layer.append({"mark": tick, "encoding": {"y": y, "x": _share("start")}})
    return _plot(size, lines, names, layer=layer)


def trajectory(points: Sequence[TrialPoint], size: Size, *, across: str, spent: str) -> Plot:
    """Score on dev over the calls of the search, with the best so far; below it what was spent, where that is known.

    `across` names the horizontal axis, `spent` the unit of what was spent.
    """
    costs = [point for point in points if point.spent is not None]
    x = _amount("calls", across if not costs else "")
    y = _score("score on dev", points)
    above: Plot = {
        "width": size.width,
        "height": 210,
        "layer": [
            {
                "mark": {"type": "line", "interpolate": "step-after", "color": ACCENT, "strokeWidth": 2},
                "encoding": {"x": x, "y": {**y, "field": "best"}},
            },
            *_trials(points, x, y),
        ],
    }
    if not costs:
        return _framed(points, above)
    below: Plot = {
        "width": size.width,
        "height": 64,
        "layer": [
            {
                "mark": {
                    "type": "area", "interpolate": "step-after", "color": ACCENT_SOFT,
                    "line": {"color": ACCENT, "strokeWidth": 1.5},
                },
                "encoding": {
                    "x": _amount("calls", across),
                    "y": _amount("spent", spent) | {"axis": _axis(spent, count=3)},
                },
            }
        ],
    }  # fmt: skip
    return _framed(points, {"vconcat": [above, below], "spacing": 14, "resolve": {"scale": {"x": "shared"}}})


def score_against(points: Sequence[TrialPoint], size: Size, *, across: str) -> Plot:
    """Score on dev against what a candidate costs to run; the line joins those that no other beats on both."""
    x, y = _amount("price", across), _score("score on dev", points)
    front: Plot = {
        "transform": [{"filter": "datum.front"}],
        "mark": {"type": "line", "interpolate": "step-after", "color": ACCENT, "strokeDash": [3, 3]},
        "encoding": {"x": x, "y": y},
    }
    return _framed(points, {"width": size.width, "height": 288, "layer": [front, *_trials(points, x, y)]})


def _trials(points: Sequence[TrialPoint], x: Plot, y: Plot) -> list[Plot]:
    """A point with its interval for each trial; start and winner stand out and are named beside their points."""
    shape = {"field": "mark", "type": "nominal", "legend": None}
    color = {**shape, "scale": {"domain": ["", "start", "winner"], "range": [QUIET, START, ACCENT]}}
    return [
        {
            "mark": _rule(1.5) | {"opacity": 0.45},
            "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": color},
        },
        {
            "mark": {"type": "point", "filled": True, "opacity": 1, "stroke": CARD, "strokeWidth": 1},
            "encoding": {
                "x": x,
                "y": y,
                "color": color,
                "shape": {
                    **shape,
                    "scale": {"domain": ["", "start", "winner"], "range": ["circle", "square", "diamond"]},
                },
                "size": {**shape, "scale": {"domain": ["", "start", "winner"], "range": [60, 90, 190]}},
                **_DESCRIBED,
            },
        },
        *(layer for point in points if point.mark for layer in _labels(point, points, x["field"])),
    ]


def _labels(point: TrialPoint, points: Sequence[TrialPoint], field: str) -> list[Plot]:
    """The name of one point, on the side where there is room, with a rim that parts it from lines below."""
    place = getattr(point, field)
    middle = (min(getattr(p, field) for p in points) + max(getattr(p, field) for p in points)) / 2
    right = place <= middle
    text = {
        "type": "text", "align": "left" if right else "right", "dx": 10 if right else -10,
        "dy": -10 if point.mark == "winner" else 12, "fontSize": 12, "fontWeight": 600, "aria": False,
    }  # fmt: skip
    data = {"values": [{field: place, "score": point.score, "text": f"{point.mark} {point.score:.3f}"}]}
    encoding = {
        "x": {"field": field, "type": "quantitative"},
        "y": {"field": "score", "type": "quantitative"},
        "text": {"field": "text", "type": "nominal"},
    }
    rim = {"color": CARD, "stroke": CARD, "strokeWidth": 4}
    return [
        {"data": data, "mark": {**text, **style}, "encoding": encoding} for style in (rim, {"color": INK})
    ]


_DESCRIBED: Plot = {"description": {"field": "says", "type": "nominal"}}
_WON: Plot = {
    "field": "won",
    "type": "nominal",
    "legend": None,
    "scale": {"domain": [True, False], "range": [ACCENT, START]},
}


def _plot(
    size: Size, lines: Sequence[Bar] | Sequence[Interval], names: Sequence[str], *, layer: list[Plot]
) -> Plot:
    plot = _framed(lines, {"width": size.width, "height": LINE_HEIGHT * len(lines), "layer": layer})
    for row, name in zip(plot["data"]["values"], names, strict=True):
        row["label"] = name
    return plot


def _framed(values: Sequence[TrialPoint] | Sequence[Bar] | Sequence[Interval], view: Plot) -> Plot:
    return {**_drawn([msgspec.structs.asdict(value) | {"says": _says(value)} for value in values]), **view}


def _drawn(rows: list[dict[str, Any]]) -> Plot:
    """What every plot says of itself: its data, its font, its axes."""
    return {
        "$schema": SCHEMA,
        "data": {"values": rows},
        "config": {
            "background": None,
            "font": "sans-serif",
            "view": {"stroke": None},
            "axis": {
                "domain": False, "ticks": False, "grid": True, "gridColor": GRID, "labelColor": QUIET,
                "titleColor": QUIET, "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal",
                "labelPadding": 6, "titlePadding": 8, "labelLimit": 0,
            },
        },
    }  # fmt: skip


def _says(value: Any) -> str:
    """What a mark says to whoever points at it."""
    text = f"{value.name}: {value.score:.3f} [{value.low:.2f}, {value.high:.2f}]"
    start = getattr(value, "start", None)
    return text if start is None else f"{text}, start {start:.3f}"


def _named_axis(names: Sequence[str], size: Size) -> Plot:
    # The page sets the names in a font of its own, so they are given a place rather than measured.
    axis = {
        # Vega would cut a name in the middle of a character that has two UTF-16 units, and break over it.
        "title": None, "grid": False, "labelColor": INK, "labelOverlap": False, "labelLimit": 0,
        "minExtent": size.names, "maxExtent": size.names,
    }  # fmt: skip
    return {"field": "label", "type": "nominal", "sort": list(names), "axis": axis}


def _names(parts: Sequence[tuple[str, str]], size: Size) -> list[str]:
    """Names that have room, each with its end whole, and that are told apart where they are alike."""
    most = size.names // CHARACTER
    seen: dict[str, int] = {}
    found = []
    for name, end in parts:
        label = f"{one_line(name, max(most - len(end), 4))}{end}"
        seen[label] = times = seen.get(label, 0) + 1
        found.append(label if times == 1 else f"{label} #{times}")
    return found


def _share(field: str, title: str = "") -> Plot:
    axis = {"title": title or None, "values": [0, 0.25, 0.5, 0.75, 1], "format": ".2~f"}
    return {"field": field, "type": "quantitative", "scale": {"domain": [0, 1]}, "axis": axis}


def _amount(field: str, title: str) -> Plot:
    return {
        "field": field,
        "type": "quantitative",
        "scale": {"zero": True, "nice": True},
        "axis": _axis(title),
    }


def _axis(title: str, count: int = 5) -> Plot:
    axis = {"title": title or None, "tickCount": count, "labels": bool(title)}
    # Without it every label of an axis gets the prefix of the largest: 0.5k.
    return axis | {"labelExpr": "format(datum.value, datum.value < 1 ? '~r' : '~s')"}


def _score(title: str, points: Sequence[TrialPoint]) -> Plot:
    """An axis that holds every interval, in steps of a tenth: differences between trials are what it is for."""
    low = max(int(min(point.low for point in points) * 10) / 10, 0.0)
    high = min(int(max(point.high for point in points) * 10 + 1) / 10, 1.0)
    axis = {"title": title, "tickCount": 5, "format": ".1f", "minExtent": 30}
    return {"field": "score", "type": "quantitative", "scale": {"domain": [low, high]}, "axis": axis}


def _rule(width: float) -> Plot:
    return {"type": "rule", "strokeWidth": width, "strokeCap": "round"}

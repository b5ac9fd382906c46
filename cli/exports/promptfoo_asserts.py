"""promptc's metrics as promptfoo's assertions, as far as they say the same."""

from __future__ import annotations

import json
import re
from typing import Any

from promptc.runners.judging import build_judge
from promptc.runners.metrics.classification import Classification
from promptc.runners.metrics.contains import Contains
from promptc.runners.metrics.exact_match import ExactMatch
from promptc.runners.metrics.llm_judge import LlmJudge
from promptc.runners.metrics.numeric import Numeric
from promptc.runners.metrics.regex import Regex
from promptc.spec.model import Spec

_PYTHON_ONLY = re.compile(r"\(\?[PaiLmsux(<#]|\\[AZ]")
"""What JavaScript's regular expressions do not know, or read otherwise."""
_NUNJUCKS = re.compile(r"\{\{|\{%|\{#|#\}")
_GOLDS = """\
const value = output[{field}];
const gold = context.vars.expected[{column}];
const golds = Array.isArray(gold) && !Array.isArray(value) ? gold : [gold];
"""


def literal(text: str) -> str:
    """Text that Nunjucks, promptfoo's template language, shows as it is."""
    return _NUNJUCKS.sub(lambda match: f'{{{{ "{match[0]}" }}}}', text)


def assertions(spec: Spec) -> tuple[list[dict[str, Any]], list[str]]:
    """The assertions, and what is said about metrics that have none."""
    found: list[dict[str, Any]] = []
    lost: list[str] = []
    for applied in build_judge(spec).metrics:
        use, metric = applied.use, applied.metric
        field = json.dumps(applied.field) if applied.field is not None else ""
        asserted = _assertion(metric, field, json.dumps(applied.gold)) if field or _judges(metric) else None
        if asserted is None:
            lost.append(f"the metric {use.name} is not carried: no assertion of promptfoo's says the same")
        elif use.when is not None:
            lost.append(f"the metric {use.name} is not carried: it has a condition (when: {use.when})")
        else:
            kind = f"not-{asserted['type']}" if use.negate else asserted["type"]
            found.append({**asserted, "type": kind, "metric": use.name, "weight": use.weight})
    return found, lost


def _judges(metric: Any) -> bool:
    """Whether a model judges the whole answer."""
    return isinstance(metric, LlmJudge)


def _assertion(metric: Any, field: str, column: str) -> dict[str, Any] | None:
    """The assertion for a metric's class and parameters; None where promptfoo has no like of it."""
    golds = _GOLDS.replace("{field}", field).replace("{column}", column)
    if isinstance(metric, ExactMatch) and not (metric.normalize or metric.language):
        return _javascript(golds + _same(fold=metric.ignore_case, any_order=metric.ignore_order))
    if isinstance(metric, Classification):
        return _javascript(golds + _same(fold=metric.ignore_case, any_order=True))
    if isinstance(metric, Contains) and not (metric.normalize or metric.language or metric.whole_words):
        return _javascript(_contains(metric, field, golds))
    if isinstance(metric, Numeric) and (metric.pick, metric.percent, metric.decimal) == (
        "last",
        "points",
        ".",
    ):
        near = f"Math.max({metric.tolerance!r}, {metric.relative!r} * Math.abs(Number(each)))"
        return _javascript(
            golds + f"return golds.some((each) => Math.abs(Number(value) - Number(each)) <= {near});"
        )
    if isinstance(metric, Regex) and metric.pattern is not None and metric.group is None:
        return _regex(metric, field)
    if isinstance(metric, LlmJudge) and not metric.reference and metric.scale is None and metric.votes == 1:
        rubric = "\n".join([metric.rubric, *(f"- {criterion}" for criterion in metric.criteria)])
        return {"type": "llm-rubric", "value": literal(rubric)}
    return None


def _same(*, fold: bool, any_order: bool) -> str:
    """Whether the value is one of the golds: texts without outer space, objects in any order of their keys."""
    text = "x.trim().toLowerCase()" if fold else "x.trim()"
    items = "x.map(key).sort()" if any_order else "x.map(plain)"
    lines = [
        "const plain = (x) => {",
        f"  if (typeof x === 'string') return {text};",
        f"  if (Array.isArray(x)) return {items};",
        "  if (x === null || typeof x !== 'object') return x;",
        "  return Object.fromEntries(Object.keys(x).sort().map((name) => [name, plain(x[name])]));",
        "};",
        "const key = (x) => JSON.stringify(plain(x));",
        "return golds.some((each) => key(each) === key(value));",
    ]
    return "\n".join(lines)


def _contains(metric: Contains, field: str, golds: str) -> str:
    fold = ".toLowerCase()" if metric.ignore_case else ""
    text = "const text = (x) => (typeof x === 'string' ? x : JSON.stringify(x))" + f"{fold};\n"
    quantifier = "every" if metric.require == "all" else "some"
    if metric.texts:
        texts = json.dumps(list(metric.texts), ensure_ascii=False)
        wanted = f"const golds = {texts};\nconst value = output[{field}];\n"
    else:
        wanted = golds
    inside = (
        "(Array.isArray(value) ? value.map(text).includes(text(each)) : text(value).includes(text(each)))"
    )
    return f"{wanted}{text}return golds.{quantifier}((each) => {inside});"


def _regex(metric: Regex, field: str) -> dict[str, Any] | None:
    pattern = metric.pattern or ""
    if _PYTHON_ONLY.search(pattern):
        return None
    flags = "".join(
        flag
        for flag, wanted in (("i", metric.ignore_case), ("m", metric.multiline), ("s", metric.dot_all))
        if wanted
    )
    whole = f"^(?:{pattern})$" if metric.match == "full" else pattern
    made = f"new RegExp({json.dumps(whole)}, {json.dumps(flags + 'u')})"
    return _javascript(f"{made}.test(String(output[{field}]))")


def _javascript(code: str) -> dict[str, Any]:
    """Code of one line is an expression, code of several lines a function's body."""
    return {"type": "javascript", "value": code}

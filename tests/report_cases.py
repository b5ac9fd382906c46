"""Runs as a report meets them: a search that found something, an evaluation with failures, hostile text.

The figures belong together: intervals are around means, trials and splits agree, gates are held to them.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
from rich.console import RenderableType

from promptc.cli.reports.details import ReportDetails, WorstRow
from promptc.runners.candidate import Candidate, Demo, PredictorTexts
from promptc.runners.models.request import Usage
from promptc.runners.models.statistics import ModelFigures
from promptc.runners.summary import (
    Change,
    Figure,
    FrontMember,
    Gap,
    GateResult,
    Improvement,
    RoleCost,
    SplitSummary,
    Summary,
    TrialLine,
    VerdictLine,
)
from promptc.runners.timing import Timing

SGR = re.compile(r"\x1b\[[0-9;]*m")
OBEYED = re.compile(
    r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff"
    r"\ufdd0-\ufdef\ufffe\uffff\U000e0000-\U000e007f]"
)
"""What no report may hold, apart from line feeds and promptc's own colours."""

QUEUES = ("account", "billing", "contract", "metering", "moving", "outage")


def figure(score: float, low: float, high: float, n: int) -> Figure:
    return Figure(score=score, ci_low=low, ci_high=high, n=n)


def changed(difference: float, low: float, high: float, p: float, p_adjusted: float, n: int) -> Change:
    return Change(difference=difference, ci_low=low, ci_high=high, p=p, p_adjusted=p_adjusted, n=n)


def split(score: float, low: float, high: float, n: int, **rest: object) -> SplitSummary:
    return msgspec.convert(
        {
            "score": score,
            "ci_low": low,
            "ci_high": high,
            "n": n,
            "rows": n,
            "cost": 0.0,
            **msgspec.to_builtins(rest),
        },
        SplitSummary,
    )


def confusion(wrong: dict[tuple[str, str], int], right: int) -> dict[str, dict[str, int]]:
    matrix: dict[str, dict[str, int]] = {queue: {queue: right} for queue in QUEUES}
    for (expected, predicted), rows in wrong.items():
        matrix[expected][predicted] = rows
    return matrix


def timing(**rest: object) -> Timing:
    known = {
        "seconds": 41.3,
        "rows": 108,
        "rows_per_second": 83.7,
        "calls": 2412,
        "replayed": 0,
        "cache_hits": 0,
        "paid_calls": 2412,
        "paid_usd": 0.0,
        "retries": 0,
    }
    return msgspec.convert({**known, **rest}, Timing)


def model_figures(**rest: object) -> ModelFigures:
    known = {
        "calls": 900,
        "attempts": 914,
        "cache_hits": 0,
        "shared": 0,
        "retries": {"rate_limit": 14},
        "failures": {},
        "mean_latency": 0.9,
        "median_latency": 0.8,
        "p95_latency": 2.4,
        "paid": Usage(),
        "paid_usd": 0.0,
        "unpriced": 0,
        "served_models": {"gpt-4.1-mini-2025-04-14": 900},
        "dropped_params": (),
    }
    return ModelFigures(**{**known, **rest})


START = Candidate(
    predictors={"answer": PredictorTexts(instructions="Route the message to the queue that can solve it.")}
)

DEMOS = (
    Demo(
        inputs={
            "message": "Is it possible to get the invoice on the 20th rather than the 1st? My pension "
            "arrives mid month. If the due date moves too, even better, then the debit wouldn't bounce."
        },
        outputs={"queue": "billing"},
        row_id="t002",
    ),
    Demo(
        inputs={
            "message": "Seit gestern Abend ist die ganze Straße dunkel, nur die Laternen brennen noch. Wann "
            "kommt der Strom zurück? Die Tiefkühltruhe taut schon."
        },
        outputs={"reasoning": "A whole street without power is a fault in the grid.", "queue": "outage"},
        source="bootstrapped",
        row_id="t031",
    ),
    Demo(
        inputs={
            "message": "On déménage le 3 juin.\nQue faut-il faire pour le compteur de l'ancien appartement ?"
        },
        outputs={"queue": "moving"},
        row_id="t047",
    ),
    Demo(
        inputs={"message": "Passwort vergessen, der Link läuft sofort ab"},
        outputs={"queue": "account"},
        row_id="t060",
    ),
    Demo(inputs={"message": "me bajáis la cuota mensual?"}, outputs={"queue": "billing"}, row_id="t004"),
)

WINNER = Candidate(
    predictors={
        "answer": PredictorTexts(
            instructions="Route the message to the queue that can solve it.\n"
            "A meter that is read or estimated wrongly goes to metering, even when the bill is what looks "
            "wrong.",
            descriptions={"queue": "the one queue whose people can act on the message"},
            demos=DEMOS,
        )
    }
)


def start_test() -> SplitSummary:
    wrong = {
        ("billing", "contract"): 14,
        ("metering", "billing"): 11,
        ("moving", "contract"): 9,
        ("outage", "metering"): 7,
        ("account", "billing"): 6,
        ("contract", "billing"): 12,
    }
    return split(
        0.454,
        0.363,
        0.548,
        108,
        metrics={
            "exact_match": figure(0.454, 0.363, 0.548, 108),
            "calibrated": figure(0.61, 0.55, 0.67, 108),
        },
        tallies={"exact_match": {"accuracy": 0.454, "macro_f1": 0.431, "confusion": confusion(wrong, 8)}},
        slices={
            "language": {
                "de": figure(0.417, 0.245, 0.612, 24),
                "en": figure(0.481, 0.353, 0.612, 54),
                "es": figure(0.625, 0.306, 0.863, 8),
                "fr": figure(0.364, 0.198, 0.570, 22),
            }
        },
        failures={"parse": 6},
        reasks=11,
        input_tokens=31_204,
        output_tokens=1_490,
    )


def winner_test() -> SplitSummary:
    wrong = {
        ("billing", "contract"): 7,
        ("metering", "billing"): 6,
        ("moving", "contract"): 4,
        ("outage", "moving"): 2,
    }
    return msgspec.structs.replace(
        split(
            0.787,
            0.701,
            0.854,
            108,
            metrics={
                "exact_match": figure(0.787, 0.701, 0.854, 108),
                "calibrated": figure(0.744, 0.69, 0.79, 108),
            },
            tallies={
                "exact_match": {"accuracy": 0.787, "macro_f1": 0.774, "confusion": confusion(wrong, 14)}
            },
            slices={
                "language": {
                    "de": figure(0.833, 0.641, 0.933, 24),
                    "en": figure(0.815, 0.692, 0.896, 54),
                    "es": figure(0.500, 0.215, 0.785, 8),
                    "fr": figure(0.773, 0.566, 0.899, 22),
                }
            },
            failures={"parse": 1},
            reasks=2,
            input_tokens=148_733,
            output_tokens=1_502,
        ),
        start=start_test(),
        improvement=Improvement(
            difference=0.333,
            ci_low=0.231,
            ci_high=0.435,
            p=0.0000004,
            permutation_p=0.0000004,
            detectable=0.158,
            wins=42,
            ties=60,
            losses=6,
            verdict="improvement",
            metrics={
                "calibrated": changed(0.134, 0.06, 0.21, 0.0004, 0.0004, 108),
                "exact_match": changed(0.333, 0.231, 0.435, 0.0000004, 0.0000008, 108),
            },
            slices={
                "language": {
                    "de": changed(0.416, 0.21, 0.62, 0.002, 0.006, 24),
                    "en": changed(0.334, 0.18, 0.48, 0.0002, 0.0008, 54),
                    "es": changed(-0.125, -0.5, 0.25, 1.0, 1.0, 8),
                    "fr": changed(0.409, 0.18, 0.63, 0.004, 0.008, 22),
                }
            },
        ),
    )


def winner_dev() -> SplitSummary:
    return msgspec.structs.replace(
        split(0.827, 0.746, 0.886, 110, failures={"parse": 1}),
        start=split(0.464, 0.373, 0.557, 110, failures={"parse": 5}),
        improvement=Improvement(
            difference=0.364, ci_low=0.264, ci_high=0.464, p=0.0000001, wins=45, ties=60, losses=5
        ),
    )


def trial(number: int, origin: str, score: float | None, characters: int) -> TrialLine:
    low, high = (None, None) if score is None else (max(score - 0.08, 0.0), min(score + 0.07, 1.0))
    return TrialLine(
        number=number,
        candidate=f"{number:02d}f3a9c1d2e4",
        origin=origin,
        score=score,
        ci_low=low,
        ci_high=high,
        n=110,
        prompt_characters=characters,
        input_tokens=110 * (30 + characters // 4),
        output_tokens=1_320,
        cost=0.0,
        spent=RoleCost(calls=220 + 112 * number, tokens=40_000 + 60_000 * number, usd=0.0447 * number),
    )


def triage() -> ReportDetails:
    """A search on the embedded model that found a significantly better prompt."""
    trials = (
        trial(0, "start", 0.464, 412),
        trial(1, "labeled", 0.691, 4_102),
        trial(2, "bootstrapped, seed 1", 0.745, 3_877),
        trial(3, "bootstrapped, seed 2", 0.709, 4_410),
        trial(4, "bootstrapped, seed 3", None, 4_210),
        trial(5, "bootstrapped, seed 4", 0.827, 4_388),
        trial(6, "bootstrapped, seed 5", 0.764, 4_012),
        trial(7, "bootstrapped, seed 6", 0.782, 4_301),
    )
    summary = Summary(
        command="optimize",
        name="support-triage",
        identity="9b1c2d3e4f50",
        optimizer="bootstrap_random_search",
        stop_reason="budget",
        exit_code=0,
        dev=winner_dev(),
        test=winner_test(),
        gap=Gap(difference=0.040, ci_low=-0.065, ci_high=0.144),
        gates=(
            GateResult(text="test.score >= 0.75", value=0.787, status="met"),
            GateResult(text="test.improvement.ci_low > 0", value=0.231, status="met"),
            GateResult(text="all.score >= 0.9", value=None, status="not applicable"),
        ),
        cost={
            "proposer": RoleCost(calls=12, tokens=41_222, usd=0.3127),
            "task": RoleCost(calls=2_400, tokens=812_331, usd=0.0),
        },
        calls=2_412,
        tokens=853_553,
        usd=0.3127,
        trials=trials,
        winner=trials[5],
        notes=(
            "2 rows are the same as an earlier one and stay in its split",
            "dev and train were cut from tickets.jsonl by queue",
            "test: language = es fell by 0.125 on 8 rows while the mean rose (within what chance does)",
        ),
    )
    return ReportDetails(
        summary=summary,
        spec_name="support-triage",
        run_directory="runs/support-triage-optimize-9b1c2d3e4f50",
        start=START,
        winner=WINNER,
        worst=(
            WorstRow(
                id="t112",
                score=0.0,
                inputs="my landlord reads the meter himself and gives me a number that is 400 kWh above "
                "what I see. who do I have to send my own photo to?",
                expected="metering",
                got="",
                reason="parse: the reply has no section [[ queue ]]; asked again twice",
            ),
            WorstRow(
                id="t087",
                score=0.0,
                inputs="Votre estimation est très au-dessus de ce qu'indique le compteur. J'envoie "
                "une photo de l'index chaque automne et chaque fois vous l'ignorez. Merci de prendre le vrai "
                "chiffre.",
                expected="metering",
                got="billing",
                reason='expected "metering", got "billing"',
            ),
        ),
        timing=timing(paid_usd=0.3127),
    )


def weighed() -> ReportDetails:
    """The same search with several objectives."""
    details = triage()
    front = (
        front_member(5, "bootstrapped, seed 4", 0.827, 1_204.4, 0.00031, won=True),
        front_member(2, "bootstrapped, seed 1", 0.745, 1_080.0, 0.00027),
        front_member(0, "start", 0.464, 212.5, None),
    )
    summary = msgspec.structs.replace(details.summary, objectives=("score", "tokens", "cost"), front=front)
    return msgspec.structs.replace(details, summary=summary)


def front_member(
    number: int, origin: str, score: float, tokens: float, cost: float | None, *, won: bool = False
) -> FrontMember:
    return FrontMember(
        number=number,
        candidate=f"{number:02d}f3a9c1d2e4",
        origin=origin,
        figures={"score": score, "tokens": tokens, "cost": cost},
        prompt_characters=412,
        won=won,
    )


def start_won() -> ReportDetails:
    """A search that found nothing better."""
    details = triage()
    summary = details.summary
    none = Improvement(difference=0.0, ci_low=0.0, ci_high=0.0, p=1.0, ties=108)
    return msgspec.structs.replace(
        details,
        winner=START,
        worst=(),
        summary=msgspec.structs.replace(
            summary,
            stop_reason="finished",
            winner=summary.trials[0],
            trials=(summary.trials[0], trial(1, "labeled", 0.445, 4_102)),
            gates=(),
            gap=Gap(difference=0.010, ci_low=-0.121, ci_high=0.142),
            dev=msgspec.structs.replace(winner_dev().start, start=winner_dev().start, improvement=none),
            test=msgspec.structs.replace(start_test(), start=start_test(), improvement=none),
        ),
    )


def failing_eval() -> ReportDetails:
    """A nested extraction on a paid model, with failures, a missed gate and an unknown price."""
    fields = {
        "customer.name": {"score": 0.94, "rows": 139},
        "items.price": {"score": 0.7996, "rows": 139},
        "items.quantity": {"score": 0.88, "rows": 137},
    }
    dev = split(
        0.7996,
        0.742,
        0.851,
        139,
        rows=150,
        metrics={"json_fields": figure(0.7996, 0.742, 0.851, 139), "polite": figure(0.91, 0.88, 0.94, 131)},
        tallies={"json_fields": {"fields": fields}},
        slices={
            "source": {
                name: figure(score, max(score - 0.2, 0), min(score + 0.15, 1), n)
                for name, score, n in (
                    ("chat", 0.81, 41),
                    ("email", 0.83, 38),
                    ("fax", 0.38, 4),
                    ("forum", 0.70, 9),
                    ("letter", 0.84, 12),
                    ("phone note", 0.79, 11),
                    ("sms", 0.66, 9),
                    ("social", 0.77, 6),
                    ("voicemail", 0.55, 5),
                    ("web form", 0.90, 4),
                )
            }
        },
        failures={"parse": 4, "provider": 9, "timeout": 2, "truncated": 1},
        unscored=11,
        reasks=23,
        cost=None,
    )
    message = "dev: 11 of 150 rows have no score (4 parse, 9 provider, 2 timeout, 1 truncated), more than 2%"
    summary = Summary(
        command="eval",
        name="order-extract",
        identity="0a1b2c3d4e5f",
        exit_code=6,
        verdicts=(
            VerdictLine(code=6, message=message),
            VerdictLine(code=1, message="gate failed: dev.score >= 0.80 (it is 0.7996)"),
        ),
        dev=dev,
        gates=(
            GateResult(text="dev.score >= 0.80", value=0.7996, status="failed"),
            GateResult(text="dev.metrics.polite.score >= 0.9", value=0.91, status="met"),
            GateResult(text="test.score >= 0.80", value=None, status="not applicable"),
        ),
        cost={"task": RoleCost(calls=173, tokens=240_118, usd=0.0)},
        calls=173,
        tokens=240_118,
        usd=0.0,
        notes=("the score of 8 rows rests on one of two metrics, the other had no gold",),
    )
    return ReportDetails(
        summary=summary,
        spec_name="order-extract",
        run_directory="runs/order-extract-eval-0a1b2c3d4e5f",
        worst=(
            WorstRow(
                id="mail-0093",
                score=None,
                inputs="Hallo, bitte 3 × Schraubensatz M6 an die Filiale in Köln, Rechnung wie immer an die "
                "Zentrale.",
                expected='{"customer": {"name": "Filiale Köln"}, "items": [{"quantity": 3}]}',
                got="",
                reason="provider: 503 Service Unavailable: upstream connect error, after 5 retries",
            ),
            WorstRow(
                id="mail-0017",
                score=0.25,
                inputs="请给我寄两箱绿茶,谢谢。",
                expected='{"items": [{"name": "绿茶", "quantity": 2}]}',
                got='{"items": [{"name": "绿茶", "quantity": 12}]}',
                reason="items[0].quantity: expected 2, got 12",
            ),
        ),
        timing=timing(
            seconds=192.4,
            rows_per_second=0.78,
            cache_hits=31,
            paid_calls=142,
            retries=14,
            models={"openai/gpt-4.1-mini": model_figures(unpriced=142)},
            warnings=("openai/gpt-4.1-mini answered as gpt-4.1-mini-2025-04-14",),
        ),
    )


def hostile(payload: str) -> ReportDetails:
    """The triage search with one text in every place that a model, a row, a provider or a spec can fill."""
    details = triage()
    summary = details.summary
    test = summary.test
    assert test is not None
    lines = {payload: figure(0.5, 0.4, 0.6, 9), "other": figure(0.4, 0.3, 0.5, 9)}
    tally = {
        payload: 0.5,
        "confusion": {payload: {"other": 3, payload: 4}},
        "fields": {payload: {"score": 0.5, "rows": 9}},
    }
    start = msgspec.structs.replace(
        start_test(), metrics=lines, slices={payload: lines}, tallies={payload: tally}, failures={payload: 1}
    )
    poisoned = msgspec.structs.replace(
        test,
        start=start,
        metrics=lines,
        slices={payload: lines},
        tallies={payload: tally},
        failures={payload: 2},
    )
    demo = Demo(inputs={payload: payload}, outputs={"list": [payload], payload: payload}, row_id=payload)
    texts = PredictorTexts(
        instructions=payload, descriptions={payload: payload}, demos=(demo,), model=payload
    )
    trials = tuple(msgspec.structs.replace(trial, origin=payload) for trial in summary.trials)
    return ReportDetails(
        summary=msgspec.structs.replace(
            summary,
            name=payload,
            command=payload,
            optimizer=payload,
            stop_reason=payload,
            test=poisoned,
            verdicts=(VerdictLine(code=6, message=payload),),
            gates=(GateResult(text=payload, value=0.5, status="failed"),),
            cost={payload: RoleCost(calls=1, tokens=2, usd=0.1)},
            trials=trials,
            winner=trials[5],
            objectives=("score", payload),
            front=(front_member(5, payload, 0.5, 1.0, None, won=True),),
            served_models={payload: (payload, "other")},
            notes=(payload,),
        ),
        spec_name=payload,
        run_directory=payload,
        start=Candidate(predictors={"answer": PredictorTexts(instructions="Answer.")}, choices={payload: 1}),
        winner=Candidate(predictors={"answer": texts, payload: texts}, choices={payload: payload}),
        worst=(
            WorstRow(id=payload, score=0.0, inputs=payload, expected=payload, got=payload, reason=payload),
        ),
        timing=timing(models={payload: model_figures(unpriced=1)}, warnings=(payload,)),
    )


HOSTILE = {
    "ansi colour": "\x1b[31mred\x1b[0m",
    "clear screen": "\x1b[2J\x1b[H gone",
    "8-bit csi": "\x9b31m red \x9d0;title\x9c",
    "osc 8 link": "\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "osc 52 clipboard": "\x1b]52;c;ZXZpbA==\x07",
    "device control": "\x1bP+q544e\x1b\\",
    "carriage return": "harmless\roverwritten",
    "backspaces": "pass\b\b\b\bfail",
    "nul and del": "a\x00b\x7fc",
    "vertical": "one\vtwo\fthree\x85four\u2028five\u2029six",
    "bidi override": "user\u202e\u2066nimda\u2069\u202c\u200f",
    "tags and joiners": "hidden\U000e0041\U000e0042\ufeff\u200b\u2060",
    "no characters": "\ud800 \udfff \ufffe \uffff \ufdd0",
    "rich markup": "[red]x[/red] [link=https://evil.example]y[/link] [/] [@click=a]z[/] :smile:",
    "html": "<script>alert(1)</script><img src=x onerror=alert(1)> &lt;b&gt; ]]> <!-- -->"
    "</summary></details>",
    "markdown": "[x](https://evil.example) ![y](https://evil.example/p.png) **b** `c` | d | ~~e~~ # f\n# g"
    "\n- h\n\n1. i",
    "mentions": "@octocat #123 GH-5 www.evil.example https://evil.example a@evil.example $x^2$ ```` ```",
    "backslashes": "a\\|b\\\\|c\\`d`\\",
    "format braces": "{} {unique_id} {{styles}} %s {0.__class__}",
    "combining tower": "a" + "\u0301" * 300,
    "wide": "漢字かな交じり文" * 30,
    "many lines": "line\n" * 500,
    "one megabyte": "x" * 1_000_000,
    "a megabyte of escapes": "\x1b" * 1_000_000,
    "empty": "",
    "spaces": "   \t \n ",
}
"""Texts that would like to be more than text, by what they try."""

GOLDENS = {
    "triage": triage,
    "start_won": start_won,
    "failing_eval": failing_eval,
}
"""Reports whose every form is kept under golden/reports."""


def golden_files() -> dict[str, Callable[[], str]]:
    """What makes each golden file, by name. `python tests/report_cases.py` writes them anew."""
    from promptc.cli.reports.diff import prompt_diff
    from promptc.cli.reports.files import text_report
    from promptc.cli.reports.markdown import markdown_report

    quiet = {"NO_COLOR": "1"}
    files: dict[str, Callable[[], str]] = {"triage.diff": lambda: prompt_diff(START, WINNER)}
    for name, make in GOLDENS.items():
        for width in (80, 200):
            files[f"{name}.{width}.txt"] = partial(
                lambda make, width: text_report(make(), width), make, width
            )
            files[f"{name}.{width}.terminal.txt"] = partial(
                lambda make, width: on_screen(make(), width, quiet), make, width
            )
        files[f"{name}.80.ascii.txt"] = partial(
            lambda make: on_screen(make(), 80, quiet, encoding="ascii"), make
        )
        files[f"{name}.md"] = partial(lambda make: markdown_report(make()), make)
    files["front.80.txt"] = lambda: text_report(weighed(), 80)
    files["front.md"] = lambda: markdown_report(weighed())
    files["triage.80.color.txt"] = lambda: on_screen(triage(), 80, {}).replace("\x1b", "\\e")
    return files


class Screen(io.TextIOWrapper):
    """A stream in memory that says it is a terminal, in an encoding of choice."""

    def __init__(self, encoding: str = "utf-8", *, terminal: bool = True) -> None:
        super().__init__(io.BytesIO(), encoding=encoding, newline="", write_through=True)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    def text(self) -> str:
        """Everything written so far."""
        self.flush()
        return self.buffer.getvalue().decode(self.encoding)  # type: ignore[attr-defined]


def on_screen(
    details: ReportDetails,
    width: int,
    environment: dict[str, str],
    *,
    encoding: str = "utf-8",
    terminal: bool = True,
) -> str:
    """What the report writes to a terminal, or to a pipe."""
    from promptc.cli.reports.terminal import report

    return put_on_screen(report(details), width, environment, encoding=encoding, terminal=terminal)


def put_on_screen(
    content: RenderableType,
    width: int,
    environment: dict[str, str],
    *,
    encoding: str = "utf-8",
    terminal: bool = True,
) -> str:
    """What a terminal, or a pipe, gets of it."""
    from promptc.cli.console import open_terminal

    stdout = Screen(encoding, terminal=terminal)
    opened = open_terminal(
        stdout, Screen(terminal=terminal), {"TERM": "xterm", "COLUMNS": str(width), **environment}
    )
    opened.answer(content)
    return stdout.text()


if __name__ == "__main__":
    folder = Path(__file__).parent / "golden" / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in golden_files().items():
        (folder / name).write_text(content(), encoding="utf-8", newline="")

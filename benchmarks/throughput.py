"""Rows a second of `promptc eval` over a loopback server, beside DSPy's Evaluate on the same server in the same run."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import msgspec
from measuring import (
    SPECS,
    Missing,
    Section,
    Settings,
    environment_for,
    forget_replies,
    loopback,
    middle,
    promptc,
    spend,
)

SPEC = SPECS / "throughput.yaml"
REPLY = "[[ ## label ## ]]\npositive\n\n[[ ## completed ## ]]"
IN_FLIGHT = 64
PEER_ROWS = 5000
PEER_THREADS = 16
"""The peer is fastest with 16 threads; it counts its evaluation alone, so that fewer rows give the same rate."""

LATENCY = 200
LATENCY_IN_FLIGHT = 256

HEADER = ("what", "rows/s", "wall s", "CPU ms a row", "peak MB", "command")


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One client's pass over the rows; `wall` and `peak` are None where the client does not say."""

    rate: float
    cpu: float
    wall: float | None = None
    peak: float | None = None


def rows_file(settings: Settings) -> Path:
    """As many different rows as were asked for."""
    path = settings.work / "rows.jsonl"
    with path.open("wb") as file:
        for number in range(settings.rows):
            row = {"id": f"r{number}", "text": f"text {number}", "label": "positive"}
            file.write(msgspec.json.encode(row) + b"\n")
    return path


def evaluate(settings: Settings, port: int, jobs: int) -> Measured:
    """`promptc eval` of all rows, as a whole process into a new run directory."""
    run = settings.work / "run"
    shutil.rmtree(run, ignore_errors=True)
    environment = environment_for(
        settings, BENCH_API_BASE=f"http://127.0.0.1:{port}/v1", BENCH_ROWS=str(settings.work / "rows.jsonl")
    )
    command = [promptc(), "eval", str(SPEC), "-j", str(jobs), "-o", str(run), "--json", "--quiet"]
    spent = spend(command, settings.work, environment)
    figures = msgspec.json.decode(spent.stdout)["dev"]
    if (figures["score"], figures["n"]) != (1.0, settings.rows):
        raise RuntimeError(f"expected {settings.rows} right rows, got {figures}")
    return Measured(
        rate=settings.rows / spent.wall,
        cpu=spent.cpu / settings.rows * 1000,
        wall=spent.wall,
        peak=spent.peak,
    )


def peer(settings: Settings, port: int, *, cached: bool) -> list[Measured]:
    """DSPy's Evaluate; with its disk cache a second pass that answers from it."""
    script = settings.shared / "bench" / "peers" / "dspy_eval.py"
    if settings.peer_python is None or not settings.peer_python.is_file() or not script.is_file():
        raise Missing(
            "DSPy is skipped: --peer-python names a Python with dspy, --shared the folder with bench/peers"
        )
    cache = settings.work / "peer-cache"
    shutil.rmtree(cache, ignore_errors=True)
    arguments = [str(port), str(PEER_ROWS), str(PEER_THREADS), *([str(cache)] if cached else [])]
    spent = spend(
        [str(settings.peer_python), str(script), *arguments], settings.work, environment_for(settings)
    )
    said = spent.stdout.decode()
    passes = re.findall(r"score 100\.0 +(\d+) rows/s +([\d.]+) ms CPU", said)
    if len(passes) != 1 + cached:
        raise RuntimeError(f"cannot read DSPy's figures: {said}")
    return [Measured(rate=float(rate), cpu=float(cpu), peak=spent.peak) for rate, cpu in passes]


def measure(settings: Settings) -> Section:
    """Each client in turn, as many rounds as asked; medians."""
    rows_file(settings)
    ours: dict[str, list[Measured]] = {"calls": [], "cache": []}
    theirs: dict[str, list[Measured]] = {"calls": [], "both": [], "cache": []}
    notes: list[str] = []
    with loopback(settings, reply=REPLY) as (port, stats):
        evaluate(settings, port, IN_FLIGHT)  # compiles modules, warms the server up
        for _ in range(settings.rounds):
            forget_replies(settings)
            asked = stats()["requests"]
            ours["calls"].append(evaluate(settings, port, IN_FLIGHT))
            if stats()["requests"] - asked != settings.rows:
                raise RuntimeError(f"expected {settings.rows} requests, got {stats()['requests'] - asked}")
            ours["cache"].append(evaluate(settings, port, IN_FLIGHT))
            if stats()["requests"] - asked != settings.rows:
                raise RuntimeError("the pass from the cache asked the server")
            try:
                theirs["calls"] += peer(settings, port, cached=False)
                both = peer(settings, port, cached=True)
            except Missing as missing:
                notes = [str(missing)]
                continue
            theirs["both"].append(both[0])
            theirs["cache"].append(both[1])
    return Section(header=HEADER, rows=_table(ours, theirs), notes=[*notes, *_ratios(ours, theirs)])


def measure_latency(settings: Settings) -> Section:
    """Rows × latency ÷ in-flight is what nobody can beat."""
    rows_file(settings)
    found: list[Measured] = []
    with loopback(settings, reply=REPLY, latency=LATENCY) as (port, stats):
        for _ in range(settings.rounds):
            forget_replies(settings)
            found.append(evaluate(settings, port, LATENCY_IN_FLIGHT))
        most = stats()["most_inflight"]
    least = settings.rows * LATENCY / 1000 / LATENCY_IN_FLIGHT
    over = [each.wall / least for each in found if each.wall is not None]
    what = f"{LATENCY} ms latency, {LATENCY_IN_FLIGHT} in flight"
    return Section(
        header=HEADER,
        rows=[_line(what, found, f"`promptc eval {_named(SPEC)} -j {LATENCY_IN_FLIGHT}`")],
        notes=[
            f"{settings.rows:,} rows × {LATENCY} ms ÷ {LATENCY_IN_FLIGHT} = {least:.2f} s: the whole process takes "
            f"{middle(over, 2)} times as long. Most requests under way at once, as the server counted: {most}."
        ],
    )


def _table(ours: dict[str, list[Measured]], theirs: dict[str, list[Measured]]) -> list[tuple[str, ...]]:
    command = f"`promptc eval {_named(SPEC)} -j {IN_FLIGHT}`"
    other = f"`dspy_eval.py PORT {PEER_ROWS} {PEER_THREADS}`"
    lines = [
        ("promptc, every row a call", ours["calls"], command),
        ("promptc, again from its cache", ours["cache"], f"{command} into a new run directory"),
        ("DSPy, every row a call, no cache", theirs["calls"], other),
        ("DSPy, every row a call, writing its cache", theirs["both"], f"{other[:-1]} CACHE`"),
        ("DSPy, again from its cache", theirs["cache"], f"{other[:-1]} CACHE`, second pass"),
    ]
    return [_line(what, found, how) for what, found, how in lines if found]


def _line(what: str, found: list[Measured], command: str) -> tuple[str, ...]:
    walls = [each.wall for each in found if each.wall is not None]
    peaks = [each.peak for each in found if each.peak is not None]
    return (
        what,
        middle([each.rate for each in found]),
        middle(walls, 1) if walls else "",
        middle([each.cpu for each in found], 2),
        f"{max(peaks):.0f}" if peaks else "",
        command,
    )


def _ratios(ours: dict[str, list[Measured]], theirs: dict[str, list[Measured]]) -> list[str]:
    """Round by round; where every row is a call, against DSPy's better pass of the two."""
    if not theirs["calls"]:
        return []
    better = [
        max(pair, key=lambda one: one.rate) for pair in zip(theirs["calls"], theirs["both"], strict=True)
    ]
    parts = []
    for what, mine, other in (
        ("every row a call (DSPy's better pass)", ours["calls"], better),
        ("from the cache", ours["cache"], theirs["cache"]),
    ):
        rates = [a.rate / b.rate for a, b in zip(mine, other, strict=True)]
        costs = [b.cpu / a.cpu for a, b in zip(mine, other, strict=True)]
        parts.append(
            f"{what}: {middle(rates, 1)} times the rows a second for 1/{middle(costs, 1)} of the CPU a row"
        )
    return [f"promptc against DSPy in the same round; {'; '.join(parts)}."]


def _named(spec: Path) -> str:
    return f"{spec.parent.parent.name}/{spec.parent.name}/{spec.name}"

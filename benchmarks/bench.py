"""Measures promptc and prints Markdown tables; `--write` puts them into docs/benchmarks.md.

What a benchmark needs and does not find (data sets, Node.js for the loopback server, a peer) is named and skipped.
Progress goes to stderr.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import banking77
import gsm8k_numeric
import squad
import startup
import throughput
from measuring import Missing, Section, Settings, machine

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs" / "benchmarks.md"
SHARED = ROOT.parent / "shared"

BENCHMARKS: Mapping[str, Callable[[Settings], Section]] = {
    "banking77": banking77.measure,
    "knn": banking77.measure_knn,
    "recall": squad.measure_recall,
    "squad": squad.measure_answers,
    "gsm8k": gsm8k_numeric.measure,
    "throughput": throughput.measure,
    "latency": throughput.measure_latency,
    "startup": startup.measure,
}
"""Name → what measures it, in the order in which they run."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chosen benchmarks; returns 1 when none could run."""
    chosen = _parser().parse_args(arguments)
    names = chosen.only or list(BENCHMARKS)
    document = DOCS.read_text(encoding="utf-8") if chosen.write else ""
    done = 0
    with tempfile.TemporaryDirectory(prefix="promptc-bench-") as work:
        settings = Settings(
            shared=chosen.shared.resolve(),
            peer_python=chosen.peer_python.absolute() if chosen.peer_python else None,
            rows=chosen.rows,
            rounds=chosen.rounds,
            work=Path(work),
        )
        for name in names:
            print(f"{name} …", file=sys.stderr, flush=True)
            busy = os.getloadavg()[0]
            try:
                section = BENCHMARKS[name](settings)
            except Missing as missing:
                print(f"## {name}\n\nSkipped: {missing}.\n", flush=True)
                continue
            done += 1
            measured = f"{section.markdown()}\n\nMeasured on {machine()}; load before: {busy:.1f}."
            print(f"## {name}\n\n{measured}\n", flush=True)
            document = replaced(document, name, measured) if chosen.write else ""
    if chosen.write and done:
        DOCS.write_text(document, encoding="utf-8")
    return 0 if done else 1


def replaced(document: str, name: str, measured: str) -> str:
    """The document with new figures between the two marks of this benchmark. Raises SystemExit without marks."""
    begin, end = f"<!-- bench:{name} -->\n", f"<!-- /bench:{name} -->"
    before, opened, rest = document.partition(begin)
    _, closed, after = rest.partition(end)
    if not opened or not closed:
        raise SystemExit(f"{DOCS} has no place for {name}: {begin.strip()} … {end}")
    return f"{before}{begin}\n{measured}\n\n{end}{after}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", action="append", choices=list(BENCHMARKS), metavar="NAME",
        help=f"run this one; repeatable: {', '.join(BENCHMARKS)}",
    )  # fmt: skip
    parser.add_argument(
        "--shared", type=Path, default=SHARED, metavar="DIR",
        help="folder with data/banking77, data/gsm8k, data/squad, bench/loopback.mjs and bench/peers",
    )  # fmt: skip
    parser.add_argument(
        "--peer-python", type=Path, metavar="PATH", help="a Python in whose environment dspy is installed"
    )
    parser.add_argument(
        "--rows", type=int, default=20_000, metavar="N", help="rows of throughput and latency"
    )
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds of throughput and latency")
    parser.add_argument("--write", action="store_true", help="put the figures into docs/benchmarks.md")
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""How often the `numeric` metric finds gsm8k's answer in its worked solution.

The solutions are right, so whatever is missed is the metric's (or the data's) doing. As a script of its own:
python benchmarks/gsm8k_numeric.py DIR [--show N], where DIR holds train.jsonl and test.jsonl with the columns
`solution` and `answer`.
"""

from __future__ import annotations

import argparse
import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
from measuring import Section, Settings

from promptc.runners.metrics.numbers import find_numbers
from promptc.runners.metrics.numeric import Numeric
from promptc.runners.metrics.protocol import Case, Score
from promptc.runners.statistics import mean_interval
from promptc.spec.fields import Signature

FILES = ("train", "test")
HEADER = ("solutions", "rows", "found", "share", "missed", "why")


class NoServices:
    """Numeric asks nothing of the outside."""

    async def predict(
        self, signature: Signature, inputs: Any, *, model: str = "judge", rollout: int = 0
    ) -> Any:
        """Never asked for."""
        raise AssertionError("numeric calls no model")

    async def hook(self, reference: str, payload: Any) -> Any:
        """Never asked for."""
        raise AssertionError("numeric calls no hook")


async def scored(rows: list[dict[str, Any]]) -> list[Score]:
    """The score of every worked solution."""
    metric, services = Numeric(), NoServices()
    scores = [
        await metric.score(Case(value=row["solution"], expected=row["answer"]), services) for row in rows
    ]
    return [score for score in scores if score is not None]


def why_missed(row: dict[str, Any]) -> str:
    """What became of the answer in a solution whose last number is another one."""
    [answer] = find_numbers(row["answer"])
    numbers = [number.value for number in find_numbers(row["solution"])]
    if answer.value in numbers:
        return "where it stands earlier and text with another number follows"
    if any(number * 100 == answer.value for number in numbers):
        return "where it is asked for in cents and worked out in dollars"
    return "where it stands nowhere in the solution"


def read(folder: Path, name: str) -> list[dict[str, Any]]:
    """The rows of one file."""
    return [msgspec.json.decode(line) for line in (folder / f"{name}.jsonl").read_bytes().splitlines()]


def found_in(name: str, rows: list[dict[str, Any]], scores: list[Score]) -> tuple[str, ...]:
    """One file's line: the share with its interval, and why the others were missed."""
    found = mean_interval([score.value for score in scores], binary=True)
    reasons = Counter(why_missed(row) for row, score in zip(rows, scores, strict=True) if score.value == 0)
    why = "; ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    missed = reasons.total()
    share = f"{found.mean:.4f} [{found.low:.4f}, {found.high:.4f}]"
    return name, f"{found.n:,}", f"{found.n - missed:,}", share, str(missed), why


def measure(settings: Settings) -> Section:
    """Both files."""
    folder = settings.data("gsm8k", *(f"{name}.jsonl" for name in FILES))
    rows = []
    for name in FILES:
        solutions = read(folder, name)
        rows.append(found_in(name, solutions, asyncio.run(scored(solutions))))
    return Section(header=HEADER, rows=rows)


def show(rows: list[dict[str, Any]], count: int) -> None:
    """Print the first of the rows that were missed."""
    scores = asyncio.run(scored(rows))
    missed = [(row, score) for row, score in zip(rows, scores, strict=True) if score.value == 0]
    for row, score in missed[:count]:
        print(f"  {why_missed(row)}: {score.feedback} … {row['solution'][-100:]!r}")


def main() -> None:
    """Measure both files, and show what was missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder with train.jsonl and test.jsonl")
    parser.add_argument("--show", type=int, default=0, metavar="N", help="how many missed rows to print")
    arguments = parser.parse_args()
    for name in FILES:
        if not (arguments.folder / f"{name}.jsonl").is_file():
            raise SystemExit(
                f"{arguments.folder / name}.jsonl is missing: name the folder with gsm8k's files"
            )
        rows = read(arguments.folder, name)
        print(*found_in(name, rows, asyncio.run(scored(rows))), sep="  ")
        show(rows, arguments.show)


if __name__ == "__main__":
    main()

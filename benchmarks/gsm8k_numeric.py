"""How often the `numeric` metric finds gsm8k's answer in its worked solution: python
benchmarks/gsm8k_numeric.py [DIR].

DIR holds train.jsonl and test.jsonl with the columns `solution` and `answer`; the default is
../shared/data/gsm8k from the repository's root. The solutions are right, so whatever is missed is the
metric's (or the data's) doing.
"""

from __future__ import annotations

import argparse
import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from promptc.runners.metrics.numbers import find_numbers
from promptc.runners.metrics.numeric import Numeric
from promptc.runners.metrics.protocol import Case, Score
from promptc.runners.statistics import mean_interval
from promptc.spec.fields import Signature

DEFAULT = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "gsm8k"


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
        return "stands earlier: text with another number follows"
    if any(number * 100 == answer.value for number in numbers):
        return "asked for in cents, worked out in dollars"
    return "stands nowhere in the solution"


def report(name: str, rows: list[dict[str, Any]], show: int) -> None:
    """Print the share with its interval, why the others were missed, and the first of them."""
    scores = asyncio.run(scored(rows))
    found = mean_interval([score.value for score in scores], binary=True)
    missed = [(row, score) for row, score in zip(rows, scores, strict=True) if score.value == 0]
    share = f"{found.mean:.4f} [{found.low:.4f}, {found.high:.4f}]"
    print(f"{name}: {found.n - len(missed)} of {found.n} = {share}")
    for reason, count in Counter(why_missed(row) for row, _ in missed).most_common():
        print(f"  {count:4d}  {reason}")
    for row, score in missed[:show]:
        print(f"        {score.feedback} … {row['solution'][-100:]!r}")


def main() -> None:
    """Measure both files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "folder", nargs="?", type=Path, default=DEFAULT, help="folder with train.jsonl and test.jsonl"
    )
    parser.add_argument("--show", type=int, default=0, help="how many missed rows to print")
    arguments = parser.parse_args()
    for name in ("train", "test"):
        path = arguments.folder / f"{name}.jsonl"
        if not path.is_file():
            raise SystemExit(f"{path} is missing: name the folder with gsm8k's train.jsonl and test.jsonl")
        report(name, [msgspec.json.decode(line) for line in path.read_bytes().splitlines()], arguments.show)


if __name__ == "__main__":
    main()

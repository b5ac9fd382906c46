"""Which rows `eval` scores: by split, by id, by expression, by what went wrong before, by lot."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from promptc.cli.console import Terminal
from promptc.cli.opening import RUNS
from promptc.runners.dataset import Dataset
from promptc.runners.finished_run import FinishedRun, ScoredRow, open_run
from promptc.runners.rows import Example
from promptc.runners.run_directory import is_finished, latest_path, read_marker
from promptc.spec.errors import NothingSelected, UsageError
from promptc.spec.expressions import ExpressionError, compile_expression, wrong_reference
from promptc.spec.model import Spec


def default_split(dataset: Dataset) -> Literal["dev", "all"]:
    """What `eval` scores unless it is told otherwise: with folds every row, since none is kept for later."""
    return "all" if dataset.folds else "dev"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for on the command line; `split` None leaves it to the run that rows are taken from."""

    split: str | None = None
    ids: tuple[str, ...] = ()
    where: str = ""
    last_failed: bool = False
    sample: int | None = None
    limit: int | None = None
    source: FinishedRun | None = None

    @property
    def as_before(self) -> bool:
        """True where the rows are simply those of the run that replies are taken from."""
        return self.source is not None and not (
            self.ids or self.where or self.sample or self.limit or self.last_failed
        )


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """The rows that were chosen, and what a run's identity keeps of how."""

    split: str
    examples: tuple[Example, ...]
    identity: dict[str, Any]


def wanted_rows(typed: Mapping[str, Any]) -> Wanted:
    """The options that choose rows. Raises UsageError for a run or a file that cannot be read."""
    source = typed["source"]
    return Wanted(
        split=typed["split"],
        ids=wanted_ids(typed["row_ids"]),
        where=typed["where"] or "",
        last_failed=typed["last_failed"],
        sample=typed["sample"],
        limit=typed["limit"],
        source=open_run(source) if source is not None else None,
    )


def select(
    dataset: Dataset, spec: Spec, wanted: Wanted, terminal: Terminal, output: Path | None = None
) -> Selection:
    """The rows to score: those of the split that every option leaves, then drawn, then the first of them.

    Raises NothingSelected, and UsageError for an expression that is wrong.
    """
    earlier = _earlier(spec, wanted, output)
    split = wanted.split or _split_of(earlier) or default_split(dataset)
    whole: Sequence[Example] = dataset.part(split)  # type: ignore[arg-type]
    if not whole:
        raise NothingSelected(f"split {split} has no rows", _where_rows_are(dataset))
    examples = whole
    if wanted.last_failed or wanted.as_before:
        examples = _seen(examples, earlier, split, last_failed=wanted.last_failed)
    if wanted.ids:
        examples = named(examples, wanted.ids, split)
    if wanted.where:
        examples = where(examples, wanted.where, terminal)
    if wanted.sample is not None:
        examples = drawn(examples, wanted.sample, spec.run.seed)
    chosen = tuple(examples[: wanted.limit])
    by_name = wanted.where or wanted.last_failed or wanted.sample or wanted.as_before
    if by_name and len(chosen) < len(whole):
        ids = sorted(example.id for example in chosen)
        return Selection(split=split, examples=chosen, identity={"split": split, "ids": ids, "limit": None})
    identity = {"split": split, "ids": sorted(wanted.ids), "limit": wanted.limit}
    return Selection(split=split, examples=chosen, identity=identity)


def _where_rows_are(dataset: Dataset) -> str:
    if dataset.folds:
        return "with folds `optimize` holds each row out once; eval --split all scores every row"
    return "see `promptc plan` for the sizes of the splits"


def wanted_ids(text: str | None) -> tuple[str, ...]:
    """The ids of --rows; @FILE reads them from a file."""
    if not text:
        return ()
    if text.startswith("@"):
        try:
            lines = Path(text[1:]).read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise UsageError(f"--rows: {text[1:]} cannot be read: {error.strerror}") from error
        return tuple(line.strip() for line in lines if line.strip())
    return tuple(part.strip() for part in text.split(",") if part.strip())


def named(examples: Sequence[Example], ids: Sequence[str], split: str) -> tuple[Example, ...]:
    """The rows with these ids. Raises NothingSelected for one that is not there."""
    wanted = set(ids)
    chosen = tuple(e for e in examples if e.id in wanted)
    missing = wanted - {e.id for e in chosen}
    if missing:
        shown = ", ".join(sorted(missing)[:5])
        raise NothingSelected(
            f"--rows: no row of split {split} has the id {shown}", "other splits: --split train|test|all"
        )
    return chosen


def where(examples: Sequence[Example], text: str, terminal: Terminal) -> tuple[Example, ...]:
    """The rows for which an expression over `row` is true.

    A row for which it cannot be decided (it lacks the column, say) is left out, and counted on stderr; where that
    goes for all rows, the expression is wrong. Raises UsageError, NothingSelected.
    """
    try:
        expression = compile_expression(text)
        wrong = wrong_reference(expression, {"row": None, "inputs": None})
    except ExpressionError as error:
        raise UsageError(f"--where {text}: {error.message}", error.hint) from error
    if wrong is not None:
        raise UsageError(f"--where {text}: {wrong.message}", wrong.hint or "the columns are row.NAME")
    chosen, undecided = [], []
    for example in examples:
        try:
            if expression.evaluate({"row": example.row, "inputs": example.row}) is True:
                chosen.append(example)
        except ExpressionError as error:
            undecided.append(f"{example.where}: {error.message}")
    if len(undecided) == len(examples):
        raise UsageError(f"--where {text} cannot be decided for any row, first at {undecided[0]}")
    if undecided:
        terminal.warn(
            f"--where: {len(undecided)} of {len(examples)} rows left out, because it cannot be decided for them; "
            f"first at {undecided[0]}"
        )
    if not chosen:
        raise NothingSelected(f"--where {text} is true for none of {len(examples)} rows")
    return tuple(chosen)


def drawn(examples: Sequence[Example], count: int, seed: int) -> tuple[Example, ...]:
    """So many of the rows by lot, in their order: a function of the seed and of each row, not of the others."""

    def lot(example: Example) -> tuple[bytes, str]:
        text = f"sample\0{seed}\0{example.digest}\0{example.id}".encode()
        return hashlib.blake2b(text, digest_size=8).digest(), example.id

    kept = {id(example) for example in sorted(examples, key=lot)[:count]}
    return tuple(example for example in examples if id(example) in kept)


def _earlier(spec: Spec, wanted: Wanted, output: Path | None) -> tuple[ScoredRow, ...]:
    """The rows of the run that --from names, or of the last evaluation where --last-failed asks for it."""
    if wanted.source is not None:
        return tuple(wanted.source.rows())
    return tuple(_last_run(spec, output).rows()) if wanted.last_failed else ()


def _last_run(spec: Spec, output: Path | None) -> FinishedRun:
    latest = latest_path(RUNS, spec.name, "eval")
    for path in (output, latest):
        if path is not None and read_marker(path) is not None and is_finished(path):
            return open_run(path)
    raise UsageError(
        f"--last-failed: there is no earlier evaluation of {spec.name} in {RUNS}/",
        "run `promptc eval` first, or name a run with --from",
    )


def _split_of(earlier: Sequence[ScoredRow]) -> str | None:
    return earlier[0].split if earlier and earlier[0].split else None


def _seen(
    examples: Sequence[Example], earlier: Sequence[ScoredRow], split: str, *, last_failed: bool
) -> tuple[Example, ...]:
    """The rows of an earlier run that are still what they were; with `last_failed` those that went wrong."""
    wanted = {row.id for row in earlier if row.went_wrong or not last_failed}
    if last_failed and not wanted:
        raise NothingSelected("--last-failed: every row of that run scored full marks")
    chosen = tuple(example for example in examples if example.id in wanted)
    if not chosen:
        raise NothingSelected(
            f"split {split} holds none of that run's {len(wanted)} rows",
            "other splits: --split train|test|all",
        )
    return chosen

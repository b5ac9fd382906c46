"""From what was typed to the runs that are compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from promptc.cli.sweep_ending import SWEEP
from promptc.cli.sweep_labels import label_of
from promptc.runners.artifact import is_artifact
from promptc.runners.finished_run import open_run
from promptc.runners.leaderboard import Leaderboard
from promptc.runners.run_comparison import Candidate, read_candidate
from promptc.runners.run_directory import is_sweep, read_marker
from promptc.spec.errors import DataError, UsageError


def read_candidates(paths: Sequence[Path]) -> tuple[Candidate, ...]:
    """The runs that are meant, the reference first. Raises UsageError.

    A sweep stands for its cells, the best first, but for those that were named before it.
    """
    candidates: dict[Path, Candidate] = {}
    for path in paths:
        runs = list(_runs(path))
        for run, label in runs:
            place = run.resolve()
            if place not in candidates:
                candidates[place] = read_candidate(open_run(run), label)
            elif len(runs) == 1:
                same = candidates[place].label
                raise UsageError(f"{label} is the same run as {same}", "name each run once")
    if len(candidates) < 2:
        raise UsageError("one run alone compares to nothing", "name two runs or more: promptc compare A B")
    return tuple(candidates.values())


def _runs(path: Path) -> Iterator[tuple[Path, str]]:
    """The run in a directory, or those of a sweep, each with its name."""
    if not path.exists():
        raise UsageError(f"there is no {path}", "name a folder below runs/, or the -o of a run")
    folder = _folder(path)
    marker = read_marker(folder)
    if marker is not None and is_sweep(marker):
        yield from _cells(folder)
        return
    if marker is None and path.is_file():
        raise UsageError(*_no_scores(path))
    yield folder, str(path if path.is_dir() else folder)


def _folder(path: Path) -> Path:
    """The run's directory: the path itself, or where the compiled program lies in it."""
    if path.is_file():
        return path.parent.parent if path.parent.name == "compiled" else path
    return path.parent if path.name == "compiled" else path


def _no_scores(path: Path) -> tuple[str, str]:
    """What is wrong with a file that is no run's, and what to do."""
    if is_artifact(path):
        return (
            f"{path} is a compiled program: it holds no scores",
            f"score it with `promptc eval {path} -o DIR`, and compare that run",
        )
    return f"{path} is a file, and runs are compared", "`promptc eval` makes a run; name its directory"


def _cells(folder: Path) -> Iterator[tuple[Path, str]]:
    try:
        board = msgspec.json.decode((folder / SWEEP).read_bytes(), type=Leaderboard)
    except OSError as error:
        raise UsageError(
            f"the sweep in {folder} is not complete", "run its command again: it goes on"
        ) from error
    except msgspec.DecodeError as error:
        raise DataError(folder / SWEEP, f"not a leaderboard: {error}") from error
    for cell in board.cells:
        if not cell.error:
            yield folder / cell.directory, label_of(cell.values.items())

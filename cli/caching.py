"""What `promptc cache` asks the cache, and how it tells the answer."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from promptc.cli.loading import Loaded
from promptc.cli.quantities import size_text, time_text
from promptc.cli.reports.figures import counted
from promptc.cli.untrusted import excerpt, one_line, visible
from promptc.runners.asking import Speaker
from promptc.runners.build import build_program
from promptc.runners.candidate import Candidate
from promptc.runners.effects import Effects
from promptc.runners.journal import Journal
from promptc.runners.ledger import Ledger
from promptc.runners.models.cache import Cache
from promptc.runners.models.cache_entries import CacheStats, Entry, Explanation
from promptc.runners.models.request import Request
from promptc.runners.models.secrets import Redactor
from promptc.runners.models.stack import StackSettings, open_models
from promptc.spec.errors import NothingSelected, SpecError, UsageError

REPLY_SHOWN = 300


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """What the cache knows about the first request of one predictor for one row."""

    row: str
    predictor: str
    model: str
    key: str
    explanation: Explanation

    @property
    def cached(self) -> bool:
        """True when the run would not have to ask."""
        return self.explanation.found is not None


def stats_text(stats: CacheStats, now: float) -> str:
    """Size and content, one fact a line."""
    lines = [f"path     {visible(stats.path)}"]
    lines.append(f"replies  {stats.replies:,} in {size_text(stats.bytes)}")
    if stats.oldest is not None and stats.newest is not None:
        lines += [f"oldest   {time_text(stats.oldest, now)}", f"newest   {time_text(stats.newest, now)}"]
    width = max((len(f"{number:,}") for number in stats.models.values()), default=0)
    for place, (model, number) in enumerate(
        sorted(stats.models.items(), key=lambda item: (-item[1], item[0]))
    ):
        lines.append(f"{'models' if not place else '':<9}{number:>{width},}  {one_line(model)}")
    return "\n".join(lines) + "\n"


def explain(
    loaded: Loaded,
    cache: Cache,
    row_id: str,
    *,
    step: str | None,
    candidate: Candidate | None,
    environment: Mapping[str, str],
) -> Explained:
    """Whether the row's first request is cached. Raises UsageError, NothingSelected, SpecError."""
    from promptc.cli.opening import own_candidate

    compiled = build_program(loaded.spec)
    program = compiled.compile(candidate or own_candidate(loaded, compiled))
    if step is not None and step not in program.speakers:
        raise UsageError(
            f"--step {step}: there is no such predictor", f"there are: {', '.join(program.speakers)}"
        )
    name = step or next(iter(program.speakers))
    speaker = program.speakers[name]
    messages = program.messages(name, _inputs(speaker, _row(loaded, row_id), row_id))
    model = speaker.predictor.model
    stack = open_models(
        {model: loaded.spec.model_named(model)},
        environment=environment,
        redactor=Redactor(),
        settings=StackSettings(base=loaded.spec.base, offline=True),
    )
    with contextlib.closing(Journal(None, identity="explain", version="")) as journal:
        request = Effects(journal, Ledger(loaded.spec.budget), stack).request(model, messages, speaker.params)
    return Explained(
        row=row_id,
        predictor=name,
        model=request.model,
        key=request.key().hex(),
        explanation=cache.explain(request),
    )


def explained_text(explained: Explained, now: float) -> str:
    """The answer for a person."""
    found, nearest = explained.explanation.found, explained.explanation.nearest
    lines = [
        f"row {one_line(explained.row)}, predictor {explained.predictor}, model {one_line(explained.model)}",
        f"key {explained.key}",
    ]
    if found is not None:
        lines += [f"cached: stored {time_text(found.created, now)}", *_reply_lines(found)]
    elif nearest is None:
        lines.append("not cached: the cache is empty")
    else:
        lines.append("not cached; of what is, the most similar request differs here:")
        lines += [f"  {one_line(difference, 400)}" for difference in explained.explanation.differs]
        lines.append(f"  it has the key {nearest.key}, stored {time_text(nearest.created, now)}")
    return "\n".join(lines) + "\n"


def explained_tree(explained: Explained) -> dict[str, Any]:
    """The answer as plain data."""
    found, nearest = explained.explanation.found, explained.explanation.nearest
    return {
        "row": explained.row,
        "predictor": explained.predictor,
        "model": explained.model,
        "key": explained.key,
        "cached": explained.cached,
        "created": found.created if found is not None else None,
        "completion": found.completion if found is not None else None,
        "nearest": {"key": nearest.key, "created": nearest.created} if nearest is not None else None,
        "differs": list(explained.explanation.differs),
    }


def entries_text(entries: Sequence[Entry], now: float) -> str:
    """Stored replies with the end of what was asked."""
    shown = []
    for entry in entries:
        shown += [
            f"key {entry.key}, model {one_line(entry.request.model)}, stored {time_text(entry.created, now)}",
            *_asked_lines(entry.request),
            *_reply_lines(entry),
        ]
    return "\n".join(shown) + "\n"


def export_to(cache: Cache, stream: BinaryIO) -> None:
    """Write every entry as a line of JSON to a stream."""
    with tempfile.TemporaryDirectory(prefix="promptc-") as folder:
        file = Path(folder) / "cache.jsonl"
        cache.export(file)
        with file.open("rb") as lines:
            shutil.copyfileobj(lines, stream)


def removed_text(removed: int, left: CacheStats) -> str:
    """What a removal came to."""
    return f"removed {counted(removed, 'reply', 'replies')}; {left.replies:,} left in {size_text(left.bytes)}"


def _asked_lines(request: Request) -> list[str]:
    last = request.messages[-1].content if request.messages else ""
    return [f"  asked: {excerpt(last, REPLY_SHOWN)}"]


def _reply_lines(entry: Entry) -> list[str]:
    return [f"  reply: {excerpt(entry.completion.text, REPLY_SHOWN)}"]


def _row(loaded: Loaded, row_id: str) -> Mapping[str, Any]:
    from promptc.cli.opening import checked_data

    dataset, findings = checked_data(loaded.spec)
    if dataset is None:
        raise SpecError(findings)
    rows = dataset.part("all")
    for example in rows:
        if example.id == row_id:
            return example.row
    near = ", ".join(example.id for example in rows[:3])
    raise NothingSelected(f"no row has the id {row_id}", f"ids look like {near}")


def _inputs(speaker: Speaker, row: Mapping[str, Any], row_id: str) -> dict[str, Any]:
    """The row's values as a run hands them to the predictor."""
    fields = speaker.signature.inputs
    missing = [field.name for field in fields if field.name not in row and field.required]
    if missing:
        raise UsageError(
            f"the row {row_id} has no {' and no '.join(missing)}, so nothing would be asked for it"
        )
    return {field.name: row.get(field.name, field.default) for field in fields}

"""The rows of a spec in their parts: train to learn from, dev to choose by, test to report."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from promptc.runners.rows import Example, inline_rows, read_rows
from promptc.runners.splits import MINIMUM_LABELLED, cut, is_labelled, order, split_key
from promptc.spec.diagnostics import Diagnostic
from promptc.spec.errors import DataError, NothingSelected, SpecError
from promptc.spec.model import DataSource, Spec

Part = Literal["train", "dev", "test"]
PARTS: tuple[Part, ...] = get_args(Part)


class Fold(msgspec.Struct, frozen=True, kw_only=True):
    """One part of the rows, `test`, and how all others are cut for a search that never looks at it."""

    train: tuple[Example, ...]
    dev: tuple[Example, ...]
    test: tuple[Example, ...]


class Dataset(msgspec.Struct, frozen=True, kw_only=True):
    """All rows of a spec. Each part is in the order of a hash of seed and content, so a prefix is a fair
    sample.

    Without enough labelled rows `train` and `dev` are the same rows and `test` is empty; `held_out` is False
    when nothing is left to report on. With `folds` all rows are in train and dev, and each is in the test part of
    one fold. `notes` are sentences for the user. `digest` (32 hex digits) covers
    ids, contents and parts, but not the order of the rows in their files."""

    train: tuple[Example, ...] = ()
    dev: tuple[Example, ...] = ()
    test: tuple[Example, ...] = ()
    folds: tuple[Fold, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def held_out(self) -> bool:
        """True when there are rows that no search looks at."""
        return bool(self.test)

    def searched(self) -> tuple[Fold, ...]:
        """The rows of each search of a cross-validation: all of them first, then those beside each fold."""
        return (Fold(train=self.train, dev=self.dev, test=()), *self.folds)

    def part(self, name: Part | Literal["all"]) -> tuple[Example, ...]:
        """The rows of one part; of `all`, every row once."""
        if name != "all":
            return {"train": self.train, "dev": self.dev, "test": self.test}[name]
        dev = () if self.dev == self.train else self.dev
        return (*self.train, *dev, *self.test)

    @property
    def digests(self) -> dict[Part, tuple[str, ...]]:
        """The content digests of each part, sorted: what an artifact remembers of its rows."""
        return {part: tuple(sorted({example.digest for example in self.part(part)})) for part in PARTS}

    @property
    def test_digest(self) -> str:
        """Equal for equal test rows; "" where there are none."""
        if not self.test:
            return ""
        content = sorted(example.digest for example in self.test)
        return hashlib.blake2b(msgspec.json.encode(content), digest_size=16).hexdigest()

    @property
    def digest(self) -> str:
        """Equal for equal data, whatever the order of the rows and the names of the files."""
        parts: list[tuple[str, tuple[Example, ...]]] = [(part, self.part(part)) for part in PARTS]
        parts += [(f"{number}", fold.test) for number, fold in enumerate(self.folds)]
        content = sorted((part, example.id, example.digest) for part, rows in parts for example in rows)
        return hashlib.blake2b(msgspec.json.encode(content), digest_size=16).hexdigest()


def load_examples(
    source: DataSource,
    *,
    seed: int,
    gold: Collection[str] = (),
    types: Mapping[str, Mapping[str, Any]] | None = None,
) -> Dataset:
    """Read the files of a spec and cut what has to be cut.

    Files given for dev and test are used as they are. The other rows (`path`, `rows` or `train`) are the
    pool: parts that have no file are cut from it by their shares and the train share, relative to each other.
    A pool with fewer than 30 labelled rows (a `gold` column there and not null) is not cut: all of it is
    train, and dev too unless dev has a file. `seed` is the run's; `split.seed` goes before it. `types` maps
    columns to JSON Schemas for CSV.

    Raises DataError for bad content, NothingSelected when there are no rows at all, SpecError for shares of
    nothing.
    """
    skipped: list[DataError] = []

    def read(path: str) -> tuple[Example, ...]:
        rows = read_rows(
            path, id_field=source.id, on_error=source.on_error, types=types, on_skip=skipped.append
        )
        return tuple(rows)

    inline = tuple(inline_rows(source.rows, id_field=source.id)) if source.rows else ()
    pool = sum((read(path) for path in (source.path, source.train) if path is not None), inline)
    files: dict[Part, str | None] = {"dev": source.dev, "test": source.test}
    given = {part: read(path) for part, path in files.items() if path is not None}
    if not pool and not any(given.values()):
        raise NothingSelected(f"there are no rows in {_names(source)}", " ".join(_skip_notes(skipped)))
    seed = seed if source.split.seed is None else source.split.seed
    if source.split.folds is not None:
        return _folded(pool, source, seed, gold, _skip_notes(skipped))
    cuts, notes = _cut_pool(pool, [part for part in files if part not in given], source, seed, gold)
    parts = {part: _ordered(rows, seed) for part, rows in {**cuts, **given}.items()}
    return Dataset(
        train=parts["train"],
        dev=parts["dev"],
        test=parts["test"],
        notes=(*_skip_notes(skipped), *notes, *_overlap_notes(parts, set(given))),
    )


def _folded(
    pool: tuple[Example, ...],
    source: DataSource,
    seed: int,
    gold: Collection[str],
    notes: Sequence[str],
) -> Dataset:
    """All rows as train and dev, and as many folds as the split wants. Raises SpecError where one would be empty."""
    count = source.split.folds or 0
    keys = [
        split_key(e.row, e.digest, stratify=source.split.stratify, group=source.split.group) for e in pool
    ]
    placed = cut(keys, [1.0] * count, seed)
    if set(placed) != set(range(count)):
        message = f"{len(pool)} rows cannot be cut into {count} folds: one of them would be empty"
        hint = "ask for fewer folds" if source.split.group is None else "ask for fewer folds, or group less"
        raise SpecError(
            (Diagnostic(message=message, position=source.position, path="data.split.folds", hint=hint),)
        )

    def searched(rows: tuple[Example, ...]) -> tuple[tuple[Example, ...], tuple[Example, ...], list[str]]:
        parts, said = _cut_pool(rows, ["dev"], source, seed, gold)
        return _ordered(parts["train"], seed), _ordered(parts["dev"], seed), said

    folds = []
    for number in range(count):
        inside = tuple(e for e, place in zip(pool, placed, strict=True) if place == number)
        train, dev, _ = searched(tuple(e for e, place in zip(pool, placed, strict=True) if place != number))
        folds.append(Fold(train=train, dev=dev, test=_ordered(inside, seed)))
    train, dev, said = searched(pool)
    return Dataset(train=train, dev=dev, folds=tuple(folds), notes=(*notes, *said))


def column_types(spec: Spec) -> dict[str, dict[str, Any]]:
    """The JSON Schema of every column that a field or an `expected` names: what CSV cells are read as."""
    outputs = {field.name: field.schema for field in spec.outputs}
    types = {field.name: field.schema for field in spec.inputs} | outputs
    only = next(iter(outputs)) if len(outputs) == 1 else ""
    for use in spec.metrics:
        schema = outputs.get(use.field or only)
        if use.expected is not None and schema is not None:
            types.setdefault(use.expected, schema)
    return types


def _cut_pool(
    pool: tuple[Example, ...], missing: Sequence[Part], source: DataSource, seed: int, gold: Collection[str]
) -> tuple[dict[Part, tuple[Example, ...]], list[str]]:
    """The pool as train and the parts that have no file, and what the user should know about it."""
    labelled = sum(is_labelled(example.row, gold) for example in pool)
    notes = []
    if labelled < len(pool):
        notes.append(f"{len(pool) - labelled} of {len(pool)} rows have no gold ({', '.join(gold)})")
    empty: dict[Part, tuple[Example, ...]] = dict.fromkeys(missing, ())
    if not missing or not pool:
        return {"train": pool, **empty}, notes
    if labelled < MINIMUM_LABELLED:
        notes.append(_small_note(labelled, missing))
        return {"train": pool, **empty, **({"dev": pool} if "dev" in missing else {})}, notes
    split = source.split
    names: list[Part] = ["train", *missing]
    shares = [{"train": split.train, "dev": split.dev, "test": split.test}[name] for name in names]
    if not any(shares):
        message = f"the shares of {' and '.join(names)} are all 0, so the rows belong nowhere"
        raise SpecError((Diagnostic(message=message, position=source.position, path="data.split"),))
    keys = [split_key(e.row, e.digest, stratify=split.stratify, group=split.group) for e in pool]
    placed = cut(keys, shares, seed)
    parts = {
        name: tuple(e for e, at in zip(pool, placed, strict=True) if at == i) for i, name in enumerate(names)
    }
    groups = len({key.group for key in keys}) if split.group else len({key.digest for key in keys})
    notes += [
        _empty_note(name, share, groups) for name, share in zip(names, shares, strict=True) if not parts[name]
    ]
    return parts, notes


def _ordered(examples: Sequence[Example], seed: int) -> tuple[Example, ...]:
    places = order([example.digest for example in examples], [example.id for example in examples], seed)
    return tuple(examples[place] for place in places)


def _small_note(labelled: int, missing: Sequence[Part]) -> str:
    rows = "1 labelled row is" if labelled == 1 else f"{labelled} labelled rows are"
    parts = "train and dev" if "dev" in missing else "train"
    end = ", so there is no held-out figure" if "test" in missing else ""
    return f"{rows} too few to cut (fewer than {MINIMUM_LABELLED}): all rows are {parts}{end}"


def _empty_note(part: Part, share: float, groups: int) -> str:
    end = ", so there is no held-out figure" if part == "test" else ""
    if share == 0:
        return f"split.{part} is 0: {part} is empty{end}"
    return f"no rows fell to {part}: the {groups} groups of rows that stay together cannot be cut so{end}"


def _overlap_notes(parts: Mapping[Part, Sequence[Example]], given: Collection[Part]) -> Iterator[str]:
    """A warning for each pair of parts that share rows, where one of the two has its own file."""
    digests = {part: {example.digest for example in rows} for part, rows in parts.items()}
    same = parts["train"] == parts["dev"]
    for first, second in combinations(PARTS, 2):
        if first == "dev" and same:
            continue
        if first in given or second in given:
            count = sum(example.digest in digests[first] for example in parts[second])
            if count:
                rows = "1 row is" if count == 1 else f"{count} rows are"
                yield f"{rows} in both {first} and {second} (same content), so {second} flatters the result"


def _skip_notes(skipped: Sequence[DataError]) -> list[str]:
    if not skipped:
        return []
    rows = "1 row was" if len(skipped) == 1 else f"{len(skipped)} rows were"
    first = skipped[0].message.replace(skipped[0].path, Path(skipped[0].path).name, 1)
    return [f"{rows} skipped because of data.on_error; the first: {first}"]


def _names(source: DataSource) -> str:
    paths = [path for path in (source.path, source.train, source.dev, source.test) if path is not None]
    return ", ".join(Path(path).name for path in paths) or "data.rows"

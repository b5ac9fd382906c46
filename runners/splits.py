"""How rows are cut into train, dev and test: a pure function of what they contain and of the seed.

Within a stratum, clumps (rows that must stay together) are ordered by a hash of the seed and their content
and cut at the shares. Neither the order of the rows in a file nor their number in another stratum has a say,
and a row that is added moves at most one other row across each cut.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec

MINIMUM_LABELLED = 30
"""Below this many labelled rows nothing is held out: a test part would say next to nothing."""


class SplitKey(msgspec.Struct, frozen=True):
    """What the cut knows of a row: its content digest, its group (None: stands alone), its stratum."""

    digest: str
    group: str | None = None
    stratum: str = ""


class _Clump(msgspec.Struct, frozen=True):
    """Rows that stay together, by their places in the input. `key` knows nothing of their order."""

    key: str
    stratum: str
    members: tuple[int, ...]


def split_key(
    row: Mapping[str, Any], digest: str, *, stratify: str | None = None, group: str | None = None
) -> SplitKey:
    """The key of one data row. A null or missing group column makes no group; a null stratum is a stratum."""
    grouped = None if group is None or row.get(group) is None else _canonical(row[group])
    stratum = "" if stratify is None else _canonical(row.get(stratify))
    return SplitKey(digest, grouped, stratum)


def is_labelled(row: Mapping[str, Any], gold: Collection[str]) -> bool:
    """True when one of the gold columns is there and not null, or no column is asked for."""
    return not gold or any(row.get(column) is not None for column in gold)


def cut(keys: Sequence[SplitKey], shares: Sequence[float], seed: int) -> list[int]:
    """The part (an index into `shares`) that each row belongs to.

    Shares are relative. In each stratum a part's size is off its share by less than the stratum's largest
    clump; with equal shares this also makes folds. ValueError for a negative share or shares that are all 0.
    """
    total = sum(shares)
    if min(shares, default=0) < 0 or not 0 < total < float("inf"):
        raise ValueError(f"shares must be numbers from 0 that are not all 0, got {list(shares)}")
    strata: dict[str, list[_Clump]] = defaultdict(list)
    for clump in _clumps(keys):
        strata[clump.stratum].append(clump)
    parts = [0] * len(keys)
    for stratum, clumps in strata.items():
        for clump, part in _cut_stratum(clumps, [share / total for share in shares], seed, stratum):
            for member in clump.members:
                parts[member] = part
    return parts


def order(digests: Sequence[str], names: Sequence[str], seed: int) -> list[int]:
    """The places of the rows in the order of a hash of seed and content, of equal rows by name."""
    hashes = {digest: _hash("order", seed, digest) for digest in set(digests)}
    return sorted(range(len(digests)), key=lambda i: (hashes[digests[i]], digests[i], names[i]))


def _cut_stratum(
    clumps: Sequence[_Clump], shares: Sequence[float], seed: int, stratum: str
) -> list[tuple[_Clump, int]]:
    """Lay the clumps end to end and cut the line at the shares.

    A clump belongs where one point of it lies. The point is the same for all clumps of a stratum and differs
    between strata, so that many small strata together still keep the shares (with the middle, each stratum of
    one row would land in the same part).
    """
    rows = sum(len(clump.members) for clump in clumps)
    point = (_hash("point", seed, stratum) + 0.5) / 2.0**64
    last = max(part for part, share in enumerate(shares) if share > 0)
    placed: list[tuple[_Clump, int]] = []
    before, part, end = 0, 0, shares[0] * rows
    for clump in sorted(clumps, key=lambda c: (_hash("clump", seed, c.key), c.key)):
        while part < last and before + point * len(clump.members) >= end:
            part += 1
            end += shares[part] * rows
        placed.append((clump, part))
        before += len(clump.members)
    return placed


def _clumps(keys: Sequence[SplitKey]) -> list[_Clump]:
    """Duplicates and rows of one group, joined; groups that share a duplicate become one clump."""
    parents: dict[str, str] = {}

    def root(name: str) -> str:
        parents.setdefault(name, name)
        while parents[name] != name:
            parents[name] = parents[parents[name]]
            name = parents[name]
        return name

    names: list[str] = []
    for key in keys:
        name = f"row {key.digest}"
        if key.group is not None:
            name = f"group {key.group}"
            first, second = sorted((root(name), root(f"row {key.digest}")))
            parents[second] = first
        names.append(name)
    members: dict[str, list[int]] = defaultdict(list)
    for place, name in enumerate(names):
        members[root(name)].append(place)
    return [
        _Clump(key, _commonest(keys[i].stratum for i in places), tuple(places))
        for key, places in members.items()
    ]


def _commonest(strata: Iterable[str]) -> str:
    """The stratum of most rows of a clump; of equals the first by name."""
    counts = Counter(strata)
    return min(counts, key=lambda stratum: (-counts[stratum], stratum))


def _canonical(value: Any) -> str:
    return str(msgspec.json.encode(value, order="deterministic"), "utf-8")


def _hash(purpose: str, seed: int, text: str) -> int:
    """64 bits that depend on all three."""
    content = msgspec.json.encode([purpose, str(seed), text])
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big")

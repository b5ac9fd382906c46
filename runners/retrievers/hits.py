"""What other people's services and functions call a passage, read as one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from promptc.runners.failures import RowFailed
from promptc.runners.retrievers.protocol import Passage
from promptc.runners.rows import content_digest
from promptc.spec.suggest import listed


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """Where the parts of a hit stand: keys, with dots for keys within keys. What is not there is made up.

    A missing id is a digest of the text, a missing score the reciprocal of the rank.
    """

    text: str = "text"
    id: str = "id"
    score: str = "score"


def passages(found: Any, shape: Shape, retriever: str, k: int) -> list[Passage]:
    """The first `k` hits. Raises RowFailed for what is no list of hits."""
    if not isinstance(found, list):
        raise _wrong(retriever, f"expected a list of hits, found {_shown(found)}")
    return [_passage(hit, rank, shape, retriever) for rank, hit in enumerate(found[:k], start=1)]


def within(reply: Any, path: str) -> Any:
    """The value at a path of keys with dots between them; UNSET where there is none."""
    for key in path.split("."):
        if not isinstance(reply, Mapping) or key not in reply:
            return msgspec.UNSET
        reply = reply[key]
    return reply


def _passage(hit: Any, rank: int, shape: Shape, retriever: str) -> Passage:
    if isinstance(hit, str):
        return Passage(id=_made_up(hit), text=hit, score=1 / rank)
    if not isinstance(hit, Mapping):
        raise _wrong(retriever, f"hit {rank} is {_shown(hit)}, neither a text nor an object")
    text = within(hit, shape.text)
    if not isinstance(text, str):
        raise _wrong(retriever, f"hit {rank} has no text at `{shape.text}`: its keys are {listed(hit)}")
    own, score = within(hit, shape.id), within(hit, shape.score)
    meta = hit["meta"] if isinstance(hit.get("meta"), Mapping) else _rest(hit, shape)
    return Passage(
        id=str(own) if isinstance(own, str | int) and own != "" else _made_up(text),
        text=text,
        score=float(score) if isinstance(score, int | float) and not isinstance(score, bool) else 1 / rank,
        meta=dict(meta),
    )


def _rest(hit: Mapping[str, Any], shape: Shape) -> dict[str, Any]:
    used = {path.partition(".")[0] for path in (shape.text, shape.id, shape.score)}
    return {key: value for key, value in hit.items() if key not in used}


def _made_up(text: str) -> str:
    return content_digest({"text": text})


def _wrong(retriever: str, message: str) -> RowFailed:
    return RowFailed("tool", f"retriever {retriever}: {message}")


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"an object with {listed(value)}" if value else "an empty object"
    return msgspec.json.encode(value).decode()[:60]

"""An invented language, of which nothing can be known before, and how embedded/icl is asked about it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import pytest

from promptc.runners.candidate import Demo
from promptc.runners.formats.chat import Chat
from promptc.runners.formats.json_object import Json
from promptc.runners.formats.messages import joined
from promptc.runners.formats.protocol import Format
from promptc.runners.formats.xml_tags import Xml
from promptc.runners.models.request import Completion, Message, Request
from promptc.runners.models.transports.embedded import EmbeddedIcl
from promptc.spec.fields import Field, Signature

Row = dict[str, Any]


def invented(rng: random.Random, count: int) -> list[str]:
    """Different words of two to four syllables."""
    syllables = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]
    found: dict[str, None] = {}
    while len(found) < count:
        found["".join(rng.choices(syllables, k=rng.randint(2, 4)))] = None
    return list(found)


class World(msgspec.Struct, frozen=True):
    """Labels with words of their own, and words that all texts share."""

    labels: tuple[str, ...]
    topics: dict[str, list[str]]
    common: list[str]

    def rows(self, rng: random.Random, count: int) -> list[Row]:
        """Texts with three words of their label's topic among six common ones."""
        rows = []
        for index in range(count):
            label = self.labels[index % len(self.labels)]
            said = rng.sample(self.topics[label], 3) + rng.choices(self.common, k=6)
            rng.shuffle(said)
            rows.append({"note": " ".join(said), "kind": label})
        return rows


def world(seed: int, labels: int = 6, words_per_label: int = 14) -> World:
    rng = random.Random(seed)
    names = invented(rng, labels + labels * words_per_label + 40)
    topics = {
        name: names[labels + i * words_per_label : labels + (i + 1) * words_per_label]
        for i, name in enumerate(names[:labels])
    }
    return World(tuple(names[:labels]), topics, names[-40:])


def letters(rng: random.Random, count: int) -> list[Row]:
    """Letters with a code, a name, a day and a sum in several places, and what stands in them."""
    fillers = invented(random.Random(99), 30)
    rows = []
    for _ in range(count):
        code = f"{''.join(rng.choices('ABCDEFGH', k=2))}-{rng.randint(1000, 9999)}"
        name = " ".join(word.capitalize() for word in invented(rng, 2))
        day = f"{rng.randint(1, 28):02}.{rng.randint(1, 12):02}.{rng.randint(2020, 2029)}"
        amount = rng.randint(1000, 9_999_999) / 100
        city = rng.choice([None, invented(rng, 1)[0].capitalize()])
        parts = [
            f"{rng.choice(fillers)} ref {code} {rng.choice(fillers)}",
            f"sum: {amount:,.2f} {rng.choice(fillers)}",
            f"{rng.choice(fillers)} on {day}, {rng.choice(fillers)}",
            " ".join(rng.choices(fillers, k=5)),
        ]
        if city:
            parts.append(f"{rng.choice(fillers)} bound for {city}")
        rng.shuffle(parts)
        text = ".\n".join(parts) + f".\nyours, {name}"
        iso = "-".join(reversed(day.split(".")))
        rows.append(
            {"note": text, "code": code, "name": name, "day": day, "iso": iso, "amount": amount, "city": city}
        )
    return rows


def label_signature(
    labels: Iterable[str], instructions: str = "Sort the note.", descriptions: dict[str, str] | None = None
) -> Signature:
    described = {label: (descriptions or {}).get(label, "") for label in labels}
    kind = Field(name="kind", schema={"enum": list(described)}, labels=described)
    return Signature(inputs=(Field(name="note"),), outputs=(kind,), instructions=instructions)


def demos_of(rows: Iterable[Row], inputs: Sequence[str], outputs: Sequence[str]) -> list[Demo]:
    return [Demo(inputs={n: row[n] for n in inputs}, outputs={n: row[n] for n in outputs}) for row in rows]


def reply(
    messages: Sequence[Message], *, model: EmbeddedIcl | None = None, rollout: int = 0, **params: Any
) -> Completion:
    request = Request(model="embedded/icl", messages=tuple(messages), params=params, rollout=rollout)
    return asyncio.run((model or EmbeddedIcl()).complete(request))


def answers(
    signature: Signature,
    demos: Sequence[Demo],
    rows: Sequence[Row],
    form: Format | None = None,
    **params: Any,
) -> list[dict[str, Any]]:
    """The parsed outputs for each row, from one transport."""
    form, model = form or Chat(), EmbeddedIcl()
    prefix = form.prefix(signature, demos)
    return [
        form.parse(signature, reply(joined(prefix, form.row(signature, row)), model=model, **params))
        for row in rows
    ]


def accuracy(signature: Signature, demos: Sequence[Demo], rows: Sequence[Row], field: str = "kind") -> float:
    found = answers(signature, demos, rows)
    return sum(each[field] == row[field] for each, row in zip(found, rows, strict=True)) / len(rows)


FORMATS: list[Format] = [Chat(), Json(), Xml()]
by_format = pytest.mark.parametrize("form", FORMATS, ids=["chat", "json", "xml"])

"""The replies of embedded/icl follow from the request alone, and it knows nothing of the samples."""

from __future__ import annotations

import ast
import asyncio
import json
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import yaml
from icl_world import Row, demos_of, label_signature, letters, reply, world

import promptc.runners.icl
from promptc.runners.formats.chat import Chat
from promptc.runners.formats.json_object import Json
from promptc.runners.icl.text import words
from promptc.runners.models.request import Message, Request
from promptc.runners.models.transports.embedded import EmbeddedIcl
from promptc.spec.fields import Field, Signature

SOURCE = Path(promptc.runners.icl.__file__).parent
TRANSPORT = SOURCE.parent / "models" / "transports" / "embedded.py"
SAMPLES = Path(__file__).parent.parent / "samples"


def sample_request(temperature: float, rollout: int) -> Request:
    it = world(12, labels=5)
    rows = it.rows(random.Random(12), 20)
    signature = label_signature(it.labels)
    messages = [
        *Chat().prefix(signature, demos_of(rows[1:], ["note"], ["kind"])),
        *Chat().row(signature, rows[0]),
    ]
    return Request(
        model="embedded/icl", messages=tuple(messages), params={"temperature": temperature}, rollout=rollout
    )


def test_temperature_0_is_the_argmax_whatever_the_rollout() -> None:
    texts = {asyncio.run(EmbeddedIcl().complete(sample_request(0, rollout))).text for rollout in range(8)}
    assert len(texts) == 1


def test_with_temperature_rollouts_are_samples_that_can_be_repeated() -> None:
    def sample(rollout: int, temperature: float) -> str:
        return asyncio.run(EmbeddedIcl().complete(sample_request(temperature, rollout))).text

    hot = [sample(rollout, 3.0) for rollout in range(30)]
    cool = [sample(rollout, 0.2) for rollout in range(30)]

    assert len(set(hot)) > len(set(cool))
    assert hot == [sample(rollout, 3.0) for rollout in range(30)]
    assert Counter(cool).most_common(1)[0][0] == sample(0, 0)


def span_request(rollout: int) -> Request:
    first, *rest = letters(random.Random(13), 10)
    outputs = tuple(Field(name=name) for name in ("code", "name", "iso"))
    signature = Signature(inputs=(Field(name="note"),), outputs=outputs)
    demos = demos_of(rest, ["note"], ["code", "name", "iso"])
    messages = (*Json().prefix(signature, demos), *Json().row(signature, first))
    return Request(model="embedded/icl", messages=messages, rollout=rollout)


def test_another_process_gives_the_same_replies() -> None:
    requests = [sample_request(temperature, rollout) for temperature in (0, 1.0) for rollout in range(3)]
    requests.extend(span_request(rollout) for rollout in range(3))
    here = [asyncio.run(EmbeddedIcl().complete(request)).text for request in requests]
    program = (
        "import asyncio, json, sys, msgspec\n"
        "from promptc.runners.models.request import Request\n"
        "from promptc.runners.models.transports.embedded import EmbeddedIcl\n"
        "requests = msgspec.json.decode(sys.stdin.buffer.read(), type=list[Request])\n"
        "print(json.dumps([asyncio.run(EmbeddedIcl().complete(each)).text for each in requests]))\n"
    )
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            input=msgspec.json.encode(requests),
            capture_output=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PATH": ""},
        )
        assert json.loads(done.stdout) == here


def test_what_was_asked_before_does_not_change_a_reply() -> None:
    signature = label_signature(["zorbels", "quindles"])
    prompts = [
        Chat().prefix(msgspec.structs.replace(signature, instructions=f"Sort {n}."), []) for n in range(5)
    ]
    rows = [Chat().row(signature, {"note": note}) for note in ("a zorbel", "two quindles", "nothing")]
    fresh = [reply([*prompt, *row]).text for row in rows for prompt in prompts]
    small = EmbeddedIcl(prefixes=2)

    assert [reply([*prompt, *row], model=small).text for row in rows for prompt in prompts] == fresh


def test_a_completion_is_free_counted_and_signed() -> None:
    completion = reply([Message("user", "One of: plonk, skint.\n\nNote: zorbel\nKind:")])
    assert completion.cost == 0.0
    assert completion.served_model == "embedded/icl"
    assert completion.fingerprint
    # Words and marks: One of : plonk , skint . Note : zorbel Kind :
    assert completion.usage.input_tokens == 12
    assert completion.usage.output_tokens == 1


def source_files() -> list[Path]:
    return [*sorted(SOURCE.glob("*.py")), TRANSPORT]


def literal_words(path: Path) -> set[str]:
    """The words of all strings in a file's code; docstrings aside."""
    tree = ast.parse(path.read_text())
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
    ]
    return {word for text in texts for word in words(text)}


def sample_words() -> tuple[set[str], set[str]]:
    """The labels of the samples' specs; the words that tell these labels, or that the gold values share."""
    labels: set[str] = set()
    telling: set[str] = set()
    for path in sorted(SAMPLES.glob("*/*.yaml")):
        outputs = dict(_outputs(yaml.safe_load(path.read_text())))
        enums = {name: list(field["enum"]) for name, field in outputs.items() if "enum" in field}
        labels.update(word for values in enums.values() for value in values for word in words(str(value)))
        for data in sorted(path.parent.glob("*.jsonl")):
            rows = [json.loads(line) for line in data.read_text().splitlines() if line.strip()]
            for name in enums:
                telling.update(_telling([row for row in rows if isinstance(row.get(name), str)], name))
            golds = [row[name] for row in rows for name in outputs if isinstance(row.get(name), dict)]
            shared = Counter(word for gold in golds for word in set(_leaf_words(gold)))
            telling.update(word for word, count in shared.items() if count >= 3 and len(word) >= 4)
    return labels, telling


def _outputs(node: Any) -> Iterator[tuple[str, Row]]:
    """The output fields that a spec declares in full, wherever they stand."""
    for key, value in node.items() if isinstance(node, dict) else ():
        if key == "outputs" and isinstance(value, dict):
            yield from ((name, field) for name, field in value.items() if isinstance(field, dict))
        else:
            yield from _outputs(value)


def _telling(rows: list[Row], name: str) -> set[str]:
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        texts = [value for key, value in row.items() if key != name and isinstance(value, str)]
        for word in set(words(" ".join(texts))):
            counts.setdefault(word, Counter())[row[name]] += 1
    return {
        word
        for word, count in counts.items()
        if len(word) >= 4 and count.total() >= 5 and max(count.values()) >= 0.8 * count.total()
    }


def _leaf_words(value: Any) -> list[str]:
    """The words of all texts in a nested value."""
    if isinstance(value, dict):
        return [word for item in value.values() for word in _leaf_words(item)]
    return words(value) if isinstance(value, str) else []


def test_no_word_of_a_sample_stands_in_the_code() -> None:
    labels, telling = sample_words()
    assert labels
    assert telling
    for path in source_files():
        assert not literal_words(path) & (labels | telling), path.name
        named = {word for token in re.findall(r"\w+", path.read_text()) for word in words(token)}
        assert not named & {label for label in labels if len(label) > 4}, path.name


def test_it_can_read_nothing_but_the_request() -> None:
    allowed = {
        "__future__", "asyncio", "collections", "functools", "hashlib", "itertools", "json", "math",
        "msgspec", "promptc", "random", "re", "typing", "unicodedata",
    }  # fmt: skip
    for path in source_files():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert {alias.name.partition(".")[0] for alias in node.names} <= allowed, path.name
            elif isinstance(node, ast.ImportFrom):
                assert (node.module or "").partition(".")[0] in allowed, path.name
                assert not (node.module or "").startswith("promptc.") or re.match(
                    r"promptc\.runners\.(icl|models\.request|formats\.json_text)\b", node.module or ""
                ), path.name
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"open", "eval", "exec", "__import__"}, path.name

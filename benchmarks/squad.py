"""squad: whether the right paragraph is found, and what neighbours as demonstrations are worth to the answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from measuring import SPECS, Missing, Section, Settings, environment_for, forget_replies, promptc, spend

FOUND = (1, 3, 5)
STEPS = {
    "words": "`bm25` on words as they are written",
    "stems": "`bm25: {language: en}`",
    "hashed": "`dense` with hashed vectors",
    "fused": "`hybrid` of the two above",
}
RECALL_HEADER = ("what", *(f"recall@{k}" for k in FOUND), "MRR")
ANSWER_HEADER = ("what", "dev F1", "test F1", "test − start", "p", "calls", "wall s", "prompt characters")


def measure_recall(settings: Settings) -> Section:
    """Every retriever of the spec on all questions, in one `eval`, beside the library alone."""
    folder = settings.data("squad", "corpus.jsonl", "train.jsonl", "test.jsonl")
    found, _ = _promptc(settings, folder, "recall", "squad-recall.yaml", "eval", "--split", "all")
    figures = found["all"]["metrics"]
    rows = [
        (what, *(_figure(figures[f"{step}_{k}"]) for k in FOUND), f"{figures[f'{step}_mrr']['score']:.3f}")
        for step, what in STEPS.items()
    ]
    rows += [
        ("bm25s alone, its defaults", *_alone(folder, stemmed=False), ""),
        ("bm25s alone, its tokenizer with a stemmer", *_alone(folder, stemmed=True), ""),
    ]
    return Section(header=RECALL_HEADER, rows=rows, notes=[f"{found['all']['n']} questions, 173 paragraphs."])


def measure_answers(settings: Settings) -> Section:
    """The answer's F1 before and after `knn`."""
    folder = settings.data("squad", "corpus.jsonl", "train.jsonl", "test.jsonl")
    found, wall = _promptc(settings, folder, "answers", "squad.yaml", "optimize")
    test, gain = found["test"], found["test"]["improvement"]
    [start, trial] = found["trials"]
    difference = f"{gain['difference']:+.3f} [{gain['ci_low']:+.3f}, {gain['ci_high']:+.3f}]"
    rows = [
        ("start", _figure(start), _figure(test["start"]), "", "", "", "", f"{start['prompt_characters']:,}"),
        (
            f"knn ({trial['origin']})",
            _figure(trial),
            _figure(test),
            difference,
            f"{gain['p']:.2g}",
            f"{found['calls']:,}",
            f"{wall:.1f}",
            f"{trial['prompt_characters']:,}",
        ),
    ]
    return Section(header=ANSWER_HEADER, rows=rows)


def _alone(folder: Path, *, stemmed: bool) -> Sequence[str]:
    """Recall of bm25s with its own tokenizer, as its documentation shows it."""
    try:
        import bm25s
        import Stemmer
    except ImportError as error:
        raise Missing(f"{error.name} is not installed") from error
    stemmer = Stemmer.Stemmer("english") if stemmed else None
    documents = _rows(folder / "corpus.jsonl")
    questions = [row for name in ("train", "test") for row in _rows(folder / f"{name}.jsonl")]

    def cut(texts: list[str]) -> Any:
        return bm25s.tokenize(texts, stopwords="en", stemmer=stemmer, show_progress=False)

    index = bm25s.BM25()
    index.index(cut([document["text"] for document in documents]), show_progress=False)
    asked = cut([question["question"] for question in questions])
    places, _ = index.retrieve(asked, k=max(FOUND), show_progress=False)
    found = [[documents[place]["id"] for place in row] for row in places]
    return [
        f"{sum(q['passage_id'] in ids[:k] for q, ids in zip(questions, found, strict=True)) / len(questions):.3f}"
        for k in FOUND
    ]


def _rows(path: Path) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]


def _promptc(
    settings: Settings, folder: Path, run: str, spec: str, command: str, *arguments: str
) -> tuple[dict[str, Any], float]:
    """The JSON document of a run without anything in the cache, and its wall time in seconds."""
    forget_replies(settings)
    typed = [promptc(), command, str(SPECS / spec), *arguments]
    typed += ["-o", str(settings.work / run), "--json", "--quiet"]
    spent = spend(typed, settings.work, environment_for(settings, SQUAD=str(folder)))
    found: dict[str, Any] = msgspec.json.decode(spent.stdout)
    return found, spent.wall


def _figure(figures: dict[str, Any]) -> str:
    return f"{figures['score']:.3f} [{figures['ci_low']:.3f}, {figures['ci_high']:.3f}]"

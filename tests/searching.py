"""Searches over instructions in a scripted world: what was asked of the task model and of the proposer, and the result.

Rows are named by a letter and a number (`a1`), and the right answer is always `yes`. What the task model says follows
from the instruction, the row and the demonstrations alone; what the proposer says from its request.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from scripted import KilledError, ScriptedModels, text
from workplace import answer

from promptc.optimizers.protocol import Optimizer
from promptc.optimizers.search import Search, Trial
from promptc.runners.asking import Predictor
from promptc.runners.build import build_program
from promptc.runners.effects import Effects
from promptc.runners.evaluate import Evaluator
from promptc.runners.journal import Journal
from promptc.runners.judging import build_judge
from promptc.runners.ledger import Ledger
from promptc.runners.models.request import CallFailed, Completion, Request
from promptc.runners.modules.protocol import Call
from promptc.runners.program import Program
from promptc.runners.rows import inline_rows
from promptc.spec.fields import Field, Signature
from promptc.spec.load import load
from promptc.spec.model import Spec

START = "Know:"
WORKERS = (1, 8, 64)
SECTION = re.compile(r"\[\[ ## (\w+) ## \]\]\n(.*?)(?=\n\n\[\[ ## |\n\nAnswer with |\Z)", re.DOTALL)


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A request to the task model or the teacher: what it is told, and which row it is about."""

    role: str
    predictor: str
    instruction: str
    row: str
    hint: str
    demos: tuple[str, ...]
    rollout: int = 0

    @property
    def letter(self) -> str:
        """The row's letter."""
        return self.row[0]

    @property
    def known(self) -> set[str]:
        """The single letters that the instruction names."""
        return set(re.findall(r"\b[a-z]\b", self.instruction))


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """A request to the proposer: for which predictor, with what, and which sample it is."""

    predictor: str
    current: str
    examples: str
    tried: str
    rollout: int
    whole: str
    sections: dict[str, str]

    @property
    def rows(self) -> list[str]:
        """The rows that it shows, in order."""
        return re.findall(r"^text: (\w+)$", self.examples, re.MULTILINE)

    @property
    def wrong(self) -> list[str]:
        """Those of them that are shown with a wrong answer."""
        shown = self.examples.split("### Example")[1:]
        return [
            re.findall(r"^text: (\w+)$", one, re.MULTILINE)[0] for one in shown if "label (given): no" in one
        ]


Task = Callable[[Seen], str | CallFailed]
Propose = Callable[[Wish], str | CallFailed]
Describe = Callable[[str, Mapping[str, str]], str]
"""What the proposer says to a question that asks for no instruction: by the output's name and the inputs."""


class TwoSteps(msgspec.Struct, frozen=True):
    """A module with two predictors: `draft` gives a hint, `final` answers with it."""

    def predictors(self, signature: Signature) -> dict[str, Signature]:
        hint = Field(name="hint")
        return {
            "draft": msgspec.structs.replace(signature, outputs=(hint,)),
            "final": msgspec.structs.replace(signature, inputs=(*signature.inputs, hint)),
        }

    def calls(self) -> tuple[int, int]:
        return (2, 2)

    async def run(self, call: Call, signature: Signature, inputs: Mapping[str, Any]) -> dict[str, Any]:
        drafted = await call.predict("draft", inputs)
        return await call.predict("final", {**inputs, **drafted})


def two_steps(program: Program) -> Program:
    """The program with both predictors in place of its one."""
    [step] = program.steps
    format_ = program.predictors["main"].format
    predictors = {
        f"main.{suffix}": Predictor(
            name=f"main.{suffix}", step="main", suffix=suffix, signature=one, format=format_, model="task"
        )
        for suffix, one in TwoSteps().predictors(step.signature).items()
    }
    return msgspec.structs.replace(program, modules={"main": TwoSteps()}, predictors=predictors)


class World:
    """A search whose models answer by functions. With a `path` it is journaled there."""

    def __init__(
        self,
        task: Task,
        propose: Propose,
        *,
        train: Sequence[str],
        dev: Sequence[str],
        two: bool = False,
        seed: int = 0,
        shuffle: int = 0,
        workers: int = 64,
        die_after: int | None = None,
        path: Path | None = None,
        describe: Describe = lambda output, sections: f"Some {output}.",
        **keys: Any,
    ) -> None:
        self.seen: list[Seen] = []
        self.wishes: list[Wish] = []
        self.questions: list[tuple[str, dict[str, str]]] = []
        self._describe = describe
        self._task, self._propose = task, propose
        spec = the_spec(**keys)
        program = two_steps(build_program(spec)) if two else build_program(spec)
        self.models = ScriptedModels(self._answer, shuffle=shuffle, workers=workers)
        self.models.die_after = die_after
        ledger = Ledger(spec.budget)
        self.effects = Effects(
            Journal(path, identity="t", version="1"), ledger, self.models, concurrency=workers
        )
        judge = build_judge(spec)
        self.search = Search(
            program,
            Evaluator(effects=self.effects, judge=judge),
            start=program.start(),
            train=tuple(inline_rows(tuple(map(row, train)), id_field="id")),
            dev=tuple(inline_rows(tuple(map(row, dev)), id_field="id")),
            seed=seed,
            judge=judge,
        )

    def optimized(self, optimizer: Optimizer) -> World:
        """Run the search to its end; a journal is closed whatever happens."""

        async def work() -> None:
            try:
                await optimizer.optimize(self.search)
            finally:
                await self.effects.drain()
                self.effects.journal.close()

        asyncio.run(work())
        return self

    @property
    def trials(self) -> list[Trial]:
        return self.search.trials

    @property
    def best(self) -> Trial:
        return self.search.best()

    def instructions(self, predictor: str = "main") -> list[str]:
        """What each trial tells a predictor."""
        return [trial.candidate.predictors[predictor].instructions for trial in self.trials]

    def table(self) -> list[tuple[str, str, float | None]]:
        """Each trial: where it comes from, what it says, its score on dev."""
        return [(t.origin, told, t.score) for t, told in zip(self.trials, self.instructions(), strict=True)]

    def result(self) -> bytes:
        """Everything that must not depend on workers, kills, or the order of replies."""
        spent = self.effects.ledger.by_role()
        return msgspec.json.encode(
            [self.trials, self.search.notes, self.search.stop_reason, self.search.short_of_budget, spent]
        )

    def _answer(self, request: Request) -> Completion | CallFailed:
        system, *_, last = (message.content for message in request.messages)
        sections = dict(SECTION.findall(last))
        if request.model == "proposer" and "current_instruction" not in sections:
            [output] = re.findall(r"fields are:\n1\. `(\w+)`", system.split("The output")[1])
            self.questions.append((output, sections))
            return text(answer(**{output: self._describe(output, sections)}))
        if request.model == "proposer":
            wish = Wish(
                predictor=_predictor_of(sections["task"].split("To answer:")),
                current=sections["current_instruction"],
                examples=sections["examples"],
                tried=sections.get("tried", ""),
                rollout=request.rollout,
                whole=system,
                sections=sections,
            )
            self.wishes.append(wish)
            proposed = self._propose(wish)
            return proposed if isinstance(proposed, CallFailed) else text(answer(instruction=proposed))
        seen = Seen(
            role=request.model,
            predictor=_predictor_of(system.split("The output fields are:")),
            instruction=system.split("\n\nThe input fields are:")[0],
            row=sections["text"],
            hint=sections.get("hint", ""),
            demos=tuple(
                dict(SECTION.findall(m.content))["text"] for m in request.messages[1:-1] if m.role == "user"
            ),
            rollout=request.rollout,
        )
        self.seen.append(seen)
        said = self._task(seen)
        if isinstance(said, CallFailed):
            return said
        return text(answer(hint=said) if seen.predictor == "main.draft" else answer(label=said))


def _predictor_of(parts: Sequence[str]) -> str:
    """Which predictor a text about inputs and one about outputs belong to."""
    if "`hint`" in parts[1].split("All interactions")[0]:
        return "main.draft"
    return "main.final" if "`hint`" in parts[0] else "main"


def row(name: str) -> dict[str, Any]:
    return {"id": name, "text": name, "label": "yes"}


def the_spec(**keys: Any) -> Spec:
    tree: dict[str, Any] = {
        "version": 1,
        "name": "test",
        "models": {"task": "embedded/icl"},
        "data": {"rows": [row("x")]},
        "signature": "text -> label",
        "instructions": START,
        "metrics": ["exact_match"],
    }
    tree |= {name: value for name, value in keys.items() if value is not None}
    spec, findings = load(json.dumps(tree).encode(), file="spec.yaml", base=Path("."), environment={})
    assert spec is not None, findings
    return spec


def knows(seen: Seen) -> str:
    """Right on the rows whose letter the instruction names. A draft's hint passes on what it knows."""
    good = seen.letter in seen.known or seen.hint == "good"
    if seen.predictor == "main.draft":
        return "good" if good else "bad"
    return "yes" if good else "no"


def killed_and_resumed(
    make: Callable[..., World], optimizer: Optimizer, path: Path, die_after: int, workers: int
) -> bytes:
    """The result of a search that was killed after so many replies and started again on the same journal."""
    with contextlib.suppress(KilledError):
        make(path=path, die_after=die_after, workers=workers).optimized(optimizer)
    return make(path=path, workers=8).optimized(optimizer).result()

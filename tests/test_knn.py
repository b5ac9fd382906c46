"""`knn`, the module and the optimizer: which demonstrations a row sees, in which order, and never itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retrieving import letters
from scripted import KilledError, ScriptedModels, text
from workplace import Workplace, answer, result_of

from promptc.cli.opening import own_candidate
from promptc.optimizers.knn import Knn
from promptc.optimizers.protocol import Sizes
from promptc.optimizers.search import Search
from promptc.runners.artifact import candidate_from_tree, candidate_tree
from promptc.runners.build import build_program
from promptc.runners.candidate import Demo, Nearest
from promptc.runners.effects import Effects
from promptc.runners.evaluate import Arm, Evaluator
from promptc.runners.journal import Journal
from promptc.runners.judging import build_judge
from promptc.runners.labelled import pooled_start
from promptc.runners.ledger import Ledger
from promptc.runners.models.vectors import packed
from promptc.runners.neighbours import Pool
from promptc.runners.rows import inline_rows
from promptc.spec.errors import SpecError
from promptc.spec.fields import Field, Signature
from promptc.spec.load import load
from promptc.spec.model import Budget

ROWS = [
    {"id": "r1", "text": "the red ball", "label": "red"},
    {"id": "r2", "text": "a red car", "label": "red"},
    {"id": "b1", "text": "the blue sky", "label": "blue"},
    {"id": "b2", "text": "a deep blue sea", "label": "blue"},
    {"id": "g1", "text": "green grass grows", "label": "green"},
]
DEV = [
    {"id": "d1", "text": "my red car", "label": "red"},
    {"id": "d2", "text": "sky so blue", "label": "blue"},
    {"id": "d3", "text": "grass again", "label": "green"},
    {"id": "d4", "text": "the red ball", "label": "red"},
]
LONG = [
    {"id": f"{colour}{n}", "text": f"{colour} thing number {n}", "label": label}
    for colour, label in (("red", "zib"), ("blue", "mof"), ("green", "tuk"))
    for n in range(20)
]
"""Labels that say nothing themselves: what they mean only the rows show."""
SECTION = re.compile(r"\[\[ ## (\w+) ## \]\]\n(.*?)(?:\n\n|$)", re.DOTALL)


def spec_of(base: Path = Path("/nowhere"), **keys: Any) -> Any:
    tree = {
        "version": 1,
        "name": "colours",
        "models": {"task": "openai/t"},
        "data": {"rows": ROWS},
        "signature": "text -> label",
        "instructions": "Name the colour.",
        "metrics": ["exact_match"],
        **keys,
    }
    tree = {key: value for key, value in tree.items() if value is not None}
    spec, findings = load(json.dumps(tree), file="spec.yaml", base=base, environment={})
    if spec is None:
        raise SpecError(tuple(findings))
    return spec


def shown(request: Any) -> tuple[list[str], str]:
    """The texts of the demonstrations in a request, and of its row."""
    users = [dict(SECTION.findall(m.content)).get("text", "") for m in request.messages if m.role == "user"]
    return users[:-1], users[-1]


def copying(request: Any) -> Any:
    """A model that answers as the last demonstration does; without one it says `none`. Or vectors of letters."""
    if request.model in ("embed", "openai/vectors"):
        return text(packed([letters(message.content) for message in request.messages]), cost=0.0)
    answers = [m.content for m in request.messages if m.role == "assistant"]
    return text(answers[-1] if answers else answer(label="none"))


class World:
    """Rows, or a search, with a scripted model."""

    def __init__(self, *, train: Any = ROWS, dev: Any = DEV, reply: Any = copying, workers: int = 8, shuffle: int = 0,
                 path: Path | None = None, budget: Budget | None = None, die_after: int | None = None,
                 **keys: Any) -> None:  # fmt: skip
        self.spec = spec_of(**keys)
        self.program, judge = build_program(self.spec), build_judge(self.spec)
        self.train = tuple(inline_rows(tuple(train), id_field="id"))
        self.dev = tuple(inline_rows(tuple(dev), id_field="id"))
        self.start = pooled_start(self.program, judge, self.train)
        self.models = ScriptedModels(reply, workers=workers, shuffle=shuffle)
        self.models.die_after = die_after
        self.effects = Effects(
            Journal(path, identity="knn", version="1"),
            Ledger(budget or Budget()),
            self.models,
            concurrency=workers,
        )
        self.evaluator = Evaluator(effects=self.effects, judge=judge)
        self.search = Search(
            self.program,
            self.evaluator,
            start=self.start,
            train=self.train,
            dev=self.dev,
            seed=0,
            judge=judge,
        )

    def run(self, rows: Any = None) -> list[Any]:
        """The records of the start on the rows; dev unless said otherwise."""
        examples = self.dev if rows is None else tuple(inline_rows(tuple(rows), id_field="id"))
        arm = Arm(compiled=self.program.compile(self.start))
        return list(self._within(self.evaluator.evaluate(arm, examples)))

    def optimized(self, optimizer: Knn) -> World:
        self._within(optimizer.optimize(self.search))
        return self

    def _within(self, work: Any) -> Any:
        async def whole() -> Any:
            try:
                return await work
            finally:
                await self.effects.drain()
                self.effects.journal.close()

        return asyncio.run(whole())

    @property
    def seen(self) -> dict[str, list[str]]:
        """Row → the demonstrations of the last request about it."""
        return {row: demos for demos, row in map(shown, self.models.asked)}


def world(k: int = 2, **keys: Any) -> World:
    params = {
        name: keys.pop(name) for name in ("by", "language", "fields", "module", "model") if name in keys
    }
    return World(module={"knn": {"k": k, **params}}, **keys)


# the module


@pytest.mark.parametrize(
    ("k", "row", "demos"),
    [
        (1, "my red car", ["a red car"]),
        (2, "my red car", ["the red ball", "a red car"]),
        (2, "sky so blue", ["a deep blue sea", "the blue sky"]),
        # nothing in common: the first ones fill up, in their order
        (2, "nothing alike", ["a red car", "the red ball"]),
        (9, "green", ["a deep blue sea", "the blue sky", "a red car", "the red ball", "green grass grows"]),
    ],
)
def test_a_row_sees_the_demos_that_are_most_like_it_the_most_similar_last(k, row, demos):
    asked = world(k)
    asked.run([{"id": "x", "text": row, "label": "x"}])
    assert asked.seen == {row: demos}


def test_no_row_sees_itself():
    """Neither a training row, nor one that says the same under another id."""
    asked = world(9)
    asked.run([*ROWS, {"id": "other", "text": "the red ball", "label": "red"}])
    for row, demos in asked.seen.items():
        assert row not in demos
        assert len(demos) == len(ROWS) - 1


def test_a_row_is_no_demo_of_itself_where_its_inputs_came_out_otherwise():
    """As a step's may, which depend on what was said before it."""
    demos = [Demo(inputs={"text": f"a {n}"}, outputs={"label": "x"}, row_id=f"r{n}") for n in range(3)]
    signature = Signature(inputs=(Field(name="text"),), outputs=(Field(name="label"),))
    asked = World()
    texts = asked.start.predictors["main"]

    async def chosen() -> Any:
        phase = asked.effects.phase("x", {})
        found: dict[int, Any] = {}

        async def job(lane: Any) -> Any:
            lane.row_id = "r1"
            return await Pool(signature, demos, Nearest(k=3)).chosen(lane, {"text": "another text"})

        await phase.run([job], found.__setitem__)
        return found[0]

    assert texts.demos == ()
    assert [demo.row_id for demo in asyncio.run(chosen())] == ["r2", "r0"]


def test_the_prompt_is_that_of_the_inner_module_with_other_demos():
    plain = World(demos=[{"text": "the red ball", "label": "red"}, {"text": "a red car", "label": "red"}])
    plain.run(DEV[:1])
    chosen = world(2)
    chosen.run(DEV[:1])
    assert chosen.models.asked[0].key() == plain.models.asked[0].key()


def test_the_pool_holds_the_demos_of_the_spec_and_the_labelled_rows():
    given_demo = {"text": "a pink pig", "label": "pink"}
    asked = world(1, demos=[given_demo], train=[*ROWS, {"id": "u", "text": "no gold"}])
    pool = asked.start.predictors["main"].demos
    assert [demo.inputs["text"] for demo in pool] == ["a pink pig", *(row["text"] for row in ROWS)]
    assert world(1, demos="none").start.predictors["main"].demos == ()


@pytest.mark.parametrize(
    ("params", "row", "nearest"),
    [
        ({"fields": ["b"]}, {"a": "x x x", "b": "one"}, "one two"),
        ({"fields": ["a"]}, {"a": "x", "b": "one"}, "x y"),
        ({"language": "en"}, {"a": "", "b": "cars"}, "car"),
        ({"by": "dense"}, {"a": "", "b": "carrs"}, "car"),
    ],
)
def test_likeness_is_what_the_parameters_say(params, row, nearest):
    rows = [
        {"id": "1", "a": "p", "b": "one two", "label": "l"},
        {"id": "2", "a": "x y", "b": "q", "label": "l"},
        {"id": "3", "a": "z", "b": "car", "label": "l"},
    ]
    asked = World(train=rows, signature="a, b -> label", module={"knn": {"k": 1, **params}})
    asked.run([{"id": "n", "label": "l", **row}])
    assert nearest in asked.models.asked[0].messages[1].content


def test_vectors_of_a_model_are_made_once_and_counted():
    asked = world(1, by="dense", models={"task": "openai/t", "embed": "openai/vectors"})
    asked.run()
    embedded = [request for request in asked.models.asked if request.model == "embed"]
    assert [len(request.messages) for request in embedded].count(len(ROWS)) == 1
    assert len(embedded) == 1 + len(DEV)
    assert asked.effects.ledger.by_role()["embed"].calls == 1 + len(DEV)
    assert asked.program.compile(asked.start).vector_calls() == 1


@pytest.mark.parametrize("by", ["bm25", "dense"])
@pytest.mark.parametrize("models", [{"task": "openai/t"}, {"task": "openai/t", "embed": "openai/vectors"}])
def test_any_number_of_workers_sees_the_same(by, models):
    def told(workers: int, shuffle: int, **more: Any) -> Any:
        asked = world(2, by=by, models=models, workers=workers, shuffle=shuffle, **more)
        records = asked.run()
        return (
            records,
            sorted(request.key() for request in asked.models.asked),
            asked.effects.ledger.by_role(),
        )

    first = told(1, 0)
    assert told(8, 1) == first
    assert told(64, 2) == first
    assert told(8, 3, budget=Budget(calls=100)) == first


@pytest.mark.parametrize("die_after", [0, 1, 3, 7])
@pytest.mark.parametrize("workers", [1, 8])
def test_a_killed_evaluation_goes_on_without_paying_twice(tmp_path, die_after, workers):
    keys = {"by": "dense", "models": {"task": "openai/t", "embed": "openai/vectors"}}
    plain = world(2, **keys)
    expected = plain.run()
    dying = world(2, **keys, path=tmp_path / "j", workers=workers, die_after=die_after)
    with contextlib.suppress(KilledError):
        dying.run()
    again = world(2, **keys, path=tmp_path / "j")
    assert again.run() == expected
    assert len(dying.models.asked) + len(again.models.asked) == len(plain.models.asked)


@pytest.mark.parametrize("outer", ["majority", "refine", "best_of_n", "multi_chain_comparison"])
def test_it_works_within_other_modules_and_around_them(outer):
    """Only its own predictors choose: one that compares attempts has demos of another kind."""

    def red(request: Any) -> Any:
        return text(answer(label="red"))

    keys = {"assert": ["self.label == 'red'"], "reply": red}
    plain = World(module={outer: {"n": 2, "module": "predict"}}, **keys)
    within = World(module={outer: {"n": 2, "module": {"knn": {"k": 1}}}}, **keys)
    around = World(module={"knn": {"k": 1, "module": {outer: {"n": 2, "module": "predict"}}}}, **keys)
    assert within.program.calls() == around.program.calls() == plain.program.calls()
    assert [record.outputs for record in within.run(DEV[:1])] == [{"label": "red"}]
    assert shown(within.models.asked[0])[0] == ["a red car"]
    choosing = {name for name, predictor in within.program.predictors.items() if predictor.nearest}
    assert choosing == {"main"}


TEMPLATE = {"template": {"text": "{{ demos }}\n\nText: {{ text }}\nColour:"}}


@pytest.mark.parametrize("format_", ["chat", "json", "xml", TEMPLATE])
def test_every_format_shows_the_chosen_demos(format_):
    def red(request: Any) -> Any:
        return text(
            '{"label": "red"}' if format_ == "json" else "<label>red</label>" if format_ == "xml" else "red"
        )

    asked = world(1, format=format_, reply=red)
    asked.run(DEV[:1])
    prompt = "\n".join(message.content for message in asked.models.asked[0].messages)
    assert "a red car" in prompt
    assert "blue" not in prompt


@given(
    texts=st.lists(st.text(min_size=1, max_size=12), min_size=2, max_size=12),
    k=st.integers(1, 5),
    by=st.sampled_from(["bm25", "dense"]),
)
def test_whatever_the_texts_k_others_are_chosen_each_once(texts, k, by):
    signature = Signature(inputs=(Field(name="text"),), outputs=(Field(name="label"),))
    demos = [Demo(inputs={"text": t}, outputs={"label": "x"}, row_id=str(n)) for n, t in enumerate(texts)]
    pool = Pool(signature, demos, Nearest(k=k, by=by))
    chosen = pool.chosen_here({"text": texts[0]})
    others = [t for t in texts if t != texts[0]]
    assert len(chosen) == min(k, len(others))
    assert len({demo.row_id for demo in chosen}) == len(chosen)
    assert texts[0] not in {demo.inputs["text"] for demo in chosen}


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (
            {"knn": {"fields": ["txt"]}},
            'module `knn`: there is no input `txt` to compare; did you mean "text"?',
        ),
        (
            {"knn": {"module": {"majority": {"field": "colour"}}}},
            "module `majority`: there is no output `colour`",
        ),
        ({"knn": {"module": "predic"}}, "unknown module"),
        ({"knn": {"k": 0}}, "0 is too small: at least 1"),
    ],
)
def test_wrong_parameters_are_told(module, said):
    with pytest.raises(SpecError) as caught:
        build_program(spec_of(module=module))
    assert any(said in finding.message for finding in caught.value.diagnostics), caught.value.diagnostics


# the optimizer


def test_each_number_of_demonstrations_is_a_trial_and_the_best_wins():
    """A model that follows the majority of what it is shown: k 1 is right, and the whole pool says red."""

    def majority(request: Any) -> Any:
        labels = [
            dict(SECTION.findall(m.content))["label"] for m in request.messages if m.role == "assistant"
        ]
        return text(
            answer(label=max(labels, key=lambda label: (labels.count(label), label)) if labels else "none")
        )

    rows = [*ROWS, *({"id": f"r{n}", "text": f"ball {n}", "label": "red"} for n in range(3, 12))]
    rows += [{"id": f"g{n}", "text": f"grass {n}", "label": "green"} for n in range(2, 5)]
    search = World(train=rows, reply=majority).optimized(Knn()).search
    assert [trial.origin for trial in search.trials] == [
        "start",
        "the 4 nearest rows",
        "the 8 nearest rows",
        "the 16 nearest rows",
    ]
    best = search.best()
    assert best.candidate.predictors["main"].nearest == Nearest(k=4)
    assert len(best.candidate.predictors["main"].demos) == len(rows)
    assert best.score > search.trials[-1].score > search.trials[0].score


def test_k_that_is_given_is_the_only_one_tried():
    search = World().optimized(Knn(k=3, language="en", fields=("text",))).search
    [_, trial] = search.trials
    assert trial.candidate.predictors["main"].nearest == Nearest(k=3, language="en", fields=("text",))
    assert trial.score == 1.0


def test_the_plan_is_what_is_asked():
    asked = World(train=LONG)
    plan = Knn().plan(asked.program, Sizes(len(LONG), len(DEV), 0))
    assert (plan.runs, plan.first_trial, plan.trials) == ({"task": (8, 16)}, 8, 3)
    assert len(asked.optimized(Knn()).models.asked) == 16
    again = World()
    assert Knn(k=2).plan(again.program, Sizes(5, 4, 9)).runs == {"task": (8, 8)}
    by_model = World(models={"task": "openai/t", "embed": "openai/vectors"})
    plan = Knn(k=2, by="dense").plan(by_model.program, Sizes(len(ROWS), len(DEV), 0))
    assert plan.runs["embed"] == (5, 5)
    by_model.optimized(Knn(k=2, by="dense"))
    assert by_model.effects.ledger.by_role()["embed"].calls == 5


@pytest.mark.parametrize("keys", [{"freeze": ["demos"]}, {"demos": "none"}, {"freeze": True}])
def test_what_is_frozen_stays(keys):
    search = World(**keys).optimized(Knn()).search
    assert [trial.origin for trial in search.trials] == ["start"]
    assert search.notes == ["no demonstrations are chosen for main: its demos are frozen, or there are none"]


def test_demos_that_are_there_stay_in_the_pool():
    demos = [{"text": "a pink pig", "label": "pink"}]
    search = World(demos=demos).optimized(Knn(k=1)).search
    pool = search.trials[1].candidate.predictors["main"].demos
    assert [demo.inputs["text"] for demo in pool] == ["a pink pig", *(row["text"] for row in ROWS)]


def test_a_search_over_a_knn_module_keeps_its_pool_and_other_k():
    search = World(module={"knn": {"k": 1}}).optimized(Knn(k=2)).search
    start, trial = (trial.candidate.predictors["main"] for trial in search.trials)
    assert start.demos == trial.demos
    assert (start.nearest, trial.nearest) == (None, Nearest(k=2))


def test_train_rows_that_are_dev_rows_too_never_see_themselves():
    asked = World(dev=ROWS)
    asked.optimized(Knn(k=4))
    for demos, row in map(shown, asked.models.asked):
        assert row not in demos
    assert len(asked.models.asked) == 2 * len(ROWS)


@pytest.mark.parametrize(
    ("params", "said"),
    [({"fields": ("txt",)}, 'optimizer `knn`: there is no input `txt` to compare; did you mean "text"?')],
)
def test_a_field_that_nobody_has_is_told_before_anything_is_paid(params, said):
    with pytest.raises(SpecError) as caught:
        Knn(**params).plan(World().program, Sizes(5, 4, 0))
    assert [finding.message for finding in caught.value.diagnostics] == [said]


STEPS = {
    "signature": None,
    "instructions": None,
    "inputs": {"text": "string"},
    "pipeline": [
        {"step": "hint", "signature": "text -> hint", "inputs": {"text": "inputs.text"}},
        {"step": "name", "signature": "text, hint -> label",
         "inputs": {"text": "inputs.text", "hint": "hint.hint"}},
    ],
    "outputs": {"label": "name.label"},
}  # fmt: skip


def hinting(request: Any) -> Any:
    """The first step hints at the text's first word; the second is right on rows about red, whatever it is shown."""
    row = shown(request)[1]
    if "`hint`" in request.messages[0].content.split("The output fields are:")[1]:
        return text(answer(hint=f"it begins with {row.split()[0]}"))
    return text(answer(label="red" if "red" in row else "none"))


def test_steps_get_the_inputs_of_one_run_and_gold_or_passing_outputs():
    asked = World(reply=hinting, **STEPS)
    plan = Knn(k=2).plan(asked.program, Sizes(len(ROWS), len(DEV), 0))
    assert plan.runs == {"task": (5 + 8, 5 + 8)}
    asked.optimized(Knn(k=2))
    assert len({shown(request)[1] for request in asked.models.asked}) == 8
    [_, trial] = asked.search.trials
    named, hinted = (trial.candidate.predictors[name].demos for name in ("name", "hint"))
    assert [(demo.inputs, demo.outputs, demo.source) for demo in named][:3] == [
        ({"text": "the red ball", "hint": "it begins with the"}, {"label": "red"}, "labeled"),
        ({"text": "a red car", "hint": "it begins with a"}, {"label": "red"}, "labeled"),
        ({"text": "the blue sky", "hint": "it begins with the"}, {"label": "blue"}, "labeled"),
    ]
    # No column holds the hint: only runs that ended well teach it.
    assert [(demo.row_id, demo.source) for demo in hinted] == [("r1", "bootstrapped"), ("r2", "bootstrapped")]


def test_steps_that_read_only_the_row_take_no_run():
    pipeline = [{"step": "name", "signature": "text -> label", "inputs": {"text": "inputs.text"}}]
    asked = World(**{**STEPS, "pipeline": pipeline})
    assert Knn(k=2).plan(asked.program, Sizes(5, 4, 0)).runs == {"task": (8, 8)}
    assert asked.optimized(Knn(k=2)).search.best().score == 1.0


@pytest.mark.parametrize("budget", range(4, 24, 3))
def test_a_search_stays_within_its_budget(budget):
    asked = World(reply=hinting, budget=Budget(calls=budget), **STEPS).optimized(Knn())
    assert asked.effects.ledger.spent.calls == len(asked.models.asked) <= budget


# artifacts and the command line


def test_a_candidate_with_nearest_reads_back_from_yaml():
    asked = World()
    [_, trial] = asked.optimized(Knn(k=3, by="dense", fields=("text",))).search.trials
    tree = json.loads(json.dumps(candidate_tree(trial.candidate)))
    assert candidate_from_tree(tree, "candidate.yaml", asked.program) == trial.candidate


@pytest.fixture
def place(tmp_path):
    opened = Workplace(tmp_path, None)
    opened.write("rows.jsonl", LONG)
    opened.write("spec.yaml", spec_tree())
    return opened


def spec_tree(**keys: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "name": "colours",
        "models": {"task": "embedded/icl"},
        "data": {"path": "rows.jsonl"},
        "signature": "text -> label: Literal['zib', 'mof', 'tuk']",
        "instructions": "Which?",
        "metrics": ["exact_match"],
        "run": {"cache": False},
        **keys,
    }


def test_the_artifact_carries_the_pool_and_scores_and_predicts_alone(place):
    done = place.run("optimize", "--set", "optimizer={knn: {k: 3}}", "-o", "run")
    assert done.code == 0, done
    assert "24 demos, 3 for each row" in done.out
    prompt = (place.folder / "run/compiled/prompts/main.md").read_text()
    assert prompt.endswith("\nThen each row sees the 3 demos that are most like it, by the words.\n")
    program = json.loads((place.folder / "run/compiled/program.json").read_text())
    assert program["candidate"]["predictors"]["main"]["nearest"] == {"k": 3}
    assert program["real_rows"] == 24
    scored = place.summary("run")["test"]["score"]
    place.write("alone/program.json", (place.folder / "run/compiled/program.json").read_bytes())
    (place.folder / "rows.jsonl").rename(place.folder / "kept.jsonl")
    rows = place.write("new.jsonl", [{"id": "n", "text": "a green thing number 100"}])
    done = place.run("run", "alone/program.json", rows)
    assert done.lines == [{"id": "n", "outputs": {"label": "tuk"}}]
    (place.folder / "kept.jsonl").rename(place.folder / "rows.jsonl")
    done = place.run("eval", "run", "--split", "test", "-o", "again", "--json")
    assert done.document["test"]["score"] == scored


def test_the_module_is_evaluated_rendered_and_run_with_the_training_rows(place):
    place.write("spec.yaml", spec_tree(module={"knn": {"k": 2}}))
    assert place.run("eval", "--json", "-o", "run").document["dev"]["score"] > 0.8
    done = place.run("render", "--row", "red3")
    assert len(re.findall(r"--- main: assistant ---\n\[\[ ## label ## \]\]\nzib", done.out)) == 2
    assert "red thing number 3" not in done.out.rsplit("--- main: user ---", 1)[0]
    rows = place.write("new.jsonl", [{"id": "n", "text": "some blue thing"}])
    assert place.run("run", "spec.yaml", rows).lines == [{"id": "n", "outputs": {"label": "mof"}}]


def test_any_number_of_workers_leaves_the_same_bytes(place):
    results = []
    for jobs in ("1", "8", "64"):
        done = place.run("optimize", "--set", "optimizer=knn", "-o", f"run{jobs}", "-j", jobs)
        assert done.code == 0, done
        results.append(result_of(place.folder / f"run{jobs}"))
    assert results[0] == results[1] == results[2]


def test_the_start_of_a_spec_reads_rows_only_where_it_has_to():
    spec = spec_of(data={"path": "missing.jsonl"})
    loaded = type("Loaded", (), {"candidate": None, "spec": spec})()
    assert own_candidate(loaded, build_program(spec)).predictors["main"].demos == ()
    spec = spec_of(data={"path": "missing.jsonl"}, module="knn")
    loaded = type("Loaded", (), {"candidate": None, "spec": spec})()
    with pytest.raises(SpecError, match="1 error"):
        own_candidate(loaded, build_program(spec))

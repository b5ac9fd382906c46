"""Several objectives: what each figure is, who is on the front, who wins, and what is kept of them."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from searching import Wish, World, knows
from workplace import Sentiment, open_workplace

from promptc.optimizers.copro import Copro
from promptc.optimizers.front import objective_fronts, undominated
from promptc.optimizers.gepa_selection import Pool
from promptc.optimizers.search import Trial
from promptc.runners.candidate import Candidate
from promptc.runners.failures import Failure
from promptc.runners.objectives import Objective, objectives
from promptc.runners.records import RowRecord

SCORE, TOKENS, COST = Objective("score"), Objective("tokens", True), Objective("cost", True)


def record(
    score: float | None, tokens: int, cost: float | None, kind: str = "", **metrics: float
) -> RowRecord:
    return RowRecord(
        id=str(tokens), index=0, outputs={}, score=score, metrics=metrics, input_tokens=tokens - 1,
        output_tokens=1, cost=cost, failure=Failure(kind, "") if kind else None,  # type: ignore[arg-type]
    )  # fmt: skip


ROWS = [
    record(1.0, 100, 0.02, f1=0.5),
    record(0.5, 200, 0.04, f1=0.7),
    record(0.0, 300, 0.06, "parse"),
    record(None, 0, 0.0, "provider"),
]


@pytest.mark.parametrize(
    ("objective", "figure"),
    [(SCORE, 0.5), (Objective("f1"), 0.6), (TOKENS, 200), (COST, 0.04), (Objective("other"), None)],
)
def test_figures_are_means_over_the_rows_that_were_answered(objective, figure):
    """The row that the provider failed has no score, and would look cheap."""
    found = objective.figure(ROWS)
    assert found == (None if figure is None else pytest.approx(figure))


def test_a_cost_that_is_partly_unknown_is_not_known():
    assert COST.figure([*ROWS, record(1.0, 10, None)]) is None
    assert TOKENS.figure([]) is None


@pytest.mark.parametrize(
    ("merits", "places"),
    [
        ([[1, 0], [0, 1]], [0, 1]),
        ([[1, 0], [1, 1]], [1]),
        ([[1, 1], [1, 1]], [0]),
        ([[0, 3], [1, 2], [2, 2], [3, 0]], [0, 2, 3]),
        ([[1, float("-inf")], [1, -5]], [1]),
        ([], []),
    ],
)
def test_whoever_is_not_beaten_is_on_the_front(merits, places):
    assert undominated(merits) == places


@given(st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=1, max_size=9))
def test_everyone_is_matched_by_someone_on_the_front(merits):
    kept = undominated(merits)
    assert kept
    for mine in merits:
        assert any(all(a >= b for a, b in zip(merits[place], mine, strict=True)) for place in kept)
    assert len({merits[place] for place in kept}) == len(kept)


def test_less_is_better_for_tokens_and_an_unknown_cost_is_worst():
    figures = [{"score": 0.5, "cost": None}, {"score": 0.5, "cost": 0.2}, {"score": 0.4, "cost": 0.1}]
    assert objective_fronts(figures, [SCORE, COST]) == [frozenset({0, 1}), frozenset({2})]


# ── in a search ───────────────────────────────────────────────────────────────────────────────────────────

TRAIN, DEV = ["a0", "b0", "c0", "d0"], ["a1", "b1", "c1", "d1"]


def weighing(names: tuple[str, ...], **keys: object) -> World:
    """`Know: a b` is right on half of dev, `Know: a` on a quarter; the longer a reply, the more tokens."""

    def propose(wish: Wish) -> str:
        return ("Know: a", "Know: a b", "Know: c d")[wish.rollout % 3]

    world = World(knows, propose, train=TRAIN, dev=DEV, objective=list(names), **keys)
    world.search.objectives = objectives(world.search.program.spec)
    return world


def test_trials_carry_their_figures_and_the_best_leads_the_front():
    world = weighing(("score", "tokens")).optimized(Copro(breadth=6, depth=2))
    figures = [trial.figures for trial in world.trials]
    assert all(figure.keys() == {"score", "tokens"} for figure in figures)
    assert [figure["score"] for figure in figures] == [trial.score for trial in world.trials]
    assert world.search.front()[0] == world.best


def test_with_one_objective_there_is_no_front():
    world = weighing(("score",)).optimized(Copro(breadth=4, depth=1))
    assert world.search.objectives == ()
    assert all(trial.figures == {} for trial in world.trials)


def trial(number: int, scores: list[float], tokens: float, characters: int = 10) -> Trial:
    records = tuple(
        RowRecord(id=str(i), index=i, outputs={}, score=s, metrics={}) for i, s in enumerate(scores)
    )
    mean = sum(scores) / len(scores)
    return Trial(
        number=number, candidate=Candidate(choices={"n": number}), origin="", records=records, score=mean,
        prompt_characters=characters, figures={"score": mean, "tokens": tokens},
    )  # fmt: skip


def test_equal_scores_are_decided_by_the_next_objective_before_the_length():
    world = weighing(("score", "tokens"))
    world.search.trials = [trial(0, [1, 0], 50, 10), trial(1, [1, 1], 90, 10), trial(2, [1, 1], 80, 99)]
    assert world.search.best().number == 2
    assert [one.number for one in world.search.front()] == [2, 0]


def test_gepa_keeps_whoever_is_best_at_an_objective():
    """1 is best on every row; 0 stays because it is cheapest, with one front against three."""
    plain, weighed = Pool(trial(0, [0, 0], 10)), Pool(trial(0, [0, 0], 10), (SCORE, TOKENS))
    for pool in (plain, weighed):
        pool.add(trial(1, [1, 1], 90), (0,))
    assert (plain.pareto().places, plain.pareto().wins) == ((1,), (2,))
    assert (weighed.pareto().places, weighed.pareto().wins) == ((0, 1), (1, 3))


# ── on the command line ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def weighed(shared_folder):
    """A workplace in which a search with two objectives ran into `run`."""
    with open_workplace(shared_folder("objectives"), Sentiment()) as place:
        place.write_spec(
            objective=["score", "tokens", "cost"],
            model={"price": {"input": 1.0, "output": 2.0}},
            optimizer={"bootstrap_random_search": {"candidates": 4, "max_labeled_demos": 6}},
        )
        place.done = place.run("optimize", "-o", "run")
        assert place.done.code == 0, place.done
        yield place


def test_the_front_is_in_the_summary_the_report_and_the_folder(weighed):
    summary = weighed.summary("run")
    front = summary["front"]
    assert summary["objectives"] == ["score", "tokens", "cost"]
    assert front[0]["won"]
    assert front[0]["number"] == summary["winner"]["number"]
    assert [member["number"] for member in front[1:]] == sorted({m["number"] for m in front[1:]}, key=lambda n: (
        -next(t["score"] for t in summary["trials"] if t["number"] == n)))  # fmt: skip
    assert any(member["number"] == 0 for member in front), "the start has the shortest prompt"
    assert "Front" in weighed.done.out
    folder = weighed.folder / "run" / "compiled" / "front"
    assert {path.name for path in folder.iterdir()} == {f"trial-{member['number']}" for member in front}
    for member in front:
        place = folder / f"trial-{member['number']}"
        assert json.loads((place / "figures.json").read_bytes()) == member
        assert set(member["figures"]) == {"score", "tokens", "cost"}
        assert yaml.safe_load((place / "candidate.yaml").read_bytes())["candidate"] == 1


def test_a_member_of_the_front_can_be_scored_and_searched_from(weighed):
    front = weighed.summary("run")["front"]
    member = f"run/compiled/front/trial-{front[-1]['number']}/candidate.yaml"
    done = weighed.run("eval", "--candidate", member, "-o", "again", "--json")
    assert done.code == 0, done
    assert done.document["dev"]["score"] == front[-1]["figures"]["score"]


def test_the_same_front_with_any_number_of_workers_and_after_a_replay(weighed):
    before = weighed.result("run")
    assert any(name.startswith("compiled/front/") for name in before)
    assert weighed.run("optimize", "-o", "many", "-j", "64").code == 0
    assert weighed.result("many") == before
    again = weighed.run("optimize", "-o", "run")
    assert "Front" in again.out
    (weighed.folder / "run" / "manifest.json").unlink()
    stale = weighed.folder / "run" / "compiled" / "front" / "trial-99"
    stale.mkdir()
    (stale / "candidate.yaml").write_text("left over")
    assert weighed.run("optimize", "-o", "run").code == 0
    assert weighed.result("run") == before


def test_a_cost_that_nobody_knows_is_refused_before_any_call(shared_folder):
    with open_workplace(shared_folder("priceless"), Sentiment()) as place:
        place.write_spec(objective=["score", "cost"], optimizer="labeled_few_shot")
        done = place.run("optimize")
        assert done.code == 2, done
        assert "objective: cost needs a price for the model task" in " ".join(done.err.split())
        assert place.server.requests == 0

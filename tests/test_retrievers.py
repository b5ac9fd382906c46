"""Retrievers: what each finds, what it says when it cannot, and that a replay asks nothing."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback import Fault, serving
from retrieving import DOCUMENTS, Asking, Embedder, failure, letters, stack_for, the_spec, written
from scripted import KilledError, ScriptedModels, text

from promptc.runners.models.vectors import packed
from promptc.runners.retrievers.checking import document_findings
from promptc.runners.retrievers.filters import conditions
from promptc.runners.retrievers.hashed import HashedVectors
from promptc.runners.retrievers.hybrid import fused
from promptc.runners.retrievers.keywords import Weighing, kept_index, keyword_index
from promptc.runners.retrievers.protocol import Passage
from promptc.runners.retrievers.ranking import best
from promptc.runners.retrievers.words import cutter
from promptc.spec.errors import DataError, Untrusted
from promptc.spec.model import Budget

# Documents and filters


def holding(written_filter):
    wanted = conditions(written_filter)
    return [d["id"] for d in DOCUMENTS if all(condition.holds(d) for condition in wanted)]


@pytest.mark.parametrize(
    ("where", "found"),
    [
        (None, ["cat", "dog", "kuh", "bat", "blank"]),
        ({}, ["cat", "dog", "kuh", "bat", "blank"]),
        ({"lang": "de"}, ["kuh"]),
        ({"lang": ["de", "fr"]}, ["kuh"]),
        ({"year": {"gte": 2001, "lt": 2020}}, ["dog", "kuh"]),
        ({"year": {"gt": 2001}}, ["kuh", "bat", "blank"]),
        ({"year": {"lte": 1990}}, ["cat"]),
        ({"year": 1990.0}, ["cat"]),
        ({"year": True}, []),
        ({"lang": {"gte": "e"}}, ["cat", "dog", "bat", "blank"]),
        ({"year": {"gte": "1990"}}, []),
        ({"tags": "pet"}, ["dog"]),
        ({"tags": None}, ["cat", "kuh", "blank"]),
        ({"tags": ["wild", None]}, ["cat", "kuh", "bat", "blank"]),
        ({"lang": "en", "year": {"gte": 2020}}, ["bat", "blank"]),
    ],
)
def test_a_filter_lets_through(where, found):
    assert holding(where) == found


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"year": {"gt": True}}, "filter year.gt: True is no number or text to compare with"),
        ({"year": {"ge": 1}}, 'filter year: unknown comparison `ge`; did you mean "gte"?'),
        ({"year": {}}, "filter year: give at least one of gt, gte, lt, lte"),
        ({"year": []}, "filter year: an empty list matches no document"),
        ({"year": [[1]]}, "filter year: [1] is no text, number, true, false or null"),
        ("year > 3", "a filter is a mapping from fields to values, not 'year > 3'"),
    ],
)
def test_a_wrong_filter_says_what_is_wrong(where, said):
    with pytest.raises(ValueError) as caught:
        conditions(where)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("content", "params", "said"),
    [
        ("", {}, "holds no documents"),
        ('{"body": "x"}', {}, "the document has no `text`"),
        ('{"text": 3}', {}, "`text` is no text"),
        (
            '{"text": "x"}\n{"text": "y", "id": "a"}\n{"text": "z", "id": "a"}',
            {},
            "is already the id of line 2",
        ),
        ('{"text": "x"}', {"fields": ["title"]}, "no document has `title`"),
        ('{"text": "x"}', {"id": "number"}, "no id in the column `number`"),
    ],
)
def test_documents_that_are_none_are_told_with_their_place(tmp_path, content, params, said):
    (tmp_path / "docs.jsonl").write_text(content)
    spec = the_spec(tmp_path, {"docs": {"bm25": {"documents": "docs.jsonl", **params}}})
    with pytest.raises(DataError, match=said):
        document_findings(spec)
    with pytest.raises(DataError, match=said):
        Asking(spec, [("docs", "x")]).run()


def test_documents_may_be_a_table_with_columns_of_other_names(tmp_path):
    (tmp_path / "docs.csv").write_text("nr,title,body\n1,Cats,they hunt mice\n2,Dogs,they bark\n")
    params = {"documents": "docs.csv", "text": "body", "id": "nr", "fields": ["title", "body"]}
    spec = the_spec(tmp_path, {"docs": {"bm25": params}})
    [[hits]] = Asking(spec, [("docs", "dogs")]).run()
    assert hits == [{"id": "2", "text": "they bark", "score": hits[0]["score"], "meta": {"title": "Dogs"}}]


# Ranking


@given(
    scores=st.lists(st.integers(-2, 4), min_size=1, max_size=30),
    count=st.integers(1, 8),
    among=st.lists(st.booleans(), min_size=30, max_size=30),
)
def test_the_best_are_those_of_a_full_sort(scores, count, among):
    among = among[: len(scores)]
    fitting = [(-score, place) for place, score in enumerate(scores) if score > 0 and among[place]]
    found = best(np.array(scores, dtype=np.float32), count, among=np.array(among))
    assert found == [(place, -score) for score, place in sorted(fitting)[:count]]


# bm25


def bm25(folder, **params):
    return the_spec(folder, {"docs": {"bm25": {"documents": str(written(folder)), **params}}})


@pytest.mark.parametrize(
    ("params", "query", "found"),
    [
        ({}, "hunt", ["dog", "bat"]),
        ({"language": "en"}, "hunting", ["dog", "bat", "cat"]),
        ({"language": "en"}, "the night", ["bat", "cat"]),
        ({"language": "en"}, "the", []),
        ({"language": "de"}, "Kuh", ["kuh"]),
        ({"k": 1}, "hunt", ["dog"]),
        ({}, "käse", ["kuh"]),
        ({}, "KÄSE!", ["kuh"]),
        ({}, "zebra", []),
        ({}, " ?! ", []),
    ],
)
def test_bm25_finds_documents_by_their_words(tmp_path, params, query, found):
    assert Asking(bm25(tmp_path, **params), [("docs", query)]).ids() == [found]


def test_bm25_scores_as_the_formula_of_lucene_worked_by_hand(tmp_path):
    path = written(
        tmp_path, [{"id": "a", "text": "x y"}, {"id": "b", "text": "x x z z"}, {"id": "c", "text": "z"}]
    )
    spec = the_spec(tmp_path, {"docs": {"bm25": {"documents": str(path)}}})
    [[hits]] = Asking(spec, [("docs", "x")]).run()
    # x stands in 2 of 3 texts: idf = ln(1 + (3 - 2 + 0.5) / (2 + 0.5)). Their mean length is 7 / 3 words.
    idf, k1, b = np.log(1.6), 1.5, 0.75
    once_in_2_words = idf * 1 / (1 + k1 * (1 - b + b * 2 / (7 / 3)))
    twice_in_4_words = idf * 2 / (2 + k1 * (1 - b + b * 4 / (7 / 3)))
    assert [(hit["id"], hit["score"]) for hit in hits] == [
        ("b", pytest.approx(twice_in_4_words, abs=1e-5)),
        ("a", pytest.approx(once_in_2_words, abs=1e-5)),
    ]


def test_several_queries_are_answered_at_once_each_with_its_own_hits(tmp_path):
    [found] = Asking(bm25(tmp_path), [("docs", ["mice", "Milch", "zebra"], 2)]).run()
    assert [[hit["id"] for hit in hits] for hits in found] == [["cat"], ["kuh"], []]


@pytest.mark.parametrize("kind", ["bm25", "dense"])
def test_a_filter_chooses_among_the_documents(tmp_path, kind):
    spec = the_spec(tmp_path, {"docs": {kind: {"documents": str(written(tmp_path))}}})
    asks = [("docs", "hunt night", 5, {"year": {"gte": 2001}}), ("docs", "hunt", 5, {"lang": "de"})]
    assert Asking(spec, asks).ids()[0][0] == "bat"
    assert "cat" not in Asking(spec, asks).ids()[0]
    wrong = [("docs", "hunt", 5, {"yeer": 3}), ("docs", "hunt", 5, {"year": {"about": 3}})]
    first, second = Asking(spec, wrong).run()
    assert failure(first) == 'tool: retriever docs: no document has the field `yeer`; did you mean "year"?'
    assert failure(second).startswith("tool: retriever docs: filter year: unknown comparison `about`")


def test_an_index_is_kept_and_made_anew_when_documents_or_parameters_change(tmp_path):
    cache = tmp_path / "cache"

    def indexes():
        return {path.name for path in (cache / "indexes").iterdir() if not path.name.startswith(".")}

    first = Asking(bm25(tmp_path), [("docs", "hunt")]).run()
    [kept] = indexes()
    assert Asking(bm25(tmp_path), [("docs", "hunt")]).run() == first
    assert indexes() == {kept}
    assert Asking(bm25(tmp_path, b=0.1), [("docs", "hunt")]).run() != first
    assert len(indexes()) == 2
    written(tmp_path, [*DOCUMENTS, {"id": "new", "text": "hunt hunt hunt", "lang": "en", "year": 1}])
    spec = the_spec(tmp_path, {"docs": {"bm25": {"documents": "docs.jsonl"}}})
    assert Asking(spec, [("docs", "hunt")]).ids() == [["new", "dog", "bat"]]
    assert len(indexes()) == 3


def test_without_a_cache_no_index_is_kept(tmp_path):
    spec = the_spec(tmp_path, {"docs": {"bm25": {"documents": str(written(tmp_path))}}}, run={"cache": False})
    Asking(spec, [("docs", "hunt")]).run()
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("harm", ["truncate", "remove", "nonsense"])
def test_a_damaged_index_is_made_anew(tmp_path, harm):
    texts = [document["text"] for document in DOCUMENTS]
    expected = keyword_index(texts, Weighing()).scores("hunt").tolist()
    kept_index(texts, "d", Weighing(), tmp_path)
    [folder] = tmp_path.iterdir()
    for path in folder.iterdir():
        if harm == "remove":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[:10] if harm == "truncate" else b"\x93NUMPY nonsense")
    assert kept_index(texts, "d", Weighing(), tmp_path).scores("hunt").tolist() == expected
    assert kept_index(texts, "d", Weighing(), tmp_path).scores("hunt").tolist() == expected


def test_an_index_that_cannot_be_kept_is_used_all_the_same(tmp_path):
    (tmp_path / "indexes").write_text("no folder")
    index = kept_index(["a b", "b"], "d", Weighing(), tmp_path / "indexes")
    assert index.scores("a").argmax() == 0


@pytest.mark.parametrize(
    ("language", "text", "found"),
    [
        (None, "The cats' Straße", ["the", "cats", "strasse"]),
        ("en", "The running cats don't", ["run", "cat"]),
        ("de", "Die Häuser der Stadt", ["haus", "stadt"]),
        ("fi", "kissat", ["kis"]),
        ("en", "to be or not to be", ["to", "be", "or", "not", "to", "be"]),
    ],
)
def test_words_are_cut_by_language(language, text, found):
    assert cutter(language)(text) == found


def test_texts_without_words_are_indexed_and_never_found():
    assert keyword_index(["", "?!"], Weighing()).scores("x").tolist() == [0.0, 0.0]


# dense


def dense(folder, **keys):
    params = keys.pop("params", {})
    return the_spec(folder, {"docs": {"dense": {"documents": str(written(folder)), **params}}}, **keys)


def test_hashed_vectors_find_misspelt_and_inflected_words(tmp_path):
    asks = [("docs", "insekts", 1), ("docs", "Kuh und Kaese", 1), ("docs", "?!", 1)]
    assert Asking(dense(tmp_path), asks).ids() == [["bat"], ["kuh"], []]


@given(st.lists(st.text(max_size=20), min_size=1, max_size=5), st.integers(0, 3))
def test_hashed_vectors_are_the_same_for_the_same_seed_and_have_length_1_or_0(texts, seed):
    first = HashedVectors(texts, dimensions=64, seed=seed).vectors(texts)
    assert (first == HashedVectors(texts, dimensions=64, seed=seed).vectors(texts)).all()
    lengths = np.linalg.norm(first, axis=1)
    assert all(abs(length - 1) < 1e-5 or length == 0 for length in lengths)


def test_hashed_vectors_are_the_same_on_every_machine():
    vectors = HashedVectors(["a cat", "a dog"], dimensions=16, seed=0).vectors(["cat dog"])
    assert hashlib.blake2b(np.round(vectors, 4).tobytes(), digest_size=8).hexdigest() == "0e91701b90e99240"


EMBED = {"task": "embedded/icl", "embed": "openai/vectors"}


def test_a_models_vectors_are_asked_for_once_and_charged_to_no_row(tmp_path):
    spec = dense(tmp_path, models=EMBED, params={"batch": 2})
    asking = Asking(spec, [("docs", "cat", 1), ("docs", "dog", 1), ("docs", "cat", 1)], models=Embedder())
    asking.run()
    texts = [[message.content for message in request.messages] for request in asking.models.asked]
    documents = [document["text"] for document in DOCUMENTS if document["text"]]
    assert sorted(map(tuple, texts)) == sorted(
        [tuple(documents[:2]), tuple(documents[2:]), ("cat",), ("dog",)]
    )
    assert [asking.usage[place][0] for place in range(3)] == [3, 3, 3]
    spent = asking.effects.ledger.by_role()["embed"]
    assert (spent.calls, spent.tokens) == (4, sum(map(len, documents)) + 6)


def test_the_likeness_is_the_cosine(tmp_path):
    spec = dense(tmp_path, models=EMBED)
    [[hits]] = Asking(spec, [("docs", "hunting mice", 2)], models=Embedder()).run()
    query = np.array(letters("hunting mice"))

    def cosine(text):
        vector = np.array(letters(text))
        return vector @ query / np.linalg.norm(vector) / np.linalg.norm(query)

    likeness = {d["id"]: cosine(d["text"]) for d in DOCUMENTS if d["text"]}
    expected = sorted(likeness, key=lambda name: -likeness[name])[:2]
    assert [hit["id"] for hit in hits] == expected
    assert hits[0]["score"] == pytest.approx(likeness[expected[0]], abs=1e-5)


@pytest.mark.parametrize("workers", [1, 8, 64])
@pytest.mark.parametrize("worst", [0, 1000])
def test_any_number_of_workers_finds_and_spends_the_same(tmp_path, workers, worst):
    """Also where calls go out in waves, since the budget does not cover the worst case."""
    spec = dense(tmp_path, models=EMBED, params={"batch": 1})
    asks = [("docs", f"row {n} cat", 2) for n in range(20)]
    models = Embedder(workers=workers, shuffle=workers)
    asking = Asking(spec, asks, models=models, workers=workers, worst=worst, budget=Budget(calls=500))
    plain = Asking(spec, asks, models=Embedder())
    assert asking.run() == plain.run()
    assert asking.usage == plain.usage
    assert asking.effects.ledger.by_role() == plain.effects.ledger.by_role()
    assert asking.effects.ledger.spent.calls == 24


def test_a_budget_that_ends_while_documents_are_embedded_fails_the_rows(tmp_path):
    spec = dense(tmp_path, models=EMBED, params={"batch": 1})
    asking = Asking(
        spec, [("docs", "cat"), ("docs", "dog")], models=Embedder(), worst=1000, budget=Budget(calls=3)
    )
    assert {failure(found) for found in asking.run()} == {
        "budget: the budget ended before this text was embedded"
    }
    assert asking.effects.ledger.spent.calls == 3


@pytest.mark.parametrize("die_after", range(6))
@pytest.mark.parametrize("workers", [1, 8])
def test_a_killed_search_goes_on_where_it_stopped(tmp_path, die_after, workers):
    spec = dense(tmp_path, models=EMBED, params={"batch": 2})
    asks = [("docs", word, 2) for word in ("cat", "dog", "milk", "night")]
    expected = Asking(spec, asks, models=Embedder()).run()
    journal = tmp_path / "calls.sqlite"
    dying = Embedder(workers=workers)
    dying.die_after = die_after
    with contextlib.suppress(KilledError):
        Asking(spec, asks, models=dying, path=journal, workers=workers).run()
    again = Embedder()
    assert Asking(spec, asks, models=again, path=journal).run() == expected
    assert len(dying.asked) + len(again.asked) == 6
    replayed = Embedder()
    assert Asking(spec, asks, models=replayed, path=journal).run() == expected
    assert replayed.asked == []


def test_embeddings_over_http_go_through_the_models_layers(tmp_path):
    with serving(plan=["429", None, "500"], retry_after="0") as server:
        model = {"model": "openai/vectors", "api_base": server.url, "api_key": "${env:VECTOR_KEY}",
                 "price": {"input": 1.0, "output": 0}}  # fmt: skip
        spec = dense(tmp_path, models={"task": "embedded/icl", "embed": model})
        models = stack_for(spec, {"VECTOR_KEY": "secret-key"}, sleep=no_sleep)
        asking = Asking(spec, [("docs", "cat", 1)], models=models)
        [[hits]] = asking.run()
        assert set(server.paths) == {"/v1/embeddings"}
        assert server.headers[-1]["Authorization"] == "Bearer secret-key"
        assert [body["input"] for body in server.seen][-1] == ["cat"]
    likeness = {d["id"]: float(np.dot(letters(d["text"]), letters("cat"))) for d in DOCUMENTS}
    assert hits[0]["id"] in likeness
    spent = asking.effects.ledger.by_role()["embed"]
    assert spent.calls == 2
    assert spent.usd == pytest.approx(spent.tokens / 1e6)


def test_embeddings_through_litellm(tmp_path):
    with serving() as server:
        model = {"model": "openai/vectors", "api_base": server.url, "api_key": "${env:VECTOR_KEY}",
                 "transport": "litellm", "headers": {"X-Team": "search"}}  # fmt: skip
        spec = dense(tmp_path, models={"task": "embedded/icl", "embed": model})
        models = stack_for(spec, {"VECTOR_KEY": "secret-key"})
        [[hits]] = Asking(spec, [("docs", "cat", 1)], models=models).run()
        assert (server.paths[-1], server.headers[-1]["X-Team"]) == ("/v1/embeddings", "search")
    direct = Asking(dense(tmp_path, models=EMBED), [("docs", "cat", 1)], models=Embedder()).run()
    assert [[hits]] == direct


async def no_sleep(seconds: float) -> None:
    """Retries come at once."""


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ('{"data": []}', "openai/vectors: the reply has no message (after 5 retries)"),
        ('{"choices": []}', "openai/vectors: the reply has no message (after 5 retries)"),
        ('{"data": [{"embedding": ["x"]}]}', "openai/vectors: the reply is none of OpenAI's embeddings"),
        ('{"data": [{"embedding": [1]}]}', "embed gave 1 vectors for 4 texts"),
    ],
)
def test_a_server_that_makes_no_vectors_is_named(tmp_path, reply, said):
    with serving(plan=lambda number, body: Fault(status=200, body=reply)) as server:
        model = {"model": "openai/vectors", "api_base": server.url, "api_key": "k"}
        spec = dense(tmp_path, models={"task": "embedded/icl", "embed": model})
        models = stack_for(spec, sleep=no_sleep)
        [found] = Asking(spec, [("docs", "cat", 1)], models=models).run()
    assert failure(found).startswith(f"provider: {said}")


def test_vectors_of_another_length_are_an_error(tmp_path):
    def reply(request):
        vectors = [letters(message.content) for message in request.messages]
        return text(packed(vectors if len(vectors) > 1 else [vectors[0][:3]]))

    models = ScriptedModels(reply)
    [found] = Asking(dense(tmp_path, models=EMBED), [("docs", "cat", 1)], models=models).run()
    assert failure(found) == "provider: embed gave vectors of 26 and of 3 dimensions"


# hybrid


def passage(name):
    return Passage(id=name, text=name, score=0.0)


def test_ranks_are_fused_as_cormack_et_al_do():
    """Worked by hand: 1 / (60 + rank), summed over the rankings."""
    first, second = [passage(name) for name in "abc"], [passage(name) for name in "cbd"]
    assert [(one.id, one.score) for one in fused([first, second], 60)] == [
        ("c", pytest.approx(1 / 63 + 1 / 61)),
        ("b", pytest.approx(1 / 62 + 1 / 62)),
        ("a", pytest.approx(1 / 61)),
        ("d", pytest.approx(1 / 63)),
    ]


def test_of_equal_ranks_the_earlier_retriever_decides():
    assert [one.id for one in fused([[passage("a")], [passage("b")]], 60)] == ["a", "b"]


HYBRID = {
    "docs": {"hybrid": {"retrievers": ["words", "vectors"]}},
    "words": {"bm25": {"documents": "docs.jsonl"}},
    "vectors": {"dense": {"documents": "docs.jsonl"}},
}


def test_a_hybrid_asks_the_others_and_hands_the_filter_on(tmp_path):
    written(tmp_path)
    spec = the_spec(tmp_path, HYBRID)
    found = Asking(spec, [("docs", ["hunt night", "Milch"], 2), ("docs", "hunt", 5, {"lang": "de"})]).run()
    assert [hit["id"] for hit in found[0][0]] == ["bat", "dog"]
    assert found[0][1][0]["id"] == "kuh"
    assert found[0][1][0]["score"] == pytest.approx(2 / 61)
    assert {hit["id"] for hit in found[1][0]} <= {"kuh"}


# colbert, http


def told(entry, reply, asks, **options):
    """What rows find at a server that answers with this JSON, and the server."""
    options = {"faults": {}, "plan": (), **options}
    plan, environment = options.pop("plan"), options.pop("environment", None)
    with serving(reply if callable(reply) else lambda body: reply, bare=True, plan=plan) as server:
        [(kind, params)] = entry.items()
        spec = the_spec(Path("/nowhere"), {"docs": {kind: {"url": f"{server.url}/search", **params}}},
                        run={"cache": False, "retries": options.pop("retries", 0)})  # fmt: skip
        asking = Asking(
            spec, asks, environment=environment, **{k: v for k, v in options.items() if k != "faults"}
        )
        return asking.run(), server


TOPK = {
    "topk": [
        {"pid": 7, "text": "Cats | they hunt", "score": 21.5, "prob": 0.8, "rank": 1},
        {"pid": 9, "text": "B"},
    ]
}


@pytest.mark.parametrize("method", ["get", "post"])
def test_colbert_speaks_as_dspys_client_does(method):
    [[hits]], server = told({"colbert": {"method": method}}, TOPK, [("docs", "cats & dogs", 2)])
    assert hits == [
        {"id": "7", "text": "Cats | they hunt", "score": 21.5, "meta": {"prob": 0.8, "rank": 1}},
        {"id": "9", "text": "B", "score": 0.5, "meta": {}},
    ]
    assert server.seen[-1] == {"query": "cats & dogs", "k": "2" if method == "get" else 2}


def test_colbert_refuses_filters_and_what_is_no_colbert_server():
    [found], _ = told({"colbert": {}}, TOPK, [("docs", "x", 2, {"a": 1})])
    assert failure(found) == "tool: retriever docs: a ColBERT server has no filters"
    [found], _ = told({"colbert": {}}, {"error": True, "message": "index is loading"}, [("docs", "x", 2)])
    assert failure(found) == "tool: retriever docs: the reply has no `topk`: index is loading"
    [found], _ = told({"colbert": {}}, [], [("docs", "x", 2)])
    assert failure(found) == "tool: retriever docs: the reply has no `topk`, so it is no ColBERT server"


def test_http_sends_and_reads_what_the_service_calls_its_own():
    entry = {"http": {"query": "q", "count": "size", "filter": "where", "parameters": {"index": "a"},
                      "hits": "found.items", "text": "doc.body", "id": "doc.nr", "score": "weight"}}  # fmt: skip

    def reply(body):
        assert body == {"q": body["q"], "size": 3, "where": {"lang": "de"}, "index": "a"}
        hits = [
            {"doc": {"body": f"{body['q']} {n}", "nr": n}, "weight": 10 - n, "lang": "de"} for n in range(5)
        ]
        return {"found": {"items": hits}}

    [found], server = told(entry, reply, [("docs", ["a", "b"], 3, {"lang": "de"})])
    assert [[hit["id"] for hit in hits] for hits in found] == [["0", "1", "2"]] * 2
    assert found[1][2] == {"id": "2", "text": "b 2", "score": 8.0, "meta": {"lang": "de"}}
    assert server.requests == 2


def test_http_makes_up_what_a_service_does_not_say():
    [[hits]], _ = told({"http": {}}, ["first", {"text": "second", "meta": {"a": 1}}], [("docs", "x")])
    assert [(hit["text"], hit["score"], hit["meta"]) for hit in hits] == [
        ("first", 1.0, {}),
        ("second", 0.5, {"a": 1}),
    ]
    assert len({hit["id"] for hit in hits}) == 2


@pytest.mark.parametrize(
    ("params", "reply", "said"),
    [
        ({}, {"results": [], "took": 3},
         "the reply is an object with results, took: say under hits: which of these holds the list"),
        ({"hits": "items"}, {"results": []}, "the reply has nothing at `items`: it is an object with results"),
        ({}, "x", 'expected a list of hits, found "x"'),
        ({}, [3], "hit 1 is 3, neither a text nor an object"),
        ({}, [{"body": "x"}], "hit 1 has no text at `text`: its keys are body"),
    ],
)  # fmt: skip
def test_http_says_what_it_cannot_read(params, reply, said):
    [found], _ = told({"http": params}, reply, [("docs", "x")])
    assert failure(found) == f"tool: retriever docs: {said}"


def test_a_service_is_asked_again_where_that_may_help():
    [[hits]], server = told({"http": {}}, ["x"], [("docs", "x")], plan=["503", "429"], retries=3)
    assert (hits[0]["text"], server.requests) == ("x", 3)
    [found], server = told({"http": {}}, ["x"], [("docs", "x")], plan=["400", "400"], retries=3)
    assert failure(found) == "tool: retriever docs: HTTP 400: messages[0].role is not known"
    assert server.requests == 1
    [found], _ = told({"http": {}}, ["x"], [("docs", "x")], plan=["text", "page"], retries=0)
    assert found


def test_a_reply_that_is_not_json_is_shown():
    [found], _ = told({"http": {}}, ["x"], [("docs", "x")], plan=[Fault(status=200, body="<p>no</p>")])
    assert failure(found) == "tool: retriever docs: the reply is not JSON: <p>no</p>"


@pytest.mark.parametrize(
    ("fault", "said", "hint"),
    [
        ("401", "HTTP 401: Incorrect API key provided", "check the key and the headers of the retriever"),
        ("404", "HTTP 404: The model `nothing` does not exist", "there is nothing at URL: correct url"),
        ("redirect", "HTTP 302: no explanation", "URL sends to https://login.example/: correct url"),
    ],
)  # fmt: skip
def test_a_service_that_can_never_answer_ends_the_run(fault, said, hint):
    with pytest.raises(Untrusted) as caught:
        told({"http": {}}, ["x"], [("docs", "x")], plan=[fault])
    assert caught.value.message == f"retriever docs: {said}"
    assert caught.value.hint.replace(_url_in(caught.value.hint), "URL") == hint


def _url_in(hint):
    return next((word.rstrip(":") for word in hint.split() if word.startswith("http://")), "URL")


def test_a_service_that_is_not_there_ends_the_run():
    spec = the_spec(
        Path("/nowhere"), {"docs": {"http": {"url": "http://127.0.0.1:9/search"}}}, run={"cache": False}
    )
    with pytest.raises(Untrusted) as caught:
        Asking(spec, [("docs", "x")]).run()
    assert (
        caught.value.message == "retriever docs: cannot reach http://127.0.0.1:9/search: connection refused"
    )
    assert caught.value.hint == "is the server running, and is url right?"


def test_a_secret_is_sent_and_kept_out_of_what_comes_back():
    entry = {"http": {"headers": {"Authorization": "Bearer ${env:SEARCH_KEY}"}}}
    [[hits]], server = told(
        entry, ["the key is s3cret-value"], [("docs", "x")], environment={"SEARCH_KEY": "s3cret-value"}
    )
    assert server.headers[-1]["Authorization"] == "Bearer s3cret-value"
    assert hits[0]["text"] == "the key is [redacted:SEARCH_KEY]"
    with pytest.raises(Untrusted, match="Authorization needs the environment variable SEARCH_KEY"):
        told(entry, [], [("docs", "x")])


def test_a_remote_search_is_recorded_with_its_failures_and_never_asked_again(tmp_path):
    asks = [("docs", "good"), ("docs", "bad"), ("docs", "good")]
    journal = tmp_path / "calls.sqlite"

    def reply(body):
        return ["fine"] if body["query"] == "good" else {"not": "a list"}

    with serving(reply, bare=True) as server:
        spec = the_spec(tmp_path, {"docs": {"http": {"url": server.url}}})
        first = Asking(spec, asks, path=journal).run()
        assert server.requests == 2
        assert Asking(spec, asks, path=journal, workers=1).run() == first
        assert Asking(spec, asks, path=journal, offline=True).run() == first
        assert server.requests == 2
        with pytest.raises(Untrusted, match="the result of a search is not recorded"):
            Asking(spec, [("docs", "new")], path=tmp_path / "other.sqlite", offline=True).run()
    assert failure(first[1]).startswith("tool: retriever docs: the reply is an object")


# python


class Hooks:
    """The user's functions, in this process."""

    def __init__(self, function):
        self.function = function
        self.asked = []

    async def call(self, reference, payload):
        self.asked.append((reference, payload))
        return self.function(**payload)


def test_a_function_finds_passages_and_is_recorded(tmp_path):
    spec = the_spec(tmp_path, {"docs": {"python": {"function": "s.py:search"}}})
    hooks = Hooks(
        lambda queries, k, filter: [[f"{q} {k}", {"text": "t", "id": 5, "score": 2}] for q in queries]
    )
    asks = [("docs", ["a", "b"], 3, {"x": 1})]
    journal = tmp_path / "calls.sqlite"
    [found] = Asking(spec, asks, hooks=hooks, path=journal).run()
    assert [hit["text"] for hit in found[0]] == ["a 3", "t"]
    assert found[1][1] == {"id": "5", "text": "t", "score": 2.0, "meta": {}}
    assert hooks.asked == [("s.py:search", {"queries": ["a", "b"], "k": 3, "filter": {"x": 1}})]
    assert Asking(spec, asks, hooks=hooks, path=journal).run() == [found]
    assert len(hooks.asked) == 1


def test_a_function_that_returns_something_else_fails_the_row(tmp_path):
    spec = the_spec(tmp_path, {"docs": {"python": {"function": "s.py:search"}}})
    [found] = Asking(spec, [("docs", "a")], hooks=Hooks(lambda **_: ["a", "b"])).run()
    assert failure(found) == (
        "hook: retriever docs: s.py:search must return a list with one list of passages for each of 1 queries"
    )


# qdrant, chroma


@pytest.mark.parametrize("kind", ["qdrant", "chroma"])
@pytest.mark.parametrize("models", [{"task": "embedded/icl"}, EMBED])
def test_a_store_in_this_process_finds_what_dense_finds(tmp_path, kind, models):
    asks = [
        ("docs", ["hunt at night", "Milch"], 2),
        ("docs", "hunt", 5, {"year": {"gt": 1990, "lte": 2010}}),
        ("docs", "hunt", 5, {"lang": ["de", "fr"]}),
        ("docs", "hunt", 5, {"lang": "en", "year": 2020}),
    ]
    written(tmp_path, [document for document in DOCUMENTS if document["text"]])
    spec = the_spec(tmp_path, {"docs": {kind: {"documents": "docs.jsonl"}}}, models=models)
    plain = the_spec(tmp_path, {"docs": {"dense": {"documents": "docs.jsonl"}}}, models=models)
    journal = tmp_path / "calls.sqlite"
    found = Asking(spec, asks, models=Embedder(), path=journal).run()
    expected = Asking(plain, asks, models=Embedder()).run()
    for mine, others in zip(found, expected, strict=True):
        for hits, wanted in zip(mine, others, strict=True):
            wanted_ids = [hit["id"] for hit in wanted]
            assert [hit["id"] for hit in hits][: len(wanted)] == wanted_ids
            for hit, other in zip(hits, wanted, strict=False):
                assert hit["score"] == pytest.approx(other["score"], abs=1e-4)
                assert hit["text"] == other["text"]
                assert hit["meta"]["lang"] == other["meta"]["lang"]
    replayed = Embedder()
    assert Asking(spec, asks, models=replayed, path=journal, workers=1).run() == found
    assert replayed.asked == []


@pytest.mark.parametrize(
    ("kind", "where", "said"),
    [
        ("qdrant", {"tags": "pet"}, ["dog"]),
        ("qdrant", {"year": 1990.0}, ["cat"]),
        ("qdrant", {"tags": None}, ["cat", "kuh"]),
        ("qdrant", {"lang": {"gt": "d"}}, "Qdrant compares numbers and dates, not the bounds of lang"),
        ("chroma", {"lang": {"gt": "d"}}, "Chroma cannot compare texts with < and > (filter lang)"),
        ("chroma", {"lang": None}, "Chroma cannot compare null (filter lang)"),
        ("chroma", {"lang": {"about": 1}},
         "filter lang: unknown comparison `about`; one of: gt, gte, lt, lte"),
    ],
)  # fmt: skip
def test_a_store_filters_as_far_as_it_can(tmp_path, kind, where, said):
    written(tmp_path, [document for document in DOCUMENTS if document["text"]])
    spec = the_spec(tmp_path, {"docs": {kind: {"documents": "docs.jsonl"}}})
    [found] = Asking(spec, [("docs", "cat dog Milch", 9, where)]).run()
    if isinstance(said, list):
        assert sorted(hit["id"] for hit in found[0]) == said
    else:
        assert failure(found) == f"tool: retriever docs: {said}"


def test_a_qdrant_server_is_asked_with_vectors_and_a_filter(tmp_path):
    point = {"id": 4, "version": 1, "score": 0.9, "payload": {"body": "they hunt", "lang": "en"}}
    with serving(
        lambda body: {"result": {"points": [point]}, "status": "ok", "time": 0.1}, bare=True
    ) as server:
        address = server.url.removesuffix("/v1")
        params = {
            "url": address,
            "collection": "pets",
            "text": "body",
            "vector": "dense",
            "api_key": "${env:Q_KEY}",
        }
        spec = the_spec(tmp_path, {"docs": {"qdrant": params}}, models=EMBED)
        asking = Asking(spec, [("docs", "cat", 2, {"lang": "en", "year": {"gte": 3}})], models=Embedder(),
                        environment={"Q_KEY": "qdrant-key"})  # fmt: skip
        [[hits]] = asking.run()
        assert server.paths[-1] == "/collections/pets/points/query"
        assert server.headers[-1]["api-key"] == "qdrant-key"
        body = server.seen[-1]
    assert hits == [{"id": "4", "text": "they hunt", "score": 0.9, "meta": {"lang": "en"}}]
    assert (body["limit"], body["using"], len(body["query"])) == (2, "dense", 26)
    assert body["filter"] == {
        "must": [
            {"should": [{"key": "lang", "match": {"value": "en"}}]},
            {"key": "year", "range": {"gte": 3}},
        ]
    }


def test_what_is_no_qdrant_server_ends_the_run(tmp_path):
    with serving(lambda body: {"points": []}, bare=True) as server:
        params = {"url": server.url, "collection": "pets"}
        spec = the_spec(tmp_path, {"docs": {"qdrant": params}}, models=EMBED)
        with pytest.raises(Untrusted, match="does not answer like a Qdrant server"):
            Asking(spec, [("docs", "cat")], models=Embedder()).run()


def test_a_qdrant_server_that_is_not_there_ends_the_run(tmp_path):
    params = {"url": "http://127.0.0.1:9", "collection": "pets"}
    spec = the_spec(tmp_path, {"docs": {"qdrant": params}}, models=EMBED, run={"retries": 0})
    with pytest.raises(Untrusted) as caught:
        Asking(spec, [("docs", "cat")], models=Embedder()).run()
    assert caught.value.message.startswith("retriever docs: cannot reach http://127.0.0.1:9")

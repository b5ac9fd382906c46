"""Retrievers in a spec: what is checked before anything runs, what a run is, and pipelines at the command line."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from loopback import serving
from retrieving import DOCUMENTS, Asking, Embedder, failure, the_spec, written
from workplace import Workplace

from promptc.cli.checking import check
from promptc.cli.loading import load as open_spec
from promptc.runners.build import build_program
from promptc.runners.extras import lacking
from promptc.runners.identity import run_identity
from promptc.runners.plugins import build
from promptc.runners.retrievers.checking import retriever_findings
from promptc.runners.retrievers.embedding import embedding_names, vector_calls
from promptc.runners.retrievers.registry import RETRIEVERS
from promptc.runners.trust import code_of
from promptc.spec.errors import SpecError, Untrusted
from promptc.spec.load import load
from promptc.spec.plugin import Plugin

SPEC = """version: 1
models: {task: embedded/icl}
data: {rows: [{q: x, answer: y}]}
retrievers:
  docs: %s
  other: {bm25: {documents: docs.jsonl}}
inputs: {q: string}
pipeline:
  - {step: search, retrieve: docs, k: 2, inputs: {query: inputs.q}%s}
  - {step: tell, signature: "context: list[str], q -> answer", inputs: {context: search.passages, q: inputs.q}}
metrics: [exact_match]
"""


def found_in(folder: Path, retriever: str, more: str = "", models: str = "") -> list[tuple[int, str, str]]:
    """Line, message and hint of all findings."""
    text = SPEC % (retriever, more)
    if models:
        text = text.replace("{task: embedded/icl}", f"{{task: embedded/icl, {models}}}")
    (folder / "spec.yaml").write_text(text)
    try:
        found = check(open_spec(folder / "spec.yaml", environment={}))
    except SpecError as error:
        found = error.diagnostics
    return [(f.position.line if f.position else 0, f.message, f.hint) for f in found]


@pytest.mark.parametrize(
    ("retriever", "more", "line", "message", "hint"),
    [
        ('{bm26: {documents: docs.jsonl}}', '', 5, 'unknown retriever "bm26"', 'did you mean "bm25"?'),
        ('bm25', '', 5, 'the retriever "bm25" needs documents', 'write bm25: {documents: "corpus.jsonl"}'),
        ('{bm25: {documents: dogs.jsonl}}', '', 5, 'cannot be read', 'did you mean docs.jsonl?'),
        ('{bm25: {documents: docs.jsonl, text: body}}', '', 0, '', ''),
        ('{bm25: {documents: docs.jsonl, b: 2}}', '', 5, '2 is too large: at most 1', ''),
        ('{bm25: {documents: docs.jsonl, langauge: en}}', '', 5,
         'unknown key "langauge"', 'did you mean "language"?'),
        ('{bm25: {documents: docs.jsonl, language: english}}', '', 5,
         '"english" is not one of the allowed values', ''),
        ('{bm25: {documents: docs.jsonl, k: 0}}', '', 5, '0 is too small', ''),
        ('{dense: {documents: docs.jsonl, model: embbed}}', '', 5,
         'no model is called "embbed"', 'did you mean "embed"?'),
        ('{dense: {documents: docs.jsonl, model: embedded/icl}}', '', 0,
         'embedded/icl makes no vectors', 'leave it out'),
        ('{hybrid: {retrievers: [other, third]}}', '', 5, 'no retriever is called "third"', 'one of: docs, other'),
        ('{hybrid: {retrievers: [other, docs]}}', '', 5, 'docs would ask itself, through docs', ''),
        ('{hybrid: {retrievers: [other]}}', '', 5, 'the list has fewer than 2 entries', ''),
        ('{qdrant: {collection: x}}', '', 5, 'qdrant needs url: and collection:, or documents:', ''),
        ("{qdrant: {url: 'http://x'}}", '', 5, 'qdrant needs the collection: to search at http://x', ''),
        ("{chroma: {url: 'http://x', collection: c}}", '', 5,
         'nothing says which model made the vectors', 'add models:'),
        ('{colbert: {url: localhost}}', '', 5, '"localhost"', ''),
        ('{python: {function: search.py:find}}', '', 5, 'there is no file search.py', ''),
        ("{http: {url: 'http://x', headers: {Authorization: Bearer sk-abcdef0123456789abcdef}}}", '', 5,
         'a credential is written out here', 'write ${env:API_KEY}'),
        ('{bm25: {documents: docs.jsonl}}', ', filter: {year: {about: 3}}', 9, 'unknown comparison `about`', ''),
        ('{bm25: {documents: docs.jsonl}}', ', filter: {yeer: 3}', 9,
         'filter: no document has the field `yeer`', ''),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place_before_anything_runs(
    tmp_path, retriever, more, line, message, hint
):
    written(tmp_path)
    if not message:
        from promptc.spec.errors import DataError

        with pytest.raises(DataError, match=r"docs\.jsonl:1: the document has no `body`") as caught:
            found_in(tmp_path, retriever, more)
        assert "name the one with the text under text:" in caught.value.hint
        return
    found = found_in(tmp_path, retriever, more)
    assert found, "nothing was found"
    assert found[0][0] == line
    assert message in found[0][1]
    assert hint in found[0][2]


def test_a_retriever_that_nobody_has_declared_is_told(tmp_path):
    written(tmp_path)
    text = (SPEC % ("{bm25: {documents: docs.jsonl}}", "")).replace("retrieve: docs", "retrieve: dcos")
    _, findings = load(text, file="spec.yaml", base=tmp_path, environment={})
    assert [(f.message, f.hint) for f in findings] == [
        ('no retriever is called "dcos"', 'did you mean "docs"?')
    ]


def test_every_kind_is_a_frozen_struct_that_reads_back_from_the_resolved_spec(tmp_path):
    written(tmp_path)
    (tmp_path / "s.py").write_text("def search(queries, k, filter):\n    return [[] for _ in queries]\n")
    kinds: dict[str, Any] = {
        "bm25": {"documents": "docs.jsonl", "language": "de", "k": 7},
        "dense": {"documents": "docs.jsonl", "dimensions": 64},
        "hybrid": {"retrievers": ["bm25", "dense"], "constant": 10.0},
        "qdrant": {"documents": "docs.jsonl"},
        "chroma": {"documents": "docs.jsonl", "fields": ["text", "lang"]},
        "colbert": {"url": "http://localhost:1/s"},
        "http": {"url": "http://localhost:1/s", "headers": {"X-Key": "${env:KEY}"}},
        "python": {"function": "s.py:search"},
    }
    assert kinds.keys() == RETRIEVERS.keys()
    spec = the_spec(tmp_path, {name: {name: params} for name, params in kinds.items()})
    assert retriever_findings(spec) == []
    assert spec.retrievers["bm25"].k == 7
    again, findings = load(json.dumps(spec.resolved), file="r.yaml", base=tmp_path, environment={})
    assert findings == ()
    assert again == spec
    assert again.retrievers["bm25"].plugin.params == spec.retrievers["bm25"].plugin.params
    for use in spec.retrievers.values():
        kind = build(RETRIEVERS, use.plugin)
        assert kind == build(RETRIEVERS, use.plugin)
        with pytest.raises(AttributeError):
            kind.anything = 1


def test_documents_are_part_of_what_a_run_is(tmp_path):
    path = written(tmp_path)
    spec = the_spec(tmp_path, {"docs": {"bm25": {"documents": "docs.jsonl"}}})

    def identity() -> str:
        start = build_program(spec).start()
        return run_identity(spec, command="eval", selection={}, data="", hooks={}, start=start)

    first = identity()
    assert identity() == first
    path.write_text(path.read_text().replace("mice", "rats"))
    assert identity() != first


def test_documents_and_addresses_may_come_from_the_environment(tmp_path):
    written(tmp_path)
    tree = {
        "version": 1,
        "models": {"task": "embedded/icl"},
        "retrievers": {"docs": {"bm25": {"documents": "${env:FOLDER}/docs.jsonl"}}},
        "inputs": {"q": "string"},
        "pipeline": [{"step": "s", "retrieve": "docs", "inputs": {"query": "inputs.q"}}],
    }
    spec, findings = load(
        json.dumps(tree), file="s.yaml", base=Path("/"), environment={"FOLDER": str(tmp_path)}
    )
    assert findings == ()
    assert spec.retrievers["docs"].plugin.params["documents"] == str(tmp_path / "docs.jsonl")


def test_a_function_that_searches_has_to_be_trusted(tmp_path):
    (tmp_path / "s.py").write_text("def search(queries, k, filter):\n    return [[] for _ in queries]\n")
    spec = the_spec(tmp_path, {"docs": {"python": {"function": "s.py:search"}}})
    [use] = code_of(spec)
    assert (use.reference, use.used_by, use.arguments) == (
        "s.py:search",
        "retriever `docs`",
        ("queries", "k", "filter"),
    )


@pytest.mark.parametrize(
    ("retrievers", "models", "names", "calls"),
    [
        ({"docs": {"dense": {"documents": "d"}}}, {}, (), 0),
        ({"docs": {"dense": {"documents": "d"}}}, {"embed": "openai/e"}, ("embed",), 1),
        ({"docs": {"dense": {"documents": "d", "model": "openai/f"}}}, {}, ("openai/f",), 1),
        (
            {
                "docs": {"hybrid": {"retrievers": ["a", "b"]}},
                "a": {"dense": {"documents": "d"}},
                "b": {"bm25": {"documents": "d"}},
            },
            {"embed": "openai/e"},
            ("embed",),
            1,
        ),
    ],
)  # fmt: skip
def test_what_a_row_asks_of_embedding_models_is_known_beforehand(tmp_path, retrievers, models, names, calls):
    spec = the_spec(tmp_path, retrievers, models={"task": "embedded/icl", **models})
    assert embedding_names(spec) == names
    assert vector_calls(spec) == calls


def test_searches_in_loops_and_under_foreach_count_as_often_as_they_may_happen(tmp_path):
    pipeline = [
        {"step": "each", "retrieve": "docs", "foreach": {"over": "['a']", "max": 3}, "inputs": {"query": "item"}},
        {"step": "hop", "loop": {"max": 4, "steps": [
            {"step": "s", "retrieve": "docs", "inputs": {"query": "inputs.q"}},
        ]}},
    ]  # fmt: skip
    spec = the_spec(
        tmp_path,
        {"docs": {"dense": {"documents": "d"}}},
        models={"task": "embedded/icl", "embed": "openai/e"},
        pipeline=pipeline,
        outputs={"hits": "each.hits"},
    )
    assert vector_calls(spec) == 7


def test_a_missing_package_is_named_with_what_installs_it():
    assert lacking("the retriever qdrant", ("no_such_package",), "qdrant") == (
        'the retriever qdrant needs the package no_such_package: pip install "promptc[qdrant]"'
    )
    assert lacking("x", ("json", "sys"), "x") == ""


# programs within programs

INNER = {
    "version": 1,
    "name": "inner",
    "models": {"task": "embedded/icl"},
    "inputs": {"question": "string"},
    "retrievers": {
        "docs": {"hybrid": {"retrievers": ["words", "vectors"], "depth": 5}},
        "words": {"bm25": {"documents": "docs.jsonl"}},
        "vectors": {"python": {"function": "s.py:search"}},
    },
    "pipeline": [{"step": "find", "retrieve": "docs", "k": 1, "inputs": {"query": "inputs.question"}}],
}


def test_a_program_brings_its_retrievers_along_under_its_own_name(tmp_path):
    folder = tmp_path / "inner"
    folder.mkdir()
    written(folder)
    (folder / "s.py").write_text(
        "def search(queries, k, filter):\n    return [['from a function'] for _ in queries]\n"
    )
    (folder / "spec.yaml").write_text(json.dumps(INNER))
    pipeline = [{"step": "sub", "program": "inner/spec.yaml", "inputs": {"question": "inputs.q"}}]
    spec = the_spec(tmp_path, {"docs": {"bm25": {"documents": "inner/docs.jsonl"}}}, pipeline=pipeline)
    assert set(spec.retrievers) == {"docs", "sub.docs", "sub.words", "sub.vectors"}
    assert spec.retrievers["sub.docs"].plugin.params["retrievers"] == ["sub.words", "sub.vectors"]
    assert [use.reference for use in code_of(spec)] == ["inner/s.py:search"]
    assert retriever_findings(spec) == []
    again, findings = load(json.dumps(spec.resolved), file="r.yaml", base=tmp_path, environment={})
    assert findings == ()
    assert again == spec
    assert set(again.retrievers) == set(spec.retrievers)

    class Hooks:
        async def call(self, reference: str, payload: Any) -> Any:
            return [["from a function"] for _ in payload["queries"]]

    [[hits]] = Asking(spec, [("sub.docs", "mice", 2)], hooks=Hooks()).run()
    assert [hit["text"] for hit in hits] == [DOCUMENTS[0]["text"], "from a function"]


# at the command line


def rag_spec(**keys: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "name": "pets",
        "models": {"task": "embedded/icl"},
        "data": {"path": "rows.jsonl"},
        "retrievers": {"docs": {"bm25": {"documents": "docs.jsonl", "k": 2}}},
        "inputs": {"question": "string"},
        "pipeline": [{"step": "search", "retrieve": "docs", "inputs": {"query": "inputs.question"}}],
        "outputs": {"hits": "search.hits"},
        "metrics": [
            {"recall_at_k": {"field": "hits", "k": 2, "expected": "docs"}},
            {"mrr": {"step": "search", "expected": "docs", "weight": 0}},
        ],
        **keys,
    }


ROWS = [
    {"id": "q1", "question": "What hunts mice?", "docs": ["cat"]},
    {"id": "q2", "question": "Who guards the house?", "docs": ["dog", "kuh"]},
    {"id": "q3", "question": "Käse", "docs": ["kuh"]},
]


@pytest.fixture
def place(tmp_path):
    opened = Workplace(tmp_path, None)
    opened.write("rows.jsonl", ROWS)
    opened.write("docs.jsonl", DOCUMENTS)
    opened.write("spec.yaml", rag_spec())
    return opened


def test_a_pipeline_that_only_retrieves_is_scored(place):
    done = place.run("eval", "--json", "-o", "run", "--split", "all")
    assert done.code == 0, done
    assert done.document["all"]["score"] == pytest.approx((1 + 0.5 + 1) / 3)
    assert done.document["all"]["metrics"]["mrr"]["score"] == pytest.approx(1.0)
    assert done.document["calls"] == 0
    rows = {
        row["id"]: row for row in map(json.loads, (place.folder / "run/rows.jsonl").read_text().splitlines())
    }
    assert rows["q2"]["feedback"]["recall_at_k"].startswith("missing `kuh`: found `dog`")


def test_other_documents_make_another_run_and_the_same_ones_do_not(place):
    first = place.run("eval", "--json").document["identity"]
    assert place.run("eval", "--json").document["identity"] == first
    place.write("docs.jsonl", DOCUMENTS[1:])
    assert place.run("eval", "--json").document["identity"] != first


def test_the_same_bytes_for_any_number_of_workers_and_on_replay(place):
    results = []
    for jobs in ("1", "8", "64"):
        place.run("eval", "--split", "all", "-o", f"run{jobs}", "-j", jobs)
        results.append(place.result(f"run{jobs}"))
    assert results[0] == results[1] == results[2]


def test_embeddings_of_a_server_are_planned_counted_and_cached(place):
    with serving() as server:
        embed = {
            "model": "openai/vectors",
            "api_base": server.url,
            "api_key": "none",
            "price": {"input": 1, "output": 0},
        }
        place.write("spec.yaml", rag_spec(
            models={"task": "embedded/icl", "embed": embed},
            retrievers={"docs": {"dense": {"documents": "docs.jsonl", "batch": 2}}},
        ))  # fmt: skip
        planned = place.run("plan", "--json").document
        assert planned["forecasts"][0]["calls"]["embed"] == [3 + 3, 3 + 3]
        assert planned["forecasts"][0]["usd"][1] > 0
        first = place.run("eval", "--json", "--split", "all", "-o", "run", "-j", "1")
        assert first.code == 0, first
        assert first.document["cost"]["embed"]["calls"] == 5
        assert server.requests == 5
        assert place.run("eval", "--json", "--split", "all", "-o", "again").code == 0
        assert server.requests == 5, "the cache has them"
        assert place.result("run") == place.result("again")
        doctor = place.run("doctor", "spec.yaml", "--json")
        assert doctor.code == 0, doctor


def test_a_budget_covers_embeddings_too(place):
    with serving() as server:
        embed = {"model": "openai/vectors", "api_base": server.url, "api_key": "none"}
        place.write("spec.yaml", rag_spec(
            models={"task": "embedded/icl", "embed": embed},
            retrievers={"docs": {"dense": {"documents": "docs.jsonl", "batch": 2}}},
            budget={"calls": 4},
            run={"cache": False},
        ))  # fmt: skip
        done = place.run("eval", "--split", "all", "-o", "run", "--json")
        assert server.requests <= 4
        assert done.document["calls"] == server.requests
        assert done.code == 7, done


def test_offline_says_what_is_not_recorded(place):
    place.write("spec.yaml", rag_spec(retrievers={"docs": {"http": {"url": "http://127.0.0.1:9/s"}}}))
    done = place.run("eval", "--offline")
    assert done.code == 6
    assert "retriever docs: the result of a search is not recorded" in done.err
    assert "run once without --offline" in done.err


def test_code_that_searches_runs_only_when_it_is_allowed(place):
    place.write(
        "s.py", "def search(queries, k, filter):\n    return [[{'id': 'cat', 'text': q}] for q in queries]\n"
    )
    place.write("spec.yaml", rag_spec(retrievers={"docs": {"python": {"function": "s.py:search"}}}))
    done = place.run("eval", "--split", "all")
    assert done.code == 2
    assert "s.py:search (retriever `docs`)" in done.err
    done = place.run("eval", "--split", "all", "--allow-code", "--json")
    assert done.document["all"]["score"] == pytest.approx(1 / 3)


def test_predicting_asks_retrievers_too(place):
    rows = place.write("new.jsonl", [{"id": "n", "question": "What hunts mice?"}])
    done = place.run("run", "spec.yaml", rows)
    assert [hit["id"] for hit in done.lines[0]["outputs"]["hits"]] == ["cat"]


# a real server


@pytest.fixture(scope="module")
def chroma_server(tmp_path_factory):
    """Chroma's own server, with a collection of the documents' letters; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = Path(sys.executable).parent / "chroma"
    arguments = [
        "run",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--path",
        str(tmp_path_factory.mktemp("chroma")),
    ]
    process = subprocess.Popen([command, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            try:
                urllib.request.urlopen(f"{address}/api/v2/heartbeat", timeout=1).close()
                break
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.05)
        _fill(address)
        yield address
    finally:
        process.terminate()
        process.wait(10)


def _fill(address: str) -> None:
    from retrieving import letters

    base = f"{address}/api/v2/tenants/default_tenant/databases/default_database/collections"
    own = _post(base, {"name": "pets", "configuration": {"hnsw": {"space": "cosine"}}})["id"]
    documents = [document for document in DOCUMENTS if document["text"]]
    _post(f"{base}/{own}/add", {
        "ids": [document["id"] for document in documents],
        "embeddings": [letters(document["text"]) for document in documents],
        "documents": [document["text"] for document in documents],
        "metadatas": [{"lang": document["lang"], "year": document["year"]} for document in documents],
    })  # fmt: skip


def _post(url: str, body: Any) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as reply:
        return json.load(reply)


EMBED = {"task": "embedded/icl", "embed": "openai/vectors"}


def test_a_chroma_server_finds_what_dense_finds(tmp_path, chroma_server):
    written(tmp_path, [document for document in DOCUMENTS if document["text"]])
    chroma = {"chroma": {"url": chroma_server, "collection": "pets"}}
    spec = the_spec(tmp_path, {"docs": chroma, "plain": {"dense": {"documents": "docs.jsonl"}}}, models=EMBED)
    for ask in [("mice at night", 3, None), ("Milch", 2, {"year": {"gte": 2000}, "lang": ["de", "en"]})]:
        [mine], [plain] = Asking(spec, [("docs", *ask), ("plain", *ask)], models=Embedder()).run()
        assert [hit["id"] for hit in mine] == [hit["id"] for hit in plain]
        assert [hit["text"] for hit in mine] == [hit["text"] for hit in plain]
        assert [hit["score"] for hit in mine] == pytest.approx([hit["score"] for hit in plain], abs=1e-4)
        assert mine[0]["meta"].keys() == {"lang", "year"}


def test_a_collection_that_a_chroma_server_does_not_have_ends_the_run(tmp_path, chroma_server):
    spec = the_spec(
        tmp_path, {"docs": {"chroma": {"url": chroma_server, "collection": "cows"}}}, models=EMBED
    )
    with pytest.raises(Untrusted, match="HTTP 404: Collection \\[cows\\] does not exist"):
        Asking(spec, [("docs", "x")], models=Embedder()).run()


def test_a_wrong_filter_is_the_rows_failure_at_a_chroma_server(tmp_path, chroma_server):
    spec = the_spec(
        tmp_path, {"docs": {"chroma": {"url": chroma_server, "collection": "pets"}}}, models=EMBED
    )
    [found] = Asking(spec, [("docs", "x", 2, {"year": [1, "a"]})], models=Embedder()).run()
    assert failure(found).startswith("tool: retriever docs: HTTP 4")


def test_parameters_of_a_plugin_that_do_not_go_together_are_told_by_build():
    with pytest.raises(SpecError):
        build(RETRIEVERS, Plugin(kind="retriever", name="chroma", params={}))

"""The cache: found again by anyone, harmful to no one."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptc.runners.models.cache import Cache
from promptc.runners.models.cache_file import cache_path
from promptc.runners.models.cached import Cached
from promptc.runners.models.request import CallFailed, Completion, Message, Request, Usage
from promptc.runners.models.secrets import Redactor
from promptc.runners.models.statistics import Statistics
from promptc.spec.errors import RunError, UsageError

SYSTEM = Message("system", "You route messages to a queue. " * 40)


def request(row: str = "hello", *, rollout: int = 0, model: str = "openai/x", **params: object) -> Request:
    return Request(model=model, messages=(SYSTEM, Message("user", row)), params=params, rollout=rollout)


def reply(text: str = "billing") -> Completion:
    return Completion(text=text, usage=Usage(100, 5, 50), cost=0.001, served_model="x-1", fingerprint="fp")


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def opened(tmp_path: Path, told: list[str]) -> Iterator[Callable[..., Cache]]:
    """Opens the same file each time, as another process would."""
    caches: list[Cache] = []

    def another(**options: Any) -> Cache:
        caches.append(Cache(tmp_path / "cache" / "replies.sqlite", warn=told.append, **options))
        return caches[-1]

    yield another
    for cache in caches:
        cache.close()


@pytest.mark.parametrize(
    ("environment", "path"),
    [
        ({"PROMPTC_CACHE_DIR": "/a", "XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/a/replies-1.sqlite"),
        ({"XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/b/promptc/replies-1.sqlite"),
        ({"HOME": "/c"}, "/c/.cache/promptc/replies-1.sqlite"),
    ],
)
def test_where_it_is(environment, path):
    assert cache_path(environment) == Path(path)


def test_a_reply_is_found_at_once_and_by_the_next_process(opened, told):
    cache = opened()
    assert cache.get(request().key()) is None
    cache.put(request(), reply())
    assert cache.get(request().key()) == reply()
    cache.close()
    assert opened().get(request().key()) == reply()
    assert told == []


@given(
    st.builds(
        Request,
        model=st.text(max_size=10),
        messages=st.lists(
            st.builds(
                Message, role=st.sampled_from(["system", "user", "assistant"]), content=st.text(max_size=30)
            ),
            min_size=1,
            max_size=5,
        ).map(tuple),
        params=st.dictionaries(
            st.text(max_size=5), st.one_of(st.integers(0, 9), st.text(max_size=5)), max_size=3
        ),
        rollout=st.integers(0, 2**40),
        endpoint=st.text(max_size=10),
    ),
    st.builds(Completion, text=st.text(), reasoning=st.text(max_size=5), cost=st.none() | st.floats(0, 1)),
)
@settings(max_examples=60, deadline=None)
def test_requests_and_replies_come_back_as_they_were(tmp_path_factory, asked, answered):
    cache = Cache(tmp_path_factory.mktemp("cache") / "c.sqlite", warn=pytest.fail)
    cache.put(asked, answered)
    cache.close()
    entry = cache.entries(asked.key().hex())[0]
    assert (entry.request, entry.completion) == (asked, answered)
    assert entry.request.key() == asked.key()


def test_only_its_owner_can_read_it(opened):
    cache = opened()
    cache.put(request(), reply())
    cache.close()
    assert stat.S_IMODE(cache.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(cache.path.parent.stat().st_mode) == 0o700


def test_old_replies_are_not_found_when_only_new_ones_are_wanted(opened):
    time = [1000.0]
    cache = opened(now=lambda: time[0])
    cache.put(request(), reply())
    cache.close()
    time[0] = 1500.0
    assert cache.get(request().key(), max_age=499.0) is None
    assert cache.get(request().key(), max_age=501.0) == reply()
    cache.put(request(), reply("newer"))
    cache.close()
    assert cache.get(request().key(), max_age=499.0) == reply("newer")


def test_what_a_candidate_sends_with_every_row_is_stored_once(opened):
    cache = opened()
    for row in range(200):
        asked = request(f"row {row}")
        cache.put(asked, reply())
        again = (*asked.messages, Message("assistant", "hm"), Message("user", "Answer with a label."))
        cache.put(Request(model="openai/x", messages=again), reply())
    cache.close()
    with sqlite3.connect(cache.path) as db:
        assert db.execute("SELECT count(*) FROM prefixes").fetchone() == (1,)
        assert db.execute("SELECT max(length(rest)) FROM replies").fetchone()[0] < 300
    db.close()
    assert cache.stats().replies == 400


WRITER = """
import sys, asyncio, pathlib
from promptc.runners.models.cache import Cache
from promptc.runners.models.request import *
cache = Cache(pathlib.Path(sys.argv[1]), warn=lambda text: sys.exit(text))
async def work():
    for n in range(400):
        row = n if n % 2 else n + 1000 * int(sys.argv[2])
        asked = Request(model="m", messages=(Message("system", "s" * 500), Message("user", f"row {row}")))
        if cache.get(asked.key()) is None:
            cache.put(asked, Completion(text=f"reply to {row}"))
        if n % 20 == 0:
            await asyncio.sleep(0.005)
asyncio.run(work())
cache.close()
"""


def test_many_processes_write_and_read_at_once(tmp_path):
    path = tmp_path / "c.sqlite"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(n)]) for n in range(4)]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0, 0]
    cache = Cache(path, warn=pytest.fail)
    assert cache.stats().replies == 4 * 200 + 200
    for row in (1, 399, 2, 3398):
        asked = Request(model="m", messages=(Message("system", "s" * 500), Message("user", f"row {row}")))
        found = cache.get(asked.key())
        assert found is not None
        assert found.text == f"reply to {row}"
    cache.close()


def test_another_process_that_writes_is_not_waited_for_while_requests_run(opened, told):
    cache = opened()
    cache.put(request("before"), reply())
    cache.close()
    other = sqlite3.connect(cache.path, isolation_level=None)

    async def work() -> float:
        loop = asyncio.get_running_loop()
        other.execute("BEGIN IMMEDIATE")
        cache.put(request("during"), reply())
        start = loop.time()
        longest = 0.0
        for _ in range(20):
            before = loop.time()
            assert cache.get(request("before").key()) == reply()
            await asyncio.sleep(0.005)
            longest = max(longest, loop.time() - before)
        assert cache.get(request("during").key()) == reply()
        other.execute("ROLLBACK")
        await asyncio.sleep(0.3)
        assert loop.time() - start > 0.3
        return longest

    assert asyncio.run(work()) < 1.0
    other.close()
    stored = sqlite3.connect(cache.path)
    assert stored.execute("SELECT count(*) FROM replies").fetchone() == (2,)
    stored.close()
    cache.close()
    assert told == []


@pytest.mark.parametrize(
    "content", [b"this is no database, but it is long enough to be read as one" * 20, b"\0" * 5000]
)
def test_a_damaged_file_is_moved_aside(opened, told, content):
    path = opened().path
    path.parent.mkdir()
    path.write_bytes(content)
    cache = opened()
    assert cache.get(request().key()) is None
    cache.put(request(), reply())
    cache.close()
    assert opened().get(request().key()) == reply()
    assert len(told) == 1
    assert "was damaged" in told[0]
    assert [aside.read_bytes() for aside in path.parent.glob("*.damaged-*")] == [content]


def test_damage_that_shows_later_costs_the_replies_and_not_the_run(opened, told):
    cache = opened()
    for row in range(500):
        cache.put(request(f"row {row} " * 20), reply())
    cache.close()
    content = bytearray(cache.path.read_bytes())
    content[4096 * 2 :] = b"\xff" * (len(content) - 4096 * 2)
    cache.path.write_bytes(content)
    again = opened()
    answers = [again.get(request(f"row {row} " * 20).key()) for row in range(500)]
    assert None in answers
    again.put(request("new"), reply())
    again.close()
    assert opened().get(request("new").key()) == reply()
    assert len(told) == 1


def test_a_place_where_nothing_can_be_written_switches_it_off_with_one_warning(tmp_path, told):
    (tmp_path / "file").write_text("")
    cache = Cache(tmp_path / "file" / "c.sqlite", warn=told.append)
    for row in range(5):
        cache.put(request(str(row)), reply())
        cache.get(request("other").key())
    cache.close()
    assert len(told) == 1
    assert "switched off for this run" in told[0]


FULL_DISK = """
import sys, resource, signal, pathlib
from promptc.runners.models.cache import Cache
from promptc.runners.models.request import *
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
cache = Cache(pathlib.Path(sys.argv[1]), warn=print)
cache.get(b"0" * 16)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
for n in range(3000):
    cache.put(Request(model="m", messages=(Message("user", "x" * 200 + str(n)),)), Completion(text="y"))
cache.close()
print("done")
"""


def test_a_full_disk_does_not_stop_the_run(tmp_path):
    work = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "c.sqlite")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert work.returncode == 0, work.stderr
    lines = work.stdout.splitlines()
    assert lines[-1] == "done"
    assert len(lines) == 2
    assert "switched off" in lines[0]


def test_secrets_in_rows_do_not_reach_the_file(opened):
    cache = opened(redactor=Redactor({"MY_KEY": "canary-0123456789"}))
    cache.put(request("my key is canary-0123456789", note="canary-0123456789"), reply())
    cache.put(
        Request(model="m", messages=(Message("system", "canary-0123456789"), Message("user", "x"))), reply()
    )
    assert cache.get(request("my key is canary-0123456789", note="canary-0123456789").key()) == reply()
    cache.close()
    assert all(b"canary" not in file.read_bytes() for file in cache.path.parent.iterdir())


def test_stats_count_what_is_there(opened):
    empty = opened().stats()
    assert (empty.replies, empty.bytes, empty.models, empty.oldest) == (0, 0, {}, None)
    time = [5.0]
    cache = opened(now=lambda: time[0])
    cache.put(request("a"), reply())
    time[0] = 9.0
    cache.put(request("b"), reply())
    cache.put(request("a", model="other/y"), reply())
    stats = cache.stats()
    assert stats.models == {"openai/x": 2, "other/y": 1}
    assert (stats.replies, stats.oldest, stats.newest) == (3, 5.0, 9.0)
    assert stats.bytes > 4096


def test_explain_names_the_reply_or_the_nearest_request_and_what_differs(opened):
    cache = opened()
    cache.put(request("hello", temperature=0.2), reply())
    cache.put(request("something else entirely", temperature=0.9, top_p=1), reply())
    assert cache.explain(request("hello", temperature=0.2)).found is not None
    explanation = cache.explain(request("hello", temperature=0.7, rollout=2))
    assert explanation.found is None
    assert explanation.nearest is not None
    assert explanation.nearest.request.messages[-1].content == "hello"
    assert explanation.differs == (
        "rollout: 0 is stored, 2 is asked",
        "params.temperature: 0.2 is stored, 0.7 is asked",
    )
    changed = cache.explain(request("hullo", temperature=0.2))
    assert changed.differs == ("messages[1] (user): from character 2: 'hello' is stored, 'hullo' is asked",)
    assert opened().explain(request(model="none")).nearest is not None


def test_entries_are_found_by_the_beginning_of_their_key(opened):
    cache = opened()
    cache.put(request(), reply())
    key = request().key().hex()
    for beginning in (key, key[:7], key[:8], ""):
        assert [entry.key for entry in cache.entries(beginning)] == [key]
    assert cache.entries(("0" if key[0] != "0" else "1") + key[1:]) == []
    with pytest.raises(UsageError, match="hex digits only"):
        cache.entries("xyz")


def test_prune_by_age_removes_the_old_and_their_prefixes(opened):
    time = [100.0]
    cache = opened(now=lambda: time[0])
    cache.put(Request(model="m", messages=(Message("system", "old"), Message("user", "x"))), reply())
    time[0] = 200.0
    cache.put(request(), reply())
    assert cache.prune(max_age=50.0) == 1
    assert cache.stats().replies == 1
    with sqlite3.connect(cache.path) as db:
        assert db.execute("SELECT count(*) FROM prefixes").fetchone() == (1,)
    db.close()
    assert cache.entries(request().key().hex())[0].request == request()


def test_prune_by_size_removes_the_oldest_until_it_fits(opened):
    time = [0.0]
    cache = opened(now=lambda: time[0])
    for row in range(1000):
        time[0] = float(row)
        cache.put(request(f"row {row} " * 20), reply())
    before = cache.stats().bytes
    removed = cache.prune(max_bytes=before // 2)
    stats = cache.stats()
    assert stats.bytes <= before // 2
    assert 300 < removed < 800
    assert stats.replies == 1000 - removed
    assert stats.oldest == float(removed)


def test_clear_removes_everything(opened):
    cache = opened()
    cache.put(request(), reply())
    assert cache.clear() == 1
    assert cache.get(request().key()) is None
    assert cache.clear() == 0
    cache.put(request(), reply())
    cache.close()
    assert cache.entries("")[0].request == request()


def test_export_writes_a_line_per_reply(opened, tmp_path):
    cache = opened()
    cache.put(request("a", temperature=1), reply("one"))
    cache.put(request("b"), reply("two"))
    assert cache.export(tmp_path / "out.jsonl") == 2
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line["completion"]["text"] for line in lines] == ["one", "two"]
    assert lines[0]["request"]["messages"][1]["content"] == "a"
    assert lines[0]["request"]["params"] == {"temperature": 1}
    assert lines[0]["key"] == request("a", temperature=1).key().hex()


def test_a_command_on_an_unusable_cache_says_so(tmp_path):
    (tmp_path / "c.sqlite").mkdir()
    with pytest.raises(RunError, match="cannot be used") as failed:
        Cache(tmp_path / "c.sqlite", warn=pytest.fail).clear()
    assert "PROMPTC_CACHE_DIR" in failed.value.hint


class Counting:
    """Answers after a moment and counts; `fail` makes it refuse."""

    def __init__(self) -> None:
        self.asked = 0
        self.fail = False

    async def complete(self, request: Request) -> Completion:
        self.asked += 1
        await asyncio.sleep(0.01)
        if self.fail:
            raise CallFailed("no")
        return reply(f"answer {self.asked}")

    async def close(self) -> None:
        self.fail = True


def test_equal_requests_under_way_are_one_call(opened):
    inner, statistics = Counting(), Statistics()

    async def work() -> set[str]:
        layer = Cached(inner, None, statistics)
        return {
            completion.text
            for completion in await asyncio.gather(*(layer.complete(request()) for _ in range(50)))
        }

    assert asyncio.run(work()) == {"answer 1"}
    assert inner.asked == 1
    assert statistics.shared == 49


def test_equal_requests_share_a_failure_and_the_next_asks_again(opened):
    inner = Counting()
    cache = opened()
    layer = Cached(inner, cache, Statistics())

    async def work() -> list[str]:
        inner.fail = True
        failed = await asyncio.gather(*(layer.complete(request()) for _ in range(5)), return_exceptions=True)
        inner.fail = False
        return [*{str(error) for error in failed}, (await layer.complete(request())).text]

    assert asyncio.run(work()) == ["no", "answer 2"]
    cache.close()


def test_when_the_one_that_asks_is_cancelled_another_asks_in_its_place():
    inner = Counting()
    layer = Cached(inner, None, Statistics())

    async def work() -> list[str]:
        tasks = [asyncio.create_task(layer.complete(request())) for _ in range(5)]
        await asyncio.sleep(0.002)
        tasks[0].cancel()
        tasks[3].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        return [r.text if isinstance(r, Completion) else type(r).__name__ for r in results]

    assert asyncio.run(work()) == ["CancelledError", "answer 2", "answer 2", "CancelledError", "answer 2"]


@pytest.mark.parametrize(("fresh", "asked"), [(False, 1), (True, 2)])
def test_fresh_writes_and_reads_nothing(opened, fresh, asked):
    inner, statistics = Counting(), Statistics()
    cache = opened()
    layer = Cached(inner, cache, statistics, fresh=fresh)

    async def work() -> None:
        await layer.complete(request())
        await layer.complete(request())

    asyncio.run(work())
    cache.close()
    assert inner.asked == asked
    assert statistics.cache_hits == 2 - asked
    stored = opened().get(request().key())
    assert stored is not None
    assert stored.text == f"answer {asked}"

"""The user's functions: what they are given, what they may return, and that nothing they do breaks a run."""

from __future__ import annotations

import asyncio
import os
import signal
import textwrap
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from promptc.runners.failures import RowFailed
from promptc.runners.hook_source import check_reference, hook_digest, locate
from promptc.runners.hook_worker import CannotBind, Parameters
from promptc.runners.hooks import HookPool
from promptc.spec.errors import UsageError

PAYLOAD = {
    "row": {"text": "a", "queue": "x"},
    "prediction": {"queue": "y"},
    "trace": [{"predictor": "answer"}],
}
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nowhere",
    "OPENAI_API_KEY": "sk-secret",
    "PYTHONPATH": "/evil",
}


def project(folder: Path, **files: str) -> Path:
    for name, source in files.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source))
    return folder


def in_pool(base: Path, work: Callable[[HookPool], Awaitable[Any]], **options: Any) -> Any:
    async def run() -> Any:
        async with HookPool(base, environment=ENVIRONMENT, **options) as pool:
            return await work(pool)

    return asyncio.run(run())


def call(base: Path, function: str = "score", payload: Any = PAYLOAD, **options: Any) -> Any:
    return in_pool(base, lambda pool: pool.call(f"hook.py:{function}", payload), **options)


def failure(base: Path, function: str = "score", **options: Any) -> str:
    with pytest.raises(RowFailed) as caught:
        call(base, function, **options)
    assert caught.value.failure.kind == "hook"
    return caught.value.failure.message


# What a function is given


@pytest.mark.parametrize(
    ("signature", "returns", "value"),
    [
        ("row, prediction, trace", "[row['queue'], prediction['queue'], len(trace)]", ["x", "y", 1]),
        ("row, prediction", "[row['queue'], prediction['queue']]", ["x", "y"]),
        ("row", "row['queue']", "x"),
        ("prediction", "prediction['queue']", "y"),
        ("trace, row", "[len(trace), row['queue']]", [1, "x"]),
        ("example, pred", "[example['queue'], pred['queue']]", ["x", "y"]),
        ("example, pred, trace=None", "[example['queue'], pred['queue'], len(trace)]", ["x", "y", 1]),
        ("row, prediction, threshold=0.5", "threshold", 0.5),
        ("row, *, trace", "len(trace)", 1),
        ("row, *, trace=None, other=3", "[len(trace), other]", [1, 3]),
        ("*args", "len(args)", 3),
        ("**named", "sorted(named)", ["prediction", "row", "trace"]),
        ("row, **named", "sorted(named)", ["prediction", "trace"]),
        ("row, /", "row['queue']", "x"),
        ("", "True", True),
    ],
)
def test_arguments_are_given_by_name_or_in_order(
    tmp_path: Path, signature: str, returns: str, value: Any
) -> None:
    project(tmp_path, hook=f"def score({signature}):\n    return {returns}\n")
    assert check_reference(tmp_path, "hook.py:score") == []
    assert call(tmp_path) == value


@pytest.mark.parametrize(
    ("signature", "says"),
    [
        ("a, b, c, d", "it wants (a, b, c, d), but is given (row, prediction, trace)"),
        ("row, *, other", "it wants (row, other), but is given (row, prediction, trace)"),
        ("prediction, gold", "`prediction` is out of place"),
    ],
)
def test_a_function_that_does_not_fit_is_found_without_running_it(
    tmp_path: Path, signature: str, says: str
) -> None:
    project(tmp_path, hook=f"print('no')\n\ndef score({signature}):\n    return 1\n")
    found = check_reference(tmp_path, "hook.py:score")
    assert len(found) == 1
    assert found[0].startswith("hook.py:3: `score` cannot be called: ")
    assert says in found[0]
    assert says in failure(tmp_path)


def test_what_is_no_mapping_is_the_one_argument(tmp_path: Path) -> None:
    project(tmp_path, hook="def score(value): return value")
    assert call(tmp_path, payload=[1, 2]) == [1, 2]


def test_parameters_bind_as_calls_do() -> None:
    assert Parameters(("row",), ("trace",)).bind({"row": 1, "prediction": 2, "trace": 3}) == (
        [1],
        {"trace": 3},
    )
    with pytest.raises(CannotBind):
        Parameters(("a", "b")).bind({"row": 1})


# What a function may return


@pytest.mark.parametrize(
    "value",
    [1, 0.25, True, False, 0, "", "text", [], {}, {"score": 0.5, "feedback": "close"}, [[1], {"a": None}]],
)
def test_plain_values_come_back_as_they_are(tmp_path: Path, value: Any) -> None:
    project(tmp_path, hook=f"def score(row): return {value!r}")
    assert repr(call(tmp_path)) == repr(value)


def test_a_number_out_of_range_is_for_the_metric_to_judge(tmp_path: Path) -> None:
    project(tmp_path, hook="def score(row): return 2.0")
    assert call(tmp_path) == 2.0


def test_scalars_of_numeric_libraries_are_numbers(tmp_path: Path) -> None:
    project(
        tmp_path,
        hook="import numpy\ndef score(row): return {'score': numpy.float64(0.5), 'ok': numpy.bool_(True)}",
    )
    assert call(tmp_path) == {"score": 0.5, "ok": True}


def test_a_coroutine_is_awaited(tmp_path: Path) -> None:
    project(
        tmp_path, hook="import asyncio\nasync def score(row):\n    await asyncio.sleep(0)\n    return 1\n"
    )
    assert call(tmp_path) == 1


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("return float('nan')", "hook.py:1: it returned nan; JSON has no NaN"),
        ("return {'score': float('inf')}", "JSON has no NaN, no infinity"),
        ("return None", "hook.py:1: it returned None"),
        ("pass", "hook.py:1: it returned None; does every path end in a return?"),
        ("return object()", "hook.py:1: it returned a object, which is not plain data"),
        ("return {1, 2}", "it returned a set"),
        ("return (x for x in row)", "it returned a generator"),
        ("return {(1, 2): 3}", "it returned a dict, which is not plain data"),
        ("value = []; value.append(value); return value", "no cycle"),
        ("return '\\ud800'", "hook.py:score returned text that is not valid Unicode"),
        ("import numpy; return numpy.zeros(3)", "it returned a ndarray"),
    ],
)
def test_a_value_that_is_no_json_fails_the_row(tmp_path: Path, body: str, says: str) -> None:
    project(tmp_path, hook=f"def score(row):\n    {body}\n")
    assert says in failure(tmp_path)


# What a function may do


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("def score(row):\n    return row['nope']\n", "hook.py:2, in score: KeyError: 'nope'"),
        (
            "def score(row):\n    raise ValueError('two\\nlines')\n",
            "hook.py:2, in score: ValueError: two\nlines",
        ),
        (
            "import json\ndef inner(t):\n    return json.loads(t)\ndef score(row):\n    return inner('{')\n",
            "hook.py:3, in inner: json.decoder.JSONDecodeError",
        ),
        ("def score(row):\n    return score(row)\n", "hook.py:2, in score: RecursionError"),
        ("import sys\ndef score(row):\n    sys.exit(3)\n", "hook.py:3, in score: it called sys.exit(3)"),
        ("def score(row):\n    assert row is None, 'no'\n", "AssertionError: no"),
        (
            "class Odd(Exception):\n    def __str__(self): raise Odd\ndef score(row):\n    raise Odd\n",
            "hook.py:4, in score",
        ),
        ("def score(row)\n    return 1\n", "hook.py:1: SyntaxError"),
        ("import nothing_like_it\ndef score(row): return 1\n", "hook.py:1, in <module>: ModuleNotFoundError"),
        ("raise RuntimeError('at import')\n", "hook.py:1, in <module>: RuntimeError: at import"),
        ("def other(row): return 1\n", "hook.py has no function `score`"),
        ("score = 3\n", "hook.py has no function `score`"),
    ],
)
def test_an_exception_is_a_sentence_with_the_users_line(tmp_path: Path, source: str, says: str) -> None:
    project(tmp_path, hook=source)
    assert says in failure(tmp_path)


def test_an_exception_in_another_file_of_the_folder_names_that_file(tmp_path: Path) -> None:
    project(
        tmp_path,
        hook="from parts import deep\ndef score(row): return deep.look(row)\n",
        parts__deep="def look(row):\n    return 1 / 0\n",
    )
    assert "parts/deep.py:2, in look: ZeroDivisionError" in failure(tmp_path)


def test_prints_do_not_disturb_and_are_shown_with_an_error(tmp_path: Path) -> None:
    project(
        tmp_path,
        hook="""
            import os, sys, subprocess
            def score(row):
                print("hello"); print("there", file=sys.stderr); os.write(1, b"raw")
                subprocess.run(["echo", "from a child"], check=True)
                return 0.5
            def bad(row):
                print("the row was", row["text"])
                raise ValueError
        """,
    )
    assert call(tmp_path) == 0.5
    assert failure(tmp_path, "bad").endswith("(it printed: 'the row was a')")


def test_what_one_call_prints_is_not_told_of_the_next(tmp_path: Path) -> None:
    project(tmp_path, hook="def score(row):\n    print(row)\n    assert row != 2\n    return 1\n")

    async def two(pool: HookPool) -> str:
        await pool.call("hook.py:score", 1)
        with pytest.raises(RowFailed) as caught:
            await pool.call("hook.py:score", 2)
        return caught.value.failure.message

    assert in_pool(tmp_path, two, workers=1).endswith("(it printed: '2')")


def test_a_flood_of_output_neither_blocks_nor_piles_up(tmp_path: Path) -> None:
    project(tmp_path, hook="def score(row):\n    print('x' * 20_000_000)\n    raise ValueError('end')\n")
    message = failure(tmp_path)
    assert "ValueError: end" in message
    assert len(message) < 400


def test_reading_standard_input_finds_it_empty(tmp_path: Path) -> None:
    project(tmp_path, hook="import sys\ndef score(row): return {'read': sys.stdin.read()}")
    assert call(tmp_path) == {"read": ""}


def test_a_function_that_hangs_is_stopped_and_its_line_named(tmp_path: Path) -> None:
    project(
        tmp_path,
        hook="""
            import time
            def score(row):
                print("waiting")
                while row:
                    time.sleep(0.01)
            def fine(row): return 1
        """,
    )

    async def hang_then_go_on(pool: HookPool) -> tuple[str, Any]:
        with pytest.raises(RowFailed) as caught:
            await pool.call("hook.py:score", PAYLOAD)
        return caught.value.failure.message, await pool.call("hook.py:fine", PAYLOAD)

    started = time.monotonic()
    message, after = in_pool(tmp_path, hang_then_go_on, timeout=0.3, workers=1)
    assert message.startswith(("hook.py:5, in score: ", "hook.py:6, in score: "))
    assert message.endswith(": it was still running after 0.3 s (it printed: 'waiting')")
    assert after == 1
    assert time.monotonic() - started < 10


def test_a_function_that_disarms_the_watchdog_is_stopped_all_the_same(tmp_path: Path) -> None:
    project(
        tmp_path,
        hook="""
            import faulthandler, time
            def score(row):
                faulthandler.cancel_dump_traceback_later()
                time.sleep(600)
        """,
    )
    assert failure(tmp_path, timeout=0.2) == "hook.py:score: it was still running after 0.2 s"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (
            "import os; print('bye'); os._exit(3)",
            "hook.py:score: it ended its process with exit code 3 (it printed: 'bye')",
        ),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
            "hook.py:score: its process was ended by SIGKILL",
        ),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGRTMIN + 3)",
            f"hook.py:score: its process was ended by signal {signal.SIGRTMIN + 3}",
        ),
        ("import ctypes; ctypes.string_at(0)", "hook.py:2, in score: its process was ended by SIGSEGV"),
    ],
)
def test_a_process_that_dies_fails_its_row_alone(tmp_path: Path, body: str, says: str) -> None:
    project(tmp_path, hook=f"def score(row):\n    {body}\n\ndef fine(row): return 1\n")

    async def die_then_go_on(pool: HookPool) -> tuple[str, Any]:
        with pytest.raises(RowFailed) as caught:
            await pool.call("hook.py:score", PAYLOAD)
        return caught.value.failure.message, await pool.call("hook.py:fine", PAYLOAD)

    assert in_pool(tmp_path, die_then_go_on, workers=1) == (says, 1)


def test_a_fork_that_comes_back_does_not_answer_twice(tmp_path: Path) -> None:
    project(
        tmp_path,
        hook="""
            import os
            def score(row):
                child = os.fork()
                if child == 0:
                    return 0.1
                os.waitpid(child, 0)
                return row
        """,
    )

    async def three(pool: HookPool) -> list[Any]:
        return [await pool.call("hook.py:score", n) for n in (1, 2, 3)]

    assert in_pool(tmp_path, three, workers=1) == [1, 2, 3]


def test_processes_left_behind_end_with_the_pool(tmp_path: Path) -> None:
    project(
        tmp_path,
        hook="""
            import subprocess
            def score(row): return subprocess.Popen(["sleep", "600"]).pid
        """,
    )
    left = call(tmp_path)
    for _ in range(100):
        if not Path(f"/proc/{left}").exists() or " Z " in Path(f"/proc/{left}/stat").read_text():
            break
        time.sleep(0.02)
    else:
        os.kill(left, signal.SIGKILL)
        pytest.fail("the child of a hook outlived its pool")


def test_the_environment_holds_no_secrets(tmp_path: Path) -> None:
    project(tmp_path, hook="import os\ndef score(row): return {**os.environ, 'cwd': os.getcwd()}")
    seen = call(tmp_path)
    assert seen.pop("LC_CTYPE", "C.UTF-8") == "C.UTF-8"
    assert seen == {
        "PATH": ENVIRONMENT["PATH"],
        "HOME": "/nowhere",
        "PYTHONHASHSEED": "0",
        "cwd": str(tmp_path),
    }


def test_randomness_depends_on_the_arguments_alone(tmp_path: Path) -> None:
    project(
        tmp_path, hook="import random\ndef score(row): return [random.random(), list({'a', 'b', 'c', 'd'})]"
    )

    async def several(pool: HookPool) -> list[Any]:
        return list(await asyncio.gather(*(pool.call("hook.py:score", {"row": n % 4}) for n in range(16))))

    one, many = in_pool(tmp_path, several, workers=1), in_pool(tmp_path, several, workers=4)
    assert one == many
    assert one[:4] == one[4:8]
    assert len({str(value) for value in one}) == 4


def test_calls_run_side_by_side_on_several_workers(tmp_path: Path) -> None:
    project(tmp_path, hook="import os, time\ndef score(row):\n    time.sleep(0.15)\n    return os.getpid()\n")

    async def several(pool: HookPool) -> set[int]:
        return set(await asyncio.gather(*(pool.call("hook.py:score", n) for n in range(6))))

    assert len(in_pool(tmp_path, several, workers=3)) == 3
    assert len(in_pool(tmp_path, several, workers=1)) == 1


def test_large_values_travel(tmp_path: Path) -> None:
    project(tmp_path, hook="def score(row): return row")
    assert call(tmp_path, payload={"row": "é" * 3_000_000}) == "é" * 3_000_000


def test_a_cancelled_call_ends_its_worker_and_the_pool_goes_on(tmp_path: Path) -> None:
    project(tmp_path, hook="import time\ndef score(row):\n    time.sleep(row)\n    return row\n")

    async def cancel(pool: HookPool) -> Any:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pool.call("hook.py:score", 600), 0.3)
        return await pool.call("hook.py:score", 0)

    started = time.monotonic()
    assert in_pool(tmp_path, cancel, workers=1) == 0
    assert time.monotonic() - started < 10


def test_a_pool_that_is_not_used_starts_nothing(tmp_path: Path) -> None:
    async def nothing(pool: HookPool) -> int:
        return len(asyncio.all_tasks())

    assert in_pool(tmp_path, nothing) == 1


def test_a_file_may_be_named_like_a_library_module(tmp_path: Path) -> None:
    project(tmp_path, statistics="def score(row): return 1")
    assert in_pool(tmp_path, lambda pool: pool.call("statistics.py:score", PAYLOAD)) == 1


def test_modules_beside_the_file_and_in_the_folder_are_found(tmp_path: Path) -> None:
    project(
        tmp_path,
        metrics__hook="import near, far\ndef score(row): return near.N + far.F",
        metrics__near="N = 1",
        far="F = 2",
    )
    assert in_pool(tmp_path, lambda pool: pool.call("metrics/hook.py:score", PAYLOAD)) == 3
    assert not list(tmp_path.rglob("__pycache__"))


# References


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("hook.py", "write it as `file.py:function`"),
        ("hook:score", "write it as `file.py:function`"),
        ("hook.py:", "write it as `file.py:function`"),
        ("hook.py:Class.method", "write it as `file.py:function`"),
        ("hook.py:a b", "write it as `file.py:function`"),
        ("file://hook.py:score", "write it as `file.py:function`"),
        ("https://example.org/hook.py:score", "write it as `file.py:function`"),
        ("hook.sh:score", "write it as `file.py:function`"),
        ("nothing.py:score", "there is no file nothing.py"),
        ("folder.py:score", "there is no file folder.py"),
        ("../outside.py:score", "lies outside of the spec's folder"),
        ("link.py:score", "lies outside of the spec's folder"),
        ("linked/outside.py:score", "lies outside of the spec's folder"),
        ("loop.py:score", "is not a path that can be read"),
        ("a\0.py:score", "is not a path that can be read"),
        ("hook.py:scor", "hook.py has no function `scor`; it has `score`"),
        ("broken.py:score", "broken.py:2: "),
    ],
)
def test_a_reference_that_leads_nowhere_is_told(tmp_path: Path, reference: str, says: str) -> None:
    base = project(tmp_path / "spec", hook="def score(row): return 1", broken="\ndef score(:\n")
    (base / "folder.py").mkdir()
    project(tmp_path, outside="def score(row): return 1")
    (base / "link.py").symlink_to(tmp_path / "outside.py")
    (base / "linked").symlink_to(tmp_path)
    (base / "loop.py").symlink_to("loop.py")
    (found,) = check_reference(base, reference)
    assert says in found
    with pytest.raises(RowFailed):
        in_pool(base, lambda pool: pool.call(reference, PAYLOAD))


@pytest.mark.parametrize(
    "source",
    [
        "from other import score",
        "from other import anything as score",
        "from other import *",
        "import functools\nscore = functools.partial(print, 1)",
        "import functools\n@functools.cache\ndef score(a, b, c, d, e): return 1",
        "try:\n    import x\nexcept ImportError:\n    def score(row): return 1",
        "if True:\n    def score(row): return 1",
        "match 1:\n    case _:\n        def score(row): return 1",
        "class score:\n    pass",
        "score = lambda row: 1",
        "async def score(row): return 1",
    ],
)
def test_what_only_running_could_tell_is_taken_to_be_right(tmp_path: Path, source: str) -> None:
    assert check_reference(project(tmp_path, hook=source), "hook.py:score") == []


def test_a_function_inside_another_is_not_one_of_the_module(tmp_path: Path) -> None:
    base = project(tmp_path, hook="def outer():\n    def score(row): return 1\n    return score\n")
    assert check_reference(base, "hook.py:score") == ["hook.py has no function `score`; it has `outer`"]


def test_a_link_inside_the_folder_is_fine(tmp_path: Path) -> None:
    base = project(tmp_path, real="def score(row): return 1")
    (base / "hook.py").symlink_to("real.py")
    assert check_reference(base, "hook.py:score") == []
    assert locate(base, "hook.py:score") == (base / "hook.py", "score")


# Digests


FILES = {
    "hook": "import helper\nfrom parts import sub\ndef score(row):\n    import late\n    return 1\n",
    "helper": "import json, hook\n",
    "late": "",
    "unused": "",
    "parts____init__": "",
    "parts__sub": "from . import deep\nfrom .. import helper\n",
    "parts__deep": "X = 1",
}


@pytest.mark.parametrize(
    ("file", "covered"),
    [
        ("hook", True),
        ("helper", True),
        ("late", True),
        ("parts/__init__", True),
        ("parts/sub", True),
        ("parts/deep", True),
        ("unused", False),
    ],
)
def test_a_digest_covers_the_file_and_what_it_imports(tmp_path: Path, file: str, covered: bool) -> None:
    sources = {name: source for name, source in FILES.items() if name != "parts____init__"}
    base = project(tmp_path, **sources)
    (base / "parts" / "__init__.py").write_text("")
    before = hook_digest(base, "hook.py:score")
    assert len(before) == 32
    (base / f"{file}.py").write_text((base / f"{file}.py").read_text() + "\n# changed\n")
    assert (hook_digest(base, "hook.py:score") != before) is covered


def test_a_digest_does_not_depend_on_the_place_of_the_folder(tmp_path: Path) -> None:
    one, other = project(tmp_path / "one", hook="import helper", helper=""), tmp_path / "other"
    project(other, hook="import helper", helper="")
    assert hook_digest(one, "hook.py:score") == hook_digest(other, "hook.py:score")
    assert hook_digest(one, "hook.py:score") != hook_digest(one, "hook.py:other")


@pytest.mark.parametrize(
    "source", ["raise SystemExit('ran')", "def broken(:", "from ........ import x", "\0"]
)
def test_a_digest_runs_nothing_and_stands_for_any_content(tmp_path: Path, source: str) -> None:
    assert len(hook_digest(project(tmp_path, hook=source), "hook.py:score")) == 32


def test_a_digest_of_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no file hook\.py"):
        hook_digest(tmp_path, "hook.py:score")

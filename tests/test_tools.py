"""Tools: what each kind offers and answers, how they are checked, stubbed, recorded and kept from doing harm."""

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from scripted import KilledError
from tooling import World, calling, in_turn, spec_with_tools
from workplace import Workplace

from promptc.runners.build import build_program
from promptc.runners.models.request import CallFailed
from promptc.runners.tools.calculator import Calculator, calculate
from promptc.runners.tools.checking import refuse_without_stubs, tool_findings
from promptc.runners.tools.function_source import read_function
from promptc.runners.tools.protocol import ToolFailed
from promptc.runners.trust import code_of
from promptc.spec.errors import UsageError
from promptc.spec.load import load

SERVER = str(Path(__file__).with_name("mcp_server.py"))


def using(*calls, answer="done"):
    """Replies that make these calls, one a turn, and then answer."""
    return in_turn(*(calling(call) for call in calls), {"answer": answer})


def result_of(tools, call, **keys):
    """What comes of one call: its result, and whether it failed."""
    world = World("react", tools, using(call), **keys)
    assert world.record.failure is None, world.record.failure
    [(_, _, result, failed)] = world.calls
    return result, failed


# calculator


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 + 2 * 3", 7),
        ("(12.5 + 3) * 4 / 100", 0.62),
        ("0.1 + 0.2", 0.3),
        ("1 / 3", 0.333333333333333),
        ("7 // 2", 3),
        ("-7 % 3", 2),
        ("2 ** 10", 1024),
        ("2^10", 1024),
        ("2 ** -1", 0.5),
        ("2 ** 0.5", 1.4142135623731),
        ("6 × 7 ÷ 2 − 1", 20),
        ("sqrt(16)", 4),
        ("sqrt(2)", 1.4142135623731),
        ("max(1, 2, 3) - min([1, 2])", 2),
        ("sum([1, 2, 3])", 6),
        ("round(2.345, 1)", 2.3),
        ("abs(-3) + floor(2.7) + ceil(2.1)", 8),
        ("factorial(5)", 120),
        ("log10(1000)", 3),
        ("2 * pi", 6.28318530717959),
        ("1e3 + 1", 1001),
        ("2 ** 200", 2**200),
    ],
)
def test_the_calculator_works_out(expression, value):
    found = calculate(expression)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("1 / 0", "divides by zero"),
        ("1 +", "is not an expression"),
        ("1,234 * 2", "is no arithmetic"),
        ("x + 1", "'x' is no arithmetic"),
        ("__import__('os')", "is no arithmetic"),
        ("eval(1)", "there is no function eval"),
        ("(1).real", "is no arithmetic"),
        ("[1, 2][0]", "is no arithmetic"),
        ("'a' * 3", "is no arithmetic"),
        ("True + 1", "is no arithmetic"),
        ("2 ** 9999", "a number becomes too large"),
        ("9 ** 9 ** 9 ** 9", "a number becomes too large"),
        ("factorial(1000)", "factorial takes a whole number from 0 to 500"),
        ("(-8) ** 0.5", "is no real number"),
        ("sqrt(-1)", "sqrt takes no negative number"),
        ("sqrt(1, 2)", "sqrt does not take 2 arguments"),
        ("1" * 501, "longer than 500 characters"),
        ("(" * 240 + "1" + ")" * 240, "not an expression|cannot be worked out"),
        ("log(0)", "cannot be worked out"),
        ("1e400", "is not an expression|a number becomes too large|cannot be worked out"),
        ("", "is not an expression"),
    ],
)
def test_the_calculator_says_what_is_wrong(expression, said):
    with pytest.raises(ToolFailed, match=said):
        calculate(expression)


@given(st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9), st.sampled_from("+-*"))
def test_whole_numbers_are_exact(left, right, sign):
    assert (
        calculate(f"({left}) {sign} ({right})")
        == {"+": left + right, "-": left - right, "*": left * right}[sign]
    )


@given(st.text(max_size=60))
def test_any_text_gives_a_number_or_a_sentence(text):
    try:
        outcome = calculate(text)
    except ToolFailed as error:
        outcome = str(error)
    assert outcome or outcome == 0


# python: read from the source


SOURCE = '''
from datetime import date
from typing import Literal, Optional

raise SystemExit("nothing of this runs")


def find(
    query: str,
    limit: int = 5,
    *,
    kinds: list[Literal["a", "b"]],
    since: Optional[date] = None,
    near: "float | None" = None,
) -> list[dict]:
    """Finds documents
    that fit.

    It is quick.

    Args:
        query (str): What to look for,
            in words
        limit: How many
        unknown: not there

    Returns:
        A list.
    """


async def rest(city: str):
    """Says the weather.

    :param city: The city
    :param str other: nothing
    :returns: text
    """


def bare(x: dict[str, int]): ...
def untyped(x): ...
def odd(x: Path): ...
def many(*words: str): ...
'''


@pytest.fixture
def source(tmp_path):
    (tmp_path / "tools.py").write_text(SOURCE)
    return tmp_path


def test_a_functions_types_and_words_are_read_without_running_it(source):
    function = read_function(source, "tools.py:find", "search")
    assert function.name == "search"
    assert function.description == "Finds documents that fit. It is quick."
    properties = function.schema["properties"]
    assert list(properties) == ["query", "limit", "kinds", "since", "near"]
    assert properties["query"] == {"type": "string", "description": "What to look for, in words"}
    assert properties["limit"] == {"type": "integer", "description": "How many", "default": 5}
    assert properties["kinds"] == {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}}
    assert properties["since"] == {"type": ["string", "null"], "format": "date", "default": None}
    assert properties["near"] == {"type": ["number", "null"], "default": None}
    assert function.schema["required"] == ["query", "kinds"]
    assert function.schema["additionalProperties"] is False


def test_other_docstrings(source):
    function = read_function(source, "tools.py:rest", "weather")
    assert (function.description, function.schema["properties"]) == (
        "Says the weather.",
        {"city": {"type": "string", "description": "The city"}},
    )
    assert read_function(source, "tools.py:bare", "b").description == ""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("untyped", r"tools\.py:\d+: the parameter `x` has no type: write `x: str`, say"),
        ("odd", r"tools\.py:\d+: the type of `x` is not one for a tool: unknown type \"Path\""),
        ("many", r"tools\.py:\d+: `many` takes \*args or \*\*kwargs"),
        ("none", r"tools\.py defines no function `none`; it has `find`, `rest`"),
    ],
)
def test_a_function_that_cannot_be_a_tool(source, name, said):
    with pytest.raises(ValueError, match=said):
        read_function(source, f"tools.py:{name}", "t")


# python: run


ORDERS = '''
import os, sys, time

def order(number: str, with_items: bool = False) -> dict:
    """Looks an order up."""
    print("looking")
    with open("calls.txt", "a") as file:
        file.write(number + "\\n")
    if number == "slow":
        time.sleep(30)
    if number == "nothing":
        return None
    if not number.startswith("A"):
        raise KeyError(f"there is no order {number}")
    return {"number": number, "items": ["pen"] if with_items else []}
'''


@pytest.fixture
def orders(tmp_path):
    (tmp_path / "tools.py").write_text(ORDERS)
    return tmp_path


ORDER = {"order": {"python": {"function": "tools.py:order"}}}


@pytest.mark.parametrize(
    ("arguments", "result", "failed"),
    [
        ({"number": "A1"}, '{"number": "A1", "items": []}', False),
        ({"number": "A1", "with_items": True}, '{"number": "A1", "items": ["pen"]}', False),
        (
            {"number": "B"},
            "tools.py:14, in order: KeyError: 'there is no order B'",
            True,
        ),
        ({"number": "nothing"}, "tools.py:4: it returned None; does every path end in a return?", True),
        ({}, "`arguments`: lacks the property `number`.", True),
    ],
)
def test_a_function_is_called_and_its_errors_are_told(orders, arguments, result, failed):
    said, went_wrong = result_of(ORDER, ("order", arguments), base=orders)
    assert (said.partition(" (it printed")[0], went_wrong) == (result, failed)


def test_a_slow_function_is_told_to_be_slow(orders):
    tools = {"order": {"python": {"function": "tools.py:order", "timeout": 0.5}}}
    assert result_of(tools, ("order", {"number": "slow"}), base=orders) == (
        "it did not answer within 0.5 s",
        True,
    )


def called_in(folder):
    return (folder / "calls.txt").read_text().split()


def test_equal_calls_are_made_once_whoever_makes_them(orders):
    world = World(
        "react", ORDER, using(("order", {"number": "A1"}), ("order", {"number": "A1"})), rows=5, base=orders
    )
    assert {r.failure for r in world.records} == {None}
    assert called_in(orders) == ["A1"]


def test_what_failed_is_tried_anew(orders):
    world = World("react", ORDER, using(("order", {"number": "B"}), ("order", {"number": "B"})), base=orders)
    assert [failed for *_, failed in world.calls] == [True, True]
    assert called_in(orders) == ["B", "B"]


def test_a_replay_calls_nothing(orders, tmp_path):
    def reply(request):
        row = request.messages[1].content.split("row ")[1][0]
        return using(("order", {"number": f"A{row}"}), ("order", {"number": row}))(request)

    path = tmp_path / "journal.sqlite"
    first = World("react", ORDER, reply, rows=4, base=orders, path=path)
    before = called_in(orders)
    assert sorted(before) == ["0", "1", "2", "3", "A0", "A1", "A2", "A3"]
    again = World("react", ORDER, lambda _: CallFailed("asked again"), rows=4, base=orders, path=path)
    assert (again.records, called_in(orders)) == (first.records, before)


def test_another_function_is_another_call(orders, tmp_path):
    path = tmp_path / "journal.sqlite"
    World("react", ORDER, using(("order", {"number": "A1"})), base=orders, path=path)
    (orders / "tools.py").write_text(ORDERS.replace('["pen"]', '["pencil"]'))
    with pytest.raises(Exception, match="cannot be replayed"):
        World("react", ORDER, using(("order", {"number": "A1"})), base=orders, path=path)


# stubs and effects


def mailing(**keys):
    return {"order": {"python": {"function": "tools.py:order", "effects": "write", **keys}}}


def test_a_stub_answers_in_place_of_what_changes_something(orders):
    stubs = [{"arguments": {"number": "A1"}, "result": {"fine": True}}, {"result": "stubbed"}]
    tools = mailing(stubs=stubs)
    assert result_of(tools, ("order", {"number": "A1"}), base=orders) == ('{"fine": true}', False)
    assert result_of(tools, ("order", {"number": "A2"}), base=orders) == ("stubbed", False)
    assert not (orders / "calls.txt").exists()


def test_stubs_answer_for_what_only_reads_too(orders):
    tools = {
        "order": {
            "python": {"function": "tools.py:order", "stubs": [{"arguments": {"number": "A1"}, "result": 1}]}
        }
    }
    world = World(
        "react", tools, using(("order", {"number": "A1"}), ("order", {"number": "A2"})), base=orders
    )
    assert [result for _, _, result, _ in world.calls] == ["1", '{"number": "A2", "items": []}']
    assert called_in(orders) == ["A2"]


def test_arguments_are_checked_before_a_stub_answers(orders):
    said, failed = result_of(mailing(stubs=[{"result": 1}]), ("order", {"nummer": "A1"}), base=orders)
    assert failed
    assert "lacks the property `number`" in said


def test_without_a_stub_that_fits_the_row_has_no_score(orders):
    tools = mailing(stubs=[{"arguments": {"number": "A1"}, "result": 1}])
    world = World("react", tools, using(("order", {"number": "A2"})), base=orders)
    assert world.record.failure.kind == "tool"
    assert (
        "order changes something outside, and has no stub for these arguments" in world.record.failure.message
    )
    assert not world.record.failure.scored


def test_allowed_effects_take_place_each_time_and_for_each_row(orders, tmp_path):
    replies = using(("order", {"number": "A1"}), ("order", {"number": "A1"}))
    path = tmp_path / "journal.sqlite"
    keys = {"rows": 3, "base": orders, "acting": True, "path": path, "texts": ("same", "same", "other")}
    tools = mailing(stubs=[{"result": "stubbed"}])
    first = World("react", tools, replies, **keys)
    assert called_in(orders) == ["A1"] * 6
    again = World("react", tools, lambda _: CallFailed("asked again"), **keys)
    assert (again.records, len(called_in(orders))) == (first.records, 6)


def test_a_spec_whose_tool_changes_something_and_has_no_stub_is_refused(orders):
    program = build_program(spec_with_tools("react", mailing(), orders))
    with pytest.raises(UsageError, match="the tool order changes something outside") as caught:
        refuse_without_stubs(program)
    assert caught.value.hint == "give it stubs: that answer instead, or pass --allow-effects"
    refuse_without_stubs(build_program(spec_with_tools("predict", mailing(), orders)))


# http


class Service:
    """A service on the loopback interface, in the event loop of whoever asks."""

    def __init__(self):
        self.seen = []

    async def answer(self, request):
        body = await request.json() if request.can_read_body else None
        self.seen.append((request.method, request.path_qs, body, request.headers.get("Authorization")))
        name = request.match_info["name"]
        if name == "moved":
            raise web.HTTPFound("/orders/A1")
        if name == "denied":
            return web.json_response({"error": "no key"}, status=403)
        if name == "broken":
            return web.json_response({"error": "try later"}, status=503)
        if name == "text":
            return web.Response(text="just text")
        if name == "slow":
            await asyncio.sleep(30)
        return web.json_response({"order": {"name": name, "key": "SECRET-KEY-1"}, "list": [1, 2]})


@pytest.fixture
def service(tmp_path):
    """The service in a thread of its own, and its address."""

    found = Service()
    loop = asyncio.new_event_loop()
    address = []
    started = threading.Event()

    async def work(stopping):
        app = web.Application()
        app.router.add_route("*", "/orders/{name}", found.answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        address.append(f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}")
        started.set()
        await stopping
        await runner.cleanup()

    stopping = loop.create_future()
    thread = threading.Thread(target=loop.run_until_complete, args=(work(stopping),))
    thread.start()
    assert started.wait(10)
    found.address = address[0]
    yield found
    loop.call_soon_threadsafe(stopping.set_result, None)
    thread.join(10)
    loop.close()


def http(service, **keys):
    entry = {"url": f"{service.address}/orders/{{name}}", "arguments": {"name": {"type": "string"}}, **keys}
    return {"orders": {"http": entry}}


def test_a_service_is_asked_and_its_json_comes_back(service):
    said, failed = result_of(http(service), ("orders", {"name": "A 1/2"}))
    assert (json.loads(said)["order"]["name"], failed) == ("A 1/2", False)
    assert service.seen == [("GET", "/orders/A%201%2F2", None, None)]


def test_what_the_url_has_no_place_for_is_sent_as_a_query_or_a_body(service):
    arguments = {
        "name": {"type": "string"},
        "days": {"type": "integer", "default": 3},
        "tags": {"type": "array"},
    }
    call = ("orders", {"name": "A1", "days": 2, "tags": ["x"]})
    result_of(http(service, arguments=arguments), call)
    result_of(http(service, arguments=arguments, method="post", effects="read"), call)
    assert [seen[:3] for seen in service.seen] == [
        ("GET", "/orders/A1?days=2&tags=%5B%22x%22%5D", None),
        ("POST", "/orders/A1", {"days": 2, "tags": ["x"]}),
    ]


@pytest.mark.parametrize(
    ("result", "said", "failed"),
    [
        ("order.name", "A1", False),
        ("list.1", "2", False),
        ("order.nothing", "the reply has nothing at order.nothing", True),
    ],
)
def test_a_part_of_the_reply_may_be_all_that_counts(service, result, said, failed):
    found = result_of(http(service, result=result), ("orders", {"name": "A1"}))
    assert (found[0][: len(said)], found[1]) == (said, failed)


@pytest.mark.parametrize(
    ("name", "said", "failed"),
    [
        ("text", "just text", False),
        ("broken", 'the service answers 503: {"error": "try later"}', True),
        ("slow", "it did not answer within 0.5 s", True),
    ],
)
def test_what_a_service_says_and_fails_to_say(service, name, said, failed):
    assert result_of(http(service, timeout=0.5), ("orders", {"name": name})) == (said, failed)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("denied", "orders: the service answers 403"),
        ("moved", "orders: the service moved to /orders/A1, and redirects are refused"),
    ],
)
def test_what_is_not_the_models_business_leaves_the_row_unscored(service, name, said):
    world = World("react", http(service), using(("orders", {"name": name})))
    assert world.record.failure.kind == "tool"
    assert world.record.failure.message.startswith(said)


def test_a_service_that_is_not_there_leaves_the_row_unscored():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/x"
    world = World("react", {"orders": {"http": {"url": url}}}, using(("orders", {})))
    assert world.record.failure.kind == "tool"
    assert "Cannot connect" in world.record.failure.message


def test_a_key_comes_from_the_environment_and_is_kept_out_of_what_comes_back(service, tmp_path):
    path = tmp_path / "journal.sqlite"
    tools = http(service, headers={"Authorization": "Bearer ${env:ORDERS_KEY}"})
    said, _ = result_of(
        tools, ("orders", {"name": "A1"}), environment={"ORDERS_KEY": "SECRET-KEY-1"}, path=path
    )
    assert service.seen[0][3] == "Bearer SECRET-KEY-1"
    assert "[redacted:ORDERS_KEY]" in said
    assert b"SECRET-KEY-1" not in path.read_bytes()


def test_a_key_that_is_not_set_is_named(service):
    tools = http(service, headers={"Authorization": "Bearer ${env:ORDERS_KEY}"})
    world = World("react", tools, using(("orders", {"name": "A1"})))
    assert "the environment variable ORDERS_KEY is not set" in world.record.failure.message


def test_offline_nothing_is_asked(service):
    with pytest.raises(Exception, match="the tool orders: this call is not recorded"):
        World("react", http(service), using(("orders", {"name": "A1"})), offline=True)
    assert service.seen == []


# mcp


@pytest.fixture
def desk(tmp_path):
    """The server's entry under `tools:`, and where it notes what it was really asked."""
    log = tmp_path / "desk.log"
    entry = {
        "command": [sys.executable, SERVER],
        "environment": {"DESK_LOG": str(log), "DESK_KEY": "${env:KEY}"},
    }
    return entry, log


def test_a_server_says_what_it_has_and_answers(desk, tmp_path):
    entry, log = desk
    environment = {"PATH": os.environ["PATH"], "KEY": "top-secret-value"}
    calls = [
        ("stock", {"article": "pens"}),
        ("stock", {"article": "none"}),
        ("send_mail", {"to": "Ann", "text": "Hi"}),
        ("secret", {}),
    ]
    tools = {"desk": {"mcp": {**entry, "stubs": [{"tool": "send_mail", "result": "stubbed"}]}}}
    path = tmp_path / "journal.sqlite"
    world = World("react", tools, using(*calls), environment=environment, path=path)
    assert [(json.loads(r) if r.startswith("{") else r, failed) for _, _, r, failed in world.calls] == [
        ({"article": "pens", "count": 4}, False),
        ("Error executing tool stock", True),
        ("stubbed", False),
        ("it is [redacted:KEY]", False),
    ]
    system = world.asked[0].messages[0].content
    assert (
        "- stock(article: string, warehouse?: string): How many of an article are in a warehouse.\n" in system
    )
    assert "- send_mail(to: string, text: string): Sends a mail.\n" in system
    before = log.read_text()
    assert before == "stock pens north\n"
    again = World(
        "react", tools, lambda _: CallFailed("asked again"), environment=environment, path=path, offline=True
    )
    assert (again.records, log.read_text()) == (world.records, before)


def test_only_some_of_what_a_server_has(desk):
    entry, _ = desk
    environment = {"KEY": "x" * 8}
    world = World("react", {"desk": {"mcp": {**entry, "only": ["stock"]}}}, using(), environment=environment)
    assert "- stock(" in world.asked[0].messages[0].content
    assert "send_mail" not in world.asked[0].messages[0].content
    world = World("react", {"desk": {"mcp": {**entry, "only": ["stocks"]}}}, using(), environment=environment)
    assert world.record.failure.message == 'desk: the server has no tool stocks; did you mean "stock"?'


def test_what_a_server_does_not_call_read_only_changes_something(desk):
    entry, log = desk
    call = ("send_mail", {"to": "Ann", "text": "Hi"})
    environment = {"KEY": "x" * 8}
    refused = World("react", {"desk": {"mcp": entry}}, using(call), environment=environment)
    assert "send_mail changes something outside" in refused.record.failure.message
    said, _ = result_of({"desk": {"mcp": entry}}, call, environment=environment, acting=True)
    assert (said, log.read_text()) == ("sent to Ann", "mail Ann\n")
    said, _ = result_of({"desk": {"mcp": {**entry, "effects": "read"}}}, call, environment=environment)
    assert said == "sent to Ann"


def test_a_server_that_dies_is_started_again(desk):
    entry, _ = desk

    def reply(request):
        dies = "row 0" in request.messages[1].content
        return using(("die", {}) if dies else ("stock", {"article": "ink"}))(request)

    world = World("react", {"desk": {"mcp": entry}}, reply, rows=2, workers=1, environment={"KEY": "x" * 8})
    first, second = world.records
    assert first.failure.kind == "tool"
    assert "cannot be asked" in first.failure.message
    assert second.failure is None


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"command": ["no-such-program"]}, r"desk: the server \(no-such-program\) cannot be asked"),
        ({"command": [sys.executable, "-c", "pass"]}, r"cannot be asked"),
        ({"url": "http://127.0.0.1:9/mcp"}, r"desk: the server \(http://127.0.0.1:9/mcp\) cannot be asked"),
    ],
)
def test_a_server_that_cannot_be_asked_leaves_the_row_unscored(entry, said):
    world = World("react", {"desk": {"mcp": entry}}, using())
    assert world.record.failure.kind == "tool"

    assert re.search(said, world.record.failure.message)


@pytest.fixture
def desk_url():
    """A server that runs already, over HTTP."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, SERVER, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}/mcp"
    process.terminate()
    process.wait(10)


def test_a_server_over_http(desk_url):
    world = World("react", {"desk": {"mcp": {"url": desk_url}}}, using(("stock", {"article": "ink"})), rows=3)
    assert {r.failure for r in world.records} == {None}
    assert json.loads(world.calls[0][2]) == {"article": "ink", "count": 3}


def test_two_tools_of_one_name_are_refused(desk):
    entry, _ = desk
    tools = {"stock": "calculator", "desk": {"mcp": entry}}
    world = World("react", tools, using(), environment={"KEY": "x" * 8})
    assert world.record.failure.message == "the tools stock and desk both offer stock; keep one, with only:"


# in a spec


SMALL = """version: 1
models: {task: a/b}
data: {rows: [{text: x, answer: y}]}
signature: text -> answer
module: react
metrics: [exact_match]
"""


@pytest.mark.parametrize(
    ("lines", "message", "hint"),
    [
        ("tools: {x: calculater}", 'unknown tool "calculater"', 'did you mean "calculator"?'),
        (
            "tools: {x: python}",
            'the tool "python" needs function',
            'write python: {function: "tools.py:order_status"}',
        ),
        ("tools: {x: {python: {function: t.py}}}", '"t.py"', ""),
        ("tools: {x y: calculator}", '"x y"', ""),
        ("tools: {x: {http: {url: 'ftp://x/y'}}}", '"ftp://x/y"', ""),
        ("tools: {x: {http: {url: 'https://{host}/y'}}}", '"https://{host}/y"', ""),
        ("tools: {x: {http: {url: 'https://x/y', arguments: {a: strin}}}}", 'unknown type "strin"', ""),
        (
            "tools: {x: {http: {url: 'https://x/y', arguments: {a: image}}}}",
            "an image can only be an input",
            "",
        ),
        ("tools: {x: {calculator: {effects: writes}}}", '"writes"', ""),
        ("tools: {x: {calculator: {timeout: 0}}}", "0 is too small", ""),
        (
            "tools: {x: {calculator: {stubs: [{results: 1}]}}}",
            'unknown key "results"',
            'did you mean "result"?',
        ),
        (
            "tools: {x: {http: {url: 'https://x/y', headers: {Authorization: Bearer abcdefgh12345678901234567890}}}}",
            "a credential is written out here",
            "write ${env:API_KEY}",
        ),
    ],
)
def test_what_is_wrong_is_found_where_it_stands(lines, message, hint):
    _, findings = load(SMALL + lines, file="spec.yaml", base=Path("."), environment={})
    [finding] = [f for f in findings if f.severity == "error"]
    assert message in finding.message
    assert finding.position.line == 7
    assert hint in finding.hint


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("tools: {x: {http: {url: 'https://x/{a}'}}}",
         "the tool x: the URL has a place {a}, and no argument is called so"),
        ("tools: {x: {mcp: {}}}", "the tool x: a server has a command: that starts it, or a url: where it runs"),
        ("tools: {x: {python: {function: 't.py:f'}}}", "the tool x: there is no file t.py in the spec's folder"),
        ("tools: {x: {retriever: {name: handbok}}}\nretrievers: {handbook: {bm25: {documents: d.jsonl}}}",
         'no retriever is called "handbok"'),
    ],
)  # fmt: skip
def test_what_only_the_tool_itself_can_tell_is_found_too(lines, message, tmp_path):
    spec, findings = load(SMALL + lines, file="spec.yaml", base=tmp_path, environment={})
    assert spec is not None, findings
    assert [f.message for f in tool_findings(spec)] == [message]


def test_code_and_commands_of_tools_have_to_be_allowed(orders):
    spec = spec_with_tools("react", {**ORDER, "desk": {"mcp": {"command": ["python", "server.py"]}}}, orders)
    assert [(use.kind, use.reference, use.used_by) for use in code_of(spec)] == [
        ("function", "tools.py:order", "tool `order`"),
        ("command", "python server.py", "tool `desk`"),
    ]
    assert code_of(spec)[0].arguments == ("number", "with_items")


def test_a_spec_with_tools_reads_back_from_its_resolved_form(orders):
    entry = {"url": "https://x/{a}", "arguments": {"a": "string", "b": {"type": "integer", "default": 3}}}
    stubs = [{"result": {"x": 1}, "arguments": {"a": "b"}}]
    tools = {
        "calc": "calculator",
        "h": {"http": {**entry, "timeout": 3, "effects": "write", "stubs": stubs}},
        **ORDER,
    }
    spec = spec_with_tools("react", tools, orders)
    again, findings = load(msgspec.json.encode(spec.resolved), file="spec.yaml", base=orders)
    assert (again, findings) == (spec, ())
    assert again.tools["h"].stubs == spec.tools["h"].stubs


def test_a_killed_run_calls_what_was_recorded_no_second_time(orders, tmp_path):
    def reply(request):
        row = request.messages[1].content.split("row ")[1][0]
        return using(("order", {"number": f"A{row}"}))(request)

    path = tmp_path / "journal.sqlite"
    with pytest.raises(KilledError):
        World("react", ORDER, reply, rows=4, base=orders, path=path, die_after=6, workers=1)
    before = called_in(orders)
    World("react", ORDER, reply, rows=4, base=orders, path=path, workers=1)
    assert len(called_in(orders)) == 4
    assert called_in(orders)[: len(before)] == before


def test_the_calculator_is_a_tool_of_its_own():
    [function] = Calculator().offered("calc", Path())
    assert (function.name, function.effects) == ("calc", "none")


# at the command line


def script(place: Workplace, *turns):
    place.write("replies.jsonl", [{"match": "order", "reply": list(turns)}])


@pytest.fixture
def desk_place(tmp_path):
    place = Workplace(tmp_path, None)
    place.write("tools.py", ORDERS)
    place.write("rows.jsonl", [{"id": f"r{n}", "text": f"order A{n}", "answer": "done"} for n in range(4)])
    place.write(
        "spec.yaml",
        {
            "version": 1,
            "name": "desk",
            "models": {"task": {"model": "embedded/script", "params": {"script": "replies.jsonl"}}},
            "data": "rows.jsonl",
            "signature": "text -> answer",
            "module": "react",
            "tools": ORDER,
            "metrics": ["exact_match", {"tool_called": {"tool": "order"}}],
        },
    )
    script(
        place,
        {"text": "I look.", "tool_calls": [{"name": "order", "arguments": {"number": "A1"}}]},
        {"answer": "done"},
    )
    return place


def test_a_run_with_tools_from_end_to_end(desk_place):
    refused = desk_place.run("eval", "--split", "all")
    assert refused.code == 2
    assert "tools.py:order (tool `order`)" in " ".join(refused.err.split())
    done = desk_place.run("eval", "--split", "all", "--allow-code", "--json", "-o", "run")
    assert done.code == 0, done
    assert done.document["all"]["score"] == 1.0
    line = json.loads((desk_place.folder / "run/rows.jsonl").read_text().splitlines()[0])
    [step] = line["steps"]
    assert step["turns"] == [
        {
            "text": "I look.",
            "calls": [
                {"tool": "order", "arguments": {"number": "A1"}, "result": '{"number": "A1", "items": []}'}
            ],
        }
    ]
    (desk_place.folder / "tools.py").rename(desk_place.folder / "kept.py")
    (desk_place.folder / "kept.py").rename(desk_place.folder / "tools.py")
    traced = desk_place.run("trace", "run", "--row", "r2")
    assert traced.code == 0, traced
    assert 'tool  order: {"number": "A1"}  → {"number": "A1", "items": []}' in traced.out


def test_plan_says_what_a_run_may_take(desk_place):
    forecasts = desk_place.run("plan", "--json").document["forecasts"]
    assert forecasts[0]["calls"]["task"] == [4, 36]
    assert "tools.py:order" in desk_place.run("plan").out


def test_effects_are_refused_until_they_are_allowed_or_stubbed(desk_place):
    desk_place.write("spec.yaml", (desk_place.folder / "spec.yaml").read_text().replace(
        '"tools.py:order"', '"tools.py:order", "effects": "write"'))  # fmt: skip
    refused = desk_place.run("eval", "--split", "all", "--allow-code")
    assert refused.code == 2
    assert "the tool order changes something outside" in refused.err
    assert not (desk_place.folder / "calls.txt").exists()
    done = desk_place.run("eval", "--split", "all", "--allow-code", "--allow-effects", "--json", "-o", "run")
    assert done.code == 0, done
    assert called_in(desk_place.folder) == ["A1"] * 4
    traced = desk_place.run("trace", "run", "--row", "r3")
    assert "tool  order" in traced.out, traced
    assert called_in(desk_place.folder) == ["A1"] * 4
    desk_place.write("new.jsonl", [{"text": "order A9"}])
    ran = desk_place.run("run", "spec.yaml", "new.jsonl", "--allow-code")
    assert ran.lines[0]["outputs"] == {"answer": "done"}
    assert called_in(desk_place.folder) == ["A1"] * 5


def test_render_shows_the_tools_of_a_server_once_a_run_has_asked_it(desk_place, tmp_path):
    tree = json.loads((desk_place.folder / "spec.yaml").read_text())
    tree["tools"] = {"desk": {"mcp": {"command": [sys.executable, SERVER], "only": ["stock"]}}}
    tree["metrics"] = ["exact_match"]
    desk_place.write("spec.yaml", tree)
    script(
        desk_place, {"tool_calls": [{"name": "stock", "arguments": {"article": "ink"}}]}, {"answer": "done"}
    )
    before = desk_place.run("render", "--row", "r1", "--json")
    assert before.document[0].get("tools", []) == []
    assert "what desk offers is known once a run has asked: name one with --from RUN" in " ".join(
        before.err.split()
    )
    assert desk_place.run("eval", "--split", "all", "--allow-code", "-o", "run").code == 0
    after = desk_place.run("render", "--row", "r1", "--from", "run", "--json")
    assert [tool["function"]["name"] for tool in after.document[0]["tools"]] == ["stock"]
    assert "--- main: tools ---" in desk_place.run("render", "--row", "r1", "--from", "run").out

"""YAML is read by the core schema of YAML 1.2, with places, within bounds, with one clear error a trap."""

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptc.spec.diagnostics import Position, render
from promptc.spec.dump import dump_tree
from promptc.spec.nodes import dotted, nearest, split_dotted, walk
from promptc.spec.tree import parse


def value_of(text):
    document, findings = parse(text, "spec.yaml")
    assert findings == ()
    return document.value


def only_finding(text):
    _, findings = parse(text, "spec.yaml")
    assert len(findings) == 1, findings
    return findings[0]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("Off", "Off"),
        ("y", "y"),
        ("12:30", "12:30"),
        ("1:2:3", "1:2:3"),
        ("2024-01-31", "2024-01-31"),
        ("2024-01-31T10:00:00Z", "2024-01-31T10:00:00Z"),
        ("017", 17),
        ("-017", -17),
        ("0o17", 15),
        ("0o18", "0o18"),
        ("0x1f", 31),
        ("0x1G", "0x1G"),
        ("0b11", "0b11"),
        ("1_000", "1_000"),
        ("+12", 12),
        ("+", "+"),
        (".", "."),
        ("...x", "...x"),
        ("1e3", 1000.0),
        ("1E-3", 0.001),
        ("1.", 1.0),
        (".5", 0.5),
        ("-.5", -0.5),
        ("1.2.3", "1.2.3"),
        ("0.80", 0.8),
        ("~", None),
        ("null", None),
        ("Null", None),
        ("NULL", None),
        ("nULL", "nULL"),
        ("", None),
        ("true", True),
        ("True", True),
        ("TRUE", True),
        ("tRUE", "tRUE"),
        ("false", False),
        (".inf", math.inf),
        ("-.Inf", -math.inf),
        ("+.INF", math.inf),
        ("inf", "inf"),
        ("nan", "nan"),
        ("=", "="),
        ("'017'", "017"),
        ('"true"', "true"),
        ("!!str 017", "017"),
        ("!!int 017", 17),
        ("!!float 3", 3.0),
        ("! 017", "017"),
        ("9223372036854775807", 2**63 - 1),
    ],
)
def test_a_word_means_what_the_core_schema_says(written, meant):
    value = value_of(f"key: {written}")["key"]
    assert value == meant
    assert type(value) is type(meant)


def test_not_a_number_is_read_as_such():
    assert math.isnan(value_of("key: .nan")["key"])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("\ufeffa: 1", {"a": 1}),
        (b"\xef\xbb\xbfa: 1", {"a": 1}),
        ("a: x\r\nb: y\r\n", {"a": "x", "b": "y"}),
        ("a: x\rb: y\r", {"a": "x", "b": "y"}),
        ("a: ü😀".encode(), {"a": "ü😀"}),
        ("a: |\n  one\n  two\n", {"a": "one\ntwo\n"}),
        ("a: >-\n  one\n  two\n", {"a": "one two"}),
        ("a: &x [1, 2]\nb: *x", {"a": [1, 2], "b": [1, 2]}),
        ("a:\tb", {"a": "b"}),
        ('{\n\t"a": 1,\n\t"b": [true, null]\n}', {"a": 1, "b": [True, None]}),
        ('{"a": "\\ud83d\\ude00", "b": "\x7f\u2028"}', {"a": "😀", "b": "\x7f\u2028"}),
        ("a: {b: what?}", {"a": {"b": "what?"}}),
        ("no: 1", {"no": 1}),
        ("%YAML 1.2\n---\na: 1\n", {"a": 1}),
        ("- 1\n- 2", [1, 2]),
        ("just text", "just text"),
    ],
)
def test_what_is_read(text, value):
    assert value_of(text) == value


@pytest.mark.parametrize(
    ("text", "message", "line", "column"),
    [
        ("", "the file is empty", 1, 1),
        ("# only a comment\n", "the file is empty", 1, 1),
        ("a: 1\na: 2", 'the key "a" stands here twice; the first time in line 1, column 1', 2, 1),
        ("x: {a: 1, 'a': 2}", 'the key "a" stands here twice; the first time in line 1, column 5', 1, 11),
        ("1: a", "a key is text, and 1 is not", 1, 1),
        ("true: a", "a key is text, and true is not", 1, 1),
        ("~: a", "a key is text, and null is not", 1, 1),
        ("? [a]\n: b", "a key is text, and this is a mapping, a list or an alias", 1, 3),
        ("a: &x b\n*x : c", "a key is text, and this is a mapping, a list or an alias", 2, 1),
        ("a: 1\n<<: {b: 2}", "merge keys (<<) are not read", 2, 1),
        ("a: !custom x", "the tag !custom is not read", 1, 4),
        ("a: !!python/object:os.system x", "the tag !!python/object:os.system is not read", 1, 4),
        ("a: !!int x", "this is not what its tag !!int says", 1, 4),
        ("---\na: 1\n---\nb: 2", "a second document starts here; a file holds one", 3, 1),
        ("a:\n\tb: 1", "a tab: YAML is indented with spaces", 2, 1),
        ("a: *nowhere", "the alias *nowhere has no anchor &nowhere before it", 1, 4),
        ("a: &x [*x]", "the alias *x stands inside of what it names", 1, 8),
        ("a: 99999999999999999999", "an integer outside of 64 bits: 99999999999999999999", 1, 4),
        ("a: 1e999", "a number beyond the largest float: 1e999", 1, 4),
        (b"a: \xe9", "not UTF-8: byte 0xe9 at offset 3", 1, 4),
        (b"a: 1\nb: \xff", "not UTF-8: byte 0xff at offset 8", 2, 4),
        ("a: 1".encode("utf-16"), "the file is UTF-16; promptc reads UTF-8", 1, 1),
        ("a: \ud800", "a lone surrogate, which is no character", 1, 4),
        ("a: 1\nb: \x1b[31m", "the character U+001B is not allowed in YAML", 2, 4),
        ("ü: \x00", "the character U+0000 is not allowed in YAML", 1, 4),
        ('a: "never closed', "a quote is opened here and never closed", 1, 4),
        ("a: [1, 2", "this list is never closed", 1, 4),
        ("a: {b: 1", "this mapping is never closed", 1, 4),
        ("a: - b", "a list cannot start on the line of its key", 1, 4),
        ("a: 1\n  b: 2", "a key stands below a value, or is indented too far", 2, 4),
        ("a: 'it's'", "text behind a closing quote", 1, 8),
        ("[a,,b]", "a value was expected here", 1, 4),
    ],
)
def test_what_is_refused_and_where(text, message, line, column):
    finding = only_finding(text)
    assert finding.message == message
    assert (finding.position.line, finding.position.column) == (line, column)


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("x: {api_key: ${env:KEY}}", 14),
        ("x: {a: red, green}", 13),
        ("signature: question: str -> answer", 12),
        ("x: {?a: 1}", 5),
        ("x: [?a, b]", 5),
        ("a: b: c", 4),
        ("a: @x", 4),
        ("a: `x`", 4),
        ("a: %x", 4),
        ("a: *.txt", 5),
        ("a: !important", 4),
    ],
)
def test_known_traps_say_quote_this(text, column):
    finding = only_finding(text)
    assert "quote" in finding.hint
    assert finding.position.column == column


def test_all_findings_that_leave_a_tree_standing_come_at_once():
    document, findings = parse("a: 1\na: 2\n3: x\nb: !tag y\n", "spec.yaml")
    assert [finding.position.line for finding in findings] == [2, 3, 4]
    assert document.value == {"a": 1, "3": "x", "b": "y"}


def test_values_and_keys_know_their_places():
    document, _ = parse("a:\n  bä: [x, 'y z']\nc: |\n  text\n", "f.yaml")
    assert document.positions["a", "bä", 1] == Position("f.yaml", 2, 11, 16)
    assert document.key_positions["a", "bä"] == Position("f.yaml", 2, 3, 5)
    assert document.positions["c",].line == 3
    assert nearest(document.root, ("a", "bä", 7)).value is document.root.value["a"].value["bä"].value


@pytest.mark.parametrize(
    ("text", "offset", "line", "column"),
    [
        ("k: plain text", 6, 1, 10),
        ('k: "plain text"', 6, 1, 11),
        ("k: 'it''s text'", 5, 1, 11),
        ("k: |\n  one\n  two", 4, 3, 3),
        ("k: >\n  one\n  two", 5, 3, 4),
        ("k: &anchor 'text'", 2, 1, 15),
        ('k: "a\\tb c"', 4, 1, 4),
    ],
)
def test_a_place_inside_of_a_text(text, offset, line, column):
    document, _ = parse(text, "f.yaml")
    position = document.root.value["k"].inside(offset)
    assert (position.line, position.column) == (line, column)


def bomb():
    levels = [f"a{level}: &a{level} [{','.join([f'*a{level - 1}'] * 9)}]" for level in range(1, 12)]
    return "\n".join(["a0: &a0 [x]", *levels])


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "{a: " * 50_000,
        "- " * 50_000,
        "? " * 50_000,
        bomb(),
        "a0: &a0 [x]\n" + "\n".join(f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 200)),
        "a: [" + "1," * 150_000 + "1]",
        "x" * 5_000_000,
        b"\xff" * 5_000_000,
    ],
    ids=["lists", "maps", "block", "keys", "aliases", "tower", "wide", "large", "large bytes"],
)
def test_size_and_depth_are_bounded(text):
    start = time.monotonic()
    document, findings = parse(text, "spec.yaml")
    assert document is None
    assert len(findings) == 1
    assert time.monotonic() - start < 5


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_any_input_gives_a_tree_or_a_finding(content):
    document, findings = parse(content, "spec.yaml")
    assert document is not None or findings
    for finding in findings:
        assert render(finding, content if isinstance(content, str) else content.decode("latin-1"))


FRAGMENTS = [
    "a",
    "b: ",
    "- ",
    "{",
    "}",
    "[",
    "]",
    ", ",
    "\n",
    "  ",
    "'",
    '"',
    "|",
    "> ",
    "&x ",
    "*x",
    "? ",
    ": ",
    "#",
    "~",
    "!t ",
    "1",
]


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=25).map("".join))
def test_any_arrangement_of_signs_gives_a_tree_or_a_finding(text):
    document, findings = parse(text, "spec.yaml")
    assert document is not None or findings
    if document is not None:
        assert all(node.position.column >= 1 for _, node in walk(document.root))


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**63), max_value=2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",)))
    | st.sampled_from(
        [
            "no",
            "1e3",
            "0o17",
            "0x1f",
            "12:30",
            "~",
            "",
            " x",
            "x ",
            "a: b",
            "# c",
            "- d",
            "one\ntwo\n",
            "\n x",
            "a\n\nb ",
        ]
    )
)
KEYS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12).filter(
    lambda key: key != "<<"
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


@given(TREES)
def test_what_is_written_reads_back_unchanged(tree):
    written = dump_tree({"root": tree})
    document, findings = parse(written, "dump.yaml")
    assert findings == ()
    assert document.value == {"root": tree}


def test_texts_of_several_lines_are_written_as_blocks():
    assert (
        dump_tree({"a": "one\ntwo", "b": ["x"], "c": "1e3"}) == 'a: |-\n  one\n  two\nb:\n  - x\nc: "1e3"\n'
    )


@given(st.lists(KEYS | st.integers(min_value=0, max_value=99), min_size=1, max_size=4).map(tuple))
def test_a_dotted_path_splits_into_what_it_was_made_of(path):
    assert split_dotted(dotted(path)) == path

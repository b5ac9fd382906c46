"""Expressions are closed and bounded: what they say, what they refuse, that no attack gets anywhere."""

import contextlib
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptc.spec.expression_shape import inspect
from promptc.spec.expression_work import MAX_WORK, Size, measure, work
from promptc.spec.expressions import ExpressionError, compile_expression, wrong_reference
from promptc.spec.gates import parse_gate
from promptc.spec.type_text import TypeTextError

VALUES = {
    "args": {"context": ["Berlin is large.", "Bonn is not."], "question": "Which?"},
    "self": {"answer": "Berlin", "score": 3, "share": 0.5, "tags": []},
    "inputs": {"text": "grüße 😀", "nothing": None, "n": 1e3},
    "skipped": {"short": None},
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("args.context.exists(p, p.contains(self.answer))", True),
        ("args.context.all(p, p.endsWith('.'))", True),
        ("args.context.filter(p, p.startsWith('Bonn'))", ["Bonn is not."]),
        ("args.context.map(p, size(p))", [16, 12]),
        ("args.context.exists_one(p, p.matches('^Berl.n'))", True),
        ("size(args.context)", 2),
        ("size(inputs.text)", 7),
        ("inputs.text.size()", 7),
        ("size('a size(b) c')", 11),
        ("'Bonn' in ['Berlin', 'Bonn']", True),
        ("'answer' in self", True),
        ("has(self.answer) && !has(self.other)", True),
        ("first(skipped.short, self.answer)", "Berlin"),
        ("first(skipped.short, inputs.nothing)", None),
        ("first()", None),
        ("skipped.short == null", True),
        ("inputs.nothing != 'x'", True),
        ("self.score == 3.0", True),
        ("self.score >= 2.5 && self.share < 1", True),
        ("double(self.score) * self.share", 1.5),
        ("inputs.n == 1000", True),
        ("self.score > 5 ? 'high' : 'low'", "low"),
        ("self['answer'] + '!'", "Berlin!"),
        ("args.context[0].contains('large')", True),
        ("string(self.score) + '/5'", "3/5"),
        ("size(self.tags) == 0 || self.tags[0] == 'x'", True),
        ("// a comment\nself.score\n  > 2", True),
        ("{'a': 1}.a", 1),
    ],
)
def test_what_an_expression_says(text, value):
    assert compile_expression(text).evaluate(VALUES) == value


@pytest.mark.parametrize(
    ("text", "offset", "message"),
    [
        ("", 0, "an empty expression"),
        ("  ", 0, "an empty expression"),
        ("1 +", 2, "not an expression: the expression ends too early"),
        ("a b", 2, "not an expression: 'b' is out of place"),
        ("a\n  b", 4, "not an expression: 'b' is out of place"),
        ("(a", 0, "`(` is never closed"),
        ("a)", 1, "`)` closes nothing"),
        ("a = b", 2, "`=` has no meaning here"),
        ("a & b", 2, "`&` has no meaning here"),
        ("'abc", 0, "a quote is opened here and never closed"),
        ("l.exist(x, x)", 2, 'unknown function "exist"'),
        ("lenght(a)", 0, 'unknown function "lenght"'),
        ("l.exists(x)", 9, "exists takes a new name, a comma and an expression"),
        ("l.map(x.y, x)", 6, "map takes a new name, a comma and an expression"),
        ("s.matches('(')", 10, "not a regular expression: unclosed group"),
        ("s.matches(inputs.pattern)", 2, "matches takes a pattern that is written out"),
        ("Foo{a: 1}", 3, "`{` cannot follow a name"),
        ("a == 'ü' b", 9, "not an expression: 'b' is out of place"),
        ("let x = 1", 6, "`=` has no meaning here"),
    ],
)
def test_a_wrong_expression_says_what_and_where(text, offset, message):
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text)
    assert (caught.value.offset, caught.value.message) == (offset, message)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("l.exist(x, x)", 'did you mean "exists"?'),
        ("a = b", "compare with =="),
        ("a & b", "write &&"),
        ("l.contans('x')", 'did you mean "contains"?'),
    ],
)
def test_a_wrong_expression_says_what_to_do(text, hint):
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text)
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("self.other", "there is no key 'other'"),
        ("other", 'there is no value for "other"'),
        ("self.tags[0]", "index out of bounds: 0"),
        ("self.score / 0", "a division by zero"),
        ("9223372036854775807 + self.score", "a number beyond 64 bits"),
        ("self.score * 0.5", "an operation on values that do not fit together"),
        ("skipped.short > 3", "an operation on values that do not fit together"),
        ("size(skipped.short) > 3", "an operation on values that do not fit together"),
        ("skipped.short.size", "an operation on values that do not fit together"),
        ("int('x')", "Function 'int' error: string parse error"),
    ],
)
def test_what_cannot_be_evaluated_says_why(text, reason):
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text).evaluate(VALUES)
    assert caught.value.message.startswith(reason)


def test_nothing_is_printed_when_an_evaluation_fails(capfd):
    with pytest.raises(ExpressionError):
        compile_expression("size(skipped.short) > 3").evaluate(VALUES)
    assert capfd.readouterr() == ("", "")


def test_names_and_paths_are_known_before_evaluation():
    expression = compile_expression(
        "args.context.exists(p, p.contains(self.answer.x)) && first(b, c[d].e) == null"
    )
    assert expression.roots == {"args", "self", "b", "c", "d"}
    assert [reference.names for reference in expression.references] == [
        ("args", "context"),
        ("self", "answer", "x"),
        ("b",),
        ("c",),
        ("d",),
    ]


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("slf.answer == ''", 'unknown name "slf"', 'did you mean "self"?'),
        ("size(self.anwser) > 1", 'there is no "self.anwser"', 'did you mean "answer"?'),
        ("p.contains('x') || self.answer.exists(p, p)", 'unknown name "p"', "one of: self, inputs"),
    ],
)
def test_what_is_out_of_scope_is_found_without_data(text, message, hint):
    scope = {"self": frozenset({"answer"}), "inputs": None}
    wrong = wrong_reference(compile_expression(text), scope)
    assert (wrong.message, wrong.hint) == (message, hint)


def test_what_is_in_scope_is_left_alone():
    scope = {"self": frozenset({"answer"}), "inputs": None}
    text = "self.answer.exists(p, p == inputs.anything) && has(self.answer)"
    assert wrong_reference(compile_expression(text), scope) is None


BIG = {
    "s": "a" * 200_000,
    "l": list(range(3000)),
    "m": [list(range(100))] * 100,
    "d": {"k": {"k": {}}},
    "n": None,
}

ATTACKS = {
    "class": "s.__class__",
    "class of a list": "l.__class__.__mro__",
    "class of a map": "d.__class__",
    "dunder key": "d['__class__']['__subclasses__']",
    "dunder call": "s.__len__()",
    "format": "s.format(s)",
    "format map": "'{0.__class__}'.format_map(d)",
    "join": "''.join(l)",
    "import": "__import__('os').system('true')",
    "open": "open('/etc/passwd')",
    "eval": "eval('1')",
    "getattr": "getattr(s, 'upper')",
    "lambda": "(lambda x: x)(1)",
    "comprehension": "[x for x in l]",
    "assignment": "s := 1",
    "repeat": "'a' * 1000000000",
    "repeat a list": "[0] * 1000000000",
    "power": "9 ** 9 ** 9",
    "doubling text": "[s]" + ".map(a, a + a)" * 8,
    "many doublings": "[s]" + ".map(a, a + a)" * 100,
    "doubling lists": "[l]" + ".map(a, [a, a])" * 8,
    "wide doubling": "[s].map(a, " + "+".join(["a"] * 300) + ")" + ".map(a, a + a)" * 3,
    "comparing shared lists": "[l]" + ".map(a, [a, a])" * 7 + " == [l]" + ".map(a, [a, a])",
    "nested loops": "l.all(a, l.all(b, l.all(c, a + b + c >= 0)))",
    "four loops": "l.all(a, l.all(b, l.all(c, l.all(d, true))))",
    "loops over sums": "l.all(a, ("
    + "+".join(["l"] * 200)
    + ").all(b, ("
    + "+".join(["l"] * 200)
    + ").all(c, true)))",
    "loops over products": "m.map(a, a.map(b, m.map(c, c)))",
    "quadratic map": "l.map(a, l)",
    "loops over literals": "["
    + ",".join("1" * 250)
    + "].map(x, ["
    + ",".join("1" * 250)
    + "].map(y, ["
    + ",".join("1" * 250)
    + "]))",
    "backtracking": "s.matches('(a+)+$')",
    "nested repeats": "s.matches('((a{1,100}){1,100}){1,100}b')",
    "long repeat": "s.matches('(?:a?){900}a{900}b')",
    "unicode repeat": "s.matches('(\\\\w{200}){20}\\\\d')",
    "pattern out of data": "s.matches(s)",
    "deep brackets": "(" * 900 + "1" + ")" * 900,
    "deep lists": "[" * 900 + "]" * 900,
    "deep maps": "{1:" * 400 + "1" + "}" * 400,
    "deep calls": "size(" * 300 + "s" + ")" * 300,
    "long negation": "!" * 1900 + "true",
    "long minus": "-" * 1900 + "1",
    "long choice": "true?1:" * 280 + "1",
    "long path": "d" + ".k" * 900,
    "long sum": "1" + "+1" * 900,
    "long": "1" * 100_000,
    "large int": "99999999999999999999999999",
    "large float": "1e999999",
    "year": "timestamp('9999-12-31T23:59:59Z') + duration('999999h')",
    "endless duration": "duration('99999999999999999999h')",
    "surrogate": "'\\\\ud800'",
    "null byte": "'\\x00' + s",
}


@pytest.mark.parametrize("text", ATTACKS.values(), ids=ATTACKS)
def test_no_attack_reaches_python_or_runs_for_long(text):
    start = time.monotonic()
    value, refused = None, ""
    try:
        value = compile_expression(text).evaluate(BIG)
    except ExpressionError as error:
        refused = error.message
    assert is_plain(value)
    assert refused or value is not None
    assert time.monotonic() - start < 5


def is_plain(value):
    if isinstance(value, list):
        return all(map(is_plain, value))
    if isinstance(value, dict):
        return all(map(is_plain, value.values()))
    return value is None or type(value).__name__ in ("bool", "int", "float", "str", "datetime", "timedelta")


@pytest.mark.parametrize(
    "value",
    [object(), len, {1, 2}, b"x", 2**70, [object()], {"a": lambda: 1}],
    ids=["object", "function", "set", "bytes", "large", "within", "callable"],
)
def test_only_plain_data_gets_in(value):
    with pytest.raises(ExpressionError):
        compile_expression("v == null").evaluate({"v": value})


def test_variables_that_are_not_read_cost_nothing():
    assert compile_expression("a + 1").evaluate({"a": 1, "b": object()}) == 2


NAMES = st.sampled_from(["l", "s", "m", "n", "1", "'x'", "true", "null", "x"])
OPERATORS = st.sampled_from([" + ", " == ", " && ", " < ", " in ", ", "])
EXPRESSIONS = st.recursive(
    NAMES,
    lambda inner: st.one_of(
        st.tuples(inner, OPERATORS, inner).map("".join),
        inner.map(lambda one: f"({one})"),
        inner.map(lambda one: f"[{one}]"),
        inner.map(lambda one: f"size({one})"),
        st.tuples(inner, st.sampled_from(["map", "filter", "all", "exists"]), inner).map(
            lambda parts: f"{parts[0]}.{parts[1]}(x, {parts[2]})"
        ),
    ),
    max_leaves=8,
)


@settings(deadline=None, max_examples=300)
@given(EXPRESSIONS)
def test_the_bound_on_work_holds(text):
    """Whatever passes the bound is done in a time that goes with it."""
    variables = {"l": list(range(60)), "s": "abc" * 20, "m": [[1, 2, 3]] * 20, "n": None}
    try:
        expression = compile_expression(text)
    except ExpressionError:
        return
    size = Size()
    for name in expression.roots & variables.keys():
        measure(variables[name], size)
    units = work(inspect(text), size)
    start = time.perf_counter()
    with contextlib.suppress(ExpressionError):
        expression.evaluate(variables)
    assert time.perf_counter() - start < 0.2 + 2e-6 * min(units, MAX_WORK)


@pytest.mark.parametrize(
    ("text", "path", "operator", "value"),
    [
        ("test.score >= 0.80", "test.score", ">=", 0.8),
        ("test.score>=.8", "test.score", ">=", 0.8),
        ("test.improvement.ci_low > 0", "test.improvement.ci_low", ">", 0.0),
        ("dev.failures.parse == 0", "dev.failures.parse", "==", 0.0),
        ("cost.usd < 1e-2", "cost.usd", "<", 0.01),
        ("test.slices.language.de.score != -1.5", "test.slices.language.de.score", "!=", -1.5),
        ("test.slices.language.en-US.score <= 1", "test.slices.language.en-US.score", "<=", 1.0),
        ('test.slices."customer type"."> 5".score >= 0.5', "test.slices.customer type.> 5.score", ">=", 0.5),
        ("test.slices.größe.score >= 0.5", "test.slices.größe.score", ">=", 0.5),
    ],
)
def test_a_gate_is_a_path_a_comparison_and_a_number(text, path, operator, value):
    gate = parse_gate(text)
    assert (gate.text, gate.path, gate.operator, gate.value) == (text, path, operator, value)


@pytest.mark.parametrize(
    ("text", "offset", "message", "hint"),
    [
        ("test.score", 0, "a gate compares a figure with a number", "such as test.score >= 0.80"),
        ("test.score = 0.8", 11, "`=` compares nothing", "write == or >="),
        (">= 0.8", 0, "a figure is missing", "such as test.score >= 0.80"),
        ("test.score >= high", 14, "`high` is not a number", "such as test.score >= 0.80"),
        ("test.score >= 80%", 14, "figures are shares, not per cent", "write 0.8"),
        ("0.8 <= test.score <= 1", 7, "`test.score <= 1` is not a number", "such as test.score >= 0.80"),
        ("test score > 1", 0, "`test score` is no name in the path of a figure", 'quote it: "test score"'),
        ("test..score > 1", 0, "an empty name between two dots in the path of the figure", ""),
        ("test.score >= 1e999", 14, "`1e999` is not a number", "such as test.score >= 0.80"),
        ("a" * 600 + " > 1", 0, "longer than 500 characters", ""),
    ],
)
def test_a_wrong_gate_says_what_and_where(text, offset, message, hint):
    with pytest.raises(TypeTextError) as caught:
        parse_gate(text)
    assert (caught.value.offset, caught.value.message, caught.value.hint) == (offset, message, hint)


@given(st.text(alphabet="test.score \"<>=!0123456789%-e'", max_size=40))
def test_any_text_is_a_gate_or_an_error_with_a_place(text):
    gate, refused = None, None
    try:
        gate = parse_gate(text)
    except TypeTextError as error:
        refused = error
    if gate is None:
        assert 0 <= refused.offset <= len(text)
    else:
        assert gate.path


@given(
    st.dictionaries(st.text("0123456789", min_size=1, max_size=4), st.integers(0, 9), min_size=2, max_size=8),
    st.randoms(),
)
def test_keys_come_out_in_the_order_in_which_they_went_in(mapping, rng):
    """A prompt that shows an object must be the same on every evaluation."""
    keys = list(mapping)
    rng.shuffle(keys)
    given_ = {key: mapping[key] for key in keys}
    for text in ("a.m", "first(null, a.m)", "[a.m][0]"):
        assert list(compile_expression(text).evaluate({"a": {"m": given_}})) == keys
    [item] = compile_expression("[1].map(x, {'z': 1, 'b': a.m, 'c': 3})").evaluate({"a": {"m": given_}})
    assert (list(item), list(item["b"])) == (["b", "c", "z"], keys)

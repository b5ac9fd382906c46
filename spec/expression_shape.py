"""Looks at an expression before it is compiled: its names, its loops, and what can make its work grow."""

from __future__ import annotations

import re

import msgspec

MAX_TEXT = 2000
MAX_NESTING = 24
MAX_MACROS = 8
MAX_MACRO_DEPTH = 3

_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*)
    |(?P<string>[bB]?[rR]?(?:'''(?:[^\\]|\\.)*?'''|\"\"\"(?:[^\\]|\\.)*?\"\"\"
        |'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"))
    |(?P<number>(?:0[xX][0-9a-fA-F]+|(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?)[uU]?)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<sign>&&|\|\||[<>=!]=|[-+*/%<>!?:.,()\[\]{}])""",
    re.X | re.S,
)
_MACROS = ("all", "exists", "exists_one", "map", "filter")
_REPEAT = re.compile(r"\{(\d+)(?:,(\d*))?\}")
_OPEN = {"(": ")", "[": "]", "{": "}"}


class ExpressionError(Exception):
    """An expression that cannot be used. `offset` is the character where it goes wrong, counted from 0."""

    def __init__(self, message: str, offset: int = 0, length: int = 1, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.length = max(1, length)
        self.hint = hint


class Reference(msgspec.Struct, frozen=True):
    """A variable that is read, with the names behind its dots: `args.context` is (args, context)."""

    names: tuple[str, ...]
    offset: int


class Macro(msgspec.Struct):
    """A loop over a list: its name, the number of loops that it stands in and of maps that stand in it.

    `whole` says that its body reads a variable from outside, not only the entry at hand.
    """

    name: str
    depth: int
    maps: int = 0
    whole: bool = False


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What a text says about the work that it can make."""

    references: tuple[Reference, ...]
    calls: tuple[tuple[str, int], ...]
    macros: tuple[Macro, ...]
    patterns: tuple[tuple[str, int], ...]
    growth: int
    local_growth: int
    longest_literal: int
    repeats: int
    size_offsets: tuple[int, ...]


class _Token(msgspec.Struct, frozen=True):
    kind: str
    text: str
    offset: int


class _Frame(msgspec.Struct):
    """An open bracket: what it belongs to, the variable that it binds, and its commas."""

    sign: str
    offset: int
    macro: Macro | None = None
    variable: str = ""
    literal: bool = False
    commas: int = 0


def inspect(text: str) -> Shape:
    """The shape of an expression; ExpressionError for what is too long, too deep or no expression at all."""
    if len(text) > MAX_TEXT:
        raise ExpressionError(f"an expression has at most {MAX_TEXT:,} characters, this one {len(text):,}")
    if not text.strip():
        raise ExpressionError("an empty expression")
    return _Inspection(_tokens(text)).shape()


def _tokens(text: str) -> list[_Token]:
    found = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            if text[at] in "'\"":
                raise ExpressionError("a quote is opened here and never closed", at)
            hint = {"=": "compare with ==", "&": "write &&", "|": "write ||"}.get(text[at], "")
            raise ExpressionError(f"`{text[at]}` has no meaning here", at, 1, hint)
        if match.lastgroup != "space":
            found.append(_Token(match.lastgroup, match[0], at))
        at = match.end()
    return found


class _Inspection:
    """One walk over the tokens of an expression."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = [*tokens, _Token("end", "", tokens[-1].offset + len(tokens[-1].text) if tokens else 0)]
        self._frames: list[_Frame] = []
        self._references: list[Reference] = []
        self._calls: list[tuple[str, int]] = []
        self._macros: list[Macro] = []
        self._sizes: list[int] = []
        self._patterns: list[tuple[str, int]] = []
        self._growth = 0
        self._local_growth = 0
        self._longest = 1
        self._repeats = 1

    def shape(self) -> Shape:
        for index, token in enumerate(self._tokens):
            if token.kind == "name":
                self._name(index, token)
            elif token.text in _OPEN and token.kind == "sign":
                self._open(index, token)
            elif token.text in (")", "]", "}") and token.kind == "sign":
                self._close(token)
            elif token.text == "+" or (token.text == "," and self._frames and self._frames[-1].literal):
                self._grow(token)
        if self._frames:
            raise ExpressionError(f"`{self._frames[-1].sign}` is never closed", self._frames[-1].offset)
        if len(self._macros) > MAX_MACROS:
            raise ExpressionError(f"an expression has at most {MAX_MACROS} loops (exists, all, map …)")
        return Shape(
            references=tuple(self._references),
            calls=tuple(self._calls),
            macros=tuple(self._macros),
            patterns=tuple(self._patterns),
            growth=self._growth,
            local_growth=self._local_growth,
            longest_literal=self._longest,
            repeats=self._repeats,
            size_offsets=tuple(self._sizes),
        )

    def _loops(self) -> list[Macro]:
        """The macros whose bodies are open, from the outside in."""
        return [frame.macro for frame in self._frames if frame.macro is not None]

    def _grow(self, token: _Token) -> None:
        """What makes data larger: sums, and entries of lists. Where only true or false comes out, it does not
        last.
        """
        if token.text == ",":
            self._frames[-1].commas += 1
            self._longest = max(self._longest, self._frames[-1].commas + 1)
        loops = self._loops()
        if not loops or loops[-1].name == "map":
            self._growth += 1
        elif token.text == "+":
            self._local_growth += 1

    def _open(self, index: int, token: _Token) -> None:
        if len(self._frames) >= MAX_NESTING:
            raise ExpressionError(f"brackets are nested more than {MAX_NESTING} levels deep", token.offset)
        before = self._tokens[index - 1] if index else None
        frame = _Frame(token.text, token.offset)
        if token.text == "(" and before is not None and before.kind == "name":
            self._call(index, before, frame)
        elif token.text != "(":
            if token.text == "{" and before is not None and before.kind == "name":
                raise ExpressionError(
                    "`{` cannot follow a name", token.offset, 1, "a map stands alone: {'a': 1}"
                )
            is_index = before is not None and (
                before.kind in ("name", "string") or before.text in (")", "]", "}")
            )
            frame.literal = not is_index
        self._frames.append(frame)

    def _call(self, index: int, name: _Token, frame: _Frame) -> None:
        method = index >= 2 and self._tokens[index - 2].text == "."
        if name.text == "size":
            self._sizes.append(name.offset)
        if name.text == "matches":
            self._pattern(index, name, method)
        if not (method and name.text in _MACROS):
            self._calls.append((name.text, name.offset))
            return
        loops = self._loops()
        if len(loops) >= MAX_MACRO_DEPTH:
            raise ExpressionError(
                f"loops are nested more than {MAX_MACRO_DEPTH} deep", name.offset, len(name.text)
            )
        variable = self._tokens[index + 1]
        if variable.kind != "name" or self._tokens[index + 2].text != ",":
            raise ExpressionError(
                f"{name.text} takes a new name, a comma and an expression",
                variable.offset,
                len(variable.text),
                f"such as list.{name.text}(x, x != '')",
            )
        frame.macro, frame.variable = Macro(name.text, len(loops)), variable.text
        self._macros.append(frame.macro)
        for loop in loops if name.text == "map" else ():
            loop.maps += 1

    def _pattern(self, index: int, name: _Token, method: bool) -> None:
        """A regular expression is written out, so that data cannot bring one, and its repeats are counted."""
        pattern = self._tokens[index + 1]
        if not method or pattern.kind != "string" or self._tokens[index + 2].text != ")":
            raise ExpressionError(
                "matches takes a pattern that is written out",
                name.offset,
                len(name.text),
                "text.matches('[0-9]+')",
            )
        self._patterns.append((pattern.text, pattern.offset))
        for match in _REPEAT.finditer(pattern.text):
            self._repeats *= max(1, int((match[2] or match[1])[:6]))
        self._repeats = max(self._repeats, len(pattern.text))

    def _close(self, token: _Token) -> None:
        if not self._frames or _OPEN[self._frames[-1].sign] != token.text:
            raise ExpressionError(f"`{token.text}` closes nothing", token.offset)
        self._frames.pop()

    def _name(self, index: int, token: _Token) -> None:
        """A variable, unless it is a key, a call, a word of the language or bound by a macro."""
        before, after = self._tokens[index - 1] if index else None, self._tokens[index + 1]
        if token.text in ("true", "false", "null", "in") or after.text == "(":
            return
        if before is not None and before.text == "." and before.kind == "sign":
            return
        if any(frame.variable == token.text for frame in self._frames):
            return
        names = [token.text]
        at = index + 1
        while self._tokens[at].text == "." and self._tokens[at + 1].kind == "name":
            if self._tokens[at + 2].text == "(":
                break
            names.append(self._tokens[at + 1].text)
            at += 2
        self._references.append(Reference(tuple(names), token.offset))
        for loop in self._loops():
            loop.whole = True

"""What can be known of the user's functions without running them."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

from promptc.runners.hook_worker import CannotBind, Parameters
from promptc.spec.errors import UsageError

METRIC_ARGUMENTS = ("row", "prediction", "trace")
"""What a metric's function is given, in this order."""


RETRIEVER_ARGUMENTS = ("queries", "k", "filter")
"""What a retriever's function is given, in this order."""


def locate(base: str | Path, reference: str) -> tuple[Path, str]:
    """The file and the function's name behind `file.py:function`.

    ValueError, in words, unless the file is a Python file inside the spec's folder, links followed.
    """
    path, colon, name = reference.rpartition(":")
    if "://" in reference or not colon or not path.endswith(".py") or not name.isidentifier():
        raise ValueError("write it as `file.py:function`, the file relative to the spec's folder")
    folder = Path(base).resolve()
    try:
        file = (folder / path).resolve()
        found = file.is_file()
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path!r} is not a path that can be read") from error
    if not file.is_relative_to(folder):
        raise ValueError(f"{path} lies outside of the spec's folder; code runs only from inside it")
    if not found:
        raise ValueError(f"there is no file {path} in the spec's folder")
    return folder / path, name


def check_reference(
    base: str | Path, reference: str, arguments: Sequence[str] = METRIC_ARGUMENTS
) -> list[str]:
    """What is wrong with a reference, in sentences; none of the user's code runs for it.

    What only running could tell (a name that is imported, assigned or decorated) is taken to be right.
    """
    try:
        file, name = locate(base, reference)
        tree = ast.parse(file.read_bytes(), filename=str(file))
    except SyntaxError as error:
        return [f"{reference.rpartition(':')[0]}:{error.lineno}: {error.msg}"]
    except (ValueError, OSError, RecursionError) as error:
        return [str(error)]
    names = dict(_bound(tree.body))
    if name not in names:
        if "*" in names:
            return []
        functions = [other for other, node in names.items() if node is not None]
        close = get_close_matches(name, functions, 1) or functions
        hint = f"; it has {', '.join(f'`{other}`' for other in close)}" if close else ""
        return [f"{file.name} has no function `{name}`{hint}"]
    function = names[name]
    if function is None or function.decorator_list:
        return []
    try:
        _parameters(function).bind(dict.fromkeys(arguments))
    except CannotBind as error:
        return [f"{reference.rpartition(':')[0]}:{function.lineno}: `{name}` cannot be called: {error}"]
    return []


def hook_digest(base: str | Path, reference: str) -> str:
    """32 hex digits over the file and all it imports from the spec's folder, directly or not; nothing runs.

    Imports by a computed name, and data files that the code reads, are not covered. UsageError for a bad
    reference.
    """
    try:
        file, name = locate(base, reference)
        folder = Path(base).resolve()
        contents = _contents(file, folder)
    except (ValueError, OSError) as error:
        raise UsageError(f"{reference}: {error}") from error
    digest = hashlib.blake2b(name.encode(), digest_size=16)
    for path in sorted(contents):
        digest.update(f"\0{path.relative_to(folder).as_posix()}\0{len(contents[path])}\0".encode())
        digest.update(contents[path])
    return digest.hexdigest()


def hook_files(base: str | Path, reference: str) -> tuple[Path, ...]:
    """The file and all it imports from the spec's folder; nothing runs. UsageError for a bad reference."""
    try:
        file, _ = locate(base, reference)
        return tuple(sorted(_contents(file, Path(base).resolve())))
    except (ValueError, OSError) as error:
        raise UsageError(f"{reference}: {error}") from error


def _contents(start: Path, folder: Path) -> dict[Path, bytes]:
    """The bytes of a file and of every module in the folder that can be reached from it."""
    contents: dict[Path, bytes] = {}
    folders = (start.parent, folder)
    waiting = [start]
    while waiting:
        file = waiting.pop()
        if file not in contents:
            contents[file] = file.read_bytes()
            found = _imported(file, contents[file], folders)
            waiting += (path for path in found if path.is_relative_to(folder))
    return contents


def _imported(file: Path, source: bytes, folders: tuple[Path, ...]) -> Iterator[Path]:
    """The local files that the imports in a source may load, packages' `__init__.py` included."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _module_files(alias.name, folders)
        elif isinstance(node, ast.ImportFrom):
            start = tuple(file.parents)[node.level - 1 : node.level] if node.level else folders
            module = f"{node.module}." if node.module else ""
            for alias in node.names:
                yield from _module_files(f"{module}{alias.name}", start)


def _module_files(dotted: str, folders: tuple[Path, ...]) -> Iterator[Path]:
    """The local files that importing a dotted name loads: each package on the way, and the module."""
    for folder in folders:
        place = folder
        for part in dotted.split("."):
            yield from (f for f in (place / f"{part}.py", place / part / "__init__.py") if f.is_file())
            place = place / part


def _bound(body: Sequence[ast.stmt]) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef | None]]:
    """Names that a module's statements bind, with the function where it is one; `*` for a star import."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            yield node.name, None
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((alias.asname or alias.name.partition(".")[0], None) for alias in node.names)
        else:
            stored = (n for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
            yield from ((name.id, None) for name in stored)
            for block in ("body", "orelse", "finalbody"):
                yield from _bound(getattr(node, block, []))
            for part in (*getattr(node, "handlers", []), *getattr(node, "cases", [])):
                yield from _bound(part.body)


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Parameters:
    arguments = function.args
    plain = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
    defaulted = len(plain) - len(arguments.defaults)
    defaults = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    keywords = [argument.arg for argument, default in defaults if default is None]
    optional = [a.arg for a in arguments.kwonlyargs if a.arg not in keywords]
    return Parameters(
        required=tuple(plain[:defaulted]),
        optional=(*plain[defaulted:], *optional),
        keywords=tuple(keywords),
        variadic=arguments.vararg is not None,
        rest=arguments.kwarg is not None,
    )

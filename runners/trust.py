"""Whether a spec's own code may run: a spec is data until the person at the keyboard says otherwise.

Code is allowed by `--allow-code`, by `PROMPTC_ALLOW_CODE=1`, or by the spec's folder, or one above it, being
listed in `$XDG_CONFIG_HOME/promptc/trusted` (`~/.config/promptc/trusted`): one absolute path on each line,
`#` for comments. The environment must be the process's own; one that an env file of the same folder has been
read into proves nothing.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from promptc.runners.hook_source import METRIC_ARGUMENTS, RETRIEVER_ARGUMENTS
from promptc.runners.tools.function_source import read_function
from promptc.spec.diagnostics import Position
from promptc.spec.errors import TrustError
from promptc.spec.model import PythonCall, Spec, ToolUse
from promptc.spec.pipeline import all_stages
from promptc.spec.plugin import Plugin

_REFERENCE = re.compile(r".+\.py:[^\W\d]\w*")


class CodeUse(msgspec.Struct, frozen=True, kw_only=True):
    """One thing of the user's that would run, and what for: `file.py:name` or a shell command.

    `arguments` are the names of what a function is given.
    """

    kind: Literal["function", "command"]
    reference: str
    used_by: str
    position: Position | None = None
    arguments: tuple[str, ...] = METRIC_ARGUMENTS


class TrustFile(msgspec.Struct, frozen=True):
    """The folders that a user trusts. `ignored` says why the file does not count, "" when it does."""

    path: Path
    folders: tuple[Path, ...] = ()
    ignored: str = ""


def code_of(spec: Spec) -> list[CodeUse]:
    """Everything in a spec that is code: functions of metrics, steps and tools, also nested; commands for keys and
    servers.
    """
    plugins = [(f"metric `{use.name}`", use.plugin, use.position) for use in spec.metrics]
    plugins += [(f"retriever `{use.name}`", use.plugin, use.position) for use in spec.retrievers.values()]
    for step in spec.steps:
        plugins += [(f"step `{step.name}`", plugin, step.position) for plugin in (step.module, step.format)]
    functions = [
        CodeUse(
            kind="function",
            reference=reference,
            used_by=used_by,
            position=position,
            arguments=RETRIEVER_ARGUMENTS if plugin.kind == "retriever" else METRIC_ARGUMENTS,
        )
        for used_by, plugin, position in plugins
        for reference in _references(plugin)
    ]
    judging = [stage for use in spec.metrics if use.program is not None for stage in use.program.stages]
    functions += [
        CodeUse(
            kind="function",
            reference=stage.action.reference,
            used_by=f"step `{stage.name}`",
            position=stage.position,
            arguments=tuple(stage.inputs),
        )
        for stage in all_stages((*spec.stages, *judging))
        if isinstance(stage.action, PythonCall)
    ]
    functions += [_tool_function(spec, use) for use in spec.tools.values() if use.plugin.name == "python"]
    commands = [
        CodeUse(kind="command", reference=command, used_by=f"model `{name}`", position=model.position)
        for name, model in spec.models.items()
        if (command := model.api_key_command) is not None
    ]
    commands += [
        CodeUse(kind="command", reference=" ".join(command), used_by=f"tool `{name}`", position=use.position)
        for name, use in spec.tools.items()
        if (command := use.plugin.params.get("command")) and use.plugin.name == "mcp"
    ]
    return functions + commands


def _tool_function(spec: Spec, use: ToolUse) -> CodeUse:
    """The function behind a tool, which is called with the arguments that its source declares."""
    reference = use.plugin.params["function"]
    try:
        arguments = tuple(read_function(Path(spec.base), reference, use.name).schema["properties"])
    except ValueError:
        arguments = METRIC_ARGUMENTS  # what is wrong with it is found where tools are checked
    return CodeUse(
        kind="function",
        reference=reference,
        used_by=f"tool `{use.name}`",
        position=use.position,
        arguments=arguments,
    )


def allowed(base: str | Path, *, flag: bool, environment: Mapping[str, str]) -> bool:
    """True when code from the spec's folder may run."""
    if flag or environment.get("PROMPTC_ALLOW_CODE") == "1":
        return True
    trusted = trust_file(environment)
    folder = Path(base).resolve()
    return trusted is not None and any(folder.is_relative_to(other) for other in trusted.folders)


def require(uses: Sequence[CodeUse], base: str | Path, *, flag: bool, environment: Mapping[str, str]) -> None:
    """Return when there is no code or it may run; else TrustError: what would run, how to allow it."""
    if not uses or allowed(base, flag=flag, environment=environment):
        return
    listed = ", ".join(f"{use.reference} ({use.used_by})" for use in uses)
    ways = ["pass --allow-code", "set PROMPTC_ALLOW_CODE=1"]
    trusted = trust_file(environment)
    if trusted is not None and trusted.ignored:
        ways.append(f"mend {trusted.path}, which does not count: {trusted.ignored}")
    elif trusted is not None:
        ways.append(f"add {Path(base).resolve()} to {trusted.path}")
    raise TrustError(
        f"the spec wants to run code that nobody has allowed: {listed}", f"read it, then {', or '.join(ways)}"
    )


def trust_file(environment: Mapping[str, str]) -> TrustFile | None:
    """The user's trust file; None where there is no place for one. A missing file lists nothing."""
    home = environment.get("HOME", "")
    settings = environment.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(settings):
        if not os.path.isabs(home):
            return None
        settings = os.path.join(home, ".config")
    path = Path(settings) / "promptc" / "trusted"
    try:
        ignored = _writable_by_others(path)
        lines = [] if ignored else os.fsdecode(path.read_bytes()).splitlines()
    except FileNotFoundError:
        return TrustFile(path)
    except OSError as error:
        return TrustFile(path, ignored=f"it cannot be read ({error.strerror})")
    return TrustFile(path, tuple(_folders(lines, home)), ignored)


def _folders(lines: Sequence[str], home: str) -> Iterator[Path]:
    for line in lines:
        text = line.strip()
        expanded = home + text[1:] if text.startswith("~/") else text
        if os.path.isabs(expanded) and "\0" not in expanded:
            yield Path(expanded).resolve()


def _writable_by_others(path: Path) -> str:
    """Why somebody else could have written the file: its owner, its rights, or those of its folder."""
    for place, name in ((path, "it"), (path.parent, "its folder")):
        status = place.stat()
        if status.st_uid not in (os.getuid(), 0):
            return f"{name} belongs to somebody else"
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return f"{name} can be written by others (chmod go-w {place})"
    return ""


def _references(plugin: Plugin) -> Iterator[str]:
    """The functions that a plug-in names, also those of the plug-ins in its parameters."""
    if plugin.name == "python":
        yield from _functions(plugin.params)
    else:
        yield from _nested(plugin.params)


def _nested(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _functions(part) if key == "python" else _nested(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _nested(part)


def _functions(params: Any) -> Iterator[str]:
    """The references among the parameters of a `python` plug-in; all of them as they are when none looks like
    one.

    Too much rather than too little: what is not listed here would run unasked.
    """
    found = [text for text in _texts(params) if _REFERENCE.fullmatch(text)]
    yield from found or [msgspec.json.encode(params, order="deterministic").decode()]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)

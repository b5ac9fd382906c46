"""`${env:NAME}` and `${env:NAME:-default}`: what a spec takes from the environment, and where it may."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from promptc.spec.diagnostics import Findings, looks_like_key
from promptc.spec.nodes import Node, Path, children, dotted, walk
from promptc.spec.suggest import closest

ALLOWED = (
    "models.*.model, api_base, api_key, api_key_command and headers, the paths under data:, "
    "documents, url, api_key and headers of a retriever, and url, headers and environment of a tool"
)

_REFERENCE = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_STARTED = re.compile(r"\$\{env\b|\$\{env:")
_PLAIN_VARIABLE = re.compile(r"\$\{?([A-Z][A-Z0-9_]+)\}?")
_LONG_TOKEN = re.compile(r"(?=[^0-9]*[0-9])[A-Za-z0-9+/_\-.]{20,}={0,2}")
_URL_WITH_PASSWORD = re.compile(r"[a-z][a-z0-9+.\-]*://[^/\s@:]*:[^/\s@]+@")
_CREDENTIAL_HEADER = re.compile(r"authorization|api[-_]?key|token|secret|cookie|password", re.IGNORECASE)


def references(text: str) -> tuple[str, ...]:
    """The names of the environment variables that a text refers to."""
    return tuple(match[1] for match in _REFERENCE.finditer(text))


def substitute(text: str, environment: Mapping[str, str]) -> str:
    """The text with its references replaced. KeyError names a variable that is not set and has no default."""

    def value(match: re.Match[str]) -> str:
        found = environment.get(match[1], "")
        if found:
            return found
        if match[2] is not None:
            return match[2]
        if match[1] in environment:
            return ""
        raise KeyError(match[1])

    return _REFERENCE.sub(value, text)


def resolve_environment(root: Node, environment: Mapping[str, str], findings: Findings) -> Node:
    """The tree with references replaced where they are known at once; credentials keep theirs.

    Notes references that are malformed, unset or in a place where none is read, and credentials that are
    written out.
    """
    for path, node in walk(root):
        if isinstance(node.value, str):
            _check_credential(path, node, findings)
    return _resolved(root, (), environment, findings)


def _resolved(node: Node, path: Path, environment: Mapping[str, str], findings: Findings) -> Node:
    if isinstance(node.value, str):
        return _text(node, path, environment, findings)
    if _is_rows(path):
        return node
    if isinstance(node.value, dict):
        changed: object = {
            key: _resolved(child, (*path, key), environment, findings) for key, child in node.value.items()
        }
    elif isinstance(node.value, list):
        changed = [_resolved(child, (*path, index), environment, findings) for index, child in children(node)]
    else:
        return node
    return msgspec.structs.replace(node, value=changed)


def _text(node: Node, path: Path, environment: Mapping[str, str], findings: Findings) -> Node:
    text: str = node.value
    kind = _kind(path)
    if kind == "":
        match = _STARTED.search(text)
        if match is not None:
            findings.error(
                "${env:…} is not read here",
                node.inside(match.start(), len(match[0])),
                path=dotted(path),
                hint=f"it is read in {ALLOWED}",
            )
        return node
    if "${" not in text:
        return node
    rest = _REFERENCE.sub("", text)
    if "${" in rest:
        plain = _PLAIN_VARIABLE.search(rest)
        hint = f"write ${{env:{plain[1]}}}" if plain else "write ${env:NAME} or ${env:NAME:-default}"
        findings.error(
            "this is no reference to the environment",
            node.inside(text.index("${"), 2),
            path=dotted(path),
            hint=hint,
        )
        return node
    if kind == "credential":
        return node
    return _substituted(node, path, environment, findings)


def _substituted(node: Node, path: Path, environment: Mapping[str, str], findings: Findings) -> Node:
    try:
        return msgspec.structs.replace(node, value=substitute(node.value, environment))
    except KeyError as error:
        name = str(error.args[0])
        near = closest(name, environment)
        meant = f"did you mean {near}? " if near else ""
        findings.error(
            f"the environment variable {name} is not set",
            node.position,
            path=dotted(path),
            hint=f"{meant}set it, or give a default: ${{env:{name}:-…}}",
        )
        return node


def _kind(path: Path) -> str:
    """`credential` for what stays unresolved, `value` for what is resolved at once, "" where none is read."""
    if path[:1] == ("models",):
        if len(path) == 2:
            return "value"
        if len(path) == 3 and path[2] in ("model", "api_base"):
            return "value"
        if (len(path) == 3 and path[2] in ("api_key", "api_key_command")) or path[2:3] == ("headers",):
            return "credential"
    if path[:1] == ("retrievers",) and len(path) > 3:
        if len(path) == 4 and path[3] in ("documents", "url"):
            return "value"
        if (len(path) == 4 and path[3] == "api_key") or path[3] == "headers":
            return "credential"
    if path[:1] == ("tools",) and len(path) > 3:
        if len(path) == 4 and path[3] == "url":
            return "value"
        if path[3] in ("headers", "environment"):
            return "credential"
    if path == ("data",) or (
        len(path) == 2 and path[0] == "data" and path[1] in ("path", "train", "dev", "test")
    ):
        return "value"
    return ""


def _is_rows(path: Path) -> bool:
    """Rows are data: what looks like a reference in them is text."""
    return path in (("data", "rows"), ("demos",))


def _check_credential(path: Path, node: Node, findings: Findings) -> None:
    """Credentials come from the environment and stand nowhere else."""
    text: str = node.value
    if path[:1] not in (("models",), ("retrievers",), ("tools",)):
        return
    own = path[2:] if path[0] == "models" else path[3:]
    bare = _REFERENCE.sub("", text)
    written_out = looks_like_key(bare) or _URL_WITH_PASSWORD.search(bare) is not None
    if own == ("api_key",) or (
        own[:1] in (("headers",), ("environment",)) and _CREDENTIAL_HEADER.search(str(path[-1]))
    ):
        written_out = written_out or any(_LONG_TOKEN.fullmatch(word) for word in bare.split())
    if written_out:
        name = "PASSWORD" if "://" in text else "API_KEY"
        findings.error(
            "a credential is written out here",
            node.position,
            path=dotted(path),
            hint=f"write ${{env:{name}}} and set that variable; replace the credential: it may be known",
            secret=True,
        )

"""What `promptc doctor` finds on this machine: versions, folders, the terminal and the way to the network."""

from __future__ import annotations

import os
import platform
import re
import shutil
import ssl
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from promptc.cli.console import Terminal, in_ci, wants_color
from promptc.cli.quantities import size_text
from promptc.cli.reports.figures import counted
from promptc.runners.models.cache import Cache
from promptc.runners.models.cache_file import cache_path
from promptc.runners.models.transports.connection import trusted_certificates
from promptc.runners.trust import trust_file
from promptc.spec.errors import RunError

Status = Literal["ok", "note", "warning", "error"]
Area = Literal["program", "files", "terminal", "network"]

CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_DIR")
PROXY_VARIABLES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")
LITTLE_ROOM = 100_000_000
"""Free bytes below which a run may fill the disk."""

_REQUIREMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)([^;]*)(;.*)?")
_BOUND = re.compile(r"(>=|<)\s*(\d+(?:\.\d+)*)")


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at, how it is, and what to do where it is not as it should be."""

    area: Area
    name: str
    value: str
    status: Status = "ok"
    hint: str = ""


def machine_findings(
    environment: Mapping[str, str],
    terminal: Terminal,
    version: str,
    color: Literal["auto", "always", "never"],
) -> tuple[Finding, ...]:
    """Everything that does not depend on a spec. Opens no socket."""
    return (
        *program_findings(version, metadata.requires("promptc") or ()),
        *file_findings(environment),
        *terminal_findings(environment, terminal, color),
        *network_findings(environment),
    )


def program_findings(version: str, requirements: Iterable[str]) -> Iterator[Finding]:
    """promptc, Python and the libraries, each held against what promptc asks for. Extras are left out."""
    yield Finding(area="program", name="promptc", value=version)
    yield Finding(area="program", name="python", value=f"{platform.python_version()}, {sys.executable}")
    yield Finding(area="program", name="system", value=platform.platform(terse=True))
    for requirement in requirements:
        found = _REQUIREMENT.match(requirement)
        if found is not None and "extra" not in (found[3] or ""):
            yield _library(found[1], found[2].strip())


def _library(name: str, bounds: str) -> Finding:
    hint = "install promptc anew in an environment of its own"
    try:
        installed = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Finding(area="program", name=name, value="not installed", status="error", hint=hint)
    if fits(installed, bounds):
        return Finding(area="program", name=name, value=installed)
    value = f"{installed}, and promptc needs {bounds}"
    return Finding(area="program", name=name, value=value, status="warning", hint=hint)


def fits(installed: str, bounds: str) -> bool:
    """Whether a version is within bounds such as `>=1.2,<2`, by the numbers that it begins with."""
    numbers = re.match(r"\d+(?:\.\d+)*", installed)
    if numbers is None:
        return True
    version = _numbers(numbers[0])
    return all(
        version >= _numbers(bound) if operator == ">=" else version < _numbers(bound)
        for operator, bound in _BOUND.findall(bounds)
    )


def _numbers(version: str) -> tuple[int, ...]:
    parts = [int(part) for part in version.split(".")]
    while parts and parts[-1] == 0:
        parts.pop()
    return tuple(parts)


def file_findings(environment: Mapping[str, str]) -> Iterator[Finding]:
    """The cache, the trust file, and settings that come from the environment."""
    yield _cache(environment)
    yield _room(cache_path(environment).parent)
    yield _trust(environment)
    named = sorted(name for name, value in environment.items() if name.startswith("PROMPTC_") and value)
    if named:
        value = ", ".join(named)
        yield Finding(area="files", name="settings", value=f"set in the environment: {value}", status="note")


def _cache(environment: Mapping[str, str]) -> Finding:
    path = cache_path(environment)
    hint = "every reply is asked for anew; set PROMPTC_CACHE_DIR to a folder that can be written"
    place = path if path.exists() else _nearest(path.parent)
    if not os.access(place, os.W_OK) or not os.access(_nearest(path.parent), os.W_OK | os.X_OK):
        return Finding(area="files", name="cache", value=f"{path}, not writable", status="warning", hint=hint)
    try:
        found = Cache(path, warn=lambda _: None).stats()
    except RunError as error:
        return Finding(area="files", name="cache", value=error.message, status="warning", hint=error.hint)
    replies = counted(found.replies, "reply", "replies")
    return Finding(area="files", name="cache", value=f"{path}, {replies}, {size_text(found.bytes)}, writable")


def _room(folder: Path) -> Finding:
    free = shutil.disk_usage(_nearest(folder)).free
    status: Status = "warning" if free < LITTLE_ROOM else "ok"
    hint = "`promptc cache prune --older 30d` makes room" if free < LITTLE_ROOM else ""
    return Finding(area="files", name="disk", value=f"{size_text(free)} free there", status=status, hint=hint)


def _nearest(folder: Path) -> Path:
    """The folder itself, or the nearest one above it that exists."""
    return next((place for place in (folder, *folder.absolute().parents) if place.exists()), folder)


def _trust(environment: Mapping[str, str]) -> Finding:
    found = trust_file(environment)
    if found is None:
        value = "none: neither HOME nor XDG_CONFIG_HOME is an absolute path"
        return Finding(area="files", name="trusted", value=value, status="note")
    if found.ignored:
        value = f"{found.path} does not count: {found.ignored}"
        return Finding(
            area="files", name="trusted", value=value, status="warning", hint="mend it, or pass --allow-code"
        )
    if not found.folders:
        return Finding(area="files", name="trusted", value=f"no folders in {found.path}")
    listed = ", ".join(str(folder) for folder in found.folders)
    return Finding(area="files", name="trusted", value=f"{found.path}: {listed}")


def terminal_findings(
    environment: Mapping[str, str], terminal: Terminal, color: Literal["auto", "always", "never"]
) -> Iterator[Finding]:
    """What the reports are written to."""
    stream = terminal.out.file
    kind = "a terminal" if stream.isatty() else "no terminal: a file or a pipe"
    kind += ", in a CI build" if in_ci(environment) else ""
    yield Finding(area="terminal", name="stdout", value=kind)
    encoding = (getattr(stream, "encoding", None) or "utf-8").lower()
    narrow = not encoding.startswith("utf")
    yield Finding(
        area="terminal",
        name="encoding",
        value=encoding,
        status="warning" if narrow else "ok",
        hint="set LC_ALL=C.UTF-8 or PYTHONIOENCODING=utf-8, or marks are shown in ASCII" if narrow else "",
    )
    yield Finding(area="terminal", name="width", value=f"{terminal.out.width} columns")
    said = [name for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE") if environment.get(name)]
    said += ["TERM=dumb"] if environment.get("TERM") == "dumb" else []
    colored = "on" if wants_color(stream, environment, color) else "off"  # type: ignore[arg-type]
    because = f" ({', '.join(said)})" if said else ""
    yield Finding(area="terminal", name="colour", value=colored + because)


def network_findings(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Variables for proxies and certificates that a request would honour. Passwords in them are not shown."""
    for variable in PROXY_VARIABLES:
        for name in (variable, variable.lower()):
            if value := environment.get(name):
                shown = value if variable == "NO_PROXY" else without_password(value)
                yield Finding(area="network", name=name, value=shown, status="note")
    named = [name for name in CERTIFICATE_VARIABLES if environment.get(name)]
    problem = certificate_problem(environment) if named else ""
    unusable = f", which cannot be used: {problem}" if problem else ""
    for name in named:
        yield Finding(
            area="network",
            name=name,
            value=environment[name] + unusable,
            status="warning" if problem else "note",
            hint="name a file of certificates in PEM form, or unset it" if problem else "",
        )


def certificate_problem(environment: Mapping[str, str]) -> str:
    """Why the certificates that the environment names cannot be loaded; "" when they can."""
    try:
        trusted_certificates(environment)
    except (OSError, ssl.SSLError) as error:
        return error.strerror or str(error)
    return ""


def without_password(address: str) -> str:
    """An address with its user and password masked."""
    parts = urlsplit(address)
    at = parts.netloc.rpartition("@")
    return address.replace(at[0] + at[1], "***@", 1) if at[1] else address

"""`promptc cache`: the replies that promptc remembers."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promptc.cli.options import spec_options, target, view_options
from promptc.cli.quantities import read_age, read_size

if TYPE_CHECKING:
    from promptc.cli.console import Terminal
    from promptc.runners.models.cache import Cache


@click.group()
def cache() -> None:
    """Look at, prune, clear or export the cache of replies.

    Every reply of a language model is kept, so that the same request is never paid twice. The file is in
    $PROMPTC_CACHE_DIR, else in promptc/ of $XDG_CACHE_HOME, else in ~/.cache/promptc.

    \b
    Examples:
      promptc cache stats
      promptc cache explain spec.yaml --row t007
      promptc cache prune --older 30d --max-bytes 1GB
    """


@cache.command()
@view_options
def stats(**typed: Any) -> int:
    """Say where the cache is, how large, and what it holds.

    \b
    Examples:
      promptc cache stats
      promptc cache stats --json | jq .bytes
    """
    from promptc.cli.caching import stats_text

    terminal, store = _open(typed)
    found = store.stats()
    if typed["as_json"]:
        _write_json(terminal, found)
    else:
        terminal.write(stats_text(found, time.time()))
    return 0


@cache.command()
@target
@click.option("--row", "row_id", metavar="ID", help="The row whose first request is looked for.")
@click.option("--step", metavar="NAME", help="The predictor. Default: the first.")
@click.option("--key", metavar="HEX", help="Show the entries whose key begins so; needs no spec.")
@click.option(
    "--candidate", type=click.Path(path_type=Path), metavar="FILE",
    help="Ask as an edited candidate.yaml, an artifact or a run's winner does.",
)  # fmt: skip
@spec_options
@view_options
def explain(spec: Path | None, row_id: str | None, key: str | None, **typed: Any) -> int:
    """Say whether a row's first request is cached, and if not, where the most similar one differs.

    \b
    Examples:
      promptc cache explain spec.yaml --row t007
      promptc cache explain spec.yaml --row t007 --model openai/gpt-4.1
      promptc cache explain --key 3fa9c1
    """
    from promptc.spec.errors import UsageError

    if (row_id is None) == (key is None):
        raise UsageError("name a row with --row ID, or an entry with --key HEX")
    terminal, store = _open(typed)
    if key is not None:
        _show_entries(terminal, store, key, as_json=typed["as_json"])
    elif row_id is not None:
        _show_row(terminal, store, spec, row_id, typed)
    return 0


@cache.command()
@click.option(
    "--older", callback=read_age, metavar="AGE", help="Remove replies that are older, e.g. 12h or 30d."
)
@click.option(
    "--max-bytes",
    callback=read_size,
    metavar="SIZE",
    help="Then remove the oldest until the file fits, e.g. 1GB.",
)
@view_options
def prune(older: float | None, max_bytes: int | None, **typed: Any) -> int:
    """Remove old replies.

    \b
    Examples:
      promptc cache prune --older 30d
      promptc cache prune --max-bytes 500MB --json
    """
    from promptc.spec.errors import UsageError

    if older is None and max_bytes is None:
        raise UsageError("nothing to go by", "say --older AGE, --max-bytes SIZE, or both")
    terminal, store = _open(typed)
    removed = store.prune(max_age=older, max_bytes=max_bytes) if store.path.exists() else 0
    _tell_removed(terminal, store, removed, as_json=typed["as_json"])
    return 0


@cache.command()
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@view_options
def clear(yes: bool, **typed: Any) -> int:
    """Remove every reply. They can only be had again by asking, and paying, again.

    \b
    Examples:
      promptc cache clear
      promptc cache clear --yes
    """
    from promptc.cli.quantities import size_text
    from promptc.spec.errors import UsageError

    terminal, store = _open(typed)
    found = store.stats()
    if found.replies and not yes:
        question = f"Remove {found.replies:,} replies ({size_text(found.bytes)}) from {found.path}?"
        if not sys.stdin.isatty():
            raise UsageError("clear asks first, and nobody is at the terminal", "pass --yes")
        if not click.confirm(question, err=True):
            terminal.say("nothing was removed")
            return 0
    removed = store.clear() if store.path.exists() else 0
    _tell_removed(terminal, store, removed, as_json=typed["as_json"])
    return 0


@cache.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path, allow_dash=True))
@click.option("-f", "--force", is_flag=True, help="Replace FILE if it is there.")
@view_options
def export(file: Path, force: bool, **typed: Any) -> int:
    """Write every request with its reply as a line of JSON, oldest first, to FILE or to stdout (-).

    \b
    Examples:
      promptc cache export replies.jsonl
      promptc cache export - | jq -r .completion.text
    """
    from promptc.cli.caching import export_to
    from promptc.cli.reports.figures import counted
    from promptc.spec.errors import UsageError

    terminal, store = _open(typed)
    if str(file) == "-":
        if store.path.exists():
            export_to(store, sys.stdout.buffer)
        return 0
    if file.exists() and not force:
        raise UsageError(f"there is already a {file}", "pass --force to replace it")
    if not file.parent.is_dir():
        raise UsageError(f"there is no folder {file.parent}")
    written = store.export(file)
    if typed["as_json"]:
        _write_json(terminal, {"path": str(file), "replies": written})
    else:
        terminal.say(f"wrote {counted(written, 'reply', 'replies')} to {file}")
    return 0


def _open(typed: dict[str, Any]) -> tuple[Terminal, Cache]:
    """The terminal, and the cache of this user."""
    from promptc.cli.entry import open_view
    from promptc.cli.loading import read_environment
    from promptc.runners.models.cache import Cache
    from promptc.runners.models.cache_file import cache_path

    terminal = open_view(typed)
    environment = read_environment(typed.get("env_files", ()))
    return terminal, Cache(cache_path(environment), warn=terminal.warn)


def _show_row(
    terminal: Terminal, store: Cache, spec: Path | None, row_id: str, typed: dict[str, Any]
) -> None:
    from promptc.cli.caching import explain as explained
    from promptc.cli.caching import explained_text, explained_tree
    from promptc.cli.loading import load, read_candidate, read_environment
    from promptc.runners.build import build_program

    environment = read_environment(typed["env_files"])
    loaded = load(spec, overrides=typed["overrides"], models=typed["models"], environment=environment)
    chosen = typed["candidate"]
    candidate = read_candidate(chosen, build_program(loaded.spec)) if chosen else None
    found = explained(loaded, store, row_id, step=typed["step"], candidate=candidate, environment=environment)
    if typed["as_json"]:
        _write_json(terminal, explained_tree(found))
    else:
        terminal.write(explained_text(found, time.time()))


def _show_entries(terminal: Terminal, store: Cache, key: str, *, as_json: bool) -> None:
    from promptc.cli.caching import entries_text
    from promptc.spec.errors import NothingSelected

    entries = store.entries(key)
    if not entries:
        raise NothingSelected(f"no entry's key begins with {key}")
    if as_json:
        _write_json(terminal, entries)
    else:
        terminal.write(entries_text(entries, time.time()))


def _tell_removed(terminal: Terminal, store: Cache, removed: int, *, as_json: bool) -> None:
    from promptc.cli.caching import removed_text

    left = store.stats()
    if as_json:
        _write_json(
            terminal, {"path": left.path, "removed": removed, "replies": left.replies, "bytes": left.bytes}
        )
    else:
        terminal.say(removed_text(removed, left))


def _write_json(terminal: Terminal, document: Any) -> None:
    from promptc.cli.json_output import json_text

    terminal.write(json_text(document))

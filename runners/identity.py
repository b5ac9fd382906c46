"""The identity of a run: a digest of everything that decides its result, and of nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from promptc.runners.candidate import Candidate
from promptc.runners.journal import JOURNAL_VERSION
from promptc.runners.retrievers.documents import file_digest
from promptc.spec.model import Spec

NOT_PART_OF_A_RESULT = ("gates", "promote", "description")
"""Top-level keys that change what is said about a run, not what it finds."""

CREDENTIALS = ("api_key", "api_key_command")
"""Keys of a model that say who pays, not what is asked."""

WORKERS_ONLY = ("concurrency",)
"""Keys under `run:` that change how fast a run is."""


def run_identity(
    spec: Spec,
    *,
    command: str,
    selection: Mapping[str, Any],
    data: str,
    hooks: Mapping[str, str],
    start: Candidate,
) -> str:
    """32 hex digits: equal for runs that must end alike.

    `selection` says which rows (split, ids, limit), `data` is the digest of the rows themselves, `hooks` maps each
    piece of user code to its digest. Credentials are not in a spec, so they are not in here.
    """
    resolved = {k: v for k, v in spec.resolved.items() if k not in NOT_PART_OF_A_RESULT}
    if isinstance(resolved.get("run"), dict):
        resolved["run"] = {k: v for k, v in resolved["run"].items() if k not in WORKERS_ONLY}
    if isinstance(resolved.get("models"), dict):
        resolved["models"] = {name: _without_credentials(model) for name, model in resolved["models"].items()}
    parts = {
        "command": command,
        "spec": resolved,
        "selection": dict(selection),
        "data": data,
        "hooks": dict(sorted(hooks.items())),
        "files": spec.files,
        "scripts": script_digests(spec),
        "documents": document_digests(spec),
        "start": start.digest(),
        "journal": JOURNAL_VERSION,
    }
    canonical = msgspec.json.encode(parts)  # the order of fields and labels is in the prompt
    return hashlib.blake2b(canonical, digest_size=16).hexdigest()


def _without_credentials(model: Any) -> Any:
    return {k: v for k, v in model.items() if k not in CREDENTIALS} if isinstance(model, dict) else model


def document_digests(spec: Spec) -> dict[str, str]:
    """The content of the retrievers' documents, by the retriever's name."""
    return {
        name: file_digest(use.plugin.params["documents"])
        for name, use in sorted(spec.retrievers.items())
        if "documents" in use.plugin.params
    }


def script_digests(spec: Spec) -> dict[str, str]:
    """The content of the scripts that `embedded/script` models answer from, by model name."""
    found = {}
    for name, model in sorted(spec.models.items()):
        script = model.params.get("script") if model.model == "embedded/script" else None
        path = Path(spec.base) / str(script)
        if script is not None and path.is_file():
            found[name] = hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
    return found

"""Opens the tools of a run."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from promptc.runners.models.secrets import Redactor
from promptc.runners.program import Program
from promptc.runners.tools.protocol import Opening
from promptc.runners.tools.toolbox import Toolbox


@contextlib.asynccontextmanager
async def open_tools(
    program: Program,
    *,
    environment: Mapping[str, str],
    redactor: Redactor,
    digests: Mapping[str, str],
    acting: bool,
    offline: bool,
) -> AsyncIterator[Toolbox]:
    """The tools of the program's spec, ready to be called; closed in the end.

    All of them, for a choice under `tune:` may use others than the start does. With `acting`, those that change
    something are called. Raises SpecError for parameters that do not fit.
    """
    uses = program.spec.tools
    openings = {
        key: Opening(
            name=use.name,
            base=Path(program.spec.base),
            timeout=use.timeout,
            environment=environment,
            redactor=redactor,
            digests=digests,
            offline=offline,
        )
        for key, use in uses.items()
    }
    toolbox = Toolbox(uses, openings, acting=acting)
    try:
        yield toolbox
    finally:
        await toolbox.close()

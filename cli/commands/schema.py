"""`promptc schema`: what promptc reads and writes, as JSON Schema."""

from __future__ import annotations

import sys

import click


@click.command()
@click.argument(
    "document",
    type=click.Choice(
        ["spec", "summary", "sweep", "comparison", "runs", "program", "prediction", "baseline"]
    ),
    default="spec",
)
def schema(document: str) -> int:
    """Print a JSON Schema (draft 2020-12): of a spec, or of a document that promptc writes.

    A spec's schema is what editors complete from: put it beside the spec and name it in the first line, as
    `promptc init` does. `prediction` is one line of what `promptc run` prints, `baseline` what `promptc eval
    --save-baseline` writes; `sweep` is sweep.json, and `comparison` and `runs` are what `promptc compare` and `promptc
    runs` print with --json.

    \b
    Examples:
      promptc schema > promptc.schema.json
      promptc schema summary | jq '.properties | keys'
    """
    import json

    from promptc.cli.document_schemas import schema_bytes
    from promptc.cli.json_output import json_text

    sys.stdout.write(json_text(json.loads(schema_bytes(document))))
    return 0

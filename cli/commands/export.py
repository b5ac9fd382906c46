"""`promptc export`: the compiled program for somewhere else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promptc.cli.exports.registry import TARGETS
from promptc.cli.options import spec_options, target, view_options

if TYPE_CHECKING:
    from promptc.cli.exports.subject import Exported, Subject
    from promptc.cli.loading import Loaded


@click.command()
@target
@click.option("--to", type=click.Choice(list(TARGETS)), required=True, help="What to write.")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Where to write it. Default: stdout.",
)  # fmt: skip
@click.option(
    "--candidate", type=click.Path(path_type=Path), metavar="FILE",
    help="Export an edited candidate.yaml, an artifact or a run's winner.",
)  # fmt: skip
@click.option(
    "--split", type=click.Choice(["dev", "train", "test", "all", "none"]), default="dev", show_default=True,
    help="promptfoo: the rows that become its tests.",
)  # fmt: skip
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="promptfoo: only the first N rows.")
@spec_options
@view_options
def export(spec: Path | None, **typed: Any) -> int:
    """Write a compiled program for somewhere else. Makes no call and runs no code.

    \b
    messages   chat messages as JSON, with {{name}} where an input goes
    markdown   the prompts, fields and figures as a page to read
    spec       a spec with the winning texts in it, which scores the same
    python     one Python file that needs litellm or openai, and not promptc
    dspy       state that dspy.Predict or dspy.ChainOfThought loads, and its signature
    promptfoo  a configuration with prompt, model and rows as tests

    What a target cannot carry is refused by name; what it carries in part is said on stderr.

    \b
    Examples:
      promptc export runs/triage-optimize-latest --to messages | jq '.[0]'
      promptc export runs/triage-optimize-latest --to python -o triage.py --model openai/gpt-4.1-mini
      promptc export compiled/program.json --to spec -o promptc.compiled.yaml
    """
    from promptc.cli.entry import open_view
    from promptc.cli.exports.registry import export_to
    from promptc.cli.loading import load, read_environment

    terminal = open_view(typed)
    environment = read_environment(typed["env_files"])
    loaded = load(spec, overrides=typed["overrides"], models=typed["models"], environment=environment)
    if typed["output"] is not None:
        _check_output(typed["output"], loaded.path)
    exported = export_to(typed["to"])(_subject(loaded, spec, typed))
    written = _write(exported, typed["output"])
    for note in exported.notes:
        terminal.warn(note)
    if typed["as_json"]:
        from promptc.cli.json_output import json_text

        document = {
            "to": typed["to"],
            "written": [str(path) for path in written],
            "notes": list(exported.notes),
            "text": None if written else exported.text,
        }
        terminal.write(json_text(document))
    elif written:
        terminal.say(f"wrote {', '.join(str(path) for path in written)}")
    else:
        terminal.write(exported.text)
    return 0


def _check_output(output: Path, source: Path) -> None:
    """An export never replaces what it is made from."""
    from promptc.spec.errors import UsageError

    if output.exists() and output.samefile(source):
        raise UsageError(f"{output} is what is exported", "name another file with -o")


def _subject(loaded: Loaded, typed_spec: Path | None, typed: dict[str, Any]) -> Subject:
    from promptc.cli.exports.subject import Subject
    from promptc.cli.loading import read_candidate
    from promptc.cli.main import version
    from promptc.runners.build import build_program

    program = build_program(loaded.spec)
    if typed["candidate"] is not None:
        candidate = read_candidate(typed["candidate"], program)
    else:
        candidate = loaded.candidate or program.start()
    output: Path | None = typed["output"]
    return Subject(
        spec=loaded.spec,
        compiled=program.compile(candidate),
        source=str(typed["candidate"] or typed_spec or loaded.path),
        version=version(),
        folder=output.absolute().parent if output is not None else Path.cwd(),
        output=output,
        summary=_summary(loaded.path) if typed["candidate"] is None else None,
        split=typed["split"],
        limit=typed["limit"],
    )


def _summary(artifact: Path) -> Any:
    """The figures of the run that an artifact lies in; None where it lies elsewhere."""
    import msgspec

    from promptc.runners.summary import Summary

    beside = artifact.parent.parent / "summary.json"
    if artifact.parent.name != "compiled" or not beside.is_file():
        return None
    return msgspec.json.decode(beside.read_bytes(), type=Summary)


def _write(exported: Exported, output: Path | None) -> tuple[Path, ...]:
    """Write the file and those that belong beside it; nothing for stdout."""
    from promptc.cli.exports.subject import WRITTEN_BY
    from promptc.cli.writing import replace_file
    from promptc.spec.errors import UsageError

    if output is None:
        return ()
    beside = {output.with_name(name): text for name, text in exported.beside.items()}
    for path in beside:
        if path.suffix == ".py" and path.exists() and WRITTEN_BY not in path.read_text(errors="replace"):
            raise UsageError(
                f"{path} is there, and promptc did not write it", "give the export another name with -o"
            )
    contents = {output: exported.text, **beside}
    for path, text in contents.items():
        replace_file(path, text.encode())
    return tuple(contents)

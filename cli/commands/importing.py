"""`promptc import`: a first spec from what another tool has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promptc.cli.imports.registry import ORIGINS
from promptc.cli.options import view_options

if TYPE_CHECKING:
    from promptc.cli.imports.imported import Imported


@click.command(name="import")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--from", "origin", type=click.Choice(list(ORIGINS)), required=True, help="Whose file it is.")
@click.option(
    "-o", "--output", "folder", type=click.Path(file_okay=False, path_type=Path), default=Path(),
    show_default=".", metavar="DIR", help="The folder that the spec and its rows go to.",
)  # fmt: skip
@click.option(
    "--signature", metavar="FILE.py[:CLASS]",
    help="dspy: the source that has the signature's names and types. It is read, never run.",
)  # fmt: skip
@click.option(
    "--output-field", "outputs", multiple=True, metavar="NAME",
    help="dspy: a field that comes out, where there is no source. Repeatable.",
)  # fmt: skip
@click.option("--data", type=click.Path(path_type=Path), metavar="FILE", help="dspy: the rows to score on.")
@click.option("--model", metavar="NAME", help="The model, in place of the imported one.")
@click.option("-f", "--force", is_flag=True, help="Replace files that are there.")
@view_options
def import_(file: Path, origin: str, **typed: Any) -> int:
    """Write a first spec from what another tool has, and say what could not be carried over. Runs no code.

    \b
    dspy       a state that program.save('program.json') wrote, or Python source with signatures
    promptfoo  a configuration in YAML or JSON: prompts, vars and assertions become specs, rows and metrics

    \b
    Examples:
      promptc import --from dspy program.json --signature program.py -o triage
      promptc import --from dspy signatures.py:Triage
      promptc import --from promptfoo promptfooconfig.yaml -o imported
    """
    from promptc.cli.entry import open_view
    from promptc.cli.imports.imported import Wanted
    from promptc.cli.imports.registry import import_from

    terminal = open_view(typed)
    file, signature = _named_class(file, typed["signature"])
    wanted = Wanted(
        file=file,
        signature=signature,
        outputs=typed["outputs"],
        model=typed["model"],
        data=typed["data"],
        folder=typed["folder"],
    )
    imported = import_from(origin)(wanted)
    written = _write(imported, wanted, force=typed["force"])
    if typed["as_json"]:
        from promptc.cli.json_output import json_text

        terminal.write(
            json_text(
                {
                    "from": origin,
                    "written": [str(path) for path in written],
                    "guessed": list(imported.guessed),
                    "lost": list(imported.lost),
                }
            )
        )
        return 0
    for title, sentences in (("guessed", imported.guessed), ("not carried over", imported.lost)):
        for sentence in sentences:
            terminal.say(_told(title, sentence))
    terminal.say(f"wrote {', '.join(str(path) for path in written)}")
    return 0


def _named_class(file: Path, signature: str | None) -> tuple[Path, str | None]:
    """`signatures.py:Triage` as a file and the class in it."""
    name, colon, own = str(file).rpartition(":")
    if colon and name.endswith(".py") and signature is None:
        return Path(name), f"{name}:{own}"
    return file, signature


def _told(title: str, sentence: str) -> Any:
    from rich.text import Text

    from promptc.cli.untrusted import one_line

    return Text.assemble((f"{title}: ", "yellow"), one_line(sentence, 400))


def _write(imported: Imported, wanted: Any, *, force: bool) -> tuple[Path, ...]:
    """Write all files; nothing where one is there already. Raises UsageError, RunError."""
    from promptc.cli.imports.imported import spec_bytes
    from promptc.cli.writing import holds, replace_file
    from promptc.spec.errors import UsageError

    contents = {
        wanted.folder / draft.file: spec_bytes(draft, wanted.file, imported) for draft in imported.drafts
    }
    contents |= {wanted.folder / name: content for name, content in imported.files.items()}
    for path, content in contents.items():
        if path.exists() and not force and not holds(path, content):
            raise UsageError(
                f"there is already a {path}", "pass --force to replace it, or -o for another folder"
            )
    for path, content in contents.items():
        replace_file(path, content)
    return tuple(contents)

"""What a tool's headers and environment take from the environment, and keep out of every text."""

from __future__ import annotations

from collections.abc import Mapping

from promptc.runners.failures import RowFailed
from promptc.runners.tools.protocol import Opening
from promptc.spec.environment import references, substitute


def told(written: Mapping[str, str], opening: Opening) -> None:
    """Tell the redactor the values that these texts refer to."""
    for text in written.values():
        for name in references(text):
            opening.redactor.add(name, opening.environment.get(name, ""))


def filled(written: Mapping[str, str], opening: Opening) -> dict[str, str]:
    """The texts with their references replaced. Raises RowFailed where a variable is not set."""
    try:
        return {name: substitute(text, opening.environment) for name, text in written.items()}
    except KeyError as missing:
        name = missing.args[0]
        raise RowFailed(
            "tool", f"{opening.name}: the environment variable {name} is not set; set it, e.g. in --env-file"
        ) from None

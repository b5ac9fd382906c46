"""Optional libraries: whether they are here, and how to get them."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec


def lacking(what: str, modules: Iterable[str], extra: str) -> str:
    """A sentence about the first of these modules that is not installed; "" when all are. Imports none of them."""
    for name in modules:
        if find_spec(name) is None:
            return f'{what} needs the package {name}: pip install "promptc[{extra}]"'
    return ""

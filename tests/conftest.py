"""What every test gets: a home and a cache of its own, no colour, no key, no proxy, no setting of whoever runs it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from workplace import Sentiment, Workplace, open_workplace

KEPT = ("PATH", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "PYTHONHASHSEED", "VIRTUAL_ENV", "UPDATE_GOLDEN")
"""What a test may know of the environment that it is run in."""


@pytest.fixture(autouse=True, scope="session")
def clean_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing outside of the temporary folder is read or written, whatever is set on this machine."""
    home = tmp_path_factory.mktemp("home")
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    with pytest.MonkeyPatch.context() as patch:
        for name in set(os.environ) - set(kept):
            if not name.startswith(("PYTEST_", "COV_")):
                patch.delenv(name)
        patch.setenv("HOME", str(home))
        patch.setenv("PROMPTC_CACHE_DIR", str(home / "cache"))
        patch.setenv("NO_COLOR", "1")
        yield


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Makes a folder that lives as long as the session."""
    return tmp_path_factory.mktemp


@pytest.fixture
def workplace(tmp_path: Path) -> Iterator[Workplace]:
    """A folder with a spec, sixty rows, and a server that judges sentiments, better with good demonstrations."""
    with open_workplace(tmp_path, Sentiment()) as place:
        yield place

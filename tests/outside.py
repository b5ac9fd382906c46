"""Programs that tests need and that Python does not bring: without one its tests are skipped, except in CI."""

from __future__ import annotations

import os
import shutil

import pytest

NO_SKIPS = os.environ.get("PROMPTC_TEST_NO_SKIPS") == "1"
"""Set by .ci/run: there a missing program is a failure."""


def program(*names: str) -> str:
    """The path of the first of these programs that is installed; skips the test where none is."""
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is not None:
        return found
    reason = f"{names[0]} is not installed"
    if NO_SKIPS:
        pytest.fail(reason)
    pytest.skip(reason)

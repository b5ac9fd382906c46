"""Vectors as the text of a completion, so that journal, cache and key treat them like any other reply."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def packed(vectors: Sequence[Sequence[float]]) -> str:
    """A line of base64 for each, over little-endian float32."""
    import numpy as np

    return "\n".join(
        base64.b64encode(np.asarray(vector, dtype="<f4").tobytes()).decode() for vector in vectors
    )


def unpacked(text: str) -> list[NDArray[np.float32]]:
    """The vectors in such a text. Raises ValueError."""
    import numpy as np

    lines = [base64.b64decode(line, validate=True) for line in text.split("\n")]
    return [np.frombuffer(line, dtype="<f4").astype(np.float32) for line in lines]

"""`knn`: a module whose demonstrations are chosen for each row, by likeness.

Source: Liu et al., "What Makes Good In-Context Examples for GPT-3?", 2022, section 2.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from promptc.runners.candidate import Nearest
from promptc.runners.modules.inner import Inner, build_inner, unfit
from promptc.runners.modules.protocol import Call, Module, shown_replies
from promptc.runners.neighbours import lacking_package
from promptc.runners.retrievers.words import LanguageOption
from promptc.spec.fields import Signature
from promptc.spec.suggest import did_you_mean

By = Annotated[
    Literal["bm25", "dense"],
    msgspec.Meta(
        description="What makes rows alike: shared words, or vectors (of an embedding model, or hashed).",
        examples=["dense"],
    ),
]
ComparedFields = Annotated[
    tuple[str, ...],
    msgspec.Meta(
        description="The input fields that are compared; all where none is named.", examples=[["question"]]
    ),
]
EmbeddingModel = Annotated[
    str,
    msgspec.Meta(
        pattern=".*",
        description="The embedding model, for `by: dense`; `embed` where it is not given.",
        examples=["openai/text-embedding-3-small"],
    ),
]


class Knn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """Run a module with those demonstrations that are most like the row, the most similar one last.

    They are chosen among the spec's demos and the labelled train rows, which the artifact carries. No row is shown a
    demo with its own inputs.
    """

    module: Inner = "predict"
    k: Annotated[
        int, msgspec.Meta(ge=1, description="How many demonstrations a row sees.", examples=[12])
    ] = 8
    by: By = "bm25"
    language: LanguageOption = None
    fields: ComparedFields = ()
    model: EmbeddingModel = ""

    def __post_init__(self) -> None:
        _ = self.inner

    @functools.cached_property
    def inner(self) -> Module:
        """The module that is run."""
        return build_inner(self.module)

    def nearest(self) -> Nearest:
        """Which demos a row sees."""
        return Nearest(k=self.k, by=self.by, language=self.language, fields=self.fields, model=self.model)

    def unfit(self, signature: Signature, checks: int) -> str:
        """Why it cannot carry out the step; "" where it can."""
        problem = lacking_package(self.by, self.language) or _unknown_input(signature, self.fields)
        return f"module `knn`: {problem}" if problem else unfit(self.inner, signature, checks)

    def predictors(self, signature: Signature) -> dict[str, Signature]:
        """Those of the inner module."""
        return self.inner.predictors(signature)

    def calls(self) -> tuple[int, int]:
        """Those of the inner module."""
        return self.inner.calls()

    def shown(self) -> int:
        """Those that the inner module shows."""
        return shown_replies(self.inner)

    async def run(self, call: Call, signature: Signature, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The inner module's outputs; its predictors see to the demonstrations."""
        return await self.inner.run(call, signature, inputs)


def _unknown_input(signature: Signature, fields: tuple[str, ...]) -> str:
    """What is wrong with the names of fields that are compared; "" when nothing is."""
    names = [field.name for field in signature.inputs]
    for field in fields:
        if field not in names:
            return f"there is no input `{field}` to compare; {did_you_mean(field, names)}"
    return ""

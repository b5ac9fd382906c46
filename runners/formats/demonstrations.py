"""Which demos a prompt may show, and with which values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from promptc.runners.candidate import Demo
from promptc.runners.formats.protocol import ParseError
from promptc.runners.formats.values import conform
from promptc.spec.fields import Field, Signature


def shown_demos(
    signature: Signature, demos: Sequence[Demo]
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The inputs and outputs of each demo that can be shown, in field order.

    A demo is left out when it has none of the inputs, lacks a required output, or has an output that is not
    valid for its field: it would teach an answer that is refused. Outputs with a default may be missing and
    are then not shown.
    """
    for demo in demos:
        inputs = {
            field.name: demo.inputs[field.name] for field in signature.inputs if field.name in demo.inputs
        }
        outputs = shown_outputs(signature, demo)
        if outputs and (inputs or not signature.inputs):
            yield inputs, outputs


def shown_outputs(signature: Signature, demo: Demo) -> dict[str, Any]:
    """The demo's outputs as they can be shown, labels in the spec's spelling; empty when it is left out."""
    shown: dict[str, Any] = {}
    for field in signature.outputs:
        if _is_absent(field, demo):
            if field.required:
                return {}
            continue
        try:
            shown[field.name] = conform(field, demo.outputs[field.name])
        except ParseError:
            return {}
    return shown


def _is_absent(field: Field, demo: Demo) -> bool:
    if field.name not in demo.outputs:
        return True
    return demo.outputs[field.name] is None and not field.required

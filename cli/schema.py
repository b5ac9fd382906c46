"""Assembles the JSON Schema of a spec from the grammar and the registries, which nothing else sees all of.

`python -m promptc.cli.schema --write` writes the committed file that `load` and editors use.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from promptc.optimizers.registry import OPTIMIZERS
from promptc.runners.formats.registry import FORMATS
from promptc.runners.metrics.registry import METRICS
from promptc.runners.modules.registry import MODULES
from promptc.runners.plugins import load_class
from promptc.runners.retrievers.registry import RETRIEVERS
from promptc.runners.tools.registry import TOOLS
from promptc.spec.grammar import spec_schema

Schema = dict[str, Any]

REGISTRIES: dict[str, Mapping[str, str]] = {
    "metric": METRICS,
    "optimizer": OPTIMIZERS,
    "module": MODULES,
    "format": FORMATS,
    "retriever": RETRIEVERS,
    "tool": TOOLS,
}
WITHIN: dict[tuple[str, str, str], Schema] = {
    ("metric", "all", "metrics"): {"items": {"$ref": "#/$defs/metric"}},
    ("metric", "any", "metrics"): {"items": {"$ref": "#/$defs/metric"}},
    ("metric", "json_fields", "fields"): {"additionalProperties": {"$ref": "#/$defs/metric"}},
    ("tool", "http", "arguments"): {"additionalProperties": {"$ref": "#/$defs/field"}},
    ("module", "majority", "module"): {"$ref": "#/$defs/module"},
    ("module", "best_of_n", "module"): {"$ref": "#/$defs/module"},
    ("module", "multi_chain_comparison", "module"): {"$ref": "#/$defs/module"},
    ("module", "refine", "module"): {"$ref": "#/$defs/module"},
    ("module", "best_of_n", "reward"): {"$ref": "#/$defs/metric"},
    ("module", "refine", "reward"): {"$ref": "#/$defs/metric"},
    ("module", "knn", "module"): {"$ref": "#/$defs/module"},
}
"""Parameters that hold plug-ins themselves: kind, name, parameter."""

COMMITTED = Path(__file__).parent.parent / "spec" / "schema" / "spec.json"


def assemble() -> Schema:
    """The schema of a whole spec, with the parameters of every plug-in."""
    plugins: dict[str, dict[str, Schema]] = {}
    definitions: dict[str, Schema] = {}
    for kind, registry in REGISTRIES.items():
        plugins[kind] = {}
        for name, target in registry.items():
            schema = parameters(load_class(target), f"{kind}.{name}", definitions)
            for parameter, one in schema["properties"].items():
                one.update(WITHIN.get((kind, name, parameter), {}))
            plugins[kind][name] = schema
    return spec_schema(plugins, dict(sorted(definitions.items())))


def parameters(cls: type[Any], prefix: str, definitions: dict[str, Schema]) -> Schema:
    """The schema of a plug-in's parameters. Structs within it join the definitions, their names after the
    prefix.
    """
    (reference,), components = msgspec.json.schema_components(
        [cls], ref_template=f"#/$defs/{prefix}.{{name}}"
    )
    own = reference["$ref"].rpartition("/")[2]
    tidied = {f"{prefix}.{name}": _tidy(schema) for name, schema in components.items()}
    schema: Schema = tidied.pop(own)
    definitions.update(tidied)
    schema["properties"] = {name: _parameter(one) for name, one in schema["properties"].items()}
    schema["additionalProperties"] = False
    if not schema.get("required"):
        schema["type"] = ["object", "null"]
        schema.pop("required", None)
    known = {name: one["examples"][0] for name, one in schema["properties"].items() if one.get("examples")}
    shown = schema.get("required") or list(known)[:1]
    schema["examples"] = [{name: known[name] for name in shown if name in known}]
    return schema


def serialize(schema: Schema) -> bytes:
    """The schema as it stands in the repository."""
    return msgspec.json.format(msgspec.json.encode(schema), indent=2) + b"\n"


def _tidy(schema: Any) -> Any:
    """Without titles that repeat class names, and with `null` among the types where it may be."""
    if isinstance(schema, list):
        return [_tidy(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    tidy = {
        key: _tidy_part(key, part)
        for key, part in schema.items()
        if key != "title" or not isinstance(part, str)
    }
    if isinstance(tidy.get("description"), str):
        tidy["description"] = " ".join(tidy["description"].split("\n\n")[0].split())
    return _merged_options(tidy)


def _merged_options(schema: Schema) -> Schema:
    """`anyOf` of bare types is a list of types, of words and null a list of words: for better errors."""
    options = schema.get("anyOf")
    if not isinstance(options, list):
        return schema
    words = [one for one in options if one != {"type": "null"}]
    if len(words) == 1 and words[0].keys() == {"enum"} and len(options) == 2:
        return {
            **{key: value for key, value in schema.items() if key != "anyOf"},
            "enum": [*words[0]["enum"], None],
        }
    if any(not isinstance(one.get("type"), str) for one in options):
        return schema
    keywords = [one for one in options if one.keys() - {"type"}]
    if len(keywords) > 1 or any("enum" in one for one in keywords):
        return schema
    merged = {key: value for one in options for key, value in one.items()}
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    return {**merged, **rest, "type": [one["type"] for one in options]}


def _tidy_part(key: str, part: Any) -> Any:
    """Parameters may be called `title`, too."""
    if key == "properties":
        return {name: _tidy(schema) for name, schema in part.items()}
    return part if key in ("default", "examples", "const", "enum") else _tidy(part)


def _parameter(schema: Schema) -> Schema:
    """A text may also stand in a file. A default serves as the example where none is given."""
    is_text = (
        schema.get("type") in ("string", ["string", "null"])
        and not {"enum", "format", "pattern"} & schema.keys()
    )
    if is_text:
        kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
        file = {
            "type": "string",
            "minLength": 1,
            "description": "The file, beside the spec.",
            "examples": ["prompts/text.md"],
        }
        schema = {
            **schema,
            "type": [*kinds, "object"],
            "properties": {"file": file},
            "required": ["file"],
            "additionalProperties": False,
        }
    if "examples" not in schema and schema.get("default") is not None:
        schema = {**schema, "examples": [schema["default"]]}
    return schema


def main(arguments: list[str]) -> int:
    """Print the schema, or with `--write` write the committed file."""
    content = serialize(assemble())
    if arguments == ["--write"]:
        COMMITTED.parent.mkdir(exist_ok=True)
        COMMITTED.write_bytes(content)
    else:
        sys.stdout.buffer.write(content)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Trust: what counts as code, who may allow it, and what is said when nobody did."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from promptc.runners.trust import CodeUse, allowed, code_of, require, trust_file
from promptc.spec.diagnostics import Position
from promptc.spec.errors import TrustError
from promptc.spec.fields import Field, Signature
from promptc.spec.model import MetricUse, Model, Spec, Step
from promptc.spec.plugin import Plugin

HERE = Position("spec.yaml", 9, 5, 11)
USES = [
    CodeUse(kind="function", reference="tone.py:score", used_by="metric `tone`"),
    CodeUse(kind="command", reference="pass show key", used_by="model `task`"),
]


def spec_with(*plugins: tuple[str, dict[str, Any]], **models: Model) -> Spec:
    metrics = tuple(
        MetricUse(plugin=Plugin(kind="metric", name=name, params=params), name=f"m{n}", position=HERE)
        for n, (name, params) in enumerate(plugins)
    )
    return Spec(version=1, name="x", metrics=metrics, models=models)


def home(tmp_path: Path, *lines: str | Path, settings: str = ".config") -> dict[str, str]:
    folder = tmp_path / "home" / settings / "promptc"
    folder.mkdir(parents=True, mode=0o755)
    path = folder / "trusted"
    path.write_text("".join(f"{line}\n" for line in lines))
    path.chmod(0o644)
    folder.chmod(0o755)
    return {"HOME": str(tmp_path / "home")}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "work" / "project"
    folder.mkdir(parents=True)
    return folder


# What is code


@pytest.mark.parametrize(
    ("name", "params", "references"),
    [
        ("exact_match", {}, []),
        ("exact_match", {"normalize": True, "field": "python"}, []),
        ("python", {"function": "tone.py:score"}, ["tone.py:score"]),
        ("python", {"function": "sub/tone.py:score", "pass_fail": True}, ["sub/tone.py:score"]),
        ("python", {"function": "not a reference"}, ['{"function":"not a reference"}']),
        ("python", {}, ["{}"]),
        ("all", {"metrics": ["exact_match", {"python": {"function": "a.py:f"}}]}, ["a.py:f"]),
        (
            "any",
            {"metrics": [{"python": "a.py:f"}, {"python": {"function": "b.py:g"}}]},
            ["a.py:f", "b.py:g"],
        ),
        (
            "all",
            {"metrics": [{"any": {"metrics": [{"all": {"metrics": [{"python": {"function": "a.py:f"}}]}}]}}]},
            ["a.py:f"],
        ),
        ("json_fields", {"fields": {"total": {"python": {"function": "a.py:f"}}}}, ["a.py:f"]),
        (
            "json_fields",
            {"fields": {"x": "exact_match"}, "rest": {"python": {"function": "a.py:f"}}},
            ["a.py:f"],
        ),
        ("contains", {"texts": ["tone.py:score"]}, []),
    ],
)
def test_functions_are_found_wherever_a_metric_names_them(
    name: str, params: dict[str, Any], references: list[str]
) -> None:
    found = code_of(spec_with((name, params)))
    assert [use.reference for use in found] == references
    assert all((use.kind, use.used_by, use.position) == ("function", "metric `m0`", HERE) for use in found)


def test_key_commands_and_python_steps_are_code_too() -> None:
    signature = Signature(inputs=(Field(name="a"),), outputs=(Field(name="b"),))
    step = Step(
        name="clean",
        signature=signature,
        module=Plugin(kind="module", name="python", params={"function": "clean.py:run"}),
        format=Plugin(kind="format", name="chat"),
    )
    spec = Spec(
        version=1,
        name="x",
        steps=(step,),
        models={"task": Model(model="a/b", api_key_command="pass show key"), "judge": Model(model="a/b")},
    )
    assert [(use.kind, use.reference, use.used_by) for use in code_of(spec)] == [
        ("function", "clean.py:run", "step `clean`"),
        ("command", "pass show key", "model `task`"),
    ]


# Who may allow it


@pytest.mark.parametrize(
    ("flag", "environment", "answer"),
    [
        (False, {}, False),
        (True, {}, True),
        (False, {"PROMPTC_ALLOW_CODE": "1"}, True),
        (False, {"PROMPTC_ALLOW_CODE": "0"}, False),
        (False, {"PROMPTC_ALLOW_CODE": ""}, False),
        (False, {"PROMPTC_ALLOW_CODE": "yes"}, False),
        (False, {"ALLOW_CODE": "1"}, False),
    ],
)
def test_the_flag_and_the_variable_allow(
    project: Path, flag: bool, environment: dict[str, str], answer: bool
) -> None:
    assert allowed(project, flag=flag, environment=environment) is answer


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("{project}", True),
        ("  {project}/  ", True),
        ("{project}/..", True),
        ("{project}/../..", True),
        ("{project}/inner", False),
        ("{project}x", False),
        ("{link}", True),
        ("# {project}", False),
        ("", False),
        ("project", False),
        (".", False),
        ("~/../work/project", True),
    ],
)
def test_a_listed_folder_and_those_below_it_are_trusted(
    tmp_path: Path, project: Path, line: str, answer: bool
) -> None:
    link = tmp_path / "link"
    link.symlink_to(project)
    environment = home(tmp_path, "# folders that I trust", "", line.format(project=project, link=link))
    assert allowed(project, flag=False, environment=environment) is answer
    assert allowed(link, flag=False, environment=environment) is answer


def test_a_link_inside_a_trusted_folder_that_leads_out_is_not_trusted(tmp_path: Path, project: Path) -> None:
    trusted = tmp_path / "trusted"
    trusted.mkdir()
    (trusted / "spec").symlink_to(project)
    assert not allowed(trusted / "spec", flag=False, environment=home(tmp_path, trusted))


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({"HOME": "/h", "XDG_CONFIG_HOME": "/c"}, "/c/promptc/trusted"),
        ({"HOME": "/h", "XDG_CONFIG_HOME": "relative"}, "/h/.config/promptc/trusted"),
        ({"HOME": "/h", "XDG_CONFIG_HOME": ""}, "/h/.config/promptc/trusted"),
        ({"HOME": "/h"}, "/h/.config/promptc/trusted"),
        ({"XDG_CONFIG_HOME": "/c"}, "/c/promptc/trusted"),
        ({"HOME": "relative"}, None),
        ({}, None),
    ],
)
def test_the_trust_file_has_one_place(variables: dict[str, str], place: str | None) -> None:
    found = trust_file(variables)
    assert (str(found.path) if found else None) == place


@pytest.mark.parametrize(
    ("file_mode", "folder_mode", "says"),
    [
        (0o644, 0o755, ""),
        (0o600, 0o700, ""),
        (0o666, 0o755, "it can be written by others (chmod go-w "),
        (0o664, 0o755, "it can be written by others (chmod go-w "),
        (0o644, 0o777, "its folder can be written by others (chmod go-w "),
        (0o644, 0o775, "its folder can be written by others (chmod go-w "),
    ],
)
def test_a_trust_file_that_others_can_write_does_not_count(
    tmp_path: Path, project: Path, file_mode: int, folder_mode: int, says: str
) -> None:
    environment = home(tmp_path, project)
    path = tmp_path / "home/.config/promptc/trusted"
    path.chmod(file_mode)
    path.parent.chmod(folder_mode)
    found = trust_file(environment)
    assert found is not None
    assert found.ignored.startswith(says)
    assert bool(found.ignored) is bool(says)
    assert allowed(project, flag=False, environment=environment) is not bool(says)


def test_a_trust_file_of_somebody_else_does_not_count(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = home(tmp_path, project)
    if os.getuid() == 0:
        os.chown(tmp_path / "home/.config/promptc/trusted", 12345, 12345)
    else:
        monkeypatch.setattr(os, "getuid", lambda: 12345)
    found = trust_file(environment)
    assert found is not None
    assert found.ignored == "it belongs to somebody else"
    assert not allowed(project, flag=False, environment=environment)


def test_a_trust_file_that_cannot_be_read_does_not_count(tmp_path: Path, project: Path) -> None:
    (tmp_path / "home/.config/promptc/trusted").mkdir(parents=True)
    environment = {"HOME": str(tmp_path / "home")}
    found = trust_file(environment)
    assert found is not None
    assert found.ignored.startswith("it cannot be read")
    assert not allowed(project, flag=False, environment=environment)


def test_odd_bytes_in_a_trust_file_trust_nothing_else(tmp_path: Path, project: Path) -> None:
    environment = home(tmp_path)
    (tmp_path / "home/.config/promptc/trusted").write_bytes(b"\xff\xfe\n/\0/x\n" + bytes(project) + b"\n")
    found = trust_file(environment)
    assert found is not None
    assert found.folders == (project,)


# What is said


def test_without_code_nothing_has_to_be_allowed(project: Path) -> None:
    require([], project, flag=False, environment={})
    require(USES, project, flag=True, environment={})


def test_the_refusal_names_the_code_and_the_ways_to_allow_it(tmp_path: Path, project: Path) -> None:
    with pytest.raises(TrustError) as caught:
        require(USES, project, flag=False, environment=home(tmp_path))
    assert caught.value.message == (
        "the spec wants to run code that nobody has allowed: "
        "tone.py:score (metric `tone`), pass show key (model `task`)"
    )
    assert caught.value.hint == (
        "read it, then pass --allow-code, or set PROMPTC_ALLOW_CODE=1, "
        f"or add {project} to {tmp_path}/home/.config/promptc/trusted"
    )
    assert caught.value.exit_code == 2


def test_the_refusal_says_when_the_trust_file_does_not_count(tmp_path: Path, project: Path) -> None:
    environment = home(tmp_path, project)
    (tmp_path / "home/.config/promptc/trusted").chmod(0o666)
    with pytest.raises(TrustError) as caught:
        require(USES, project, flag=False, environment=environment)
    assert "which does not count: it can be written by others" in caught.value.hint


def test_the_refusal_needs_no_home(project: Path) -> None:
    with pytest.raises(TrustError) as caught:
        require(USES, project, flag=False, environment={})
    assert caught.value.hint == "read it, then pass --allow-code, or set PROMPTC_ALLOW_CODE=1"

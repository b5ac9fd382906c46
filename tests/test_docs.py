"""Every snippet of the README and the docs is executed or parsed; what the samples' READMEs show is what they give."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from loopback import serving

from promptc.cli.loading import load
from promptc.spec.model import Spec

ROOT = Path(__file__).parent.parent
DOCS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"(?:<!-- test: (?P<test>[^>]*?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```", re.M | re.S
)


def blocks(path: Path) -> list[tuple[str, str, str]]:
    """(what the comment before it says, language, text) of each fenced block."""
    text = path.read_text(encoding="utf-8")
    return [(m["test"] or "", m["language"], m["text"]) for m in BLOCK.finditer(text)]


def all_blocks(language: str) -> list[pytest.param]:
    return [
        pytest.param(path, test, text, id=f"{path.relative_to(ROOT)}-{number}")
        for path in DOCS
        for number, (test, kind, text) in enumerate(blocks(path))
        if kind == language
    ]


def readme_spec() -> str:
    return next(text for test, _, text in blocks(ROOT / "README.md") if test == "spec")


@pytest.mark.parametrize(("path", "test", "text"), all_blocks("yaml"))
def test_each_yaml_block_is_right(path, test, text, tmp_path):
    if test == "not a spec":
        assert yaml.safe_load(text) is not None
        return
    spec = load_snippet(tmp_path, test, text)
    assert spec.models


def load_snippet(folder: Path, test: str, text: str) -> Spec:
    """A whole spec as it stands; a part of one (models, or other keys) put into the README's spec."""
    shutil.copy(ROOT / "samples/triage/tickets.jsonl", folder / "tickets.jsonl")
    if test == "part":
        text = yaml.safe_dump({**yaml.safe_load(readme_spec()), **yaml.safe_load(text)}, sort_keys=False)
    if test == "models":
        text = re.sub(r"^models: .*\n", lambda _: text, readme_spec(), flags=re.M)
    (folder / "spec.yaml").write_text(text, encoding="utf-8")
    environment = {"GATEWAY_KEY": "test-only-key-value"}
    return load(folder / "spec.yaml", environment=environment).spec


def test_the_spec_of_the_readme_has_fifteen_lines():
    assert len(readme_spec().rstrip().splitlines()) <= 15


def shell_scripts(path: Path = ROOT / "README.md") -> list[str]:
    return [text for test, language, text in blocks(path) if test.startswith("shell")]


def test_the_shell_snippet_on_statistics_runs(tmp_path):
    shutil.copy(ROOT / "samples/triage/tickets.jsonl", tmp_path / "tickets.jsonl")
    (tmp_path / "spec.yaml").write_text(readme_spec(), encoding="utf-8")
    (script,) = shell_scripts(ROOT / "docs" / "statistics.md")
    done = run_shell(script, tmp_path)
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "baseline.json").read_text().splitlines()) > 100
    assert "0 calls paid" in done.stdout


def test_the_shell_snippets_of_the_readme_run_in_order(tmp_path):
    shutil.copy(ROOT / "samples/triage/tickets.jsonl", tmp_path / "tickets.jsonl")
    (tmp_path / "spec.yaml").write_text(readme_spec(), encoding="utf-8")
    assert len(shell_scripts()) == 2
    for script in shell_scripts():
        done = run_shell(script, tmp_path)
        assert done.returncode == 0, done.stderr
    assert len((tmp_path / "predictions.jsonl").read_text().splitlines()) == 3
    assert (tmp_path / "eval.json").read_text().startswith("{")


def run_shell(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The script in a shell that stops at the first command that fails, with `promptc` on the path."""
    bin_folder = folder / "bin"
    bin_folder.mkdir(exist_ok=True)
    launcher = bin_folder / "promptc"
    launcher.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m promptc.cli.main "$@"\n')
    launcher.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "PROMPTC_CACHE_DIR": str(folder / "cache"),
        "NO_COLOR": "1",
    }
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_a_model_snippet_works_against_a_server_that_speaks_chat_completions(tmp_path):
    """The local-server snippet of the README, with only the address changed to a server that is there."""
    snippet = next(
        text for test, _, text in blocks(ROOT / "README.md") if test == "models" and "hosted_vllm" in text
    )
    shutil.copy(ROOT / "samples/triage/tickets.jsonl", tmp_path / "tickets.jsonl")
    with serving(reply="[[ ## queue ## ]]\nbilling\n\n[[ ## completed ## ]]") as server:
        local = snippet.replace("http://localhost:8000", server.url).replace(
            "http://localhost:11434", server.url
        )
        text = re.sub(r"^models: .*\n", lambda _: local, readme_spec(), flags=re.M)
        (tmp_path / "spec.yaml").write_text(text, encoding="utf-8")
        done = run_shell("promptc eval --limit 12 --json", tmp_path)
        assert done.returncode == 0, done.stderr
        assert server.stats["requests"] == 12


@pytest.mark.parametrize("path", DOCS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(path):
    text = path.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text)
    missing = [t for t in targets if "://" not in t and not (path.parent / t).exists()]
    assert missing == []


@pytest.mark.parametrize("sample", ["triage", "extract", "maths"])
def test_a_sample_gives_what_its_readme_shows(sample, tmp_path):
    """The commands of a sample's README, run elsewhere, print its figures again."""
    shutil.copytree(ROOT / "samples", tmp_path / "samples")
    readme = (ROOT / "samples" / sample / "README.md").read_text(encoding="utf-8")
    command = re.search(r"^promptc (?:eval|optimize) samples/.*$", readme, re.M)
    shown = re.search(r"^(?:Improved|Scored).*$", readme, re.M)
    assert command, "the README names no command"
    assert shown, "the README shows no verdict"
    done = run_shell(command[0], tmp_path)
    assert done.returncode == 0, done.stderr
    assert shown[0] in done.stdout

"""The run directory: who may write where, what is replaced and when, and what a full disk comes to."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import stat
from pathlib import Path

import pytest
from workplace import Sentiment, Workplace, open_workplace

from promptc.runners.disk import LineLog
from promptc.runners.run_directory import (
    LOCK,
    MANIFEST,
    MARKER,
    Marker,
    RunDirectory,
    default_path,
    point_latest,
    read_marker,
)
from promptc.spec.errors import RunError

ONE = Marker(identity="1" * 32, command="eval", name="one")
TWO = Marker(identity="2" * 32, command="optimize", name="two")


def begun(path: Path, marker: Marker, **flags: bool) -> RunDirectory:
    directory = RunDirectory.open(path, marker, **flags)
    directory.write("summary.json", marker.identity.encode())
    return directory


def finished(path: Path, marker: Marker, **flags: bool) -> None:
    directory = begun(path, marker, **flags)
    directory.complete(b"{}")
    directory.close()


def left(path: Path, marker: Marker, **flags: bool) -> None:
    """A run that ended in the middle."""
    begun(path, marker, **flags).close()


def content(path: Path) -> str:
    return (path / "summary.json").read_text()[:1]


# ── the table of the design ───────────────────────────────────────────────────────────────────────────────


def test_the_same_run_goes_on_where_it_was_left(tmp_path):
    left(tmp_path / "run", ONE)
    (tmp_path / "run" / "calls.sqlite").write_text("journal")
    with opened(tmp_path / "run", ONE) as directory:
        assert not directory.finished
        assert directory.journal_path.read_text() == "journal"


def test_the_same_run_when_finished_is_finished(tmp_path):
    finished(tmp_path / "run", ONE)
    with opened(tmp_path / "run", ONE) as directory:
        assert directory.finished


def test_a_finished_other_run_is_replaced_only_when_the_new_one_is_complete(tmp_path):
    finished(tmp_path / "run", ONE)
    with opened(tmp_path / "run", TWO) as directory:
        directory.write("summary.json", TWO.identity.encode())
        assert content(tmp_path / "run") == "1"
        directory.complete(b"{}")
        assert content(tmp_path / "run") == "2"
        assert directory.finished
    assert [entry.name for entry in tmp_path.iterdir()] == ["run"]


def test_what_was_begun_beside_a_finished_run_goes_on(tmp_path):
    finished(tmp_path / "run", ONE)
    with opened(tmp_path / "run", TWO) as directory:
        directory.write("summary.json", b"2 in part")
    with opened(tmp_path / "run", TWO) as directory:
        assert (directory.work / "summary.json").read_bytes() == b"2 in part"
    with opened(tmp_path / "run", ONE) as directory:
        assert directory.finished


def test_an_unfinished_other_run_is_refused_without_force(tmp_path):
    left(tmp_path / "run", ONE)
    with pytest.raises(RunError, match="unfinished run of something else \\(eval of one\\)"):
        RunDirectory.open(tmp_path / "run", TWO)
    with pytest.raises(RunError, match="unfinished"):
        RunDirectory.open(tmp_path / "run", TWO, fresh=True)
    assert content(tmp_path / "run") == "1"
    with opened(tmp_path / "run", TWO, force=True) as directory:
        assert not (directory.work / "summary.json").exists()
        assert read_marker(directory.path).identity == TWO.identity


@pytest.mark.parametrize("flags", [{}, {"force": True}, {"fresh": True}, {"force": True, "fresh": True}])
def test_a_folder_of_somebody_elses_is_always_refused(tmp_path, flags):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("dear")
    with pytest.raises(RunError, match="promptc did not make it"):
        RunDirectory.open(tmp_path / "home", ONE, **flags)
    assert [entry.name for entry in (tmp_path / "home").iterdir()] == ["letter.txt"]


@pytest.mark.parametrize("marker", ["", "{", "[]", '{"identity": 3}'])
def test_a_folder_with_a_marker_that_cannot_be_read_is_not_ours(tmp_path, marker):
    (tmp_path / MARKER).write_text(marker)
    with pytest.raises(RunError, match="promptc did not make it"):
        RunDirectory.open(tmp_path, ONE, force=True)


def test_a_file_in_the_place_of_the_directory_is_refused(tmp_path):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(RunError, match="promptc did not make it"):
        RunDirectory.open(tmp_path / "run", ONE)


def test_an_empty_folder_may_be_used(tmp_path):
    with opened(tmp_path, ONE) as directory:
        assert directory.work == tmp_path


def test_a_locked_directory_is_refused(tmp_path):
    with opened(tmp_path / "run", ONE), pytest.raises(RunError, match="another promptc process"):
        RunDirectory.open(tmp_path / "run", ONE)
    with opened(tmp_path / "run", ONE) as directory:
        assert not directory.finished


def test_fresh_begins_an_unfinished_run_anew_once(tmp_path):
    """What was begun with the cache is given up; what was begun fresh goes on."""
    left(tmp_path / "run", ONE)
    with opened(tmp_path / "run", ONE, fresh=True) as directory:
        assert not (directory.work / "summary.json").exists()
        directory.write("summary.json", b"fresh")
    with opened(tmp_path / "run", ONE, fresh=True) as directory:
        assert (directory.work / "summary.json").read_bytes() == b"fresh"
    with opened(tmp_path / "run", ONE) as directory:
        assert (directory.work / "summary.json").read_bytes() == b"fresh"


# ── kills at bad moments ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("names", [[LOCK], [LOCK, f".{MARKER}.tmp"]])
def test_a_kill_before_the_marker_leaves_a_directory_that_can_be_used(tmp_path, names):
    for name in names:
        (tmp_path / name).touch()
    with opened(tmp_path, ONE) as directory:
        assert read_marker(tmp_path) == directory.marker


def test_a_kill_between_the_two_renames_is_made_good(tmp_path):
    finished(tmp_path / "run", ONE)
    with opened(tmp_path / "run", TWO) as directory:
        directory.write("summary.json", TWO.identity.encode())
        directory.write(MANIFEST, b"{}")
        os.rename(tmp_path / "run", tmp_path / ".run.old")
    with opened(tmp_path / "run", TWO) as directory:
        assert directory.finished
        assert content(tmp_path / "run") == "2"


def test_a_kill_while_a_run_is_given_up_leaves_it_promptcs(tmp_path):
    """The marker goes last: whatever else is gone, the folder is not taken for somebody else's."""
    left(tmp_path / "run", ONE)
    (tmp_path / "run" / "summary.json").unlink()
    with opened(tmp_path / "run", TWO, force=True) as directory:
        assert read_marker(directory.path).identity == TWO.identity


# ── files ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_equal_bytes_keep_their_time(tmp_path):
    with opened(tmp_path, ONE) as directory:
        directory.write("report.txt", b"same")
        os.utime(tmp_path / "report.txt", (1, 1))
        directory.write("report.txt", b"same")
        assert (tmp_path / "report.txt").stat().st_mtime == 1
        directory.write("report.txt", b"other")
        assert (tmp_path / "report.txt").stat().st_mtime > 1


def test_a_run_directory_is_its_owners_alone(tmp_path):
    with opened(tmp_path / "run", ONE):
        assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o700


def test_lines_are_put_in_the_order_of_their_places(tmp_path):
    log = LineLog(tmp_path / "rows.jsonl")
    for place in (2, 0, 1):
        log.append(place, {"place": place, "text": "x" * place})
    log.put_in_order()
    assert [json.loads(line)["place"] for line in (tmp_path / "rows.jsonl").read_text().splitlines()] == [
        0,
        1,
        2,
    ]


def test_names_that_a_file_system_would_not_like_are_mended():
    assert (
        default_path(Path("runs"), "../a b/ü", "eval", "abcdef0123456789").name == "a-b-ü-eval-abcdef012345"
    )
    assert default_path(Path("runs"), "...", "eval", "abcdef0123456789").name == "run-eval-abcdef012345"


def test_the_newest_run_is_named(tmp_path):
    for identity in ("a", "b"):
        (tmp_path / identity).mkdir()
        point_latest(tmp_path, "one", "eval", tmp_path / identity)
    assert os.readlink(tmp_path / "one-eval-latest") == "b"


# ── through the command line ──────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def place(shared_folder):
    with open_workplace(shared_folder("directories"), Sentiment()) as opened_place:
        yield opened_place


def test_a_finished_other_run_is_replaced(place: Workplace):
    assert place.run("eval", "-o", "one", "--limit", "2").code == 0
    assert place.run("eval", "-o", "one", "--limit", "3").code == 0
    assert place.summary("one")["dev"]["n"] == 3
    assert not list(place.folder.glob(".one*"))


def test_an_unfinished_other_run_is_exit_4_until_forced(place: Workplace):
    assert place.run("eval", "-o", "two", "--limit", "2").code == 0
    (place.folder / "two" / "manifest.json").unlink()
    before = place.server.requests
    refused = place.run("eval", "-o", "two", "--limit", "3", "--json")
    assert (refused.code, refused.document["exit_code"]) == (4, 4)
    assert "--force" in refused.err
    assert place.server.requests == before
    assert place.run("eval", "-o", "two", "--limit", "3", "--force").code == 0


def test_a_foreign_folder_is_exit_4_even_when_forced(place: Workplace):
    place.write("letters/one.txt", "dear")
    done = place.run("eval", "-o", "letters", "--force", "--fresh")
    assert done.code == 4, done
    assert (place.folder / "letters" / "one.txt").read_text() == "dear"


def test_a_directory_that_another_process_writes_is_exit_4(place: Workplace):
    assert place.run("eval", "-o", "locked", "--limit", "2").code == 0
    with open(place.folder / "locked" / LOCK) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = place.run("eval", "-o", "locked", "--limit", "2")
    assert done.code == 4, done
    assert "another promptc process" in done.err


def test_a_replay_leaves_what_has_not_changed_untouched(place: Workplace):
    place.run("optimize", "--optimizer", "labeled_few_shot", "-o", "times")
    run = place.folder / "times"
    files = [
        run / "summary.json",
        run / "spec.resolved.yaml",
        *(p for p in run.rglob("compiled/*") if p.is_file()),
    ]
    for file in files:
        os.utime(file, (1, 1))
    (run / "manifest.json").unlink()
    assert place.run("optimize", "--optimizer", "labeled_few_shot", "-o", "times").code == 0
    assert {file.stat().st_mtime for file in files} == {1}


def test_the_manifest_is_newer_than_everything_else(place: Workplace):
    """It is the target of a Makefile: written last, and only by a complete run."""
    place.run("eval", "-o", "made")
    run = place.folder / "made"
    newest = max((p for p in run.rglob("*") if p.is_file()), key=lambda p: p.stat().st_mtime_ns)
    assert newest.name == "manifest.json"
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["arguments"] == ["eval", "-o", "made"]
    assert manifest["identity"] == place.summary("made")["identity"]
    assert {"promptc", "seed", "digests", "git", "python", "libraries"} <= manifest.keys()


def test_a_manifest_of_a_gate_that_failed_is_written_all_the_same(place: Workplace):
    assert place.run("eval", "-o", "failed", "--fail-under", "1.0").code == 1
    assert (place.folder / "failed" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("flags", "same"),
    [
        (["--set", "gates=[dev.score >= 0]"], True),
        (["--set", "description=Other words."], True),
        (["--set", "run.concurrency=3"], True),
        (["-j", "3", "-q", "--json"], True),
        (["--set", "models.task.api_key=${env:KEY}"], True),
        (["--set", "run.seed=1"], False),
        (["--set", "instructions=Otherwise."], False),
        (["--split", "train"], False),
        (["--limit", "2"], False),
        (["--set", "run.format_retries=0"], False),
    ],
)
def test_what_is_part_of_a_runs_identity(place: Workplace, flags, same):
    place.run("eval", "-o", "identity")
    identity = place.summary("identity")["identity"]
    place.run("eval", "-o", "identity", *flags, KEY="none-of-that")
    assert (place.summary("identity")["identity"] == identity) == same


def limited(size: int):
    """No file may grow beyond so many bytes: what a full disk looks like from inside."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return limit


@pytest.mark.parametrize("size", [0, 4096, 40_000, 60_000])
def test_a_full_disk_is_exit_4_and_can_be_resumed(shared_folder, size):
    with open_workplace(shared_folder("full"), Sentiment()) as full:
        done = full.process("eval", "-o", "run", "--split", "all", limits=limited(size), stdin="")
        assert done.code == 4, done
        assert "Traceback" not in done.err
        assert "same command again" in " ".join(done.err.split())
        assert not (full.folder / "run" / "manifest.json").exists()
        requests = full.server.requests
        assert full.run("eval", "-o", "run", "--split", "all").code == 0
        assert full.server.repaid <= requests
        undisturbed = full.run("eval", "-o", "other", "--split", "all")
        assert undisturbed.code == 0
        assert full.result("run") == full.result("other")


def test_a_place_where_nothing_can_be_written_is_exit_4(place: Workplace):
    place.write("file", "")
    before = place.server.requests
    for out in ("file/run", "/proc/run"):
        done = place.run("eval", "-o", out)
        assert done.code == 4, done
        assert "Traceback" not in done.err
    assert place.server.requests == before


class opened:
    """A run directory, closed at the end."""

    def __init__(self, path: Path, marker: Marker, **flags: bool) -> None:
        self.directory = RunDirectory.open(path, marker, **flags)

    def __enter__(self) -> RunDirectory:
        return self.directory

    def __exit__(self, *_: object) -> None:
        self.directory.close()

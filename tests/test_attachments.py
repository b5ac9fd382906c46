"""Images, recordings, files, conversations and code as fields: in the spec, in the prompt, on the wire, in a run."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest
from loopback import Loopback
from transports import Opened
from workplace import Workplace, answer, open_workplace

from promptc.runners.attachments import AttachmentRefused, Attachments
from promptc.runners.candidate import Demo
from promptc.runners.download import download, is_public
from promptc.runners.failures import RowFailed
from promptc.runners.formats.chat import Chat
from promptc.runners.formats.json_object import Json
from promptc.runners.formats.messages import joined
from promptc.runners.formats.protocol import Format
from promptc.runners.formats.template import Template
from promptc.runners.formats.two_step import TwoStep
from promptc.runners.formats.xml_tags import Xml
from promptc.runners.models.request import Attachment, CallFailed, Completion, Message, Request
from promptc.runners.models.secrets import Redactor
from promptc.runners.models.stack import StackSettings, open_models
from promptc.spec.fields import Field, Signature
from promptc.spec.load import load
from promptc.spec.model import Model
from promptc.spec.signature import parse_signature
from promptc.spec.type_text import TypeTextError, parse_type

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt "
PDF = b"%PDF-1.4\n"
IMAGE = parse_type("image")
HISTORY = parse_type("history")
FORMATS: list[Format] = [Chat(), Json(), Xml(), TwoStep(), Template(text="{{ photo }}\n{{ question }}")]
PICTURE = Signature(
    inputs=(Field(name="photo", schema=IMAGE), Field(name="question")), outputs=(Field(name="answer"),)
)


# The types


@pytest.mark.parametrize(
    ("text", "schema"),
    [
        ("image", {"type": "string", "format": "image"}),
        ("audio | None", {"type": ["string", "null"], "format": "audio"}),
        ("list[file]", {"type": "array", "items": {"type": "string", "format": "file"}}),
        ("code", {"type": "string", "format": "code"}),
        ("code[python]", {"type": "string", "format": "code", "language": "python"}),
        ("code['c++']", {"type": "string", "format": "code", "language": "c++"}),
    ],
)
def test_types_in_one_line(text, schema):
    assert parse_type(text) == schema


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        ("text -> picture: image", "an image can only be an input: what models write is text"),
        ("text -> talk: history", "a history can only be an input"),
        ("text -> all: list[file]", "a file can only be an input"),
        ("all: dict[str, image] -> text", "an image inside of another type"),
        ("all: list[list[audio]] -> text", "a recording inside of another type"),
        ("all: list[history] -> text", "a history inside of another type"),
    ],
)
def test_what_cannot_be_sent_or_answered_is_refused(signature, message):
    with pytest.raises(TypeTextError) as caught:
        parse_signature(signature)
    assert caught.value.message.startswith(message)


def test_the_long_form_says_the_same_and_may_set_a_limit():
    spec = """
version: 1
models: {task: a/b}
data: {rows: [{photo: x.png, script: "1"}]}
fields:
  inputs:
    photo: {type: image, maxBytes: 1000, nullable: true}
    script: {type: "code[sql]", description: The query}
    tone: {type: string, default: calm}
    hint: {type: string, optional: true}
  outputs:
    fixed: {type: code, language: sql}
"""
    found, findings = load(spec, file="spec.yaml", base=Path("."))
    assert found is not None, findings
    photo, script, tone, hint = found.inputs
    assert photo.schema == {"type": ["string", "null"], "format": "image", "maxBytes": 1000}
    assert (photo.attachment, script.attachment) == ("image", None)
    assert script.schema == {"type": "string", "format": "code", "language": "sql"}
    assert (tone.default, hint.default, hint.schema) == ("calm", None, {"type": ["string", "null"]})
    again, findings = load(json.dumps(found.resolved), file="spec.yaml", base=Path("."))
    assert (again, findings) == (found, ())


def test_a_misplaced_type_is_found_where_it_stands():
    spec = "version: 1\nmodels: {task: a/b}\ndata: x.jsonl\nfields:\n  inputs: {a: string}\n  outputs: {b: image}\n"
    _, findings = load(spec, file="spec.yaml", base=Path("."))
    assert [(f.message, f.position.line) for f in findings] == [
        ("an image can only be an input: what models write is text", 6)
    ]


# In the prompt


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.version)
def test_an_image_goes_beside_the_text_which_calls_it_by_name(form):
    row = form.row(PICTURE, {"photo": "a/b.png", "question": "What is it?"})[-1]
    assert "[photo]" in row.content
    assert "b.png" not in row.content
    assert row.attachments == (Attachment(kind="image", label="photo", source="a/b.png", limit=20_000_000),)


@pytest.mark.parametrize("form", [*FORMATS[:4], Template(text="{{ demos }}\n\n{{ photo }}{{ question }}")])
def test_a_demo_keeps_its_image(form):
    demo = Demo(inputs={"photo": "demo.png", "question": "?"}, outputs={"answer": "a cat"})
    messages = joined(form.prefix(PICTURE, [demo]), form.row(PICTURE, {"photo": "row.png", "question": "?"}))
    shown = [a.source for message in messages for a in message.attachments]
    assert shown == (["demo.png", "row.png"] if form.version != "template/1" else ["row.png"])


def test_several_images_are_numbered_and_none_is_said():
    many = Field(name="pages", schema=parse_type("list[image] | None"))
    signature = Signature(inputs=(many,), outputs=(Field(name="text"),))
    row = Chat().row(signature, {"pages": ["1.png", "2.png"]})[0]
    assert "[[ ## pages ## ]]\n[pages 1]\n[pages 2]" in row.content
    assert [(a.label, a.source) for a in row.attachments] == [("pages 1", "1.png"), ("pages 2", "2.png")]
    assert "[[ ## pages ## ]]\n(none)" in Chat().row(signature, {"pages": None})[0].content
    assert "1. `pages` (list of images or null)" in Chat().prefix(signature, ())[0].content


@pytest.mark.parametrize("value", [3, "", {"path": "x"}, ["a.png", None]])
def test_what_is_no_path_fails_the_row(value):
    with pytest.raises(RowFailed, match="`photo` is a path or a URL"):
        Chat().row(PICTURE, {"photo": value, "question": "?"})


TALK = Signature(
    inputs=(Field(name="talk", schema=HISTORY), Field(name="question")), outputs=(Field(name="answer"),)
)


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


@pytest.mark.parametrize("form", [Chat(), Json(), Xml(), TwoStep()], ids=lambda form: form.version)
def test_a_history_becomes_messages(form):
    talk = [turn("user", "Hi"), turn("assistant", "Hello!"), turn("user", "Wait."), turn("user", "Now:")]
    messages = form.row(TALK, {"talk": talk, "question": "Who are you?"})
    assert [m.role for m in messages] == ["user", "assistant", "user"]
    assert messages[0].content == "Hi"
    assert messages[1].content == "Hello!"
    assert messages[2].content.startswith("Wait.\n\nNow:\n\n")
    assert "Who are you?" in messages[2].content
    system = form.prefix(TALK, ())[0].content
    assert "1. `talk` (the conversation so far)" in system
    assert "{talk}" not in system


def test_a_history_that_the_assistant_begins_has_a_user_before_it():
    messages = Chat().row(TALK, {"talk": [turn("assistant", "Welcome!")], "question": "?"})
    assert [m.role for m in messages] == ["user", "assistant", "user"]
    assert Chat().row(TALK, {"talk": [], "question": "?"})[0].role == "user"


def test_a_demo_writes_its_history_out():
    demo = Demo(
        inputs={"talk": [turn("user", "Hi"), turn("assistant", "Yes?")], "question": "?"},
        outputs={"answer": "a"},
    )
    _, user, _ = Chat().prefix(TALK, [demo])
    assert user.content == "[[ ## talk ## ]]\nuser: Hi\n\nassistant: Yes?\n\n[[ ## question ## ]]\n?"


@pytest.mark.parametrize(
    "talk", ["Hi", [{"role": "system", "content": "x"}], [{"role": "user"}], {"role": "user"}]
)
def test_what_is_no_history_fails_the_row(talk):
    with pytest.raises(RowFailed, match=r"a history is a list of \{role, content\}"):
        Chat().row(TALK, {"talk": talk, "question": "?"})


CODE = Signature(
    inputs=(Field(name="task"),), outputs=(Field(name="script", schema=parse_type("code[python]")),)
)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("print(1)", "print(1)"),
        ("```python\nprint(1)\nprint(2)\n```", "print(1)\nprint(2)"),
        ("```\nprint(1)\n```", "print(1)"),
        ("Here it is:\n```python\nprint(1)\n```\nIt prints 1.", "print(1)"),
        ("```\na\n```\nor\n```\nb\n```", "```\na\n```\nor\n```\nb\n```"),
        ("x = '```'", "x = '```'"),
    ],
)
def test_code_comes_without_its_fence(said, code):
    marked = f"[[ ## script ## ]]\n{said}\n\n[[ ## completed ## ]]"
    assert Chat().parse(CODE, Completion(text=marked)) == {"script": code}
    assert Json().parse(CODE, Completion(text=json.dumps({"script": said}))) == {"script": code}
    assert Xml().parse(CODE, Completion(text=f"<script>{said}</script>")) == {"script": code}
    assert Chat().parse(CODE, Completion(text=said)) == {"script": code}


def test_the_prompt_names_the_language():
    assert "1. `script` (python code)" in Chat().prefix(CODE, ())[0].content


# Found, checked, read


def store(tmp_path: Path, **files: bytes) -> Attachments:
    for name, content in files.items():
        path = tmp_path / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(content)
    return Attachments([tmp_path / "data", tmp_path])


def image(source: str, limit: int = 1000) -> Attachment:
    return Attachment(kind="image", label="photo", source=source, limit=limit)


def test_a_file_is_known_by_its_content_whatever_it_is_called(tmp_path):
    found = store(tmp_path, a_png=PNG, data__b_png=PNG)
    one, other = found.settled(image("a.png")), found.settled(image("b.png"))
    uri = found.settled(image("data:image/png;base64," + base64.b64encode(PNG).decode()))
    assert one == other == uri
    assert (one.source, one.media_type, one.size, one.name) == ("", "image/png", len(PNG), "")
    assert found.content(one) == PNG


def test_an_address_stays_an_address(tmp_path):
    picture = image("https://example.org/cat.png")
    assert store(tmp_path).settled(picture) == picture


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("gone.png", "there is no file gone.png in "),
        ("../secret.png", r"\.\./secret.png is no file inside of "),
        ("/etc/hostname", "/etc/hostname is no file inside of "),
        (".env.png", ".env.png is a hidden file"),
        (".git/x.png", ".git/x.png is a hidden file"),
        ("notes.txt", r"notes.txt is not an image \(PNG, JPEG, GIF or WebP\)"),
        ("fake.png", "fake.png is not an image"),
        ("big.png", "big.png has 1,008 bytes, more than the allowed 1,000"),
        ("ftp://example.org/x.png", "is neither a path nor an http or https address"),
        ("data:image/png,abc", "a data URI has to be base64"),
        ("data:image/png;base64,@@", "the data URI is not base64"),
        ("data:image/png;base64,YWJj", "the data URI is not an image"),
        ("x\0.png", "is neither a path"),
    ],
)
def test_what_is_not_sent(tmp_path, source, message):
    (tmp_path / "secret.png").write_bytes(PNG)
    folder = tmp_path / "in"
    folder.mkdir()
    for name, content in {
        ".env.png": PNG, "notes.txt": b"hello", "fake.png": b"hello", "big.png": PNG[:8] + b"x" * 1000,
    }.items():  # fmt: skip
        (folder / name).write_bytes(content)
    found = Attachments([folder])
    with pytest.raises(AttachmentRefused, match=message):
        found.settled(image(source))
    assert found.problem(image(source))


def test_recordings_and_files_are_told_by_their_content(tmp_path):
    found = store(tmp_path, a_wav=WAV, b_pdf=PDF, c_csv=b"a,b\n", d_bin=b"\0\1")
    kinds = {
        name: found.settled(Attachment(kind=kind, label="x", source=name))
        for kind, name in (("audio", "a.wav"), ("file", "b.pdf"), ("file", "c.csv"), ("file", "d.bin"))
    }
    assert {name: a.media_type for name, a in kinds.items()} == {
        "a.wav": "audio/wav", "b.pdf": "application/pdf", "c.csv": "text/csv", "d.bin": "application/octet-stream",
    }  # fmt: skip
    assert kinds["b.pdf"].name == "b.pdf"
    with pytest.raises(AttachmentRefused, match=r"b\.pdf is not a recording"):
        found.settled(Attachment(kind="audio", label="x", source="b.pdf"))


def test_a_file_that_changes_under_way_is_not_sent(tmp_path):
    found = store(tmp_path, a_png=PNG)
    one = found.settled(image("a.png"))
    (tmp_path / "a.png").write_bytes(PNG + b"more")
    with pytest.raises(AttachmentRefused, match="has changed while the run was under way"):
        found.content(one)
    assert found.settled(image("a.png")).digest != one.digest


def test_a_file_is_fetched_from_public_addresses_alone():
    async def work():
        async with Loopback() as server:
            stats = server.url.removesuffix("/v1") + "/stats"
            with pytest.raises(AttachmentRefused, match="is no public address"):
                await download(stats, 1000)
            content, name = await download(stats, 10_000, allowed=lambda _: True)
            assert (json.loads(content)["requests"], name) == (0, "stats")
            with pytest.raises(AttachmentRefused, match="more than the allowed 5 bytes"):
                await download(stats, 5, allowed=lambda _: True)
            with pytest.raises(AttachmentRefused, match="answers with status 4"):
                await download(stats + "x", 5, allowed=lambda _: True)

    asyncio.run(work())
    assert [is_public(a) for a in ("127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "1.1.1.1")] == [
        False
    ] * 4 + [True]


# On the wire


def models(folder: Path, **settings: Any):
    return open_models(
        {"task": Model(model="openai/gpt-4.1", **settings)},
        environment={"OPENAI_API_KEY": "k"},
        redactor=Redactor(),
        settings=StackSettings(attachments=Attachments([folder])),
    )


def test_a_requests_key_depends_on_the_content_and_not_on_the_path(tmp_path):
    store(tmp_path, a_png=PNG, b_png=PNG, c_png=PNG + b"x")

    def request(name: str) -> Request:
        return models(tmp_path).request("task", Chat().row(PICTURE, {"photo": name, "question": "?"}))

    assert request("a.png").key() == request("b.png").key() != request("c.png").key()
    assert (
        b"iVBOR"
        not in json.dumps([a.digest for m in request("a.png").messages for a in m.attachments]).encode()
    )
    with pytest.raises(RowFailed, match=r"there is no file d\.png"):
        request("d.png")


@pytest.mark.parametrize("transport", ["direct", "litellm"])
def test_attachments_are_sent_in_base64(tmp_path, transport):
    store(tmp_path, a_png=PNG, b_wav=WAV, c_pdf=PDF)
    fields = tuple(Field(name=name, schema=parse_type(name)) for name in ("image", "audio", "file"))
    signature = Signature(inputs=(*fields, Field(name="url", schema=IMAGE)), outputs=(Field(name="answer"),))
    row = {"image": "a.png", "audio": "b.wav", "file": "c.pdf", "url": "https://example.org/x.png"}

    async def work() -> dict[str, Any]:
        async with Loopback("ok") as server:
            stack = models(tmp_path, api_base=server.url, transport=transport)
            request = stack.request("task", (Message("system", "Look."), *Chat().row(signature, row)))
            await stack.complete(request, "task")
            await stack.close()
            return server.seen[0]

    system, user = asyncio.run(work())["messages"]
    assert system == {"role": "system", "content": "Look."}
    parts = user["content"]
    encoded = {
        name: base64.b64encode(content).decode()
        for name, content in (("png", PNG), ("wav", WAV), ("pdf", PDF))
    }
    assert parts[0]["text"].startswith("[[ ## image ## ]]\n[image]")
    assert parts[1:] == [
        {"type": "text", "text": "[image]"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{encoded['png']}"}},
        {"type": "text", "text": "[audio]"},
        {"type": "input_audio", "input_audio": {"data": encoded["wav"], "format": "wav"}},
        {"type": "text", "text": "[file]"},
        {
            "type": "file",
            "file": {"filename": "c.pdf", "file_data": f"data:application/pdf;base64,{encoded['pdf']}"},
        },
        {"type": "text", "text": "[url]"},
        {"type": "image_url", "image_url": {"url": "https://example.org/x.png"}},
    ]


def test_the_embedded_model_refuses_an_image_plainly():
    async def work():
        async with Opened(Model(model="embedded/icl")) as transport:
            request = Request(
                model="embedded/icl", messages=Chat().row(PICTURE, {"photo": "a.png", "question": "?"})
            )
            with pytest.raises(CallFailed) as caught:
                await transport.complete(request)
            return caught.value

    failure = asyncio.run(work())
    assert failure.message == "embedded/icl reads text only, and `photo` is of the type image"
    assert failure.fatal


# In a run


def seeing(body: dict[str, Any]) -> str:
    parts = body["messages"][-1]["content"]
    urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    return answer(label="positive" if len(urls) == 1 and urls[0].startswith("data:image/png") else "negative")


@pytest.fixture
def pictures(tmp_path):
    with open_workplace(tmp_path, seeing) as place:
        rows = [{"id": f"r{n}", "photo": f"images/{n}.png", "label": "positive"} for n in range(3)]
        for n in range(3):
            place.write(f"data/images/{n}.png", PNG + bytes([n]))
        place.write("data/rows.jsonl", rows)
        place.write_spec(
            signature=None,
            data="data/rows.jsonl",
            fields={
                "inputs": {"photo": {"type": "image"}},
                "outputs": {"label": {"enum": ["negative", "neutral", "positive"]}},
            },
        )
        yield place


def test_images_are_scored_and_leave_only_their_digests_behind(pictures: Workplace):
    done = pictures.run("eval", "--json", "-o", "run")
    assert done.code == 0, done
    assert done.document["dev"]["score"] == 1.0
    journal = (pictures.folder / "run/calls.sqlite").read_bytes()
    assert b"iVBORw0KGgo" not in journal
    assert [
        json.loads(line)["inputs"]["photo"]
        for line in (pictures.folder / "run/rows.jsonl").read_text().splitlines()
    ]
    asked = pictures.server.stats["requests"]
    assert pictures.run("eval", "--json", "-o", "run").document["dev"]["score"] == 1.0
    assert pictures.server.stats["requests"] == asked


def test_another_content_is_another_run(pictures: Workplace):
    first = pictures.run("eval", "--json").document["identity"]
    (pictures.folder / "data/images/1.png").write_bytes(PNG + b"other")
    assert pictures.run("eval", "--json").document["identity"] != first


def test_missing_images_are_found_before_anything_is_asked(pictures: Workplace):
    (pictures.folder / "data/images/1.png").unlink()
    done = pictures.run("validate")
    assert done.code == 2
    assert "1 row cannot be sent with `photo`: there is no file images/1.png in" in " ".join(
        done.out.split() + done.err.split()
    )
    assert pictures.server.stats["requests"] == 0


def test_the_embedded_model_is_refused_when_the_spec_is_checked(pictures: Workplace):
    done = pictures.run("validate", "--model", "task=embedded/icl")
    assert done.code == 2
    assert "embedded/icl reads text only, and `photo` is of the type image" in " ".join(
        (done.out + done.err).split()
    )


def test_render_names_the_image_and_reads_no_file(pictures: Workplace):
    done = pictures.run("render", "--row", "r1")
    assert "[photo]: image images/1.png" in done.out
    assert "[photo]: image ‹photo›" in pictures.run("render").out


def test_run_finds_images_beside_its_rows(pictures: Workplace):
    pictures.write("elsewhere/new.jsonl", [{"photo": "x.png"}, {"photo": "../spec.yaml"}])
    pictures.write("elsewhere/x.png", PNG)
    done = pictures.run("run", "spec.yaml", "elsewhere/new.jsonl")
    assert done.lines[0]["outputs"] == {"label": "positive"}
    assert done.lines[1]["failure"]["kind"] == "data"


def test_an_artifact_carries_the_images_of_its_demos(pictures: Workplace):
    for n in range(3, 40):
        pictures.write(f"data/images/{n}.png", PNG + bytes([n]))
    rows = [{"id": f"r{n}", "photo": f"images/{n}.png", "label": "positive"} for n in range(40)]
    pictures.write("data/rows.jsonl", rows)
    pictures.server.reply = lambda body: (
        seeing(body) if len(body["messages"]) > 2 else answer(label="negative")
    )
    done = pictures.run("optimize", "-o", "run", "--set", "optimizer=labeled_few_shot")
    assert done.code == 0, done
    artifact = json.loads((pictures.folder / "run/compiled/program.json").read_text())
    demos = artifact["candidate"]["predictors"]["main"]["demos"]
    for demo in demos:
        assert demo["inputs"]["photo"].startswith("data:image/png;base64,iVBORw0KGgo")
    for path in (pictures.folder / "data/images").iterdir():
        if path.stem in {demo["row_id"][1:] for demo in demos}:
            path.unlink()
    pictures.write("elsewhere/new.jsonl", [{"photo": "x.png"}])
    pictures.write("elsewhere/x.png", PNG)
    done = pictures.run("run", "run/compiled/program.json", "elsewhere/new.jsonl")
    assert done.lines[0]["outputs"] == {"label": "positive"}

"""The server answers generated requests as its own OpenAPI document describes, without a server error."""

import os
from pathlib import Path
from zlib import crc32

import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from indexer import IndexOptions, update_library
from retrieval.library import Library
from retrieval.server.app import create_app
from retrieval.server.options import ServerOptions
from tests.support.audio_files import write_audio
from tests.support.document_files import pdf
from tests.support.files import draw_image, write_text
from tests.support.metadata_files import exif, gps, jpeg, write_file
from tests.support.toy_embedder import COLORS, ToyEmbedder
from tests.support.video_files import write_video

HOST = "127.0.0.1:8765"
MAX_EXAMPLES = 25  # of a route, after those at the limits of each parameter
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)
# Generated texts are seldom queries with an answer, so these replace half of them.
QUERIES = (
    "", "red", "red | blue", "kind:image", "#3 - red", "red not:blue", "date:2022", "@none", "tag:x red",
    "camera:Canon", "near:48,11,50", "red + pic:none", '"red boat"', "under:Trips -green", "rating:3..",
    "+", "^0", "-tag:sea -kind:text",
)  # fmt: skip
RANGES = ("bytes=0-9", "bytes=5-", "bytes=-7", "bytes=9999999-", "bytes=-", "bytes=1-0", "lines=1-2", "")


def write_media(folder: Path) -> None:
    """Write a file of each kind, with metadata, and files that are changed or deleted after indexing."""
    for color in COLORS:
        draw_image(folder / f"{color}.png", color, size=(60, 40))
    metadata = exif(
        {0x010F: "Canon", 0x0110: "Canon EOS R5"}, {0x9003: "2022:07:01 12:00:00"}, gps(48.1, 11.5)
    )
    write_file(folder / "Trips" / "camera.jpg", jpeg((60, 40), exif=metadata))
    write_text(folder / "Trips" / "camera.txt", "a red square at sea")
    write_text(folder / "notes.md", "The red boat came home.\n\nThe blue one did not.\n")
    write_text(folder / "page.html", "<p>red words</p><script>alert(1)</script>")
    write_video(folder / "walk.mp4", [("green", 2.0), ("yellow", 2.0)])
    write_audio(folder / "tone.wav", 2.0)
    (folder / "report.pdf").write_bytes(pdf([("blue", "The report of the year"), ("red", "Its end")]))
    draw_image(folder / "deleted.png", (9, 9, 9))
    draw_image(folder / "changed.png", (19, 9, 9))


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Return the application of a library with files of each kind, and the ids of its segments."""
    folder = tmp_path_factory.mktemp("media")
    library = tmp_path_factory.mktemp("library") / "library"
    write_media(folder)
    update_library([folder], library=library, embedder=ToyEmbedder(), options=IndexOptions())
    (folder / "deleted.png").unlink()
    os.utime(folder / "changed.png", (1, 1))
    with Library.open(library, embedder=ToyEmbedder()) as opened:
        hits = opened.search("red", count=1000)
    ids = [*sorted({hit.id for hit in hits}), *[hit.id for hit in hits if hit.timed] * 10]
    return create_app(Library.open(library, embedder=ToyEmbedder()), ServerOptions()), ids


def generating_schema(app, ids):
    """Return the schema of an application with rules for requests: half have these ids and QUERIES."""
    schema = schemathesis.openapi.from_asgi(
        "/openapi.json", app, config=SchemathesisConfig(), headers={"Host": HOST}
    )
    schema.config.update(headers={"Host": HOST})
    schema.config.generation.update(max_examples=MAX_EXAMPLES, deterministic=True, no_shrink=True)
    schema.config.checks.update(included_check_names=list(CHECKS))
    schema.config.phases.update(phases=["examples", "coverage", "fuzzing"])

    def replace_half(values, name, choices):
        if name in (values or {}) and (number := crc32(repr(values[name]).encode())) % 2:
            values[name] = choices[number // 2 % len(choices)]

    @schema.hook
    def map_path_parameters(context, path_parameters):
        replace_half(path_parameters, "segment", ids)
        return path_parameters

    @schema.hook
    def map_query(context, query):
        replace_half(query, "q", QUERIES)
        replace_half(query, "cursor", ("",))
        replace_half(query, "start", (0, 0.5))
        replace_half(query, "end", (1, 1.5))
        return query

    @schema.hook
    def map_headers(context, headers):
        replace_half(headers, "Range", RANGES)
        return headers

    @schema.hook
    def map_body(context, body):
        if isinstance(body, dict):
            replace_half(body, "q", QUERIES)
            replace_half(body, "text", QUERIES)
        return body

    return schema


def describe(event, case, failure):
    """Return a route, a failure and the answer."""
    response = event.recorder.interactions[case].response
    shown = "no answer" if response is None else f"{response.status_code} {response.content[:300]!r}"
    return f"{event.recorder.cases[case].value.operation.label}: {failure.title}: {failure}\n{shown}"


def test_generated_requests_are_answered_as_documented(served):
    problems, answered, schema = [], set(), generating_schema(*served)
    for event in from_schema(schema).execute():
        if isinstance(event, events.NonFatalError | events.FatalError):
            problems.append(repr(event))
        if not isinstance(event, events.ScenarioFinished):
            continue
        for case, checks in event.recorder.checks.items():
            problems += [
                describe(event, case, check.failure_info.failure) for check in checks if check.failure_info
            ]
        for case, interaction in event.recorder.interactions.items():
            if interaction.response is not None and interaction.response.status_code == 200:
                answered.add(event.recorder.cases[case].value.operation.label)
    assert not problems, "\n\n".join(problems)
    assert answered == {found.ok().label for found in schema.get_all_operations()}

"""Readers of foreign data raise only their own errors; `--fuzz-seconds 600` tries each for ten minutes.

Inputs that have failed are seeds, which are tried first.
"""

import io
import json
from contextlib import closing, suppress

import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image

from indexer.decode.context import DecodeContext
from indexer.decode.metadata.descriptions import read_descriptions, xmp_descriptions
from indexer.decode.metadata.properties import ImageHeader, image_properties, sidecar_properties
from indexer.decode.reader import DECODERS
from indexer.decode.text.caption_rows import caption_rows, has_captions
from indexer.decode.text.encoding import detect_and_decode
from indexer.decode.text.subtitle_formats import parse_cues
from indexer.evaluation.captions import read_captioned_images
from indexer.evaluation.golden_queries import has_golden_queries, read_golden_queries
from indexer.imports.matching import match_files
from indexer.imports.source_path import open_source
from retrieval.errors import EvaluationError, MediaError, QueryError, QuerySyntaxError
from retrieval.formatting import parse_timed_path, printable, to_json
from retrieval.media.call_codec import decode, encode
from retrieval.query.arguments import join_arguments
from retrieval.query.dates import parse_period
from retrieval.query.filters import build_filters
from retrieval.query.options import SearchOptions
from retrieval.query.parser import parse
from tests.support import document_files, metadata_files
from tests.support.corpus.part import TEXTS
from tests.support.files import draw_image
from tests.support.fuzzing import bytes_like, fuzz
from tests.support.metadata_files import exif, gps, xmp
from tests.support.stored_vectors import write_clip_retrieval, write_rclip
from tests.support.toy_embedder import ToyEmbedder

PIECES = st.sampled_from(
    r"""red|"|-|+|not:|kind:|image|date:|2021..2022|under:|/a b|#12|@x|2:|0.5:|\|near:48,2,5km|size:|rating:
    |./a.png|http://a/b|~|’|（|：|not:not:|tag:|camera:*|all:|é|1e999:|- -|+-""".replace("\n", "").split("|")
) | st.sampled_from("| \n\t\0\ud800\u202e\u0301")
QUERIES = st.lists(PIECES, max_size=14).map("".join) | st.text(st.characters(), max_size=60)
VALUES = st.text(st.characters(), max_size=20) | st.sampled_from(
    [
        "2021",
        "2021..",
        "..",
        "1e999",
        "-1",
        "48,2",
        "nan,nan",
        "91,181,5km",
        "10x10",
        "2MP",
        "infMP",
        "9" * 400,
        "",
        " ",
    ]
)
OPTIONS = (
    "after",
    "before",
    "date",
    "near",
    "size",
    "under",
    "camera",
    "lens",
    "tag",
    "rating",
    "orientation",
)
XMP = xmp(
    ("dc:subject", ["dog"]), ("dc:description", ["red"]), xmp_Rating="4", exif_GPSLatitude="48,30N"
).encode()
EXIF = exif(
    {0x010F: "Canon", 0x0110: "EOS", 0x0112: 6, 0x4746: 4, 0x9C9E: "a;b".encode("utf-16-le")},
    {0x9003: "2021:06:30 18:00:01", 0xA434: "EF 50", 0x9286: b"ASCII\0\0\0red"},
    gps(48.0, 2.0, t7=(1.0, 2.0, 3.0)),
).tobytes()
DOCUMENTS = {
    ".docx": document_files.docx("red house", "blue river"),
    ".odt": document_files.odt("<t:p>red house</t:p>"),
    ".pptx": document_files.pptx("red", "blue"),
    ".xlsx": document_files.xlsx([["red", 1], ["blue", 2]]),
    ".epub": document_files.epub("red", one="<p>blue</p>"),
    ".rtf": TEXTS["words.rtf"].encode(),
}
DECODER_INPUTS = {
    **{("office", suffix): data for suffix, data in DOCUMENTS.items()},
    ("web", ".html"): TEXTS["page.html"].encode(),
    ("web", ".mht"): b"MIME-Version: 1.0\nContent-Type: multipart/related; boundary=x\n\n--x\n"
    b"Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: base64\n\ncmVk\n--x--\n",
    ("message", ".eml"): TEXTS["mail.eml"].encode()
    + b"\n--x\nContent-Disposition: attachment; filename*=utf-8''%ff\n",
    ("text", ".ics"): TEXTS["dates.ics"].encode(),
    ("text", ".md"): TEXTS["notes.md"].encode()[:200],
    ("text", ".py"): b"def red():\n    return 'blue'\n",
    ("table", ".csv"): TEXTS["table.csv"].encode(),
    ("table", ".jsonl"): TEXTS["lines.jsonl"].encode(),
    ("subtitles", ".srt"): TEXTS["film.srt"].encode(),
    ("subtitles", ".ass"): TEXTS["film.ass"].encode(),
    ("subtitles", ".sub"): b"{1}{1}25\n{10}{20}red|blue\n",
    ("caption", ".json"): b'{"caption": "red", "captions": ["blue"]}',
    ("caption", ".xmp"): XMP,
    ("caption", ".txt"): b"red\n",
}
IMPORTED = {"a.png": np.float32([1, 0, 0]), "b.png": np.float32([0, 1, 0])}

pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")  # long inputs


@pytest.fixture
def seconds(request):
    return request.config.getoption("--fuzz-seconds")


def test_query_raises_only_syntax_errors_and_is_the_same_after_printing(seconds):
    def check(text):
        try:
            query = parse(text)
        except QuerySyntaxError as error:
            assert 1 <= error.column <= len(text) + 1
        else:
            assert parse(str(query)) == query

    fuzz(QUERIES, check, seconds, ["\ud800", '"', "- -", "not:not:red", "#" + "9" * 400])


def test_arguments_of_the_command_are_a_query(seconds):
    def check(arguments):
        with suppress(QuerySyntaxError):
            parse(join_arguments(arguments))

    fuzz(st.lists(QUERIES, min_size=1, max_size=4), check, seconds, [["", " "], ["a\0b"]])


def test_filters_raise_only_query_errors(seconds):
    def check(values):
        with suppress(QueryError):
            build_filters(options=SearchOptions(**values))

    fuzz(st.dictionaries(st.sampled_from(OPTIONS), VALUES, max_size=3), check, seconds)


def test_dates_and_timed_paths_are_parsed_or_none(seconds):
    def check(drawn):
        text, today = drawn
        parse_period(text, today)
        parse_timed_path(text)

    words = st.sampled_from(
        [
            "last",
            "this",
            "next",
            "past",
            "summer",
            "winter",
            "31",
            "June",
            "2021",
            "-",
            "/",
            ".",
            ":",
            "9999",
            "0",
            "weeks",
            "ago",
            "yesterday",
        ]
    )
    fuzz(st.tuples(st.lists(words, max_size=5).map(" ".join) | VALUES, st.dates()), check, seconds)


@pytest.mark.parametrize("part", ["exif", "xmp", "both"])
def test_metadata_of_any_bytes_leaves_the_image_readable(part, seconds):
    def check(drawn):
        block, packet = drawn
        file = io.BytesIO()
        options = {} if part == "xmp" else {"exif": b"Exif\0\0" + block[-60_000:]}
        options |= {} if part == "exif" else {"xmp": packet[-60_000:]}
        Image.new("RGB", (8, 8), (200, 0, 0)).save(file, "JPEG", **options)
        with Image.open(file) as image:
            found = image_properties(ImageHeader.from_image(image), image.convert("RGB"), None)
            texts = read_descriptions(image)
        assert found.latitude is None or -90 <= found.latitude <= 90
        assert all(isinstance(text, str) for text in texts)
        json.dumps([*texts, found.camera, found.keywords], ensure_ascii=False).encode("utf-8")

    fuzz(st.tuples(bytes_like(EXIF[6:]), bytes_like(XMP)), check, seconds)


def test_iptc_of_any_bytes_leaves_the_image_readable(seconds):
    original = metadata_files.jpeg(iptc=["red", "house"])

    def check(data):
        try:
            image = Image.open(io.BytesIO(data))
        except (OSError, SyntaxError, ValueError):
            return
        with image:
            assert all(isinstance(text, str) for text in read_descriptions(image))

    at = original.index(b"\xff\xed")
    end = at + 2 + int.from_bytes(original[at + 2 : at + 4], "big")
    inner = bytes_like(original[at + 4 : end]).filter(lambda data: len(data) < 60_000)
    fuzz(
        inner.map(lambda d: original[: at + 2] + (len(d) + 2).to_bytes(2, "big") + d + original[end:]),
        check,
        seconds,
    )


def test_xmp_raises_only_value_errors(seconds):
    def check(data):
        for read in (sidecar_properties, xmp_descriptions):
            with suppress(ValueError):
                read(data.decode("utf-8", "replace"))

    fuzz(bytes_like(XMP), check, seconds)


@pytest.mark.parametrize(("decoder", "suffix"), DECODER_INPUTS)
def test_document_raises_only_media_errors(decoder, suffix, seconds):
    context = DecodeContext(ToyEmbedder())

    def check(data):
        try:
            decoded = DECODERS[decoder](io.BytesIO(data), suffix, context)
        except MediaError as error:
            assert str(error)
        else:
            for draft in decoded.drafts:
                assert draft.text is not None
                draft.text.encode("utf-8")

    fuzz(bytes_like(DECODER_INPUTS[decoder, suffix]), check, seconds / 4)


def test_text_of_any_bytes_is_decoded(seconds):
    def check(drawn):
        data, declared, language = drawn
        try:
            text = detect_and_decode(data, declared, language).text
        except MediaError as error:
            assert "not text" in str(error)
        else:
            text.encode("utf-8")

    encodings = st.sampled_from(
        [None, "utf-8", "utf-16", "utf-7", "zip", "idna", "x\0", "\ud800", "punycode", "hz"]
    )
    originals = (
        "größer".encode("latin-1"),
        "Да, нет".encode("cp1251"),
        "日本語".encode("shift_jis"),
        "a\n".encode("utf-16"),
    )
    fuzz(
        st.tuples(bytes_like(*originals), encodings, st.sampled_from([None, "ru", "ja", "de"])),
        check,
        seconds,
    )


def test_captions_and_cues_of_any_text_are_parsed(seconds):
    def check(data):
        text = data.decode("utf-8", "surrogateescape")
        assert all(0 <= cue.start <= cue.end for cue in parse_cues(text))
        for suffix in (".csv", ".tsv", ".jsonl"):
            with suppress(MediaError):
                list(caption_rows(text, suffix))
            has_captions(data, suffix)

    names = ("film.srt", "film.ass", "table.csv", "lines.jsonl")
    fuzz(bytes_like(*(TEXTS[name].encode() for name in names)), check, seconds)


def test_captions_file_and_golden_queries_raise_only_evaluation_errors(seconds, tmp_path):
    path = tmp_path / "lines.jsonl"

    def check(data):
        path.write_bytes(data)
        for read in (read_captioned_images, read_golden_queries, has_golden_queries):
            with suppress(EvaluationError):
                read(path)

    golden = (
        b'{"query": "red", "relevant": ["red.png"], "k": 3}\n{"query": "kind:image", "relevant": ["b"]}\n'
    )
    fuzz(bytes_like(TEXTS["lines.jsonl"].encode(), golden), check, seconds)


@pytest.mark.parametrize("name", ["db.sqlite3", "img_emb/img_emb_0.npy", "metadata/metadata_0.parquet"])
def test_import_raises_only_query_errors(name, seconds, tmp_path):
    vectors = {tmp_path / path: vector for path, vector in IMPORTED.items()}
    source = tmp_path / "source"
    source.mkdir()
    for path in vectors:
        draw_image(path)
    (write_rclip(source / name, vectors) if name == "db.sqlite3" else write_clip_retrieval(source, vectors))

    def check(data):
        (source / name).write_bytes(data)
        try:
            with closing(open_source(source)) as opened:
                match_files(opened, 3)
        except QueryError as error:
            assert str(error)

    original = (source / name).read_bytes()
    fuzz(bytes_like(original), check, seconds)


def test_answers_of_a_decoder_process_raise_only_exceptions(seconds):
    original = encode({"pixels": np.zeros((2, 2, 3), np.uint8), "error": MediaError("x"), "n": (1, b"a")})

    def check(data):
        try:
            decode(data)
        except Exception as error:  # each becomes a MediaError
            assert not isinstance(error, MemoryError)

    fuzz(bytes_like(original), check, seconds)


def test_printed_text_has_no_control_character(seconds):
    def check(text):
        assert printable(text).isprintable()
        shown = to_json({"path": text})
        assert json.loads(shown) == {"path": text}
        assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 for c in shown)

    fuzz(st.text(st.characters(), max_size=40), check, seconds, ["\x9b", "\u2028", "\ud800"])

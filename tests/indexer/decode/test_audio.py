"""Audio files are found by their tags, and decoded in chunks."""

from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from indexer.decode.audio.decoder import decode, describe_tags
from indexer.decode.audio.stream import SAMPLE_RATE, audio_chunks
from indexer.decode.context import DecodeContext
from retrieval import Library, SearchOptions
from retrieval.errors import MediaError
from retrieval.media.av.container import MEDIA_FORMATS, open_container
from retrieval.media.limits import DecodeLimits
from tests.support.audio_files import (
    CODECS,
    add_cover,
    write_audio,
)
from tests.support.toy_embedder import ToyEmbedder, cosine_similarity

TAGS = {"title": "Red Song", "artist": "The Larks", "album": "Meadow", "genre": "Jazz", "date": "1999-05-01"}
DESCRIPTION = "Red Song by The Larks, from Meadow, Jazz, 1999"
PARTIAL_DESCRIPTIONS = {".aac": None, ".aiff": "Red Song"}  # of formats that drop tags


def read(path: Path):
    with path.open("rb") as file:
        return decode(file, path.suffix, DecodeContext(ToyEmbedder()))


@pytest.mark.parametrize("suffix", sorted(set(CODECS) - {".mp4"}))
def test_tags_and_duration_of_every_format_are_read(suffix, tmp_path):
    decoded = read(write_audio(tmp_path / f"song{suffix}", 1.5, tags=TAGS))
    (draft,) = decoded.drafts
    assert (draft.kind, draft.text) == ("audio", PARTIAL_DESCRIPTIONS.get(suffix, DESCRIPTION))
    assert draft.start == 0
    assert draft.end == decoded.properties.duration == pytest.approx(1.5, abs=0.1)


def test_description_contains_the_available_tags():
    assert describe_tags({"artist": "The Larks"}) == "The Larks"
    assert describe_tags({"title": " Night\n drive ", "album_artist": "Ada"}) == "Night drive by Ada"
    assert describe_tags({"album": "Meadow", "date": "May 7"}) == "from Meadow"
    assert describe_tags({"title": "--- 12"}) is describe_tags({}) is None
    assert len(describe_tags(dict.fromkeys(("title", "artist", "album"), "word " * 1000))) < 350


@pytest.mark.parametrize(
    ("title", "artist", "encoding"),
    [
        *(("月亮代表我的心", "邓丽君", "gbk"), ("Белый снег", "Алла Пугачёва", "cp1251")),
        *(
            ("桜の歌", "森山直太朗", "cp932"),
            ("Jóga", "Björk", "latin-1"),
            ("Café del Mar", "Énergie", "latin-1"),
        ),
        *(("Une chanson créée", "Zoë", "latin-1"), ("Příliš žluťoučký", "Zoë", "utf-8")),
    ],
)
def test_tags_that_declare_latin_1_are_read_in_the_encoding_of_their_language(
    title, artist, encoding, tmp_path
):
    tags = {name: text.encode(encoding) for name, text in (("TIT2", title), ("TPE1", artist))}
    frames = b"".join(
        name.encode() + (len(text) + 1).to_bytes(4, "big") + b"\0\0" + b"\0" + text
        for name, text in tags.items()
    )
    size = bytes((0, 0, len(frames) >> 7, len(frames) & 127))
    audio = write_audio(tmp_path / "plain.mp3").read_bytes()
    song = tmp_path / "song.mp3"
    song.write_bytes(b"ID3\3\0\0" + size + frames + audio)
    assert read(song).drafts[0].text == f"{title} by {artist}"


def test_audio_is_found_by_tags_file_name_and_genre(tmp_path, index, place, toy):
    song = write_audio(tmp_path / "music" / "a.mp3", tags=TAGS)
    memo = write_audio(tmp_path / "music" / "dentist_monday.wav")
    assert index(tmp_path / "music").kinds == {"audio": 2}
    with Library.open(place, embedder=toy) as library:
        hit = library.search("larks", options=SearchOptions(by="keyword"))[0]
        assert (hit.path, hit.kind, hit.start, hit.timed) == (song, "audio", 0, True)
        assert library.search("dentist")[0].path == memo
        assert [hit.path for hit in library.search("red", options=SearchOptions(tag="jazz"))] == [song]
        (red,) = library.search("red", options=SearchOptions(by="meaning", tag="jazz"))
        assert red.score == pytest.approx(cosine_similarity(toy, "red", DESCRIPTION), abs=1e-3)


def test_comments_and_lyrics_are_passages_and_the_cover_is_the_thumbnail(tmp_path):
    tags = {**TAGS, "comment": "recorded in a barn", "lyrics": "green green grass of home"}
    song = write_audio(tmp_path / "song.mp3", tags=tags)
    drafts = read(song).drafts
    assert [draft.text for draft in drafts] == [
        DESCRIPTION,
        "recorded in a barn",
        "green green grass of home",
    ]
    assert drafts[0].thumbnail is None
    file = BytesIO()
    Image.new("RGB", (640, 640), "red").save(file, "PNG")
    cover = read(add_cover(write_audio(tmp_path / "b.mp3"), file.getvalue())).drafts[0].thumbnail
    with Image.open(BytesIO(cover)) as thumbnail:
        assert (thumbnail.format, thumbnail.size) == ("WEBP", (320, 320))
        assert np.abs(np.array(thumbnail.getpixel((9, 9))) - (255, 0, 0)).max() < 12
    assert read(add_cover(write_audio(tmp_path / "c.mp3"), b"not an image")).drafts[0].thumbnail is None


def test_broken_audio_is_read_as_far_as_possible_or_reported(tmp_path, index, place, toy):
    folder = tmp_path / "music"
    mp3 = write_audio(folder / "complete.mp3", 4, [(0, 4, 400)], TAGS)
    (folder / "cut.mp3").write_bytes(mp3.read_bytes()[: mp3.stat().st_size // 3])
    flac = write_audio(folder / "complete.flac", 4, [(0, 4, 400)])
    (folder / "cut.flac").write_bytes(flac.read_bytes()[: flac.stat().st_size // 3])
    (folder / "empty.wav").touch()
    (folder / "text.ogg").write_text("plain text")
    report = index(folder)
    assert (report.added, report.failed, report.kinds) == (4, 2, {"audio": 4})
    with Library.open(place, embedder=toy) as library:
        reasons = {failure.path.name: failure.reason for failure in library.failures()}
    assert reasons["empty.wav"] == "empty file"
    assert reasons["text.ogg"] == "not an audio file: it seems to be text"


@pytest.mark.parametrize(
    "start", ["v=0\nc=IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n", "ffconcat version 1.0\n"]
)
def test_playlist_with_an_audio_suffix_opens_no_other_file_or_socket(tmp_path, start):
    write_audio(tmp_path / "other.wav")
    (tmp_path / "a.mp3").write_text(f"{start}file {tmp_path / 'other.wav'}\n")
    with pytest.raises(MediaError, match="not audio: it begins with"):
        read(tmp_path / "a.mp3")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_audio_raises_only_media_errors(data):
    valid = FILES[data.draw(st.sampled_from(sorted(FILES)))]
    broken = bytearray(valid[: data.draw(st.integers(0, len(valid)))])
    for at, byte in data.draw(st.lists(st.tuples(st.integers(0, 3_000), st.integers(0, 255)), max_size=40)):
        if at < len(broken):
            broken[at] = byte
    try:
        decoded = decode(BytesIO(bytes(broken)), ".mp3", DecodeContext(ToyEmbedder()))
    except MediaError as error:
        assert str(error)
    else:
        assert 0 <= decoded.properties.duration < 1e8
    try:
        with open_container(BytesIO(bytes(broken)), MEDIA_FORMATS) as container:
            chunks = list(audio_chunks(container, limits=DecodeLimits(audio_chunk_seconds=0.5)))
    except MediaError:
        return
    assert [chunk.next_start is None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert all(np.isfinite(chunk.samples).all() for chunk in chunks)


@pytest.fixture(scope="module", autouse=True)
def _write_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audio")
    for suffix in (".mp3", ".wav", ".flac", ".ogg", ".m4a"):
        FILES[suffix] = write_audio(folder / f"a{suffix}", 0.5, tags=TAGS).read_bytes()


FILES: dict[str, bytes] = {}


def test_long_audio_is_cut_at_quiet_points_and_read_from_any_second(tmp_path):
    limits = DecodeLimits(audio_chunk_seconds=5.0, quiet_search_seconds=2.0)
    long = write_audio(tmp_path / "long.ogg", 17, [(n + 0.25, n + 0.75, 400) for n in range(17)])
    with long.open("rb") as file, open_container(file, MEDIA_FORMATS) as container:
        chunks = list(audio_chunks(container, limits=limits))
    assert len(chunks) == 5
    for chunk, following in pairwise(chunks):
        assert (
            chunk.next_start
            == following.start
            == pytest.approx(chunk.start + len(chunk.samples) / SAMPLE_RATE)
        )
        assert abs(chunk.samples[-800:]).max() < 0.1  # between the tones
    assert sum(len(chunk.samples) for chunk in chunks) / SAMPLE_RATE == pytest.approx(17, abs=0.1)
    with long.open("rb") as file, open_container(file, MEDIA_FORMATS) as container:
        rest = list(audio_chunks(container, after=chunks[2].start, limits=limits))
    assert rest[0].start == pytest.approx(chunks[2].start, abs=1e-3)
    assert sum(len(chunk.samples) for chunk in rest) == pytest.approx(
        sum(len(chunk.samples) for chunk in chunks[2:]), abs=SAMPLE_RATE / 100
    )

"""Audio files are found by their tags, and decoded in chunks."""

from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from indexer.decode.audio import stream
from indexer.decode.audio.decoder import UNTAGGED_TEXT, decode, describe_tags
from indexer.decode.audio.stream import SAMPLE_RATE, audio_chunks
from indexer.decode.context import DecodeContext
from retrieval import Library
from retrieval.errors import MediaError
from retrieval.media.av.container import MEDIA_FORMATS, open_container
from tests.support.audio_files import (
    CODECS,
    add_cover,
    write_audio,
)
from tests.support.toy_embedder import ToyEmbedder, cosine_similarity

TAGS = {"title": "Red Song", "artist": "The Larks", "album": "Meadow", "genre": "Jazz", "date": "1999-05-01"}
SAYS = "Red Song by The Larks, from Meadow, Jazz, 1999"
KEPT = {".aac": UNTAGGED_TEXT, ".aiff": "Red Song"}  # what other formats keep of it


def read(path: Path):
    with path.open("rb") as file:
        return decode(file, path.suffix, DecodeContext(ToyEmbedder()))


@pytest.mark.parametrize("suffix", sorted(set(CODECS) - {".mp4"}))
def test_a_sound_of_every_format_says_its_tags_and_how_long_it_is(suffix, tmp_path):
    decoded = read(write_audio(tmp_path / f"song{suffix}", 1.5, tags=TAGS))
    (draft,) = decoded.drafts
    assert (draft.kind, draft.text) == ("audio", KEPT.get(suffix, SAYS))
    assert draft.start == 0
    assert draft.end == decoded.properties.duration == pytest.approx(1.5, abs=0.1)


def test_tags_make_a_sentence_of_what_is_there():
    assert describe_tags({"artist": "The Larks"}) == "The Larks"
    assert describe_tags({"title": " Night\n drive ", "album_artist": "Ada"}) == "Night drive by Ada"
    assert describe_tags({"album": "Meadow", "date": "May 7"}) == "from Meadow"
    assert describe_tags({"title": "--- 12"}) == describe_tags({}) == UNTAGGED_TEXT
    assert len(describe_tags(dict.fromkeys(("title", "artist", "album"), "word " * 1000))) < 350


def test_a_sound_is_found_by_its_tags_its_name_and_its_genre(tmp_path, index, place, toy):
    song = write_audio(tmp_path / "music" / "a.mp3", tags=TAGS)
    memo = write_audio(tmp_path / "music" / "dentist_monday.wav")
    assert index(tmp_path / "music").kinds == {"audio": 2}
    with Library.open(place, embedder=toy) as library:
        hit = library.search("larks", by="keyword")[0]
        assert (hit.path, hit.kind, hit.start, hit.timed) == (song, "audio", 0, True)
        assert library.search("dentist")[0].path == memo
        assert [hit.path for hit in library.search("red", tag="jazz")] == [song]
        (red,) = library.search("red", by="meaning", tag="jazz")
        assert red.score == pytest.approx(cosine_similarity(toy, "red", SAYS), abs=1e-3)


def test_comments_and_lyrics_are_passages_and_a_cover_is_its_thumbnail(tmp_path):
    tags = {**TAGS, "comment": "recorded in a barn", "lyrics": "green green grass of home"}
    song = write_audio(tmp_path / "song.mp3", tags=tags)
    drafts = read(song).drafts
    assert [draft.text for draft in drafts] == [SAYS, "recorded in a barn", "green green grass of home"]
    assert drafts[0].thumbnail is None
    file = BytesIO()
    Image.new("RGB", (640, 640), "red").save(file, "PNG")
    cover = read(add_cover(write_audio(tmp_path / "b.mp3"), file.getvalue())).drafts[0].thumbnail
    with Image.open(BytesIO(cover)) as picture:
        assert (picture.format, picture.size) == ("WEBP", (320, 320))
        assert np.abs(np.array(picture.getpixel((9, 9))) - (255, 0, 0)).max() < 12
    assert read(add_cover(write_audio(tmp_path / "c.mp3"), b"no picture")).drafts[0].thumbnail is None


def test_a_broken_sound_gives_what_can_be_read_or_says_why_not(tmp_path, index, place, toy):
    folder = tmp_path / "music"
    whole = write_audio(folder / "whole.mp3", 4, [(0, 4, 400)], TAGS)
    (folder / "cut.mp3").write_bytes(whole.read_bytes()[: whole.stat().st_size // 3])
    flac = write_audio(folder / "whole.flac", 4, [(0, 4, 400)])
    (folder / "cut.flac").write_bytes(flac.read_bytes()[: flac.stat().st_size // 3])
    (folder / "empty.wav").touch()
    (folder / "text.ogg").write_text("no sound at all")
    report = index(folder)
    assert (report.added, report.failed, report.kinds) == (4, 2, {"audio": 4})
    with Library.open(place, embedder=toy) as library:
        reasons = {failure.path.name: failure.reason for failure in library.failures()}
    assert reasons["empty.wav"] == "empty file"
    assert reasons["text.ogg"] == "not an audio file: it seems to be text"


@pytest.mark.parametrize(
    "start", ["v=0\nc=IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n", "ffconcat version 1.0\n"]
)
def test_a_playlist_by_a_sounds_name_opens_no_other_file_and_no_socket(tmp_path, start):
    write_audio(tmp_path / "other.wav")
    (tmp_path / "a.mp3").write_text(f"{start}file {tmp_path / 'other.wav'}\n")
    with pytest.raises(MediaError, match="not audio: it begins with"):
        read(tmp_path / "a.mp3")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_bytes_are_fatal(data):
    start = SAMPLE[data.draw(st.sampled_from(sorted(SAMPLE)))]
    broken = bytearray(start[: data.draw(st.integers(0, len(start)))])
    for at, byte in data.draw(st.lists(st.tuples(st.integers(0, 3_000), st.integers(0, 255)), max_size=40)):
        if at < len(broken):
            broken[at] = byte
    try:
        decoded = decode(BytesIO(bytes(broken)), ".mp3", DecodeContext(ToyEmbedder()))
    except MediaError as error:
        assert str(error)
    else:
        assert 0 <= decoded.properties.duration < 1e8
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "MAX_CHUNK_SECONDS", 0.5)
        try:
            with open_container(BytesIO(bytes(broken)), MEDIA_FORMATS) as container:
                made = list(audio_chunks(container))
        except MediaError:
            return
    assert [part.next_start is None for part in made] == [False] * (len(made) - 1) + [True]
    assert all(np.isfinite(part.samples).all() for part in made)


@pytest.fixture(scope="module", autouse=True)
def _samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    for suffix in (".mp3", ".wav", ".flac", ".ogg", ".m4a"):
        SAMPLE[suffix] = write_audio(folder / f"a{suffix}", 0.5, tags=TAGS).read_bytes()


SAMPLE: dict[str, bytes] = {}


def test_a_long_sound_is_heard_in_stretches_and_from_any_second(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "MAX_CHUNK_SECONDS", 5.0)
    monkeypatch.setattr(stream, "QUIET_SEARCH_SECONDS", 2.0)
    long = write_audio(tmp_path / "long.ogg", 17, [(n + 0.25, n + 0.75, 400) for n in range(17)])
    with long.open("rb") as file, open_container(file, MEDIA_FORMATS) as container:
        parts = list(audio_chunks(container))
    assert len(parts) == 5
    for part, following in pairwise(parts):
        assert (
            part.next_start == following.start == pytest.approx(part.start + len(part.samples) / SAMPLE_RATE)
        )
        assert abs(part.samples[-800:]).max() < 0.1  # it is cut where nothing is said
    assert sum(len(part.samples) for part in parts) / SAMPLE_RATE == pytest.approx(17, abs=0.1)
    with long.open("rb") as file, open_container(file, MEDIA_FORMATS) as container:
        rest = list(audio_chunks(container, after=parts[2].start))
    assert rest[0].start == pytest.approx(parts[2].start, abs=1e-3)
    assert sum(len(part.samples) for part in rest) == pytest.approx(
        sum(len(p.samples) for p in parts[2:]), abs=SAMPLE_RATE / 100
    )

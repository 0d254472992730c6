"""The model that is part of the package: two small towers, no torch, no download.

`builtin_model/card.md` describes its training, its quality and its limits.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from retrieval.embedders.base import ModelCard, Pixels
from retrieval.embedders.builtin_model.checksums import read_checksums, verify_file
from retrieval.embedders.builtin_model.pixels import IMAGE_SIDE, prepare_image
from retrieval.embedders.builtin_model.text_tower import MappedTextTower
from retrieval.embedders.builtin_model.unigram import UnigramTokenizer
from retrieval.errors import ModelOutdated
from retrieval.system import cores
from retrieval.types import Space, Vectors

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from PIL.Image import Image

MODEL_FOLDER = Path(__file__).with_name("builtin_model")
VERSION = 3  # of the space: models of different versions have vectors that cannot be compared
FINGERPRINT = hashlib.sha256(f"clew builtin {VERSION}".encode()).hexdigest()
DIM, BATCH_SIZE = 384, 32
IMAGE_BATCH_SIZE = 8  # larger batches take more time per image and more memory
START_TOKEN, END_TOKEN, SPACE_TOKEN = 1, 2, 3  # 0 is unknown, and the padding; 3 is the start of a word
MAX_TOKENS = 62  # without the first and the last
MAX_OWN_TEXTS = 8  # texts in batches, after which a session of onnxruntime is worth its start


class BuiltinEmbedder:
    """A small dual encoder; each tower is loaded, and its checksum verified, on first use."""

    name = "builtin"
    fingerprint = FINGERPRINT
    parts: Mapping[str, str] = MappingProxyType({"version": str(VERSION)})
    dim = DIM
    min_image_side = 2 * IMAGE_SIDE
    max_tokens = MAX_TOKENS
    concurrency = 1
    prepare = staticmethod(prepare_image)

    def __init__(self, folder: Path = MODEL_FOLDER) -> None:
        self.folder, self.checksums = folder, read_checksums(folder)
        self._batched_count = 0

    def embed_images(self, images: Sequence[Pixels]) -> Vectors:
        """Embed n images of (256, 256, 3): (n, 384)."""
        if not len(images):
            return np.empty((0, DIM), np.float32)
        from concurrent.futures import ThreadPoolExecutor  # late: a text query needs no threads

        if len(images) < cores():
            return _embed_pixels(self._multi_thread_session, images)
        rounds = -(-len(images) // (IMAGE_BATCH_SIZE * cores()))  # each core computes one batch per round
        size = -(-len(images) // (rounds * cores()))
        batches = [images[at : at + size] for at in range(0, len(images), size)]
        with ThreadPoolExecutor(cores()) as threads:
            return np.concatenate(
                list(threads.map(partial(_embed_pixels, self._single_thread_session), batches))
            )

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Embed n texts: (n, 384), zeros if no token is known; raises ValueError if a text has no tokens."""
        ids = self._tokenizer.encode(texts)
        if not all(ids):
            raise ValueError(f"no word in {texts[next(i for i, x in enumerate(ids) if not x)]!r}")
        vectors = np.zeros((len(ids), DIM), np.float32)
        framed = [[START_TOKEN, *row[:MAX_TOKENS], END_TOKEN] for row in ids]
        known = (row for row in range(len(ids)) if _is_known(ids[row]))
        order = sorted(known, key=lambda row: len(ids[row]))  # similar lengths need little padding
        self._batched_count += len(order) if len(texts) > 1 else 0  # one text is a query
        if self._batched_count <= MAX_OWN_TEXTS:
            for row in order:
                vectors[row] = self._text_tower.embed(framed[row])
            return vectors
        for at in range(0, len(order), BATCH_SIZE):
            rows = order[at : at + BATCH_SIZE]
            padded = np.zeros((len(rows), len(framed[rows[-1]])), np.int64)
            for line, row in enumerate(rows):
                padded[line, : len(framed[row])] = framed[row]
            vectors[rows] = self._text_session.run(None, {"ids": padded})[0]
        return vectors

    def fix_arithmetic(self) -> None:
        """Embed all texts with onnxruntime: equal inputs then have equal vectors, bit by bit."""
        self._batched_count = MAX_OWN_TEXTS + 1

    def count_tokens(self, text: str) -> int:
        """Count the Unigram tokens of a text."""
        return len(self._tokenizer.encode([text])[0])

    def knows(self, text: str) -> bool:
        """Return True if the model knows any token of a text."""
        return _is_known(self._tokenizer.encode([text])[0])

    def unfamiliarity(self, text: str) -> float:
        """Return how unlike a text in the languages of the model a text is, from 0 to 1."""
        return self._tokenizer.unfamiliarity(text)

    @cached_property
    def _multi_thread_session(self) -> "InferenceSession":
        """Return a session in which all cores compute one image, for a single query."""
        return self._session("image.onnx", cores())

    @cached_property
    def _single_thread_session(self) -> "InferenceSession":
        """Return a session in which each core computes its own batches, which takes 20 % less time."""
        return self._session("image.onnx", 1)

    @cached_property
    def _text_session(self) -> "InferenceSession":
        return self._session("text.onnx", cores())

    @cached_property
    def _text_tower(self) -> MappedTextTower:
        return MappedTextTower(self._verified("text.onnx"))

    @cached_property
    def _tokenizer(self) -> UnigramTokenizer:
        tables = [self._verified(name) for name in self.checksums if name.startswith("tokenizer/")]
        return UnigramTokenizer(tables[0].parent)

    def _session(self, name: str, threads: int) -> "InferenceSession":
        """Load a tower whose idle threads do not spin, because decoding needs the cores."""
        import onnxruntime

        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if name == "text.onnx":  # its weights have 8 bits, but its arithmetic is that of `MappedTextTower`
            options.add_session_config_entry("session.disable_quant_qdq", "1")
        options.intra_op_num_threads = threads
        file = self._verified(name)
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def _verified(self, name: str) -> Path:
        """Return the path of a file of the model with the right SHA-256; raises EmbedderError."""
        return verify_file(self.folder / name, self.checksums[name])


class OutdatedEmbedder:
    """The embedder of a space of an earlier version: it knows no word, and refuses images.

    A library with such a space is searched by keywords, filters and stored vectors.
    """

    min_image_side, max_tokens, concurrency = BuiltinEmbedder.min_image_side, MAX_TOKENS, 1

    def __init__(self, space: Space) -> None:
        self.name, self.fingerprint, self.parts, self.dim = (
            space.model,
            space.fingerprint,
            space.parts,
            space.dim,
        )

    def prepare(self, image: "Image") -> Pixels:
        """Raise ModelOutdated."""
        raise ModelOutdated

    def embed_images(self, images: Sequence[Pixels]) -> Vectors:
        """Raise ModelOutdated."""
        raise ModelOutdated

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Return zeros, (n, dim)."""
        return np.zeros((len(texts), self.dim), np.float32)

    def count_tokens(self, text: str) -> int:
        """Count the words of a text."""
        return len(text.split())

    def knows(self, text: str) -> bool:
        """Return False."""
        return False

    def unfamiliarity(self, text: str) -> float:
        """Return 0: the version is at fault, not the text."""
        return 0.0


def _embed_pixels(session: "InferenceSession", images: Sequence[Pixels]) -> Vectors:
    return np.asarray(session.run(None, {"image": np.stack(images)})[0], np.float32)


def _is_known(ids: Sequence[int]) -> bool:
    """Return True if any token of a text has a meaning."""
    return any(id_ > SPACE_TOKEN for id_ in ids)


def model_card() -> ModelCard:
    """Return the card of this model, with the numbers of builtin_model/card.md."""
    measured = json.loads((MODEL_FOLDER / "metrics.json").read_text())["flickr8k_test"]
    size = sum((MODEL_FOLDER / name).stat().st_size for name in BuiltinEmbedder().checksums)
    return ModelCard(
        name="builtin",
        dim=DIM,
        side=IMAGE_SIDE,
        megabytes=round(size / 1e6, 1),
        licence="Apache-2.0",
        languages="15 languages",
        state="in clew",
        text_to_image=measured["text_to_image"],
        image_to_text=measured["image_to_text"],
        limits=(
            "Basic. It knows people and animals doing things, and common objects, vehicles, food and scenes; "
            "text in pictures, counting, colors of single things, names of people and places, drawings and "
            "screenshots are weak or unknown to it. Languages: Arabic, Chinese, Dutch, English, French, "
            "German, Italian, Japanese, Korean, Polish, Portuguese, Russian, Spanish, Thai, Turkish."
        ),
    )

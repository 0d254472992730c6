"""Any model of open_clip, once it is prepared: its own tokenizer and preprocessing, the fastest precision."""

from collections.abc import Mapping, Sequence
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from retrieval.embedders.base import Pixels
from retrieval.embedders.model_cache import EXPORTED, TEXT, TOKENIZER, Choice, Prepared
from retrieval.embedders.onnx_tower import OnnxTower
from retrieval.embedders.tokenizer import Tokens
from retrieval.errors import EmbedderError
from retrieval.system import cores, memory
from retrieval.types import Vectors

if TYPE_CHECKING:
    from PIL.Image import Image

    from retrieval.embedders.torch_towers import TorchTowers

FEW = 16  # texts for which it is not worth loading torch
BATCH = 32


class OpenClip:
    """A prepared model on a device, by default the CPU; each tower is loaded when first needed.

    Towers exported to ONNX run without torch: the text tower for a few texts, and the image tower where
    that is the fastest precision of the machine.
    """

    def __init__(self, prepared: Prepared, device: str = "cpu") -> None:
        recipe = prepared.recipe
        self.prepared, self.device = prepared, device
        self.name, self.fingerprint = recipe.name, recipe.fingerprint
        self.parts: Mapping[str, str] = recipe.parts
        self.dim, self.context = recipe.dim, recipe.frame.room
        self.side = 2 * max(recipe.preprocessing.size)
        self.choice = prepared.choice(device) or Choice(device, "float32", {}, 1.0)
        self._tokens = Tokens(prepared.folder / TOKENIZER, recipe.frame)
        self.at_once = 1 if device == "cpu" else 2  # an accelerator works on one while another is brought
        self._text = OnnxTower(prepared.folder / TEXT)
        self._exported = self._text.file.is_file()
        self._image = OnnxTower(prepared.folder / EXPORTED.get(self.choice.precision, ""))
        self._loading = Lock()
        self._loaded: TorchTowers | None = None

    def prepare(self, picture: "Image") -> Pixels:
        """Resize and crop a picture as open_clip does."""
        return self.prepared.recipe.preprocessing.apply(picture)

    def embed_images(self, pictures: Sequence[Pixels]) -> Vectors:
        """Embed n pictures of (height, width, 3): (n, dim)."""
        if not len(pictures):
            return np.empty((0, self.dim), np.float32)
        size = self._batch(len(pictures))
        batches = [np.stack(pictures[at : at + size]) for at in range(0, len(pictures), size)]
        if self.choice.precision in EXPORTED:
            return self._image.embed(batches)
        return self._torch.embed_images(batches)

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Embed n texts: (n, dim); raises ValueError where a text has no tokens."""
        if not texts:
            return np.empty((0, self.dim), np.float32)
        ids, lengths = self._tokens.encode(texts)
        order, size = np.argsort(lengths, kind="stable"), self._batch(len(texts))  # alike lengths together
        turns = [order[at : at + size] for at in range(0, len(order), size)]
        cut = self.prepared.recipe.cut
        batches = [ids[rows, : lengths[rows].max()] if cut else ids[rows] for rows in turns]
        alone = len(texts) <= FEW or self.choice.precision in EXPORTED or not self.prepared.whole
        vectors = np.empty((len(texts), self.dim), np.float32)
        if alone and self._exported:
            vectors[order] = self._text.embed(batches)
        else:
            vectors[order] = self._torch.embed_texts(batches)
        return vectors

    def tokens(self, text: str) -> int:
        """Count the tokens of a text, untruncated."""
        return self._tokens.count(text)

    def reads(self, text: str) -> bool:
        """Say whether any token of a text is one that the model knows."""
        return self._tokens.knows(text)

    def _batch(self, count: int) -> int:
        return batch_size(max(self.prepared.recipe.preprocessing.size), count, self.device)

    @property
    def _torch(self) -> "TorchTowers":
        """Return the towers on torch, loaded once."""
        with self._loading:
            if self._loaded is None:
                self._loaded = self._load()
            return self._loaded

    def _load(self) -> "TorchTowers":
        if not self.prepared.whole:
            raise EmbedderError(
                f"The weights of {self.name} are not at {self.prepared.recipe.weights} any more, or have "
                "changed. Put them back, or `clew switch` to another model; words can still be searched."
            )
        from retrieval.embedders.torch_towers import TorchTowers, bfloat16_is_fast, check_device, load_model

        precision, recipe = self.choice.precision, self.prepared.recipe
        if self.device == "cpu" and precision == "bfloat16" and not bfloat16_is_fast():
            precision = "float32"
        device = check_device(self.device)
        model = load_model(self.prepared.folder)
        return TorchTowers(model, recipe.preprocessing, precision, device, cut=recipe.cut)


def batch_size(side: int, count: int, device: str) -> int:
    """Return how many of `count` rows to embed at once, of pictures of `side` pixels.

    On a CPU all cores get as many, and memory holds them: some 20 MB a picture of 224 pixels in large models.
    """
    size = (224 / side) ** 2
    if device != "cpu":
        return max(1, int(256 * size))
    fit = int(memory() / 4 / (20e6 / size))
    most = max(1, min(BATCH, fit // cores(), max(4, 4 * BATCH // cores())))
    turns = -(-count // (most * cores()))  # of each core, so that none idles while another has one more
    return -(-count // (turns * cores()))

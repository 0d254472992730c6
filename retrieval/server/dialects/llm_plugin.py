"""Embed pictures and texts in the command `llm`: `llm embed-multi NAME --files FOLDER GLOB --binary -m clew`.

`llm` loads this module as a plugin. Its model `clew` is the built-in one, which needs no library, so that the
vectors of a collection remain comparable; `clew/NAME` is a prepared model.
"""

import io
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property

import llm
from llm.models import EmbeddingModel

from retrieval.embedders.base import Embedder
from retrieval.embedders.model_cache import prepared_models
from retrieval.embedders.registry import load_embedder
from retrieval.server.dialects.embeddings import embed_texts
from retrieval.server.input import decode_picture


class ClewModel(EmbeddingModel):
    """An embedder as a model of `llm`."""

    supports_text = supports_binary = True
    batch_size = 32

    def __init__(self, model_id: str, name: str) -> None:
        self.model_id, self._name = model_id, name

    @cached_property
    def _embedder(self) -> Embedder:
        return load_embedder(self._name)

    def embed_batch(self, items: Iterable[str | bytes], *, key: str | None = None) -> Iterator[list[float]]:
        """Yield the vector of each text or picture."""
        for item in items:
            if isinstance(item, str):
                vectors = embed_texts(self._embedder, [item])
            else:
                picture = decode_picture(io.BytesIO(item), self._embedder.min_image_side)
                vectors = self._embedder.embed_images([self._embedder.prepare(picture)])
            yield vectors[0].tolist()


@llm.hookimpl
def register_embedding_models(register: Callable[[EmbeddingModel], None]) -> None:
    """Register the built-in model and the prepared ones."""
    register(ClewModel("clew", "builtin"))
    for name in sorted({model.manifest.name for model in prepared_models()}):
        register(ClewModel(f"clew/{name}", name))

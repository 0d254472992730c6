"""Embed texts and pictures by the API of OpenAI, in the dialect of infinity.

The plain `openai` client works: `OpenAI(base_url="http://127.0.0.1:8765/v1", api_key="TOKEN or any text")`.
Pictures are data URIs, with `extra_body={"modality": "image"}`.
"""

import base64
import io
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from retrieval.embedders.base import Embedder
from retrieval.errors import QueryError
from retrieval.normalization import nfc, without_surrogates
from retrieval.server.errors import json_response
from retrieval.server.input import decode_base64, decode_picture, parse_object
from retrieval.server.schema.answers import EmbeddingsAnswer, ModelsAnswer
from retrieval.server.schema.document import json_body, with_json
from retrieval.types import Vectors

MAX_TEXTS = 2_048  # of a request, as in the API of OpenAI
MAX_TEXT_LENGTH = 32_768  # characters, about 8,192 tokens, as in the API of OpenAI
MAX_TOTAL_LENGTH = 1_200_000  # characters of the texts of a request, about 300,000 tokens, as there
MAX_QUICK_LENGTH = 4_000  # characters that are embedded among searches, as those of a query
MAX_PICTURES = 128
MAX_BATCH = 32  # pictures that are in memory at once
BODY = json_body(
    ("input",),
    input={"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]},
    modality={"enum": ["text", "image"]},
    encoding_format={"enum": ["float", "base64"]},
    dimensions={"type": ["integer", "null"]},
    model={"type": "string"},
)

router = APIRouter()


@dataclass(frozen=True, slots=True)
class EmbeddingCall:
    """The arguments of a call."""

    input: list[str]
    modality: Literal["text", "image"]
    as_base64: bool
    dimensions: int | None

    @property
    def is_quick(self) -> bool:
        """Return True if the call takes no longer than a search."""
        return self.modality == "text" and sum(map(len, self.input)) <= MAX_QUICK_LENGTH


@router.post("/v1/embeddings", responses=with_json(EmbeddingsAnswer), openapi_extra=BODY)
async def create_embeddings(request: Request) -> Response:
    """Return the unit vectors of texts, or of pictures in data URIs, in the vector space of the library."""
    worker, body = request.app.state.worker, await request.body()
    call = await run_in_threadpool(lambda: parse_call(parse_object(body)))

    def embed() -> Response:
        embedder = worker.library.embedder
        if call.dimensions not in (None, 0, embedder.dim):
            raise QueryError(
                f"The vectors of {embedder.name} have {embedder.dim} dimensions. Omit `dimensions`."
            )
        vectors = (embed_texts if call.modality == "text" else embed_pictures)(embedder, call.input)
        tokens = sum(map(embedder.count_tokens, call.input)) if call.modality == "text" else 0
        return json_response(
            {
                "object": "list",
                "data": [
                    {"object": "embedding", "index": index, "embedding": _encode(row, call.as_base64)}
                    for index, row in enumerate(vectors)
                ],
                "model": embedder.name,
                "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
            }
        )

    return await worker.run(request, embed, takes_long=not call.is_quick)  # type: ignore[no-any-return]


@router.get("/v1/models", responses=with_json(ModelsAnswer))
async def list_models(request: Request) -> Response:
    """Return the model of the library."""
    worker = request.app.state.worker

    def read() -> Response:
        model = {
            "id": worker.library.embedder.name,
            "object": "model",
            "created": 0,
            "owned_by": "clew",
            "capabilities": ["embed", "image_embed"],
        }
        return json_response({"object": "list", "data": [model]})

    return await worker.run(request, read)  # type: ignore[no-any-return]


def parse_call(values: dict[str, Any]) -> EmbeddingCall:
    """Return the arguments of a body; the model that it names is ignored. Raises QueryError."""
    given, modality = values.get("input"), values.get("modality") or "text"
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise QueryError("Invalid input. Use a text or a list of texts.")
    if modality not in ("text", "image"):
        raise QueryError("Invalid modality. Use text or image.")
    limit = MAX_TEXTS if modality == "text" else MAX_PICTURES
    if len(texts) > limit:
        raise QueryError(f"The input has {len(texts):,} items. Send at most {limit:,} at once.")
    if modality == "text":
        _check_lengths(texts)
    if values.get("encoding_format") not in (None, "float", "base64"):
        raise QueryError("Invalid encoding_format. Use float or base64.")
    dimensions = values.get("dimensions")
    if dimensions is not None and type(dimensions) is not int:
        raise QueryError("Invalid dimensions. Use a whole number.")
    is_base64 = values.get("encoding_format") == "base64"
    return EmbeddingCall(texts, cast(Literal["text", "image"], modality), is_base64, dimensions)


def _check_lengths(texts: list[str]) -> None:
    """Raise QueryError, in the words of the API of OpenAI, for texts that take too long."""
    longest, total = max(map(len, texts)), sum(map(len, texts))
    if longest > MAX_TEXT_LENGTH:
        raise QueryError(
            f"This model's maximum context length is {MAX_TEXT_LENGTH:,} characters, however you requested "
            f"{longest:,} characters. Please reduce your prompt."
        )
    if total > MAX_TOTAL_LENGTH:
        raise QueryError(
            f"Requested {total:,} characters, max {MAX_TOTAL_LENGTH:,} characters per request. "
            "Send fewer texts at once."
        )


def embed_texts(embedder: Embedder, texts: list[str]) -> Vectors:
    """Return the vectors of texts, (n, d); a row is 0 if the model knows no word. Raises QueryError."""
    cleaned = [nfc(without_surrogates(text)) for text in texts]
    try:
        return embedder.embed_texts(cleaned)
    except ValueError as error:
        raise QueryError("A text has no word that the model can read. Leave it out.") from error


def embed_pictures(embedder: Embedder, uris: list[str]) -> Vectors:
    """Return the vectors of pictures in data URIs, (n, d); raises QueryError."""
    if any(not uri.startswith("data:") for uri in uris):
        raise QueryError(
            "Addresses are not downloaded. Send each picture as a data URI: data:image/...;base64,..."
        )
    side = embedder.min_image_side
    return np.concatenate(
        [
            embedder.embed_images(
                [
                    embedder.prepare(decode_picture(io.BytesIO(decode_base64(uri, "input")), side))
                    for uri in uris[at : at + MAX_BATCH]
                ]
            )
            for at in range(0, len(uris), MAX_BATCH)
        ]
    )


def _encode(vector: Vectors, as_base64: bool) -> str | list[float]:
    """Return a vector as base64 of little-endian 32-bit floats, or as a list."""
    return base64.b64encode(vector.astype("<f4").tobytes()).decode() if as_base64 else vector.tolist()

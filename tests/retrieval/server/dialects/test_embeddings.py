"""The plain client of OpenAI gets the vectors of the library's model."""

import base64
from threading import current_thread

import numpy as np
import pytest
from openai import BadRequestError, OpenAI

from tests.support.browser import serving
from tests.support.toy_embedder import COLORS, ToyEmbedder


@pytest.fixture(scope="module")
def openai(shared_library):
    with (
        serving(shared_library, ToyEmbedder()) as address,
        OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client,
    ):
        yield client


def data_uri(folder, name: str) -> str:
    return "data:image/png;base64," + base64.b64encode((folder / name).read_bytes()).decode()


@pytest.mark.parametrize("form", ["float", "base64", None])
def test_texts_have_the_vectors_of_the_embedder(openai, toy, form):
    texts = ["red", "blue", "a green car"]
    options = {} if form is None else {"encoding_format": form}
    answer = openai.embeddings.create(model="text-embedding-3-small", input=texts, **options)
    vectors = [each.embedding for each in answer.data]
    if form == "base64":  # the client returns what it asked for
        vectors = [np.frombuffer(base64.b64decode(each), "<f4") for each in vectors]
    np.testing.assert_allclose(np.array(vectors), toy.embed_texts(texts), atol=1e-6)
    assert [each.index for each in answer.data] == [0, 1, 2]
    assert answer.model == "toy"
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == 5


def test_text_needs_no_list(openai, toy):
    answer = openai.embeddings.create(model="clew", input="cyan")
    np.testing.assert_allclose([answer.data[0].embedding], toy.embed_texts(["cyan"]), atol=1e-6)


def test_pictures_have_the_vectors_of_the_library(openai, folder):
    uris = [data_uri(folder, f"{color}.png") for color in COLORS]
    image = {"modality": "image"}
    answer = openai.embeddings.create(model="clew", input=uris, extra_body=image)
    vectors = np.array([each.embedding for each in answer.data])
    words = openai.embeddings.create(model="clew", input=list(COLORS))
    assert ((vectors @ np.array([each.embedding for each in words.data]).T).argmax(1) == range(7)).all()
    assert answer.usage.prompt_tokens == 0


@pytest.mark.parametrize(
    "values",
    [
        {"input": []},
        {"input": ""},
        {"input": ["red", ""]},
        {"input": [[1, 2, 3]]},
        {"input": "red", "dimensions": 2},
        {"input": "red", "extra_body": {"modality": "audio"}},
        {"input": "red", "extra_body": {"modality": "image"}},
        {"input": "http://127.0.0.1:1/a.png", "extra_body": {"modality": "image"}},
        {"input": "file:///etc/passwd", "extra_body": {"modality": "image"}},
        {"input": "data:image/png;base64,AAAA", "extra_body": {"modality": "image"}},
        {"input": ["red"] * 2_049},
    ],
    ids=lambda values: str(values)[:60],
)
def test_invalid_input_is_refused(openai, values):
    with pytest.raises(BadRequestError) as error:
        openai.embeddings.create(model="clew", **values)
    assert error.value.body


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["red " * 8_193], "maximum context length is 32,768 characters, however you requested 32,772"),
        (["red " * 6_000] * 51, "Requested 1,224,000 characters, max 1,200,000 characters per request"),
    ],
)
def test_longer_texts_than_the_limits_are_refused(openai, texts, message):
    with pytest.raises(BadRequestError) as error:
        openai.embeddings.create(model="clew", input=texts)
    assert message in error.value.body
    assert openai.embeddings.create(model="clew", input=["red " * 6_000] * 50).usage.total_tokens == 300_000


def test_pictures_and_many_texts_are_embedded_beside_searches(openai, folder, monkeypatch):
    threads = []

    def recorded(name):
        original = getattr(ToyEmbedder, name)

        def embed(self, inputs):
            threads.append(current_thread().name.partition("_")[0])
            return original(self, inputs)

        return embed

    monkeypatch.setattr(ToyEmbedder, "embed_images", recorded("embed_images"))
    monkeypatch.setattr(ToyEmbedder, "embed_texts", recorded("embed_texts"))
    image = {"modality": "image"}
    openai.embeddings.create(model="clew", input=data_uri(folder, "red.png"), extra_body=image)
    openai.embeddings.create(model="clew", input=["red"] * 2_000)
    openai.embeddings.create(model="clew", input="red")
    assert threads == ["server-media", "server-media", "server-search"]


def test_models_are_listed(openai):
    [model] = openai.models.list().data
    assert model.id == "toy"


def test_token_of_the_server_is_the_key_of_the_client(library, listen):
    address = listen(token="secret")
    with OpenAI(base_url=f"{address}/v1", api_key="secret", max_retries=0) as client:
        assert client.embeddings.create(model="clew", input="red").data

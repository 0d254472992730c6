"""Every embedder keeps the protocol's promises; the built-in one is what its card says."""

import shutil

import numpy as np
import pytest
from PIL import Image

from retrieval.embedders import registry
from retrieval.embedders.builtin import MODEL_FOLDER, BuiltinEmbedder
from retrieval.errors import EmbedderError
from retrieval.media.images.loader import load_image
from tests.support.toy_embedder import ToyEmbedder

TEXTS = ["red", "a blue car and a green tree", "white"]


@pytest.fixture(params=[ToyEmbedder, BuiltinEmbedder], ids=["toy", "builtin"])
def embedder(request):
    return request.param()


def pictures(embedder):
    draw = np.random.default_rng(0)
    noise = [Image.fromarray(draw.integers(0, 256, (60, 80, 3), dtype=np.uint8)) for _ in range(37)]
    return [embedder.prepare(picture) for picture in noise]


def test_rows_are_unit_vectors_of_its_dimension(embedder):
    for rows in (embedder.embed_images(pictures(embedder)), embedder.embed_texts(TEXTS)):
        assert rows.dtype == np.float32
        assert rows.shape[1] == embedder.dim
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


def test_a_vector_does_not_depend_on_its_company(embedder):
    many = embedder.embed_images(pictures(embedder))
    np.testing.assert_allclose(embedder.embed_images(pictures(embedder)[5:6])[0], many[5], atol=1e-5)
    texts = embedder.embed_texts(TEXTS)
    np.testing.assert_allclose(embedder.embed_texts(TEXTS[1:2])[0], texts[1], atol=1e-5)


def test_nothing_is_no_rows(embedder):
    assert embedder.embed_images([]).shape == (0, embedder.dim)
    assert embedder.embed_texts([]).shape == (0, embedder.dim)


def test_a_text_without_words_is_refused(embedder):
    with pytest.raises(ValueError, match="no word"):
        embedder.embed_texts(["red", "  "])


def test_tokens_count_all_and_the_tower_reads_its_context(embedder):
    assert embedder.count_tokens("red blue") == 2
    long = " ".join(["red"] * 100)
    assert embedder.count_tokens(long) == 100
    assert embedder.embed_texts([long]).shape == (1, embedder.dim)


def test_the_builtin_model_reads_its_first_32_tokens():
    words = ["dog"] * 32
    one, two = BuiltinEmbedder().embed_texts([" ".join(words), " ".join([*words, "rocket"])])
    np.testing.assert_allclose(one, two, atol=1e-6)


def test_pictures_are_prepared_as_the_card_says():
    picture = Image.effect_noise((640, 480), 80).convert("RGB")
    wanted = picture.resize((128, 128), Image.Resampling.BILINEAR, reducing_gap=3.0)
    np.testing.assert_array_equal(BuiltinEmbedder().prepare(picture), np.asarray(wanted))


def test_a_damaged_model_file_is_refused(tmp_path):
    shutil.copytree(MODEL_FOLDER, tmp_path / "model")
    with (tmp_path / "model" / "text.onnx").open("r+b") as file:
        file.seek(1000)
        file.write(b"!")
    with pytest.raises(EmbedderError, match="Reinstall clew-search"):
        BuiltinEmbedder(tmp_path / "model").embed_texts(["a dog"])


def test_an_unknown_model_names_the_list():
    with pytest.raises(EmbedderError, match="clew models"):
        registry.load_embedder("no-such-model")


def test_the_card_is_the_measured_one():
    card, *_ = registry.model_cards()
    assert card.text_to_image["recall@10"] == 39.4
    assert "Basic" in card.limits


def test_scaled_decoding_gives_nearly_the_same_vector(camera):
    builtin = BuiltinEmbedder()
    paths = sorted(camera.glob("*.jpg"))
    whole = builtin.embed_images([builtin.prepare(load_image(path)) for path in paths])
    scaled = builtin.embed_images(
        [builtin.prepare(load_image(path, min_side=builtin.min_image_side)) for path in paths]
    )
    assert ((whole * scaled).sum(axis=1) >= 0.995).all()

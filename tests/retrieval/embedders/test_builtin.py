"""Tests of the embedder protocol and the built-in model."""

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


def noise_images(embedder):
    generator = np.random.default_rng(0)
    noise = [Image.fromarray(generator.integers(0, 256, (60, 80, 3), dtype=np.uint8)) for _ in range(37)]
    return [embedder.prepare(image) for image in noise]


def test_rows_are_unit_vectors_of_the_embedder_dimension(embedder):
    for rows in (embedder.embed_images(noise_images(embedder)), embedder.embed_texts(TEXTS)):
        assert rows.dtype == np.float32
        assert rows.shape[1] == embedder.dim
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


def test_vector_does_not_depend_on_the_batch(embedder):
    many = embedder.embed_images(noise_images(embedder))
    np.testing.assert_allclose(embedder.embed_images(noise_images(embedder)[5:6])[0], many[5], atol=1e-5)
    texts = embedder.embed_texts(TEXTS)
    np.testing.assert_allclose(embedder.embed_texts(TEXTS[1:2])[0], texts[1], atol=1e-5)


def test_empty_batch_has_no_rows(embedder):
    assert embedder.embed_images([]).shape == (0, embedder.dim)
    assert embedder.embed_texts([]).shape == (0, embedder.dim)


def test_text_without_words_is_rejected(embedder):
    with pytest.raises(ValueError, match="no word"):
        embedder.embed_texts(["red", "  "])


def test_token_count_is_not_limited_by_the_context(embedder):
    assert embedder.count_tokens("red blue") == 2
    long = " ".join(["red"] * 100)
    assert embedder.count_tokens(long) == 100
    assert embedder.embed_texts([long]).shape == (1, embedder.dim)


@pytest.mark.parametrize("text", ["ᚠᛇᚻ", "🙂", "\x00", "🙂 ᚠ", "<s>", "▁ </s>"])
def test_text_without_a_known_piece_is_similar_to_nothing(text):
    builtin = BuiltinEmbedder()
    if builtin.count_tokens(text):
        vector, dog = builtin.embed_texts([text, "a dog"])
        assert not builtin.knows(text) and not vector.any()
        np.testing.assert_allclose(np.linalg.norm(dog), 1, atol=1e-5)


def test_builtin_model_ignores_tokens_after_the_first_62():
    words = ["dog"] * 62
    vector, same = BuiltinEmbedder().embed_texts([" ".join(words), " ".join([*words, "rocket"])])
    np.testing.assert_allclose(vector, same, atol=1e-6)


@pytest.mark.parametrize("text", ["EIN HUND IM SCHNEE", "ｅｉｎ  Hund im Schnee "])
def test_case_and_compatibility_characters_make_no_difference(text):
    vector, same = BuiltinEmbedder().embed_texts(["ein hund im schnee", text])
    np.testing.assert_allclose(vector, same, atol=1e-6)


@pytest.mark.parametrize(
    "text", ["ein Hund im Schnee", "un chien dans la neige", "雪の中の犬", "собака в снегу"]
)
def test_same_meaning_in_another_language_is_the_nearest(text):
    others = [
        "a dog in the snow",
        "a dog on the beach",
        "a red car",
        "a man cooking food",
        "a church at night",
    ]
    vectors = BuiltinEmbedder().embed_texts([*others, text])
    assert (vectors[:-1] @ vectors[-1]).argmax() == 0


def test_images_are_resized_as_documented_in_the_model_card():
    image = Image.effect_noise((640, 480), 80).convert("RGB")
    expected = image.resize((256, 256), Image.Resampling.BILINEAR, reducing_gap=3.0)
    np.testing.assert_array_equal(BuiltinEmbedder().prepare(image), np.asarray(expected))


def test_damaged_model_file_is_rejected(tmp_path):
    shutil.copytree(MODEL_FOLDER, tmp_path / "model")
    with (tmp_path / "model" / "text.onnx").open("r+b") as file:
        file.seek(1000)
        file.write(b"!")
    with pytest.raises(EmbedderError, match="Reinstall clew-search"):
        BuiltinEmbedder(tmp_path / "model").embed_texts(["a dog"])


def test_error_of_an_unknown_model_names_the_command_that_lists_models():
    with pytest.raises(EmbedderError, match="clew models"):
        registry.load_embedder("no-such-model")


def test_model_card_has_the_measured_recall():
    card, *_ = registry.model_cards()
    assert card.text_to_image["recall@10"] == 69.0
    assert "Basic" in card.limits


def test_reduced_decoding_changes_the_vector_less_than_faint_noise(camera):
    builtin = BuiltinEmbedder()
    paths = sorted(camera.glob("*.jpg"))
    pixels = [builtin.prepare(load_image(path)) for path in paths]
    noise = np.random.default_rng(0).integers(-1, 2, (len(pixels), *pixels[0].shape))
    full = builtin.embed_images(pixels)
    noisy = builtin.embed_images(list((pixels + noise).clip(0, 255).astype(np.uint8)))
    reduced = builtin.embed_images(
        [builtin.prepare(load_image(path, min_side=builtin.min_image_side)) for path in paths]
    )
    cosines = (full * reduced).sum(axis=1)
    assert (cosines >= 0.99).all()
    assert cosines.mean() > (full * noisy).sum(axis=1).mean()

"""Tests of open_clip models, against open_clip itself in float32."""

import json
import shutil
from dataclasses import asdict, replace
from functools import partial
from itertools import pairwise

import numpy as np
import open_clip
import pytest
import torch
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer
from PIL import Image

from indexer import ModelOptions, switch_library, update_library
from indexer.models.checkpoint import PREPROCESSING_KEYS
from indexer.models.precision import MIN_COSINE, choose_precision
from indexer.models.prepare import choose_and_save_precision
from indexer.models.resolve import prepare_model
from indexer.types import ignore_message
from retrieval import Library
from retrieval.catalog.reader import Catalog
from retrieval.embedders.model_cache import (
    CHOICES_FILE,
    EXPORTED_IMAGE_TOWERS,
    TEXT_TOWER_FILE,
    PrecisionChoice,
    machine_key,
)
from retrieval.embedders.open_clip import OpenClipEmbedder
from retrieval.embedders.torch_towers import TorchTowers, load_model, load_towers
from retrieval.media.images.loader import load_image
from retrieval.system import cores
from retrieval.types import Filters
from tests.support.interpreter import imported_modules
from tests.support.model_checkpoints import (
    SMALL_ARCHITECTURES,
    load_open_clip,
)
from tests.support.open_clip_models import TEXTS, prepare_in_float32, sample_images

RARE_ARCHITECTURES = ("small-quick", "small-resnet", "small-coca")
REAL_ARCHITECTURES = ("ViT-B-32", "RN50", "ViT-B-16-SigLIP2", "MobileCLIP2-S0", "xlm-roberta-base-ViT-B-32")


def reference_vectors(clew, folder):
    """Return the vectors that open_clip computes for sample_images() and TEXTS, in float32."""
    manifest = clew.prepared.manifest
    if manifest.arch and not manifest.arch.startswith(("small-bert", "small-siglip", "xlm")):
        tags = open_clip.list_pretrained_tags_by_model(manifest.arch)
        listed = open_clip.get_pretrained_cfg(manifest.arch, tags[0]) if tags else {}
        # open_clip does not know the preprocessing of a local file.
        preprocessing = {f"image_{name}": listed[name] for name in PREPROCESSING_KEYS if name in listed}
        model, _, transform = open_clip.create_model_and_transforms(
            manifest.arch,
            pretrained=manifest.weights,
            **preprocessing,
            force_quick_gelu=", QuickGELU" in manifest.parts["architecture"],
        )
        model.eval()
    else:  # whose configuration is on the hub
        model, transform = load_open_clip(clew.prepared)
    text = json.loads((clew.prepared.folder / "open_clip_config.json").read_text())["model_cfg"]["text_cfg"]
    if text.get("hf_tokenizer_name"):
        tokenizer = (
            HFTokenizer(
                str(folder), context_length=text["context_length"], **text.get("tokenizer_kwargs", {})
            )
            if "context_length" in text
            else HFTokenizer(str(folder), context_length=77)
        )
    else:
        tokenizer = SimpleTokenizer(context_length=text["context_length"])
    with torch.inference_mode():
        images = model.encode_image(
            torch.stack([transform(image) for image in sample_images()]), normalize=True
        )
        texts = model.encode_text(tokenizer(TEXTS), normalize=True)
    return images.numpy(), texts.numpy()


def assert_matches_open_clip(clew, folder):
    images, texts = reference_vectors(clew, folder)
    mine = clew.embed_images([clew.prepare(image) for image in sample_images()])
    limit = MIN_COSINE[clew.choice.precision]
    assert (mine * images).sum(axis=1).min() >= limit
    assert (clew.embed_texts(TEXTS) * texts).sum(axis=1).min() >= 0.9999
    towers = TorchTowers(
        load_model(clew.prepared.folder),
        clew.prepared.manifest.preprocessing,
        "float32",
        "cpu",
        trim_padding=clew.prepared.manifest.cut,
    )
    pixels = [np.stack([clew.prepare(image) for image in sample_images()])]
    assert (towers.embed_images(pixels) * images).sum(axis=1).min() >= 0.9999
    ids, lengths = clew._tokenizer.encode(TEXTS)
    by_torch = towers.embed_texts(
        [
            row[None, :n] if clew.prepared.manifest.cut else row[None]
            for row, n in zip(ids, lengths, strict=True)
        ]
    )
    assert (by_torch * texts).sum(axis=1).min() >= 0.9999


@pytest.mark.parametrize(
    "arch",
    [
        pytest.param(arch, marks=pytest.mark.large if arch in RARE_ARCHITECTURES else ())
        for arch in SMALL_ARCHITECTURES
    ],
)
def test_each_model_family_matches_open_clip(arch, embedder_of, checkpoints):
    embedder = embedder_of(arch)
    assert (embedder.prepared.folder / TEXT_TOWER_FILE).is_file()
    trimmable = ("small-vit", "small-quick", "small-resnet", "small-bert")
    assert embedder.prepared.manifest.cut == (arch in trimmable)
    assert_matches_open_clip(embedder, checkpoints(arch).parent)


@pytest.mark.large
@pytest.mark.parametrize("arch", REAL_ARCHITECTURES)
def test_real_architecture_matches_open_clip_before_and_after_a_switch(
    arch, embedder_of, checkpoints, tmp_path
):
    for number, picture in enumerate(sample_images()):
        (tmp_path / "pictures").mkdir(exist_ok=True)
        picture.save(tmp_path / "pictures" / f"{number}.png")
    update_library([tmp_path / "pictures"], library=tmp_path / "library", model="builtin")
    prepare_in_float32(checkpoints(arch), arch)
    embedder = embedder_of(arch)
    assert_matches_open_clip(embedder, checkpoints(arch).parent)
    done = switch_library(
        str(checkpoints(arch)), library=tmp_path / "library", options=ModelOptions(arch=arch)
    )
    assert (done.embedded, done.waiting, done.answers) == (5, 0, True)
    images, texts = reference_vectors(embedder, checkpoints(arch).parent)
    with Library.open(tmp_path / "library") as library:
        hits = library.search(TEXTS[0], count=5)
    catalog = Catalog.open(tmp_path / "library")
    _, stored = catalog.vectors_of(catalog.space(), catalog.allowed_ids(Filters()))
    catalog.close()
    np.testing.assert_allclose((stored * images).sum(axis=1), 1, atol=1e-3)
    np.testing.assert_allclose([hit.score for hit in hits], sorted(images @ texts[0])[::-1], atol=2e-3)
    shutil.rmtree(embedder.prepared.folder)
    checkpoints(arch).unlink()  # they are large
    checkpoints(arch).parent.joinpath("gone").touch()


@pytest.mark.parametrize(("is_fast", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_bfloat16_is_used_only_if_it_is_fast_now(is_fast, dtype, embedder_of):
    towers = load_towers(embedder_of("small-vit").prepared, "bfloat16", "cpu", lambda: is_fast)
    assert towers.image_tower.dtype is dtype


def test_exported_image_tower_runs_without_torch(own_cache, embedder_of):
    embedder = embedder_of("small-vit")
    rates = {"float32": 1.0, "onnx float32": 1.2, "int8": 9.0}
    embedder = choose_from(embedder, rates, is_bfloat16_fast=lambda: False)
    assert (embedder.choice.precision, embedder.choice.torch_precision) == ("int8", "float32")
    assert {path.name for path in embedder.prepared.folder.glob("int8*")} == {
        "int8.image.onnx",
        "int8.image.onnx.data",
    }
    assert not [*embedder.prepared.folder.glob("drafts-*")]
    pixels = [embedder.prepare(image) for image in sample_images(20)]
    many, one = embedder.embed_images(pixels), embedder.embed_images(pixels[3:4])
    np.testing.assert_allclose((many[3:4] * one).sum(), 1, atol=1e-3)
    assert embedder._loaded_towers is None


def choose_from(embedder, rates, **options):
    """Choose the precision of an embedder from these rates, and return an embedder that uses it."""

    def benchmark(candidates, images):
        assert candidates.keys() == rates.keys()
        return rates

    choose = partial(choose_precision, benchmark=benchmark, **options)
    choose_and_save_precision(embedder.prepared, "cpu", ignore_message, choose)
    return OpenClipEmbedder(embedder.prepared)


def save_choice(prepared, choice):
    """Replace the choices of a prepared model by one for the CPU."""
    choices = {machine_key(device): asdict(choice) for device in ("cpu", "auto")}
    (prepared.folder / CHOICES_FILE).write_text(json.dumps(choices))


@pytest.mark.parametrize(("rate", "on_torch"), [(14.9, False), (15.1, True)])
def test_long_run_loads_torch_only_if_it_is_much_faster(rate, on_torch, own_cache, embedder_of):
    prepared = embedder_of("small-vit").prepared
    choice = prepared.choice("cpu")
    rates = {choice.precision: 10.0, "bfloat16": rate}
    save_choice(prepared, replace(choice, rates=rates, torch_precision="bfloat16"))
    embedder = OpenClipEmbedder(prepared)
    pixels = [embedder.prepare(image) for image in sample_images(40)]
    exported = embedder.embed_images(pixels)
    assert not embedder.has_loaded_torch
    in_long_run = OpenClipEmbedder(embedder.prepared, torch_load_seconds=1e-6)
    in_long_run.embed_images(pixels)
    assert not in_long_run.has_loaded_torch
    later = in_long_run.embed_images(pixels)
    assert in_long_run.has_loaded_torch == on_torch
    assert (later * exported).sum(axis=1).min() >= 0.98


def test_new_photo_is_indexed_without_torch_as_on_torch(embedder_of, checkpoints, folder, place, tmp_path):
    embedder = embedder_of("small-vit")
    assert embedder.choice.precision in EXPORTED_IMAGE_TOWERS
    on_torch = OpenClipEmbedder(embedder.prepared)
    on_torch._exports_images = False
    on_torch.choice = replace(embedder.choice, torch_precision="float32")
    reference = tmp_path / "by-torch"
    update_library([folder], library=place, model=str(checkpoints("small-vit")))
    update_library([folder], library=reference, embedder=on_torch)
    sample_images(1)[0].save(folder / "new.png")
    update_library(library=reference, embedder=on_torch)
    assert on_torch.has_loaded_torch
    code = f"from indexer import update_library\nassert update_library(library={str(place)!r}).added == 1"
    loaded = imported_modules(code)
    assert "onnxruntime" in loaded
    assert not {"torch", "torchvision", "open_clip", "transformers", "timm"} & loaded
    with Library.open(place) as library, Library.open(reference) as expected:
        for query in ("a red thing", "two green trees", "new"):
            mine, right = (x.search(query, count=20) for x in (library, expected))
            assert {hit.id for hit in mine} == {hit.id for hit in right}
            scores = {hit.id: hit.score for hit in right}
            np.testing.assert_allclose(
                [hit.score for hit in mine], [scores[hit.id] for hit in mine], atol=0.02
            )
            exact = {hit.id: hit.score for hit in mine}
            gaps = [scores[a.id] - scores[b.id] for a, b in pairwise(right)]
            if min(gaps) > 2 * max(abs(scores[i] - exact[i]) for i in scores):
                assert [hit.id for hit in mine] == [hit.id for hit in right]


def test_model_of_an_older_version_is_exported_by_the_first_run_that_loads_torch(
    own_cache, embedder_of, checkpoints, folder, place
):
    prepared = embedder_of("small-vit").prepared
    update_library([folder], library=place, model=str(checkpoints("small-vit")))
    save_choice(prepared, PrecisionChoice("cpu", "float32", {"float32": 1.0}, 1.0))
    for tower in prepared.folder.glob("*.image.onnx*"):
        tower.unlink()
    run = f"from indexer import update_library\nupdate_library(library={str(place)!r})"
    assert "torch" not in imported_modules(run)  # nothing new
    assert prepared.choice("cpu").precision == "float32"
    Image.new("RGB", (64, 64), (200, 90, 30)).save(folder / "first.png")
    assert update_library(library=place).added == 1  # this process has torch
    assert prepared.choice("cpu").precision in EXPORTED_IMAGE_TOWERS
    Image.new("RGB", (64, 64), (0, 90, 30)).save(folder / "second.png")
    assert "torch" not in imported_modules(run)
    with Library.open(place) as library:
        assert len(library.search("a red thing", count=20)) == 9


def test_model_of_an_older_version_is_exported_by_prepare_model(own_cache, embedder_of, checkpoints):
    path = checkpoints("small-vit")
    save_choice(embedder_of("small-vit").prepared, PrecisionChoice("cpu", "float32", {"float32": 1.0}, 1.0))
    embedder = prepare_model(str(path), arch="small-vit")
    assert embedder.choice.precision in EXPORTED_IMAGE_TOWERS
    assert prepare_model(str(path), arch="small-vit").choice == embedder.choice


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_run_succeeds_if_the_export_fails(error, own_cache, embedder_of, folder, place, monkeypatch):
    def fail(*arguments):
        raise error

    prepared = embedder_of("small-vit").prepared
    save_choice(prepared, PrecisionChoice("cpu", "float32", {}, 1.0))
    embedder = OpenClipEmbedder(prepared)
    monkeypatch.setattr("indexer.models.resolve._choose_precision", fail)
    assert update_library([folder], library=place, embedder=embedder).added == 7
    assert embedder.has_loaded_torch
    assert OpenClipEmbedder(prepared).choice.precision == "float32"


def test_text_search_with_open_clip_model_imports_no_torch(embedder_of, checkpoints, folder, place):
    embedder_of("small-vit")
    update_library([folder], library=place, model=str(checkpoints("small-vit")))
    code = f"from retrieval import Library\nassert Library.open({str(place)!r}).search('a red thing')"
    loaded = imported_modules(code)
    assert {"faiss", "onnxruntime", "tokenizers"} <= loaded
    assert not {"torch", "open_clip", "transformers", "PIL", "sqlite_utils", "indexer"} & loaded


def test_embedder_can_be_used_from_several_threads(embedder_of):
    from concurrent.futures import ThreadPoolExecutor

    embedder = embedder_of("small-vit")
    pixels = [embedder.prepare(image) for image in sample_images(40)]
    images, texts = embedder.embed_images(pixels), embedder.embed_texts(TEXTS)
    with ThreadPoolExecutor(4) as pool:
        for vectors in pool.map(lambda n: embedder.embed_images(pixels), range(4)):
            np.testing.assert_allclose(vectors, images, atol=1e-2)
        for vectors in pool.map(lambda n: embedder.embed_texts(TEXTS), range(4)):
            np.testing.assert_allclose(vectors, texts, atol=1e-5)


def test_vectors_of_many_texts_are_in_input_order(embedder_of):
    embedder = embedder_of("small-vit")
    texts = [f"{'dog ' * (n % 9)}number {n}" for n in range(60)]
    many = embedder.embed_texts(texts)
    one = np.concatenate([embedder.embed_texts([text]) for text in texts])
    np.testing.assert_allclose((many * one).sum(axis=1), 1, atol=1e-4)


def test_batch_size_divides_images_among_the_cores(embedder_of):
    embedder = embedder_of("small-vit")
    assert embedder._batch_size(1) == 1
    assert embedder._batch_size(10 * cores()) == 10
    assert 1 <= embedder._batch_size(100_000) <= 32


def test_reduced_decoding_gives_nearly_the_same_vector(camera, embedder_of):
    embedder = embedder_of("small-vit")
    paths = sorted(camera.glob("*.jpg"))
    whole = embedder.embed_images([embedder.prepare(load_image(path)) for path in paths])
    scaled = embedder.embed_images(
        [embedder.prepare(load_image(path, min_side=embedder.min_image_side)) for path in paths]
    )
    assert ((whole * scaled).sum(axis=1) >= 0.995).all()

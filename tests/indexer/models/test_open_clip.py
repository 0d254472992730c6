"""Every open_clip model does here what it does in open_clip, in every precision, and says what it is."""

import json
import shutil
import subprocess
import sys
import unicodedata

import numpy as np
import open_clip
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from indexer import IndexOptions, switch_library, update_library
from indexer.models import precision, resolve
from indexer.models.checkpoint import PREPROCESSING_KEYS
from indexer.models.precision import MIN_COSINE, probe_images
from indexer.models.prepare import choose_and_save_precision
from retrieval import Library
from retrieval.catalog.reader import Catalog
from retrieval.embedders import registry
from retrieval.embedders.model_cache import TEXT_TOWER_FILE, PrecisionChoice, prepared_models
from retrieval.embedders.onnx_tower import OnnxTower
from retrieval.embedders.open_clip import OpenClipEmbedder
from retrieval.embedders.preprocessing import Preprocessing
from retrieval.embedders.tokenizer import ModelTokenizer, clean_text
from retrieval.embedders.torch_towers import DTYPES, TorchTowers, load_model
from retrieval.errors import EmbedderError, SpaceMismatch
from retrieval.media.images.loader import load_image
from retrieval.system import cores
from retrieval.types import Filters
from tests.support.catalog import REPOSITORY_ROOT
from tests.support.interpreter import imported_modules
from tests.support.model_checkpoints import (
    SMALL_ARCHITECTURES,
    load_open_clip,
    make_checkpoint,
    make_tokenizer,
    register_architectures,
)

TEXTS = ["a photo of a dog", "Two RED cars, and a green tree!", "x", "word " * 100, "naïve café 🐶 &amp; 犬"]
RARER = ("small-quick", "small-resnet", "small-coca")
FULL = ("ViT-B-32", "RN50", "ViT-B-16-SigLIP2", "MobileCLIP2-S0", "xlm-roberta-base-ViT-B-32")


@pytest.fixture(scope="module", autouse=True)
def known(tmp_path_factory):
    register_architectures(tmp_path_factory.mktemp("architectures"))


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Return a function that makes the weights of an architecture, each once."""
    place, made = tmp_path_factory.mktemp("checkpoints"), {}

    def make_(arch):
        if arch not in made:
            made[arch] = make_checkpoint(arch, place / arch)
        return made[arch]

    return make_


@pytest.fixture
def ready(checkpoints):
    def ready_(arch) -> OpenClipEmbedder:
        return resolve.resolve_embedder(str(checkpoints(arch)), arch=arch)

    return ready_


@pytest.fixture
def quick_choice(monkeypatch):
    """Leave out the race of precisions where it is not what is tested."""

    def choose(prepared, model, device, drafts):
        return PrecisionChoice("cpu", "float32", {}, 1.0)

    monkeypatch.setattr("indexer.models.prepare.choose_precision", choose)


def pictures(count=5):
    draw = np.random.default_rng(1)
    sizes = [(90, 70), (64, 64), (300, 41), (40, 200), (65, 63)]
    return [
        Image.fromarray(draw.integers(0, 256, (5, 7, 3), dtype=np.uint8)).resize(sizes[n % 5], 3)
        for n in range(count)
    ]


def truth_of(clew, near):
    """Return open_clip's own vectors of pictures() and TEXTS, in float32."""
    recipe = clew.prepared.manifest
    if recipe.arch and not recipe.arch.startswith(("small-bert", "small-siglip", "xlm")):
        tags = open_clip.list_pretrained_tags_by_model(recipe.arch)
        listed = open_clip.get_pretrained_cfg(recipe.arch, tags[0]) if tags else {}
        # Of a file, open_clip does not know how its pictures are wanted.
        looks = {f"image_{name}": listed[name] for name in PREPROCESSING_KEYS if name in listed}
        model, _, transform = open_clip.create_model_and_transforms(
            recipe.arch,
            pretrained=recipe.weights,
            **looks,
            force_quick_gelu=", QuickGELU" in recipe.parts["architecture"],
        )
        model.eval()
    else:  # whose configuration is on the hub
        model, transform = load_open_clip(clew.prepared)
    text = json.loads((clew.prepared.folder / "open_clip_config.json").read_text())["model_cfg"]["text_cfg"]
    if text.get("hf_tokenizer_name"):
        tokenizer = (
            HFTokenizer(str(near), context_length=text["context_length"], **text.get("tokenizer_kwargs", {}))
            if "context_length" in text
            else HFTokenizer(str(near), context_length=77)
        )
    else:
        tokenizer = SimpleTokenizer(context_length=text["context_length"])
    with torch.inference_mode():
        images = model.encode_image(torch.stack([transform(one) for one in pictures()]), normalize=True)
        texts = model.encode_text(tokenizer(TEXTS), normalize=True)
    return images.numpy(), texts.numpy()


def assert_agrees(clew, near):
    images, texts = truth_of(clew, near)
    mine = clew.embed_images([clew.prepare(one) for one in pictures()])
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
    pixels = [np.stack([clew.prepare(one) for one in pictures()])]
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
    [pytest.param(arch, marks=pytest.mark.large if arch in RARER else ()) for arch in SMALL_ARCHITECTURES],
)
def test_a_model_of_every_family_agrees_with_open_clip(arch, ready, checkpoints):
    clew = ready(arch)
    assert (clew.prepared.folder / TEXT_TOWER_FILE).is_file()
    assert clew.prepared.manifest.cut == (arch in ("small-vit", "small-quick", "small-resnet"))
    assert_agrees(clew, checkpoints(arch).parent)


@pytest.mark.large
@pytest.mark.parametrize("arch", FULL)
def test_real_architectures_agree_with_open_clip_and_survive_a_switch(
    arch, ready, checkpoints, quick_choice, tmp_path
):
    for number, picture in enumerate(pictures()):
        (tmp_path / "pictures").mkdir(exist_ok=True)
        picture.save(tmp_path / "pictures" / f"{number}.png")
    update_library([tmp_path / "pictures"], library=tmp_path / "library", model="builtin")
    clew = ready(arch)
    assert_agrees(clew, checkpoints(arch).parent)
    done = switch_library(str(checkpoints(arch)), library=tmp_path / "library", arch=arch)
    assert (done.embedded, done.waiting, done.answers) == (5, 0, True)
    images, texts = truth_of(clew, checkpoints(arch).parent)
    with Library.open(tmp_path / "library") as library:
        hits = library.search(TEXTS[0], count=5)
    catalog = Catalog.open(tmp_path / "library")
    _, stored = catalog.vectors_of(catalog.space(), catalog.allowed_ids(Filters()))
    catalog.close()
    np.testing.assert_allclose((stored * images).sum(axis=1), 1, atol=1e-3)
    np.testing.assert_allclose([hit.score for hit in hits], sorted(images @ texts[0])[::-1], atol=2e-3)
    shutil.rmtree(clew.prepared.folder)
    checkpoints(arch).unlink()  # they are large
    checkpoints(arch).parent.joinpath("gone").touch()


def gallery(way, dim):
    return way([np.stack(probe_images((64, 64), 64)[at : at + 8]) for at in range(0, 64, 8)]).reshape(64, dim)


@pytest.mark.parametrize("kind", ["onnx float32", "int8", "bfloat16", "float16"])
def test_every_precision_is_right_and_ranks_as_float32(kind, ready, tmp_path):
    clew = ready("small-vit")
    looks, model = clew.prepared.manifest.preprocessing, load_model(clew.prepared.folder)
    truth = gallery(TorchTowers(model, looks, "float32", "cpu").embed_images, clew.dim)
    if kind in DTYPES:
        way = TorchTowers(load_model(clew.prepared.folder), looks, kind, "cpu").embed_images
    else:
        from indexer.models.onnx_export import export, quantize
        from retrieval.embedders.torch_towers import ImageTower

        whole, small = tmp_path / "whole.onnx", tmp_path / "small.onnx"
        export(ImageTower(model, looks).eval(), torch.from_numpy(np.stack(probe_images((64, 64), 2))), whole)
        quantize(whole, small)
        way = OnnxTower(small if kind == "int8" else whole).embed
    found = gallery(way, clew.dim)
    assert (found * truth).sum(axis=1).min() >= MIN_COSINE[kind]
    right, mine = truth[:8] @ truth.T, found[:8] @ found.T
    tie = 2 * float(np.abs(right - mine).max()) + 1e-6
    assert tie < {"onnx float32": 1e-4, "int8": 0.05}.get(kind, 0.02)
    worst = np.sort(right, axis=1)[:, -10]
    best = np.argsort(-mine, axis=1)[:, :10]
    assert (np.take_along_axis(right, best, axis=1) >= worst[:, None] - tie).all()


def test_the_fastest_precision_that_is_right_is_chosen(ready, monkeypatch, tmp_path):
    clew = ready("small-vit")
    model = load_model(clew.prepared.folder)
    monkeypatch.setattr(precision, "bfloat16_is_fast", lambda: True)
    race = {"float32": 10.0, "bfloat16": 40.0}
    monkeypatch.setattr(precision, "_benchmark", lambda ways, pixels: race)
    chosen = precision.choose_precision(clew.prepared, model, "cpu", tmp_path)
    assert (chosen.precision, chosen.rates) == ("bfloat16", race)
    monkeypatch.setitem(MIN_COSINE, "bfloat16", 1.1)
    assert precision.choose_precision(clew.prepared, model, "cpu", tmp_path).precision == "float32"
    monkeypatch.setattr(precision, "bfloat16_is_fast", lambda: False)
    for rate, wanted in ((14.9, "float32"), (15.1, "int8")):
        race = {"float32": 10.0, "onnx float32": 12.0, "int8": rate}
        monkeypatch.setattr(precision, "_benchmark", lambda ways, pixels, race=race: race)
        assert precision.choose_precision(clew.prepared, model, "cpu", tmp_path).precision == wanted


def test_a_choice_of_bfloat16_is_not_kept_to_where_it_is_slow(ready, monkeypatch):
    clew = ready("small-vit")
    clew.choice = PrecisionChoice("cpu", "bfloat16", {}, 1.0)
    monkeypatch.setattr("retrieval.embedders.torch_towers.bfloat16_is_fast", lambda: False)
    assert clew._torch_towers.image_tower.dtype is torch.float32


def test_the_exported_image_tower_runs_without_torch(ready, monkeypatch):
    clew = ready("small-vit")
    race = {"float32": 1.0, "onnx float32": 1.2, "int8": 9.0}
    monkeypatch.setattr(precision, "bfloat16_is_fast", lambda: False)
    monkeypatch.setattr(precision, "_benchmark", lambda ways, pixels: race)
    choice = choose_and_save_precision(clew.prepared, "cpu", lambda line: None)
    assert choice.precision == "int8"
    assert {path.name for path in clew.prepared.folder.glob("int8*")} == {
        "int8.image.onnx",
        "int8.image.onnx.data",
    }
    assert not [*clew.prepared.folder.glob("drafts-*")]
    clew = OpenClipEmbedder(clew.prepared)
    assert clew.choice == choice
    pixels = [clew.prepare(one) for one in pictures(20)]
    monkeypatch.setattr(OpenClipEmbedder, "_torch_towers", None)
    many, one = clew.embed_images(pixels), clew.embed_images(pixels[3:4])
    np.testing.assert_allclose((many[3:4] * one).sum(), 1, atol=1e-3)


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", [(64, 64), (48, 80)])
def test_pictures_are_prepared_to_the_bit_as_open_clip_does(mode, interpolation, size, ready):
    looks = Preprocessing(size, mode, interpolation, (0.1, 0.2, 0.3), (0.9, 0.8, 0.7))
    settings_ = PreprocessCfg(size, "RGB", looks.mean, looks.std, interpolation, mode)
    transform = image_transform_v2(settings_, is_train=False)
    for picture in pictures():
        pixels = looks.apply(picture)
        assert pixels.shape == (*size, 3)
        by_us = (pixels.astype(np.float32) / 255 - np.float32(looks.mean)) / np.float32(looks.std)
        wanted = transform(picture).permute(1, 2, 0).numpy()
        np.testing.assert_allclose(by_us, wanted, atol=1e-6)


def test_the_towers_normalise_as_open_clip_does(ready):
    clew = ready("small-vit")
    seen = []

    class Spy(torch.nn.Module):
        def encode_image(self, x):
            seen.append(x)
            return x.flatten(1)

    towers = TorchTowers(Spy(), clew.prepared.manifest.preprocessing, "float32", "cpu")
    _, transform = load_open_clip(clew.prepared)
    towers.embed_images([np.stack([clew.prepare(one) for one in pictures()])])
    wanted = torch.stack([transform(one) for one in pictures()])
    assert torch.equal(seen[0], wanted)
    halved = TorchTowers(Spy(), clew.prepared.manifest.preprocessing, "bfloat16", "cpu")
    halved.embed_images([np.stack([clew.prepare(one) for one in pictures()])])
    assert seen[1].dtype is torch.bfloat16
    torch.testing.assert_close(seen[1].float(), wanted, rtol=2**-7, atol=1e-6)


@given(st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_text_is_cut_into_the_tokens_of_open_clip(simple, text):
    mine, theirs = simple
    # Of code points that Unicode has not assigned, two libraries of regular expressions think differently.
    cleaned = clean_text(text, "lower")
    assume("Cn" not in {unicodedata.category(char) for char in cleaned})
    assume("\u0345" not in cleaned)  # a mark that is a letter to one that passes over case
    wanted = theirs([text])[0].numpy()
    assert mine.knows(text) == (mine.count_tokens(text) > 0)  # its tokens are bytes
    if mine.count_tokens(text):
        np.testing.assert_array_equal(mine.encode([text])[0][0], wanted)
    else:
        assert (wanted[2:] == 0).all()


@pytest.fixture(scope="module")
def simple(checkpoints):
    clew = resolve.resolve_embedder(str(checkpoints("small-vit")), arch="small-vit")
    return clew._tokenizer, SimpleTokenizer(context_length=77)


def test_a_text_longer_than_the_context_is_cut_as_open_clip_cuts_it(simple):
    mine, theirs = simple
    long = " ".join(f"word{n}" for n in range(90))
    np.testing.assert_array_equal(mine.encode([long])[0], theirs([long]).numpy())
    assert mine.count_tokens(long) > 90


def test_a_tokenizer_that_frames_with_a_last_column_is_framed_so(tmp_path):
    """As the CLIPS models want it: open_clip's tokenizer_mode `clips`."""
    from indexer.models.tokenizer_export import _write_hf

    make_tokenizer(tmp_path, lower=False)
    theirs = HFTokenizer(str(tmp_path), context_length=16, tokenizer_mode="clips")
    theirs.tokenizer.cls_token = "<unk>"
    frame = _write_hf(theirs, 16, tmp_path / "mine.json")
    mine = ModelTokenizer(tmp_path / "mine.json", frame)
    texts = ["a photo", "the quick brown fox " * 9]
    np.testing.assert_array_equal(mine.encode(texts)[0], theirs(texts).numpy())
    assert (mine.knows("a photo Ω"), mine.knows("Ω")) == (True, False)


@pytest.mark.large
def test_the_fingerprint_covers_weights_preprocessing_and_tokenizer(tmp_path, quick_choice):
    config = {
        "model_cfg": SMALL_ARCHITECTURES["small-siglip"],
        "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3},
    }

    def fingerprint(name, *, seed=0, config=config, lower=True):
        path = make_checkpoint("small-siglip", tmp_path / name, seed=seed)
        (tmp_path / name / "open_clip_config.json").write_text(json.dumps(config))
        make_tokenizer(tmp_path / name, lower=lower)
        clew = resolve.resolve_embedder(str(path.parent))
        return clew.fingerprint, clew.parts

    one, parts = fingerprint("one")
    assert fingerprint("the same elsewhere")[0] == one
    for name, how in {
        "weights": {"seed": 1},
        "preprocessing": {"config": {**config, "preprocess_cfg": {"resize_mode": "squash"}}},
        "tokenizer": {"lower": False},
    }.items():
        other, changed = fingerprint(name, **how)
        assert other != one
        assert [key for key in parts if parts[key] != changed[key]] == [name]


def test_weights_that_have_changed_are_refused_with_what_differs(folder, tmp_path, place, quick_choice):
    path = make_checkpoint("small-vit", tmp_path / "weights", seed=4)
    update_library([folder], library=place, model=str(path), options=IndexOptions(arch="small-vit"))
    make_checkpoint("small-vit", tmp_path / "weights", seed=5)
    with pytest.raises(SpaceMismatch, match=r"weights SHA-256 \w+, now SHA-256 \w+\)\. Run `clew switch"):
        update_library([folder], library=place, options=IndexOptions(arch="small-vit"))
    with Library.open(place) as library:
        assert len(library.search("a dog", count=10)) == 7
        with pytest.raises(EmbedderError, match="words can still be searched"):
            library.search(image=folder / "red.png")
    done = switch_library(str(path), library=place, arch="small-vit")
    assert (done.embedded, done.answers) == (7, True)
    assert "(before " in done.old
    assert done.new == str(path)
    with Library.open(place, space=done.old) as library:
        assert len(library.search("a dog", count=10)) == 7


@pytest.mark.large
def test_settings_that_have_changed_are_refused_too(folder, tmp_path, place, quick_choice):
    make_checkpoint("small-vit", tmp_path / "model", seed=6)
    settings_ = tmp_path / "model" / "open_clip_config.json"
    config = {"model_cfg": SMALL_ARCHITECTURES["small-vit"], "preprocess_cfg": {}}
    settings_.write_text(json.dumps(config))
    update_library([folder], library=place, model=str(tmp_path / "model"))
    settings_.write_text(json.dumps({**config, "preprocess_cfg": {"resize_mode": "squash"}}))
    with pytest.raises(SpaceMismatch, match=r"preprocessing .*shortest.*now .*squash"):
        update_library(library=place)
    heads = {
        **SMALL_ARCHITECTURES["small-vit"],
        "text_cfg": {**SMALL_ARCHITECTURES["small-vit"]["text_cfg"], "heads": 4},
    }
    settings_.write_text(json.dumps({"model_cfg": heads, "preprocess_cfg": {}}))
    with pytest.raises(SpaceMismatch, match="architecture"):
        update_library(library=place)
    assert switch_library(str(tmp_path / "model"), library=place).embedded == 7


@pytest.mark.large
def test_weights_of_no_numbers_are_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    path = make_checkpoint("small-vit", tmp_path)
    for name in ("visual.proj", "text_projection"):
        save_file({**load_file(path), name: torch.full_like(load_file(path)[name], torch.nan)}, path)
        with pytest.raises(EmbedderError, match="no numbers"):
            resolve.resolve_embedder(str(path), arch="small-vit")
        make_checkpoint("small-vit", tmp_path)


def test_a_choice_of_a_device_that_is_gone_is_made_again(ready, monkeypatch):
    clew = ready("small-vit")
    there = PrecisionChoice("cuda", "bfloat16", {}, 1.0, "a card of another machine")
    monkeypatch.setattr("retrieval.embedders.model_cache.PreparedModel.choice", lambda self, device: there)
    monkeypatch.setattr(
        resolve, "_choose_precision", lambda known, device, say: PrecisionChoice("cpu", "float32", {}, 1.0)
    )
    if not torch.cuda.is_available():
        assert resolve.resolve_embedder(clew.name).device == "cpu"


def test_all_listed_weights_with_quick_gelu_mean_local_ones_too():
    from indexer.models.checkpoint import _shared_preprocessing

    said = []
    assert _shared_preprocessing("RN50", said.append)["quick_gelu"] is True
    assert not said
    assert _shared_preprocessing("ViT-B-32", said.append)["quick_gelu"] is False
    assert "--arch ViT-B-32/openai" in said[0]


def test_a_pt_file_and_a_folder_load_too(tmp_path, quick_choice):
    safe = resolve.resolve_embedder(str(make_checkpoint("small-vit", tmp_path)), arch="small-vit")
    pickled = resolve.resolve_embedder(
        str(make_checkpoint("small-vit", tmp_path, name="w.pt")), arch="small-vit"
    )
    np.testing.assert_allclose(safe.embed_texts(["x"]), pickled.embed_texts(["x"]), atol=1e-6)
    (tmp_path / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": SMALL_ARCHITECTURES["small-vit"]})
    )
    alone = resolve.resolve_embedder(str(tmp_path))
    np.testing.assert_allclose(safe.embed_texts(["x"]), alone.embed_texts(["x"]), atol=1e-6)


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("run",))

    torch.save({"weights": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(EmbedderError, match="cannot be loaded"):
        resolve.resolve_embedder(str(tmp_path / "evil.pt"), arch="small-vit")


def test_what_a_person_may_get_wrong_is_said(tmp_path, checkpoints):
    path = checkpoints("small-vit")
    for name, arch, message in (
        ("nix", None, "There is no model called nix"),
        ("hf-hub:nix", None, "hf-hub:ORG/REPO"),
        ("ViT-B-32/nix", None, "it lists openai"),
        ("ViT-Q-9/openai", None, "no architecture ViT-Q-9"),
        (str(tmp_path / "none.safetensors"), "ViT-B-32", "There is no file"),
        (str(tmp_path), None, "no weights in"),
        (str(path), None, "--arch ViT-B-32"),
        (str(path), "ViT-L-14", "--arch ViT-L-14/openai"),
        (str(path), "small-resnet", "cannot be loaded as small-resnet"),
    ):
        with pytest.raises(EmbedderError, match=message):
            resolve.resolve_embedder(name, arch=arch)
    with pytest.raises(EmbedderError, match="There is no device cuda:9 here; torch has"):
        resolve.resolve_embedder(
            str(make_checkpoint("small-vit", tmp_path, seed=9)), arch="small-vit", device="cuda:9"
        )


def test_quick_gelu_is_used_where_the_weights_want_it():
    """open_clip itself only warns of it (its issue 1068)."""
    from indexer.models.checkpoint import _architecture_config, _merge_configs, _pretrained_config

    openai = _merge_configs(_architecture_config("ViT-B-32"), _pretrained_config("ViT-B-32", "openai"))
    laion = _merge_configs(
        _architecture_config("ViT-B-32"), _pretrained_config("ViT-B-32", "laion2b_s34b_b79k")
    )
    assert openai["model_cfg"]["quick_gelu"] is True
    assert "quick_gelu" not in laion["model_cfg"]


def test_without_a_hub_the_message_says_all_ways():
    with pytest.raises(EmbedderError, match=r"HF_HUB_OFFLINE.*clew prepare.*hub.*--arch.*builtin"):
        resolve.resolve_embedder("ViT-B-32/openai")
    with pytest.raises(EmbedderError, match="HF_HUB_OFFLINE is set"):
        resolve.resolve_embedder("hf-hub:nobody/nothing")


def test_auto_without_a_hub_is_the_builtin_model_and_says_so(folder, place):
    said = []
    update_library([folder], library=place, notify=said.append)
    assert len(said) == 1
    assert "clew switch ViT-B-32-256/datacomp_s34b_b86k" in said[0]
    with Library.open(place) as library:
        assert library.status().space.name == "builtin"
    update_library([folder], library=place, model="auto", notify=said.append)
    assert len(said) == 1  # it was chosen once


def test_the_recommended_model_is_one_that_open_clip_lists():
    arch, tag = resolve.RECOMMENDED_MODEL.split("/")
    assert open_clip.get_pretrained_cfg(arch, tag)["hf_hub"] == f"{resolve._RECOMMENDED_REPO}/"


def test_a_search_by_words_with_an_open_clip_model_loads_no_torch(ready, checkpoints, folder, place):
    ready("small-vit")
    update_library([folder], library=place, model=str(checkpoints("small-vit")))
    code = f"from retrieval import Library\nassert Library.open({str(place)!r}).search('a red thing')"
    loaded = imported_modules(code)
    assert {"faiss", "onnxruntime", "tokenizers"} <= loaded
    assert not {"torch", "open_clip", "transformers", "PIL", "sqlite_utils", "indexer"} & loaded


def test_a_model_that_is_not_prepared_here_is_named_with_its_command(folder, place, tmp_path, quick_choice):
    path = make_checkpoint("small-vit", tmp_path, seed=3)
    clew = resolve.resolve_embedder(str(path), arch="small-vit")
    update_library([folder], library=place, model=str(path))
    shutil.rmtree(clew.prepared.folder)
    with pytest.raises(EmbedderError, match=rf"clew prepare {path}"), Library.open(place) as library:
        library.search("a dog")


def test_one_model_may_be_asked_from_several_threads(ready):
    from concurrent.futures import ThreadPoolExecutor

    clew = ready("small-vit")
    pixels = [clew.prepare(one) for one in pictures(40)]
    images, texts = clew.embed_images(pixels), clew.embed_texts(TEXTS)
    with ThreadPoolExecutor(4) as pool:
        for vectors in pool.map(lambda n: clew.embed_images(pixels), range(4)):
            np.testing.assert_allclose(vectors, images, atol=1e-2)
        for vectors in pool.map(lambda n: clew.embed_texts(TEXTS), range(4)):
            np.testing.assert_allclose(vectors, texts, atol=1e-5)


def test_many_texts_come_back_in_their_order(ready):
    clew = ready("small-vit")
    texts = [f"{'dog ' * (n % 9)}number {n}" for n in range(60)]
    many = clew.embed_texts(texts)
    one = np.concatenate([clew.embed_texts([text]) for text in texts])
    np.testing.assert_allclose((many * one).sum(axis=1), 1, atol=1e-4)


def test_batches_fit_the_cores(ready):
    clew = ready("small-vit")
    assert clew._batch_size(1) == 1
    assert clew._batch_size(10 * cores()) == 10
    assert 1 <= clew._batch_size(100_000) <= 32


def test_scaled_decoding_gives_nearly_the_same_vector(camera, ready):
    clew = ready("small-vit")
    paths = sorted(camera.glob("*.jpg"))
    whole = clew.embed_images([clew.prepare(load_image(path)) for path in paths])
    scaled = clew.embed_images(
        [clew.prepare(load_image(path, min_side=clew.min_image_side)) for path in paths]
    )
    assert ((whole * scaled).sum(axis=1) >= 0.995).all()


def test_the_list_of_models_is_that_of_open_clip():
    from retrieval.embedders.model_list import MODEL_LIST_FILE

    listed = json.loads(MODEL_LIST_FILE.read_text())
    names = {row["name"]: row for row in listed["models"]}
    if listed["open_clip"] == open_clip.__version__:
        assert list(names) == ["/".join(pair) for pair in open_clip.list_pretrained()]
    assert names["ViT-B-32/openai"]["dim"] == 512
    assert names["RN50/openai"]["parameters"] == 102007137
    cards = {card.name: card for card in registry.model_cards()}
    assert cards["builtin"].state == "in clew"
    assert cards["ViT-B-16-SigLIP2/webli"].languages == "109 languages"
    for found in prepared_models():
        assert cards[found.manifest.name].state == "prepared"


def test_the_command_prepares_and_says_how_it_will_run(clew, checkpoints):
    path = checkpoints("small-vit")
    done = clew("prepare", path, "--arch", "small-vit")
    assert done.exit_code == 0, done.output
    assert "48 dimensions, 64 x 64 pixels, 75 tokens" in done.stdout
    assert "on cpu" in done.stdout
    assert "without torch" in done.stdout
    known = json.loads(clew("prepare", path, "--json").stdout)
    assert known["choice"]["device"] == "cpu"
    assert set(known["parts"]) == {"architecture", "weights", "preprocessing", "tokenizer"}
    assert str(path) in clew("models", "small").stdout
    assert clew("prepare", "builtin").exit_code == 0
    assert clew("models", "no such model").exit_code == 1


def test_a_library_says_in_which_precision_it_is_embedded(clew, checkpoints, folder, ready):
    precision_ = ready("small-vit").choice.precision
    assert clew("index", folder, "--model", checkpoints("small-vit")).exit_code == 0
    assert f"{precision_} on cpu" in clew("status").stdout


def test_the_floor_of_heavy_things_holds_for_a_run_in_which_nothing_is_new(ready, checkpoints, folder, place):
    ready("small-vit")
    update_library([folder], library=place, model=str(checkpoints("small-vit")))
    code = f"from indexer import update_library\nupdate_library(library={str(place)!r})"
    assert not {"torch", "open_clip", "transformers", "faiss", "onnxruntime"} & imported_modules(code)


@pytest.mark.large
def test_the_list_is_made_by_its_own_tool():
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from update_model_list import describe; print(describe('RN50', 'openai')['repo'])",
        ],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY_ROOT / ".ci",
    )
    assert done.stdout.strip() == "timm/resnet50_clip.openai"

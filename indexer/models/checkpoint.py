"""From a model's name to its parts: configuration, weights and tokenizer, as open_clip has them."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from indexer.models import hub
from indexer.types import Notify
from retrieval.embedders.model_name import WEIGHTS_SUFFIXES, ModelSource
from retrieval.embedders.preprocessing import Preprocessing
from retrieval.embedders.torch_towers import quiet
from retrieval.errors import EmbedderError

if TYPE_CHECKING:
    from open_clip.tokenizer import HFTokenizer, SimpleTokenizer

Loaded = TypeVar("Loaded")

CONFIG_FILE = "open_clip_config.json"
PREPROCESSING_KEYS = ("mean", "std", "interpolation", "resize_mode", "fill_color")
TOKENIZER_PROBES = (  # texts that tell tokenizers apart
    "a photo of a dog",
    "A DOG's life, isn't it? 100% #1 (2024-06-30)",
    "the quick-brown_fox  jumps\tover &amp; under\n the lazy dogs!",
    "Ein Hund läuft über die Straße; où est-il? ¿Dónde está? Где собака?",
    "一只狗在沙滩上。犬がビーチで走る 해변의 개",
    "🐶🏖️ naïve café ﬁne ½ “quotes” … \u200b x² I\u2019m",
    "a",
    " ".join(f"word{number}" for number in range(120)),
)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model's files and settings; `near` is the weights' folder, which may hold what else it needs."""

    source: ModelSource
    config: dict[str, Any]  # as in open_clip_config.json
    weights: Path
    arch: str | None = None
    folder: Path | None = None

    @property
    def text_config(self) -> dict[str, Any]:
        """Return the settings of the text tower."""
        settings: dict[str, Any] = self.config["model_cfg"]["text_cfg"]
        return settings

    @property
    def preprocessing(self) -> Preprocessing:
        """Return the model's preprocessing; open_clip's own defaults where its configuration is silent."""
        from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

        size = self.config["model_cfg"]["vision_cfg"].get("image_size", 224)
        given = {name: self.config["preprocess_cfg"].get(name) for name in PREPROCESSING_KEYS}
        return Preprocessing(
            size=(size, size) if isinstance(size, int) else (int(size[0]), int(size[1])),
            resize_mode=given["resize_mode"] or "shortest",
            interpolation=given["interpolation"] or "bicubic",
            mean=_rgb_triple(given["mean"] or OPENAI_DATASET_MEAN),
            std=_rgb_triple(given["std"] or OPENAI_DATASET_STD),
            fill_color=int(given["fill_color"] or 0),
        )


def find_checkpoint(source: ModelSource, notify: Notify) -> Checkpoint:
    """Find a model's configuration and weights, fetching them where they are not here."""
    with quiet():
        if source.kind == "local":
            return _local_checkpoint(source, notify)
        return _hub_checkpoint(source, notify) if source.kind == "hub" else _listed_checkpoint(source, notify)


def _listed_checkpoint(source: ModelSource, notify: Notify) -> Checkpoint:
    assert source.arch
    assert source.tag
    config, looks = _architecture_config(source.arch), _pretrained_config(source.arch, source.tag)
    repo, _, name = looks["hf_hub"].rpartition("/")
    weights = hub.fetch(repo, _weights_file_names(name), source.name, notify)
    return Checkpoint(source, _merge_configs(config, looks), weights)


def _hub_checkpoint(source: ModelSource, notify: Notify) -> Checkpoint:
    settings = hub.fetch(source.repo, [CONFIG_FILE], source.name, notify)
    return Checkpoint(
        source, _read_config(settings), hub.fetch(source.repo, _weights_file_names(""), source.name, notify)
    )


def _local_checkpoint(source: ModelSource, notify: Notify) -> Checkpoint:
    """Find a local checkpoint's settings: beside it, else those of its architecture."""
    assert source.path
    near = source.path if source.path.is_dir() else source.path.parent
    weights = source.path if near != source.path else _find_weights(near)
    if not weights.is_file():
        raise EmbedderError(f"There is no file {weights}.")
    if source.arch is not None:
        config = _architecture_config(source.arch)
        looks = (
            _pretrained_config(source.arch, source.tag)
            if source.tag
            else _shared_preprocessing(source.arch, notify)
        )
        arch = "/".join(filter(None, (source.arch, source.tag)))
        return Checkpoint(source, _merge_configs(config, looks), weights, arch, near)
    if (near / CONFIG_FILE).is_file():
        return Checkpoint(source, _read_config(near / CONFIG_FILE), weights, None, near)
    raise EmbedderError(
        f"{source.path} does not say of which architecture it is: name it, as in --arch ViT-B-32 "
        f"(`clew models` lists them), or put its {CONFIG_FILE} beside it."
    )


def _find_weights(folder: Path) -> Path:
    found = sorted(path for path in folder.glob("*") if path.suffix in WEIGHTS_SUFFIXES)
    preferred = [path for path in found if path.suffix == ".safetensors"] or found
    if not preferred:
        raise EmbedderError(f"There are no weights in {folder}: no {', '.join(WEIGHTS_SUFFIXES)} file.")
    return preferred[0]


def _architecture_config(arch: str) -> dict[str, Any]:
    import open_clip

    config: dict[str, Any] | None = open_clip.get_model_config(arch)
    if config is None:
        raise EmbedderError(f"open_clip knows no architecture {arch}; `clew models` lists them.")
    return config


def _pretrained_config(arch: str, tag: str) -> dict[str, Any]:
    import open_clip

    looks: dict[str, Any] = open_clip.get_pretrained_cfg(arch, tag)
    if not looks:
        tags = open_clip.list_pretrained_tags_by_model(arch)
        offered = f"it lists {', '.join(tags)}" if tags else "it lists none"
        _architecture_config(arch)
        raise EmbedderError(f"open_clip lists no weights {tag} of {arch}; {offered}.")
    return looks


def _shared_preprocessing(arch: str, notify: Notify) -> dict[str, Any]:
    """Return what all listed weights of an architecture share: their preprocessing, and QuickGELU."""
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(arch)
    ways = {
        tag: {name: _pretrained_config(arch, tag).get(name) for name in PREPROCESSING_KEYS} for tag in tags
    }
    known = list(ways.values())
    if any(way != known[0] for way in known):
        raise EmbedderError(
            f"Weights of {arch} want their pictures in different ways, and nothing says which these want. "
            f"Name the listed weights they come from, as in --arch {arch}/{tags[0]}, or put their "
            f"{CONFIG_FILE} "
            "beside them."
        )
    quick = {tag for tag in tags if _pretrained_config(arch, tag).get("quick_gelu")}
    if quick and quick != set(tags):
        example = next(tag for tag in tags if tag in quick)
        notify(
            f"Taking these weights as made with GELU, as most of {arch} are. If they come from {example} or "
            f"others made with QuickGELU, say --arch {arch}/{example}."
        )
    return {**(known[0] if known else {}), "quick_gelu": bool(tags) and quick == set(tags)}


def _merge_configs(config: dict[str, Any], pretrained: dict[str, Any]) -> dict[str, Any]:
    """Join architecture and weights; open_clip only warns where the weights want QuickGELU."""
    if pretrained.get("quick_gelu"):
        config = {**config, "quick_gelu": True}
    wanted = {name: pretrained[name] for name in PREPROCESSING_KEYS if pretrained.get(name) is not None}
    return {"model_cfg": config, "preprocess_cfg": wanted}


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text("utf-8"))
        model, looks = config["model_cfg"], config.get("preprocess_cfg", {})
        model["vision_cfg"], model["text_cfg"]
    except (ValueError, KeyError, TypeError) as error:
        raise EmbedderError(f"{path} is no configuration of an open_clip model: {error!r}.") from error
    return {"model_cfg": model, "preprocess_cfg": looks}


def _weights_file_names(name: str) -> list[str]:
    """Return the names that weights may have on the hub, safetensors first, as open_clip tries them."""
    name = name or "open_clip_pytorch_model.bin"
    safe = ["open_clip_model.safetensors"] if name == "open_clip_pytorch_model.bin" else []
    safe += [Path(name).with_suffix(".safetensors").name] if name.endswith((".bin", ".pth")) else []
    return [*safe, name]


def load_tokenizer(checkpoint: Checkpoint) -> "SimpleTokenizer | HFTokenizer":
    """Return open_clip's own tokenizer of a model, fetched if need be; raises EmbedderError."""
    from open_clip.tokenizer import HFTokenizer, SimpleTokenizer

    text = checkpoint.text_config
    length, how = text.get("context_length", 77), text.get("tokenizer_kwargs", {})
    name = text.get("hf_tokenizer_name")
    if not name:
        return SimpleTokenizer(context_length=length, **how)
    near = checkpoint.folder
    if near is not None and (near / "tokenizer.json").is_file():
        name = str(near)

    def make(local: bool) -> "HFTokenizer":
        mode = text.get("tokenizer_mode")
        return HFTokenizer(name, context_length=length, tokenizer_mode=mode, local_files_only=local, **how)

    try:
        with quiet():
            return _load_cached_or_fetch(make, name, "tokenizer_config.json")
    except Exception as error:  # of whichever library reads it
        where = "" if near is None else f" Put its tokenizer.json into {near}."
        raise EmbedderError(
            f"{hub.unavailable_error(f'the tokenizer {name}', _first_line(error))}{where}"
        ) from error


def config_with_local_text_model(checkpoint: Checkpoint, folder: Path) -> dict[str, Any]:
    """Return the configuration, with what a text tower of transformers needs copied into `folder`.

    Raises EmbedderError.
    """
    name = checkpoint.text_config.get("hf_model_name")
    if not name:
        return checkpoint.config
    from transformers import AutoConfig

    near = checkpoint.folder
    if near is not None and (near / "config.json").is_file():
        name = str(near)
    try:
        settings = _load_cached_or_fetch(
            lambda local: AutoConfig.from_pretrained(name, local_files_only=local), name, "config.json"
        )
    except Exception as error:  # of whichever library reads it
        where = "" if near is None else f" Put its config.json into {near}."
        raise EmbedderError(
            f"{hub.unavailable_error(f'the text model {name}', _first_line(error))}{where}"
        ) from error
    settings.save_pretrained(folder / "transformer")
    model = dict(checkpoint.config["model_cfg"])
    model["text_cfg"] = {**model["text_cfg"], "hf_model_name": str(folder / "transformer")}
    return {**checkpoint.config, "model_cfg": model}


def fingerprint_parts(checkpoint: Checkpoint, tokenizer_signature: bytes) -> dict[str, str]:
    """Return what the fingerprint covers; `tokens` are a vocabulary and the ids of PROBES."""
    with checkpoint.weights.open("rb") as file:
        weights = hashlib.file_digest(file, "sha256").hexdigest()
    model = checkpoint.config["model_cfg"]
    text = {key: value for key, value in model["text_cfg"].items() if not key.startswith("hf_model")}
    design = hashlib.sha256(json.dumps({**model, "text_cfg": text}, sort_keys=True).encode()).hexdigest()
    gelu = ", QuickGELU" if model.get("quick_gelu") else ""
    name = checkpoint.source.arch or model["vision_cfg"].get("timm_model_name") or "its own"
    length = checkpoint.text_config.get("context_length", 77)
    return {
        "architecture": f"{name}{gelu}, {design[:8]}",
        "weights": f"SHA-256 {weights}",
        "preprocessing": str(checkpoint.preprocessing),
        "tokenizer": f"{length} tokens, {hashlib.sha256(tokenizer_signature).hexdigest()[:16]}",
    }


def _load_cached_or_fetch(make: Callable[[bool], Loaded], name: str, file: str) -> Loaded:
    """Return what is made of local files alone, else, if the hub is there, of fetched ones."""
    try:
        return make(True)
    except Exception:
        if Path(name).is_dir() or hub.unreachable_reason(name, [file]):
            raise
        return make(False)


def _rgb_triple(values: Any) -> tuple[float, float, float]:
    red, green, blue = map(float, values)
    return red, green, blue


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__).rstrip(".")

"""Find the configuration, the weights and the tokenizer of a model, as open_clip does."""

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, TypeVar

from indexer.models.hub import HubModel, cached_file, download, fetch
from indexer.types import Notify
from retrieval.embedders.model_name import WEIGHTS_SUFFIXES, ModelSource
from retrieval.embedders.preprocessing import Preprocessing
from retrieval.errors import EmbedderError, first_line
from retrieval.quiet import quiet

if TYPE_CHECKING:
    from open_clip.tokenizer import HFTokenizer, SimpleTokenizer

Loaded = TypeVar("Loaded")

CONFIG_FILE = "open_clip_config.json"
PREPROCESSING_KEYS = ("mean", "std", "interpolation", "resize_mode", "fill_color")
TOKENIZER_FILES = ("tokenizer.json", "*token*", "vocab*", "merges.txt", "*.model", "config.json")
TOKENIZER_PROBES = (  # texts that distinguish tokenizers
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
    """The weights and the configuration of a model."""

    source: ModelSource
    config: dict[str, Any]  # as in open_clip_config.json
    weights: Path
    arch: str | None = None  # ARCH or ARCH/TAG, if the user named it
    folder: Path | None = None  # of local weights; may contain a tokenizer and further settings

    @property
    def text_config(self) -> dict[str, Any]:
        """Return the settings of the text tower."""
        settings: dict[str, Any] = self.config["model_cfg"]["text_cfg"]
        return settings

    @property
    def preprocessing(self) -> Preprocessing:
        """Return the preprocessing of the model, with open_clip's defaults for missing settings."""
        from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

        size = self.config["model_cfg"]["vision_cfg"].get("image_size", 224)
        settings = {name: self.config["preprocess_cfg"].get(name) for name in PREPROCESSING_KEYS}
        return Preprocessing(
            size=(size, size) if isinstance(size, int) else (int(size[0]), int(size[1])),
            resize_mode=settings["resize_mode"] or "shortest",
            interpolation=settings["interpolation"] or "bicubic",
            mean=_rgb_triple(settings["mean"] or OPENAI_DATASET_MEAN),
            std=_rgb_triple(settings["std"] or OPENAI_DATASET_STD),
            fill_color=int(settings["fill_color"] or 0),
        )


def find_checkpoint(source: ModelSource, notify: Notify) -> Checkpoint:
    """Find the configuration and weights of a model, and download them if needed; raises EmbedderError."""
    with quiet():
        if source.kind == "local":
            return _local_checkpoint(source, notify)
        return _hub_checkpoint(source, notify) if source.kind == "hub" else _listed_checkpoint(source, notify)


def _listed_checkpoint(source: ModelSource, notify: Notify) -> Checkpoint:
    assert source.arch
    assert source.tag
    config, pretrained = _architecture_config(source.arch), _pretrained_config(source.arch, source.tag)
    repo, _, name = pretrained["hf_hub"].rpartition("/")
    (weights,) = fetch(_hub_model(source, repo, [_weights_file_names(name)]), notify)
    return Checkpoint(source, _merge_configs(config, pretrained), weights)


def _hub_checkpoint(source: ModelSource, notify: Notify) -> Checkpoint:
    files = [(CONFIG_FILE,), _weights_file_names("")]
    config, weights = fetch(_hub_model(source, source.repo, files), notify)
    return Checkpoint(source, _read_config(config), weights)


def _hub_model(source: ModelSource, repo: str, required: Sequence[Sequence[str]]) -> HubModel:
    return HubModel(
        f"model {source.name}",
        repo,
        required,
        command=f"clew prepare {quote(source.name)}",
        alternative="Or name local weights: --model weights.safetensors --arch ViT-B-32. "
        "The model `builtin` needs no download.",
    )


def _local_checkpoint(source: ModelSource, notify: Notify) -> Checkpoint:
    """Find the configuration of local weights: next to them, or that of the named architecture."""
    assert source.path
    folder = source.path if source.path.is_dir() else source.path.parent
    weights = source.path if folder != source.path else _find_weights(folder)
    if not weights.is_file():
        raise EmbedderError(f"The file {weights} does not exist.")
    if source.arch is not None:
        config = _architecture_config(source.arch)
        pretrained = (
            _pretrained_config(source.arch, source.tag)
            if source.tag
            else _shared_preprocessing(source.arch, notify)
        )
        arch = "/".join(filter(None, (source.arch, source.tag)))
        return Checkpoint(source, _merge_configs(config, pretrained), weights, arch, folder)
    if (folder / CONFIG_FILE).is_file():
        return Checkpoint(source, _read_config(folder / CONFIG_FILE), weights, None, folder)
    raise EmbedderError(
        f"The architecture of {source.path} is unknown. Name it, as in --arch ViT-B-32 "
        f"(`clew models` lists all), or put its {CONFIG_FILE} into the same folder."
    )


def _find_weights(folder: Path) -> Path:
    files = sorted(path for path in folder.glob("*") if path.suffix in WEIGHTS_SUFFIXES)
    preferred = [path for path in files if path.suffix == ".safetensors"] or files
    if not preferred:
        raise EmbedderError(f"{folder} contains no weights (no {', '.join(WEIGHTS_SUFFIXES)} file).")
    return preferred[0]


def _architecture_config(arch: str) -> dict[str, Any]:
    import open_clip

    config: dict[str, Any] | None = open_clip.get_model_config(arch)
    if config is None:
        raise EmbedderError(f"open_clip has no architecture {arch}. `clew models` lists all.")
    return config


def _pretrained_config(arch: str, tag: str) -> dict[str, Any]:
    import open_clip

    config: dict[str, Any] = open_clip.get_pretrained_cfg(arch, tag)
    if not config:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(arch)) or "none"
        _architecture_config(arch)
        raise EmbedderError(f"open_clip has no weights {tag} for {arch}. Available: {tags}.")
    return config


def _shared_preprocessing(arch: str, notify: Notify) -> dict[str, Any]:
    """Return the preprocessing and the activation that all listed weights of an architecture share."""
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(arch)
    configs = [_pretrained_config(arch, tag) for tag in tags]
    settings = [{name: config.get(name) for name in PREPROCESSING_KEYS} for config in configs]
    if any(row != settings[0] for row in settings):
        raise EmbedderError(
            f"The preprocessing of these weights is unknown, because it differs between weights of {arch}. "
            f"Name the listed weights that they derive from, as in --arch {arch}/{tags[0]}, or put their "
            f"{CONFIG_FILE} into the same folder."
        )
    quick = [tag for tag, config in zip(tags, configs, strict=True) if config.get("quick_gelu")]
    if quick and len(quick) < len(tags):
        notify(
            f"Assuming that these weights use GELU, as most weights of {arch} do. If they derive from "
            f"{quick[0]} or other weights that use QuickGELU, add --arch {arch}/{quick[0]}."
        )
    return {**(settings[0] if settings else {}), "quick_gelu": bool(tags) and len(quick) == len(tags)}


def _merge_configs(config: dict[str, Any], pretrained: dict[str, Any]) -> dict[str, Any]:
    """Merge architecture and weights; where the weights use QuickGELU, open_clip itself only warns."""
    if pretrained.get("quick_gelu"):
        config = {**config, "quick_gelu": True}
    preprocessing = {key: pretrained[key] for key in PREPROCESSING_KEYS if pretrained.get(key) is not None}
    return {"model_cfg": config, "preprocess_cfg": preprocessing}


def _read_config(path: Path) -> dict[str, Any]:
    """Read open_clip_config.json; raises EmbedderError."""
    try:
        config = json.loads(path.read_text("utf-8"))
        model, preprocessing = config["model_cfg"], config.get("preprocess_cfg") or {}
        dict(model["vision_cfg"]), dict(model["text_cfg"]), dict(preprocessing)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise EmbedderError(f"{path} is not a configuration of an open_clip model: {error!r}.") from error
    return {"model_cfg": model, "preprocess_cfg": preprocessing}


def _weights_file_names(name: str) -> list[str]:
    """Return the possible names of weights on the hub, in open_clip's order: safetensors first."""
    name = name or "open_clip_pytorch_model.bin"
    safe = ["open_clip_model.safetensors"] if name == "open_clip_pytorch_model.bin" else []
    safe += [Path(name).with_suffix(".safetensors").name] if name.endswith((".bin", ".pth")) else []
    return [*safe, name]


def load_tokenizer(checkpoint: Checkpoint, notify: Notify) -> "SimpleTokenizer | HFTokenizer":
    """Return open_clip's tokenizer of a model, downloaded if needed; raises EmbedderError."""
    text = checkpoint.text_config
    length, options = text.get("context_length", 77), text.get("tokenizer_kwargs", {})
    name = text.get("hf_tokenizer_name")
    if not name:
        from open_clip.tokenizer import SimpleTokenizer

        return SimpleTokenizer(context_length=length, **options)

    def load(name: str) -> "HFTokenizer":
        from open_clip.tokenizer import HFTokenizer  # heavy: torch

        mode = text.get("tokenizer_mode")
        return HFTokenizer(name, context_length=length, tokenizer_mode=mode, local_files_only=True, **options)

    with quiet():
        return _load_companion(checkpoint, f"tokenizer {name}", name, TOKENIZER_FILES, load, notify)


def config_with_local_text_model(checkpoint: Checkpoint, folder: Path, notify: Notify) -> dict[str, Any]:
    """Return the configuration, with the settings of a text tower of transformers saved in `folder`.

    Raises EmbedderError.
    """
    name = checkpoint.text_config.get("hf_model_name")
    if not name:
        return checkpoint.config
    from transformers import AutoConfig

    def load(name: str) -> Any:
        return AutoConfig.from_pretrained(name, local_files_only=True)

    settings = _load_companion(checkpoint, f"text model {name}", name, ("config.json",), load, notify)
    settings.save_pretrained(folder / "transformer")
    model = dict(checkpoint.config["model_cfg"])
    model["text_cfg"] = {**model["text_cfg"], "hf_model_name": str(folder / "transformer")}
    return {**checkpoint.config, "model_cfg": model}


def fingerprint_parts(checkpoint: Checkpoint, tokenizer_signature: bytes) -> dict[str, str]:
    """Return descriptions of the parts that the fingerprint covers, in words that a person can compare."""
    with checkpoint.weights.open("rb") as file:
        weights = hashlib.file_digest(file, "sha256").hexdigest()
    model = checkpoint.config["model_cfg"]
    text = {key: value for key, value in model["text_cfg"].items() if not key.startswith("hf_model")}
    architecture = json.dumps({**model, "text_cfg": text}, sort_keys=True)
    digest = hashlib.sha256(architecture.encode()).hexdigest()
    gelu = ", QuickGELU" if model.get("quick_gelu") else ""
    name = checkpoint.source.arch or model["vision_cfg"].get("timm_model_name") or "its own"
    length = checkpoint.text_config.get("context_length", 77)
    return {
        "architecture": f"{name}{gelu}, {digest[:8]}",
        "weights": f"SHA-256 {weights}",
        "preprocessing": str(checkpoint.preprocessing),
        "tokenizer": f"{length} tokens, {hashlib.sha256(tokenizer_signature).hexdigest()[:16]}",
    }


def _load_companion(
    checkpoint: Checkpoint,
    title: str,
    name: str,
    files: Sequence[str],
    load: Callable[[str], Loaded],
    notify: Notify,
) -> Loaded:
    """Load the tokenizer or text model `name` from the checkpoint's folder, the cache, or the hub.

    `files` are patterns; the first is a file that the checkpoint's folder needs. Raises EmbedderError.
    """
    folder, main_file = checkpoint.folder, files[0]
    model = HubModel(
        title,
        name,
        required=[(main_file, "tokenizer_config.json", "config.json")],
        command=f"clew prepare {quote(checkpoint.source.name)}",
        optional=files,
        alternative="" if folder is None else f"Or put its {main_file} into {folder}.",
    )
    try:
        if folder is not None and (folder / main_file).is_file():
            return load(str(folder))
        if Path(name).is_dir():
            return load(name)
        if cached := cached_file(name, model.required[0]):
            with suppress(Exception):  # not complete
                return load(str(cached.parent))
        return load(str(download(model, notify)[0].parent))
    except EmbedderError:
        raise
    except Exception as error:  # of any library that reads the files
        raise model.error(first_line(error)) from error


def _rgb_triple(values: Any) -> tuple[float, float, float]:
    red, green, blue = map(float, values)
    return red, green, blue

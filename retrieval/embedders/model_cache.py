"""Prepared models: one folder each in the cache, with all files that are needed to run them offline.

open_clip_config.json     architecture and preprocessing, in open_clip's format
open_clip_model.*         a link to the weights
tokenizer.json            in the format of the library `tokenizers`
text.onnx                 the text tower, for queries without torch
int8.image.onnx ...       the image tower, in the precision that is the fastest on some machine
recipe.json               the manifest
choices.json              the precision chosen for each machine and device
"""

import json
import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrieval.embedders.model_name import ModelSource
from retrieval.embedders.preprocessing import Preprocessing
from retrieval.embedders.tokenizer import TokenTemplate
from retrieval.system import model_cache_folder, processor_description

MANIFEST_FILE, CHOICES_FILE = "recipe.json", "choices.json"
TEXT_TOWER_FILE, IMAGE_TOWER_FILE, TOKENIZER_FILE = "text.onnx", "image.onnx", "tokenizer.json"
EXPORTED_IMAGE_TOWERS = {
    "int8": f"int8.{IMAGE_TOWER_FILE}",
    "onnx float32": f"float32.{IMAGE_TOWER_FILE}",
}  # precision -> image tower
COMPANION_FILES = ("open_clip_config.json", "tokenizer.json", "tokenizer_config.json", "config.json")


@dataclass(frozen=True, slots=True)
class ModelManifest:
    """Description of a prepared model; its fields are the keys of recipe.json."""

    name: str
    arch: str | None
    fingerprint: str
    parts: dict[str, str]  # covered by the fingerprint, in words that a person can compare
    dim: int
    preprocessing: Preprocessing
    frame: TokenTemplate
    weights: str  # path of the file
    size: int  # of the weights in bytes, when they were hashed
    mtime: int  # of the weights in nanoseconds
    near: str | None  # folder of local weights
    beside: str  # files_fingerprint of that folder
    cut: bool  # True if padding may be trimmed to the longest text of a batch
    logit_scale: float
    logit_bias: float | None


@dataclass(frozen=True, slots=True)
class PrecisionChoice:
    """The precision chosen for a device of a machine."""

    device: str
    precision: str
    rates: dict[str, float]  # measured images/s, by precision
    cosine: float  # the smallest to float32
    hardware: str = ""  # name of the accelerator
    torch_precision: str = ""  # the fastest accurate one on torch; empty in choices of older versions

    @property
    def torch_speedup(self) -> float:
        """Return how much faster images are embedded on torch than by the exported tower."""
        return self._speedup_over(self.precision)

    @property
    def torch_text_speedup(self) -> float:
        """Return how much faster texts are embedded on torch; their exported tower is in float32."""
        return self._speedup_over("float32")

    def _speedup_over(self, precision: str) -> float:
        return self.rates.get(self.torch_precision, 0.0) / self.rates.get(precision, math.inf)

    def __str__(self) -> str:
        if len(self.rates) < 2:
            return f"{self.precision} on {self.device}"
        tried = ", ".join(f"{name} {rate:,.0f}" for name, rate in self.rates.items())
        return f"{self.precision} on {self.device} (images/s measured here: {tried})"


@dataclass(frozen=True, slots=True)
class PreparedModel:
    """A prepared model's folder."""

    folder: Path
    manifest: ModelManifest

    @property
    def weights_present(self) -> bool:
        """Return True if the weights exist and have not changed."""
        path = Path(self.manifest.weights)
        if not path.is_file():
            return False
        stat = path.stat()
        return (stat.st_size, stat.st_mtime_ns) == (self.manifest.size, self.manifest.mtime)

    @property
    def up_to_date(self) -> bool:
        """Return True if neither the weights nor the files next to local weights have changed."""
        near = self.manifest.near
        return self.weights_present and (
            near is None or files_fingerprint(Path(near)) == self.manifest.beside
        )

    def choice(self, device: str) -> PrecisionChoice | None:
        """Return the choice for a device of this machine, or None if its image tower is missing."""
        choice = self.choices().get(machine_key(device))
        if choice is None or choice.precision not in EXPORTED_IMAGE_TOWERS:
            return choice
        return choice if (self.folder / EXPORTED_IMAGE_TOWERS[choice.precision]).is_file() else None

    def choices(self) -> dict[str, PrecisionChoice]:
        """Return all valid choices, by machine_key."""
        choices = {}
        for key, fields in _read_json_object(self.folder / CHOICES_FILE).items():
            with suppress(TypeError):  # a choice of another version
                choices[key] = PrecisionChoice(**fields)
        return choices


def machine_key(device: str) -> str:
    """Return the key of a choice: a device of this machine."""
    return f"{device}; {processor_description()}"


def model_folder(fingerprint: str) -> Path:
    """Return the folder of the prepared model of this fingerprint."""
    return model_cache_folder() / fingerprint[:24]


def find_by_fingerprint(fingerprint: str) -> PreparedModel | None:
    """Return the prepared model of this fingerprint."""
    model = _load_prepared(model_folder(fingerprint))
    return model if model is not None and model.manifest.fingerprint == fingerprint else None


def find_by_source(source: ModelSource) -> PreparedModel | None:
    """Return the model prepared from this source, if its files have not changed."""
    arch = "/".join(filter(None, (source.arch, source.tag)))
    for model in prepared_models():
        manifest = model.manifest
        if manifest.name == source.name and (not arch or manifest.arch == arch) and model.up_to_date:
            return model
    return None


def files_fingerprint(folder: Path) -> str:
    """Return name, size and mtime of each companion file in a folder."""
    stats = [(name, (folder / name).stat()) for name in COMPANION_FILES if (folder / name).is_file()]
    return " ".join(f"{name}:{stat.st_size}:{stat.st_mtime_ns}" for name, stat in stats)


def prepared_models() -> Iterator[PreparedModel]:
    """Yield the prepared models of this machine."""
    for folder in sorted(model_cache_folder().glob("*")):
        if (model := _load_prepared(folder)) is not None:
            yield model


def _load_prepared(folder: Path) -> PreparedModel | None:
    fields = _read_json_object(folder / MANIFEST_FILE)
    try:
        preprocessing = Preprocessing(**_lists_to_tuples(fields["preprocessing"]))
        template = TokenTemplate(**_lists_to_tuples(fields["frame"]))
        manifest = ModelManifest(**{**fields, "preprocessing": preprocessing, "frame": template})
    except (TypeError, KeyError, AttributeError):  # none, or one of another version, which is prepared again
        return None
    return PreparedModel(folder, manifest)


def _read_json_object(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file, empty if there is none."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _lists_to_tuples(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields with tuples in place of JSON's lists."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}

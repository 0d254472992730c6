"""Prepared models: in the cache a folder each, with all that is needed to run them without a hub.

open_clip_config.json     architecture and preprocessing, as open_clip writes them
open_clip_model.*         a link to the weights
tokenizer.json            as `tokenizers` reads it
text.onnx                 the text tower, for queries without torch
int8.image.onnx ...       the image tower, where onnxruntime is the fastest on some machine
recipe.json               what all of these are
choices.json              the precision chosen on each machine and device
"""

import json
from collections.abc import Iterator
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
    """What a prepared model is. `parts` are what its fingerprint covers, in words a person can compare."""

    name: str
    arch: str | None
    fingerprint: str
    parts: dict[str, str]
    dim: int
    preprocessing: Preprocessing
    frame: TokenTemplate
    weights: str  # the file, and its size and mtime when it was hashed
    size: int
    mtime: int
    near: str | None  # the folder of local weights, and what of BESIDE was there
    beside: str
    cut: bool  # whether ids may be cut where the longest text of a batch ends
    logit_scale: float
    logit_bias: float | None


@dataclass(frozen=True, slots=True)
class PrecisionChoice:
    """The precision chosen on a machine: `rates` are images/s of all that were tried, `cosine` to float32.

    `hardware` names an accelerator.
    """

    device: str
    precision: str
    rates: dict[str, float]
    cosine: float
    hardware: str = ""

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
        """Say whether its weights are where they were and as they were."""
        path = Path(self.manifest.weights)
        if not path.is_file():
            return False
        stat = path.stat()
        return (stat.st_size, stat.st_mtime_ns) == (self.manifest.size, self.manifest.mtime)

    @property
    def up_to_date(self) -> bool:
        """Say whether what lies beside local weights is as it was, too."""
        near = self.manifest.near
        return self.weights_present and (
            near is None or files_fingerprint(Path(near)) == self.manifest.beside
        )

    def choice(self, device: str) -> PrecisionChoice | None:
        """Return what was chosen on this machine and device, if it is still there."""
        found = self.choices().get(machine_key(device))
        choice = None if found is None else PrecisionChoice(**found)
        if choice is not None and choice.precision in EXPORTED_IMAGE_TOWERS:
            return choice if (self.folder / EXPORTED_IMAGE_TOWERS[choice.precision]).is_file() else None
        return choice

    def choices(self) -> dict[str, dict[str, Any]]:
        """Return all choices, by device and machine."""
        try:
            choices: dict[str, dict[str, Any]] = json.loads((self.folder / CHOICES_FILE).read_text())
        except (OSError, ValueError):
            return {}
        return choices


def machine_key(device: str) -> str:
    """Name a device of this machine, under which a choice is kept."""
    return f"{device}; {processor_description()}"


def model_folder(fingerprint: str) -> Path:
    """Return where the model of this fingerprint is, once prepared."""
    return model_cache_folder() / fingerprint[:24]


def find_by_fingerprint(fingerprint: str) -> PreparedModel | None:
    """Return the prepared model of this fingerprint."""
    found = _load_prepared(model_folder(fingerprint))
    return found if found is not None and found.manifest.fingerprint == fingerprint else None


def find_by_source(source: ModelSource) -> PreparedModel | None:
    """Return the model prepared from this source, if its weights are still the same."""
    names = (found for found in prepared_models() if found.manifest.name == source.name)
    arch = "/".join(filter(None, (source.arch, source.tag)))
    return next((f for f in names if f.up_to_date and (not arch or f.manifest.arch == arch)), None)


def files_fingerprint(folder: Path) -> str:
    """Return size and time of each of BESIDE in a folder."""
    stats = [(name, (folder / name).stat()) for name in COMPANION_FILES if (folder / name).is_file()]
    return " ".join(f"{name}:{stat.st_size}:{stat.st_mtime_ns}" for name, stat in stats)


def prepared_models() -> Iterator[PreparedModel]:
    """Yield what is prepared."""
    for folder in sorted(model_cache_folder().glob("*")):
        if (found := _load_prepared(folder)) is not None:
            yield found


def _load_prepared(folder: Path) -> PreparedModel | None:
    try:
        fields = json.loads((folder / MANIFEST_FILE).read_text("utf-8"))
        looks, frame = _lists_to_tuples(fields["preprocessing"]), _lists_to_tuples(fields["frame"])
        fields |= {"preprocessing": Preprocessing(**looks), "frame": TokenTemplate(**frame)}
        return PreparedModel(folder, ModelManifest(**fields))
    except (OSError, ValueError, TypeError, KeyError):  # none, or of another clew: it is made again
        return None


def _lists_to_tuples(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields with tuples for the lists that JSON made of them."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}

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

from retrieval.embedders.model_name import Source
from retrieval.embedders.preprocessing import Preprocessing
from retrieval.embedders.tokenizer import Frame
from retrieval.system import model_cache, processor

RECIPE, CHOICES = "recipe.json", "choices.json"
TEXT, IMAGE, TOKENIZER = "text.onnx", "image.onnx", "tokenizer.json"
EXPORTED = {"int8": f"int8.{IMAGE}", "onnx float32": f"float32.{IMAGE}"}  # precision -> image tower
BESIDE = ("open_clip_config.json", "tokenizer.json", "tokenizer_config.json", "config.json")


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a prepared model is. `parts` are what its fingerprint covers, in words a person can compare."""

    name: str
    arch: str | None
    fingerprint: str
    parts: dict[str, str]
    dim: int
    preprocessing: Preprocessing
    frame: Frame
    weights: str  # the file, and its size and mtime when it was hashed
    size: int
    mtime: int
    near: str | None  # the folder of local weights, and what of BESIDE was there
    beside: str
    cut: bool  # whether ids may be cut where the longest text of a batch ends
    logit_scale: float
    logit_bias: float | None


@dataclass(frozen=True, slots=True)
class Choice:
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
class Prepared:
    """A prepared model's folder."""

    folder: Path
    recipe: Recipe

    @property
    def whole(self) -> bool:
        """Say whether its weights are where they were and as they were."""
        path = Path(self.recipe.weights)
        if not path.is_file():
            return False
        stat = path.stat()
        return (stat.st_size, stat.st_mtime_ns) == (self.recipe.size, self.recipe.mtime)

    @property
    def current(self) -> bool:
        """Say whether what lies beside local weights is as it was, too."""
        near = self.recipe.near
        return self.whole and (near is None or stamp(Path(near)) == self.recipe.beside)

    def choice(self, device: str) -> Choice | None:
        """Return what was chosen on this machine and device, if it is still there."""
        found = self.choices().get(here(device))
        choice = None if found is None else Choice(**found)
        if choice is not None and choice.precision in EXPORTED:
            return choice if (self.folder / EXPORTED[choice.precision]).is_file() else None
        return choice

    def choices(self) -> dict[str, dict[str, Any]]:
        """Return all choices, by device and machine."""
        try:
            choices: dict[str, dict[str, Any]] = json.loads((self.folder / CHOICES).read_text())
        except (OSError, ValueError):
            return {}
        return choices


def here(device: str) -> str:
    """Name a device of this machine, under which a choice is kept."""
    return f"{device}; {processor()}"


def folder_of(fingerprint: str) -> Path:
    """Return where the model of this fingerprint is, once prepared."""
    return model_cache() / fingerprint[:24]


def find(fingerprint: str) -> Prepared | None:
    """Return the prepared model of this fingerprint."""
    found = _read(folder_of(fingerprint))
    return found if found is not None and found.recipe.fingerprint == fingerprint else None


def find_source(source: Source) -> Prepared | None:
    """Return the model prepared from this source, if its weights are still the same."""
    names = (found for found in every() if found.recipe.name == source.name)
    arch = "/".join(filter(None, (source.arch, source.tag)))
    return next((f for f in names if f.current and (not arch or f.recipe.arch == arch)), None)


def stamp(folder: Path) -> str:
    """Return size and time of each of BESIDE in a folder."""
    stats = [(name, (folder / name).stat()) for name in BESIDE if (folder / name).is_file()]
    return " ".join(f"{name}:{stat.st_size}:{stat.st_mtime_ns}" for name, stat in stats)


def every() -> Iterator[Prepared]:
    """Yield what is prepared."""
    for folder in sorted(model_cache().glob("*")):
        if (found := _read(folder)) is not None:
            yield found


def _read(folder: Path) -> Prepared | None:
    try:
        fields = json.loads((folder / RECIPE).read_text("utf-8"))
        looks, frame = _tuples(fields["preprocessing"]), _tuples(fields["frame"])
        fields |= {"preprocessing": Preprocessing(**looks), "frame": Frame(**frame)}
        return Prepared(folder, Recipe(**fields))
    except (OSError, ValueError, TypeError, KeyError):  # none, or of another clew: it is made again
        return None


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields with tuples for the lists that JSON made of them."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}

"""Names of models, and the sources that they refer to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from retrieval.errors import EmbedderError
from retrieval.system import expand_user

HUB_PREFIX = "hf-hub:"
WEIGHTS_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Source of a model."""

    name: str  # as libraries store it
    kind: Literal["builtin", "listed", "hub", "local"]
    arch: str | None = None  # open_clip's name of the architecture
    tag: str | None = None  # listed weights; local weights use their preprocessing
    path: Path | None = None  # of local weights, or their folder

    @property
    def repo(self) -> str:
        """Return the repository of a model of the hub."""
        return self.name.removeprefix(HUB_PREFIX)


def parse_model_name(name: str, arch: str | None = None) -> ModelSource:
    """Parse the name of a model; raises EmbedderError.

    Names are `builtin`, ARCH/TAG as listed by open_clip, `hf-hub:ORG/REPO`, or a local checkpoint: a file
    of weights with `arch`, or a folder with open_clip_config.json.
    """
    if name == "builtin":
        return ModelSource(name, "builtin")
    if name.startswith(HUB_PREFIX):
        if name.count("/") != 1:
            raise EmbedderError(f"Invalid repository {name!r}. Use hf-hub:ORG/REPO.")
        return ModelSource(name, "hub")
    if name.endswith(WEIGHTS_SUFFIXES) or name.startswith(("/", "./", "../", "~")) or name in (".", ".."):
        try:
            path = expand_user(name).absolute()
        except RuntimeError as error:
            raise EmbedderError(f"The home folder of {name} does not exist.") from error
        architecture, _, tag = (arch or "").partition("/")
        return ModelSource(str(path), "local", architecture or None, tag or None, path)
    architecture, _, tag = name.partition("/")
    if architecture and tag and "/" not in tag:
        return ModelSource(name, "listed", architecture, tag)
    raise EmbedderError(
        f"Model {name!r} not found. Use `builtin`, ARCH/WEIGHTS as listed by `clew models` "
        "(ViT-B-32/datacomp_xl_s13b_b90k), hf-hub:ORG/REPO, or a file of weights with --arch."
    )

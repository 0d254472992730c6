"""What the name of a model says: where it comes from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from retrieval.errors import EmbedderError

HUB_PREFIX = "hf-hub:"
WEIGHTS_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a model comes from; `name` is what a library remembers.

    `arch` is open_clip's name of the architecture; where it is given as ARCH/TAG, `tag` says whose
    preprocessing local weights want.
    """

    name: str
    kind: Literal["builtin", "listed", "hub", "local"]
    arch: str | None = None
    tag: str | None = None
    path: Path | None = None

    @property
    def repo(self) -> str:
        """Return the repository of a model on the hub."""
        return self.name.removeprefix(HUB_PREFIX)


def parse_model_name(name: str, arch: str | None = None) -> ModelSource:
    """Read the name of a model; raises EmbedderError where it can be none.

    `builtin`, ARCH/TAG as open_clip lists them, `hf-hub:ORG/REPO`, or a local checkpoint: a file of
    weights with `arch`, or a folder with open_clip_config.json.
    """
    if name == "builtin":
        return ModelSource(name, "builtin")
    if name.startswith(HUB_PREFIX):
        if name.count("/") != 1:
            raise EmbedderError(f"{name} is no repository; write hf-hub:ORG/REPO.")
        return ModelSource(name, "hub")
    if name.endswith(WEIGHTS_SUFFIXES) or name.startswith(("/", "./", "../", "~")) or name in (".", ".."):
        try:
            path = Path(name).expanduser().absolute()
        except RuntimeError as error:
            raise EmbedderError(f"There is no home folder for {name}.") from error
        kind, _, tag = (arch or "").partition("/")
        return ModelSource(str(path), "local", kind or None, tag or None, path)
    kind, _, tag = name.partition("/")
    if kind and tag and "/" not in tag:
        return ModelSource(name, "listed", kind, tag)
    raise EmbedderError(
        f"There is no model called {name}. A model is `builtin`, ARCH/WEIGHTS as `clew models` lists them "
        "(ViT-B-32/datacomp_xl_s13b_b90k), hf-hub:ORG/REPO, or a file of weights with --arch."
    )

"""Name what sounds with a CLAP model, by transformers: the words whose sound a window is most like."""

import json
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from logging import CRITICAL
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from indexer.hearing import RATE, WINDOW, Heard, version
from indexer.hub import cached, unreachable
from indexer.sound_names import NAMES, TEMPLATE, UNSAID
from indexer.sounds import Samples
from retrieval.errors import EmbedderError

USUAL = "laion/clap-htsat-unfused"
SURE = 0.1  # least probability of a word among all of them; one in three hundred is chance
MOST = 3  # words for a window
BATCH = 8  # windows embedded at once, of some tens of megabytes each
TEXTS = 32  # names embedded at once
NEEDED = (  # one of each
    ("config.json",),
    ("preprocessor_config.json", "processor_config.json"),
    ("tokenizer.json", "vocab.json"),
    (
        "model.safetensors",
        "pytorch_model.bin",
        "model.safetensors.index.json",
        "pytorch_model.bin.index.json",
    ),
)
BESIDE = ("tokenizer_config.json", "special_tokens_map.json", "merges.txt")  # where there are such

Rows = NDArray[np.float32]


class Clap:
    """A CLAP model: a folder that transformers has saved, or a name that is fetched from the hub."""

    def __init__(self, model: str) -> None:
        """Load the model; raises EmbedderError, which says what to do."""
        self.name = version(model)
        self._model, self._hear, self._read = _load(model)
        self._texts = np.concatenate([self._embed_names(at) for at in range(0, len(NAMES), TEXTS)])

    def listen(self, windows: Sequence[Samples]) -> list[list[Heard]]:
        """Return the names that each window is surely a sound of, the surest first."""
        return [_named(row) for row in self.probabilities(windows)]

    def probabilities(self, windows: Sequence[Samples]) -> Rows:
        """Return how probable each of NAMES is for each window, (n, names): the model's own softmax."""
        batches = [windows[at : at + BATCH] for at in range(0, len(windows), BATCH)]
        rows = np.concatenate([self._embed_windows(batch) for batch in batches])
        logits = np.exp(self._model.logit_scale_a.item()) * (rows @ self._texts.T)
        chances = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(chances / chances.sum(axis=1, keepdims=True), np.float32)

    def _embed_windows(self, windows: Sequence[Samples]) -> Rows:
        import torch

        given = self._hear(list(windows), sampling_rate=RATE, return_tensors="pt")["input_features"]
        # The extractor takes a window by chance for one that is longer than it is; none is.
        longer = torch.zeros(len(windows), 1, dtype=torch.bool)
        with torch.inference_mode():
            return _rows(self._model.get_audio_features(input_features=given.float(), is_longer=longer))

    def _embed_names(self, at: int) -> Rows:
        import torch

        texts = [TEMPLATE.format(name) for name in NAMES[at : at + TEXTS]]
        read = self._read(texts, padding=True, return_tensors="pt")
        with torch.inference_mode():
            return _rows(
                self._model.get_text_features(
                    input_ids=read["input_ids"], attention_mask=read["attention_mask"]
                )
            )


def _named(row: Rows) -> list[Heard]:
    best = np.argsort(-row, kind="stable")[:MOST]
    found = [Heard(NAMES[at], float(row[at])) for at in best if row[at] >= SURE]
    return [heard for heard in found if heard.word not in UNSAID]


def _rows(made: Any) -> Rows:
    """Return embeddings, (n, d), of length 1; newer transformers have them in a record."""
    return np.asarray(getattr(made, "pooler_output", made).numpy(), np.float32)


def _load(model: str) -> tuple[Any, Callable[..., Any], Callable[..., Any]]:
    """Return a model, its extractor of features and its tokenizer."""
    folder = Path(model) if Path(model).is_dir() else _fetched(model)
    _check(model, folder)
    with _silence():
        try:
            from transformers import ClapModel, ClapProcessor

            how: dict[str, Any] = {"local_files_only": True, "output_loading_info": True}
            made, told = cast(Any, ClapModel).from_pretrained(folder, **how)
            processor: Any = ClapProcessor.from_pretrained(folder, local_files_only=True)
        except Exception as error:  # of whichever library reads the files
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise _unusable(model, lines[0]) from error
    extractor = processor.feature_extractor
    lacking = set(told["missing_keys"]) & {name for name, _ in made.named_parameters()}
    if lacking:
        raise _unusable(model, f"its weights lack {min(lacking)}")
    if extractor.sampling_rate != RATE or extractor.nb_max_samples < WINDOW * RATE:
        raise _unusable(model, f"it does not take {WINDOW} seconds of {RATE:,} samples each")
    return made.float().eval(), extractor, processor.tokenizer


def _check(model: str, folder: Path) -> None:
    """Raise EmbedderError, with what is missing, unless a folder holds a CLAP model."""
    for names in NEEDED:
        if not any((folder / name).is_file() for name in names):
            raise _unusable(model, f"its folder holds no {' or '.join(names[:2])}")
    try:
        kind = json.loads((folder / "config.json").read_text("utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise _unusable(model, "its config.json is damaged") from error
    if kind != "clap":
        raise _unusable(model, f"its config.json tells of a model of the type {kind}, not clap")


def _fetched(model: str) -> Path:
    """Return the folder of a model of the hub: in its cache, else fetched."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", model):
        raise EmbedderError(f"There is no sound model {model}; a name is as {USUAL}, else give a folder.")
    there = [cached(model, names) for names in NEEDED]
    if None in there and (reason := unreachable(model, ("config.json",))):
        raise _unusable(model, reason)
    if None not in there:
        return Path(str(there[0])).parent
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    with _silence():
        try:
            for names in (*NEEDED, *((name,) for name in BESIDE)):
                for name in names:
                    try:
                        config = Path(hf_hub_download(model, name))
                        break
                    except EntryNotFoundError:
                        continue
        except Exception as error:  # of whichever library speaks to the hub
            raise _unusable(model, str(error).strip().splitlines()[0]) from error
    return config.parent


@contextmanager
def _silence() -> Iterator[None]:
    """Keep the warnings and the bars of transformers and of the hub off the terminal."""
    from transformers import utils

    logging: Any = utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.set_verbosity(CRITICAL)
        logging.disable_progress_bar()
        try:
            yield
        finally:
            logging.set_verbosity(level)
            if bars:
                logging.enable_progress_bar()


def _unusable(model: str, reason: str) -> EmbedderError:
    return EmbedderError(
        f"The sound model {model} cannot be used: {reason.rstrip('.')}. Nothing else needs it; sounds and "
        "videos wait to be heard. Where there is a network (and HF_HUB_OFFLINE is not set), `clew index "
        f"--sound-model {USUAL}` fetches one (615 MB) into the hub's cache. Or give a folder as transformers "
        "saves a CLAP model: config.json, model.safetensors, preprocessor_config.json, tokenizer.json."
    )

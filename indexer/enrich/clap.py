"""Name what sounds with a CLAP model, by transformers: the words whose sound a window is most like."""

import hashlib
import json
import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from logging import CRITICAL
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from indexer.decode.audio.stream import Samples
from indexer.enrich.sound_events import RATE, WINDOW, Heard, version
from indexer.enrich.sound_labels import NAMES, TEMPLATE, UNSAID
from indexer.models.hub import cached, unreachable
from retrieval.errors import EmbedderError
from retrieval.system import model_cache

USUAL = "laion/clap-htsat-unfused"
SURE = 0.1  # least probability of a word among all of them; one in three hundred is chance
MOST = 3  # words for a window
BATCH = 8  # windows embedded at once, of some tens of megabytes each
TEXTS = 32  # names embedded at once
NEEDED = (  # one of each
    ("config.json",),
    ("preprocessor_config.json", "processor_config.json"),
    ("tokenizer.json", "vocab.json"),
    ("model.safetensors", "pytorch_model.bin"),
)
BESIDE = (("tokenizer_config.json",), ("special_tokens_map.json",), ("merges.txt",))  # where there are such

Rows = NDArray[np.float32]


class Clap:
    """A CLAP model: a folder that transformers has saved, or a name that is fetched from the hub."""

    def __init__(self, model: str) -> None:
        """Load the model; raises EmbedderError, which says what to do."""
        self.name = version(model)
        folder = Path(model) if Path(model).is_dir() else _fetched(model)
        self._model, self._hear, self._read = _load(model, folder)
        self._names = _kept(_memory(folder), self._embed_names)  # (names, d)

    def listen(self, windows: Sequence[Samples]) -> list[list[Heard]]:
        """Return the names that each window is surely a sound of, the surest first."""
        return [_named(row) for row in self.probabilities(windows)]

    def probabilities(self, windows: Sequence[Samples]) -> Rows:
        """Return how probable each of NAMES is for each window, (n, names): the model's own softmax."""
        batches = [windows[at : at + BATCH] for at in range(0, len(windows), BATCH)]
        rows = np.concatenate([self._embed_windows(batch) for batch in batches])
        logits = np.exp(self._model.logit_scale_a.item()) * (rows @ self._names.T)
        chances = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(chances / chances.sum(axis=1, keepdims=True), np.float32)

    def _embed_windows(self, windows: Sequence[Samples]) -> Rows:
        import torch

        given = self._hear(list(windows), sampling_rate=RATE, return_tensors="pt")["input_features"]
        given = given.float().to(self._model.device)
        # The extractor takes a window by chance for one that is longer than it is; none is.
        longer = torch.zeros(len(windows), 1, dtype=torch.bool)
        with torch.inference_mode():
            return _rows(self._model.get_audio_features(input_features=given, is_longer=longer))

    def _embed_names(self) -> Rows:
        import torch

        texts, rows = [TEMPLATE.format(name) for name in NAMES], []
        for at in range(0, len(texts), TEXTS):
            read = self._read(texts[at : at + TEXTS], padding=True, return_tensors="pt")
            given = {key: read[key].to(self._model.device) for key in ("input_ids", "attention_mask")}
            with torch.inference_mode():
                rows.append(_rows(self._model.get_text_features(**given)))
        return np.concatenate(rows)


def _named(row: Rows) -> list[Heard]:
    best = np.argsort(-row, kind="stable")[:MOST]
    found = [Heard(NAMES[at], float(row[at])) for at in best if row[at] >= SURE]
    return [heard for heard in found if heard.word not in UNSAID]


def _rows(made: Any) -> Rows:
    """Return embeddings, (n, d), of length 1; newer transformers have them in a record."""
    return np.asarray(getattr(made, "pooler_output", made).cpu().numpy(), np.float32)


def _memory(folder: Path) -> Path:
    """Return where the embedded names of these very files are kept: embedding them takes half a minute."""
    there = [(file.name, file.stat()) for file in sorted(folder.iterdir()) if file.is_file()]
    files = [(name, about.st_size, about.st_mtime_ns) for name, about in there]
    key = hashlib.sha256(repr((str(folder.resolve()), files, NAMES, TEMPLATE)).encode()).hexdigest()
    return model_cache().with_name("sounds") / f"{key[:16]}.npy"


def _kept(place: Path, make: Callable[[], Rows]) -> Rows:
    """Return what is kept in a file, else make and keep it."""
    with suppress(OSError, ValueError, EOFError):
        rows = np.load(place)
        if rows.shape[0] == len(NAMES) and rows.dtype == np.float32:
            return np.asarray(rows)
    rows = make()
    with suppress(OSError):  # it can be made again
        place.parent.mkdir(parents=True, exist_ok=True)
        draft = place.with_suffix(f".draft-{os.getpid()}.npy")
        np.save(draft, rows)
        draft.replace(place)
    return rows


def _load(model: str, folder: Path) -> tuple[Any, Callable[..., Any], Callable[..., Any]]:
    """Return a model, its extractor of features and its tokenizer."""
    _check(model, folder)
    with _silence():
        try:
            import torch
            from transformers import ClapModel, ClapProcessor

            how: dict[str, Any] = {"local_files_only": True, "output_loading_info": True}
            made, told = cast(Any, ClapModel).from_pretrained(folder, **how)
            processor: Any = ClapProcessor.from_pretrained(folder, local_files_only=True)
        except Exception as error:  # of whichever library reads the files
            raise _unusable(model, _first_line(error)) from error
    extractor = processor.feature_extractor
    lacking = set(told["missing_keys"]) & {name for name, _ in made.named_parameters()}
    if lacking:
        raise _unusable(model, f"its weights lack {min(lacking)}")
    if extractor.sampling_rate != RATE or extractor.nb_max_samples < WINDOW * RATE:
        raise _unusable(model, f"it does not take {WINDOW} seconds of {RATE:,} samples each")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return made.float().eval().to(device), extractor, processor.tokenizer


def _check(model: str, folder: Path) -> None:
    """Raise EmbedderError, with what is missing, unless a folder holds a CLAP model."""
    for names in NEEDED:
        if not any((folder / name).is_file() for name in names):
            raise _unusable(model, f"its folder holds no {' or '.join(names)}")
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
    if None not in there:
        return Path(str(there[0])).parent
    if reason := unreachable(model, ("config.json",)):
        raise _unusable(model, reason)
    try:
        with _silence():
            places = [_download(model, names) for names in (*BESIDE, *NEEDED)]  # the weights come last
    except Exception as error:  # of whichever library speaks to the hub
        raise _unusable(model, _first_line(error)) from error
    return next(place.parent for place in places if place is not None)


def _download(model: str, names: Sequence[str]) -> Path | None:
    """Fetch the first of these files that a model of the hub has."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    for name in names:
        with suppress(EntryNotFoundError):
            return Path(hf_hub_download(model, name))
    return None


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


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _unusable(model: str, reason: str) -> EmbedderError:
    return EmbedderError(
        f"The sound model {model} cannot be used: {reason.rstrip('.')}. Nothing else needs it; sounds and "
        "videos wait to be heard. Where there is a network (and HF_HUB_OFFLINE is not set), `clew index "
        f"--sound-model {USUAL}` fetches one (615 MB) into the hub's cache. Or give a folder as transformers "
        "saves a CLAP model: config.json, model.safetensors, preprocessor_config.json, tokenizer.json."
    )

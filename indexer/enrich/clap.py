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
from indexer.enrich.sound_events import SAMPLE_RATE, WINDOW_SECONDS, SoundLabel, analysis_version
from indexer.enrich.sound_labels import PROMPT_TEMPLATE, SOUND_LABELS, UNREPORTED_LABELS
from indexer.models.hub import cached_file, unreachable_reason
from retrieval.errors import EmbedderError, first_line
from retrieval.system import model_cache_folder

DEFAULT_MODEL = "laion/clap-htsat-unfused"
MIN_PROBABILITY = 0.1  # least probability of a word among all of them; one in three hundred is chance
MAX_LABELS_PER_WINDOW = 3  # words for a window
WINDOW_BATCH_SIZE = 8  # windows embedded at once, of some tens of megabytes each
TEXT_BATCH_SIZE = 32  # names embedded at once
REQUIRED_FILES = (  # one of each
    ("config.json",),
    ("preprocessor_config.json", "processor_config.json"),
    ("tokenizer.json", "vocab.json"),
    ("model.safetensors", "pytorch_model.bin"),
)
OPTIONAL_FILES = (
    ("tokenizer_config.json",),
    ("special_tokens_map.json",),
    ("merges.txt",),
)  # where there are such

FloatArray = NDArray[np.float32]


class Clap:
    """A CLAP model: a folder that transformers has saved, or a name that is fetched from the hub."""

    def __init__(self, model: str) -> None:
        """Load the model; raises EmbedderError, which says what to do."""
        self.name = analysis_version(model)
        folder = Path(model) if Path(model).is_dir() else _hub_model_folder(model)
        self._model, self._feature_extractor, self._tokenizer = _load(model, folder)
        self._label_vectors = _load_or_compute(_label_cache_path(folder), self._embed_labels)  # (names, d)

    def classify(self, windows: Sequence[Samples]) -> list[list[SoundLabel]]:
        """Return the names that each window is surely a sound of, the surest first."""
        return [_top_labels(row) for row in self.probabilities(windows)]

    def probabilities(self, windows: Sequence[Samples]) -> FloatArray:
        """Return how probable each of NAMES is for each window, (n, names): the model's own softmax."""
        batches = [windows[at : at + WINDOW_BATCH_SIZE] for at in range(0, len(windows), WINDOW_BATCH_SIZE)]
        rows = np.concatenate([self._embed_windows(batch) for batch in batches])
        logits = np.exp(self._model.logit_scale_a.item()) * (rows @ self._label_vectors.T)
        chances = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(chances / chances.sum(axis=1, keepdims=True), np.float32)

    def _embed_windows(self, windows: Sequence[Samples]) -> FloatArray:
        import torch

        given = self._feature_extractor(list(windows), sampling_rate=SAMPLE_RATE, return_tensors="pt")[
            "input_features"
        ]
        given = given.float().to(self._model.device)
        # The extractor takes a window by chance for one that is longer than it is; none is.
        longer = torch.zeros(len(windows), 1, dtype=torch.bool)
        with torch.inference_mode():
            return _pooled_embeddings(self._model.get_audio_features(input_features=given, is_longer=longer))

    def _embed_labels(self) -> FloatArray:
        import torch

        texts, rows = [PROMPT_TEMPLATE.format(name) for name in SOUND_LABELS], []
        for at in range(0, len(texts), TEXT_BATCH_SIZE):
            read = self._tokenizer(texts[at : at + TEXT_BATCH_SIZE], padding=True, return_tensors="pt")
            given = {key: read[key].to(self._model.device) for key in ("input_ids", "attention_mask")}
            with torch.inference_mode():
                rows.append(_pooled_embeddings(self._model.get_text_features(**given)))
        return np.concatenate(rows)


def _top_labels(row: FloatArray) -> list[SoundLabel]:
    best = np.argsort(-row, kind="stable")[:MAX_LABELS_PER_WINDOW]
    found = [SoundLabel(SOUND_LABELS[at], float(row[at])) for at in best if row[at] >= MIN_PROBABILITY]
    return [heard for heard in found if heard.name not in UNREPORTED_LABELS]


def _pooled_embeddings(output: Any) -> FloatArray:
    """Return embeddings, (n, d), of length 1; newer transformers have them in a record."""
    return np.asarray(getattr(output, "pooler_output", output).cpu().numpy(), np.float32)


def _label_cache_path(folder: Path) -> Path:
    """Return where the embedded names of these very files are kept: embedding them takes half a minute."""
    there = [(file.name, file.stat()) for file in sorted(folder.iterdir()) if file.is_file()]
    files = [(name, about.st_size, about.st_mtime_ns) for name, about in there]
    key = hashlib.sha256(
        repr((str(folder.resolve()), files, SOUND_LABELS, PROMPT_TEMPLATE)).encode()
    ).hexdigest()
    return model_cache_folder().with_name("sounds") / f"{key[:16]}.npy"


def _load_or_compute(path: Path, compute: Callable[[], FloatArray]) -> FloatArray:
    """Return what is kept in a file, else make and keep it."""
    with suppress(OSError, ValueError, EOFError):
        rows = np.load(path)
        if rows.shape[0] == len(SOUND_LABELS) and rows.dtype == np.float32:
            return np.asarray(rows)
    rows = compute()
    with suppress(OSError):  # it can be made again
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(f".draft-{os.getpid()}.npy")
        np.save(draft, rows)
        draft.replace(path)
    return rows


def _load(model: str, folder: Path) -> tuple[Any, Callable[..., Any], Callable[..., Any]]:
    """Return a model, its extractor of features and its tokenizer."""
    _check_model_files(model, folder)
    with _suppress_output():
        try:
            import torch
            from transformers import ClapModel, ClapProcessor

            how: dict[str, Any] = {"local_files_only": True, "output_loading_info": True}
            made, told = cast(Any, ClapModel).from_pretrained(folder, **how)
            processor: Any = ClapProcessor.from_pretrained(folder, local_files_only=True)
        except Exception as error:  # of whichever library reads the files
            raise _unusable_error(model, first_line(error)) from error
    extractor = processor.feature_extractor
    lacking = set(told["missing_keys"]) & {name for name, _ in made.named_parameters()}
    if lacking:
        raise _unusable_error(model, f"its weights lack {min(lacking)}")
    if extractor.sampling_rate != SAMPLE_RATE or extractor.nb_max_samples < WINDOW_SECONDS * SAMPLE_RATE:
        raise _unusable_error(
            model, f"it does not take {WINDOW_SECONDS} seconds of {SAMPLE_RATE:,} samples each"
        )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return made.float().eval().to(device), extractor, processor.tokenizer


def _check_model_files(model: str, folder: Path) -> None:
    """Raise EmbedderError, with what is missing, unless a folder holds a CLAP model."""
    for names in REQUIRED_FILES:
        if not any((folder / name).is_file() for name in names):
            raise _unusable_error(model, f"its folder holds no {' or '.join(names)}")
    try:
        kind = json.loads((folder / "config.json").read_text("utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise _unusable_error(model, "its config.json is damaged") from error
    if kind != "clap":
        raise _unusable_error(model, f"its config.json tells of a model of the type {kind}, not clap")


def _hub_model_folder(model: str) -> Path:
    """Return the folder of a model of the hub: in its cache, else fetched."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", model):
        raise EmbedderError(
            f"There is no sound model {model}; a name is as {DEFAULT_MODEL}, else give a folder."
        )
    there = [cached_file(model, names) for names in REQUIRED_FILES]
    if None not in there:
        return Path(str(there[0])).parent
    if reason := unreachable_reason(model, ("config.json",)):
        raise _unusable_error(model, reason)
    try:
        with _suppress_output():
            places = [
                _download(model, names) for names in (*OPTIONAL_FILES, *REQUIRED_FILES)
            ]  # the weights come last
    except Exception as error:  # of whichever library speaks to the hub
        raise _unusable_error(model, first_line(error)) from error
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
def _suppress_output() -> Iterator[None]:
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


def _unusable_error(model: str, reason: str) -> EmbedderError:
    return EmbedderError(
        f"The sound model {model} cannot be used: {reason}. Nothing else needs it; sounds and "
        "videos wait to be heard. Where there is a network (and HF_HUB_OFFLINE is not set), `clew index "
        f"--sound-model {DEFAULT_MODEL}` fetches one (615 MB) into the hub's cache. Or give a folder "
        f"as transformers "
        "saves a CLAP model: config.json, model.safetensors, preprocessor_config.json, tokenizer.json."
    )

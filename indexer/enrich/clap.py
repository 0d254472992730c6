"""Classify sound events with a CLAP model, by transformers: the labels whose prompt a window matches best."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from indexer.decode.audio.stream import Samples
from indexer.enrich.sound_events import SAMPLE_RATE, WINDOW_SECONDS, SoundLabel, analysis_version
from indexer.enrich.sound_labels import PROMPT_TEMPLATE, SOUND_LABELS, UNREPORTED_LABELS
from indexer.models.hub import HubModel, fetch
from indexer.types import Notify, ignore_message
from retrieval.errors import EmbedderError, first_line
from retrieval.quiet import quiet_transformers
from retrieval.system import model_cache_folder

DEFAULT_MODEL = "laion/clap-htsat-unfused"
MIN_PROBABILITY = 0.1  # of a label among all of them; chance is one in three hundred
MAX_LABELS_PER_WINDOW = 3
WINDOW_BATCH_SIZE = 8  # windows embedded at once, of some tens of megabytes each
TEXT_BATCH_SIZE = 32  # labels embedded at once
REQUIRED_FILES = (
    ("config.json",),
    ("preprocessor_config.json", "processor_config.json"),
    ("tokenizer.json", "vocab.json"),
    ("model.safetensors", "pytorch_model.bin"),
)
OPTIONAL_FILES = ("tokenizer_config.json", "special_tokens_map.json", "merges.txt")

FloatArray = NDArray[np.float32]


class Clap:
    """A CLAP model: a folder that transformers has saved, or a repository of the hub."""

    def __init__(
        self, model: str, notify: Notify = ignore_message, *, batch_size: int = WINDOW_BATCH_SIZE
    ) -> None:
        """Load the model, downloaded if needed; raises EmbedderError."""
        self.name, self.batch_size = analysis_version(model), batch_size
        folder = Path(model) if Path(model).is_dir() else _hub_model_folder(model, notify)
        self._model, self._feature_extractor, self._tokenizer = _load(model, folder)
        self._label_vectors = _load_or_compute(_label_cache_path(folder), self._embed_labels)  # (labels, d)

    def classify(self, windows: Sequence[Samples]) -> list[list[SoundLabel]]:
        """Return the probable labels of each window, the most probable first."""
        return [_top_labels(row) for row in self.probabilities(windows)]

    def probabilities(self, windows: Sequence[Samples]) -> FloatArray:
        """Return the probability of each of SOUND_LABELS for n windows, (n, labels): the model's softmax."""
        starts = range(0, len(windows), self.batch_size)
        rows = np.concatenate([self._embed_windows(windows[at : at + self.batch_size]) for at in starts])
        logits = np.exp(self._model.logit_scale_a.item()) * (rows @ self._label_vectors.T)
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True), np.float32)

    def _embed_windows(self, windows: Sequence[Samples]) -> FloatArray:
        import torch

        extracted = self._feature_extractor(list(windows), sampling_rate=SAMPLE_RATE, return_tensors="pt")
        features = extracted["input_features"].float().to(self._model.device)
        # The extractor marks a random window as longer than the model's input, although none is.
        is_longer = torch.zeros(len(windows), 1, dtype=torch.bool)
        with torch.inference_mode():
            output = self._model.get_audio_features(input_features=features, is_longer=is_longer)
        return _pooled_embeddings(output)

    def _embed_labels(self) -> FloatArray:
        import torch

        texts, rows = [PROMPT_TEMPLATE.format(name) for name in SOUND_LABELS], []
        for at in range(0, len(texts), TEXT_BATCH_SIZE):
            tokens = self._tokenizer(texts[at : at + TEXT_BATCH_SIZE], padding=True, return_tensors="pt")
            inputs = {key: tokens[key].to(self._model.device) for key in ("input_ids", "attention_mask")}
            with torch.inference_mode():
                rows.append(_pooled_embeddings(self._model.get_text_features(**inputs)))
        return np.concatenate(rows)


def _top_labels(row: FloatArray) -> list[SoundLabel]:
    best = np.argsort(-row, kind="stable")[:MAX_LABELS_PER_WINDOW]
    labels = [SoundLabel(SOUND_LABELS[at], float(row[at])) for at in best if row[at] >= MIN_PROBABILITY]
    return [label for label in labels if label.name not in UNREPORTED_LABELS]


def _pooled_embeddings(output: Any) -> FloatArray:
    """Return unit embeddings, (n, d), which newer versions of transformers wrap in a record."""
    return np.asarray(getattr(output, "pooler_output", output).cpu().numpy(), np.float32)


def _label_cache_path(folder: Path) -> Path:
    """Return the cache file of the label vectors of these model files; computing them takes half a minute."""
    stats = [(file.name, file.stat()) for file in sorted(folder.iterdir()) if file.is_file()]
    files = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
    key = hashlib.sha256(
        repr((str(folder.resolve()), files, SOUND_LABELS, PROMPT_TEMPLATE)).encode()
    ).hexdigest()
    return model_cache_folder().with_name("sounds") / f"{key[:16]}.npy"


def _load_or_compute(path: Path, compute: Callable[[], FloatArray]) -> FloatArray:
    """Return the label vectors in a file, or compute and save them."""
    with suppress(Exception):  # NumPy parses the header as Python, and raises errors of its tokenizer too
        rows = np.load(path, allow_pickle=False)
        if rows.shape[0] == len(SOUND_LABELS) and rows.dtype == np.float32:
            return np.asarray(rows)
    rows = compute()
    with suppress(OSError):  # it is only a cache
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".tmp-{os.getpid()}.npy")
        np.save(temporary, rows)
        temporary.replace(path)
    return rows


def _load(model: str, folder: Path) -> tuple[Any, Callable[..., Any], Callable[..., Any]]:
    """Return a model, its feature extractor and its tokenizer; raises EmbedderError."""
    _check_model_files(model, folder)
    with quiet_transformers():
        try:
            import torch
            from transformers import ClapModel, ClapProcessor

            loaded, loading_info = cast(Any, ClapModel).from_pretrained(
                folder, local_files_only=True, output_loading_info=True
            )
            processor: Any = ClapProcessor.from_pretrained(folder, local_files_only=True)
        except Exception as error:  # of any library that reads the files
            raise _unusable_error(model, first_line(error)) from error
    extractor = processor.feature_extractor
    missing = set(loading_info["missing_keys"]) & {name for name, _ in loaded.named_parameters()}
    if missing:
        raise _unusable_error(model, f"its weights lack {min(missing)}")
    if extractor.sampling_rate != SAMPLE_RATE or extractor.nb_max_samples < WINDOW_SECONDS * SAMPLE_RATE:
        raise _unusable_error(
            model, f"it does not accept {WINDOW_SECONDS} seconds at {SAMPLE_RATE:,} samples/s"
        )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return loaded.float().eval().to(device), extractor, processor.tokenizer


def _check_model_files(model: str, folder: Path) -> None:
    """Raise EmbedderError unless a folder contains a CLAP model."""
    for names in REQUIRED_FILES:
        if not any((folder / name).is_file() for name in names):
            raise _unusable_error(model, f"its folder contains no {' or '.join(names)}")
    try:
        kind = json.loads((folder / "config.json").read_text("utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise _unusable_error(model, "its config.json is damaged") from error
    if kind != "clap":
        raise _unusable_error(model, f"its config.json has the model type {kind}, not clap")


def _hub_model_folder(name: str, notify: Notify = ignore_message) -> Path:
    """Return the folder of a model in the cache of the hub, downloaded if needed; raises EmbedderError."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise EmbedderError(
            f"Sound model {name!r} not found. Name a repository, such as {DEFAULT_MODEL}, or a folder."
        )
    with quiet_transformers():
        return fetch(_hub_model(name), notify)[0].parent


def _hub_model(name: str) -> HubModel:
    return HubModel(
        f"sound model {name}",
        name,
        REQUIRED_FILES,
        command=f"clew index --sound-model {DEFAULT_MODEL}",
        optional=OPTIONAL_FILES,
        alternative="Or name a folder in which transformers saved a CLAP model: config.json, "
        "model.safetensors, preprocessor_config.json, tokenizer.json. Until then, only sound events are not "
        "indexed.",
    )


def _unusable_error(name: str, reason: str) -> EmbedderError:
    return _hub_model(name).error(reason)

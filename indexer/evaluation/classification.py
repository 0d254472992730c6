"""Evaluate zero-shot classification on a folder with one subfolder per label."""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from indexer.embed.files import FileVectors, embed_files
from indexer.evaluation.measurement import MAX_CURVE_K, Measurement, round_metric
from indexer.models import resolve
from indexer.models.options import DEFAULT_MODEL_OPTIONS, ModelOptions
from indexer.scan.walker import list_files
from indexer.tag.zero_shot import (
    DEFAULT_IMAGE_WEIGHT,
    Probabilities,
    classify,
    fuse,
    label_vectors,
    logit_scale,
)
from indexer.types import FileEntry, Notify, ignore_message
from retrieval.embedders.base import Embedder
from retrieval.errors import EvaluationError
from retrieval.formatting import pluralize
from retrieval.normalization import without_surrogates
from retrieval.scoring.metrics import Ranking, hit_rate_at
from retrieval.system import expand_user
from retrieval.types import Failure, Vectors

MAX_CONFUSIONS = 5  # pairs of labels that are reported


@dataclass(frozen=True, slots=True)
class LabelMetrics:
    """Precision, recall and F1 of one label; None if its denominator is 0."""

    label: str
    count: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True, slots=True)
class Confusion:
    """Number of examples of a label that were classified as another."""

    truth: str
    said: str
    count: int


@dataclass(slots=True)
class LabeledExample:
    """An image with its captions, or a text."""

    label_index: int  # of its folder, in sorted order
    files: list[FileEntry] = field(default_factory=list)
    image_vector: Vectors | None = None
    text_vector: Vectors | None = None


@dataclass(frozen=True, slots=True)
class LabelEvaluation:
    """Metrics of a model that classifies labeled examples."""

    accuracy: float
    top5_accuracy: float | None  # None with 5 labels or fewer
    macro_f1: float
    labels: tuple[LabelMetrics, ...]
    confusions: tuple[Confusion, ...]
    space: str
    examples: int
    pictures: int
    texts: int
    weight: float
    failures: tuple[Failure, ...] = ()
    measured: Mapping[str, Measurement] = field(default_factory=dict)

    def headline(self) -> str:
        """Return a line about the data and the space."""
        parts = f"{pluralize(self.pictures, 'picture')}, {pluralize(self.texts, 'text')}"
        labels = pluralize(len(self.labels), "label")
        return f"{pluralize(self.examples, 'example')} ({parts}), {labels}, {self.space}"

    def details(self) -> list[str]:
        """Return a line per label, then the most frequent confusions."""
        width = max(5, *(len(row.label) for row in self.labels))
        lines = ["", f"{'label':{width}}  examples  precision   recall       F1"]
        for row in self.labels:
            shares = (row.precision, row.recall, row.f1)
            cells = ["-" if share is None else f"{share:.3f}" for share in shares]
            lines.append(f"{row.label:{width}}  {row.count:8,}  {cells[0]:>9}  {cells[1]:>7}  {cells[2]:>7}")
        lines.append("")
        lines += [f"{each.truth} classified as {each.said}: {each.count:,}" for each in self.confusions]
        return [*lines, *[""] * bool(self.confusions), f"{'macro F1':16}{self.macro_f1:>16.3f}"]

    def json_fields(self) -> dict[str, object]:
        """Return the fields of the JSON output."""
        keys = ("accuracy", "top5_accuracy", "macro_f1", "space", "examples", "pictures", "texts", "weight")
        rows = {
            row.label: {key: value for key, value in asdict(row).items() if key != "label"}
            for row in self.labels
        }
        confusions = [asdict(each) for each in self.confusions]
        return {**{key: getattr(self, key) for key in keys}, "labels": rows, "confusions": confusions}


def evaluate_labels(
    folder: str | Path,
    *,
    model: str = "builtin",
    options: ModelOptions = DEFAULT_MODEL_OPTIONS,
    weight: float = DEFAULT_IMAGE_WEIGHT,
    embedder: Embedder | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    notify: Notify = ignore_message,
) -> LabelEvaluation:
    """Classify the images and texts of a folder by the names of its subfolders; exactly one is correct.

    An image and its caption files are one example, in which the image has the weight `weight`: 1 ignores the
    captions, and 0 the image. `_` in a name stands for a space. Raises EvaluationError.
    """
    if not 0 <= weight <= 1:
        raise EvaluationError(f"Invalid image weight {weight}. Use a number from 0 to 1.")
    encoder = embedder or resolve.resolve_embedder(
        model, arch=options.arch, device=options.device, notify=notify
    )
    labels, examples = _read_examples(expand_user(folder).absolute())
    files = [file for example in examples for file in example.files]
    embedded, failures = embed_files(encoder, files, progress)
    used = [n for n, example in enumerate(examples) if _attach_vectors(example, embedded)]
    if not used:
        reason = failures[0].reason if failures else "they are empty"
        raise EvaluationError(f"No file of {folder} can be used: {reason}.")
    usable = [examples[n] for n in used]
    label_rows = label_vectors(encoder, [_label_text(label) for label in labels])
    probabilities = _label_probabilities(usable, label_rows, logit_scale(encoder), weight)
    truth = np.array([example.label_index for example in usable])
    measured = _measure(probabilities, truth, np.array(used))
    predicted = probabilities.argmax(axis=1)
    rows = _label_metrics(labels, truth, predicted)
    summary = measured.summary()
    return LabelEvaluation(
        accuracy=summary["accuracy"],
        top5_accuracy=summary.get("top5_accuracy"),
        macro_f1=round_metric("f1", fmean(row.f1 for row in rows if row.f1 is not None)),
        labels=rows,
        confusions=_confusions(labels, truth, predicted),
        space=encoder.name,
        examples=len(usable),
        pictures=sum(example.image_vector is not None for example in usable),
        texts=sum(example.text_vector is not None for example in usable),
        weight=weight,
        failures=tuple(failures),
        measured={"labels": measured},
    )


def _read_examples(folder: Path) -> tuple[list[str], list[LabeledExample]]:
    """Return the labels, and the examples in their folders."""
    if not folder.is_dir():
        raise EvaluationError(f"{folder} is not a folder.")
    labels = sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")
    if len(labels) < 2:
        raise EvaluationError(f"{folder} must contain one subfolder per label, and at least two.")
    root = os.fsencode(folder)
    examples: dict[bytes, LabeledExample] = {}
    for number, label in enumerate(labels):
        for entry in list_files(root, os.fsencode(label)):
            file = entry._replace(path=os.path.join(root, entry.path))
            examples.setdefault(entry.sidecar_of or entry.path, LabeledExample(number)).files.append(file)
    return labels, list(examples.values())


def _label_text(label: str) -> str:
    """Return the name of a folder as text, with invalid UTF-8 replaced."""
    return without_surrogates(label.replace("_", " "))


def _attach_vectors(example: LabeledExample, embedded: Mapping[bytes, FileVectors]) -> bool:
    """Set the vectors of an example, the mean of several texts; return False if it has none."""
    parts = [embedded[file.path] for file in example.files if file.path in embedded]
    example.image_vector = next((part.image for part in parts if part.image is not None), None)
    texts = [vector for part in parts for vector in part.texts]
    if texts:
        mean = np.mean(texts, axis=0)
        example.text_vector = mean / np.linalg.norm(mean)
    return example.image_vector is not None or example.text_vector is not None


def _label_probabilities(
    examples: Sequence[LabeledExample], label_rows: Vectors, scale: float, weight: float
) -> Probabilities:
    """Return the probabilities of the labels, (n, labels), from the image, the text, or both."""
    image_probabilities, has_image = _modality_probabilities(
        [example.image_vector for example in examples], label_rows, scale
    )
    text_probabilities, has_text = _modality_probabilities(
        [example.text_vector for example in examples], label_rows, scale
    )
    return fuse(
        image_probabilities,
        text_probabilities,
        np.where(has_image & has_text, weight, has_image)[:, None],
    )


def _modality_probabilities(
    vectors: Sequence[Vectors | None], label_rows: Vectors, scale: float
) -> tuple[Probabilities, NDArray[np.bool_]]:
    """Return the probabilities from one modality, (n, labels), and a mask of the examples that have it."""
    present = np.array([vector is not None for vector in vectors])
    probabilities = np.zeros((len(vectors), len(label_rows)))
    if present.any():
        rows = np.stack([vector for vector in vectors if vector is not None])
        probabilities[present] = classify(rows, label_rows, scale)
    return probabilities, present


def _measure(probabilities: Probabilities, truth: NDArray[np.int64], items: NDArray[np.int64]) -> Measurement:
    """Measure each example: is its label the most probable, and is it among the first five?"""
    ranking = Ranking.from_scores(probabilities, truth[:, None] == np.arange(probabilities.shape[1]))
    per_query = {"accuracy": hit_rate_at(ranking, 1)}
    if probabilities.shape[1] > 5:
        per_query["top5_accuracy"] = hit_rate_at(ranking, 5)
    curve = 100 * np.cumsum(ranking.first_relevant[:, :MAX_CURVE_K], axis=1).mean(axis=0)
    return Measurement(per_query, curve, items, items)


def _label_metrics(
    labels: Sequence[str], truth: NDArray[np.int64], predicted: NDArray[np.int64]
) -> tuple[LabelMetrics, ...]:
    rows = []
    for number, label in enumerate(labels):
        correct = int(((truth == number) & (predicted == number)).sum())
        actual, assigned = int((truth == number).sum()), int((predicted == number).sum())
        shares = (correct, assigned), (correct, actual), (2 * correct, assigned + actual)
        precision, recall, f1 = (round(part / total, 4) if total else None for part, total in shares)
        rows.append(LabelMetrics(label, actual, precision, recall, f1))
    return tuple(rows)


def _confusions(
    labels: Sequence[str], truth: NDArray[np.int64], predicted: NDArray[np.int64]
) -> tuple[Confusion, ...]:
    """Return the most frequent confusions, most frequent first."""
    wrong = truth != predicted
    pairs = Counter(zip(truth[wrong].tolist(), predicted[wrong].tolist(), strict=True))
    return tuple(Confusion(labels[a], labels[b], n) for (a, b), n in pairs.most_common(MAX_CONFUSIONS))

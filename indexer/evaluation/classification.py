"""Measure zero-shot classification on a folder of folders, each named by the label of what is in it."""

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
from retrieval.scoring.metrics import Ranking, hit_rate_at
from retrieval.types import Failure, Vectors

MAX_CONFUSIONS = 5  # pairs of labels that are taken for each other


@dataclass(frozen=True, slots=True)
class LabelMetrics:
    """How well one label is told from the others; None is of what there is nothing to count."""

    label: str
    count: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True, slots=True)
class Confusion:
    """How many examples of a label were given another."""

    truth: str
    said: str
    count: int


@dataclass(slots=True)
class LabeledExample:
    """What belongs together: a picture and its captions, or a text; `label` counts the folders."""

    label_index: int
    files: list[FileEntry] = field(default_factory=list)
    image_vector: Vectors | None = None
    text_vector: Vectors | None = None


@dataclass(frozen=True, slots=True)
class LabelEvaluation:
    """How well a model gives examples their labels; `top5_accuracy` is None up to 5 labels."""

    accuracy: float
    top5_accuracy: float | None
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
        """Say in a line what was measured."""
        parts = f"{pluralize(self.pictures, 'picture')}, {pluralize(self.texts, 'text')}"
        labels = pluralize(len(self.labels), "label")
        return f"{pluralize(self.examples, 'example')} ({parts}), {labels}, {self.space}"

    def details(self) -> list[str]:
        """Return a line a label, and what is taken for what."""
        wide = max(5, *(len(row.label) for row in self.labels))
        lines = ["", f"{'label':{wide}}  examples  precision   recall       F1"]
        for row in self.labels:
            shares = (row.precision, row.recall, row.f1)
            cells = ["-" if share is None else f"{share:.3f}" for share in shares]
            lines.append(f"{row.label:{wide}}  {row.count:8,}  {cells[0]:>9}  {cells[1]:>7}  {cells[2]:>7}")
        lines.append("")
        lines += [f"{each.truth} taken for {each.said}: {each.count:,}" for each in self.confusions]
        return [*lines, *[""] * bool(self.confusions), f"{'macro F1':16}{self.macro_f1:>16.3f}"]

    def json_fields(self) -> dict[str, object]:
        """Return the keys of its JSON."""
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
    arch: str | None = None,
    device: str | None = None,
    weight: float = DEFAULT_IMAGE_WEIGHT,
    embedder: Embedder | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    notify: Notify = ignore_message,
) -> LabelEvaluation:
    """Classify the pictures and texts of a folder by the names of its sub-folders, exactly one fits each.

    A picture and the captions beside it are one example: `weight` is that of the picture, 1 leaves the
    captions out and 0 the picture. `_` in a name is read as a space. Raises EvaluationError.
    """
    if not 0 <= weight <= 1:
        raise EvaluationError(f"The weight of pictures is {weight}; it must be from 0 to 1.")
    encoder = embedder or resolve.resolve_embedder(model, arch=arch, device=device, notify=notify)
    labels, examples = _read_examples(Path(folder).expanduser().absolute())
    files = [file for example in examples for file in example.files]
    embedded, failures = embed_files(encoder, files, progress)
    used = [n for n, example in enumerate(examples) if _attach_vectors(example, embedded)]
    if not used:
        reason = failures[0].reason if failures else "they hold nothing"
        raise EvaluationError(f"None of the files of {folder} can be used: {reason}.")
    some = [examples[n] for n in used]
    names = label_vectors(encoder, [_label_text(label) for label in labels])
    likely = _label_probabilities(some, names, logit_scale(encoder), weight)
    truth = np.array([example.label_index for example in some])
    measured = _measure(likely, truth, np.array(used))
    said = likely.argmax(axis=1)
    rows = _label_metrics(labels, truth, said)
    summary = measured.summary()
    return LabelEvaluation(
        accuracy=summary["accuracy"],
        top5_accuracy=summary.get("top5_accuracy"),
        macro_f1=round_metric("f1", fmean(row.f1 for row in rows if row.f1 is not None)),
        labels=rows,
        confusions=_confusions(labels, truth, said),
        space=encoder.name,
        examples=len(some),
        pictures=sum(example.image_vector is not None for example in some),
        texts=sum(example.text_vector is not None for example in some),
        weight=weight,
        failures=tuple(failures),
        measured={"labels": measured},
    )


def _read_examples(folder: Path) -> tuple[list[str], list[LabeledExample]]:
    """Return the labels, and what lies in their folders, captions with their picture."""
    if not folder.is_dir():
        raise EvaluationError(f"{folder} is not a folder.")
    labels = sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")
    if len(labels) < 2:
        raise EvaluationError(f"{folder} must hold a folder for each label, and at least two of them.")
    root = os.fsencode(folder)
    examples: dict[bytes, LabeledExample] = {}
    for number, label in enumerate(labels):
        for found in list_files(root, os.fsencode(label)):
            file = found._replace(path=os.path.join(root, found.path))
            examples.setdefault(found.sidecar_of or found.path, LabeledExample(number)).files.append(file)
    return labels, list(examples.values())


def _label_text(label: str) -> str:
    """Return the name of a folder as words, whatever bytes it has."""
    return label.replace("_", " ").encode("utf-8", "replace").decode()


def _attach_vectors(example: LabeledExample, embedded: Mapping[bytes, FileVectors]) -> bool:
    """Give an example the vectors of its files, of several texts their mean; False where it has none."""
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
    """Return how likely each label is for each example, by its picture, its text, or both."""
    pictures, seen = _modality_probabilities(
        [example.image_vector for example in examples], label_rows, scale
    )
    texts, read = _modality_probabilities([example.text_vector for example in examples], label_rows, scale)
    return fuse(pictures, texts, np.where(seen & read, weight, seen)[:, None])


def _modality_probabilities(
    vectors: Sequence[Vectors | None], label_rows: Vectors, scale: float
) -> tuple[Probabilities, NDArray[np.bool_]]:
    """Return what one modality says, (n, labels), and for which examples it says anything."""
    there = np.array([vector is not None for vector in vectors])
    likely = np.zeros((len(vectors), len(label_rows)))
    if there.any():
        likely[there] = classify(np.stack([one for one in vectors if one is not None]), label_rows, scale)
    return likely, there


def _measure(probabilities: Probabilities, truth: NDArray[np.int64], items: NDArray[np.int64]) -> Measurement:
    """Measure each example: whether its label is the likeliest, or among the first five."""
    ranking = Ranking.from_scores(probabilities, truth[:, None] == np.arange(probabilities.shape[1]))
    each = {"accuracy": hit_rate_at(ranking, 1)}
    if probabilities.shape[1] > 5:
        each["top5_accuracy"] = hit_rate_at(ranking, 5)
    curve = 100 * np.cumsum(ranking.first_relevant[:, :MAX_CURVE_K], axis=1).mean(axis=0)
    return Measurement(each, curve, items, items)


def _label_metrics(
    labels: Sequence[str], truth: NDArray[np.int64], predicted: NDArray[np.int64]
) -> tuple[LabelMetrics, ...]:
    rows = []
    for number, label in enumerate(labels):
        right = int(((truth == number) & (predicted == number)).sum())
        there, given = int((truth == number).sum()), int((predicted == number).sum())
        shares = (right, given), (right, there), (2 * right, given + there)
        precision, recall, f1 = (round(part / all_, 4) if all_ else None for part, all_ in shares)
        rows.append(LabelMetrics(label, there, precision, recall, f1))
    return tuple(rows)


def _confusions(
    labels: Sequence[str], truth: NDArray[np.int64], predicted: NDArray[np.int64]
) -> tuple[Confusion, ...]:
    """Return the pairs of labels that are taken for each other most, most first."""
    wrong = truth != predicted
    pairs = Counter(zip(truth[wrong].tolist(), predicted[wrong].tolist(), strict=True))
    return tuple(Confusion(labels[a], labels[b], n) for (a, b), n in pairs.most_common(MAX_CONFUSIONS))

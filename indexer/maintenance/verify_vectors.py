"""Embed a sample of files again and compare the vectors, which differ if the model has changed."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from indexer.decode.base import SegmentDraft
from indexer.enrich.content_pass import PassProgress, run_pass
from indexer.imports.model_check import MIN_COSINE, best_cosine, rotations
from indexer.maintenance.backfill_vectors import EmbeddingInput, MissingContent, VectorPass
from indexer.maintenance.verify_catalog import Findings
from indexer.store.spaces import active_space
from indexer.store.writer import LibraryWriter
from retrieval.catalog.schema import vectors_table
from retrieval.embedders.base import Embedder
from retrieval.formatting import pluralize
from retrieval.media.archives.archive import Opener
from retrieval.types import Vectors


class SamplePass(VectorPass):
    """Embeds some segments again, and keeps the cosines with the stored vectors.

    Scenes of videos are left out: other frames of them may be chosen now. With `rotated`, images are embedded
    in several orientations, because `clew import` adopts vectors of unrotated photos.
    """

    def __init__(
        self, writer: LibraryWriter, embedder: Embedder, condition: str, *, rotated: bool = False
    ) -> None:
        space = active_space(writer.catalog)
        self.cosines, self._rotated = dict[int, float](), rotated  # of each segment
        has_vector = f"EXISTS (SELECT 1 FROM {vectors_table(space.id)} v WHERE v.segment = s.id)"
        is_sampled = f"{condition} AND s.kind != 'video' AND {has_vector}"
        super().__init__(writer, space, embedder, condition=is_sampled)

    def drafts(self, result: EmbeddingInput) -> Sequence[SegmentDraft]:
        """Return the draft of a segment, or one for each orientation."""
        (draft,) = super().drafts(result)
        if not self._rotated or draft.pixels is None:
            return [draft]
        return [replace(draft, pixels=pixels) for pixels in rotations(draft.pixels)]

    def recover(
        self, item: tuple[MissingContent, Opener | None], error: Exception
    ) -> Sequence[EmbeddingInput]:
        """Leave out a content that cannot be decoded now."""
        return ()

    def commit(self, results: Sequence[EmbeddingInput], vectors: Vectors) -> None:
        """Compare the vectors with the stored ones."""
        ends = np.cumsum([len(self.drafts(result)) for result in results])
        rows = dict(zip([segment for segment, _ in results], np.split(vectors, ends[:-1]), strict=True))
        ids, stored = self.library.catalog.vectors_of(self.space, np.array(sorted(rows), np.int64))
        for id_, vector in zip(ids.tolist(), stored, strict=True):
            self.cosines[id_] = best_cosine(rows[id_], vector)
        self.done += len(results)

    def different(self) -> list[int]:
        """Return the segments whose vectors differ."""
        return [segment for segment, cosine in self.cosines.items() if cosine < MIN_COSINE]


def verify_vectors(
    writer: LibraryWriter, findings: Findings, embedder: Embedder, sample: int, progress: PassProgress
) -> None:
    """Embed the segments of `sample` random contents again, and report those whose vectors differ.

    Images whose vectors differ are compared in all orientations.
    """
    query = "SELECT DISTINCT content FROM present_files WHERE content IS NOT NULL"
    contents = [row[0] for row in writer.connection.execute(query)]
    chosen = np.random.default_rng().permutation(len(contents))[:sample]
    ids = _sql_list([contents[number] for number in chosen])
    checked = SamplePass(writer, embedder, f"s.content IN ({ids})")
    run_pass(checked, embedder, progress)
    if different := checked.different():
        is_image = f"s.id IN ({_sql_list(different)}) AND s.kind = 'image'"
        rotated = SamplePass(writer, embedder, is_image, rotated=True)
        run_pass(rotated, embedder, progress)
        checked.cosines |= rotated.cosines
    findings.compared = len(checked.cosines)
    if wrong := [checked.cosines[segment] for segment in checked.different()]:
        query = f"SELECT count(DISTINCT content) FROM segments WHERE id IN ({_sql_list(checked.cosines)})"
        files = pluralize(writer.connection.execute(query).fetchone()[0], "file")
        findings.errors.append(
            f"{len(wrong):,} of {pluralize(findings.compared, 'vector')} of {files} differ from those that "
            f"the model gives now (the worst cosine is {min(wrong):.2f}). Restore a backup, or index into a "
            "new library."
        )
    elif not findings.compared:
        findings.warnings.append(
            f"No vector was compared: the sample of {pluralize(len(chosen), 'file')} cannot be read now, or "
            "has only videos."
        )


def _sql_list(ids: Iterable[int]) -> str:
    return ", ".join(map(str, ids))

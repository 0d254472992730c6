"""Embed a sample of files again and compare the vectors, which differ if the model has changed."""

from collections.abc import Sequence

import numpy as np

from indexer.enrich.content_pass import PassProgress, run_pass
from indexer.maintenance.backfill_vectors import EmbeddingInput, MissingContent, VectorPass
from indexer.maintenance.verify_catalog import Findings
from indexer.store.spaces import active_space
from indexer.store.writer import LibraryWriter
from retrieval.catalog.schema import vectors_table
from retrieval.embedders.base import Embedder
from retrieval.formatting import pluralize
from retrieval.media.archives.archive import Opener
from retrieval.types import Vectors

# Of stored and new vectors; another precision, as another machine may choose, gives at least 0.99.
MIN_COSINE = 0.98


class SamplePass(VectorPass):
    """Embeds the segments of some contents again, and keeps the cosines with the stored vectors.

    Scenes of videos are left out: other frames of them may be chosen now.
    """

    def __init__(self, writer: LibraryWriter, embedder: Embedder, contents: Sequence[int]) -> None:
        space = active_space(writer.catalog)
        self.cosines = dict[int, float]()  # of each segment
        ids = ", ".join(map(str, contents))
        has_vector = f"EXISTS (SELECT 1 FROM {vectors_table(space.id)} v WHERE v.segment = s.id)"
        is_sampled = f"s.content IN ({ids}) AND s.kind != 'video' AND {has_vector}"
        super().__init__(writer, space, embedder, condition=is_sampled)

    def recover(
        self, item: tuple[MissingContent, Opener | None], error: Exception
    ) -> Sequence[EmbeddingInput]:
        """Leave out a content that cannot be decoded now."""
        return ()

    def commit(self, results: Sequence[EmbeddingInput], vectors: Vectors) -> None:
        """Compare the vectors with the stored ones."""
        rows = {segment: vector for (segment, _), vector in zip(results, vectors, strict=True)}
        ids, stored = self.library.catalog.vectors_of(self.space, np.array(sorted(rows), np.int64))
        for id_, vector in zip(ids, stored, strict=True):
            cosine = float(vector @ rows[int(id_)] / np.linalg.norm(vector))
            self.cosines[int(id_)] = cosine if np.isfinite(cosine) else 0.0
        self.done += len(results)


def verify_vectors(
    writer: LibraryWriter, findings: Findings, embedder: Embedder, sample: int, progress: PassProgress
) -> None:
    """Embed the segments of `sample` random contents again, and report those whose vectors differ."""
    query = "SELECT DISTINCT content FROM present_files WHERE content IS NOT NULL"
    contents = [row[0] for row in writer.connection.execute(query)]
    chosen = np.random.default_rng().permutation(len(contents))[:sample]
    checked = SamplePass(writer, embedder, [contents[number] for number in chosen])
    run_pass(checked, embedder, progress)
    wrong = [cosine for cosine in checked.cosines.values() if cosine < MIN_COSINE]
    findings.compared = len(checked.cosines)
    if wrong:
        vectors, files = pluralize(len(checked.cosines), "vector"), pluralize(len(chosen), "file")
        findings.errors.append(
            f"{len(wrong):,} of {vectors} of {files} differ from those that the model gives now (the worst "
            f"cosine is {min(wrong):.2f}). Restore a backup, or index into a new library."
        )

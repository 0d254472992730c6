"""The architecture of local weights is saved in the library: the cache of models may be deleted."""

import pytest

from indexer import switch_library, tag_library, update_library, verify_library
from indexer.models import resolve
from indexer.store import spaces
from tests.support.catalog import downgrade_catalog
from tests.support.toy_embedder import ToyEmbedder


class LocalEmbedder(ToyEmbedder):
    """An embedder of local weights whose architecture the user has named."""

    arch = "small-vit"


@pytest.fixture
def named(monkeypatch):
    """Return the architectures with which models are loaded."""
    archs = []

    def load(name, *, arch=None, **options):
        archs.append(arch)
        return LocalEmbedder()

    monkeypatch.setattr(resolve, "resolve_embedder", load)
    monkeypatch.setattr(spaces, "resolve_embedder", load)
    return archs


@pytest.mark.parametrize("was_made_by_an_earlier_version", [False, True])
def test_architecture_is_saved_in_the_library(folder, place, named, was_made_by_an_earlier_version):
    update_library(folder, library=place, embedder=LocalEmbedder())
    if was_made_by_an_earlier_version:
        downgrade_catalog(place, "27-assumptions")
        update_library(library=place, embedder=LocalEmbedder())
    update_library(library=place)
    tag_library(["red"], library=place)
    (place / "thumbnails.sqlite").unlink()
    assert verify_library(place, repair=True).errors == []
    switch_library("toy", library=place)
    assert named == ["small-vit"] * 4

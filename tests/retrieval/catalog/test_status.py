"""Tests of the status of a library."""


def test_size_includes_kept_damaged_catalogs(library):
    before = library.status().size
    for name in ("catalogue.sqlite.damaged-20240501-120000", "catalogue.sqlite.damaged-20240501-120000-wal"):
        (library.folder / name).write_bytes(bytes(1_000))
    assert library.status().size == before + 2_000

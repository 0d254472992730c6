"""Tests of the table `analyses`."""

import sqlite3
from contextlib import closing

from indexer.operations.forget import forget
from indexer.store.analyses import locate, pending_contents
from retrieval.catalog.schema import CATALOG_FILE
from tests.support.files import draw_image


def test_content_that_is_purged_meanwhile_is_left_out(tmp_path, index, place):
    colors = ("red", "green", "blue")
    folders = [draw_image(tmp_path / color / "image.png", color).parent for color in colors]
    index(*folders)
    with closing(sqlite3.connect(place / CATALOG_FILE)) as db:
        contents = pending_contents(db, "ocr", "1", ["picture"])
        found = locate(db, contents)
        assert next(found).content == contents[0]
        forget([folders[1]], library=place, purge=True)
        assert [each.content for each in found] == contents[2:]
        assert len(contents) == 3

"""Saved settings keep the values that earlier versions stored."""

from dataclasses import replace

import pytest
import sqlite_utils

from indexer.store.settings import save_settings
from retrieval.catalog.settings import LibrarySettings


@pytest.fixture
def db():
    db = sqlite_utils.Database(memory=True)
    db.execute("CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT")
    return db


def stored(db):
    return dict(db.execute("SELECT name, value FROM settings"))


def test_settings_without_rows_have_their_defaults(db):
    assert LibrarySettings.read(db.conn) == LibrarySettings()


def test_saved_settings_are_read_back(db):
    settings = LibrarySettings("toy", "hnsw", 5_000_000, True, True, "small", "/models/clap")
    save_settings(db, settings)
    assert LibrarySettings.read(db.conn) == settings


def test_settings_are_stored_as_earlier_versions_did(db):
    save_settings(db, LibrarySettings("toy", "ivf", 0, True, True, "small", "clap"))
    assert stored(db) == {
        "space": "toy",
        "index": "ivf",
        "thumbnails": "0",
        "tiles": "on",
        "ocr": "yes",
        "speech": "small",
        "sounds": "clap",
    }
    save_settings(db, LibrarySettings("toy", None, 0))
    assert stored(db) == {
        "space": "toy",
        "index": "auto",
        "thumbnails": "0",
        "tiles": "off",
        "ocr": "",
        "speech": "",
        "sounds": "",
    }


def test_only_changed_settings_are_written(db):
    save_settings(db, LibrarySettings(tiles=True))
    assert stored(db) == {"tiles": "on"}
    save_settings(db, replace(LibrarySettings.read(db.conn), ocr=True))
    assert stored(db) == {"tiles": "on", "ocr": "yes"}


def test_unknown_values_of_a_newer_version_are_ignored(db):
    db.execute("INSERT INTO settings VALUES ('index', 'svs'), ('color', 'blue')")
    assert LibrarySettings.read(db.conn) == LibrarySettings()

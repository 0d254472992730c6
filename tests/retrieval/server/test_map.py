"""Tests of /api/map."""

import sqlite3
from contextlib import closing

from retrieval.catalog.schema import CATALOG_FILE


def test_map_has_a_point_for_each_file(client):
    answer = client.get("/api/map").json()
    items = client.get("/api/search", params={"count": 1000}).json()["items"]
    assert sorted(answer["points"]["id"]) == sorted(item["id"] for item in items)
    assert all(0 <= value <= 1000 for axis in "xy" for value in answer["points"][axis])
    assert answer["sampled"] is False


def test_missing_map_is_not_found_and_status_tells(client, place):
    assert client.get("/api/status").json()["map"] is True
    with closing(sqlite3.connect(place / CATALOG_FILE)) as db, db:
        db.execute("DELETE FROM maps")
    answer = client.get("/api/map")
    assert answer.status_code == 404
    assert "clew index" in answer.json()["error"]
    assert client.get("/api/status").json()["map"] is False

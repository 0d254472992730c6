"""`clew embed` and `clew import` report what they did, and what to do next."""

import json

from tests.support.shards import draw_media


def test_commands_embed_and_import_a_folder(clew, tmp_path):
    draw_media(tmp_path / "media")
    done = clew("embed", "media", "--out", "shards", "--model", "builtin", "--files-per-shard", 4, "--json")
    counts = json.loads(done.stdout)
    assert (done.exit_code, counts["shards"], counts["files"], counts["failed"]) == (0, 4, 13, 1)
    again = clew("embed", "media", "--out", "shards", "--model", "builtin", "--files-per-shard", 4).stdout
    assert "0 shards written with builtin" in again
    assert "4 known: an earlier run had written them" in again
    assert f"`clew import {tmp_path / 'shards'}` adds them to a library." in again
    imported = clew("import", "shards").stdout
    assert "12 files imported from clew embed as builtin" in imported
    assert f"1 failed (`clew status --errors`): {tmp_path / 'media' / 'bad.png'}: damaged" in imported
    assert "bad.png\tdamaged" in clew("status", "--errors").stdout
    assert "12 unchanged" in clew("index").stdout


def test_command_without_a_source_or_with_other_settings_is_misuse(clew, tmp_path):
    draw_media(tmp_path / "media")
    assert clew("embed", "--out", "shards").exit_code == 2
    assert clew("embed", "media", "--out", "shards", "--workers", 0).exit_code == 2
    assert clew("embed", "media", "--out", "shards", "--model", "builtin").exit_code == 0
    refused = clew("embed", "media", "--out", "shards", "--model", "builtin", "--no-thumbnails")
    assert refused.exit_code == 2
    assert "other settings (thumbnails)" in refused.stderr

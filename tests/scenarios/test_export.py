"""The command writes vectors that other programs read."""

import json

import numpy as np

from tests.support.toy_embedder import COLORS


def test_command_writes_vectors_and_names_the_files(clew, library, tmp_path):
    result = clew("export", "vectors.npy", "--kind", "image")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == ["vectors.npy", "vectors.jsonl"]
    assert np.load(tmp_path / "vectors.npy").shape == (len(COLORS), 3)
    result = clew("export", "vectors.parquet", "--json")
    assert json.loads(result.stdout) == {"paths": ["vectors.parquet"], "space": "toy", "count": len(COLORS)}


def test_command_refuses_to_replace(clew, library):
    assert clew("export", "vectors.npy").exit_code == 0
    result = clew("export", "vectors.npy")
    assert result.exit_code == 2
    assert "--force" in result.output

"""The vectors of a local open_clip checkpoint are imported, and those of another checkpoint are refused."""

import json

import pytest

from tests.support.files import draw_image
from tests.support.model_checkpoints import make_checkpoint
from tests.support.open_clip_models import prepare_in_float32, sample_images
from tests.support.stored_vectors import vectors_of, write_rclip


@pytest.fixture
def images(tmp_path):
    """Return files of 12 different images."""
    paths = []
    for number, image in enumerate(sample_images(12)):
        paths.append(draw_image(tmp_path / "pictures" / f"{number:02}.png"))
        image.save(paths[-1])
    return paths


def test_command_imports_with_a_local_checkpoint(clew, checkpoints, embedder_of, images, place, tmp_path):
    embedder = embedder_of("small-vit")
    database = write_rclip(tmp_path / "db.sqlite3", vectors_of(embedder, images))
    images[0].unlink()
    result = clew("import", database, "--model", checkpoints("small-vit"), "--arch", "small-vit", "--json")
    assert result.exit_code == 0, result.output
    counts = json.loads(result.stdout)
    assert (counts["adopted"], counts["missing"]) == (11, [str(images[0])])
    result = clew("import", database, "--model", checkpoints("small-vit"), "--arch", "small-vit")
    assert "11 known" in result.stdout
    assert "1 missing" in result.stdout
    assert f"Model    {checkpoints('small-vit')}" in clew("status").stdout


def test_vectors_of_other_weights_are_refused(clew, architectures, embedder_of, images, tmp_path):
    database = write_rclip(tmp_path / "db.sqlite3", vectors_of(embedder_of("small-vit"), images))
    other = make_checkpoint("small-vit", tmp_path / "weights", seed=5)
    prepare_in_float32(other, "small-vit")
    result = clew("import", database, "--model", other, "--arch", "small-vit")
    assert result.exit_code == 2
    assert "not of the model" in result.output
    assert not (tmp_path / "library").exists()

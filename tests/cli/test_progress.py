"""The progress bar, and --quiet."""

import pytest

from indexer.cli.progress import describe_progress
from tests.support.files import draw_image


@pytest.mark.parametrize(
    ("done", "total", "size", "seconds", "text"),
    [
        (0, 0, 0, 0.1, "looking for files"),
        (12_500, 0, 0, 1.0, "12,500 files found"),
        (3, 400, 900, 0.5, "3/400"),
        (100, 400, 30_000_000, 4.0, "100/400  25/s  7.5 MB/s  00:12 left"),
        (2, 10, 0, 30.0, "2/10  15.0 s each  02:00 left"),
    ],
)
def test_progress_is_described_by_counts_rates_and_remaining_time(done, total, size, seconds, text):
    assert describe_progress(done, total, size, seconds) == text


def test_quiet_index_writes_nothing_but_errors(clew, tmp_path):
    draw_image(tmp_path / "media" / "red.png", "red")
    done = clew("index", tmp_path / "media", "--model", "builtin", "--quiet")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")
    done = clew("index", tmp_path / "none", "--quiet")
    assert done.exit_code != 0
    assert "none" in done.stderr

"""--preview draws the pictures of hits in the terminal, and --open opens the file of a hit."""

from io import BytesIO, StringIO
from pathlib import Path

import click
import pytest
from PIL import Image
from rich.console import Console
from textual_image.renderable import HalfcellImage, SixelImage, TGPImage

from retrieval.cli.hits import preview
from retrieval.cli.hits.output import open_hit
from retrieval.types import Hit
from tests.support.files import draw_image


def hit(number, **fields):
    return Hit(number, 0.3, "image", Path(f"/photos/{number}\x1b[2J.jpg"), "space", **fields)


def webp(color):
    file = BytesIO()
    Image.new("RGB", (320, 200), color).save(file, "WEBP")
    return file.getvalue()


@pytest.mark.parametrize(
    ("picture", "mark"), [(HalfcellImage, "\u2580"), (SixelImage, "\x1bP"), (TGPImage, "\x1b_G")]
)
def test_hits_are_drawn_in_the_graphics_of_the_terminal(picture, mark, monkeypatch):
    file = StringIO()
    console = Console(file=file, force_terminal=True, width=80)
    monkeypatch.setattr("sys.__stdout__", file)  # control sequences are written to the terminal itself
    hits = [hit(1, confidence=0.97), hit(2, text="two lines\nof text", confidence=0.4)]
    preview.print_previews(hits, [webp("red"), None], console, picture)
    shown = file.getvalue()
    assert mark in shown
    assert "#1  97 %" in shown
    assert "two lines of text" in shown
    assert "\x1b[2J" not in shown


def test_open_starts_the_program_for_the_file_of_the_hit(tmp_path, monkeypatch):
    launched = []
    monkeypatch.setattr(click, "launch", lambda path: launched.append(path) or 0)
    path = draw_image(tmp_path / "a.png") or tmp_path / "a.png"
    found = Hit(1, 0.3, "image", path, "space")
    open_hit([found, hit(2)], 1)
    assert launched == [str(path)]
    with pytest.raises(click.UsageError, match="no hit 3: 2 hits found"):
        open_hit([found, hit(2)], 3)
    with pytest.raises(click.ClickException, match="not a file on this machine"):
        open_hit([found, hit(2)], 2)
    assert launched == [str(path)]
    monkeypatch.setattr(click, "launch", lambda path: 4)
    with pytest.raises(click.ClickException, match="No program"):
        open_hit([found], 1)


def test_command_opens_a_hit_after_it_lists_them(clew, tmp_path, monkeypatch):
    launched = []
    monkeypatch.setattr(click, "launch", lambda path: launched.append(path) or 0)
    draw_image(tmp_path / "in" / "red.png", "red")
    assert clew("index", "in", "--model", "builtin").exit_code == 0
    done = clew("kind:image", "--open", "1", "--paths", "--preview")
    assert (done.exit_code, done.output) == (0, f"{tmp_path / 'in' / 'red.png'}\n")
    assert launched == [str(tmp_path / "in" / "red.png")]

"""Text recognition takes textures for some characters, which must not become passages."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from indexer.enrich.ocr import OcrAnalyzer, OcrImage, RecognizedLine, text_lines
from indexer.enrich.text_layout import Line
from tests.support.toy_embedder import ToyEmbedder


@pytest.fixture(scope="module")
def analyzer() -> OcrAnalyzer:
    return OcrAnalyzer(ToyEmbedder(), lambda content: [])


def draw_scribbles(seed: int, step: int) -> Image.Image:
    """Draw random lines, of which the engine takes some for characters."""
    image, rng = Image.new("RGB", (1200, 900), "#eeeeee"), np.random.default_rng(seed)
    pen = ImageDraw.Draw(image)
    for _ in range(60):
        points = np.cumsum(rng.normal(0, step, (14, 2)), 0) + rng.integers(0, image.size, 2)
        pen.line([tuple(point) for point in points], fill="#222222", width=int(rng.integers(2, 6)))
    return image


def draw_shapes(seed: int, size: int) -> Image.Image:
    """Draw rows of circles, bars and rectangles."""
    image, rng = Image.new("RGB", (1200, 900), "white"), np.random.default_rng(seed)
    pen = ImageDraw.Draw(image)
    for left, top in ((60 + column * (size + 14), 60 + 90 * row) for row in range(8) for column in range(12)):
        box = (left, top, left + size, top + size * 1.4)
        draw = (pen.line, pen.ellipse, pen.rectangle)[rng.integers(0, 3)]
        draw(box, width=4, **{"fill" if draw == pen.line else "outline": "black"})
    return image


TEXTURES = [draw_scribbles(seed, 12 + 4 * (seed % 4)) for seed in (0, 1, 2, 4, 5)]
TEXTURES += [draw_shapes(seed, 14 + 6 * seed) for seed in (0, 3)]


def test_textures_have_no_text(analyzer):
    found = [draft.text for image in TEXTURES for draft in analyzer.recognize(OcrImage(image))]
    assert found == []


@pytest.mark.parametrize("text", ["EXIT", "B747", "10.90", "Hotel", "BEWARE OF THE GOAT"])
def test_short_text_on_a_texture_is_found(text, analyzer):
    for image in (draw_scribbles(0, 12), draw_scribbles(6, 20)):
        pen, font = ImageDraw.Draw(image), ImageFont.load_default(36)
        pen.rectangle((400, 300, 440 + round(font.getlength(text)), 370), fill="white")
        pen.text((420, 310), text, fill="black", font=font)
        assert text in " ".join(draft.text for draft in analyzer.recognize(OcrImage(image)))


def lines(*recognized: tuple[str, float]) -> list[RecognizedLine]:
    return [RecognizedLine(Line(text, 0, 0, 10, 10), confidence) for text, confidence in recognized]


def test_uncertain_lines_are_kept_only_where_most_text_is_certain():
    receipt = lines(("Sourdough loaf", 0.98), ("4.20", 0.7), ("bun", 0.7))
    assert text_lines(receipt[:2]) == [line for line, _ in receipt[:2]]
    assert text_lines(receipt) == [line for line, _ in receipt]
    assert text_lines(lines(("EN", 0.8), ("Lme", 0.7), ("shuear od u p", 0.63))) == []
    sign, *textures = lines(("EXIT", 0.97), ("LCMEW", 0.79), ("343", 0.89), ("EN", 0.94))
    assert text_lines([sign, *textures]) == [sign.line]

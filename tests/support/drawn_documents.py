"""Draw receipts, chats, screenshots, letters and forms; no two have the same text."""

from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

WORDS = (
    "garden",
    "window",
    "river",
    "Monday",
    "coffee",
    "ticket",
    "answer",
    "bridge",
    "summer",
    "number",
    "kitchen",
    "paper",
    "doctor",
    "yellow",
    "train",
    "meeting",
    "lemon",
    "market",
    "school",
    "pocket",
    "evening",
    "battery",
    "invoice",
    "signal",
    "mountain",
    "cheese",
    "printer",
    "holiday",
    "weather",
    "butter",
    "engine",
    "library",
    "orange",
    "platform",
    "receipt",
    "salad",
    "teacher",
    "umbrella",
    "village",
    "winter",
    "address",
    "balcony",
    "camera",
    "delivery",
    "elephant",
    "festival",
    "guitar",
    "hospital",
    "island",
    "jacket",
    "keyboard",
)
ITEMS = (
    "Milk",
    "Bread",
    "Eggs",
    "Apples",
    "Coffee",
    "Pasta",
    "Tomato",
    "Butter",
    "Soap",
    "Rice",
    "Tea",
    "Cheese",
    "Salt",
    "Sugar",
    "Onion",
    "Juice",
)
SHOPS = "NORTH MARKET", "CITY PHARMACY", "GREEN GROCER", "HARDWARE 24"
PAPER, INK = (252, 252, 250), (20, 20, 24)


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """Return the font that Pillow contains."""
    loaded = ImageFont.load_default(size)
    assert isinstance(loaded, ImageFont.FreeTypeFont)
    return loaded


def sentence(dice: np.random.Generator, count: int) -> str:
    """Return random words."""
    return " ".join(dice.choice(WORDS, count)).capitalize() + "."


def receipt(dice: np.random.Generator) -> Image.Image:
    """Draw a receipt: the same shop header, other items and prices."""
    image = Image.new("RGB", (420, 760), PAPER)
    draw = ImageDraw.Draw(image)
    draw.text((90, 30), str(dice.choice(SHOPS)), INK, font(28))
    draw.text((110, 70), "1 High Street, Springfield", INK, font(16))
    total = 0
    for row in range(12):
        price = int(dice.integers(49, 1999))
        total += price
        draw.text((30, 130 + 36 * row), str(dice.choice(ITEMS)), INK, font(20))
        draw.text((320, 130 + 36 * row), f"{price / 100:.2f}", INK, font(20))
    draw.text((30, 590), "TOTAL", INK, font(26))
    draw.text((300, 590), f"{total / 100:.2f}", INK, font(26))
    draw.text((60, 680), f"No. {dice.integers(10**9):09d}   Thank you!", INK, font(18))
    return image


def chat(dice: np.random.Generator) -> Image.Image:
    """Draw a chat on a phone, light or dark."""
    dark = dice.random() < 0.3
    back, ink = ((18, 27, 34), (235, 235, 235)) if dark else ((236, 229, 221), INK)
    bubbles = ((32, 44, 51), (0, 92, 75)) if dark else ((255, 255, 255), (220, 248, 198))
    image = Image.new("RGB", (540, 960), back)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 540, 80), (7, 94, 84))
    draw.text((80, 24), "Family", (255, 255, 255), font(28))
    for row in range(7):
        mine = row % 2
        left = 150 if mine else 20
        top = 110 + 115 * row
        draw.rounded_rectangle((left, top, left + 370, top + 90), 12, bubbles[mine])
        draw.text((left + 14, top + 10), sentence(dice, 4), ink, font(20))
        draw.text((left + 14, top + 38), sentence(dice, 3), ink, font(20))
        draw.text((left + 300, top + 64), f"{dice.integers(24):02d}:{dice.integers(60):02d}", ink, font(14))
    return image


def screenshot(dice: np.random.Generator) -> Image.Image:
    """Draw a note in the window of a desktop."""
    image = Image.new("RGB", (1280, 800), (58, 110, 165))
    draw = ImageDraw.Draw(image)
    draw.rectangle((100, 60, 1180, 740), (250, 250, 250))
    draw.rectangle((100, 60, 1180, 100), (225, 225, 225))
    for at, color in enumerate(((255, 95, 87), (254, 188, 46), (40, 200, 64))):
        draw.ellipse((115 + 26 * at, 72, 131 + 26 * at, 88), color)
    draw.text((560, 70), "Notes", INK, font(20))
    draw.text((140, 130), sentence(dice, 3), INK, font(34))
    for row in range(int(dice.integers(4, 9))):
        draw.text((140, 200 + 42 * row), sentence(dice, int(dice.integers(5, 9))), INK, font(22))
    return image


def letter(dice: np.random.Generator) -> Image.Image:
    """Draw a scanned letter: text on paper with grain."""
    image = Image.new("L", (850, 1100), 248)
    draw = ImageDraw.Draw(image)
    draw.text((80, 70), "Dear Sir or Madam,", 30, font(24))
    for row in range(26):
        draw.text((80, 130 + 32 * row), sentence(dice, 9), 30, font(19))
    draw.text((80, 1010), "Yours sincerely", 30, font(24))
    grain = dice.normal(0, 4, (1100, 850))
    return Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8)).convert("RGB")


def form(dice: np.random.Generator) -> Image.Image:
    """Draw a filled form, of which only a name, a date and a number differ."""
    image = Image.new("RGB", (900, 640), PAPER)
    draw = ImageDraw.Draw(image)
    draw.text((60, 40), "BOARDING PASS", INK, font(40))
    for row, name in enumerate(("Name", "Flight", "Date", "Seat", "Gate", "Booking number")):
        draw.text((60, 130 + 70 * row), name, (90, 90, 90), font(20))
        draw.line((300, 160 + 70 * row, 840, 160 + 70 * row), (180, 180, 180), 2)
    values = (
        "Maria Example", "XY 1234", f"{dice.integers(1, 29):02d} May 2024", "12 A", "B 7",
        f"{dice.integers(10**8):08d}",
    )  # fmt: skip
    for row, value in enumerate(values):
        draw.text((310, 128 + 70 * row), value, INK, font(26))
    return image


def photographed(dice: np.random.Generator) -> Image.Image:
    """Draw a letter photographed on a table: dark corners, grain, and never at quite the same place."""
    page = letter(dice).resize((620, 800))
    image = Image.new("RGB", (760, 960), (96, 72, 52))
    image.paste(page, (70 + int(dice.integers(-4, 5)), 80 + int(dice.integers(-4, 5))))
    y, x = np.mgrid[-1:1:960j, -1:1:760j]
    light = (1.0 - 0.25 * (x * x + y * y))[..., None] * np.asarray(image, np.float64)
    grain = dice.normal(0, 5, light.shape)
    return Image.fromarray(np.clip(light + grain, 0, 255).astype(np.uint8))


def meme(dice: np.random.Generator) -> Image.Image:
    """Draw the same picture each time, with another caption."""
    scene = np.random.default_rng(7).integers(30, 226, (9, 12, 3)).astype(np.uint8)
    image = Image.fromarray(scene).resize((640, 480), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for top in (20, 410):
        words = sentence(dice, 4).upper()
        draw.text((40, top), words, (255, 255, 255), font(28), stroke_width=2, stroke_fill=INK)
    return image


TEMPLATES: tuple[Callable[[np.random.Generator], Image.Image], ...] = (
    receipt,
    chat,
    screenshot,
    letter,
    form,
    photographed,
    meme,
)


def draw_document(number: int, seed: int = 0) -> Image.Image:
    """Return a document; templates alternate, and every number has other text."""
    return TEMPLATES[number % len(TEMPLATES)](np.random.default_rng([seed, number]))

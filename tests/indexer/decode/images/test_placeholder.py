"""Placeholders equal a direct port of the published code of ThumbHash."""

import math

import numpy as np
import pytest
from PIL import Image

from indexer.decode.images.placeholder import make_placeholder


def js_round(value):
    return math.floor(value + 0.5)


def reference(image):
    """Return rgbaToThumbHash of an opaque image, with the loops of the original."""
    w, h = image.size
    pixels = [tuple(c / 255 for c in image.getpixel((x, y))) for y in range(h) for x in range(w)]
    lx, ly = (max(1, js_round(7 * side / max(w, h))) for side in (w, h))

    def encode_channel(channel, nx, ny):
        dc, ac, scale = 0, [], 0
        for cy in range(ny):
            cx = 0
            while cx * ny < nx * (ny - cy):
                f = 0
                fx = [math.cos(math.pi / w * cx * (x + 0.5)) for x in range(w)]
                for y in range(h):
                    fy = math.cos(math.pi / h * cy * (y + 0.5))
                    for x in range(w):
                        f += channel[x + y * w] * fx[x] * fy
                f /= w * h
                if cx or cy:
                    ac.append(f)
                    scale = max(scale, abs(f))
                else:
                    dc = f
                cx += 1
        if scale:
            ac = [0.5 + 0.5 / scale * f for f in ac]
        return dc, ac, scale

    l_dc, l_ac, l_scale = encode_channel([sum(p) / 3 for p in pixels], max(3, lx), max(3, ly))
    p_dc, p_ac, p_scale = encode_channel([(r + g) / 2 - b for r, g, b in pixels], 3, 3)
    q_dc, q_ac, q_scale = encode_channel([r - g for r, g, b in pixels], 3, 3)
    header24 = (
        js_round(63 * l_dc) | (js_round(31.5 + 31.5 * p_dc) << 6) | (js_round(31.5 + 31.5 * q_dc) << 12)
    ) | (js_round(31 * l_scale) << 18)
    header16 = (ly if w > h else lx) | (js_round(63 * p_scale) << 3) | (js_round(63 * q_scale) << 9)
    header16 |= (w > h) << 15
    result = [header24 & 255, header24 >> 8 & 255, header24 >> 16, header16 & 255, header16 >> 8]
    digits = [js_round(15 * f) for ac in (l_ac, p_ac, q_ac) for f in ac]
    digits += [0] * (len(digits) % 2)
    return bytes(result + [low | high << 4 for low, high in zip(digits[::2], digits[1::2], strict=True)])


@pytest.mark.parametrize("size", [(40, 30), (30, 40), (33, 33), (100, 9), (5, 64), (1, 1), (2, 1)])
def test_placeholder_equals_the_original(size):
    rng = np.random.default_rng(size)
    small = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8))
    image = small.resize(size, Image.Resampling.BICUBIC)
    assert make_placeholder(image) == reference(image)


def test_large_image_is_reduced():
    image = Image.linear_gradient("L").resize((320, 200)).convert("RGB")
    placeholder = make_placeholder(image)
    assert placeholder == make_placeholder(image.reduce(4))
    assert 18 <= len(placeholder) <= 30

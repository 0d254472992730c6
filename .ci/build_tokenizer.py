"""Write the tables of the built-in model's tokenizer from its tokenizer.json.

    python .ci/build_tokenizer.py TOKENIZER_JSON

The pieces become a trie in the order of a breadth-first walk: the children of node n are the nodes from
children[n] to children[n + 1], in the order of their characters. The tables are mapped when they are used.
It needs the packages `tokenizers`, and `regex` for the classes of Unicode's grapheme clusters.
"""

import argparse
import base64
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import regex
from tokenizers import normalizers

FOLDER = Path(__file__).parent.parent / "retrieval" / "embedders" / "builtin_model" / "tokenizer"
CLASSES = {  # of grapheme clusters; see retrieval/embedders/builtin_model/unigram.py
    1: r"\p{GCB=Control}|\p{GCB=CR}|\p{GCB=LF}",
    2: r"\p{GCB=Extend}|\p{GCB=SpacingMark}",
    3: r"\p{GCB=ZWJ}",
    4: r"\p{GCB=Prepend}",
    5: r"\p{Extended_Pictographic}",
}


def trie(pieces: list[tuple[str, float]]) -> dict[str, np.ndarray]:
    """Return the characters, first children and ids of the nodes, and the scores of the ids."""
    root: dict = {}
    for number, (piece, _) in enumerate(pieces):
        node = root
        for character in piece:
            node = node.setdefault(character, {})
        node[""] = number
    characters, children, ids, nodes = [0], [], [], [root]
    for node in nodes:  # grows
        children.append(len(nodes))
        ids.append(node.pop("", -1))
        for character in sorted(node):
            characters.append(ord(character))
            nodes.append(node[character])
    return {
        "characters": np.array(characters, np.uint32),
        "children": np.array([*children, len(nodes)], np.uint32),
        "ids": np.array(ids, np.int32),
        "scores": np.array([score for _, score in pieces], np.float64),
    }


def clusters(normalize: Callable[[str], str]) -> np.ndarray:
    """Return where the class of characters changes and the class, (2, n).

    A character of at most three bytes extends a cluster if `normalize` drops it after a half, as it drops all
    of a cluster but its first character; `regex` may know another version of Unicode than `tokenizers`.
    """
    patterns = {number: regex.compile(pattern) for number, pattern in CLASSES.items()}
    starts, classes = [0], [0]
    for code in range(sys.maxunicode + 1):
        found = next((number for number, each in patterns.items() if each.match(chr(code))), 0)
        if found in (0, 2) and 0x300 <= code <= 0xFFFF and not 0xD800 <= code <= 0xDFFF:
            found = 2 if normalize(f"½{chr(code)}") == normalize("½") else 0
        if found != classes[-1]:
            starts.append(code)
            classes.append(found)
    return np.array([starts, classes], np.uint32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tokenizer", type=Path)
    parts = json.loads(parser.parse_args().tokenizer.read_text("utf-8"))
    charsmap = base64.b64decode(parts["normalizer"]["normalizers"][0]["precompiled_charsmap"])
    size = int.from_bytes(charsmap[:4], "little")
    tables = trie(parts["model"]["vocab"])
    if (tables["scores"] == tables["scores"].astype(np.float32)).all():
        tables["scores"] = tables["scores"].astype(np.float32)
    tables["normalizations"] = np.frombuffer(charsmap[4 : 4 + size], np.uint32)
    tables["normalized"] = np.frombuffer(charsmap[4 + size :], np.uint8)
    precompiled = normalizers.Precompiled(charsmap)
    tables["clusters"] = clusters(precompiled.normalize_str)
    FOLDER.mkdir(exist_ok=True)
    for name, table in tables.items():
        np.save(FOLDER / f"{name}.npy", table)
        print(name, table.dtype, table.shape, table.nbytes)


if __name__ == "__main__":
    main()

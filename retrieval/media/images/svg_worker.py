"""Draw the SVG at standard input to standard output, as PNG; `retrieval.svg` runs this file as a program.

Nothing but the input is read: what a drawing names elsewhere, on the disk or on the network, is left out.
"""

import resource
from contextlib import suppress

IMAGE_SIDE = 1024  # pixels of the longer side
MAX_MEMORY_BYTES = 2_000_000_000  # bytes
MAX_CPU_SECONDS = 30  # seconds


def main() -> None:
    """Draw, with limits; what cannot be drawn ends with the reason as the last line of standard error."""
    with suppress(ValueError, OSError):  # a system that does not know these limits
        resource.setrlimit(resource.RLIMIT_CPU, (MAX_CPU_SECONDS, MAX_CPU_SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import resvg_py
    from defusedxml import ElementTree

    with open(0, "rb", closefd=False) as given:
        data = given.read()
    tree = ElementTree.fromstring(data, forbid_entities=False)  # Illustrator writes some; expat bounds them
    for node in tree.iter():
        for name, value in list(node.attrib.items()):
            if name.rpartition("}")[2] == "href" and not value.strip().startswith(("#", "data:")):
                del node.attrib[name]
    has_words = any(str(node.tag).endswith("text") for node in tree.iter())
    drawn = resvg_py.svg_to_bytes(
        svg_string=ElementTree.tostring(tree, encoding="unicode"),
        width=IMAGE_SIDE,
        height=IMAGE_SIDE,
        dpi=96,  # as browsers have it
        skip_system_fonts=not has_words,  # which take a while to look through
    )
    with open(1, "wb", closefd=False) as made:
        made.write(drawn)


if __name__ == "__main__":
    main()

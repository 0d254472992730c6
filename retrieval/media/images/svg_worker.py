"""Render SVG files in a sandboxed subprocess; files and URLs that a drawing refers to are not opened."""

from typing import Any, BinaryIO

IMAGE_SIDE = 1024  # pixels of the longer side


def create_handler() -> Any:
    """Return the handler of requests."""
    return render


def render(request: dict[str, Any], file: BinaryIO) -> tuple[dict[str, Any], bytes]:
    """Return a drawing as PNG."""
    import resvg_py
    from defusedxml import ElementTree

    with file:
        file.seek(0)
        data = file.read()
    # Illustrator writes entities, and expat limits their expansion.
    tree = ElementTree.fromstring(data, forbid_entities=False)
    for node in tree.iter():
        for name, value in list(node.attrib.items()):
            if name.rpartition("}")[2] == "href" and not value.strip().startswith(("#", "data:")):
                del node.attrib[name]
    has_text = any(str(node.tag).endswith("text") for node in tree.iter())
    png = resvg_py.svg_to_bytes(
        svg_string=ElementTree.tostring(tree, encoding="unicode"),
        width=IMAGE_SIDE,
        height=IMAGE_SIDE,
        dpi=96,  # as in browsers
        skip_system_fonts=not has_text,  # loading them is slow
    )
    return {}, bytes(png)

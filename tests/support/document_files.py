"""Minimal documents: PDF, Office, OpenDocument and EPUB."""

import io
import zipfile
from collections.abc import Iterable, Mapping

WORD_NAMESPACE = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
DRAWING_NAMESPACE = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
PRESENTATION_NAMESPACE = 'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
RELATIONSHIP_TYPES = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
RELATIONSHIPS_NAMESPACE = "http://schemas.openxmlformats.org/package/2006/relationships"
ODF_NAMESPACE = "urn:oasis:names:tc:opendocument:xmlns"
PDF_COLORS = {"red": "1 0 0", "green": "0 1 0", "blue": "0 0 1", "yellow": "1 1 0", "white": "1 1 1"}


def pdf(pages: Iterable[tuple[str, str]], *, created: str = "", box: str = "0 0 300 400") -> bytes:
    """Return a PDF; `pages` are (background color, lines of text)."""
    pages = list(pages)
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(pages)))
    objects = [
        "<</Type/Catalog/Pages 2 0 R>>",
        f"<</Type/Pages/Kids[{kids}]/Count {len(pages)}>>",
        "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    for n, (color, text) in enumerate(pages):
        lines = "".join(f"({line}) Tj T* " for line in text.split("\n") if line)
        content = f"{PDF_COLORS[color]} rg 0 0 9999 9999 re f 0 g BT /F 9 Tf 11 TL 20 380 Td {lines}ET"
        objects += [
            f"<</Type/Page/Parent 2 0 R/MediaBox[{box}]/Contents {5 + 2 * n} 0 R"
            "/Resources<</Font<</F 3 0 R>>>>>>",
            f"<</Length {len(content)}>>stream\n{content}\nendstream",
        ]
    objects.append(f"<</CreationDate({created})>>")
    return raw_pdf([body.encode("latin-1") for body in objects], info=len(objects))


def raw_pdf(objects: list[bytes], info: int | None = None) -> bytes:
    """Return a PDF of these objects; the first is the catalog, and number `info` the info object."""
    data, offsets = b"%PDF-1.5\n", []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    info_entry = b"" if info is None else b"/Info %d 0 R" % info
    size = len(objects) + 1
    return (
        data
        + b"xref\n0 %d\n0000000000 65535 f \n%strailer<</Size %d/Root 1 0 R%s>>\nstartxref\n%d\n%%%%EOF"
        % (*(size, table, size, info_entry, len(data)),)
    )


def zip_bytes(members: Mapping[str, str | bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return file.getvalue()


def relationships_xml(**targets: tuple[str, str]) -> str:
    """Return a relationships part; `targets` maps ids to (kind, target)."""
    elements = "".join(
        f'<Relationship Id="{id_}" Type="{RELATIONSHIP_TYPES}/{kind}" Target="{target}"/>'
        for id_, (kind, target) in targets.items()
    )
    return f'<Relationships xmlns="{RELATIONSHIPS_NAMESPACE}">{elements}</Relationships>'


def docx(*paragraphs: str, body: str = "") -> bytes:
    text = "".join(f"<w:p><w:r><w:t>{paragraph}</w:t></w:r></w:p>" for paragraph in paragraphs)
    return zip_bytes(
        {
            "_rels/.rels": relationships_xml(rId1=("officeDocument", "word/document.xml")),
            "word/document.xml": f"<w:document {WORD_NAMESPACE}><w:body>{text}{body}</w:body></w:document>",
        }
    )


XlsxCell = str | int | tuple[float, int]


def xlsx(
    *sheets: list[list[XlsxCell]], shared: Iterable[str] = (), styles: str = "<none/>", workbook: str = ""
) -> bytes:
    """Return an Excel file; a text cell `#n` refers to the shared text n, other texts are inline.

    A pair is a number and its style.
    """
    members = {
        "_rels/.rels": relationships_xml(rId1=("officeDocument", "xl/workbook.xml")),
        "xl/workbook.xml": f'<workbook xmlns:r="{RELATIONSHIP_TYPES}">{workbook}<sheets>'
        + "".join(f'<sheet r:id="rId{n}"/>' for n in range(1, len(sheets) + 1))
        + "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": relationships_xml(
            rId99=("sharedStrings", "sharedStrings.xml"),
            rId98=("styles", "styles.xml"),
            **{f"rId{n}": ("worksheet", f"sheets/s{n}.xml") for n in range(1, len(sheets) + 1)},
        ),
        "xl/sharedStrings.xml": "<sst>" + "".join(f"<si><t>{text}</t></si>" for text in shared) + "</sst>",
        "xl/styles.xml": styles,
    }
    for n, rows in enumerate(sheets, start=1):
        lines = "".join(f"<row>{''.join(map(_xlsx_cell, row))}</row>" for row in rows)
        members[f"xl/sheets/s{n}.xml"] = f"<worksheet><sheetData>{lines}</sheetData></worksheet>"
    return zip_bytes(members)


def _xlsx_cell(value: XlsxCell) -> str:
    if isinstance(value, tuple):
        return f'<c s="{value[1]}"><v>{value[0]}</v></c>'
    if isinstance(value, int):
        return f"<c><v>{value}</v></c>"
    if value.startswith("#"):
        return f'<c t="s"><v>{value[1:]}</v></c>'
    return f'<c t="inlineStr"><is><t>{value}</t></is></c>'


def with_members(document: bytes, members: Mapping[str, str]) -> bytes:
    """Return a zipped document with more members, or others of the same name."""
    with zipfile.ZipFile(io.BytesIO(document)) as archive:
        return zip_bytes({name: archive.read(name) for name in archive.namelist()} | dict(members))


def strict(document: bytes) -> bytes:
    """Return an Office file in the namespaces of ISO/IEC 29500 Strict."""
    with zipfile.ZipFile(io.BytesIO(document)) as archive:
        members = {name: archive.read(name).decode() for name in archive.namelist()}
    names = {
        "http://schemas.openxmlformats.org/officeDocument/2006/": "http://purl.oclc.org/ooxml/officeDocument/",
        "http://schemas.openxmlformats.org/presentationml/2006/": "http://purl.oclc.org/ooxml/presentationml/",
        "http://schemas.openxmlformats.org/drawingml/2006/": "http://purl.oclc.org/ooxml/drawingml/",
        "http://schemas.openxmlformats.org/wordprocessingml/2006/": "http://purl.oclc.org/ooxml/wordprocessingml/",
    }
    for transitional, name in names.items():
        members = {part: text.replace(transitional, name) for part, text in members.items()}
    return zip_bytes(members)


def pptx(*slides: str, order: Iterable[int] = ()) -> bytes:
    slide_numbers = list(order) or list(range(1, len(slides) + 1))
    ids = "".join(f'<p:sldId r:id="rId{n}"/>' for n in slide_numbers)
    members = {
        "_rels/.rels": relationships_xml(rId1=("officeDocument", "ppt/presentation.xml")),
        "ppt/presentation.xml": f"<p:all {PRESENTATION_NAMESPACE} "
        f'xmlns:r="{RELATIONSHIP_TYPES}"><p:sldIdLst>{ids}</p:sldIdLst></p:all>',
        "ppt/_rels/presentation.xml.rels": relationships_xml(
            **{f"rId{n}": ("slide", f"slides/slide{n}.xml") for n in range(1, len(slides) + 1)}
        ),
    }
    for n, text in enumerate(slides, start=1):
        members[f"ppt/slides/slide{n}.xml"] = (
            f"<p:sld {PRESENTATION_NAMESPACE} "
            f"{DRAWING_NAMESPACE}><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:sld>"
        )
    return zip_bytes(members)


def odt(inner: str, *, manifest: str = "<manifest/>") -> bytes:
    return zip_bytes({"content.xml": odt_text(inner), "META-INF/manifest.xml": manifest})


def odt_text(inner: str) -> str:
    names = " ".join(
        f'xmlns:{prefix}="{ODF_NAMESPACE}:{name}:1.0"'
        for prefix, name in (("o", "office"), ("t", "text"), ("d", "drawing"))
    )
    return f"<o:document-content {names}><o:body>{inner}</o:body></o:document-content>"


def epub(title: str, **chapters: str) -> bytes:
    """Return an EPUB whose spine is in the given order and whose members are in alphabetical order."""
    items = "".join(f'<item id="{name}" href="text/{name}.xhtml"/>' for name in sorted(chapters))
    spine = "".join(f'<itemref idref="{name}"/>' for name in chapters)
    container = '<rootfiles><rootfile full-path="OEBPS/book.opf"/></rootfiles>'
    return zip_bytes(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": f"<container>{container}</container>",
            "OEBPS/book.opf": f"<package><metadata><title>{title}</title></metadata>"
            f"<manifest>{items}</manifest><spine>{spine}</spine></package>",
            **{
                f"OEBPS/text/{name}.xhtml": f"<!DOCTYPE html><html><body>{text}</body></html>"
                for name, text in sorted(chapters.items())
            },
        }
    )

"""Limits on the memory and time that a file can take; small files can request gigabytes and hours."""

from dataclasses import dataclass

from retrieval.errors import MediaError


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """The limits of decoding. More than a maximum is refused or left out, and reported.

    Decoders get them with their context, and archives keep them in their listing. Bounds that depend only on
    a file format are constants in the module of the format.
    """

    # Images
    max_image_pixels: int = 178_000_000  # a 20 KB PNG can decode to gigabytes; Pillow's limit is above this
    max_jpeg_pixels: int = 300_000_000  # of a JPEG of one scan, which is decoded at a scale within the limit
    max_image_file_bytes: int = 500_000_000  # of formats whose decoder reads the complete file
    max_jpeg_scan_pixels: int = 2_000_000_000  # scans x pixels of a JPEG: some seconds
    min_jpeg_scan_limit: int = 32  # scans that any JPEG may have; encoders write 6 to 23
    max_jpeg_scan_limit: int = 1_000  # scans that no JPEG may exceed
    max_svg_bytes: int = 20_000_000  # of XML
    max_cover_pixels: int = 40_000_000  # of the cover of an audio file
    max_animation_frames: int = 1_000  # from which the distinct ones are chosen
    max_animation_pixels: int = 60_000_000  # of all frames: those of a 1.6 MB GIF can take 20 seconds
    max_tiff_pages: int = 50  # that are embedded
    max_tiff_pixels: int = 400_000_000  # of all pages of a TIFF
    large_image_pixels: int = 40_000_000  # larger images are decoded one at a time
    band_pixels: int = 4_000_000  # of a large image, converted at a time

    # Archives
    max_members: int = 250_000  # files of an archive
    max_member_bytes: int = 1_000_000_000  # of a decompressed file
    max_directory_bytes: int = 50_000_000  # of the directory of a zip, which lists about 400,000 files
    always_allowed_bytes: int = 500_000_000  # to which any archive may unpack
    max_compression_ratio: int = 100  # of archives that unpack to more
    max_xz_memory_bytes: int = 256_000_000  # of a decoder
    member_memory_bytes: int = 8_000_000  # a larger file is decompressed to a temporary file

    # Texts and captions
    max_text_bytes: int = 50_000_000  # of text, RTF, subtitle and caption files
    max_html_bytes: int = 20_000_000  # of web pages and MIME archives
    max_passages: int = 200_000  # passages, captions or subtitles of a file
    max_table_passages: int = 5_000  # rows of a table without captions, or of a spreadsheet
    max_source_passages: int = 200  # of code, data or a log, which would outnumber the notes of a library
    max_source_line: int = 2_000  # characters; of a file with a longer line, one passage is read: generated

    # Documents
    max_pages: int = 5_000  # pages, slides or chapters of a document
    max_characters: int = 20_000_000  # of the text of a document, four times the Bible
    pdf_seconds: float = 20.0  # of processor time to read a PDF, and
    pdf_page_seconds: float = 2.0  # for each of its pages in addition, up to
    pdf_total_seconds: float = 900.0  # in total
    pages_in_memory: int = 64  # pages of a longer PDF are embedded in batches of this size
    max_document_bytes: int = 100_000_000  # unpacked, of an office file
    max_document_directory_bytes: int = 20_000_000  # of an office file, about 200,000 members
    max_document_part_bytes: int = 5_000_000  # of relationships and manifests
    max_repair_bytes: int = 200_000_000  # of a truncated office file

    # Sandboxed subprocesses
    max_sandbox_seconds: float = 20.0  # for one page of a PDF, to open it, or for an SVG
    max_sandbox_memory_bytes: int = 2_000_000_000  # of a subprocess for PDF or SVG
    max_decoder_memory_bytes: int = 4_000_000_000  # of a subprocess for images, audio and video
    min_decoded_bytes_per_second: int = 1_000_000  # of a large file, in addition to max_sandbox_seconds

    # Files decoded ahead of embedding
    max_prefetch_bytes: int = 64_000_000  # of pixels and text; no further file is started beyond it

    # Audio
    audio_chunk_seconds: float = 300.0  # in memory at a time
    quiet_search_seconds: float = 20.0  # at the end of a chunk, which is cut at their quietest point

    # Downloads
    max_download_bytes: int = 50_000_000  # of an image from a URL
    max_download_seconds: float = 20.0  # of the complete download

    def max_jpeg_scans(self, pixels: int) -> int:
        """Return the limit of the scans of a JPEG with this many pixels."""
        scans = self.max_jpeg_scan_pixels // max(1, pixels)
        return min(max(scans, self.min_jpeg_scan_limit), self.max_jpeg_scan_limit)

    def max_pdf_seconds(self, page_count: int) -> float:
        """Return the limit of the processor time to read a PDF."""
        return min(self.pdf_seconds + self.pdf_page_seconds * page_count, self.pdf_total_seconds)

    def max_decode_seconds(self, file_bytes: int) -> float:
        """Return the time for an image, or until the next part of an audio or video file."""
        return self.max_sandbox_seconds + file_bytes / self.min_decoded_bytes_per_second

    def max_unpacked_bytes(self, packed_bytes: int) -> int:
        """Return the limit of the unpacked size of an archive."""
        return max(self.always_allowed_bytes, self.max_compression_ratio * packed_bytes)


DEFAULT_LIMITS = DecodeLimits()


def check_pixel_limit(width: int, height: int, max_pixels: int) -> None:
    """Raise MediaError if an image has more pixels than the limit."""
    if width * height > max_pixels:
        raise MediaError(f"{width} x {height} pixels, more than the limit of {max_pixels:,}")

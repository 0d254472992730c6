"""Image files as upright sRGB.

color       Convert images to sRGB, the color space of training images, with their ICC profile.
fax_tiff    Decode TIFFs with fax compression (CCITT) so that the rows that damage takes are known.
jpeg_xl     Open JPEG XL (extra `jxl`). Its decoder has no size limit, so the size is read from the header fir
jpeg        Open JPEG files, also those of more pixels than Pillow allows, and limit their scans.
loader      Load image files of the supported formats as upright sRGB, reduced to the size that is needed.
pixels      Pixel conversions: orientation, transparency, 16-bit and float scaling.
psd         Open Photoshop files, also with 16 bits per channel, and large documents (PSB).
raw         Open camera raw files: their largest JPEG preview, or the developed sensor data (extra `raw`).
signatures  Detect the format of image files from their first bytes; file names are not used.
svg         Open SVG drawings with resvg (extra `svg`), in a sandboxed subprocess.
svg_worker  Render SVG files in a sandboxed subprocess; files and URLs that a drawing refers to are not opened
truncated   Load truncated images as far as possible: the rows before the end, or the first progressive scans.
"""

"""PDF, office and HTML documents, and messages.

html         Decoder of web pages, alone or in a MIME archive: passages of their visible text.
html_text    The visible text of HTML as paragraphs, read in one pass.
message      Decoder of e-mail messages (.eml): subject, people, text and names of attachments.
office       Decoder of Word, Excel, PowerPoint, OpenDocument, RTF and EPUB files: passages in reading order.
pdf          Decode PDFs: a segment for the image of each page, and for each passage of its text.
pdf_process  Read the pages of PDFs in sandboxed subprocesses: pdfium is not thread-safe, and has no limits.
pdf_worker   Read pages of PDFs with pdfium; runs in a sandboxed subprocess, see `indexer.decode.documents.pdf
rtf          The text of an RTF file, read in one pass.
spreadsheet  The rows of Excel and OpenDocument spreadsheets as paragraphs.
zip_xml      Zip files of XML, opened within limits that do not depend on what the files declare.
"""

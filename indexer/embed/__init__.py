"""Segments to vectors, in batches.

archive_order  Order files so that archives are read sequentially.
batches        Batch the segments of decoded files, and embed them.
files          Embed files without a library, with the decoding, embedding and rounding of indexing.
long_texts     Embed drafts whose text may be longer than the context of the text encoder.
"""

"""Write the vectors of a library for other programs.

batches         Read the vectors of a space with their segments.
clip_retrieval  Write the folder that clip-retrieval reads.
files           Write vectors as NumPy or Parquet files.
write           Write the vectors of a library in a format.
"""

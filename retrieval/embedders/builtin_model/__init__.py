"""The files of the built-in model, and code that uses them where they lie, for searches that start fast.

checksums   Verify the files once, and remember it until their size or time changes.
pixels      Prepare images for the built-in model, also in a subprocess that decodes them.
text_tower  The text tower of the built-in model in numpy: it reads the weights in the ONNX file.
unigram     The Unigram tokenizer of the built-in model, on tables that are mapped instead of built.
"""

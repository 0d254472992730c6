"""Models: images and texts in, unit vectors of one shared space out.

base           The protocol of embedders: images and texts in, unit vectors of one shared space out.
builtin        The model that is part of the package: two small towers, no torch, no download.
builtin_model/ The files of the built-in model, and code that uses them where they lie, for a fast start.
model_cache    Prepared models: one folder each in the cache, with all files that are needed to run them offli
model_list     List the models of open_clip and their state on this machine, without torch and without the hub
model_name     Names of models, and the sources that they refer to.
onnx_tower     Towers exported to ONNX, on onnxruntime, which starts in a fraction of a second without torch.
open_clip      Prepared models of open_clip, with their own tokenizer and preprocessing, in the fastest precis
pace           Measure the speed of an embedder, so that its calls and batches take about the same time.
preprocessing  Resize and crop images as open_clip does, without torch.
registry       Load an embedder by name; list available models.
tokenizer      Convert texts to token ids as open_clip does, without torch, with the library `tokenizers`.
torch_towers   The towers of an open_clip model on torch, in a precision and on a device.
"""

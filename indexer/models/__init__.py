"""Obtain and prepare models.

checkpoint            Find the configuration, the weights and the tokenizer of a model, as open_clip does.
hub                   Download models from the Hugging Face hub into its cache.
onnx_export           Export towers to ONNX, for onnxruntime.
options               Options of loading a model.
precision             Choose the fastest accurate precision of a model on this machine, by measuring.
precision_candidates  Precisions of a model that may be the fastest on a device, and images to measure them.
prepare               Prepare a model for this machine: export and verify its towers.
resolve               Resolve the name of a model to an embedder, and prepare the model if needed.
text_vectors          Keep the vectors of texts that are part of clew with the model.
tokenizer_export      Export open_clip's tokenizers to files that need no torch.
"""

"""Export towers to ONNX, for onnxruntime."""

import contextlib
import io
from pathlib import Path

import torch

from retrieval.quiet import quiet


def export(
    tower: torch.nn.Module, example: torch.Tensor, file: Path, *, max_length: int | None = None
) -> None:
    """Export a tower for any number of rows like the (2, ...) example, its weights in a second file.

    With `max_length`, rows may have any length up to it.
    """
    sizes = {0: torch.export.Dim("n")}
    if max_length is not None:
        sizes[1] = torch.export.Dim("length", max=max_length)
    with quiet(), contextlib.redirect_stdout(io.StringIO()), torch.inference_mode():
        torch.onnx.export(
            tower,
            (example,),
            str(file),
            input_names=["rows"],
            output_names=["vectors"],
            dynamic_shapes=(sizes,),
            dynamo=True,
            external_data=True,
            verbose=False,
        )


def quantize(source: Path, file: Path) -> None:
    """Quantize the matrices of a tower to int8, with one scale per column, and their inputs dynamically.

    Only 7 of the 8 bits are used, because processors without VNNI add pairs of products in 16 bits.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with quiet(), contextlib.redirect_stdout(io.StringIO()):
        quantize_dynamic(
            source,
            file,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            op_types_to_quantize=["MatMul", "Gemm"],
            use_external_data_format=True,
        )


def delete_tower(file: Path) -> None:
    """Delete a tower and the file of its weights."""
    for path in file.parent.glob(f"{file.name}*"):
        path.unlink()

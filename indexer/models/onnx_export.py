"""Write a tower as ONNX, for onnxruntime."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch


def export(
    tower: torch.nn.Module, example: torch.Tensor, file: Path, *, max_length: int | None = None
) -> None:
    """Write a tower for any number of rows like the (2, ...) example, its weights in a file beside it.

    With `longest` its rows may have any length up to that.
    """
    sizes = {0: torch.export.Dim("n")}
    if max_length is not None:
        sizes[1] = torch.export.Dim("length", max=max_length)
    with _quiet(), torch.inference_mode():
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
    """Write a tower with its matrices in int8, a scale a column, their inputs scaled as they come.

    7 bits of the 8 are used, because processors without VNNI add pairs of products in 16.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quiet():
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
    """Delete a tower and the weights beside it."""
    for path in file.parent.glob(f"{file.name}*"):
        path.unlink()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' remarks to ourselves; what matters is checked against torch afterwards."""
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)

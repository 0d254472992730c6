"""Suppress the warnings and log messages of dependencies.

All of this is state of the process, which is why it is in one module.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any

_process_state_lock = RLock()


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress warnings and log messages of any library."""
    with _process_state_lock, warnings.catch_warnings():
        level = logging.root.manager.disable
        logging.disable(logging.WARNING)
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logging.disable(level)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Suppress the warnings and progress bars of transformers and huggingface_hub."""
    from transformers import utils

    loggers: Any = utils.logging
    level, has_bars = loggers.get_verbosity(), loggers.is_progress_bar_enabled()
    with _process_state_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loggers.set_verbosity(logging.CRITICAL)
        loggers.disable_progress_bar()
        try:
            yield
        finally:
            loggers.set_verbosity(level)
            if has_bars:
                loggers.enable_progress_bar()


def ignore_pillow_warnings() -> None:
    """Ignore Pillow's warnings about large images and about metadata, from now on.

    The loader has its own limit of pixels, and files that cannot be decoded are reported.
    """
    from PIL import Image

    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


def ignore_pymilvus_messages() -> None:
    """Ignore the logs of pymilvus and milvus-lite, from now on: they write errors with traces to stderr."""
    for name in ("pymilvus", "milvus_lite"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)

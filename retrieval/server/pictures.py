"""Keep uploaded pictures for queries."""

import io
import secrets
from collections import OrderedDict
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

from retrieval.server.input import decode_picture


class Pictures:
    """Uploaded pictures, decoded and small, in a private folder that is deleted at the end.

    Other temporary files can be written into it.
    """

    def __init__(self, max_pictures: int) -> None:
        self.max_pictures, self._lock = max_pictures, Lock()
        self._folder: TemporaryDirectory[str] | None = None  # created with the first picture
        self._files = OrderedDict[str, Path]()  # token -> file

    def add(self, data: bytes, min_side: int) -> str:
        """Decode a picture in a sandbox, keep it with at least `min_side` pixels, and return its token.

        Raises QueryError.
        """
        picture = decode_picture(io.BytesIO(data), min_side)
        token = secrets.token_urlsafe(9)
        file = self.open_folder() / f"{token}.png"
        picture.save(file, compress_level=1)
        with self._lock:
            self._files[token] = file
            while len(self._files) > self.max_pictures:
                self._files.popitem(last=False)[1].unlink(missing_ok=True)
        return token

    def open_folder(self) -> Path:
        """Return the folder, a new one if the system has deleted it, as it does with old temporary files."""
        with self._lock:
            if self._folder is not None and not Path(self._folder.name).is_dir():
                self._folder.cleanup()
                self._folder = None
            if self._folder is None:
                self._folder = TemporaryDirectory(prefix="clew-pictures-", ignore_cleanup_errors=True)
            return Path(self._folder.name)

    def find(self, token: str) -> str | None:
        """Return the file of a picture, None if it has been forgotten or deleted."""
        with self._lock:
            file = self._files.get(token)
            if file is None or not file.is_file():
                return None
            self._files.move_to_end(token)
            return str(file)

    def close(self) -> None:
        """Delete the pictures."""
        if self._folder is not None:
            self._folder.cleanup()

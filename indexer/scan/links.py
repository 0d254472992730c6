"""Which links to folders a walk follows: one to each folder outside of the root."""

import os

from indexer.scan.rules import is_included
from indexer.scan.targets import ScanTarget


class FollowedLinks:
    """The links in a target that are followed.

    Of several links to a folder, that of an earlier walk is followed again, else the first: the walk of a
    part of a root must follow the same links as the walk of all of it.
    """

    def __init__(self, target: ScanTarget) -> None:
        self.found: dict[bytes, bytes] = {}  # real path of a folder -> path of its link under the root
        self._target, self._known = target, dict(target.known_links)
        self._real_root = os.path.realpath(target.root_path)
        self._by_inode: dict[tuple[int, int], bytes] = {}

    def follows(self, path: bytes) -> bool:
        """Return True unless a link leads into the root, above it, or to the folder of another link."""
        full_path = os.path.join(self._target.root_path, path)
        real_path = os.path.realpath(full_path)
        if os.path.commonpath((real_path, self._real_root)) in (self._real_root, real_path):
            return False
        known = self._known.get(real_path, path)
        if known != path and self._is_valid(known, real_path):
            return False
        try:
            status = os.stat(full_path)
        except OSError:
            return False
        if self._by_inode.setdefault((status.st_dev, status.st_ino), path) != path:
            return False
        self.found[real_path] = path
        return True

    def follows_parents(self) -> bool:
        """Return True unless the path of the target contains a link that is not followed."""
        parts = self._target.subpath.split(b"/") if self._target.subpath else []
        paths = [b"/".join(parts[: count + 1]) for count in range(len(parts))]
        root = self._target.root_path
        return all(self.follows(path) for path in paths if os.path.islink(os.path.join(root, path)))

    def _is_valid(self, path: bytes, real_path: bytes) -> bool:
        """Return True if a known link is included and still leads to a folder."""
        target = self._target
        is_nested = any((path + b"/").startswith(nested + b"/") for nested in target.nested_roots)
        is_same = os.path.realpath(os.path.join(target.root_path, path)) == real_path
        return is_same and not is_nested and is_included(target.options, path)

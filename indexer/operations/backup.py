"""Public API: back up and restore a library."""

from pathlib import Path

from indexer.maintenance.backup.archive import Backup, write_backup
from indexer.maintenance.backup.restore import Restored, restore_backup
from indexer.store.location import existing_library, library_path
from indexer.types import Progress, no_progress
from retrieval.system import expand_user


def backup_library(
    file: str | Path,
    *,
    library: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Backup:
    """Copy a library into a tar archive, also while it is in use; media files are not copied.

    If `file` is a folder or has no suffix, an archive with the date in its name is made in this folder.
    Raises LibraryError, and LibraryDamaged if the library is damaged.
    """
    return write_backup(existing_library(library), expand_user(file), progress, overwrite=overwrite)


def restore_library(
    file: str | Path,
    *,
    library: str | Path | None = None,
    replace: bool = False,
    progress: Progress = no_progress,
) -> Restored:
    """Restore a library from a backup; with `replace`, an existing one is kept under another name.

    Raises LibraryError, and LibraryDamaged if the backup is damaged; then nothing has changed.
    """
    return restore_backup(expand_user(file), library_path(library), progress, replace=replace)

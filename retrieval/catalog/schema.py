"""Files of a library, and names of its tables."""

CATALOG_FILE = "catalogue.sqlite"  # the file in a library's folder
INDEX_FOLDER = "indexes"  # the folder of index files, every one of which can be made again
THUMBNAILS_FILE = "thumbnails.sqlite"  # beside it, so that it stays small; all of them can be made again
LOCK_FILE = "writer.lock"
LIBRARY_FILE_NAMES = frozenset(
    (
        *(
            f"{database}{part}"
            for database in (CATALOG_FILE, THUMBNAILS_FILE)
            for part in ("", "-wal", "-shm")
        ),
        *(INDEX_FOLDER, LOCK_FILE, f"{LOCK_FILE}ed-by"),
    )
)

# Decoders whose segments belong to other files: the captions of a table to the images that it names.
DECODERS_OF_OTHER_FILES = ("table",)
DESCRIBES_ITSELF = f"reader NOT IN ({', '.join(map(repr, DECODERS_OF_OTHER_FILES))})"  # a condition on files


def vectors_table(space_id: int) -> str:
    """Name the table of this space's vectors: (segment INTEGER PRIMARY KEY, vector BLOB float16)."""
    return f"vectors_{int(space_id)}"

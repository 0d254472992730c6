"""Names of the files and tables of a library."""

CATALOG_FILE = "catalogue.sqlite"
INDEX_FOLDER = "indexes"  # can be rebuilt
THUMBNAILS_FILE = "thumbnails.sqlite"  # separate, to keep the catalog small; can be rebuilt
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

# The captions in a table belong to the images that it names.
DECODERS_OF_OTHER_FILES = ("table",)
DESCRIBES_ITSELF = f"decoder NOT IN ({', '.join(map(repr, DECODERS_OF_OTHER_FILES))})"  # a condition on files

HAS_NO_VECTOR = "s.kind = 'audio' AND s.text IS NULL"  # a sound without tags says nothing


def vectors_table(space_id: int) -> str:
    """Return the name of a space's table of vectors.

    Its columns are (segment INTEGER PRIMARY KEY, vector BLOB), with vectors as float16.
    """
    return f"vectors_{int(space_id)}"

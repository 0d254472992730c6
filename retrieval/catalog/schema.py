"""Names of the files and tables of a library, and statements of migrations."""

from pathlib import Path

# What all migrations make of an empty catalog, for new libraries: SQLite renames a column in 5 ms.
CURRENT_SCHEMA_FILE = Path(__file__).with_name("current_schema.sql")  # an empty line between statements

CATALOG_FILE = "catalogue.sqlite"
KEPT_CATALOGS = f"{CATALOG_FILE}.damaged-*"  # that a repair has replaced
CHECKSUMS_FILE = "catalogue.checksums"  # of its pages; made again if it is missing
PARITY_FILE = "catalogue.parity"  # of its pages, to restore damaged ones; made again if it is missing
LOSSES_FILE = "catalogue.losses"  # commits that were lost with a damaged log, until a repair
INDEX_FOLDER = "indexes"  # can be rebuilt
THUMBNAILS_FILE = "thumbnails.sqlite"  # separate, to keep the catalog small; can be rebuilt
LOCK_FILE = "writer.lock"
PROGRESS_FILE = "progress.json"  # of the run that holds the lock
LIBRARY_FILE_NAMES = frozenset(
    (
        *(
            f"{database}{part}"
            for database in (CATALOG_FILE, THUMBNAILS_FILE)
            for part in ("", "-wal", "-shm")
        ),
        *(CHECKSUMS_FILE, f".{CHECKSUMS_FILE}.tmp", PARITY_FILE, INDEX_FOLDER, LOCK_FILE),
        *(LOSSES_FILE, f".{LOSSES_FILE}.tmp"),
        *(f"{LOCK_FILE}ed-by", PROGRESS_FILE, f"{PROGRESS_FILE}.new"),
    )
)

APPLIED_MIGRATIONS = "SELECT name FROM _sqlite_migrations WHERE migration_set = 'clew'"

# The captions in a table belong to the images that it names.
DECODERS_OF_OTHER_FILES = ("table",)
DESCRIBES_ITSELF = f"decoder NOT IN ({', '.join(map(repr, DECODERS_OF_OTHER_FILES))})"  # a condition on files

HAS_NO_VECTOR = "s.kind = 'audio' AND s.text IS NULL"  # a sound without tags says nothing


# The tables that filters and the backgrounds of calibrations are read from.
COUNTED_TABLES = ("roots", "files", "contents", "segments", "keywords", "tags", "captions", "backgrounds")
CHANGE_COUNT = (
    # The number of changes to the counted tables. What was read of them is correct while it is equal.
    """CREATE TABLE change_count (changes INTEGER NOT NULL) STRICT""",
    """INSERT INTO change_count VALUES (0)""",
    *(
        f"""CREATE TRIGGER {table}_count_{event.lower()} AFTER {event} ON {table} BEGIN
            UPDATE change_count SET changes = changes + 1; END"""
        for table in COUNTED_TABLES
        for event in ("INSERT", "UPDATE", "DELETE")
    ),
)
CHANGE_TIMES = (
    # When content or status was last changed, in nanoseconds: a file of the same size and mtime may have
    # other bytes. NULL for files in zip archives, and until the next scan for those of earlier versions.
    """ALTER TABLE files ADD COLUMN ctime INTEGER""",
    """ALTER TABLE archives ADD COLUMN ctime INTEGER""",
)
FOLLOWED_LINKS = (
    # The links to folders outside of a root that are followed, one for each folder.
    """CREATE TABLE links (
        root INTEGER NOT NULL REFERENCES roots (id) ON DELETE CASCADE,
        folder BLOB NOT NULL,                  -- the real path
        path BLOB NOT NULL,                    -- of the link, under the root
        PRIMARY KEY (root, folder)
    ) STRICT, WITHOUT ROWID""",
)
ASSUMPTIONS = (
    # What a decoder assumed, such as an encoding; earlier it was in the note on what was left out.
    """ALTER TABLE contents ADD COLUMN assumption TEXT""",
    """UPDATE contents SET assumption = substr(note, instr(note, 'declares no encoding')),
               note = nullif(rtrim(substr(note, 1, instr(note, 'declares no encoding') - 1), '; '), '')
         WHERE instr(note, 'declares no encoding') > 0""",
    """UPDATE contents SET assumption = note || coalesce('; ' || assumption, ''), note = NULL
         WHERE note LIKE 'no frame rate in it; its times assume % frames a second'""",
)
ROOT_CHANGES = (
    # Each scan writes its time to the root, which changes no filter.
    """DROP TRIGGER IF EXISTS roots_count_update""",
    """CREATE TRIGGER roots_count_update AFTER UPDATE OF path, state ON roots BEGIN
        UPDATE change_count SET changes = changes + 1; END""",
)
SAVED_SEARCHES = (
    """CREATE TABLE saved_searches (name TEXT PRIMARY KEY, query TEXT NOT NULL) STRICT, WITHOUT ROWID""",
)
MAPS = (
    # The two-dimensional layout of a space.
    """CREATE TABLE maps (
        space INTEGER PRIMARY KEY REFERENCES spaces (id) ON DELETE CASCADE,
        version TEXT NOT NULL,                 -- of the layout
        mapped_to INTEGER NOT NULL,            -- the last segment that was considered
        laid_out INTEGER NOT NULL,             -- points of the last new layout; later ones were placed
        shares TEXT NOT NULL,                  -- JSON: kind -> share of its segments that are points
        segments BLOB NOT NULL,                -- int64, ascending
        positions BLOB NOT NULL,               -- int16, x and y of each segment, 0 to 10,000
        clusters BLOB NOT NULL,                -- int8, the cluster of each segment
        names TEXT NOT NULL                    -- JSON: [[cluster, text, x, y], ...] of named clusters
    ) STRICT""",
)
INDEX_TUNINGS = (
    # The search effort of an index file for queries by words and for queries by images.
    """CREATE TABLE index_tunings (
        space INTEGER NOT NULL REFERENCES spaces (id) ON DELETE CASCADE,
        file TEXT NOT NULL,                    -- name of the index file
        query_mode TEXT NOT NULL CHECK (query_mode IN ('words', 'picture')),
        effort INTEGER NOT NULL,               -- efSearch or nprobe
        recall REAL NOT NULL,                  -- recall@10 against exact search
        p50_ms REAL NOT NULL,                  -- milliseconds of the median query on one core
        p95_ms REAL NOT NULL,
        PRIMARY KEY (space, file, query_mode)
    ) STRICT, WITHOUT ROWID""",
)
PUBLICATIONS = (
    # The collections on the Milvus server that the setting `vectors` names.
    """CREATE TABLE publications (
        collection TEXT PRIMARY KEY,
        space INTEGER UNIQUE REFERENCES spaces (id) ON DELETE SET NULL,  -- NULL: to be dropped
        revision INTEGER NOT NULL,             -- that the last publish wrote into the collection; 0: none
        previous INTEGER NOT NULL,             -- the one that it replaced
        complete INTEGER NOT NULL DEFAULT 0 CHECK (complete IN (0, 1)),  -- 1 after the first publish ended
        written REAL NOT NULL DEFAULT 0        -- Unix time of the last write
    ) STRICT, WITHOUT ROWID""",
    # Segments whose vector was inserted or deleted since; filled by triggers of published spaces.
    """CREATE TABLE unpublished (
        space INTEGER NOT NULL REFERENCES spaces (id) ON DELETE CASCADE,
        segment INTEGER NOT NULL,
        PRIMARY KEY (space, segment)
    ) STRICT, WITHOUT ROWID""",
)
INDEX_RANGES = (
    # Several index files of a kind, each for a range of segments.
    """CREATE TABLE index_ranges (
        space INTEGER NOT NULL REFERENCES spaces (id) ON DELETE CASCADE,
        kind TEXT NOT NULL,
        indexed_after INTEGER NOT NULL,        -- the file covers the segments after this one
        indexed_to INTEGER NOT NULL,           -- and up to this one
        method TEXT NOT NULL,                  -- flat, hnsw or ivf
        file TEXT NOT NULL,
        digest TEXT NOT NULL,                  -- SHA-256 of the file
        size INTEGER NOT NULL,                 -- bytes
        count INTEGER NOT NULL,                -- vectors
        effort INTEGER NOT NULL,               -- efSearch or nprobe, for a query mode without a tuning
        recall REAL NOT NULL,                  -- recall@10 against exact search
        format TEXT NOT NULL,
        mtime INTEGER,                         -- nanoseconds, when the digest was last checked
        PRIMARY KEY (space, kind, indexed_after)
    ) STRICT, WITHOUT ROWID""",
    """INSERT INTO index_ranges
        SELECT i.space, i.kind, 0, s.indexed_to, i.method, i.file, i.digest, i.size, i.count, i.effort,
               i.recall, i.format, i.mtime FROM indexes i JOIN spaces s ON s.id = i.space""",
    """DROP TABLE indexes""",
    """ALTER TABLE index_ranges RENAME TO indexes""",
)

SHARDS = (
    # The shards that were imported completely; a second import skips them.
    """CREATE TABLE shards (
        digest BLOB PRIMARY KEY,               -- SHA-256 of the file
        files INTEGER NOT NULL                 -- in it
    ) STRICT, WITHOUT ROWID""",
)
IMAGE_METADATA = (
    # Read again the metadata of formats whose XMP was ignored: raw files that are TIFF, and Photoshop files.
    """UPDATE analyses SET version = '0' WHERE analysis = 'metadata' AND content IN (
        SELECT content FROM files WHERE lower(CAST(substr(path, -4) AS TEXT)) IN (
            '.dng', '.psd', '.psb', '.nef', '.nrw', '.cr2', '.arw', '.sr2', '.rw2', '.orf', '.pef',
            '.srw'))""",
    # Read again the images that had too many pixels: of JPEG, more are allowed.
    """UPDATE files SET retry = 1 WHERE error LIKE '%pixels, more than the limit of%'
        OR error LIKE 'more pixels than the limit of%'""",
)

TEXT_VERSIONS = (
    # The version of the passages of each content. Version 0 left out texts of messages and documents, and
    # misread the tags of sounds and short texts in old encodings.
    """INSERT OR IGNORE INTO analyses
        SELECT id, 'text', iif(decoder IN ('web', 'office', 'message', 'subtitles')
                               OR assumption LIKE '%declares no encoding%', '0', '1'), NULL
          FROM contents WHERE decoder IN ('text', 'web', 'office', 'message', 'subtitles', 'sound')""",
    """UPDATE analyses SET version = '0' WHERE analysis = 'text' AND content IN (
        SELECT content FROM files WHERE decoder = 'text' AND CAST(path AS TEXT) LIKE '%.ics'
         UNION SELECT f.content FROM files f JOIN segments s ON s.content = f.content
                WHERE f.decoder = 'text' AND CAST(f.path AS TEXT) LIKE '%.json%' AND instr(s.text, '\\')
         UNION SELECT s.content FROM segments s JOIN contents c ON c.id = s.content
                WHERE c.decoder = 'sound' AND s.origin = 'file'
                      AND s.text GLOB '*[' || char(128) || '-' || char(255) || ']*')""",
    """UPDATE files SET retry = 1 WHERE error IS NOT NULL AND decoder IN ('office', 'message')""",
    # Pages with little text may be scans with a stamp.
    """UPDATE analyses SET version = '0' WHERE analysis = 'ocr' AND content IN (
        SELECT s.content FROM segments s JOIN contents c ON c.id = s.content
         WHERE c.decoder = 'document' AND s.origin = 'file' AND s.kind = 'text'
         GROUP BY s.content, s.page HAVING sum(length(s.text)) < 200)""",
)


def vectors_table(space_id: int) -> str:
    """Return the name of a space's table of vectors.

    Its columns are (segment INTEGER PRIMARY KEY, vector BLOB), with vectors as float16.
    """
    return f"vectors_{int(space_id)}"

"""The catalogue's tables, as steps from an empty file to today's shape.

A step that has been released is never edited; a change is a new step at the end. Vectors live in one
table a space, `vectors_ID`, so that a row is found by its segment and a space is dropped at once.
"""

CATALOGUE = "catalogue.sqlite"  # the file in a library's folder
INDEXES = "indexes"  # the folder of index files, every one of which can be made again
LOCK = "writer.lock"
OWN_NAMES = frozenset((CATALOGUE, f"{CATALOGUE}-wal", f"{CATALOGUE}-shm", INDEXES, LOCK, f"{LOCK}ed-by"))

STEPS: dict[str, tuple[str, ...]] = {
    "1-library": (
        """CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT""",
        """CREATE TABLE roots (
            id INTEGER PRIMARY KEY,
            path BLOB NOT NULL UNIQUE,             -- absolute, as the file system spells it
            options TEXT NOT NULL,                 -- JSON: how to scan it
            state TEXT NOT NULL CHECK (state IN ('present', 'offline')),
            scanned TEXT
        ) STRICT""",
        """CREATE TABLE contents (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            hash BLOB NOT NULL,                    -- SHA-256 of the bytes
            reader TEXT NOT NULL,                  -- the same bytes as a caption are other segments
            segments INTEGER,                      -- how many; NULL until all are committed
            width INTEGER,
            height INTEGER,
            taken TEXT,                            -- local time on the camera's clock
            UNIQUE (hash, reader)
        ) STRICT""",
        """CREATE TABLE files (
            id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never reused: a larger one is newer
            root INTEGER NOT NULL REFERENCES roots (id) ON DELETE CASCADE,
            path BLOB NOT NULL,                    -- under the root
            size INTEGER NOT NULL,
            mtime INTEGER NOT NULL,                -- nanoseconds
            reader TEXT NOT NULL,
            picture BLOB,                          -- a caption's picture: its path under the root
            content INTEGER REFERENCES contents (id),
            error TEXT,                            -- why it could not be read
            time TEXT NOT NULL,                    -- when taken, else last written; local
            state TEXT NOT NULL CHECK (state IN ('present', 'offline', 'gone')),
            UNIQUE (root, path)
        ) STRICT""",
        """CREATE INDEX files_by_content ON files (content, state)""",
        """CREATE INDEX files_by_time ON files (time)""",
        """CREATE TABLE segments (
            id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never reused
            content INTEGER NOT NULL REFERENCES contents (id) ON DELETE CASCADE,
            ordinal INTEGER NOT NULL,              -- its place among the content's segments
            kind TEXT NOT NULL CHECK (kind IN ('image', 'video', 'text', 'page', 'audio')),
            text TEXT,
            start REAL,
            "end" REAL,
            page INTEGER,
            box TEXT,
            UNIQUE (content, ordinal)
        ) STRICT""",
        """CREATE INDEX segments_by_kind ON segments (kind)""",
        """CREATE TABLE spaces (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            fingerprint TEXT NOT NULL,
            dim INTEGER NOT NULL,
            through INTEGER NOT NULL DEFAULT 0     -- the last segment its indexes reach
        ) STRICT""",
        """CREATE TABLE indexes (                     -- one a kind of segment: kinds lie far apart in a space
            space INTEGER NOT NULL REFERENCES spaces (id) ON DELETE CASCADE,
            kind TEXT NOT NULL,
            method TEXT NOT NULL,                  -- flat, hnsw or ivf
            file TEXT NOT NULL,
            digest TEXT NOT NULL,                  -- SHA-256 of the file
            size INTEGER NOT NULL,
            count INTEGER NOT NULL,
            effort INTEGER NOT NULL,               -- lists or nodes it looks at for one query
            recall REAL NOT NULL,                  -- recall@10 against exact, measured when built
            PRIMARY KEY (space, kind)
        ) STRICT, WITHOUT ROWID""",
    ),
    "2-spaces": (
        # What the fingerprint covers, as JSON, in words that say what differs.
        """ALTER TABLE spaces ADD COLUMN parts TEXT NOT NULL DEFAULT '{}'""",
        # Whether every segment has its vector; one that a switch could not read is made up for later.
        """ALTER TABLE spaces ADD COLUMN whole INTEGER NOT NULL DEFAULT 1""",
    ),
    "6-calibration": (
        # What is usual in a space: the vectors of background queries, asked in words or by pictures.
        """CREATE TABLE backgrounds (
            space INTEGER NOT NULL REFERENCES spaces (id) ON DELETE CASCADE,
            asked TEXT NOT NULL,                   -- in words, by a picture, or by a sum of several
            version TEXT NOT NULL,                 -- of the bank; of pictures, which
            vectors BLOB NOT NULL,                 -- float16, as long as the space is wide
            PRIMARY KEY (space, asked)
        ) STRICT, WITHOUT ROWID""",
        # How well each of them is matched at best by one kind of segment.
        """CREATE TABLE calibrations (
            space INTEGER NOT NULL REFERENCES spaces (id) ON DELETE CASCADE,
            asked TEXT NOT NULL,
            kind TEXT NOT NULL,
            version TEXT NOT NULL,
            count INTEGER NOT NULL,                -- vectors that were compared
            center REAL NOT NULL,
            spread REAL NOT NULL,
            PRIMARY KEY (space, asked, kind)
        ) STRICT, WITHOUT ROWID""",
    ),
    "8-concepts": (
        """CREATE TABLE concepts (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID""",
        """CREATE TABLE examples (
            concept TEXT NOT NULL REFERENCES concepts (name) ON DELETE CASCADE,
            hash BLOB NOT NULL,                    -- SHA-256 of the file; no content is for and against
            positive INTEGER NOT NULL CHECK (positive IN (0, 1)),
            path BLOB NOT NULL,                    -- where it was, whole
            picture BLOB NOT NULL,                 -- a small JPEG, so that a later model can learn it
            PRIMARY KEY (concept, hash)
        ) STRICT""",
        """CREATE TABLE probes (
            concept TEXT NOT NULL REFERENCES concepts (name) ON DELETE CASCADE,
            space INTEGER NOT NULL REFERENCES spaces (id) ON DELETE CASCADE,
            direction BLOB NOT NULL,               -- float32
            center REAL NOT NULL,
            spread REAL NOT NULL,
            auroc REAL,                            -- how well examples are told apart
            PRIMARY KEY (concept, space)
        ) STRICT, WITHOUT ROWID""",
    ),
}


def vectors_table(space: int) -> str:
    """Name the table of this space's vectors: (segment INTEGER PRIMARY KEY, vector BLOB float16)."""
    return f"vectors_{int(space)}"

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
    "3-details": (
        """ALTER TABLE contents ADD COLUMN zone TEXT""",  # of the clock that `taken` was read from: +02:00
        """ALTER TABLE contents ADD COLUMN camera TEXT""",
        """ALTER TABLE contents ADD COLUMN lens TEXT""",
        """ALTER TABLE contents ADD COLUMN latitude REAL""",  # degrees north
        """ALTER TABLE contents ADD COLUMN longitude REAL""",  # degrees east
        """ALTER TABLE contents ADD COLUMN orientation INTEGER""",  # EXIF's; width and height are as shown
        """ALTER TABLE contents ADD COLUMN rating INTEGER""",  # -1 (rejected) to 5
        """ALTER TABLE contents ADD COLUMN looks BLOB""",  # a perceptual hash, 8 bytes
        """ALTER TABLE contents ADD COLUMN sharpness REAL""",
        # The version of the reader that wrote these; 0 is older than they are.
        """ALTER TABLE contents ADD COLUMN details INTEGER NOT NULL DEFAULT 0""",
        """UPDATE contents SET details = 1 WHERE reader = 'text'""",  # which says nothing of itself
        """CREATE INDEX contents_by_details ON contents (details)""",
        """CREATE INDEX contents_by_camera ON contents (camera) WHERE camera IS NOT NULL""",
        """CREATE INDEX contents_by_lens ON contents (lens) WHERE lens IS NOT NULL""",
        """CREATE INDEX contents_by_place ON contents (latitude, longitude) WHERE latitude IS NOT NULL""",
        """CREATE INDEX contents_by_rating ON contents (rating) WHERE rating IS NOT NULL""",
        """CREATE INDEX contents_by_size ON contents (width, height) WHERE width IS NOT NULL""",
        """CREATE TABLE keywords (                    -- what people wrote into pictures and sidecars
            content INTEGER NOT NULL REFERENCES contents (id) ON DELETE CASCADE,
            name TEXT NOT NULL COLLATE NOCASE,
            PRIMARY KEY (content, name)
        ) STRICT, WITHOUT ROWID""",
        """CREATE INDEX keywords_by_name ON keywords (name)""",
        """CREATE TABLE tags (                        -- what a model says of segments
            segment INTEGER NOT NULL REFERENCES segments (id) ON DELETE CASCADE,
            name TEXT NOT NULL COLLATE NOCASE,
            confidence REAL NOT NULL,
            PRIMARY KEY (name, segment)
        ) STRICT, WITHOUT ROWID""",
        """CREATE INDEX tags_by_segment ON tags (segment)""",
        """CREATE INDEX files_by_picture ON files (root, picture) WHERE picture IS NOT NULL""",
        # Which contents speak of a file: its own, its captions' of a picture, its picture's of a caption.
        """CREATE VIEW says (file, content) AS
            SELECT id, content FROM files
            UNION ALL
            SELECT p.id, c.content FROM files c JOIN files p ON p.root = c.root AND p.path = c.picture
             WHERE c.state != 'gone'
            UNION ALL
            SELECT c.id, p.content FROM files c JOIN files p ON p.root = c.root AND p.path = c.picture
             WHERE p.state != 'gone'""",
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
    "7-labels": (
        # What segments are tagged with, new ones too.
        """CREATE TABLE labels (
            name TEXT PRIMARY KEY COLLATE NOCASE,
            how TEXT NOT NULL,                     -- JSON: what is tagged, and from which confidence on
            basis TEXT NOT NULL,                   -- of what its tags follow; when that changes, all do
            space INTEGER REFERENCES spaces (id) ON DELETE SET NULL,
            through INTEGER NOT NULL               -- the last segment it was held against
        ) STRICT, WITHOUT ROWID""",
    ),
}


def vectors_table(space: int) -> str:
    """Name the table of this space's vectors: (segment INTEGER PRIMARY KEY, vector BLOB float16)."""
    return f"vectors_{int(space)}"

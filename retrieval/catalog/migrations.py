"""The migrations that create the tables of the catalog.

A released migration is never edited; changes are new migrations at the end. Vectors are stored in one table
per space, `vectors_ID`, so that a vector is found by its segment and a space can be dropped at once.
"""

from retrieval.catalog import schema
from retrieval.catalog.keyword_tables import COMPOSED_KEYWORD_TABLES, KEYWORD_TABLES

MIGRATIONS: dict[str, tuple[str, ...]] = {
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
        # JSON: what the fingerprint covers, to describe differences.
        """ALTER TABLE spaces ADD COLUMN parts TEXT NOT NULL DEFAULT '{}'""",
        # 1 if every segment has a vector; a switch may leave some for later.
        """ALTER TABLE spaces ADD COLUMN whole INTEGER NOT NULL DEFAULT 1""",
    ),
    "3-details": (
        """ALTER TABLE contents ADD COLUMN zone TEXT""",  # UTC offset of `taken`: +02:00
        """ALTER TABLE contents ADD COLUMN camera TEXT""",
        """ALTER TABLE contents ADD COLUMN lens TEXT""",
        """ALTER TABLE contents ADD COLUMN latitude REAL""",  # degrees north
        """ALTER TABLE contents ADD COLUMN longitude REAL""",  # degrees east
        """ALTER TABLE contents ADD COLUMN orientation INTEGER""",  # EXIF; width and height are as displayed
        """ALTER TABLE contents ADD COLUMN rating INTEGER""",  # -1 (rejected) to 5
        """ALTER TABLE contents ADD COLUMN looks BLOB""",  # a perceptual hash, 8 bytes
        """ALTER TABLE contents ADD COLUMN sharpness REAL""",
        # Version of the decoder that wrote these columns; 0 is before they existed.
        """ALTER TABLE contents ADD COLUMN details INTEGER NOT NULL DEFAULT 0""",
        """UPDATE contents SET details = 1 WHERE reader = 'text'""",  # text has no metadata
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
        """CREATE INDEX captions_by_content ON files (content) WHERE picture IS NOT NULL""",
        # The contents that describe a file: its own; for an image those of its captions; for a caption that
        # of its image and those of the other captions of that image.
        """CREATE VIEW says (file, content) AS
            SELECT id, content FROM files
            UNION ALL
            SELECT p.id, c.content FROM files c JOIN files p ON p.root = c.root AND p.path = c.picture
             WHERE c.picture IS NOT NULL AND c.state != 'gone'
            UNION ALL
            SELECT c.id, p.content FROM files c JOIN files p ON p.root = c.root AND p.path = c.picture
             WHERE c.picture IS NOT NULL AND p.state != 'gone'
            UNION ALL
            SELECT o.id, c.content FROM files c JOIN files o ON o.root = c.root AND o.picture = c.picture
             WHERE c.picture IS NOT NULL AND c.state != 'gone' AND o.picture IS NOT NULL""",
    ),
    "4-keywords": KEYWORD_TABLES,
    "6-calibration": (
        # The vectors of the background queries of a space, by query mode.
        """CREATE TABLE backgrounds (
            space INTEGER NOT NULL REFERENCES spaces (id) ON DELETE CASCADE,
            asked TEXT NOT NULL,                   -- in words, by a picture, or by a sum of several
            version TEXT NOT NULL,                 -- of the bank; of pictures, which
            vectors BLOB NOT NULL,                 -- float16, as long as the space is wide
            PRIMARY KEY (space, asked)
        ) STRICT, WITHOUT ROWID""",
        # Statistics of their best scores among the segments of a kind.
        """CREATE TABLE calibrations (
            space INTEGER NOT NULL REFERENCES spaces (id) ON DELETE CASCADE,
            asked TEXT NOT NULL,
            kind TEXT NOT NULL,
            version TEXT NOT NULL,
            count INTEGER NOT NULL,                -- vectors that were compared
            center REAL,                           -- NULL where nothing but copies was found
            spread REAL,
            PRIMARY KEY (space, asked, kind)
        ) STRICT, WITHOUT ROWID""",
    ),
    "7-labels": (
        # Labels, which are also given to new segments.
        """CREATE TABLE labels (
            name TEXT PRIMARY KEY COLLATE NOCASE,
            how TEXT NOT NULL,                     -- JSON: what is tagged, and from which confidence on
            basis TEXT NOT NULL,                   -- of what its tags follow; when that changes, all do
            space INTEGER REFERENCES spaces (id) ON DELETE SET NULL,
            through INTEGER NOT NULL               -- the last segment it was held against
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
    "9-media": (
        """ALTER TABLE contents ADD COLUMN duration REAL""",  # seconds
    ),
    "10-tables": (
        """ALTER TABLE segments ADD COLUMN picture BLOB""",  # image that a caption in a table names
        # A caption in a table belongs to one image for each file of the table.
        """CREATE TABLE captions (
            segment INTEGER NOT NULL REFERENCES segments (id) ON DELETE CASCADE,
            file INTEGER NOT NULL REFERENCES files (id) ON DELETE CASCADE,  -- the table
            picture BLOB NOT NULL,                 -- its path under the root
            PRIMARY KEY (segment, file)
        ) STRICT, WITHOUT ROWID""",
        """CREATE INDEX captions_by_file ON captions (file)""",
        """CREATE INDEX captions_by_picture ON captions (picture)""",
        # Captions whose image exists; the others are not findable.
        """CREATE VIEW captioned (segment, source, file) AS
            SELECT c.segment, t.id, p.id FROM captions c JOIN files t ON t.id = c.file
              JOIN files p ON p.root = t.root AND p.path = c.picture
             WHERE t.state != 'gone' AND p.state != 'gone'""",
    ),
    "11-tiles": (
        """ALTER TABLE contents ADD COLUMN tiles INTEGER""",  # number of tiles; NULL if not computed
    ),
    "12-said": (
        # Progress of OCR and speech recognition, also for contents without text.
        """CREATE TABLE said (
            content INTEGER NOT NULL REFERENCES contents (id) ON DELETE CASCADE,
            how TEXT NOT NULL CHECK (how IN ('ocr', 'speech')),
            version TEXT NOT NULL,                 -- of the model; what another has found gives way
            upto REAL,                             -- seconds or pages; NULL is all of it
            PRIMARY KEY (content, how)
        ) STRICT, WITHOUT ROWID""",
    ),
    "13-archives": (
        # Completely indexed archives; unchanged ones are not opened again.
        """CREATE TABLE archives (
            root INTEGER NOT NULL REFERENCES roots (id) ON DELETE CASCADE,
            path BLOB NOT NULL,                    -- under the root; its files are those below it
            size INTEGER NOT NULL,
            mtime INTEGER NOT NULL,                -- nanoseconds
            how TEXT NOT NULL,                     -- what was looked for, as a checksum
            read INTEGER NOT NULL,                 -- how many of its files could be read
            failed INTEGER NOT NULL,               -- and how many could not
            error TEXT,                            -- what is wrong with the archive itself
            PRIMARY KEY (root, path)
        ) STRICT, WITHOUT ROWID""",
    ),
    "14-sounds": (  # sounds become a value of `how`; SQLite cannot change a CHECK in place
        """CREATE TABLE looked (
            content INTEGER NOT NULL REFERENCES contents (id) ON DELETE CASCADE,
            how TEXT NOT NULL CHECK (how IN ('ocr', 'speech', 'sounds')),
            version TEXT NOT NULL,                 -- of the model; what another has found gives way
            upto REAL,                             -- seconds or pages; NULL is all of it
            PRIMARY KEY (content, how)
        ) STRICT, WITHOUT ROWID""",
        """INSERT INTO looked SELECT content, how, version, upto FROM said""",
        """DROP TABLE said""",
        """ALTER TABLE looked RENAME TO said""",
    ),
    "15-plain-names": (
        # Progress of every analysis of a content, also of those that found nothing.
        """CREATE TABLE analyses (
            content INTEGER NOT NULL REFERENCES contents (id) ON DELETE CASCADE,
            analysis TEXT NOT NULL,                -- ocr, speech, sounds, tiles or metadata
            version TEXT NOT NULL,                 -- of the model or the decoder
            progress REAL,                         -- seconds or pages; NULL is complete
            PRIMARY KEY (content, analysis)
        ) STRICT, WITHOUT ROWID""",
        """CREATE INDEX analyses_by_version ON analyses (analysis, version)""",
        """INSERT INTO analyses SELECT content, how, version, upto FROM said""",
        """DROP TABLE said""",
        """INSERT INTO analyses SELECT id, 'tiles', '1', NULL FROM contents WHERE tiles IS NOT NULL""",
        """ALTER TABLE contents DROP COLUMN tiles""",
        """INSERT INTO analyses
            SELECT id, 'metadata', CAST(details AS TEXT), NULL FROM contents
             WHERE reader IN ('picture', 'caption')""",
        """DROP INDEX contents_by_details""",
        """ALTER TABLE contents DROP COLUMN details""",
        # What made a segment; earlier it was encoded in the ordinal.
        """ALTER TABLE segments ADD COLUMN origin TEXT NOT NULL DEFAULT 'file'""",
        """UPDATE segments SET origin = CASE WHEN ordinal >= 3298534883328 THEN 'sounds'
             WHEN ordinal >= 2199023255552 THEN 'speech' WHEN ordinal >= 1099511627776 THEN 'ocr'
             WHEN kind = 'image' AND box IS NOT NULL THEN 'tiles' ELSE 'file' END WHERE ordinal >= 1000000""",
        *(f"DROP VIEW {view}" for view in ("says", "captioned")),
        *(f"DROP INDEX {index}" for index in ("files_by_picture", "captions_by_picture")),
        """ALTER TABLE contents RENAME COLUMN reader TO decoder""",
        """ALTER TABLE files RENAME COLUMN reader TO decoder""",
        """ALTER TABLE files RENAME COLUMN picture TO sidecar_of""",
        """ALTER TABLE captions RENAME COLUMN picture TO image""",
        """CREATE INDEX files_by_sidecar_of ON files (root, sidecar_of) WHERE sidecar_of IS NOT NULL""",
        """CREATE INDEX captions_by_image ON captions (image)""",
        """ALTER TABLE segments RENAME COLUMN picture TO caption_target""",
        """ALTER TABLE contents RENAME COLUMN looks TO perceptual_hash""",
        """ALTER TABLE spaces RENAME COLUMN through TO indexed_to""",
        """ALTER TABLE spaces RENAME COLUMN whole TO complete""",
        """ALTER TABLE labels RENAME COLUMN how TO rule""",
        """ALTER TABLE labels RENAME COLUMN through TO tagged_to""",
        """ALTER TABLE archives RENAME COLUMN how TO options_hash""",
        """ALTER TABLE backgrounds RENAME COLUMN asked TO query_mode""",
        """ALTER TABLE calibrations RENAME COLUMN asked TO query_mode""",
        # Which contents describe a file: its own; for an image those of its captions; for a caption that of
        # its image and those of the other captions of that image.
        """CREATE VIEW described_by (file, content) AS
            SELECT id, content FROM files
            UNION ALL
            SELECT p.id, c.content FROM files c JOIN files p ON p.root = c.root AND p.path = c.sidecar_of
             WHERE c.sidecar_of IS NOT NULL AND c.state != 'gone'
            UNION ALL
            SELECT c.id, p.content FROM files c JOIN files p ON p.root = c.root AND p.path = c.sidecar_of
             WHERE c.sidecar_of IS NOT NULL AND p.state != 'gone'
            UNION ALL
            SELECT o.id, c.content FROM files c
              JOIN files o ON o.root = c.root AND o.sidecar_of = c.sidecar_of
             WHERE c.sidecar_of IS NOT NULL AND c.state != 'gone' AND o.sidecar_of IS NOT NULL""",
        # The images that captions of tables name, if they exist.
        """CREATE VIEW caption_images (segment, source, file) AS
            SELECT c.segment, t.id, p.id FROM captions c JOIN files t ON t.id = c.file
              JOIN files p ON p.root = t.root AND p.path = c.image
             WHERE t.state != 'gone' AND p.state != 'gone'""",
        # The absolute paths at which a content can be read now.
        """CREATE VIEW present_files (content, path) AS
            SELECT f.content, CAST(iif(r.path = x'2f', x'', r.path) || x'2f' || f.path AS BLOB)
              FROM files f JOIN roots r ON r.id = f.root
             WHERE f.state = 'present' AND r.state = 'present'""",
        # Read a file again although its size and time are unchanged; earlier its size was -1.
        """ALTER TABLE files ADD COLUMN retry INTEGER NOT NULL DEFAULT 0 CHECK (retry IN (0, 1))""",
        """UPDATE files SET retry = 1 WHERE size = -1""",
        # The model of a space. Another name marks a space that a newer version of the model replaced;
        # earlier the model was parsed from that name.
        """ALTER TABLE spaces ADD COLUMN model TEXT NOT NULL DEFAULT ''""",
        """UPDATE spaces SET model = iif(instr(name, ' (before '),
             substr(name, 1, instr(name, ' (before ') - 1), name)""",
        # The internal format of an index file; earlier it was parsed from the file name.
        """ALTER TABLE indexes ADD COLUMN format TEXT NOT NULL DEFAULT ''""",
        """UPDATE indexes SET format = CASE WHEN instr(file, '-flat-') THEN 'flat'
             WHEN instr(file, '-hnsw+sketch-') THEN 'hnsw+sketch' WHEN instr(file, '-hnsw-') THEN 'hnsw'
             WHEN instr(file, '-ivf-') THEN 'ivf' ELSE '' END""",
    ),
    "16-video-versions": (
        # The version of the decoder of each video: the times of version 1 count from the first picture.
        """INSERT OR IGNORE INTO analyses
            SELECT id, 'scenes', '1', NULL FROM contents WHERE decoder = 'video'""",
    ),
    "18-composed-texts": COMPOSED_KEYWORD_TABLES,
    "19-capture-times": (
        # Read again the images with EXIF but without a capture time: more ways to write it are known.
        """UPDATE analyses SET version = '0' WHERE analysis = 'metadata' AND content IN (
            SELECT id FROM contents WHERE taken IS NULL AND camera IS NOT NULL)""",
    ),
    "20-mounts": (
        # Folders in roots that are mount points of drives, or links to them.
        """CREATE TABLE mounts (
            root INTEGER NOT NULL REFERENCES roots (id) ON DELETE CASCADE,
            path BLOB NOT NULL,                    -- under the root
            is_link INTEGER NOT NULL CHECK (is_link IN (0, 1)),
            PRIMARY KEY (root, path)
        ) STRICT, WITHOUT ROWID""",
    ),
    "21-partial-reads": (
        # What a decoder left out of a content.
        """ALTER TABLE contents ADD COLUMN note TEXT""",
        """CREATE INDEX contents_by_note ON contents (id) WHERE note IS NOT NULL""",
        # Files and folders that the last scan could not read.
        """CREATE TABLE unreadable (
            root INTEGER NOT NULL REFERENCES roots (id) ON DELETE CASCADE,
            path BLOB NOT NULL,                    -- under the root
            PRIMARY KEY (root, path)
        ) STRICT, WITHOUT ROWID""",
    ),
    "22-calibrated-lists": (
        # The best scores of the background queries in a kind, float32 (NaN: none), from which the confidence
        # in a list of all kinds is calibrated.
        # A new table, as an early version 0.2 required a center.
        """CREATE TABLE calibrated (
            space INTEGER NOT NULL REFERENCES spaces (id) ON DELETE CASCADE,
            query_mode TEXT NOT NULL,
            kind TEXT NOT NULL,
            version TEXT NOT NULL,
            count INTEGER NOT NULL,                -- vectors that were compared
            center REAL,                           -- NULL if they are too few or copies of the queries
            spread REAL,
            best_scores BLOB,
            PRIMARY KEY (space, query_mode, kind)
        ) STRICT, WITHOUT ROWID""",
        """INSERT INTO calibrated
            SELECT space, query_mode, kind, version, count, center, spread, NULL FROM calibrations""",
        """DROP TABLE calibrations""",
        """ALTER TABLE calibrated RENAME TO calibrations""",
        # The distinct words of texts and names, among which misspelled words are looked up.
        """CREATE VIRTUAL TABLE text_vocabulary USING fts5vocab (text_words, row)""",
        """CREATE VIRTUAL TABLE name_vocabulary USING fts5vocab (name_words, row)""",
        # A sound without tags says nothing; earlier its text was "sound recording".
        """UPDATE segments SET text = NULL WHERE kind = 'audio' AND text = 'sound recording'""",
    ),
    "23-last-files": (
        # The newest file of the library when all of a root was last scanned.
        """ALTER TABLE roots ADD COLUMN last_file INTEGER NOT NULL DEFAULT 0""",
        """UPDATE roots SET last_file = (SELECT coalesce(max(id), 0) FROM files)""",
    ),
    "24-change-count": schema.CHANGE_COUNT,
    "25-change-times": schema.CHANGE_TIMES,
    "26-followed-links": schema.FOLLOWED_LINKS,
    "27-assumptions": schema.ASSUMPTIONS,
    "28-architectures": ("""ALTER TABLE spaces ADD COLUMN arch TEXT""",),  # of local weights, for a new cache
    "29-root-changes": schema.ROOT_CHANGES,
    "30-saved-searches": schema.SAVED_SEARCHES,
    "31-maps": schema.MAPS,
    # When the digest of an index file was last checked; a reader checks a file that was modified since.
    "32-index-times": ("""ALTER TABLE indexes ADD COLUMN mtime INTEGER""",),
    "33-index-tunings": schema.INDEX_TUNINGS,
    "34-publications": schema.PUBLICATIONS,
    "35-index-ranges": schema.INDEX_RANGES,
    "36-shards": schema.SHARDS,
    "37-text-versions": schema.TEXT_VERSIONS,
    "38-image-metadata": schema.IMAGE_METADATA,
}

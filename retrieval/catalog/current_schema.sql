CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT

CREATE TABLE roots (
            id INTEGER PRIMARY KEY,
            path BLOB NOT NULL UNIQUE,             -- absolute, as the file system spells it
            options TEXT NOT NULL,                 -- JSON: how to scan it
            state TEXT NOT NULL CHECK (state IN ('present', 'offline')),
            scanned TEXT
        , last_file INTEGER NOT NULL DEFAULT 0) STRICT

CREATE TABLE contents (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            hash BLOB NOT NULL,                    -- SHA-256 of the bytes
            decoder TEXT NOT NULL,                  -- the same bytes as a caption are other segments
            segments INTEGER,                      -- how many; NULL until all are committed
            width INTEGER,
            height INTEGER,
            taken TEXT, zone TEXT, camera TEXT, lens TEXT, latitude REAL, longitude REAL, orientation INTEGER, rating INTEGER, perceptual_hash BLOB, sharpness REAL, duration REAL, note TEXT, assumption TEXT,                            -- local time on the camera's clock
            UNIQUE (hash, decoder)
        ) STRICT

CREATE TABLE files (
            id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never reused: a larger one is newer
            root INTEGER NOT NULL REFERENCES roots (id) ON DELETE CASCADE,
            path BLOB NOT NULL,                    -- under the root
            size INTEGER NOT NULL,
            mtime INTEGER NOT NULL,                -- nanoseconds
            decoder TEXT NOT NULL,
            sidecar_of BLOB,                          -- a caption's picture: its path under the root
            content INTEGER REFERENCES contents (id),
            error TEXT,                            -- why it could not be read
            time TEXT NOT NULL,                    -- when taken, else last written; local
            state TEXT NOT NULL CHECK (state IN ('present', 'offline', 'gone')), retry INTEGER NOT NULL DEFAULT 0 CHECK (retry IN (0, 1)), ctime INTEGER,
            UNIQUE (root, path)
        ) STRICT

CREATE INDEX files_by_content ON files (content, state)

CREATE INDEX files_by_time ON files (time)

CREATE TABLE segments (
            id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never reused
            content INTEGER NOT NULL REFERENCES contents (id) ON DELETE CASCADE,
            ordinal INTEGER NOT NULL,              -- its place among the content's segments
            kind TEXT NOT NULL CHECK (kind IN ('image', 'video', 'text', 'page', 'audio')),
            text TEXT,
            start REAL,
            "end" REAL,
            page INTEGER,
            box TEXT, caption_target BLOB, origin TEXT NOT NULL DEFAULT 'file',
            UNIQUE (content, ordinal)
        ) STRICT

CREATE INDEX segments_by_kind ON segments (kind)

CREATE TABLE spaces (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            fingerprint TEXT NOT NULL,
            dim INTEGER NOT NULL,
            indexed_to INTEGER NOT NULL DEFAULT 0     -- the last segment its indexes reach
        , parts TEXT NOT NULL DEFAULT '{}', complete INTEGER NOT NULL DEFAULT 1, model TEXT NOT NULL DEFAULT '', arch TEXT) STRICT

CREATE INDEX contents_by_camera ON contents (camera) WHERE camera IS NOT NULL

CREATE INDEX contents_by_lens ON contents (lens) WHERE lens IS NOT NULL

CREATE INDEX contents_by_place ON contents (latitude, longitude) WHERE latitude IS NOT NULL

CREATE INDEX contents_by_rating ON contents (rating) WHERE rating IS NOT NULL

CREATE INDEX contents_by_size ON contents (width, height) WHERE width IS NOT NULL

CREATE TABLE keywords (                    -- what people wrote into pictures and sidecars
            content INTEGER NOT NULL REFERENCES contents (id) ON DELETE CASCADE,
            name TEXT NOT NULL COLLATE NOCASE,
            PRIMARY KEY (content, name)
        ) STRICT, WITHOUT ROWID

CREATE INDEX keywords_by_name ON keywords (name)

CREATE TABLE tags (                        -- what a model says of segments
            segment INTEGER NOT NULL REFERENCES segments (id) ON DELETE CASCADE,
            name TEXT NOT NULL COLLATE NOCASE,
            confidence REAL NOT NULL,
            PRIMARY KEY (name, segment)
        ) STRICT, WITHOUT ROWID

CREATE INDEX tags_by_segment ON tags (segment)

CREATE INDEX captions_by_content ON files (content) WHERE sidecar_of IS NOT NULL

CREATE VIRTUAL TABLE text_words USING fts5 (
            text, content='texts', content_rowid='id', tokenize='unicode61 remove_diacritics 2')

CREATE VIRTUAL TABLE text_pieces USING fts5 (
            text, content='unspaced_texts', content_rowid='id', tokenize='trigram')

CREATE VIRTUAL TABLE name_words USING fts5 (
            name, content='names', content_rowid='id', tokenize='unicode61 remove_diacritics 2')

CREATE VIRTUAL TABLE name_pieces USING fts5 (
            name, content='names', content_rowid='id', tokenize='trigram')

CREATE VIRTUAL TABLE text_terms USING fts5vocab (text_pieces, instance)

CREATE VIRTUAL TABLE name_terms USING fts5vocab (name_pieces, instance)

CREATE TRIGGER segments_in AFTER INSERT ON segments WHEN new.text IS NOT NULL BEGIN
INSERT INTO text_words (rowid, text) SELECT id, text FROM texts WHERE id = new.id;
INSERT INTO text_pieces (rowid, text) SELECT id, text FROM unspaced_texts WHERE id = new.id;
END

CREATE TRIGGER segments_out BEFORE DELETE ON segments WHEN old.text IS NOT NULL BEGIN
INSERT INTO text_words (text_words, rowid, text) SELECT 'delete', id, text FROM texts WHERE id = old.id;
INSERT INTO text_pieces (text_pieces, rowid, text) SELECT 'delete', id, text FROM unspaced_texts WHERE id = old.id;
END

CREATE TRIGGER segments_from BEFORE UPDATE OF text ON segments BEGIN
INSERT INTO text_words (text_words, rowid, text) SELECT 'delete', id, text FROM texts WHERE id = old.id;
INSERT INTO text_pieces (text_pieces, rowid, text) SELECT 'delete', id, text FROM unspaced_texts WHERE id = old.id;
END

CREATE TRIGGER segments_to AFTER UPDATE OF text ON segments BEGIN
INSERT INTO text_words (rowid, text) SELECT id, text FROM texts WHERE id = new.id;
INSERT INTO text_pieces (rowid, text) SELECT id, text FROM unspaced_texts WHERE id = new.id;
END

CREATE TRIGGER files_in AFTER INSERT ON files BEGIN
INSERT INTO name_words (rowid, name) SELECT id, name FROM names WHERE id = new.id;
INSERT INTO name_pieces (rowid, name) SELECT id, name FROM names WHERE id = new.id;
END

CREATE TRIGGER files_out BEFORE DELETE ON files BEGIN
INSERT INTO name_words (name_words, rowid, name) SELECT 'delete', id, name FROM names WHERE id = old.id;
INSERT INTO name_pieces (name_pieces, rowid, name) SELECT 'delete', id, name FROM names WHERE id = old.id;
END

CREATE TRIGGER files_from BEFORE UPDATE OF root, path ON files BEGIN
INSERT INTO name_words (name_words, rowid, name) SELECT 'delete', id, name FROM names WHERE id = old.id;
INSERT INTO name_pieces (name_pieces, rowid, name) SELECT 'delete', id, name FROM names WHERE id = old.id;
END

CREATE TRIGGER files_to AFTER UPDATE OF root, path ON files BEGIN
INSERT INTO name_words (rowid, name) SELECT id, name FROM names WHERE id = new.id;
INSERT INTO name_pieces (rowid, name) SELECT id, name FROM names WHERE id = new.id;
END

CREATE TRIGGER roots_from BEFORE UPDATE OF path ON roots BEGIN
INSERT INTO name_words (name_words, rowid, name) SELECT 'delete', id, name FROM names WHERE root = old.id;
INSERT INTO name_pieces (name_pieces, rowid, name) SELECT 'delete', id, name FROM names WHERE root = old.id;
END

CREATE TRIGGER roots_to AFTER UPDATE OF path ON roots BEGIN
INSERT INTO name_words (rowid, name) SELECT id, name FROM names WHERE root = new.id;
INSERT INTO name_pieces (rowid, name) SELECT id, name FROM names WHERE root = new.id;
END

CREATE TRIGGER roots_out BEFORE DELETE ON roots
            BEGIN DELETE FROM files WHERE root = old.id; END

CREATE TABLE backgrounds (
            space INTEGER NOT NULL REFERENCES spaces (id) ON DELETE CASCADE,
            query_mode TEXT NOT NULL,                   -- in words, by a picture, or by a sum of several
            version TEXT NOT NULL,                 -- of the bank; of pictures, which
            vectors BLOB NOT NULL,                 -- float16, as long as the space is wide
            PRIMARY KEY (space, query_mode)
        ) STRICT, WITHOUT ROWID

CREATE TABLE labels (
            name TEXT PRIMARY KEY COLLATE NOCASE,
            rule TEXT NOT NULL,                     -- JSON: what is tagged, and from which confidence on
            basis TEXT NOT NULL,                   -- of what its tags follow; when that changes, all do
            space INTEGER REFERENCES spaces (id) ON DELETE SET NULL,
            tagged_to INTEGER NOT NULL               -- the last segment it was held against
        ) STRICT, WITHOUT ROWID

CREATE TABLE concepts (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID

CREATE TABLE examples (
            concept TEXT NOT NULL REFERENCES concepts (name) ON DELETE CASCADE,
            hash BLOB NOT NULL,                    -- SHA-256 of the file; no content is for and against
            positive INTEGER NOT NULL CHECK (positive IN (0, 1)),
            path BLOB NOT NULL,                    -- where it was, whole
            picture BLOB NOT NULL,                 -- a small JPEG, so that a later model can learn it
            PRIMARY KEY (concept, hash)
        ) STRICT

CREATE TABLE probes (
            concept TEXT NOT NULL REFERENCES concepts (name) ON DELETE CASCADE,
            space INTEGER NOT NULL REFERENCES spaces (id) ON DELETE CASCADE,
            direction BLOB NOT NULL,               -- float32
            center REAL NOT NULL,
            spread REAL NOT NULL,
            auroc REAL,                            -- how well examples are told apart
            PRIMARY KEY (concept, space)
        ) STRICT, WITHOUT ROWID

CREATE TABLE captions (
            segment INTEGER NOT NULL REFERENCES segments (id) ON DELETE CASCADE,
            file INTEGER NOT NULL REFERENCES files (id) ON DELETE CASCADE,  -- the table
            image BLOB NOT NULL,                 -- its path under the root
            PRIMARY KEY (segment, file)
        ) STRICT, WITHOUT ROWID

CREATE INDEX captions_by_file ON captions (file)

CREATE TABLE archives (
            root INTEGER NOT NULL REFERENCES roots (id) ON DELETE CASCADE,
            path BLOB NOT NULL,                    -- under the root; its files are those below it
            size INTEGER NOT NULL,
            mtime INTEGER NOT NULL,                -- nanoseconds
            options_hash TEXT NOT NULL,                     -- what was looked for, as a checksum
            read INTEGER NOT NULL,                 -- how many of its files could be read
            failed INTEGER NOT NULL,               -- and how many could not
            error TEXT, ctime INTEGER,                            -- what is wrong with the archive itself
            PRIMARY KEY (root, path)
        ) STRICT, WITHOUT ROWID

CREATE TABLE analyses (
            content INTEGER NOT NULL REFERENCES contents (id) ON DELETE CASCADE,
            analysis TEXT NOT NULL,                -- ocr, speech, sounds, tiles or metadata
            version TEXT NOT NULL,                 -- of the model or the decoder
            progress REAL,                         -- seconds or pages; NULL is complete
            PRIMARY KEY (content, analysis)
        ) STRICT, WITHOUT ROWID

CREATE INDEX analyses_by_version ON analyses (analysis, version)

CREATE INDEX files_by_sidecar_of ON files (root, sidecar_of) WHERE sidecar_of IS NOT NULL

CREATE INDEX captions_by_image ON captions (image)

CREATE VIEW described_by (file, content) AS
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
             WHERE c.sidecar_of IS NOT NULL AND c.state != 'gone' AND o.sidecar_of IS NOT NULL

CREATE VIEW caption_images (segment, source, file) AS
            SELECT c.segment, t.id, p.id FROM captions c JOIN files t ON t.id = c.file
              JOIN files p ON p.root = t.root AND p.path = c.image
             WHERE t.state != 'gone' AND p.state != 'gone'

CREATE VIEW present_files (content, path) AS
            SELECT f.content, CAST(iif(r.path = x'2f', x'', r.path) || x'2f' || f.path AS BLOB)
              FROM files f JOIN roots r ON r.id = f.root
             WHERE f.state = 'present' AND r.state = 'present'

CREATE VIEW texts AS SELECT id, nfc(text) AS text FROM segments WHERE text IS NOT NULL

CREATE VIEW unspaced_texts AS
            SELECT id, nfc(text) || '  ' AS text FROM segments WHERE text GLOB '*[฀-໿က-႟ក-៿ᄀ-ᇿ぀-ㇿ㐀-鿿가-힯豈-﫿𠀀-𿿿]*'

CREATE VIEW names AS
            SELECT f.id, f.root, CAST(nfc(CAST(
                   substr(r.name, length(rtrim(r.name, replace(r.name, '/', ''))) + 1) || '/'
                       || CAST(f.path AS TEXT) AS BLOB)) AS TEXT) AS name
              FROM files f JOIN (SELECT id, CAST(path AS TEXT) AS name FROM roots) r ON r.id = f.root

CREATE TABLE mounts (
            root INTEGER NOT NULL REFERENCES roots (id) ON DELETE CASCADE,
            path BLOB NOT NULL,                    -- under the root
            is_link INTEGER NOT NULL CHECK (is_link IN (0, 1)),
            PRIMARY KEY (root, path)
        ) STRICT, WITHOUT ROWID

CREATE INDEX contents_by_note ON contents (id) WHERE note IS NOT NULL

CREATE TABLE unreadable (
            root INTEGER NOT NULL REFERENCES roots (id) ON DELETE CASCADE,
            path BLOB NOT NULL,                    -- under the root
            PRIMARY KEY (root, path)
        ) STRICT, WITHOUT ROWID

CREATE TABLE "calibrations" (
            space INTEGER NOT NULL REFERENCES spaces (id) ON DELETE CASCADE,
            query_mode TEXT NOT NULL,
            kind TEXT NOT NULL,
            version TEXT NOT NULL,
            count INTEGER NOT NULL,                -- vectors that were compared
            center REAL,                           -- NULL if they are too few or copies of the queries
            spread REAL,
            best_scores BLOB,
            PRIMARY KEY (space, query_mode, kind)
        ) STRICT, WITHOUT ROWID

CREATE VIRTUAL TABLE text_vocabulary USING fts5vocab (text_words, row)

CREATE VIRTUAL TABLE name_vocabulary USING fts5vocab (name_words, row)

CREATE TABLE change_count (changes INTEGER NOT NULL) STRICT

CREATE TRIGGER roots_count_insert AFTER INSERT ON roots BEGIN
            UPDATE change_count SET changes = changes + 1; END

CREATE TRIGGER roots_count_delete AFTER DELETE ON roots BEGIN
            UPDATE change_count SET changes = changes + 1; END

CREATE TRIGGER files_count_insert AFTER INSERT ON files BEGIN
            UPDATE change_count SET changes = changes + 1; END

CREATE TRIGGER files_count_update AFTER UPDATE ON files BEGIN
            UPDATE change_count SET changes = changes + 1; END

CREATE TRIGGER files_count_delete AFTER DELETE ON files BEGIN
            UPDATE change_count SET changes = changes + 1; END

CREATE TRIGGER contents_count_insert AFTER INSERT ON contents BEGIN
            UPDATE change_count SET changes = changes + 1; END

CREATE TRIGGER contents_count_update AFTER UPDATE ON contents BEGIN
            UPDATE change_count SET changes = changes + 1; END

CREATE TRIGGER contents_count_delete AFTER DELETE ON contents BEGIN
            UPDATE change_count SET changes = changes + 1; END

CREATE TRIGGER segments_count_insert AFTER INSERT ON segments BEGIN
            UPDATE change_count SET changes = changes + 1; END

CREATE TRIGGER segments_count_update AFTER UPDATE ON segments BEGIN
            UPDATE change_count SET changes = changes + 1; END

CREATE TRIGGER segments_count_delete AFTER DELETE ON segments BEGIN
            UPDATE change_count SET changes = changes + 1; END

CREATE TRIGGER keywords_count_insert AFTER INSERT ON keywords BEGIN
            UPDATE change_count SET changes = changes + 1; END

CREATE TRIGGER keywords_count_update AFTER UPDATE ON keywords BEGIN
            UPDATE change_count SET changes = changes + 1; END

CREATE TRIGGER keywords_count_delete AFTER DELETE ON keywords BEGIN
            UPDATE change_count SET changes = changes + 1; END

CREATE TRIGGER tags_count_insert AFTER INSERT ON tags BEGIN
            UPDATE change_count SET changes = changes + 1; END

CREATE TRIGGER tags_count_update AFTER UPDATE ON tags BEGIN
            UPDATE change_count SET changes = changes + 1; END

CREATE TRIGGER tags_count_delete AFTER DELETE ON tags BEGIN
            UPDATE change_count SET changes = changes + 1; END

CREATE TRIGGER captions_count_insert AFTER INSERT ON captions BEGIN
            UPDATE change_count SET changes = changes + 1; END

CREATE TRIGGER captions_count_update AFTER UPDATE ON captions BEGIN
            UPDATE change_count SET changes = changes + 1; END

CREATE TRIGGER captions_count_delete AFTER DELETE ON captions BEGIN
            UPDATE change_count SET changes = changes + 1; END

CREATE TRIGGER backgrounds_count_insert AFTER INSERT ON backgrounds BEGIN
            UPDATE change_count SET changes = changes + 1; END

CREATE TRIGGER backgrounds_count_update AFTER UPDATE ON backgrounds BEGIN
            UPDATE change_count SET changes = changes + 1; END

CREATE TRIGGER backgrounds_count_delete AFTER DELETE ON backgrounds BEGIN
            UPDATE change_count SET changes = changes + 1; END

CREATE TABLE links (
        root INTEGER NOT NULL REFERENCES roots (id) ON DELETE CASCADE,
        folder BLOB NOT NULL,                  -- the real path
        path BLOB NOT NULL,                    -- of the link, under the root
        PRIMARY KEY (root, folder)
    ) STRICT, WITHOUT ROWID

CREATE TRIGGER roots_count_update AFTER UPDATE OF path, state ON roots BEGIN
        UPDATE change_count SET changes = changes + 1; END

CREATE TABLE saved_searches (name TEXT PRIMARY KEY, query TEXT NOT NULL) STRICT, WITHOUT ROWID

CREATE TABLE maps (
        space INTEGER PRIMARY KEY REFERENCES spaces (id) ON DELETE CASCADE,
        version TEXT NOT NULL,                 -- of the layout
        mapped_to INTEGER NOT NULL,            -- the last segment that was considered
        laid_out INTEGER NOT NULL,             -- points of the last new layout; later ones were placed
        shares TEXT NOT NULL,                  -- JSON: kind -> share of its segments that are points
        segments BLOB NOT NULL,                -- int64, ascending
        positions BLOB NOT NULL,               -- int16, x and y of each segment, 0 to 10,000
        clusters BLOB NOT NULL,                -- int8, the cluster of each segment
        names TEXT NOT NULL                    -- JSON: [[cluster, text, x, y], ...] of named clusters
    ) STRICT

CREATE TABLE index_tunings (
        space INTEGER NOT NULL REFERENCES spaces (id) ON DELETE CASCADE,
        file TEXT NOT NULL,                    -- name of the index file
        query_mode TEXT NOT NULL CHECK (query_mode IN ('words', 'picture')),
        effort INTEGER NOT NULL,               -- efSearch or nprobe
        recall REAL NOT NULL,                  -- recall@10 against exact search
        p50_ms REAL NOT NULL,                  -- milliseconds of the median query on one core
        p95_ms REAL NOT NULL,
        PRIMARY KEY (space, file, query_mode)
    ) STRICT, WITHOUT ROWID

CREATE TABLE publications (
        collection TEXT PRIMARY KEY,
        space INTEGER UNIQUE REFERENCES spaces (id) ON DELETE SET NULL,  -- NULL: to be dropped
        revision INTEGER NOT NULL,             -- that the last publish wrote into the collection; 0: none
        previous INTEGER NOT NULL,             -- the one that it replaced
        complete INTEGER NOT NULL DEFAULT 0 CHECK (complete IN (0, 1)),  -- 1 after the first publish ended
        written REAL NOT NULL DEFAULT 0        -- Unix time of the last write
    ) STRICT, WITHOUT ROWID

CREATE TABLE unpublished (
        space INTEGER NOT NULL REFERENCES spaces (id) ON DELETE CASCADE,
        segment INTEGER NOT NULL,
        PRIMARY KEY (space, segment)
    ) STRICT, WITHOUT ROWID

CREATE TABLE "indexes" (
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
    ) STRICT, WITHOUT ROWID

CREATE TABLE shards (
        digest BLOB PRIMARY KEY,               -- SHA-256 of the file
        files INTEGER NOT NULL                 -- in it
    ) STRICT, WITHOUT ROWID

INSERT INTO change_count VALUES (0)

"""The SQL of the full-text tables and of the triggers that fill them: migrations 4 and 18."""

from collections.abc import Callable

# Scripts without spaces between words (in Korean, between words and particles), which are searched by
# trigrams: Thai and Lao, Burmese, Khmer, Hangul, kana, Chinese. A character class for GLOB and for regular
# expressions.
UNSPACED_SCRIPTS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1100-\u11ff\u3040-\u31ff"
    "\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)

_MIRRORS = (  # keyword table, column, and the view that it mirrors
    ("text_words", "text", "texts"),
    ("text_pieces", "text", "unspaced_texts"),
    ("name_words", "name", "names"),
    ("name_pieces", "name", "names"),
)


def _insert_sql(table: str, column: str, view: str, rows: str) -> str:
    return f"INSERT INTO {table} (rowid, {column}) SELECT id, {column} FROM {view} WHERE {rows};"


def _delete_sql(table: str, column: str, view: str, rows: str) -> str:
    """Return SQL that deletes rows of a keyword table; FTS5 requires the text that was inserted."""
    into = f"INSERT INTO {table} ({table}, rowid, {column})"
    return f"{into} SELECT 'delete', id, {column} FROM {view} WHERE {rows};"


def _trigger_sql(name: str, event: str, make_sql: Callable[..., str], column: str, rows: str) -> str:
    """Return SQL for a trigger that updates the keyword tables of a column."""
    changes = "\n".join(make_sql(*mirror, rows) for mirror in _MIRRORS if mirror[1] == column)
    return f"CREATE TRIGGER {name} {event} BEGIN\n{changes}\nEND"


KEYWORD_TABLES = (
    # The searched texts, as views, so that no text is stored twice.
    """CREATE VIEW texts AS SELECT id, text FROM segments WHERE text IS NOT NULL""",
    # Two spaces at the end make the last character the start of a trigram, too.
    f"""CREATE VIEW unspaced_texts AS
            SELECT id, text || '  ' AS text FROM segments WHERE text GLOB '*[{UNSPACED_SCRIPTS}]*'""",
    # The name of the root and the path under it. Bytes that are not UTF-8 are replaced on reading.
    """CREATE VIEW names AS
            SELECT f.id, f.root,
                   substr(r.name, length(rtrim(r.name, replace(r.name, '/', ''))) + 1) || '/'
                       || CAST(f.path AS TEXT) AS name
              FROM files f JOIN (SELECT id, CAST(path AS TEXT) AS name FROM roots) r ON r.id = f.root""",
    """CREATE VIRTUAL TABLE text_words USING fts5 (
            text, content='texts', content_rowid='id', tokenize='unicode61 remove_diacritics 2')""",
    """CREATE VIRTUAL TABLE text_pieces USING fts5 (
            text, content='unspaced_texts', content_rowid='id', tokenize='trigram')""",
    """CREATE VIRTUAL TABLE name_words USING fts5 (
            name, content='names', content_rowid='id', tokenize='unicode61 remove_diacritics 2')""",
    """CREATE VIRTUAL TABLE name_pieces USING fts5 (
            name, content='names', content_rowid='id', tokenize='trigram')""",
    """CREATE VIRTUAL TABLE text_terms USING fts5vocab (text_pieces, instance)""",
    """CREATE VIRTUAL TABLE name_terms USING fts5vocab (name_pieces, instance)""",
    *(_insert_sql(*mirror, "1") for mirror in _MIRRORS),
    # Triggers keep the keyword tables complete. A deletion needs the old text, so it runs before.
    _trigger_sql(
        "segments_in",
        "AFTER INSERT ON segments WHEN new.text IS NOT NULL",
        _insert_sql,
        "text",
        "id = new.id",
    ),
    _trigger_sql(
        "segments_out",
        "BEFORE DELETE ON segments WHEN old.text IS NOT NULL",
        _delete_sql,
        "text",
        "id = old.id",
    ),
    _trigger_sql("segments_from", "BEFORE UPDATE OF text ON segments", _delete_sql, "text", "id = old.id"),
    _trigger_sql("segments_to", "AFTER UPDATE OF text ON segments", _insert_sql, "text", "id = new.id"),
    _trigger_sql("files_in", "AFTER INSERT ON files", _insert_sql, "name", "id = new.id"),
    _trigger_sql("files_out", "BEFORE DELETE ON files", _delete_sql, "name", "id = old.id"),
    _trigger_sql("files_from", "BEFORE UPDATE OF root, path ON files", _delete_sql, "name", "id = old.id"),
    _trigger_sql("files_to", "AFTER UPDATE OF root, path ON files", _insert_sql, "name", "id = new.id"),
    _trigger_sql("roots_from", "BEFORE UPDATE OF path ON roots", _delete_sql, "name", "root = old.id"),
    _trigger_sql("roots_to", "AFTER UPDATE OF path ON roots", _insert_sql, "name", "root = new.id"),
    # A cascade would run after the name of the root is deleted.
    """CREATE TRIGGER roots_out BEFORE DELETE ON roots
            BEGIN DELETE FROM files WHERE root = old.id; END""",
)

# The views of the migration 18-composed-texts: the same in NFC, so that names from macOS are found.
COMPOSED_KEYWORD_TABLES = (
    *(f"DROP VIEW IF EXISTS {view}" for view in ("texts", "unspaced_texts", "names")),
    """CREATE VIEW texts AS SELECT id, nfc(text) AS text FROM segments WHERE text IS NOT NULL""",
    f"""CREATE VIEW unspaced_texts AS
            SELECT id, nfc(text) || '  ' AS text FROM segments WHERE text GLOB '*[{UNSPACED_SCRIPTS}]*'""",
    """CREATE VIEW names AS
            SELECT f.id, f.root, CAST(nfc(CAST(
                   substr(r.name, length(rtrim(r.name, replace(r.name, '/', ''))) + 1) || '/'
                       || CAST(f.path AS TEXT) AS BLOB)) AS TEXT) AS name
              FROM files f JOIN (SELECT id, CAST(path AS TEXT) AS name FROM roots) r ON r.id = f.root""",
    *(
        f"""INSERT INTO {table} ({table}) SELECT 'rebuild'
             WHERE EXISTS (SELECT 1 FROM segments WHERE text IS NOT NULL AND nfc(text) != text)"""
        for table in ("text_words", "text_pieces")
    ),
    *(
        f"""INSERT INTO {table} ({table}) SELECT 'rebuild'
             WHERE EXISTS (SELECT 1 FROM files WHERE nfc(path) != path)
                OR EXISTS (SELECT 1 FROM roots WHERE nfc(path) != path)"""
        for table in ("name_words", "name_pieces")
    ),
)

-- Files, their versions, and what is searched. A content column's `format` is 0 for plain; `key_id` is the key that
-- seals it.

CREATE TABLE embedding_models (
    owner_no   INTEGER NOT NULL,
    id         TEXT    NOT NULL,
    dimensions INTEGER NOT NULL,
    lexical    INTEGER NOT NULL,
    chunks     INTEGER NOT NULL, -- of current versions
    PRIMARY KEY (owner_no, id)
) WITHOUT ROWID;

-- Of current versions: what BM25 needs to know of the owner's texts as a whole. `generation` counts up whenever
-- something becomes visible or stops being so, and never starts anew while the user is known: what a process keeps in
-- memory is as good as the generation it was read at.
CREATE TABLE workspace_statistics (
    owner_no     INTEGER NOT NULL PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    documents    INTEGER NOT NULL, -- chunks
    total_length INTEGER NOT NULL, -- terms
    generation   INTEGER NOT NULL
);

-- `state`: 0 staging, 1 current, 2 superseded (replaced, deleted or given up): invisible, and swept later.
CREATE TABLE entry_versions (
    version_no   INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    owner_no     INTEGER NOT NULL,
    id           BLOB    NOT NULL,
    path         TEXT    NOT NULL,
    state        INTEGER NOT NULL,
    size         INTEGER NOT NULL, -- of the parts put so far
    content_hash BLOB,
    format       INTEGER NOT NULL,
    key_id       BLOB,
    metadata     TEXT    NOT NULL,
    model        TEXT,
    chunks       INTEGER NOT NULL,
    terms        INTEGER NOT NULL,
    generation   INTEGER NOT NULL, -- the workspace's when it became current or stopped being so
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL
);

CREATE UNIQUE INDEX entry_versions_id ON entry_versions (owner_no, id);
CREATE INDEX entry_versions_hidden ON entry_versions (owner_no, version_no) WHERE state <> 1;
CREATE INDEX entry_versions_model ON entry_versions (owner_no, model, generation, state) WHERE model IS NOT NULL;

CREATE TABLE workspace_entries (
    owner_no   INTEGER NOT NULL,
    path       TEXT    NOT NULL,
    version_no INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (owner_no, path)
) WITHOUT ROWID;

CREATE TABLE entry_parts (
    part_no    INTEGER NOT NULL PRIMARY KEY,
    owner_no   INTEGER NOT NULL,
    version_no INTEGER NOT NULL,
    start_byte INTEGER NOT NULL,
    end_byte   INTEGER NOT NULL,
    format     INTEGER NOT NULL,
    key_id     BLOB,
    bytes      BLOB    NOT NULL
);

CREATE UNIQUE INDEX entry_parts_place ON entry_parts (owner_no, version_no, start_byte);

-- `chunk_no` is never used again, and grows within a version in the order of the chunks.
CREATE TABLE memory_chunks (
    chunk_no   INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    owner_no   INTEGER NOT NULL,
    id         BLOB    NOT NULL,
    version_no INTEGER NOT NULL,
    part_start INTEGER NOT NULL, -- `start_byte` of its part
    start_byte INTEGER NOT NULL,
    end_byte   INTEGER NOT NULL,
    length     INTEGER NOT NULL, -- terms
    format     INTEGER NOT NULL,
    key_id     BLOB,
    embedding  BLOB              -- little-endian numbers of 32 bits
);

CREATE UNIQUE INDEX memory_chunks_id ON memory_chunks (owner_no, id);
CREATE INDEX memory_chunks_version ON memory_chunks (owner_no, version_no, part_start);

-- The inverted index. `postings` is a block of all postings of the term in one part: see workspace/postings.rs.
CREATE TABLE chunk_terms (
    owner_no   INTEGER NOT NULL,
    term       TEXT    NOT NULL,
    version_no INTEGER NOT NULL,
    part_start INTEGER NOT NULL,
    postings   BLOB    NOT NULL,
    PRIMARY KEY (owner_no, term, version_no, part_start)
) WITHOUT ROWID;

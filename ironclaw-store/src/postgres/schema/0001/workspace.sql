-- Files, their versions, and what is searched.
CREATE TABLE ironclaw.embedding_models (
    owner_no bigint NOT NULL REFERENCES ironclaw.users,
    id text COLLATE "C" NOT NULL,
    dimensions integer NOT NULL CHECK (dimensions > 0),
    lexical boolean NOT NULL,
    chunks bigint NOT NULL, -- of current versions
    PRIMARY KEY (owner_no, id)
) WITH (fillfactor = 50);

-- Of current versions: what BM25 needs to know of the owner's texts as a whole.
CREATE TABLE ironclaw.workspace_statistics (
    owner_no bigint NOT NULL PRIMARY KEY REFERENCES ironclaw.users,
    documents bigint NOT NULL, -- chunks
    total_length bigint NOT NULL -- terms
) WITH (fillfactor = 50);

-- `state`: 0 staging, 1 current, 2 superseded (replaced, deleted or given up): invisible, and swept later.
CREATE TABLE ironclaw.entry_versions (
    owner_no bigint NOT NULL REFERENCES ironclaw.users,
    version_no bigint GENERATED ALWAYS AS IDENTITY,
    id uuid NOT NULL,
    path text COLLATE "C" NOT NULL,
    state smallint NOT NULL CHECK (state BETWEEN 0 AND 2),
    size bigint NOT NULL, -- of the parts put so far
    content_hash bytea CHECK (length(content_hash) = 32),
    content_format smallint NOT NULL DEFAULT 0,
    content_key uuid,
    metadata json NOT NULL,
    model text COLLATE "C",
    chunks bigint NOT NULL,
    terms bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (owner_no, version_no),
    UNIQUE (id, owner_no)
) WITH (fillfactor = 80);
CREATE INDEX entry_versions_hidden ON ironclaw.entry_versions (owner_no, version_no) WHERE state <> 1;

CREATE TABLE ironclaw.workspace_entries (
    owner_no bigint NOT NULL REFERENCES ironclaw.users,
    path text COLLATE "C" NOT NULL,
    version_no bigint NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (owner_no, path),
    UNIQUE (version_no, owner_no), -- without it, removing a version looks at all files
    FOREIGN KEY (owner_no, version_no) REFERENCES ironclaw.entry_versions (owner_no, version_no)
);

CREATE TABLE ironclaw.entry_parts (
    owner_no bigint NOT NULL,
    version_no bigint NOT NULL,
    start_byte bigint NOT NULL,
    end_byte bigint NOT NULL,
    content_format smallint NOT NULL DEFAULT 0,
    content_key uuid,
    bytes bytea STORAGE EXTERNAL NOT NULL, -- not compressed, so that a range is read without the rest
    PRIMARY KEY (owner_no, version_no, start_byte)
);

-- `chunk_no` counts from 0 within a version, in the order of the chunks.
CREATE TABLE ironclaw.memory_chunks (
    owner_no bigint NOT NULL,
    version_no bigint NOT NULL,
    chunk_no bigint NOT NULL,
    id uuid NOT NULL,
    part_start bigint NOT NULL, -- `start_byte` of its part
    start_byte bigint NOT NULL,
    end_byte bigint NOT NULL,
    length bigint NOT NULL, -- terms
    PRIMARY KEY (owner_no, version_no, chunk_no),
    UNIQUE (id, owner_no)
);

-- The vectors of chunks, apart from them so that reading texts does not read vectors. `model_key` stands for the model
-- and its dimensions: an index over the vectors of one model is limited to it. The vector is `embedding` times 2 to the
-- power of `exponent`, which brings its length near 1: neither a square nor a number of 16 bits overflows. The chunk's `id`
-- is here too: equal distances are ordered by it. Up to 2,000 dimensions a vector stays within its row: one that lies
-- elsewhere takes several times as long to compare.
CREATE TABLE ironclaw.chunk_vectors (
    owner_no bigint NOT NULL,
    model_key bigint NOT NULL,
    version_no bigint NOT NULL,
    chunk_no bigint NOT NULL,
    id uuid NOT NULL,
    exponent smallint NOT NULL,
    embedding vector NOT NULL,
    PRIMARY KEY (owner_no, model_key, version_no, chunk_no)
) WITH (toast_tuple_target = 8160);

-- The inverted index: `postings` is a block of all postings of the term in one part.
CREATE TABLE ironclaw.chunk_terms (
    owner_no bigint NOT NULL,
    term text COLLATE "C" NOT NULL,
    version_no bigint NOT NULL,
    part_start bigint NOT NULL,
    postings bytea NOT NULL,
    PRIMARY KEY (owner_no, term, version_no, part_start)
);

-- content_format 0 with no content_key is plain text; other formats leave room for sealed content.
CREATE TABLE conversations (
    owner_no INTEGER NOT NULL REFERENCES users,
    id BLOB NOT NULL,
    title TEXT NOT NULL,
    content_format INTEGER NOT NULL DEFAULT 0,
    content_key BLOB,
    messages INTEGER NOT NULL,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (owner_no, id)
) WITHOUT ROWID;

CREATE TABLE messages (
    message_no INTEGER PRIMARY KEY,
    owner_no INTEGER NOT NULL,
    conversation BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    id BLOB NOT NULL,
    role INTEGER NOT NULL,
    content_format INTEGER NOT NULL DEFAULT 0,
    content_key BLOB,
    tool_calls TEXT,
    tool_result TEXT,
    metadata TEXT,
    created_at INTEGER NOT NULL,
    content TEXT NOT NULL,
    UNIQUE (owner_no, conversation, sequence),
    UNIQUE (owner_no, id),
    FOREIGN KEY (owner_no, conversation) REFERENCES conversations (owner_no, id)
);

-- The inverted index: a row for each term of each message of a user or an assistant.
CREATE TABLE message_terms (
    owner_no INTEGER NOT NULL,
    term TEXT NOT NULL,
    message_no INTEGER NOT NULL,
    frequency INTEGER NOT NULL,
    length INTEGER NOT NULL,
    PRIMARY KEY (owner_no, term, message_no)
) WITHOUT ROWID;

-- What BM25 needs to know of all indexed messages of a user together.
CREATE TABLE message_statistics (
    owner_no INTEGER PRIMARY KEY REFERENCES users,
    documents INTEGER NOT NULL,
    total_length INTEGER NOT NULL
);

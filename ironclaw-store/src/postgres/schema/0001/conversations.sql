-- content_format 0 with no content_key is plain text; other formats leave room for sealed content.
CREATE TABLE ironclaw.conversations (
    owner_no bigint NOT NULL REFERENCES ironclaw.users,
    id uuid NOT NULL,
    title text NOT NULL,
    content_format smallint NOT NULL DEFAULT 0,
    content_key uuid,
    messages bigint NOT NULL,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (owner_no, id)
) WITH (fillfactor = 70);

-- message_no counts in the order of writing: equal scores are ordered by it. Here and in other tables the user leads one
-- key only: while the server has no statistics of a table, it takes any key that the user leads for as good as the others,
-- and would go through all rows of a user for one.
CREATE TABLE ironclaw.messages (
    owner_no bigint NOT NULL,
    conversation uuid NOT NULL,
    sequence bigint NOT NULL,
    message_no bigint GENERATED ALWAYS AS IDENTITY,
    id uuid NOT NULL,
    role smallint NOT NULL CHECK (role BETWEEN 1 AND 4),
    content_format smallint NOT NULL DEFAULT 0,
    content_key uuid,
    content text NOT NULL,
    tool_calls json,
    tool_result json,
    metadata json,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (owner_no, conversation, sequence),
    UNIQUE (id, owner_no),
    UNIQUE (message_no, owner_no),
    FOREIGN KEY (owner_no, conversation) REFERENCES ironclaw.conversations (owner_no, id)
);

-- The inverted index: a row for each term of each message of a user or an assistant.
CREATE TABLE ironclaw.message_terms (
    owner_no bigint NOT NULL,
    term text COLLATE "C" NOT NULL,
    message_no bigint NOT NULL,
    frequency integer NOT NULL,
    length integer NOT NULL,
    PRIMARY KEY (owner_no, term, message_no) INCLUDE (frequency, length)
);

-- What BM25 needs to know of all indexed messages of a user together.
CREATE TABLE ironclaw.message_statistics (
    owner_no bigint NOT NULL PRIMARY KEY REFERENCES ironclaw.users,
    documents bigint NOT NULL,
    total_length bigint NOT NULL
) WITH (fillfactor = 50);

-- Who uses which blob, so that erasing a person reaches the images and recordings that were theirs alone; and what a
-- person has said about the use of their data, for all time to come.

CREATE TABLE blob_uses (
    hash TEXT NOT NULL,
    owner TEXT NOT NULL, -- "i:" and an interaction's id, "f:" and a feedback's; empty: sent ahead, or nobody's any more
    named INTEGER NOT NULL, -- 1: a stored record names it; 0: announced only
    at INTEGER NOT NULL, -- announced when, ms since 1970; 0: its owner was erased
    PRIMARY KEY (hash, owner)
) WITHOUT ROWID;
CREATE INDEX blob_uses_owner ON blob_uses (owner);
CREATE INDEX blob_uses_unnamed ON blob_uses (at) WHERE named = 0;

CREATE TABLE preferences (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE, -- the person's pseudonym
    loop TEXT NOT NULL,
    body TEXT NOT NULL
);

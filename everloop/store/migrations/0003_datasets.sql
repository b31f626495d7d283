-- Dataset versions as commits. A row of `examples` belongs to the one version that added it; a version that no longer
-- wants it, or wants it changed, lists it in `removals`. The content of a version is what its lineage added, less what
-- its lineage removed: a row once removed never returns (a later version adds a new row), so branches need no more.

CREATE TABLE versions (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    loop TEXT NOT NULL,
    parent INTEGER REFERENCES versions (position),
    hash TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX versions_loop ON versions (loop);

CREATE TABLE examples (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    version INTEGER NOT NULL REFERENCES versions (position),
    id TEXT NOT NULL,
    split TEXT NOT NULL,
    digest BLOB NOT NULL, -- of its content: what the hash of a version is made of
    seal BLOB NOT NULL, -- of the whole record, evidence and subjects included
    body TEXT NOT NULL
);
CREATE INDEX examples_version ON examples (version);
CREATE INDEX examples_id ON examples (id);

CREATE TABLE removals (
    version INTEGER NOT NULL REFERENCES versions (position),
    example INTEGER NOT NULL REFERENCES examples (key),
    PRIMARY KEY (version, example)
) WITHOUT ROWID;
CREATE INDEX removals_example ON removals (example);

CREATE TABLE example_subjects (
    subject INTEGER NOT NULL,
    example INTEGER NOT NULL REFERENCES examples (key),
    PRIMARY KEY (subject, example)
) WITHOUT ROWID;

-- The log of interactions and feedback, the control rows, and leases.
-- Every table of records has the same spine: a position (AUTOINCREMENT, so that a number is never given out twice, also
-- after deletes), the record's id, its loop, the fields it can be found by, and the record itself as JSON.
-- A subject is kept as a 64-bit hash beside the body: half the index of a text, and nothing to look up when writing.

CREATE TABLE loops (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    loop TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX loops_loop ON loops (loop);

CREATE TABLE interactions (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    loop TEXT NOT NULL,
    subject INTEGER,
    body TEXT NOT NULL
);
CREATE INDEX interactions_loop ON interactions (loop);
CREATE INDEX interactions_subject ON interactions (subject) WHERE subject IS NOT NULL;

CREATE TABLE feedback (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    loop TEXT NOT NULL,
    kind TEXT NOT NULL,
    interaction TEXT NOT NULL,
    subject INTEGER,
    body TEXT NOT NULL
);
CREATE INDEX feedback_loop ON feedback (loop);
CREATE INDEX feedback_kind ON feedback (loop, kind);
CREATE INDEX feedback_interaction ON feedback (interaction);
CREATE INDEX feedback_subject ON feedback (subject) WHERE subject IS NOT NULL;

CREATE TABLE placements (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL, -- the fingerprint of an input, which two loops may both see: unique within a loop only
    loop TEXT NOT NULL,
    "group" TEXT NOT NULL,
    interaction TEXT NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (id, loop)
);
CREATE INDEX placements_loop ON placements (loop);
CREATE INDEX placements_group ON placements ("group");
CREATE INDEX placements_interaction ON placements (interaction);

CREATE TABLE drops (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    loop TEXT NOT NULL,
    turn INTEGER NOT NULL,
    reason TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX drops_loop ON drops (loop);
CREATE INDEX drops_turn ON drops (loop, turn, reason); -- covers the waterfall of a turn
CREATE INDEX drops_reason ON drops (loop, reason);

CREATE TABLE reviews (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    loop TEXT NOT NULL,
    state TEXT NOT NULL,
    turn INTEGER NOT NULL,
    interaction TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX reviews_loop ON reviews (loop);
CREATE INDEX reviews_state ON reviews (loop, state);
CREATE INDEX reviews_turn ON reviews (loop, turn);
CREATE INDEX reviews_interaction ON reviews (interaction);

CREATE TABLE annotations (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    loop TEXT NOT NULL,
    review TEXT NOT NULL,
    interaction TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX annotations_loop ON annotations (loop);
CREATE INDEX annotations_review ON annotations (review);
CREATE INDEX annotations_interaction ON annotations (interaction);

CREATE TABLE models (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    loop TEXT NOT NULL,
    turn INTEGER NOT NULL,
    dataset TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX models_loop ON models (loop);
CREATE INDEX models_turn ON models (loop, turn);
CREATE INDEX models_dataset ON models (dataset);

CREATE TABLE verdicts (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    loop TEXT NOT NULL,
    candidate TEXT NOT NULL,
    turn INTEGER NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX verdicts_loop ON verdicts (loop);
CREATE INDEX verdicts_candidate ON verdicts (candidate);
CREATE INDEX verdicts_turn ON verdicts (loop, turn);

CREATE TABLE releases (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    loop TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX releases_loop ON releases (loop);

CREATE TABLE turns (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    loop TEXT NOT NULL,
    number INTEGER NOT NULL,
    state TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX turns_loop ON turns (loop);
CREATE INDEX turns_number ON turns (loop, number);
CREATE INDEX turns_state ON turns (loop, state);

CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    owner TEXT, -- NULL: given back; the row stays, so that its token keeps growing
    token INTEGER NOT NULL,
    until INTEGER NOT NULL
) WITHOUT ROWID;

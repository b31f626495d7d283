-- What the doors need: keys and what was done with them, campaigns for devices, signals derived by rules; and feedback
-- that speaks of a trace finds the interaction in it.

ALTER TABLE interactions ADD COLUMN trace TEXT;
CREATE INDEX interactions_trace ON interactions (trace) WHERE trace IS NOT NULL;

CREATE TABLE keys (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    loop TEXT NOT NULL,
    body TEXT NOT NULL
);

CREATE TABLE audits (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    loop TEXT NOT NULL,
    "by" TEXT NOT NULL,
    "action" TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX audits_loop ON audits (loop);

CREATE TABLE campaigns (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    loop TEXT NOT NULL,
    state TEXT NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (id, loop)
);
CREATE INDEX campaigns_loop ON campaigns (loop);

CREATE TABLE derived (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    loop TEXT NOT NULL,
    rule TEXT NOT NULL,
    interaction TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX derived_loop ON derived (loop, rule);
CREATE INDEX derived_interaction ON derived (interaction);

-- What the doors need: keys and what was done with them, campaigns for devices, declared signals in columns, signals
-- derived by rules; feedback that speaks of a trace finds the interaction in it, and an interaction its neighbours in the
-- session (a 64-bit hash, as of a subject).

ALTER TABLE interactions ADD COLUMN trace TEXT;
CREATE INDEX interactions_trace ON interactions (trace) WHERE trace IS NOT NULL;
ALTER TABLE interactions ADD COLUMN session INTEGER;
CREATE INDEX interactions_session ON interactions (session) WHERE session IS NOT NULL;

ALTER TABLE held ADD COLUMN received INTEGER; -- when it came, by this clock; NULL in rows of before

CREATE TABLE signals ( -- what is declared; the rows of each are in a table of their own, signal_<number>
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    loop TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    declared INTEGER NOT NULL, -- 0: no longer; its rows stay
    main INTEGER NOT NULL, -- 1: an outcome without a name is this one
    columns TEXT NOT NULL, -- [[name, type, column, declared], …] as JSON; a column once made keeps its type
    UNIQUE (loop, kind, name)
);

CREATE TABLE marks (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    loop TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX marks_loop ON marks (loop);

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

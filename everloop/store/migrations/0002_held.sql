-- Feedback that came before its interaction waits apart: it has no loop and no position yet, so that "everything up to
-- position p" of the feedback never changes when it is joined later.

CREATE TABLE held (
    id TEXT PRIMARY KEY,
    interaction TEXT NOT NULL,
    subject INTEGER,
    at INTEGER NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX held_interaction ON held (interaction);
CREATE INDEX held_at ON held (at);
CREATE INDEX held_subject ON held (subject) WHERE subject IS NOT NULL;

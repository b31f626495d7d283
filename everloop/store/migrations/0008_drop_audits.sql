-- Samples of what curation left out, and whether a person found the rule right.

CREATE TABLE drop_audits (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    loop TEXT NOT NULL,
    reason TEXT NOT NULL,
    interaction TEXT NOT NULL, -- or the feedback, where that was left out: the drop's id
    body TEXT NOT NULL
);
CREATE INDEX drop_audits_loop ON drop_audits (loop, reason);
CREATE INDEX drop_audits_interaction ON drop_audits (interaction);

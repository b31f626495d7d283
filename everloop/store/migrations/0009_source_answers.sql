-- What sources that cost money said of inputs: paid for once, and kept while the one who brought the input is known.

CREATE TABLE source_answers (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    loop TEXT NOT NULL,
    source TEXT NOT NULL,
    turn INTEGER NOT NULL,
    interaction TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX source_answers_loop ON source_answers (loop, source, turn);
CREATE INDEX source_answers_interaction ON source_answers (interaction);

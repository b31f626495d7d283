-- Classes the machine proposes for inputs that fit none, until a person accepts or refuses them, and what was decided.

CREATE TABLE proposed_classes (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    loop TEXT NOT NULL,
    state TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX proposed_classes_loop ON proposed_classes (loop, state);

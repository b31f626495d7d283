-- Slices somebody watches: a loop's candidates are held to them, however few rows they have.

CREATE TABLE watched_slices (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    loop TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX watched_slices_loop ON watched_slices (loop);

-- Names for dataset versions: branches, which move, and tags, which do not. The line of a loop's turns is the branch
-- "main"; until now it was whatever version was the newest.

CREATE TABLE refs (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    loop TEXT NOT NULL,
    version TEXT NOT NULL, -- id of a dataset version
    body TEXT NOT NULL,
    UNIQUE (id, loop)
);
CREATE INDEX refs_loop ON refs (loop);

INSERT INTO refs (id, loop, version, body)
SELECT 'main', loop, id, json_object('id', 'main', 'loop', loop, 'kind', 'branch', 'version', id)
FROM versions WHERE position IN (SELECT max(position) FROM versions GROUP BY loop);

-- What a turn keeps of the log it has read, so that the next one reads what is new alone. It holds people's inputs: where
-- anything of the log is changed or deleted it goes in the same transaction, whoever did that, and `count` says that
-- something was. A correction that gets its diff says what it said before.

CREATE TABLE carried (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    loop TEXT NOT NULL,
    writing TEXT NOT NULL, -- which of several attempts it is a part of
    body BLOB NOT NULL
);
CREATE INDEX carried_loop ON carried (loop, writing);

CREATE TABLE log_changes (
    loop TEXT PRIMARY KEY,
    count INTEGER NOT NULL,
    writing TEXT -- of what is carried: the one that was written to its end; NULL: none
) WITHOUT ROWID;

-- Overwritten before it is deleted, as all that is erased. (No OR IGNORE below: what an outer statement says of conflicts
-- would hold in its place.)
CREATE TRIGGER log_changed AFTER UPDATE OF count ON log_changes BEGIN
    UPDATE carried SET body = zeroblob(length(body)) WHERE loop = new.loop;
    DELETE FROM carried WHERE loop = new.loop;
END;

CREATE TRIGGER interactions_changed AFTER UPDATE OF body ON interactions WHEN old.body IS NOT new.body BEGIN
    INSERT INTO log_changes (loop, count) SELECT old.loop, 0
    WHERE NOT EXISTS (SELECT 1 FROM log_changes WHERE loop = old.loop);
    UPDATE log_changes SET count = count + 1, writing = NULL WHERE loop = old.loop;
END;

CREATE TRIGGER interactions_deleted AFTER DELETE ON interactions BEGIN
    INSERT INTO log_changes (loop, count) SELECT old.loop, 0
    WHERE NOT EXISTS (SELECT 1 FROM log_changes WHERE loop = old.loop);
    UPDATE log_changes SET count = count + 1, writing = NULL WHERE loop = old.loop;
END;

CREATE TRIGGER feedback_changed AFTER UPDATE OF body ON feedback
WHEN CASE
    WHEN old.body IS new.body THEN 0
    WHEN json_valid(old.body) AND json_valid(new.body)
        THEN json_remove(old.body, '$.diff', '$.distance') IS NOT json_remove(new.body, '$.diff', '$.distance')
    ELSE 1
END
BEGIN
    INSERT INTO log_changes (loop, count) SELECT old.loop, 0
    WHERE NOT EXISTS (SELECT 1 FROM log_changes WHERE loop = old.loop);
    UPDATE log_changes SET count = count + 1, writing = NULL WHERE loop = old.loop;
END;

CREATE TRIGGER feedback_deleted AFTER DELETE ON feedback BEGIN
    INSERT INTO log_changes (loop, count) SELECT old.loop, 0
    WHERE NOT EXISTS (SELECT 1 FROM log_changes WHERE loop = old.loop);
    UPDATE log_changes SET count = count + 1, writing = NULL WHERE loop = old.loop;
END;

CREATE TRIGGER annotations_changed AFTER UPDATE OF body ON annotations WHEN old.body IS NOT new.body BEGIN
    INSERT INTO log_changes (loop, count) SELECT old.loop, 0
    WHERE NOT EXISTS (SELECT 1 FROM log_changes WHERE loop = old.loop);
    UPDATE log_changes SET count = count + 1, writing = NULL WHERE loop = old.loop;
END;

CREATE TRIGGER annotations_deleted AFTER DELETE ON annotations BEGIN
    INSERT INTO log_changes (loop, count) SELECT old.loop, 0
    WHERE NOT EXISTS (SELECT 1 FROM log_changes WHERE loop = old.loop);
    UPDATE log_changes SET count = count + 1, writing = NULL WHERE loop = old.loop;
END;

CREATE TRIGGER placements_changed AFTER UPDATE OF body ON placements WHEN old.body IS NOT new.body BEGIN
    INSERT INTO log_changes (loop, count) SELECT old.loop, 0
    WHERE NOT EXISTS (SELECT 1 FROM log_changes WHERE loop = old.loop);
    UPDATE log_changes SET count = count + 1, writing = NULL WHERE loop = old.loop;
END;

CREATE TRIGGER placements_deleted AFTER DELETE ON placements BEGIN
    INSERT INTO log_changes (loop, count) SELECT old.loop, 0
    WHERE NOT EXISTS (SELECT 1 FROM log_changes WHERE loop = old.loop);
    UPDATE log_changes SET count = count + 1, writing = NULL WHERE loop = old.loop;
END;

-- Drops that a person took back are few, and looked for in each turn; also those that something else leaves out by now.
ALTER TABLE drops ADD COLUMN undone INTEGER NOT NULL DEFAULT 0;
UPDATE drops SET undone = 1 WHERE json_extract(body, '$.undone');
CREATE INDEX drops_undone ON drops (loop, undone);
ALTER TABLE drops ADD COLUMN taken_back INTEGER NOT NULL DEFAULT 0;
UPDATE drops SET taken_back = undone WHERE undone;
CREATE INDEX drops_taken_back ON drops (loop, taken_back);

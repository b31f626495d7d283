-- Every statement the SQLite store runs, by name. `{table}`, `{key}`, `{columns}`, `{marks}`, `{updates}`, `{where}`, `{order}` and
-- `{by}` are filled from the catalogue in sqlite_kinds.py, never from what a caller wrote; values are always bound.
-- `json_each(?)` is how a list of values is bound: one statement for any length.

-- ---------------------------------------------------------------------------------------------------------- records

-- name: insert
-- A new record. One that is there already is left alone; the count of changes tells.
INSERT OR IGNORE INTO {table} (id, loop, {columns}body) VALUES ({marks})

-- name: upsert
-- Write or overwrite by id; an overwritten record keeps its position.
INSERT INTO {table} (id, loop, {columns}body) VALUES ({marks})
ON CONFLICT ({key}) DO UPDATE SET loop = excluded.loop, {updates}body = excluded.body

-- name: newest_ids
-- The last rows written: after n inserts in one transaction, the n that are new.
SELECT id, loop FROM {table} ORDER BY position DESC LIMIT ?

-- name: bodies_by_id
SELECT id, loop, body FROM {table} WHERE id IN (SELECT value FROM json_each(?))

-- name: get
SELECT body FROM {table} WHERE id = ? LIMIT 2

-- name: find
SELECT body FROM {table} WHERE {where} ORDER BY {order} LIMIT ?

-- name: scan
SELECT position, body FROM {table} WHERE {where} AND position > ? AND position <= ? ORDER BY position LIMIT ?

-- name: head
SELECT position FROM {table} WHERE {where} ORDER BY position DESC LIMIT 1

-- name: count
SELECT count(*) FROM {table} WHERE {where}

-- name: tally
SELECT {by}, count(*) FROM {table} WHERE {where} GROUP BY 1 ORDER BY 1

-- name: among
-- A condition: one of these values.
{column} IN (SELECT value FROM json_each(?))

-- name: delete
DELETE FROM {table} WHERE {where}

-- -------------------------------------------------------------------------------------------------- declared signals

-- name: signals_of
SELECT number, kind, name, declared, main, columns FROM signals WHERE loop = ?

-- name: every_signal
SELECT number, kind, name, declared, main, columns FROM signals

-- name: declare_signal
INSERT INTO signals (loop, kind, name, declared, main, columns) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (loop, kind, name) DO UPDATE
SET declared = excluded.declared, main = excluded.main, columns = excluded.columns
RETURNING number

-- name: make_signal
-- The rows of one declared signal. `position` is that of its feedback.
CREATE TABLE IF NOT EXISTS {table} (
    position INTEGER PRIMARY KEY,
    interaction TEXT NOT NULL,
    asked INTEGER NOT NULL, -- when the interaction was, by the clock of who sent it
    at INTEGER NOT NULL, -- when it happened, by the clock of who sent it
    received INTEGER NOT NULL, -- when it came here, by ours
    silent INTEGER NOT NULL,
    value REAL
)

-- name: index_signal
CREATE INDEX IF NOT EXISTS {table}_interaction ON {table} (interaction)

-- name: index_signal_by_time
CREATE INDEX IF NOT EXISTS {table}_received ON {table} (received)

-- name: columns_of
SELECT name FROM pragma_table_info(?)

-- name: widen_signal
ALTER TABLE {table} ADD COLUMN {column} {type}

-- name: fill_signal
-- What is written over keeps the time it came.
INSERT INTO {table} (interaction, at, received, silent, value{columns}, position, asked)
VALUES (?, ?, ?, ?, ?{marks}, ?, (SELECT {time} FROM interactions WHERE id = ?))
ON CONFLICT (position) DO UPDATE SET at = excluded.at, silent = excluded.silent, value = excluded.value{updates}

-- name: time_of
-- Of a record as JSON, without reading all of it: id, loop and at come first, and a quote inside a text is escaped.
CAST(substr(body, instr(body, '"at":') + 5, 20) AS INTEGER)

-- name: placed_feedback
SELECT id, position FROM feedback WHERE id IN (SELECT value FROM json_each(?))

-- name: positions_of_feedback
SELECT position FROM feedback WHERE id IN (SELECT value FROM json_each(?)) AND (? IS NULL OR kind = ?)

-- name: signal_columns
-- Newest first.
SELECT {columns} FROM {table} ORDER BY position DESC LIMIT ?

-- name: signal_columns_since
-- Of those that came since, the last to come, newest first.
SELECT {columns} FROM (
    SELECT * FROM {table} WHERE received >= ? ORDER BY received DESC LIMIT ?
) ORDER BY position DESC

-- name: zeros
-- A text of the same length that says nothing.
substr(hex(zeroblob(length(CAST({column} AS BLOB)))), 1, length(CAST({column} AS BLOB)))

-- name: blank_signal
-- As `blank`, below.
UPDATE {table} SET asked = 0, at = 0, received = 0, value = NULL,
interaction = substr(hex(zeroblob(length(CAST(interaction AS BLOB)))), 1, length(CAST(interaction AS BLOB))){blanks}
WHERE position IN (SELECT value FROM json_each(?))

-- name: delete_signal_rows
DELETE FROM {table} WHERE position IN (SELECT value FROM json_each(?))

-- name: interaction_from
-- The first interaction of a loop at a position or after it, and its time.
SELECT position, {time} FROM interactions WHERE loop = ? AND position >= ? ORDER BY position LIMIT 1

-- name: times_before
SELECT id, position, {time} FROM interactions WHERE loop = ? AND position < ?
ORDER BY position DESC LIMIT ?

-- name: having_signal
SELECT count(DISTINCT interaction) FROM {table} WHERE interaction IN (SELECT value FROM json_each(?)) AND NOT silent

-- name: held_since
SELECT coalesce(received, at) FROM held

-- ---------------------------------------------------------------------------------------------------- held feedback

-- name: loops_of_interactions
SELECT id, loop FROM interactions WHERE id IN (SELECT value FROM json_each(?))

-- name: interactions_of_traces
-- The interaction that feedback on a trace is about: the newest that is complete, or the newest where none is; among
-- the last 256 that came, so that a trace that never ends holds up nobody.
SELECT traces.value, interactions.id, interactions.loop FROM json_each(?) AS traces JOIN interactions
ON interactions.position = (
    SELECT position FROM (
        SELECT position, body FROM interactions WHERE trace = traces.value ORDER BY position DESC LIMIT 256
    ) ORDER BY coalesce(json_extract(body, '$.status') IN ('partial', 'failed'), 0), json_extract(body, '$.at') DESC,
        position DESC LIMIT 1
)

-- name: same_trace
SELECT 1 FROM interactions WHERE (id = ? AND trace = ?) OR (id = ? AND trace = ?) LIMIT 1

-- name: ids_among
SELECT id FROM {table} WHERE id IN (SELECT value FROM json_each(?))

-- name: stored_feedback
-- Feedback by id, joined or still waiting.
SELECT id, body FROM feedback WHERE id IN (SELECT value FROM json_each(:ids))
UNION ALL
SELECT id, body FROM held WHERE id IN (SELECT value FROM json_each(:ids))

-- name: hold
INSERT OR REPLACE INTO held (id, interaction, subject, at, received, body) VALUES (?, ?, ?, ?, ?, ?)

-- name: any_held
SELECT 1 FROM held LIMIT 1

-- name: held_for
-- What waits for these interactions or traces, in the order it came.
SELECT id, coalesce(received, at), body FROM held WHERE interaction IN (SELECT value FROM json_each(?)) ORDER BY at, id

-- name: held
SELECT body FROM held WHERE at < ? ORDER BY at, id

-- name: unhold
DELETE FROM held WHERE id IN (SELECT value FROM json_each(?))

-- ------------------------------------------------------------------------------------------------------------ leases

-- name: lease
SELECT owner, token, until FROM leases WHERE name = ?

-- name: take_lease
INSERT INTO leases (name, owner, token, until) VALUES (?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, token = excluded.token, until = excluded.until

-- name: drop_lease
UPDATE leases SET owner = NULL, until = 0 WHERE name = ? AND owner = ? AND token = ?

-- name: fence
-- Still ours if nobody has taken it and it was not given back.
SELECT 1 FROM leases WHERE name = ? AND owner = ? AND token = ?

-- ---------------------------------------------------------------------------------------------------------- datasets

-- name: version
SELECT position, body FROM versions WHERE id = ?

-- name: versions_by_prefix
SELECT position, body FROM versions WHERE substr(id, 1, :length) = :prefix OR substr(hash, 1, :length) = :prefix LIMIT 2

-- name: add_version
INSERT INTO versions (id, loop, parent, hash, body) VALUES (?, ?, ?, ?, ?)

-- name: update_version
UPDATE versions SET body = ? WHERE position = ?

-- name: log
SELECT body FROM versions WHERE loop = ? ORDER BY position DESC

-- name: lineages
-- Every version and its parent, parents first.
SELECT position, parent, body FROM versions ORDER BY position

-- name: manifest
-- What a version holds, without the bodies.
WITH RECURSIVE lineage (version, parent) AS (
    SELECT position, parent FROM versions WHERE position = :version
    UNION ALL
    SELECT versions.position, versions.parent FROM versions JOIN lineage ON versions.position = lineage.parent
)
SELECT id, key, digest, seal FROM examples
WHERE version IN (SELECT version FROM lineage)
    AND key NOT IN (SELECT example FROM removals WHERE version IN (SELECT version FROM lineage))

-- name: content
-- The examples of a version; `split` NULL means all.
WITH RECURSIVE lineage (version, parent) AS (
    SELECT position, parent FROM versions WHERE position = :version
    UNION ALL
    SELECT versions.position, versions.parent FROM versions JOIN lineage ON versions.position = lineage.parent
)
SELECT id, body FROM examples
WHERE version IN (SELECT version FROM lineage)
    AND key NOT IN (SELECT example FROM removals WHERE version IN (SELECT version FROM lineage))
    AND (:split IS NULL OR split = :split)

-- name: content_of
-- Of these examples, those a version holds. "+" keeps SQLite to the index on the ids.
WITH RECURSIVE lineage (version, parent) AS (
    SELECT position, parent FROM versions WHERE position = :version
    UNION ALL
    SELECT versions.position, versions.parent FROM versions JOIN lineage ON versions.position = lineage.parent
)
SELECT id, body FROM examples
WHERE id IN (SELECT value FROM json_each(:ids)) AND +version IN (SELECT version FROM lineage)
    AND NOT EXISTS (
        SELECT 1 FROM removals WHERE removals.example = examples.key AND removals.version IN (SELECT version FROM lineage)
    )
    AND (:split IS NULL OR split = :split)

-- name: add_example
INSERT INTO examples (version, id, split, digest, seal, body) VALUES (?, ?, ?, ?, ?, ?)

-- name: added_keys
SELECT id, key FROM examples WHERE version = ?

-- name: add_example_subject
INSERT OR IGNORE INTO example_subjects (subject, example) VALUES (?, ?)

-- name: remove_example
INSERT INTO removals (version, example) VALUES (?, ?)

-- name: example_bodies
SELECT body FROM examples WHERE key IN (SELECT value FROM json_each(?))

-- name: rows_of_example
SELECT key, version FROM examples WHERE id = ?

-- name: removals_of
SELECT example, version FROM removals WHERE example IN (SELECT value FROM json_each(?))

-- name: changes_of_example
-- Every version that added, changed or removed the example with this id: (position, body of the version, body of the
-- example or NULL). A change is both; what was added says it.
SELECT versions.position, versions.body, examples.body FROM examples JOIN versions ON versions.position = examples.version
WHERE examples.id = :id AND versions.loop = :loop
UNION ALL
SELECT versions.position, versions.body, NULL FROM removals JOIN versions ON versions.position = removals.version
WHERE removals.example IN (SELECT key FROM examples WHERE id = :id) AND versions.loop = :loop
    AND NOT EXISTS (SELECT 1 FROM examples WHERE examples.id = :id AND examples.version = removals.version)
ORDER BY 1

-- name: refs
SELECT body FROM refs WHERE loop = ? ORDER BY position

-- name: ref
SELECT version, body FROM refs WHERE loop = ? AND id = ?

-- name: point_ref
INSERT INTO refs (id, loop, version, body) VALUES (?, ?, ?, ?)
ON CONFLICT (id, loop) DO UPDATE SET version = excluded.version, body = excluded.body

-- name: drop_ref
DELETE FROM refs WHERE loop = ? AND id = ?

-- ------------------------------------------------------------------------------------------ carried from turn to turn

-- name: log_changes
SELECT count FROM log_changes WHERE loop = ?

-- name: carry
INSERT INTO carried (loop, writing, body) VALUES (?, ?, ?)

-- name: carried
SELECT carried.body FROM log_changes JOIN carried USING (loop, writing) WHERE log_changes.loop = ? ORDER BY carried.key

-- name: carried_whole
INSERT INTO log_changes (loop, count, writing) VALUES (?, ?, ?)
ON CONFLICT (loop) DO UPDATE SET writing = excluded.writing

-- name: blank_others_carried
-- What was carried before, and what an attempt has left that was killed. As `blank`, below.
UPDATE carried SET body = zeroblob(length(body)) WHERE loop = ? AND writing != ?

-- name: drop_others_carried
DELETE FROM carried WHERE loop = ? AND writing != ?

-- ----------------------------------------------------------------------------------------------------------- erasure
-- A subject is found by its hash, and the name in the body decides: two people may share a hash.

-- name: blank
-- Overwrite before deleting. SQLite zeroes what a deleted row leaves, but when a page runs low it moves the rows beside
-- it, and the copies it leaves are not zeroed: so no row that is to go may still say anything when the first one goes.
-- Of the same length, it is overwritten where it is.
UPDATE {table} SET body = substr(hex(zeroblob(length(CAST(body AS BLOB)))), 1, length(CAST(body AS BLOB)))
WHERE {where}

-- name: interactions_of_subject
SELECT id FROM interactions WHERE subject = :key AND json_extract(body, '$.subject') = :subject ORDER BY position

-- name: feedback_of_subject
SELECT id FROM feedback WHERE subject = :key AND json_extract(body, '$.subject') = :subject
UNION
SELECT id FROM feedback WHERE interaction IN (SELECT value FROM json_each(:interactions))

-- name: interactions_of_feedback
-- What was derived from their feedback is made again from what is left.
SELECT DISTINCT interaction FROM feedback WHERE id IN (SELECT value FROM json_each(?))

-- name: held_of_subject
SELECT id FROM held WHERE subject = :key AND json_extract(body, '$.subject') = :subject
UNION
SELECT id FROM held WHERE interaction IN (SELECT value FROM json_each(:interactions))

-- name: reviews_of
SELECT id FROM reviews WHERE interaction IN (SELECT value FROM json_each(:interactions))

-- name: annotations_of
SELECT id FROM annotations WHERE interaction IN (SELECT value FROM json_each(:interactions))
UNION
SELECT id FROM annotations WHERE review IN (SELECT value FROM json_each(:reviews))

-- name: open_classes_of
SELECT DISTINCT p.id FROM proposed_classes AS p, json_each(p.body, '$.interactions') AS one
WHERE p.state = 'open' AND one.value IN (SELECT value FROM json_each(:interactions))

-- name: decided_classes_of
-- What was decided stays, or it would be proposed again; the name a person gave it is theirs.
SELECT body FROM proposed_classes AS p WHERE p.state <> 'open' AND EXISTS (
    SELECT 1 FROM json_each(p.body, '$.interactions') AS one
    WHERE one.value IN (SELECT value FROM json_each(:interactions))
)

-- name: rewrite_class
UPDATE proposed_classes SET body = ? WHERE id = ?

-- name: doubting_reviews
SELECT body FROM reviews WHERE instr(body, '"doubt":{') AND json_extract(body, '$.doubt') IS NOT NULL

-- name: rewrite_review
UPDATE reviews SET body = ? WHERE id = ?

-- name: examples_of_subject
SELECT key, version, body FROM examples WHERE key IN (SELECT example FROM example_subjects WHERE subject = ?)

-- name: forget_example_subject
DELETE FROM example_subjects WHERE subject = ? AND example = ?

-- name: forget_removals
DELETE FROM removals WHERE example IN (SELECT value FROM json_each(?))

-- name: forget_examples
-- Blanked before.
DELETE FROM examples WHERE key IN (SELECT value FROM json_each(?))

-- name: models_on
SELECT id FROM models WHERE dataset IN (SELECT value FROM json_each(?)) ORDER BY position

-- -------------------------------------------------------------------------------------------------------- uses of blobs

-- name: use_blob
-- A second announcement is as new as the newest; named once is named.
INSERT INTO blob_uses (hash, owner, named, at) VALUES (?, ?, ?, ?)
ON CONFLICT (hash, owner) DO UPDATE SET named = max(named, excluded.named), at = max(at, excluded.at)

-- name: use_of
SELECT 1 FROM blob_uses WHERE hash = ? LIMIT 1

-- name: use_in
SELECT 1 FROM blob_uses JOIN interactions ON blob_uses.owner = 'i:' || interactions.id
WHERE blob_uses.hash = ? AND blob_uses.named = 1 AND interactions.loop = ? LIMIT 1

-- name: hashes_of
SELECT DISTINCT hash FROM blob_uses WHERE owner IN (SELECT value FROM json_each(?))

-- name: forget_uses
DELETE FROM blob_uses WHERE owner IN (SELECT value FROM json_each(?))

-- name: nobodys_use
-- It stays until its blob is swept, so that a crash in between forgets no blob.
INSERT INTO blob_uses (hash, owner, named, at) VALUES (?, '', 0, 0)
ON CONFLICT (hash, owner) DO UPDATE SET at = 0

-- name: count_unused
SELECT count(*) FROM json_each(?) WHERE NOT EXISTS (SELECT 1 FROM blob_uses WHERE hash = value AND owner != '')

-- name: due_uses
SELECT hash, owner FROM blob_uses WHERE named = 0 AND at < ? ORDER BY at LIMIT ?

-- name: forget_use
DELETE FROM blob_uses WHERE hash = ? AND owner = ? AND named = 0

-- name: unused
-- A model's bytes are in the same place, and its own record names them.
SELECT value FROM json_each(?) WHERE NOT EXISTS (SELECT 1 FROM blob_uses WHERE hash = value)
AND NOT EXISTS (SELECT 1 FROM models WHERE json_extract(body, '$.blob') = value)

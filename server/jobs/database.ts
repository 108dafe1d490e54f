/**
 * The jobs' database: opening, its schema, and the lock that keeps other processes out.
 *
 * @module
 */
import { DatabaseSync } from "node:sqlite";
import { ConfigError } from "../../lib/errors.ts";

/** Marks the file as this program's ("deno" in ASCII), in the header of the file. */
const APPLICATION = 0x64656e6f;
/** Pages of 4 KiB after which the write-ahead log is moved to the database: a full disk should not be full of the log. */
const LOG_PAGES = 256;
/** Version of the schema: that of {@linkcode SCHEMA} and one more for each of {@linkcode MIGRATIONS}. */
const VERSION = 2;

/**
 * Version 1. Times are milliseconds since 1970. `request`, `problem` and `webhook_attempts` are JSON. A job that is `swept` exists no longer; its
 * images are being deleted. `bytes` are those of its images, and of its given pictures.
 */
const SCHEMA = `
CREATE TABLE jobs (
  number INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  client TEXT NOT NULL,
  idempotency_key TEXT,
  request_digest TEXT NOT NULL,
  request TEXT NOT NULL,
  count INTEGER NOT NULL,
  model TEXT NOT NULL,
  state TEXT NOT NULL,
  problem TEXT,
  created INTEGER NOT NULL,
  started INTEGER,
  ended INTEGER,
  done INTEGER NOT NULL DEFAULT 0,
  bytes INTEGER NOT NULL DEFAULT 0,
  webhook_url TEXT,
  webhook_secret TEXT,
  webhook_state TEXT,
  webhook_due INTEGER,
  webhook_attempts TEXT,
  swept INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX jobs_by_key ON jobs (client, idempotency_key) WHERE idempotency_key IS NOT NULL AND swept = 0;
CREATE INDEX jobs_by_state ON jobs (swept, state, number);
CREATE INDEX jobs_by_client ON jobs (client, number);
CREATE INDEX jobs_by_webhook ON jobs (webhook_state) WHERE webhook_state = 'pending';
CREATE TABLE images (
  job INTEGER NOT NULL REFERENCES jobs (number),
  position INTEGER NOT NULL,
  digest BLOB NOT NULL,
  png BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX images_by_position ON images (job, position);
`;

/** What leads from each version to the next. */
const MIGRATIONS: readonly string[] = [
  // Files that the images of an unfinished job are drawn from: `image` and `mask`. They go with the change of state that ends it.
  `
CREATE TABLE pictures (
  job INTEGER NOT NULL REFERENCES jobs (number),
  kind TEXT NOT NULL,
  file BLOB NOT NULL,
  PRIMARY KEY (job, kind)
) STRICT;
CREATE TRIGGER pictures_of_ended_jobs AFTER UPDATE OF state ON jobs WHEN new.state NOT IN ('queued', 'running')
BEGIN
  UPDATE jobs SET bytes = bytes - (SELECT coalesce(sum(length(file)), 0) FROM pictures WHERE job = new.number)
    WHERE number = new.number;
  DELETE FROM pictures WHERE job = new.number;
END;
`,
];

/**
 * Files that SQLite opens for a database.
 *
 * @param path the database
 */
export function databaseFiles(path: string): string[] {
  return ["", "-wal", "-shm", "-journal"].map((suffix) => path + suffix);
}

/**
 * Opens the database, or creates it, readable by its owner alone since it has secrets of webhooks. The process holds an exclusive
 * lock until it closes the database or ends, in whatever way.
 *
 * @throws {ConfigError} where the file cannot be opened, is another program's or a newer version's, is damaged, or is in use
 */
export function openDatabase(path: string): DatabaseSync {
  const refuse = (allowed: string): never => {
    throw new ConfigError("--jobs", path, allowed);
  };
  let db: DatabaseSync | undefined;
  try {
    Deno.openSync(path, { write: true, create: true, mode: 0o600 }).close();
    db = new DatabaseSync(path);
    // Without the exclusive mode, SQLite would need shared memory, and another process could write.
    db.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA busy_timeout = 0; PRAGMA auto_vacuum = INCREMENTAL");
    db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; BEGIN EXCLUSIVE; COMMIT");
    db.exec(`PRAGMA wal_autocheckpoint = ${LOG_PAGES}`);
    const [application, version] = [pragma(db, "application_id"), pragma(db, "user_version")];
    const objects = db.prepare("SELECT count(*) AS count FROM sqlite_schema").get()!.count;
    if (objects === 0 && application === 0) create(db);
    else if (application !== APPLICATION) refuse("a new file, or one that this option has made");
    else if (typeof version !== "number" || version < 1 || version > VERSION) {
      const whose = Number(version) > VERSION
        ? "of a newer release of this program"
        : "which no release has made";
      refuse(`a file of version 1 to ${VERSION} (it has version ${version}, ${whose})`);
    }
    const { quick_check: damage } = db.prepare("PRAGMA quick_check(1)").get() as { quick_check: string };
    if (damage !== "ok") refuse(`an undamaged file (${damage}); move it away to begin a new one`);
    migrate(db);
    return db;
  } catch (error) {
    db?.close();
    if (error instanceof ConfigError) throw error;
    const { message } = error as Error;
    if (/database is locked/.test(message)) refuse("a file that no other server uses");
    if (/not a database|malformed/.test(message)) {
      refuse(`an undamaged SQLite database (${message}); move it away to begin a new one`);
    }
    return refuse(`a file that can be read and written, in a folder that exists (${message})`);
  }
}

function create(db: DatabaseSync): void {
  db.exec(`BEGIN; ${SCHEMA} PRAGMA application_id = ${APPLICATION}; PRAGMA user_version = 1; COMMIT`);
}

/** Brings the schema to {@linkcode VERSION}. */
function migrate(db: DatabaseSync): void {
  for (let version = Number(pragma(db, "user_version")); version < VERSION; version++) {
    db.exec(`BEGIN; ${MIGRATIONS[version - 1]} PRAGMA user_version = ${version + 1}; COMMIT`);
  }
}

function pragma(db: DatabaseSync, name: string): unknown {
  return Object.values(db.prepare(`PRAGMA ${name}`).get()!)[0];
}

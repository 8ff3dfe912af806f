// Longer than 400 lines: one list of cases.
//! One case for each way in which a database can be wrong, or odd, for a policy.
//!
//! Each begins with `app.codes (id int PRIMARY KEY, expires_at timestamptz, state text, uses int)`,
//! two overdue rows in it, and a role that may do anything with every table.

/// A database, rules, and what is said of them.
#[derive(Clone, Copy)]
pub struct Case {
    /// The stable name.
    pub name: &'static str,
    /// Made on top of the beginning.
    pub sql: &'static str,
    /// The rules of the policy.
    pub rules: &'static str,
    /// A part of the sentence.
    pub words: &'static str,
}

const fn case(
    name: &'static str,
    sql: &'static str,
    rules: &'static str,
    words: &'static str,
) -> Case {
    Case { name, sql, rules, words }
}

const DELETE: &str = "
- name: r
  table: {schema: app, name: codes}
  where: [{column: expires_at, operator: OlderThan, age: 1h}]
  action: {delete: {}}
";
const UPDATE: &str = "
- name: r
  table: {schema: app, name: codes}
  where: [{column: expires_at, operator: OlderThan, age: 1h}, {column: state, operator: Equals, value: new}]
  action: {update: {set: [{column: state, value: old}]}}
";
const ARCHIVE: &str = "
- name: r
  table: {schema: app, name: codes}
  where: [{column: expires_at, operator: OlderThan, age: 1h}]
  action: {archive: {into: {schema: app, name: gone}}}
";
const TOMBSTONES: &str = "
- name: r
  table: {schema: app, name: codes}
  where: [{column: expires_at, operator: OlderThan, age: 1h}]
  action: {delete: {}}
  emit: [{into: {schema: app, name: codes}, values: [{column: id, fromColumn: id}]}]
";
const CHILDREN_FIRST: &str = "
- name: children
  table: {schema: app, name: uses}
  where: [{column: at, operator: OlderThan, age: 1h}]
  action: {delete: {}}
- name: r
  table: {schema: app, name: codes}
  where: [{column: expires_at, operator: OlderThan, age: 1h}]
  action: {delete: {}}
";
const ORPHANS: &str = "
- name: r
  table: {schema: app, name: codes}
  where:
  - {column: expires_at, operator: OlderThan, age: 1h}
  - notExists: {table: {schema: app, name: people}, join: [{column: code_id, references: id}]}
  action: {delete: {}}
";
const EMIT: &str = "
- name: r
  table: {schema: app, name: codes}
  where: [{column: expires_at, operator: OlderThan, age: 1h}]
  action: {delete: {}}
  emit: [{into: {schema: app, name: events}, values: [{column: kind, value: expired}, {column: data, object: [{key: id, fromColumn: id}]}]}]
";
const DROP: &str = "
- name: r
  table: {schema: app, name: days}
  where: [{column: at, operator: OlderThan, age: 30d}]
  action: {dropPartitions: {}}
";
const PARENTS_FIRST: &str = "
- name: r
  table: {schema: app, name: codes}
  where: [{column: expires_at, operator: OlderThan, age: 1h}]
  action: {delete: {}}
- name: children
  table: {schema: app, name: uses}
  where: [{column: at, operator: OlderThan, age: 1h}]
  action: {delete: {}}
";

/// A right archive of `app.codes`.
pub const LIKE: &str = "CREATE TABLE app.gone (LIKE app.codes);
  ALTER TABLE app.gone ADD pgsweep_run_id text, ADD pgsweep_rule text, ADD pgsweep_archived_at timestamptz;";

/// What keeps a policy from running.
pub const PROBLEMS: &[Case] = &[
    case("TableMissing", "", ORPHANS, "table app.people does not exist"),
    case("TableMissing", "", EMIT, "table app.events of emit does not exist"),
    case(
        "TableMissing",
        "",
        ARCHIVE,
        r#"as its owner: CREATE TABLE IF NOT EXISTS "app"."gone" (LIKE "app"."codes", pgsweep_run_id text, pgsweep_rule text, pgsweep_archived_at timestamp with time zone);"#,
    ),
    case(
        "NotATable",
        "ALTER TABLE app.codes RENAME TO rows; CREATE VIEW app.codes AS TABLE app.rows",
        DELETE,
        "app.codes is a view, not a table; name the table behind it, app.rows",
    ),
    case(
        "NotATable",
        "CREATE MATERIALIZED VIEW app.events AS SELECT text 'x' AS kind, jsonb '{}' AS data",
        EMIT,
        "app.events of emit takes no new rows",
    ),
    case(
        "ColumnMissing",
        "CREATE TABLE app.people (id int)",
        ORPHANS,
        "table app.people has no column \"code_id\"",
    ),
    case(
        "ColumnMissing",
        "CREATE TABLE app.events (kind text)",
        EMIT,
        "table app.events has no column \"data\"",
    ),
    case(
        "ColumnNotFilled",
        "CREATE TABLE app.events (kind text, data jsonb, shop int NOT NULL)",
        EMIT,
        "column \"shop\" of app.events is NOT NULL, has no default and gets no value",
    ),
    case(
        "TypeMismatch",
        "CREATE TABLE app.people (code_id text)",
        ORPHANS,
        "column \"code_id\" of app.people is of type text and cannot be joined with \"id\" of app.codes, which is of type integer",
    ),
    case(
        "TypeMismatch",
        "CREATE TABLE app.events (kind text, data int)",
        EMIT,
        "column \"data\" of app.events is of type integer; an object needs json or jsonb",
    ),
    case(
        "TypeMismatch",
        "CREATE TABLE app.events (kind varchar(5), data jsonb)",
        EMIT,
        "takes at most 5 characters, and its value has 7",
    ),
    case(
        "TypeMismatch",
        "CREATE TABLE app.events (kind text, data jsonb GENERATED ALWAYS AS (NULL) STORED)",
        EMIT,
        "is generated and cannot be set",
    ),
    case(
        "PrivilegeMissing",
        "REVOKE DELETE ON app.codes FROM cleaner",
        DELETE,
        r#"GRANT DELETE ON "app"."codes" TO cleaner;"#,
    ),
    case(
        "PrivilegeMissing",
        "CREATE TABLE app.events (id serial, kind text, data jsonb); GRANT INSERT ON app.events TO cleaner",
        EMIT,
        "GRANT USAGE ON SEQUENCE app.events_id_seq TO cleaner;",
    ),
    case(
        "RowSecurity",
        "ALTER TABLE app.codes ENABLE ROW LEVEL SECURITY",
        DELETE,
        "row security would hide rows of app.codes from role cleaner",
    ),
    case(
        "NoPrimaryKey",
        "ALTER TABLE app.codes DROP CONSTRAINT codes_pkey",
        DELETE,
        "has no primary key",
    ),
    case(
        "NoReplicaIdentity",
        "CREATE PUBLICATION everything FOR TABLE app.codes; ALTER TABLE app.codes REPLICA IDENTITY NOTHING",
        DELETE,
        "app.codes is published, and its rows have no replica identity",
    ),
    case(
        "NoReplicaIdentity",
        "CREATE PUBLICATION everything FOR ALL TABLES; ALTER TABLE app.codes REPLICA IDENTITY NOTHING",
        UPDATE,
        "app.codes is published",
    ),
    case(
        "NoReplicaIdentity",
        "CREATE TABLE app.uses (code_id int REFERENCES app.codes ON DELETE CASCADE); CREATE PUBLICATION everything FOR TABLES IN SCHEMA app",
        DELETE,
        "app.uses is published, and its rows have no replica identity",
    ),
    case(
        "OrderCannotWork",
        "CREATE TABLE app.uses (id int PRIMARY KEY, code_id int REFERENCES app.codes, at timestamptz)",
        PARENTS_FIRST,
        "only a later rule removes them; put that rule before this one",
    ),
    case(
        "StatementRefused",
        "ALTER TABLE app.codes ALTER state TYPE int USING 1",
        UPDATE,
        "a value of the policy cannot be read as the column's type",
    ),
    case(
        "StatementRefused",
        "CREATE RULE never AS ON DELETE TO app.codes DO INSTEAD NOTHING",
        DELETE,
        "a rewrite rule of the table (CREATE RULE)",
    ),
];

/// What keeps an archive from holding the rows; `AN ARCHIVE;` stands for a right one.
pub const ARCHIVES: &[Case] = &[
    case(
        "ArchiveMismatch",
        "CREATE TABLE app.gone (LIKE app.codes)",
        ARCHIVE,
        r#"ALTER TABLE "app"."gone" ADD "pgsweep_run_id" text, ADD "pgsweep_rule" text, ADD "pgsweep_archived_at" timestamp with time zone;"#,
    ),
    case(
        "ArchiveMismatch",
        "AN ARCHIVE; ALTER TABLE app.gone DROP uses",
        ARCHIVE,
        "it lacks \"uses\"",
    ),
    case(
        "ArchiveMismatch",
        "AN ARCHIVE; ALTER TABLE app.gone ALTER state TYPE varchar(3)",
        ARCHIVE,
        "\"state\" is of type character varying(3) and not text",
    ),
    case(
        "ArchiveMismatch",
        "AN ARCHIVE; ALTER TABLE app.codes ALTER state TYPE varchar(9); ALTER TABLE app.gone ALTER state TYPE varchar(8)",
        ARCHIVE,
        "\"state\" is of type character varying(8) and not character varying(9)",
    ),
    case(
        "ArchiveMismatch",
        "AN ARCHIVE; ALTER TABLE app.gone DROP uses, ADD uses int GENERATED ALWAYS AS (1) STORED",
        ARCHIVE,
        "\"uses\" is generated there",
    ),
    case(
        "ArchiveMismatch",
        "AN ARCHIVE; ALTER TABLE app.gone ALTER uses SET NOT NULL",
        ARCHIVE,
        "\"uses\" takes no NULL there",
    ),
    case(
        "ArchiveMismatch",
        "AN ARCHIVE; ALTER TABLE app.gone SET UNLOGGED",
        ARCHIVE,
        "a crash would empty the archive",
    ),
    case(
        "ColumnNotFilled",
        "AN ARCHIVE; ALTER TABLE app.gone ADD shop int NOT NULL",
        ARCHIVE,
        "column \"shop\" of app.gone",
    ),
    case(
        "ArchiveChangesRows",
        "AN ARCHIVE; CREATE FUNCTION app.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER tidy BEFORE INSERT ON app.gone FOR EACH ROW EXECUTE FUNCTION app.f()",
        ARCHIVE,
        "on their way into the archive app.gone: tidy",
    ),
    case(
        "ArchiveChangesRows",
        "AN ARCHIVE; CREATE RULE never AS ON INSERT TO app.gone DO INSTEAD NOTHING",
        ARCHIVE,
        "on their way into the archive app.gone: never",
    ),
    case(
        "CascadeNotArchived",
        "AN ARCHIVE; CREATE TABLE app.uses (id int PRIMARY KEY, code_id int REFERENCES app.codes ON DELETE CASCADE)",
        ARCHIVE,
        "the delete would take rows of app.uses along by constraint \"uses_code_id_fkey\"",
    ),
    case(
        "PrivilegeMissing",
        "AN ARCHIVE; GRANT SELECT ON app.gone TO cleaner; REVOKE INSERT ON app.gone FROM cleaner",
        ARCHIVE,
        r#"GRANT INSERT ON "app"."gone" TO cleaner;"#,
    ),
];

/// What keeps partitions from being dropped.
pub const PARTITIONS: &[Case] = &[
    case(
        "NotPartitioned",
        "CREATE TABLE app.days (at timestamptz)",
        DROP,
        "app.days is not partitioned by range of \"at\" alone",
    ),
    case(
        "NotPartitioned",
        "CREATE TABLE app.days (at timestamptz) PARTITION BY LIST (at)",
        DROP,
        "is not partitioned by range",
    ),
    case(
        "NotPartitioned",
        "CREATE TABLE app.days (at timestamptz, day timestamptz) PARTITION BY RANGE (day)",
        DROP,
        "is not partitioned by range",
    ),
    case(
        "NotPartitioned",
        "CREATE TABLE app.days (at timestamptz, shop int) PARTITION BY RANGE (at, shop)",
        DROP,
        "is not partitioned by range",
    ),
    case(
        "DefaultPartition",
        "CREATE TABLE app.days (at timestamptz) PARTITION BY RANGE (at); CREATE TABLE app.rest PARTITION OF app.days DEFAULT",
        DROP,
        "has the default partition rest",
    ),
    case(
        "NotOwner",
        "CREATE TABLE app.days (at timestamptz) PARTITION BY RANGE (at); CREATE TABLE app.day PARTITION OF app.days FOR VALUES FROM ('2020-01-01') TO ('2020-01-02')",
        DROP,
        "only an owner may drop partitions of app.days; as a superuser: GRANT postgres TO cleaner;",
    ),
];

const YOUNG_TOO: &str = "
- name: r
  table: {schema: app, name: codes}
  where: [{column: state, operator: Equals, value: new}]
  action: {delete: {}}
";
const TWICE: &str = "
- name: first
  table: {schema: app, name: codes}
  where: [{column: expires_at, operator: OlderThan, age: 1h}]
  action: {delete: {}}
- name: r
  table: {schema: app, name: uses}
  where: [{column: at, operator: OlderThan, age: 1h}]
  action: {delete: {}}
";
const LARGE: &str = "INSERT INTO app.codes SELECT n, now() + interval '1 day' FROM generate_series(10, 60010) AS n; ANALYZE app.codes;";

/// What is odd, and may surprise.
pub const WARNINGS: &[Case] = &[
    case("NoAgeCondition", "", YOUNG_TOO, "add an OlderThan condition"),
    case(
        "CountDependsOnEarlierRule",
        "CREATE TABLE app.uses (id int PRIMARY KEY, code_id int REFERENCES app.codes ON DELETE CASCADE, at timestamptz)",
        TWICE,
        "an earlier rule changes what this one looks at",
    ),
    case(
        "EmitsIntoOwnTable",
        "",
        TOMBSTONES,
        "emit inserts rows into app.codes, which the rule goes through",
    ),
    case(
        "TimestampReadAsUtc",
        "ALTER TABLE app.codes ALTER expires_at TYPE timestamp",
        DELETE,
        "\"expires_at\" of app.codes has no time zone and is read as UTC",
    ),
    case(
        "UserTriggers",
        "CREATE FUNCTION app.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'; CREATE TRIGGER watch BEFORE DELETE ON app.codes FOR EACH ROW EXECUTE FUNCTION app.f()",
        DELETE,
        "can refuse a row or change others: watch",
    ),
    case(
        "CascadesIntoUnnamedTable",
        "CREATE TABLE app.uses (id int PRIMARY KEY, code_id int REFERENCES app.codes ON DELETE CASCADE); INSERT INTO app.uses SELECT n, 1 + n % 2 FROM generate_series(1, 20) AS n; ANALYZE app.uses",
        DELETE,
        "rows of app.uses go with their rows of app.codes by constraint \"uses_code_id_fkey\", and no rule names that table: about 2000 with a batch of 200 rows",
    ),
    case(
        "CascadesIntoUnnamedTable",
        "CREATE TABLE app.uses (id int PRIMARY KEY, code_id int REFERENCES app.codes ON DELETE CASCADE); CREATE TABLE app.marks (id int PRIMARY KEY, use_id int REFERENCES app.uses ON DELETE CASCADE)",
        DELETE,
        "rows of app.marks go with their rows of app.uses",
    ),
    case(
        "CascadesIntoNamedTable",
        "CREATE TABLE app.uses (id int PRIMARY KEY, code_id int REFERENCES app.codes ON DELETE CASCADE, at timestamptz)",
        CHILDREN_FIRST,
        "also those that the rules of that table leave alone",
    ),
    case(
        "CascadesIntoOwnTable",
        "ALTER TABLE app.codes ADD parent int REFERENCES app.codes ON DELETE CASCADE",
        DELETE,
        "due or not",
    ),
    case(
        "SetsColumnsOfUnnamedTable",
        "CREATE TABLE app.uses (id int PRIMARY KEY, code_id int REFERENCES app.codes ON DELETE SET NULL)",
        DELETE,
        "columns of app.uses are set when their rows of app.codes go",
    ),
    case(
        "ReferencedByForeignKey",
        "CREATE TABLE app.uses (id int PRIMARY KEY, code_id int REFERENCES app.codes)",
        DELETE,
        "rows of app.uses keep rows of app.codes from going by constraint \"uses_code_id_fkey\"",
    ),
    case(
        "ForeignKeyWithoutIndex",
        "CREATE TABLE app.uses (id int PRIMARY KEY, code_id int REFERENCES app.codes)",
        DELETE,
        "the database reads all of app.uses for each row that goes",
    ),
    case(
        "PendingDetach",
        "CREATE TABLE app.days (at timestamptz) PARTITION BY RANGE (at); CREATE TABLE app.day PARTITION OF app.days FOR VALUES FROM ('2020-01-01') TO ('2020-01-02'); ALTER TABLE app.days OWNER TO cleaner; ALTER TABLE app.day OWNER TO cleaner; UPDATE pg_inherits SET inhdetachpending = TRUE WHERE inhrelid = 'app.day'::regclass",
        DROP,
        "the detachment of app.day from app.days was begun and not finished",
    ),
];

/// What would help.
pub const ADVICE: &[Case] = &[
    case(
        "MissingIndex",
        LARGE,
        DELETE,
        r#"CREATE INDEX CONCURRENTLY ON "app"."codes" ("expires_at", "id");"#,
    ),
    case(
        "MissingIndex",
        "CREATE TABLE app.uses (id int PRIMARY KEY, code_id int REFERENCES app.codes)",
        DELETE,
        r#"for constraint "uses_code_id_fkey": CREATE INDEX CONCURRENTLY ON "app"."uses" ("code_id");"#,
    ),
    case(
        "MissingIndex",
        "CREATE TABLE app.people (code_id int); INSERT INTO app.people SELECT 1 FROM generate_series(1, 60000); ANALYZE app.people",
        ORPHANS,
        r#"CREATE INDEX CONCURRENTLY ON "app"."people" ("code_id");"#,
    ),
    case(
        "StatisticsMissing",
        "CREATE TABLE app.fresh (LIKE app.codes INCLUDING ALL); DROP TABLE app.codes; ALTER TABLE app.fresh RENAME TO codes",
        DELETE,
        r#"ANALYZE "app"."codes";"#,
    ),
    case("ReplicaLagUnavailable", "", DELETE, "GRANT pg_monitor to it"),
];

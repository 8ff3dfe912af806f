//! Random tables with random rows around the cutoffs.

use std::fmt::Write as _;

use tests::decoder::Row;

use super::dice::Dice;
use super::naive::{Kind, LEVELS};

/// Ages that rules use, in seconds: rows lie around them.
pub const AGES: [i128; 4] = [0, 1800, 3600, 86_400];
const TEXTS: [&str; 8] = ["", "a", "B", "ä", "it's", "zz \"q\"", "$1", "\\"];
const UUIDS: [&str; 3] = [
    "00000000-0000-4000-8000-000000000001",
    "7fffffff-0000-4000-8000-000000000002",
    "ffffffff-0000-4000-8000-000000000003",
];
const NUMBERS: [&str; 6] = ["0", "1.0", "-3.5", "NaN", "Infinity", "-Infinity"];

/// How rows are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    Number,
    Text,
    Both,
}

/// What ties a table to the first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tie {
    /// Columns of the same values, and nothing that the database knows of.
    Loose,
    /// A foreign key `ON DELETE CASCADE`.
    Cascade,
}

#[derive(Debug, Clone)]
pub struct Table {
    pub name: String,
    pub key: Key,
    pub columns: Vec<(String, Kind)>,
    pub partitioned: bool,
    pub indexed: bool,
    pub tie: Option<Tie>,
    pub rows: usize,
}

#[derive(Debug, Clone)]
pub struct World {
    pub tables: Vec<Table>,
}

/// A name as SQL needs it.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A value as SQL needs it.
pub fn literal(value: Option<&String>) -> String {
    value.map_or("NULL".to_owned(), |value| format!("'{}'", value.replace('\'', "''")))
}

impl Table {
    fn random(dice: &mut Dice, index: usize) -> Self {
        let name = format!("{}{index}", dice.one(&["plain_", "Mixed Case ", "we\"ird: ", "ünï-"]));
        let mut columns = vec![("due".to_owned(), *dice.one(&Kind::TIMES))];
        for extra in 0..2 + dice.below(3) {
            let name = format!("{}{extra}", dice.one(&["x", "Order by ", "a\"b"]));
            let kind =
                if dice.percent(25) { *dice.one(&Kind::TIMES) } else { *dice.one(&Kind::OTHERS) };
            columns.push((name, kind));
        }
        let tie = if dice.percent(60) { Tie::Cascade } else { Tie::Loose };
        Self {
            name,
            key: *dice.one(&[Key::Number, Key::Text, Key::Both]),
            columns,
            partitioned: dice.percent(30),
            indexed: dice.percent(60),
            tie: (index > 0).then_some(tie),
            rows: 100 + dice.below(200),
        }
    }

    /// The columns of the primary key, with their types.
    pub fn key(&self) -> &'static [(&'static str, &'static str)] {
        match self.key {
            Key::Number => &[("id", "bigint")],
            Key::Text => &[("id", "text")],
            Key::Both => &[("id", "bigint"), ("part", "text")],
        }
    }

    /// The place of a row in its table.
    pub fn place(&self, row: &Row) -> Vec<String> {
        self.key().iter().map(|(column, _)| row[*column].clone()).collect()
    }

    pub fn sql_name(&self) -> String {
        quoted(&self.name)
    }

    pub fn archive(&self) -> String {
        format!("archive of {}", self.name)
    }

    pub fn due(&self) -> Kind {
        self.columns[0].1
    }

    /// A condition that finds a row by its key.
    pub fn at(&self, place: &[String]) -> String {
        let pairs = self.key().iter().zip(place);
        let pairs: Vec<_> = pairs
            .map(|((column, _), value)| format!("{column} = {}", literal(Some(value))))
            .collect();
        pairs.join(" AND ")
    }

    /// The key of the `n`-th row.
    pub fn nth(&self, n: usize) -> Vec<String> {
        match self.key {
            Key::Number => vec![n.to_string()],
            Key::Text => vec![format!("k'{n}")],
            Key::Both => vec![(n / 3).to_string(), format!("p{}", n % 3)],
        }
    }

    /// A row with this key: values on both sides of each cutoff, far away, absent, never and for ever.
    pub fn row(&self, dice: &mut Dice, place: &[String], world: &World, now: i128) -> Row {
        let mut row: Row = self
            .key()
            .iter()
            .zip(place)
            .map(|((name, _), value)| ((*name).to_owned(), value.clone()))
            .collect();
        if self.tie.is_some() && !dice.percent(5) {
            // A child without a parent only where nothing forbids it.
            let first = &world.tables[0];
            let orphans = if self.tie == Some(Tie::Loose) { first.rows / 4 } else { 0 };
            let parent = first.nth(dice.below(first.rows + orphans));
            for ((name, _), value) in first.key().iter().zip(parent) {
                row.insert(format!("of_{name}"), value);
            }
        }
        for (name, kind) in &self.columns {
            if let Some(value) = random_value(dice, *kind, now) {
                row.insert(name.clone(), value);
            }
        }
        row.insert("state".to_owned(), dice.one(&["new", "new", "new", "done"]).to_string());
        row
    }

    pub fn insert(&self, rows: &[Row]) -> String {
        let columns = self.all_columns();
        let names: Vec<_> = columns.iter().map(|name| quoted(name)).collect();
        let tuples: Vec<_> = rows
            .iter()
            .map(|row| {
                let values: Vec<_> = columns.iter().map(|name| literal(row.get(name))).collect();
                format!("({})", values.join(", "))
            })
            .collect();
        format!(
            "INSERT INTO {} ({}) VALUES {}",
            self.sql_name(),
            names.join(", "),
            tuples.join(", ")
        )
    }

    fn all_columns(&self) -> Vec<String> {
        let key = self.key().iter().map(|(name, _)| (*name).to_owned());
        let parent = ["of_id", "of_part"].into_iter().map(str::to_owned);
        let parent = parent.filter(|_| self.tie.is_some());
        key.chain(parent)
            .chain(self.columns.iter().map(|(name, _)| name.clone()))
            .chain(["state".to_owned()])
            .collect()
    }

    fn ddl(&self, world: &World) -> String {
        let (name, sql) = (&self.name, self.sql_name());
        let mut columns: Vec<_> =
            self.key().iter().map(|(name, sql_type)| format!("{name} {sql_type}")).collect();
        if self.tie.is_some() {
            columns.push("of_id text, of_part text".to_owned());
            for (column, sql_type) in world.tables[0].key() {
                let last = columns.len() - 1;
                columns[last] = columns[last]
                    .replace(&format!("of_{column} text"), &format!("of_{column} {sql_type}"));
            }
        }
        columns.extend(
            self.columns.iter().map(|(name, kind)| format!("{} {}", quoted(name), kind.sql())),
        );
        let key: Vec<_> = self.key().iter().map(|(name, _)| *name).collect();
        columns.push("state text, seen timestamptz, note text".to_owned());
        let mut ddl = format!(
            "CREATE TABLE {sql} ({}, PRIMARY KEY ({}))",
            columns.join(", "),
            key.join(", ")
        );
        if self.partitioned {
            ddl.push_str(" PARTITION BY HASH (id)");
        }
        ddl.push_str(";\n");
        if self.partitioned {
            for part in 0..3 {
                let partition = quoted(&format!("{name}/{part}"));
                let _ = writeln!(
                    ddl,
                    "CREATE TABLE {partition} PARTITION OF {sql} FOR VALUES WITH (MODULUS 3, REMAINDER {part}); ALTER TABLE {partition} REPLICA IDENTITY FULL;"
                );
            }
        } else {
            let _ = writeln!(ddl, "ALTER TABLE {sql} REPLICA IDENTITY FULL;");
        }
        if self.tie == Some(Tie::Cascade) {
            let parent: Vec<_> =
                world.tables[0].key().iter().map(|(name, _)| format!("of_{name}")).collect();
            let _ = writeln!(
                ddl,
                "ALTER TABLE {sql} ADD FOREIGN KEY ({}) REFERENCES {} ON DELETE CASCADE;",
                parent.join(", "),
                world.tables[0].sql_name()
            );
        }
        if self.tie.is_some() {
            let _ = writeln!(ddl, "CREATE INDEX ON {sql} (of_id);");
        }
        if self.indexed {
            let _ = writeln!(ddl, "CREATE INDEX ON {sql} (due);");
        }
        let archive = quoted(&self.archive());
        let _ = writeln!(ddl, "CREATE TABLE {archive} (LIKE {sql}); ALTER TABLE {archive} ADD pgsweep_run_id text, ADD pgsweep_rule text, ADD pgsweep_archived_at timestamptz;
            CREATE TRIGGER tell BEFORE INSERT OR UPDATE OR DELETE ON {sql} FOR EACH STATEMENT EXECUTE FUNCTION tell();");
        ddl
    }
}

impl World {
    pub fn random(dice: &mut Dice) -> Self {
        let count = 1 + dice.below(3);
        Self { tables: (0..count).map(|index| Table::random(dice, index)).collect() }
    }

    /// `tell` is stable, so that it sees the very snapshot of the statement that it stands before,
    /// and tells who that is and what they see.
    pub fn ddl(&self) -> String {
        let tables: String = self.tables.iter().map(|table| table.ddl(self)).collect();
        format!(
            "CREATE TYPE level AS ENUM ('{}');
             CREATE TABLE events (id bigserial PRIMARY KEY, rule text, key text, at timestamptz);
             CREATE FUNCTION tell() RETURNS trigger STABLE LANGUAGE plpgsql AS
               $$BEGIN PERFORM pg_logical_emit_message(TRUE, current_setting('application_name'), pg_current_snapshot()::text); RETURN NULL; END$$;
             {tables}",
            LEVELS.join("', '")
        )
    }

    /// The table that a name in the WAL stands for.
    pub fn table_of(&self, wal_name: &str) -> Option<usize> {
        let name = wal_name.strip_prefix("public.")?;
        let name = match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
            Some(inner) => inner.replace("\"\"", "\""),
            None => name.to_owned(),
        };
        self.tables.iter().position(|table| {
            table.name == name
                || (table.partitioned
                    && name.rsplit_once('/').is_some_and(|(of, _)| of == table.name))
        })
    }
}

/// A value of a kind; none is NULL.
pub fn random_value(dice: &mut Dice, kind: Kind, now: i128) -> Option<String> {
    if dice.percent(10) {
        return None;
    }
    let odd = dice.percent(10);
    Some(match kind {
        Kind::Timestamptz | Kind::Timestamp | Kind::Date if odd => {
            (*dice.one(&["infinity", "-infinity"])).to_owned()
        }
        Kind::Numeric if odd => (*dice.one(&NUMBERS)).to_owned(),
        Kind::Text => (*dice.one(&TEXTS)).to_owned(),
        Kind::Bool => (*dice.one(&["true", "false"])).to_owned(),
        Kind::Level => (*dice.one(&LEVELS)).to_owned(),
        Kind::Uuid => (*dice.one(&UUIDS)).to_owned(),
        _ => kind.write(moment(dice, now)),
    })
}

/// A moment that is close to a cutoff or far from all.
fn moment(dice: &mut Dice, now: i128) -> i128 {
    let age = *dice.one(&AGES) * 1_000_000;
    let jitter = i128::try_from(dice.below(40_000_000)).expect("a small one") - 20_000_000;
    match dice.below(4) {
        0 => now - age + jitter,
        1 => now - 2 * 86_400_000_000 - 1000 * jitter,
        2 => now + 3_600_000_000 + jitter,
        _ => now - 7_200_000_000 + 100 * jitter,
    }
}

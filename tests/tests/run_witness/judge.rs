//! The judge: goes through the WAL, transaction by transaction, and tells of each row that a run
//! changed whether it was due.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use tests::decoder::{CONTENT, Change, Operation, Row};

use super::naive::micros;
use super::rules::{Action, Condition, Rows, Rule};
use super::world::{Table, Tie, World};
use super::writer::APP;

/// Who fills the tables before the run.
const SETUP: &str = "test";
const RUN: &str = "pgsweep";

/// What `pg_current_snapshot()` said.
struct Snapshot {
    next: u64,
    running: BTreeSet<u64>,
}

impl Snapshot {
    fn read(text: &str) -> Result<Self> {
        let mut parts = text.split(':').skip(1);
        let next = parts.next().context("no snapshot")?.parse()?;
        let running = parts.next().unwrap_or_default().split(',');
        let running = running.filter(|xid| !xid.is_empty()).map(str::parse);
        Ok(Self { next, running: running.collect::<Result<_, _>>()? })
    }

    fn sees(&self, xid: u64) -> bool {
        xid < self.next && !self.running.contains(&xid)
    }
}

/// A row by its table and its key.
type Place = (usize, Vec<String>);

/// What is known after some of the WAL.
pub struct Judge<'a> {
    world: &'a World,
    rules: &'a [Rule],
    now: i128,
    /// The tables as all that was committed so far left them.
    pub tables: Vec<Rows>,
    /// What was committed, for looking back.
    past: Vec<(u64, Vec<Change>)>,
    /// Rows that somebody has changed since the run began, and who.
    pub touched: BTreeMap<Place, BTreeSet<String>>,
    /// How many rows each rule changed.
    pub changed: BTreeMap<String, usize>,
}

impl<'a> Judge<'a> {
    pub fn new(world: &'a World, rules: &'a [Rule]) -> Self {
        Self {
            world,
            rules,
            now: 0,
            tables: vec![Rows::new(); world.tables.len()],
            past: Vec::new(),
            touched: BTreeMap::new(),
            changed: BTreeMap::new(),
        }
    }

    /// From here on a run may change rows, whose start this was.
    pub fn run_begins(&mut self, now: i128) {
        self.now = now;
        self.touched.clear();
        self.changed.clear();
    }

    /// Goes on through the WAL; fails at the first row that had no business to be changed.
    pub fn hear(&mut self, changes: Vec<Change>) -> Result<()> {
        let mut transactions: Vec<(u64, Vec<Change>)> = Vec::new();
        for change in changes {
            let xid = change.transaction.parse()?;
            match transactions.last_mut() {
                Some((last, of)) if *last == xid => of.push(change),
                _ => transactions.push((xid, vec![change])),
            }
        }
        for (xid, changes) in transactions {
            let touches_users = changes.iter().any(|it| self.world.table_of(&it.table).is_some());
            let told = changes.iter().find(|it| it.operation == Operation::Message);
            if !touches_users {
                continue;
            }
            let told = told.context("a change by somebody who told nothing")?;
            match told.table.as_str() {
                APP | SETUP => {
                    for change in &changes {
                        self.apply(change, &told.table)?;
                    }
                }
                RUN => {
                    let snapshot = Snapshot::read(&told.new[CONTENT])?;
                    self.judge(&snapshot, &changes).with_context(|| {
                        format!("in transaction {xid}, which saw {}", told.new[CONTENT])
                    })?;
                }
                other => anyhow::bail!("nobody knows {other}"),
            }
            self.past.push((xid, changes));
        }
        Ok(())
    }

    /// The rule that a transaction of the run counts itself under.
    fn rule_of(&self, changes: &[Change]) -> Result<&'a Rule> {
        let record = changes.iter().filter(|it| it.table == "pgsweep.run_rules");
        let mut names: Vec<_> = record.filter_map(|it| it.new.get("rule")).collect();
        names.dedup();
        let [name] = names.as_slice() else { anyhow::bail!("it counts itself under {names:?}") };
        self.rules.iter().find(|rule| rule.name == **name).context("of no rule")
    }

    fn judge(&mut self, snapshot: &Snapshot, changes: &[Change]) -> Result<()> {
        let rule = self.rule_of(changes)?;
        let table = &self.world.tables[rule.table];
        let seen = self.as_seen_by(snapshot);
        let mut own = Vec::new();
        for change in changes {
            let Some(of) = self.world.table_of(&change.table) else { continue };
            let cascaded = of != rule.table && self.is_cascaded(rule, of, change, changes);
            let name = format!("{} of {:?}", rule.name, change.old);
            if cascaded {
                continue;
            }
            ensure!(of == rule.table, "{name}: a row of another table, {}", change.table);
            let stands = self.tables[of].get(&table.place(&change.old));
            ensure!(stands == Some(&change.old), "{name}: the row was {stands:?}");
            ensure!(
                rule.is_due(&change.old, &seen, self.now),
                "{name}: the row was NOT DUE by {rule:?}"
            );
            ensure!(
                self.is_due_in_the_end(rule, &change.old, &seen),
                "{name}: a partner that the run had to hold came to life by {rule:?}"
            );
            self.check_deed(rule, change).context(name)?;
            own.push(change);
        }
        self.check_inserts(rule, &own, changes)?;
        *self.changed.entry(rule.name.clone()).or_default() += own.len();
        for change in changes {
            self.apply(change, &rule.name)?;
        }
        Ok(())
    }

    /// Whether a row went since the row that it belongs to went in the same transaction.
    fn is_cascaded(&self, rule: &Rule, of: usize, change: &Change, changes: &[Change]) -> bool {
        let key = self.world.tables[0].key();
        rule.table == 0
            && rule.action != Action::Update
            && change.operation == Operation::Delete
            && self.world.tables[of].tie == Some(Tie::Cascade)
            && changes.iter().any(|parent| {
                parent.operation == Operation::Delete
                    && self.world.table_of(&parent.table) == Some(0)
                    && key.iter().all(|(name, _)| {
                        parent.old.get(*name) == change.old.get(&format!("of_{name}"))
                    })
            })
    }

    /// What is tied by a foreign key cannot even come to life between the look and the commit, and
    /// neither can partners that were there at the look.
    fn is_due_in_the_end(&self, rule: &Rule, row: &Row, seen: &[Rows]) -> bool {
        rule.conditions.iter().all(|condition| match condition {
            Condition::Related { exists: false, table, join, .. } => {
                let strict = rule.table == 0 && self.world.tables[*table].tie == Some(Tie::Cascade);
                let belongs = |other: &Row| {
                    join.iter().all(|(column, own)| other.get(column) == row.get(own))
                };
                let mut tables = vec![Rows::new(); self.tables.len()];
                tables[*table] = self.tables[*table]
                    .iter()
                    .filter(|(key, other)| {
                        belongs(other) && (strict || seen[*table].get(*key).is_some_and(belongs))
                    })
                    .map(|(key, other)| (key.clone(), other.clone()))
                    .collect();
                condition.holds(row, &tables, self.now)
            }
            _ => true,
        })
    }

    fn check_deed(&self, rule: &Rule, change: &Change) -> Result<()> {
        if rule.action != Action::Update {
            ensure!(change.operation == Operation::Delete, "{:?} is no delete", change.operation);
            return Ok(());
        }
        ensure!(change.operation == Operation::Update, "{:?} is no update", change.operation);
        let mut expected = change.old.clone();
        expected.insert("state".to_owned(), "done".to_owned());
        let seen = change.new.get("seen").cloned().unwrap_or_default();
        ensure!(micros(&seen) == self.now, "seen is {seen}");
        expected.insert("seen".to_owned(), seen);
        ensure!(expected == change.new, "it is now {:?}", change.new);
        Ok(())
    }

    /// One row in the archive and one event for each changed row, with what was in it.
    fn check_inserts(&self, rule: &Rule, own: &[&Change], changes: &[Change]) -> Result<()> {
        let archive = self.world.tables[rule.table].archive();
        let into = |name: &str| {
            let name = name.replace('"', "\"\"");
            let wanted = [format!("public.\"{name}\""), format!("public.{name}")];
            changes.iter().filter(move |it| wanted.contains(&it.table))
        };
        let mut archived: Vec<Row> = into(&archive).map(|it| it.new.clone()).collect();
        for row in &mut archived {
            let by = row.remove("pgsweep_rule");
            ensure!(by.as_ref() == Some(&rule.name), "archived by {by:?}");
            ensure!(
                row.remove("pgsweep_run_id").is_some()
                    && row.remove("pgsweep_archived_at").is_some()
            );
        }
        let mut gone: Vec<Row> = own.iter().map(|it| it.old.clone()).collect();
        archived.sort();
        gone.sort();
        if rule.action == Action::Archive {
            ensure!(archived == gone, "archived {archived:?} and deleted {gone:?}");
        } else {
            ensure!(archived.is_empty(), "a rule that does not archive did");
        }
        let mut told: Vec<_> = into("events").map(|it| it.new.get("key").cloned()).collect();
        let mut keys: Vec<_> = own.iter().map(|it| it.old.get("id").cloned()).collect();
        told.sort();
        keys.sort();
        ensure!(told == if rule.emits { keys } else { Vec::new() }, "events of {told:?}");
        Ok(())
    }

    /// The tables in the eyes of a statement.
    fn as_seen_by(&self, snapshot: &Snapshot) -> Vec<Rows> {
        let mut tables = self.tables.clone();
        for (xid, changes) in self.past.iter().rev() {
            if snapshot.sees(*xid) {
                continue;
            }
            for change in changes.iter().rev() {
                let Some(of) = self.world.table_of(&change.table) else { continue };
                undo(&self.world.tables[of], &mut tables[of], change);
            }
        }
        tables
    }

    fn apply(&mut self, change: &Change, by: &str) -> Result<()> {
        let Some(of) = self.world.table_of(&change.table) else { return Ok(()) };
        let table = &self.world.tables[of];
        for row in [&change.old, &change.new].into_iter().filter(|row| !row.is_empty()) {
            self.touched.entry((of, table.place(row))).or_default().insert(by.to_owned());
        }
        let rows = &mut self.tables[of];
        if !change.old.is_empty() {
            rows.remove(&table.place(&change.old)).context("a row that was not there")?;
        }
        if !change.new.is_empty() {
            rows.insert(table.place(&change.new), change.new.clone());
        }
        Ok(())
    }

    /// Rows of a rule that were due before and after the run, and that neither anybody nor
    /// anything of theirs touched: a rule that says it is drained has left none.
    pub fn left_behind(&self, rule: &Rule, before: &[Rows]) -> Vec<Row> {
        let is_quiet = |of: usize, row: &Row| {
            !self.touched.contains_key(&(of, self.world.tables[of].place(row)))
        };
        let partners_are_quiet = |row: &Row| {
            rule.conditions.iter().all(|condition| match condition {
                Condition::Related { table, join, .. } => {
                    let belongs = |other: &&Row| {
                        join.iter().all(|(column, own)| other.get(column) == row.get(own))
                    };
                    let all = before[*table].values().chain(self.tables[*table].values());
                    all.filter(belongs).all(|other| is_quiet(*table, other))
                }
                _ => true,
            })
        };
        let due = rule.due(before, self.now).into_iter();
        due.filter(|row| is_quiet(rule.table, row) && partners_are_quiet(row))
            .filter(|row| rule.is_due(row, &self.tables, self.now))
            .cloned()
            .collect()
    }
}

fn undo(table: &Table, rows: &mut Rows, change: &Change) {
    if !change.new.is_empty() {
        rows.remove(&table.place(&change.new));
    }
    if !change.old.is_empty() {
        rows.insert(table.place(&change.old), change.old.clone());
    }
}

//! Random rules, as a policy says them and as the naive reading understands them.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use tests::decoder::Row;

use super::dice::Dice;
use super::naive::{Ask, Kind, Test};
use super::world::{AGES, Table, Tie, World, random_value};

/// All rows of a table, by their keys.
pub type Rows = BTreeMap<Vec<String>, Row>;

#[derive(Debug, Clone)]
pub enum Condition {
    One(Ask),
    Any(Vec<Ask>),
    /// Rows of another table, or their absence.
    Related {
        exists: bool,
        table: usize,
        join: Vec<(String, String)>,
        asks: Vec<Ask>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Delete,
    Archive,
    /// Sets `state` to `done` and `seen` to the start of the run.
    Update,
}

#[derive(Debug, Clone)]
pub struct Rule {
    pub name: String,
    pub table: usize,
    pub conditions: Vec<Condition>,
    pub action: Action,
    pub emits: bool,
    pub cap: Option<usize>,
}

impl Condition {
    pub fn holds(&self, row: &Row, tables: &[Rows], now: i128) -> bool {
        match self {
            Self::One(ask) => ask.holds(row, now),
            Self::Any(asks) => asks.iter().any(|ask| ask.holds(row, now)),
            Self::Related { exists, table, join, asks } => {
                if join.iter().any(|(_, own)| !row.contains_key(own)) {
                    return false;
                }
                let found = tables[*table].values().any(|other| {
                    join.iter().all(|(column, own)| other.get(column) == row.get(own))
                        && asks.iter().all(|ask| ask.holds(other, now))
                });
                found == *exists
            }
        }
    }

    fn written(&self, world: &World) -> Json {
        let all = |asks: &[Ask]| asks.iter().map(Ask::written).collect::<Vec<_>>();
        match self {
            Self::One(ask) => ask.written(),
            Self::Any(asks) => json!({"anyOf": all(asks)}),
            Self::Related { exists, table, join, asks } => {
                let join: Vec<_> = join
                    .iter()
                    .map(|(column, own)| json!({"column": column, "references": own}))
                    .collect();
                let name = if *exists { "exists" } else { "notExists" };
                json!({name: {"table": named(&world.tables[*table].name), "join": join, "where": all(asks)}})
            }
        }
    }
}

impl Rule {
    /// Whether a row is due.
    pub fn is_due(&self, row: &Row, tables: &[Rows], now: i128) -> bool {
        self.conditions.iter().all(|condition| condition.holds(row, tables, now))
    }

    pub fn due<'a>(&self, tables: &'a [Rows], now: i128) -> Vec<&'a Row> {
        tables[self.table].values().filter(|row| self.is_due(row, tables, now)).collect()
    }

    pub fn written(&self, world: &World) -> Json {
        let table = &world.tables[self.table];
        let action = match self.action {
            Action::Delete => json!({"delete": {}}),
            Action::Archive => json!({"archive": {"into": named(&table.archive())}}),
            Action::Update => {
                json!({"update": {"set": [{"column": "state", "value": "done"}, {"column": "seen", "now": true}]}})
            }
        };
        let conditions: Vec<_> = self.conditions.iter().map(|it| it.written(world)).collect();
        let mut rule = json!({"name": self.name, "table": named(&table.name), "where": conditions, "action": action});
        if self.emits {
            let values = json!([{"column": "rule", "value": self.name}, {"column": "key", "fromColumn": "id"}, {"column": "at", "now": true}]);
            rule["emit"] = json!([{"into": named("events"), "values": values}]);
        }
        if let Some(cap) = self.cap {
            rule["limits"] = json!({"maxRows": cap});
        }
        rule
    }

    fn random(dice: &mut Dice, world: &World, index: usize) -> Self {
        let place = dice.below(world.tables.len());
        let table = &world.tables[place];
        let mut conditions = Vec::new();
        if dice.percent(80) {
            let test = Test::OlderThan(*dice.one(&AGES));
            conditions.push(Condition::One(Ask {
                column: "due".to_owned(),
                kind: table.due(),
                test,
            }));
        }
        for _ in 0..dice.below(2) {
            conditions.push(Condition::One(random_ask(dice, table)));
        }
        if dice.percent(30) {
            let asks = (0..=dice.below(3)).map(|_| random_ask(dice, table)).collect();
            conditions.push(Condition::Any(asks));
        }
        if world.tables.len() > 1 && dice.percent(60) {
            conditions.push(related(dice, world, place));
        }
        let cascades = place == 0 && world.tables.iter().any(|it| it.tie == Some(Tie::Cascade));
        let action = match dice.below(3) {
            0 => Action::Update,
            1 if !cascades => Action::Archive,
            _ => Action::Delete,
        };
        if action == Action::Update || conditions.is_empty() {
            let test = Test::Equals("new".to_owned());
            conditions.push(Condition::One(Ask {
                column: "state".to_owned(),
                kind: Kind::Text,
                test,
            }));
        }
        Self {
            name: format!("rule-{index}"),
            table: place,
            conditions,
            action,
            emits: dice.percent(30),
            cap: dice.percent(20).then(|| 1 + dice.below(40)),
        }
    }
}

pub fn random_rules(dice: &mut Dice, world: &World) -> Vec<Rule> {
    (0..=dice.below(3)).map(|index| Rule::random(dice, world, index)).collect()
}

fn named(table: &str) -> Json {
    json!({"schema": "public", "name": table})
}

/// A child that there is or is not, or a parent.
fn related(dice: &mut Dice, world: &World, place: usize) -> Condition {
    let key = world.tables[0].key();
    let (table, join) = if place == 0 {
        let child = 1 + dice.below(world.tables.len() - 1);
        (child, key.iter().map(|(name, _)| (format!("of_{name}"), (*name).to_owned())).collect())
    } else {
        (0, key.iter().map(|(name, _)| ((*name).to_owned(), format!("of_{name}"))).collect())
    };
    let other = &world.tables[table];
    let mut asks = Vec::new();
    if dice.percent(60) {
        let test = Test::NewerThan(*dice.one(&AGES));
        asks.push(Ask { column: "due".to_owned(), kind: other.due(), test });
    }
    if dice.percent(20) {
        asks.push(random_ask(dice, other));
    }
    Condition::Related { exists: dice.percent(35), table, join, asks }
}

fn random_ask(dice: &mut Dice, table: &Table) -> Ask {
    let (column, kind) = dice.one(&table.columns).clone();
    let mut value = || loop {
        if let Some(value) = random_value(dice, kind, super::random::SOME_TIME) {
            return value;
        }
    };
    let values = vec![value(), value()];
    let first = values[0].clone();
    let is_time = Kind::TIMES.contains(&kind);
    let ordered = !matches!(kind, Kind::Bool);
    let age = *dice.one(&AGES);
    let test = match dice.below(10) {
        0 => Test::Equals(first),
        1 if ordered => Test::LessThan(first),
        2 if ordered => Test::GreaterThan(first),
        3 => Test::In(values),
        4 => Test::NotIn(values),
        5 => Test::IsNull,
        6 if is_time => Test::OlderThan(age),
        7 if is_time => Test::NewerThan(age),
        8 => Test::IsNotNull,
        _ => Test::NotEquals(first),
    };
    Ask { column, kind, test }
}

//! The app beside a run: it renews rows, sends heartbeats, moves keys, inserts children, lets rows
//! grow old, and keeps some of its transactions open for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection};
use tests::Database;
use tokio::task::JoinHandle;

use super::dice::Dice;
use super::world::{World, quoted};

/// What it calls itself.
pub const APP: &str = "app";
const CONNECTIONS: u64 = 3;

pub struct Writer {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Result<u32>>>,
}

impl Writer {
    pub async fn start(
        database: &Database,
        world: &World,
        dice: &mut Dice,
        now: i128,
    ) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = Vec::new();
        for number in 0..CONNECTIONS {
            let options: PgConnectOptions = database.url().parse().context("a test's URL")?;
            let connection = options.application_name(APP).connect().await?;
            let app = App {
                dice: Dice::new(dice.number()),
                world: world.clone(),
                now,
                next: 10_000 * (number + 1),
            };
            tasks.push(tokio::spawn(app.work(connection, Arc::clone(&stop))));
        }
        Ok(Self { stop, tasks })
    }

    /// Ends it; how many transactions it has committed.
    pub async fn end(self) -> Result<u32> {
        self.stop.store(true, Ordering::Relaxed);
        let mut committed = 0;
        for task in self.tasks {
            committed += task.await??;
        }
        Ok(committed)
    }
}

struct App {
    dice: Dice,
    world: World,
    now: i128,
    next: u64,
}

impl App {
    async fn work(mut self, mut connection: PgConnection, stop: Arc<AtomicBool>) -> Result<u32> {
        let mut committed = 0;
        execute(&mut connection, "SET lock_timeout = '3s'; SET deadlock_timeout = '50ms'").await?;
        while !stop.load(Ordering::Relaxed) {
            let mut deeds: Vec<_> = (0..=self.dice.below(3)).map(|_| self.deed()).collect();
            if self.dice.percent(8) {
                deeds.push(format!("SELECT pg_sleep(0.{})", 10 + self.dice.below(25)));
            }
            let end = if self.dice.percent(85) { "COMMIT" } else { "ROLLBACK" };
            // One statement with all of them would be one round trip, and too quick.
            let mut done = execute(&mut connection, "BEGIN").await;
            for deed in deeds {
                if done.is_ok() {
                    done = execute(&mut connection, &deed).await;
                }
            }
            // A key that is taken, a parent that is gone, a deadlock: the app lives with it.
            let end = if done.is_ok() { end } else { "ROLLBACK" };
            execute(&mut connection, end).await?;
            committed += u32::from(end == "COMMIT");
        }
        Ok(committed)
    }

    fn deed(&mut self) -> String {
        let world = self.world.clone();
        let table = self.dice.one(&world.tables);
        let name = table.sql_name();
        let due = table.due();
        let at = table.at(&table.nth(self.dice.below(table.rows)));
        let minute = 60_000_000;
        match self.dice.below(9) {
            0 | 1 => format!(
                "UPDATE {name} SET due = '{}' WHERE {at}",
                due.write(self.now + 60 * minute)
            ),
            2 => format!(
                "UPDATE {name} SET due = '{}' WHERE {at}",
                due.write(self.now - 200 * minute)
            ),
            3 => format!("UPDATE {name} SET note = 'touched' WHERE {at}"),
            4 => format!("SELECT FROM {name} WHERE {at} FOR UPDATE"),
            5 => {
                let (column, _) = self.dice.one(&table.columns);
                format!("UPDATE {name} SET {} = NULL WHERE {at}", quoted(column))
            }
            6 => {
                let to = table.nth(self.next()).swap_remove(0).replace('\'', "''");
                format!("UPDATE {name} SET id = '{to}' WHERE {at}")
            }
            7 => format!("UPDATE {name} SET state = 'new' WHERE {at}"),
            _ => {
                let place = table.nth(self.next());
                let row = table.row(&mut self.dice, &place, &world, self.now);
                table.insert(&[row])
            }
        }
    }

    fn next(&mut self) -> usize {
        self.next += 3;
        usize::try_from(self.next).expect("a small one")
    }
}

async fn execute(connection: &mut PgConnection, sql: &str) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await?;
    Ok(())
}

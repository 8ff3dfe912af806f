//! What a step holds while a batch is under way, in words.

use crate::catalog::OnDelete;
use crate::identifier::QualifiedTable;
use crate::policy::{Action, Condition};

use super::Step;

impl Step {
    /// The locks of one batch, by table: `ROW EXCLUSIVE on app.codes`, and those of rows.
    #[must_use]
    pub fn locks(&self) -> Vec<String> {
        let table = self.table.plain();
        if let Action::DropPartitions { .. } = self.action {
            let mut locks =
                vec![format!("ACCESS EXCLUSIVE on {table} and on each partition that is dropped")];
            let keys = self.cascades.iter().filter(|it| it.depth == 0);
            locks.extend(keys.map(|it| format!("SHARE ROW EXCLUSIVE on {}", it.key.table.plain())));
            return locks;
        }
        let rows = self.row_lock();
        let mut locks = vec![format!("ROW EXCLUSIVE on {table}, {rows} on its rows")];
        for condition in &self.conditions {
            match condition {
                Condition::Exists(related) => {
                    locks.push(format!("ACCESS SHARE on {}", related.table.plain()));
                }
                Condition::NotExists(related) => locks.push(format!(
                    "ROW SHARE on {}, FOR SHARE on the rows that are joined",
                    related.table.plain()
                )),
                Condition::Column(_) | Condition::AnyOf(_) => {}
            }
        }
        let archive = match &self.action {
            Action::Archive(into) => Some(into),
            _ => None,
        };
        let inserted = archive.into_iter().chain(self.emit.iter().map(|row| &row.into));
        locks.extend(inserted.map(row_exclusive));
        for cascade in &self.cascades {
            locks.push(match cascade.key.on_delete {
                OnDelete::Refuse => format!("ROW SHARE on {}", cascade.key.table.plain()),
                OnDelete::Cascade | OnDelete::Set => row_exclusive(&cascade.key.table),
            });
        }
        let mut seen = Vec::new();
        locks.retain(|lock| {
            let new = !seen.contains(lock);
            seen.push(lock.clone());
            new
        });
        locks
    }
}

fn row_exclusive(table: &QualifiedTable) -> String {
    format!("ROW EXCLUSIVE on {}", table.plain())
}

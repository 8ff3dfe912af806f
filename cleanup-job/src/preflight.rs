//! Everything that is checked before the first row, in one read-only snapshot: the same for a
//! run, a dry run and `pgsweep plan`.

use jiff::Timestamp;
use policy::{Mode, Plan, Policy, SchemaProblem};
use sqlx::{Postgres, Transaction};

use crate::failure::Failure;
use crate::{database, measure};

/// Why nothing can begin.
pub enum Refusal {
    /// Something was wrong.
    Failed(Failure),
    /// The database's tables do not fit the policy.
    Schema(Vec<SchemaProblem>),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Plans `policy` against the database, and has the database read every value and plan every
/// statement, so that what is wrong for one rule is found before any rule begins.
pub async fn plan(
    snapshot: &mut Transaction<'_, Postgres>,
    policy: &Policy,
    now: Timestamp,
) -> Result<Plan, Refusal> {
    let enforce = policy.mode() == Mode::Enforce;
    if enforce && database::is_standby(snapshot).await? {
        return Err(database::standby().into());
    }
    let catalog = database::catalog(snapshot, policy).await?;
    let plan = Plan::new(policy, &catalog).map_err(Refusal::Schema)?;
    measure::read_values(snapshot, &plan, now).await?;
    if enforce {
        measure::try_statements(snapshot, policy.execution(), &plan, now).await?;
    }
    Ok(plan)
}

//! `pgsweep plan`: what a run would do, without doing it.

mod shown;

use policy::{Plan, Policy};
use tokio_util::sync::CancellationToken;

use crate::args::PlanArgs;
use crate::database::address::ConnectionWarning;
use crate::database::{self, Database, Purpose};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::load;
use crate::measure::{self, Held};
use crate::preflight::{self, Refusal};

use shown::{Problem, Shown};

/// `pgsweep plan`.
pub async fn plan(args: &PlanArgs) -> Exit {
    let unread = |message: &str| {
        Shown::refused("", &[Problem::new("InvalidSpec", "", message.to_owned())]).into_object()
    };
    let sources = match load::sources_or_end(&args.policies, args.output, unread) {
        Ok(sources) => sources,
        Err(exit) => return exit,
    };
    let mut worst = Exit::Done;
    for source in &sources {
        let (exit, shown) = match source.policy() {
            Ok(policy) => plan_policy(args, &policy).await,
            Err(problems) => {
                let problems =
                    problems.iter().map(|it| Problem::new("InvalidSpec", "", it.to_string()));
                (Exit::Wrong, Shown::refused(&source.name(), &problems.collect::<Vec<_>>()))
            }
        };
        shown.print(args.output);
        worst = worst.worst(exit);
    }
    worst
}

async fn plan_policy(args: &PlanArgs, policy: &Policy) -> (Exit, Shown) {
    if args.connect.database_url.as_ref().is_none_or(String::is_empty) {
        return (Exit::Done, Shown::offline(policy, &Plan::offline(policy)));
    }
    match look(args, policy).await {
        Ok(looked) => {
            let exit = if looked.verdict.is_some() { Exit::Guarded } else { Exit::Done };
            (exit, Shown::planned(policy, &looked))
        }
        Err(refusal) => {
            let (exit, problems) = match refusal {
                Refusal::Failed(failure) => (failure.exit(), vec![Problem::from(&failure)]),
                Refusal::Schema(problems) => {
                    (Exit::Wrong, problems.iter().map(Problem::from).collect())
                }
            };
            (exit, Shown::refused(&policy.name().to_string(), &problems))
        }
    }
}

/// What the database says of a policy.
struct Looked {
    plan: Plan,
    held: Vec<Held>,
    /// The guard that would stop a run: of which rule, and why.
    verdict: Option<(usize, String)>,
    /// What is to be known of the connection.
    connection: Vec<ConnectionWarning>,
}

async fn look(args: &PlanArgs, policy: &Policy) -> Result<Looked, Refusal> {
    let token = CancellationToken::new();
    let address = args.connect.address()?;
    let connection = address.announce();
    let mut database = Database::connect(&address, args.connect.connect_timeout, &token).await?;
    let mut snapshot = database.begin(Purpose::Measure, policy.execution()).await?;
    let now = database::now(&mut snapshot).await?;
    let plan = preflight::plan(&mut snapshot, policy, now).await?;
    let held = measure::held(&mut snapshot, &plan, now).await?;
    let verdict = measure::guard_verdict(&mut snapshot, &plan, &held, now).await?;
    snapshot.commit().await.map_err(Failure::from)?;
    Ok(Looked { plan, held, verdict, connection })
}

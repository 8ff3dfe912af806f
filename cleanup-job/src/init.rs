//! `pgsweep init`: makes the ledger, or prints the SQL of it for whoever may run it.

use policy::{Action, Identifier, Policy};
use tokio_util::sync::CancellationToken;

use crate::args::InitArgs;
use crate::database::Database;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ledger::install::{self, Unready};
use crate::{load, output};

/// `pgsweep init`.
pub async fn init(args: &InitArgs) -> Exit {
    let policies = match policies(args) {
        Ok(policies) => policies,
        Err(exit) => return exit,
    };
    if args.print {
        output::print(&printed(args.role.as_ref(), &policies));
        return Exit::Done;
    }
    match make(args, &policies).await {
        Ok(()) => {
            output::print("the ledger is ready: schema pgsweep");
            Exit::Done
        }
        Err(Unready::Failed(failure)) => {
            tracing::error!("{failure}");
            failure.exit()
        }
        Err(Unready::Lines { message, lines }) => {
            tracing::error!("{message}");
            output::lines_for_owner(&lines);
            Exit::Wrong
        }
    }
}

/// The policies that are named; none need be.
fn policies(args: &InitArgs) -> Result<Vec<Policy>, Exit> {
    if args.policies.files.is_empty() && args.policies.policy.is_none() {
        return Ok(Vec::new());
    }
    let sources = load::sources(&args.policies).map_err(|error| {
        tracing::error!("{error:#}");
        Exit::Wrong
    })?;
    let checked = sources.iter().map(|source| {
        source.policy().map_err(|problems| {
            tracing::error!("{} is wrong: {}", source.name(), output::joined(&problems));
            Exit::Wrong
        })
    });
    checked.collect()
}

fn printed(role: Option<&Identifier>, policies: &[Policy]) -> String {
    let Some(role) = role else { return install::script(&[no_role()]) };
    let mut lines = vec![
        "-- The role of the runs. Give it a password: \\password in psql, or your Secret's operator.".to_owned(),
        install::create_role(role),
    ];
    lines.extend(install::grants(&role.to_string()));
    for policy in policies {
        lines.push(format!("\n-- What the rules of {} need.", policy.name()));
        lines.extend(archives(policy));
        lines.extend(policy::grants(policy, &role.to_string()));
    }
    install::script(&lines)
}

/// The statements that make the archives of a policy, where they do not exist.
fn archives(policy: &Policy) -> impl Iterator<Item = String> {
    policy.rules().iter().filter_map(|rule| match rule.action() {
        Action::Archive(into) => Some(policy::archive_ddl(rule.table(), into)),
        Action::Update(_) | Action::Delete | Action::DropPartitions { .. } => None,
    })
}

fn no_role() -> String {
    "-- Name the role of the runs by --role, to see what it needs.".to_owned()
}

async fn make(args: &InitArgs, policies: &[Policy]) -> Result<(), Unready> {
    let connect = &args.connect;
    let token = CancellationToken::new();
    let mut database =
        Database::connect(&connect.address()?, connect.connect_timeout, &token).await?;
    let changed: Vec<_> =
        policies.iter().flat_map(Policy::rules).map(policy::Rule::table).collect();
    install::ensure(&mut database, &changed).await?;
    if let Some(role) = &args.role {
        let mut lines = vec![install::create_role(role)];
        lines.extend(install::grants(&role.to_string()));
        lines.extend(policies.iter().flat_map(|policy| policy::grants(policy, &role.to_string())));
        install::give(&mut database, &lines)
            .await
            .map_err(|failure| Failure::while_doing(failure, "making the role"))?;
    }
    database.close().await;
    Ok(())
}

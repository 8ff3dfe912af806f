//! The ledger and the row about the run: refused, lost, or somebody else's.

use anyhow::{Context, Result};
use tests::database;
use tests::job::{self, CLOSES, DELETE_OLD, Launch, codes, policy, run};
use tests::proxy::{Proxy, When};
use tests::shop;
use tests::shop::interrupt::Site;

const REFUSED: &str = "ALTER TABLE shop.journal ADD CHECK (event <> 'cleanup_job_completed')";

/// Proves: G18.
#[tokio::test]
async fn a_row_about_the_run_that_the_database_refuses_is_told_once_and_undoes_nothing()
-> Result<()> {
    let site = Site::new(database::shared_server().await?);
    for when in [None, Some(When::Before), Some(When::Answered)] {
        let database = site.shop().await?;
        database.execute(REFUSED).await?;
        let proxy = Proxy::start(&database.address())?;
        if let Some(when) = when {
            proxy.cut_at_commit_of(CLOSES, when);
        }
        let launch = Launch::run(&shop::policy(), &proxy.address().to_string()).job_uid("job-1");
        let ended = launch.end().await?;
        proxy.quiet().await?;
        assert_eq!(proxy.connections() > 1, when.is_some(), "{when:?}");
        assert_eq!(ended.code, Some(11), "{when:?}: {}", ended.output);
        assert_eq!(ended.report["result"], "PartiallySucceeded");
        let message = ended.report["message"].as_str().unwrap_or_default();
        assert_eq!(message.matches("the report row").count(), 1, "{when:?}: {message}");
        assert_eq!(ended.report["totals"]["rowsAffected"], 20, "{when:?}");
        shop::check_laws(&database).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_ledger_of_somebody_else_is_not_written_to() -> Result<()> {
    let database = codes(90).await?;
    let stranger = database.create_user().await?.to_string();
    let (cleaner, role) = {
        let user = database.create_user().await?.to_string();
        let login = user.split("//").nth(1).and_then(|rest| rest.split(':').next());
        let role = login.context("a user's URL has a login")?.to_owned();
        (user, role)
    };
    let login = stranger.split("//").nth(1).and_then(|rest| rest.split(':').next());
    let owner = login.context("a user's URL has a login")?;
    database
        .execute(&format!(
            "CREATE SCHEMA pgsweep AUTHORIZATION {owner};
             CREATE TABLE public.stolen (by_role text);
             GRANT INSERT ON public.stolen TO PUBLIC;
             GRANT SELECT, UPDATE, DELETE ON codes TO {role}"
        ))
        .await?;
    let check = async |who: &str, url: &str, words: &str| -> Result<()> {
        let ended = run(&policy(DELETE_OLD), url, &[]).await?;
        assert_eq!(ended.code, Some(2), "{who}: {}", ended.output);
        let message = ended.report["message"].as_str().unwrap_or_default();
        assert!(message.contains(words), "{who}: {message}");
        let stolen: i64 = database.scalar("SELECT count(*) FROM stolen").await?;
        assert_eq!(stolen, 0, "{who} ran what is not ours");
        let left: i64 = database.scalar("SELECT count(*) FROM codes").await?;
        assert_eq!(left, 90);
        Ok(())
    };
    let theirs = format!("belongs to role {owner}");
    check("a superuser, into an empty schema", &database.url(), &theirs).await?;

    let made = job::pgsweep(&stranger, &["init"]).await?;
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let connected = sqlx::PgPool::connect(&stranger).await?;
    sqlx::raw_sql(
        "GRANT USAGE ON SCHEMA pgsweep TO PUBLIC;
         GRANT ALL ON ALL TABLES IN SCHEMA pgsweep TO PUBLIC;
         CREATE FUNCTION pgsweep.steal() RETURNS trigger LANGUAGE plpgsql AS
           $$BEGIN INSERT INTO public.stolen VALUES (current_user); RETURN NEW; END$$;
         CREATE TRIGGER steal BEFORE INSERT ON pgsweep.leases FOR EACH ROW EXECUTE FUNCTION pgsweep.steal()",
    )
    .execute(&connected)
    .await?;
    connected.close().await;
    check("a superuser", &database.url(), &theirs).await?;
    check("the cleaner", &cleaner, &theirs).await?;
    let said = job::pgsweep(&database.url(), &["init"]).await?;
    assert_eq!(said.code, Some(2), "{}", said.stderr);
    assert!(said.stderr.contains("DROP SCHEMA pgsweep CASCADE"), "{}", said.stderr);

    // Taken over, as the message says; what it was left with is found too.
    database.execute(&format!("REASSIGN OWNED BY {owner} TO CURRENT_USER")).await?;
    let left = "pgsweep.leases of the ledger has a trigger";
    check("a superuser, after the take-over", &database.url(), left).await?;
    check("the cleaner, after the take-over", &cleaner, left).await?;
    database.execute("DROP TRIGGER steal ON pgsweep.leases").await?;
    let ended = run(&policy(DELETE_OLD), &cleaner, &[]).await?;
    assert_eq!((ended.code, ended.rule("affected")), (Some(0), &31.into()), "{}", ended.output);
    Ok(())
}

#[tokio::test]
async fn whoever_owns_the_tables_that_are_cleaned_may_own_the_ledger() -> Result<()> {
    let database = codes(90).await?;
    let owner_url = database.create_user().await?.to_string();
    let login = owner_url.split("//").nth(1).and_then(|rest| rest.split(':').next());
    let owner = login.context("a user's URL has a login")?;
    database
        .execute(&format!(
            "CREATE SCHEMA pgsweep AUTHORIZATION {owner}; ALTER TABLE codes OWNER TO {owner}"
        ))
        .await?;
    let made = job::pgsweep(&owner_url, &["init"]).await?;
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    for url in [owner_url, database.url()] {
        let ended = run(&policy(DELETE_OLD), &url, &[]).await?;
        assert_eq!(ended.code, Some(0), "{}", ended.output);
    }
    Ok(())
}

//! By way of a pooler that gives each transaction another connection to the server.

use anyhow::Result;
use serde_json::json;
use tests::database;
use tests::job::Launch;
use tests::shop::interrupt::Site;
use tests::shop::{self, Undisturbed};

#[tokio::test]
async fn the_whole_language_does_the_same_behind_a_pooler_and_leaves_nothing_there() -> Result<()> {
    let server = database::shared_server().await?;
    let Some(site) = Site::behind_pooler(server).await? else { return Ok(()) };
    let direct = shop::open().await?;
    let launch = |url: &str| Launch::run(&shop::policy(), url).job_uid("job-1");
    let ended = launch(&direct.url()).end().await?;
    let undisturbed = Undisturbed::of(&direct, &ended).await?;

    let pooled = site.shop().await?;
    let ended = launch(&site.address(&pooled).to_string()).end().await?;
    undisturbed.check(&pooled, &ended).await?;
    assert_eq!(ended.report["attempts"], json!(1));
    site.check_that_nothing_is_left(&pooled).await
}

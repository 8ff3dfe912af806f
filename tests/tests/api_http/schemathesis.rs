//! A small share of what `cargo xtask fuzz` asks.

use anyhow::{Result, ensure};
use tests::sessions::schemathesis::{self, Effort};
use tests::settings::Settings;
use tests::skip;

use super::admin::{self, OPERATOR};

#[tokio::test]
async fn what_is_described_and_what_is_not_is_answered_as_described() -> Result<()> {
    if let Some(obstacle) = schemathesis::obstacle() {
        skip::<()>(obstacle)?;
        return Ok(());
    }
    let (_sessions, replica) = admin::scene().await?;
    let settings = Settings::get()?;
    let (examples, seed) = (settings.fuzz_examples.unwrap_or(2), settings.fuzz_seed.unwrap_or(1));
    let effort = Effort { examples, seed };
    let said = schemathesis::run(&settings.cache, &replica, OPERATOR, effort).await?;
    println!("{}", said.output);
    ensure!(said.passed, "schemathesis found something, with the seed {seed}");
    Ok(())
}

use tests::cluster::{Cluster, Options};
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let o = Options::from_environment()?;
    match std::env::args().nth(1).as_deref() {
        Some("up") => {
            let c = Cluster::start(o).await?;
            println!("{}", c.detach()?.display());
        }
        Some("down") => {
            for f in Cluster::running(&o.cache)? {
                let t = std::time::Instant::now();
                Cluster::attach(&f)?.stop().await?;
                println!("stopped {} {:?}", f.display(), t.elapsed());
            }
        }
        Some("hold") => {
            let c = Cluster::start(o).await?;
            println!("{}", c.state().display());
            std::future::pending::<()>().await;
            drop(c)
        }
        Some("cycle") => {
            let c = Cluster::start(o).await?;
            let t = std::time::Instant::now();
            c.stop().await?;
            println!("stop {:?}", t.elapsed());
        }
        Some("test") => {
            let c = Cluster::start(o.clone()).await?;
            let mut po = local_postgres::Options::new(&o.cache);
            po.listen_addresses.push(c.host_address().into());
            let p = local_postgres::LocalPostgres::start(&po)?;
            let st = std::process::Command::new("cargo")
                .args([
                    "test",
                    "-p",
                    "tests",
                    "-p",
                    "local-postgres",
                    "--no-fail-fast",
                    "--lib",
                    "--test",
                    "bed_cluster",
                    "--test",
                    "bed_image",
                    "--test",
                    "bed_postgres",
                ])
                .args(std::env::args().skip(2))
                .env("PGSWEEP_TEST_CLUSTER", c.state())
                .env("PGSWEEP_TEST_POSTGRES", p.url("postgres"))
                .env("PGSWEEP_TEST_SKIPS", "/tmp/skips")
                .env("CI", "true")
                .status()?;
            println!("{st}");
            p.stop()?;
            c.stop().await?;
        }
        Some("images") => {
            for i in tests::image::build_release_images(
                std::path::Path::new("/work/main"),
                std::path::Path::new(&std::env::args().nth(2).unwrap()),
            )? {
                println!("{i:?}");
            }
        }
        _ => {}
    }
    Ok(())
}

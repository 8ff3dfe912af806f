//! The operator ends when it is told to, wherever it stands. It needs no cluster for that.

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tests::job::binary;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

/// An API server that is not there: port 1 is nobody's.
const KUBECONFIG: &str = "
apiVersion: v1
kind: Config
current-context: nowhere
contexts: [{name: nowhere, context: {cluster: nowhere, user: nobody}}]
clusters: [{name: nowhere, cluster: {server: 'http://127.0.0.1:1'}}]
users: [{name: nobody, user: {}}]
";

/// While its API server is away, even: it neither falls over nor stays.
///
/// Proves: A8, A10.
#[tokio::test]
async fn the_operator_waits_for_its_cluster_and_at_sigterm_ends_with_exit_code_0() -> Result<()> {
    let mut kubeconfig = tempfile::NamedTempFile::new().context("failed to make a file")?;
    kubeconfig.write_all(KUBECONFIG.as_bytes())?;
    let mut operator = Command::new(binary("pgsweep-operator")?)
        .args(["--job-image", "pgsweep:test", "--listen", "127.0.0.1:0"])
        .env("KUBECONFIG", kubeconfig.path())
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("failed to start pgsweep-operator")?;
    let errors = operator.stderr.take().context("a piped program has standard error")?;
    let mut lines = BufReader::new(errors).lines();
    let interrupted = async {
        while let Some(line) = lines.next_line().await? {
            if line.contains("the watch was interrupted") {
                return Ok(());
            }
        }
        anyhow::bail!("it ended without a word of its watch")
    };
    tokio::time::timeout(Duration::from_secs(30), interrupted).await??;
    ensure!(operator.try_wait()?.is_none(), "it has ended by itself");

    let id = operator.id().context("it has a process id")?;
    let mut kill = Command::new("kill");
    kill.args(["-TERM", &id.to_string()]);
    tests::command::run_async(kill, None).await?;
    // What it still says is read, so that no full pipe holds it up.
    let said = async { while let Ok(Some(_)) = lines.next_line().await {} };
    let (status, ()) =
        tokio::join!(tokio::time::timeout(Duration::from_secs(10), operator.wait()), said);
    assert_eq!(status??.code(), Some(0));
    Ok(())
}

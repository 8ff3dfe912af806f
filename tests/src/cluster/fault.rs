//! Stopping, freezing and starting the cluster's programs, by process id.
//!
//! Only on a cluster of the test's own: others would suffer with it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use super::component::Component;
use super::process::Process;
use super::{Cluster, blocking, sandbox};
use crate::command::tail;
use crate::wait;

impl Cluster {
    /// The process of a component, as of its last start.
    pub fn process(&self, component: Component) -> Result<Process> {
        let path = self.process_file(component);
        let text = fs::read_to_string(&path)
            .with_context(|| format!("{component} was never started: no {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))
    }

    /// Freezes a component: connections stay open, nothing answers.
    pub fn pause(&self, component: Component) -> Result<()> {
        self.process(component)?.signal("STOP")
    }

    /// Lets a frozen component go on.
    pub fn resume(&self, component: Component) -> Result<()> {
        self.process(component)?.signal("CONT")
    }

    /// Kills a component, as a crash does, and waits until it is gone.
    pub async fn kill(&self, component: Component) -> Result<()> {
        let process = self.process(component)?;
        blocking(move || process.kill()).await
    }

    /// Starts a component that has ended. Of the API server, the kubelet and the name server it
    /// returns when they answer, of the others at once: their work shows when they are there.
    pub async fn restart(&self, component: Component, timeout: Duration) -> Result<()> {
        self.kill(component).await?;
        self.launch(component)?;
        let Some(health) = component.health() else { return Ok(()) };
        let what = format!("{component} to answer");
        wait::until(&what, timeout, async || {
            Ok(Some(self.kubectl(["get", "--raw", &health]).await?))
        })
        .await
        .with_context(|| self.last_words(component))?;
        Ok(())
    }

    /// Waits until a component answers and has finished its own start.
    pub(super) fn wait_for(&self, component: Component, timeout: Duration) -> Result<()> {
        let Some(health) = component.health() else { return Ok(()) };
        wait::until_blocking(component.name(), timeout, || {
            Ok(Some(self.kubectl_blocking(["get", "--raw", &health])?))
        })
        .with_context(|| self.last_words(component))?;
        Ok(())
    }

    pub(super) fn launch(&self, component: Component) -> Result<()> {
        let command = component.command(&self.site, &self.tools, self.keeper);
        let process = sandbox::launch(&self.site, component.name(), &command)?;
        let text = serde_json::to_string(&process).context("failed to write a process's number")?;
        let path = self.process_file(component);
        fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))
    }

    /// What a component that does not answer said last: its log is removed with the cluster.
    pub(super) fn last_words(&self, component: Component) -> String {
        let log = fs::read_to_string(self.log(component)).unwrap_or_default();
        format!("{component} said last:\n{}\n", tail(&log))
    }

    fn process_file(&self, component: Component) -> PathBuf {
        self.site.path("components").join(format!("{component}.json"))
    }
}

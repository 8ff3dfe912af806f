//! One server process with a data folder of its own.

mod folder;
mod process;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, ChildStdin};

use anyhow::{Context, Result, ensure};

use crate::account::Account;
use crate::installation::Installation;
use crate::{Options, ServerUrl};
use process::Launch;

const SUPERUSER: &str = "postgres";
/// A free port can be taken by another process before the server binds it.
const PORT_ATTEMPTS: usize = 3;
const NOT_DURABLE: [&str; 3] = ["fsync=off", "synchronous_commit=off", "full_page_writes=off"];

/// A server. Dropping it stops it and removes its files.
#[derive(Debug)]
pub struct Server {
    address: ServerUrl,
    launch: Launch,
    /// Nothing between its end and its next start.
    process: Option<Child>,
    frozen: bool,
    watchdog: Child,
    /// Closing it is what stops the server.
    leash: Option<ChildStdin>,
}

impl Server {
    /// Fills a data folder and starts a server in it.
    pub fn start(options: &Options, installation: &Installation, account: Account) -> Result<Self> {
        let state = account.folder()?;
        let bin_dir = folder::stage(installation, state.path(), account)?;
        let address = folder::fill(options, &bin_dir, state.path(), account)?;

        let host =
            *options.listen_addresses.first().context("a server needs an address to listen on")?;
        let mut launch =
            Launch { bin_dir, state: state.path().to_path_buf(), account, settings: Vec::new() };
        let mut attempt = 1;
        let (port, mut process) = loop {
            let port = free_port(host)?;
            launch.settings = settings(options, &launch.state, port);
            match launch.start() {
                Ok(process) => break (port, process),
                Err(_) if attempt < PORT_ATTEMPTS && launch.forget_taken_port() => attempt += 1,
                Err(error) => return Err(error),
            }
        };
        let (watchdog, leash) = match launch.watch() {
            Ok(watch) => watch,
            Err(error) => {
                process::kill(&mut process)?;
                return Err(error);
            }
        };
        // From here on the watchdog removes it, also when this process is killed.
        let _ = state.keep();
        Ok(Self {
            address: address.at(SocketAddr::new(host, port)),
            launch,
            process: Some(process),
            frozen: false,
            watchdog,
            leash: Some(leash),
        })
    }

    pub fn address(&self) -> &ServerUrl {
        &self.address
    }

    pub fn log(&self) -> PathBuf {
        self.launch.log()
    }

    /// Ends it as a restart of the machine does: its sessions are cut off, its data are whole.
    pub fn shut_down(&mut self) -> Result<()> {
        self.thaw()?;
        if let Some(mut process) = self.process.take() {
            process::signal("INT", &[process.id()])?;
            process.wait().context("failed to wait for Postgres to shut down")?;
        }
        Ok(())
    }

    /// Ends it with SIGKILL. Its other processes notice, and end too, which is waited for: a next
    /// start is refused as long as one of them is there.
    pub fn kill(&mut self) -> Result<()> {
        self.thaw()?;
        let Some(mut process) = self.process.take() else { return Ok(()) };
        let others = process::children(process.id());
        process::kill(&mut process)?;
        process::wait_for(&others?)
    }

    /// Starts it again after its end, with its data and at its address.
    pub fn start_again(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "the server runs");
        self.process = Some(self.launch.start()?);
        Ok(())
    }

    /// Stops all of its processes where they are: connections stay, nothing answers.
    pub fn freeze(&mut self) -> Result<()> {
        let process = self.process.as_ref().context("the server has ended")?.id();
        self.frozen = true;
        // First the one that could start another.
        process::signal("STOP", &[process])?;
        process::signal("STOP", &process::children(process)?)
    }

    /// Lets them go on.
    pub fn thaw(&mut self) -> Result<()> {
        if let (true, Some(process)) = (self.frozen, &self.process) {
            process::signal("CONT", &process::children(process.id())?)?;
            process::signal("CONT", &[process.id()])?;
        }
        self.frozen = false;
        Ok(())
    }

    /// Stops the server for good, waits for its end, and says whether anything is left.
    pub fn stop(mut self) -> Result<()> {
        self.end()?;
        let state = &self.launch.state;
        ensure!(!state.exists(), "{} could not be removed", state.display());
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        if self.leash.is_none() {
            return Ok(());
        }
        let thawed = self.thaw();
        self.leash = None;
        if let Some(mut process) = self.process.take() {
            process.wait().context("failed to wait for Postgres to end")?;
        }
        self.watchdog.wait().context("failed to wait for Postgres's files to be removed")?;
        thawed
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nobody is left to tell; `stop` tells.
        let _ = self.end();
    }
}

fn settings(options: &Options, state: &std::path::Path, port: u16) -> Vec<String> {
    let addresses: Vec<String> = options.listen_addresses.iter().map(IpAddr::to_string).collect();
    let mut settings = vec![
        format!("listen_addresses={}", addresses.join(",")),
        format!("port={port}"),
        format!("unix_socket_directories={}", state.display()),
        // Tests of many processes share one server.
        "max_connections=300".to_owned(),
    ];
    if !options.durable {
        settings.extend(NOT_DURABLE.map(str::to_owned));
    }
    settings.extend(options.settings.iter().map(|(name, value)| format!("{name}={value}")));
    settings
}

fn free_port(host: IpAddr) -> Result<u16> {
    let host = if host.is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { host };
    let listener = TcpListener::bind((host, 0))
        .with_context(|| format!("failed to find a free port on {host}"))?;
    Ok(listener.local_addr().context("failed to read a port's number")?.port())
}

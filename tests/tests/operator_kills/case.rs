//! A workload without a disturbance, and then once for each case: the operator is killed at a write
//! of it, at a moment of that write.

use std::cell::Cell;
use std::fmt::{self, Display, Formatter};
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tests::api_proxy::{Pick, When};
use tests::operator::{Bed, EndState, Tally};
use tests::progress::say;
use tests::settings::Settings;

use super::crew::{Crew, Succession, Worker};
use super::scene::{Scene, in_scene};

/// How many cases of a workload are taken where not all are.
const SOME: usize = 1;
/// Which ones; see `PGSWEEP_TEST_WRITES_SEED`.
const SEED: u64 = 20_261_127;
/// A write that is to come, and may come after the workload is over, comes within this.
const LATE: Duration = Duration::from_secs(5);
/// For the last thing that a workload cannot wait for by itself.
const SETTLE: Duration = Duration::from_mins(1);

/// Where the operator is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kill {
    /// Counted from 1.
    write: usize,
    when: When,
}

impl Display for Kill {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let when = match self.when {
            When::Before => "before",
            When::Committed => "in the midst of",
            When::Answered => "after",
        };
        write!(formatter, "killed {when} write {}", self.write)
    }
}

/// What a workload leaves behind.
struct End {
    state: EndState,
    tally: Tally,
    writes: Vec<String>,
}

/// Something that happens to policies: `setup` is there before and is not disturbed; `act` ends
/// when the operator has done all that it is about.
struct Workload<S, A> {
    name: &'static str,
    succession: Succession,
    setup: S,
    act: A,
}

/// Proves that the workload comes to the same end wherever its operator is killed.
pub async fn prove(
    name: &'static str,
    setup: impl AsyncFn(&Scene<'_>) -> Result<()>,
    act: impl AsyncFn(&Scene<'_>) -> Result<()>,
) -> Result<()> {
    prove_with(Succession::StartedAnew, name, setup, act).await
}

/// The same, by how the next operator comes.
pub async fn prove_with(
    succession: Succession,
    name: &'static str,
    setup: impl AsyncFn(&Scene<'_>) -> Result<()>,
    act: impl AsyncFn(&Scene<'_>) -> Result<()>,
) -> Result<()> {
    Workload { name, succession, setup, act }.prove().await
}

impl<S, A> Workload<S, A>
where
    S: AsyncFn(&Scene<'_>) -> Result<()>,
    A: AsyncFn(&Scene<'_>) -> Result<()>,
{
    async fn prove(&self) -> Result<()> {
        let Some(bed) = Bed::get().await? else { return Ok(()) };
        let end = Box::pin(in_scene(bed, async |scene| self.undisturbed(scene).await)).await;
        let end = end.with_context(|| format!("{}, undisturbed", self.name))?;
        let every = Settings::get()?.every_write;
        let all = kills(end.writes.len());
        let some = if every { all.clone() } else { chosen(&all, self.name)? };
        let begun = Instant::now();
        let Findings { came, failures } = self.take(bed, &end, some.clone(), every).await;
        say(&format!(
            "{}: {came} of {} cases ({} writes) in {} s, {} with a finding",
            self.name,
            all.len(),
            end.writes.len(),
            begun.elapsed().as_secs(),
            failures.len()
        ));
        if let Some(first) = failures.first() {
            bail!("{} of {} cases: first {first}", failures.len(), some.len());
        }
        // The operator may do in one write what it did in two when it was not in a hurry.
        let least = if every { some.len() / 2 } else { some.len() };
        ensure!(came >= least, "only {came} of {} kills came to be", some.len());
        Ok(())
    }

    async fn take(&self, bed: &Bed, end: &End, kills: Vec<Kill>, every: bool) -> Findings {
        let queue = Mutex::new(kills.into_iter().rev().collect::<Vec<_>>());
        let findings: Mutex<Findings> = Mutex::default();
        let next = || lock(&queue).pop();
        let worker = async || {
            while let Some(kill) = next() {
                let case = in_scene(bed, async |scene| self.disturbed(scene, kill, end).await);
                match Box::pin(case).await {
                    Ok(true) => lock(&findings).came += 1,
                    // There were fewer writes this time: an earlier one has to do.
                    Ok(false) if !every && kill.write > 1 => {
                        lock(&queue).push(Kill { write: kill.write / 2, ..kill });
                    }
                    Ok(false) => {}
                    Err(error) => {
                        let write = end.writes.get(kill.write - 1).cloned().unwrap_or_default();
                        let finding = format!("{}, {kill} ({write}): {error:#}", self.name);
                        say(&finding);
                        lock(&findings).failures.push(finding);
                    }
                }
            }
        };
        // Two at a time: most of a case is waiting.
        tokio::join!(worker(), worker());
        findings.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    async fn undisturbed(&self, scene: &Scene<'_>) -> Result<End> {
        let crew = self.set_up(scene).await?;
        crew.first.explain((self.act)(scene).await)?;
        crew.first.rest().await?;
        // One that was refused because what it knew was old may not come the next time.
        let writes = crew.first.proxy.writes().into_iter();
        let done = writes.filter(|write| write.served.is_some_and(|code| code < 300));
        Ok(End {
            state: EndState::of(scene.namespace).await?,
            tally: Tally::of(scene.namespace, scene.bed.login())?,
            writes: done.map(|write| write.to_string()).collect(),
        })
    }

    async fn set_up<'a>(&self, scene: &'a Scene<'a>) -> Result<Crew<'a>> {
        let crew = Crew::start(scene, self.succession).await?;
        crew.first.explain((self.setup)(scene).await)?;
        crew.first.rest().await?;
        crew.first.proxy.reset();
        Ok(crew)
    }

    /// Whether it came to the kill.
    async fn disturbed(&self, scene: &Scene<'_>, kill: Kill, end: &End) -> Result<bool> {
        let mut crew = self.set_up(scene).await?;
        let Some(next) = self.act_and_kill(scene, &mut crew, kill).await? else {
            // What was not disturbed is to be the same, too.
            self.check(scene, &crew.first, end).await?;
            return Ok(false);
        };
        self.check(scene, &next, end).await?;
        Ok(true)
    }

    async fn act_and_kill(
        &self,
        scene: &Scene<'_>,
        crew: &mut Crew<'_>,
        kill: Kill,
    ) -> Result<Option<Worker>> {
        let stop = crew.first.proxy.stop(Pick::writes(), kill.write, kill.when);
        let killed = Cell::new(false);
        let mut acts = pin!((self.act)(scene));
        let mut kills = pin!(crew.succeed_at(stop, &killed));
        tokio::select! {
            next = &mut kills => {
                let next = next?;
                next.explain(acts.await)?;
                return Ok(Some(next));
            }
            acted = &mut acts => acted?,
        }
        match tokio::time::timeout(LATE, &mut kills).await {
            Ok(next) => next.map(Some),
            Err(_) if killed.get() => kills.await.map(Some),
            Err(_) => Ok(None),
        }
    }

    async fn check(&self, scene: &Scene<'_>, worker: &Worker, end: &End) -> Result<()> {
        worker.explain(end.state.reached(scene.namespace, SETTLE).await)?;
        worker.rest().await?;
        let state = EndState::of(scene.namespace).await?;
        let differs =
            || format!("it went on (- expected, + found):\n{}", end.state.difference(&state));
        worker.explain((state == end.state).then_some(()).with_context(differs))?;
        let tally = Tally::of(scene.namespace, scene.bed.login())?;
        let differs = || format!("made and deleted were {tally:?}, not {:?}", end.tally);
        worker.explain((tally == end.tally).then_some(()).with_context(differs))
    }
}

#[derive(Debug, Default)]
struct Findings {
    came: usize,
    failures: Vec<String>,
}

fn kills(writes: usize) -> Vec<Kill> {
    (1..=writes).flat_map(|write| When::ALL.map(|when| Kill { write, when })).collect()
}

/// Some that the seed chooses.
fn chosen(all: &[Kill], name: &str) -> Result<Vec<Kill>> {
    let seed = Settings::get()?.writes_seed.unwrap_or(SEED);
    let name: u64 = name.bytes().map(u64::from).sum();
    let mut left = all.to_vec();
    let mut chosen = Vec::new();
    for step in 0..SOME.min(all.len()) {
        let dice = mixed(seed.wrapping_add(name).wrapping_add(step as u64));
        let index = usize::try_from(dice % left.len() as u64).context("an index")?;
        chosen.push(left.swap_remove(index));
    }
    Ok(chosen)
}

/// Of `SplitMix64`: neighbours become far apart.
fn mixed(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

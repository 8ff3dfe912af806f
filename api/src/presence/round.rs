//! Every few seconds, and once more at the end: who was heard of is written down, whoever is believed is asked
//! for again, and the others are told that this replica is there. A few statements, however many phones.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use runtime::database::failure::Failure;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::db::{Work, in_time, participants, presence, rate_limits};
use crate::event::Actor;
use crate::participant::heartbeat::came_back;
use crate::presence::{Beat, Hash, Standing};
use crate::state::App;

/// Sooner than what is believed runs out.
const PERIOD: Duration = Duration::from_secs(4);
/// How often the log says how many are there.
const TOLD: Duration = Duration::from_secs(30);
/// Of one statement: what it takes is less than a request may wait.
const MOST_BEATS: usize = 100;
/// See [`MOST_BEATS`]; reading is quicker.
const MOST_READ: usize = 1000;
/// After a statement nothing is asked for so many times as long: all of a round at once would be felt by every
/// request of that moment.
const BREATH: u32 = 2;
/// Of one statement, from its place in the queue to its commit.
const LONGEST: Duration = Duration::from_secs(15);
/// The same of what is beside a round: the next one has to be in time.
const ASIDE: Duration = Duration::from_secs(1);
/// A queue that takes longer is a crowd.
const CROWD: Duration = Duration::from_millis(250);
/// From then on a round hurries: what is believed must not run out before the next one.
const UNHURRIED: Duration = Duration::from_secs(3);

/// Until the end. What came until then is written down.
pub async fn keep(app: Arc<App>, ended: CancellationToken) {
    let (mut is_last, mut told) = (false, Instant::now());
    let mut limits = None;
    loop {
        let pace = Pace { begun: Instant::now(), ended: &ended };
        if let Err(error) = round(&app, &pace).await {
            let error = Failure::from(error);
            tracing::warn!(%error, "heartbeats could not be written down, trying again");
        }
        if !is_last {
            keep_limits(&app, &mut limits).await;
        }
        if told.elapsed() >= TOLD {
            told = Instant::now();
            let participants = app.presence.remembered(told).len();
            tracing::info!(participants, "presence: heard of by this replica");
        }
        if is_last {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(PERIOD.saturating_sub(pace.begun.elapsed())) => {}
            () = ended.cancelled() => is_last = true,
        }
    }
}

/// How a round goes.
struct Pace<'a> {
    begun: Instant,
    ended: &'a CancellationToken,
}

impl Pace<'_> {
    /// After a statement that began then.
    async fn breathe(&self, since: Instant) {
        let left = UNHURRIED.saturating_sub(self.begun.elapsed());
        let breath = tokio::time::sleep(left.min(since.elapsed() * BREATH));
        tokio::select! {
            () = breath => {}
            () = self.ended.cancelled() => {}
        }
    }
}

async fn round(app: &App, pace: &Pace<'_>) -> Result<(), sqlx::Error> {
    in_time(LONGEST, report(app)).await?;
    // First what has to be in time.
    for asked_for in app.presence.remembered(Instant::now()).chunks(MOST_READ) {
        let asked = in_time(LONGEST, ask(app, asked_for)).await?;
        pace.breathe(asked).await;
    }
    for beats in app.presence.beats().chunks(MOST_BEATS) {
        let begun = in_time(LONGEST, write(app, beats)).await?;
        pace.breathe(begun).await;
    }
    Ok(())
}

/// Begins work. While all connections are at work, what is believed stays so.
async fn begin(app: &App) -> Result<Work, sqlx::Error> {
    let mut begun = pin!(app.database.begin_patiently());
    loop {
        tokio::select! {
            begun = begun.as_mut() => return begun,
            () = tokio::time::sleep(CROWD) => {
                if app.database.is_crowded() {
                    app.presence.prolong(Instant::now());
                }
            }
        }
    }
}

/// Says that this replica is there.
async fn report(app: &App) -> Result<(), sqlx::Error> {
    let mut work = begin(app).await?;
    presence::report(work.connection(), app.id).await?;
    work.commit().await
}

/// Notices where all tries are forgotten; `known` is since when they were kept.
async fn keep_limits(app: &App, known: &mut Option<Timestamp>) {
    let kept = in_time(ASIDE, async {
        let mut work = begin(app).await?;
        let since = rate_limits::keep(work.connection()).await?;
        work.commit().await?;
        Ok(since)
    });
    match kept.await {
        Ok(since) if known.replace(since).is_some_and(|before| before != since) => {
            tracing::warn!(
                "limits were lost, as in a crash of the database: everybody has all tries again"
            );
            app.metrics.lost_limits();
        }
        Ok(_) => {}
        Err(error) => {
            let error = Failure::from(error);
            tracing::warn!(%error, "it is not known whether limits are kept");
        }
    }
}

/// Asks whether these are still good. When that was.
async fn ask(app: &App, asked_for: &[Uuid]) -> Result<Instant, sqlx::Error> {
    let mut work = begin(app).await?;
    let asked = Instant::now();
    let standings = presence::standing(work.connection(), asked_for).await?;
    work.commit().await?;
    let standings: HashMap<_, _> = standings.into_iter().map(standing).collect();
    for hash in app.presence.refresh(asked_for, &standings, asked) {
        come_back(app, hash).await?;
    }
    Ok(asked)
}

/// Somebody was heard of after they were marked as gone, and was answered from memory.
async fn come_back(app: &App, hash: Hash) -> Result<(), sqlx::Error> {
    let mut work = begin(app).await?;
    if let Some(member) = participants::find(work.connection(), hash).await? {
        let actor = Actor::unseen(member.participant.id);
        came_back(&mut work, &member, &actor).await?;
    }
    work.commit().await
}

/// Writes these down. When that began.
async fn write(app: &App, beats: &[Beat]) -> Result<Instant, sqlx::Error> {
    let mut work = begin(app).await?;
    let now = Instant::now();
    let written: HashSet<_> = write_down(&mut work, beats).await?.into_iter().collect();
    work.commit().await?;
    app.presence.written(beats.iter().filter(|beat| written.contains(&beat.participant)));
    Ok(now)
}

/// Writes down who was heard of in this session, in the transaction that ends it or marks them as gone. Nobody is
/// remembered for it: after that commit the session is to be forgotten. Whoever is locked is being written by a round.
pub async fn write_in(app: &App, work: &mut Work, session: Uuid) -> Result<(), sqlx::Error> {
    let beats = app.presence.beats_in(session);
    if !beats.is_empty() {
        write_down(work, &beats).await?;
    }
    Ok(())
}

/// Those who were written.
async fn write_down(work: &mut Work, beats: &[Beat]) -> Result<Vec<Uuid>, sqlx::Error> {
    let now = Instant::now();
    let ages = beats.iter().map(|beat| now.duration_since(beat.at).as_secs_f64()).collect();
    let ids: Vec<_> = beats.iter().map(|beat| beat.participant).collect();
    presence::write(work.connection(), &ids, ages).await
}

fn standing((participant, left, gone_for): (Uuid, f64, Option<f64>)) -> (Uuid, Standing) {
    let duration = |seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default();
    (participant, Standing { left: duration(left), gone_for: gone_for.map(duration) })
}

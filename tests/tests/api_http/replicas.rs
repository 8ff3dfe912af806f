//! Three servers behind one Service: what is counted is counted once, and nobody notices when they are
//! replaced.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::StreamExt as _;
use futures::stream;
use reqwest::Method;
use serde_json::{Value, json};
use tests::Sessions;
use tests::sessions::replica::{Answer, CODE_KEYS, Phone, Replica, read};
use tests::sessions::service::Service;
use tests::wait;
use tokio::task::JoinSet;

use super::scene::{dual, scene};

/// Those who guess, each at a table of its own, and how often.
const GUESSERS: usize = 19;
const GUESSES: usize = 400;
/// Codes that wait, and phones that type each of them.
const CODES: usize = 50;
const PHONES: usize = 8;
/// Requests under way at once.
const AT_ONCE: usize = 150;

async fn three(
    sessions: &Sessions,
    first: Replica,
    flags: &[(&str, &str)],
) -> Result<[Replica; 3]> {
    let other = || Replica::start_with(sessions, flags);
    Ok([first, other().await?, other().await?])
}

/// Somebody types a code at a table. `party` is who tries, or which code is tried.
struct Try {
    party: String,
    phone: Phone,
    body: Value,
}

/// By party: how often each status was answered.
type Answers = BTreeMap<String, BTreeMap<u16, usize>>;

async fn type_all(tries: Vec<Try>, replicas: &[Replica; 3]) -> Result<Answers> {
    let asked = tries.into_iter().enumerate().map(|(number, one)| async move {
        let replica = &replicas[number % replicas.len()];
        let answer = one.phone.post(replica, "/api/v1/join-codes/redeem", one.body).await?;
        Ok::<_, anyhow::Error>((one.party, answer.status))
    });
    let mut answered = stream::iter(asked).buffer_unordered(AT_ONCE);
    let mut answers = Answers::new();
    while let Some(told) = answered.next().await {
        let (party, status) = told?;
        *answers.entry(party).or_default().entry(status).or_default() += 1;
    }
    Ok(answers)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_eight_thousand_who_type_codes_at_three_servers_as_many_get_in_as_the_rules_say()
-> Result<()> {
    let (sessions, first) = scene().await?;
    let replicas = three(&sessions, first, &[("--code-keys", CODE_KEYS[0])]).await?;
    let mut right = Vec::new();
    for number in 0..CODES {
        let table = format!("table_{number}");
        let code = dual(&replicas[0], &table).await?.code().to_owned();
        right.push(json!({"code": code, "table_token": table}));
    }
    let codes = right.iter().flat_map(|body| {
        (0..PHONES).map(|_| Try {
            party: format!("code {}", body["table_token"]),
            phone: Phone::fresh(),
            body: body.clone(),
        })
    });
    let guessers: Vec<_> = (0..GUESSERS).map(|number| (number, Phone::fresh())).collect();
    let wrong = (0..GUESSES).flat_map(|_| {
        guessers.iter().map(|(number, phone)| Try {
            party: format!("guesser {number}"),
            phone: phone.clone(),
            // Never a code: nobody gets in by luck.
            body: json!({"code": "000000", "table_token": format!("elsewhere_{number}")}),
        })
    });
    // The right ones among the wrong ones.
    let mut tries: Vec<_> = wrong.collect();
    let step = tries.len() / (CODES * PHONES);
    for (number, one) in codes.enumerate() {
        tries.insert(number * (step + 1), one);
    }
    assert_eq!(tries.len(), 8_000);

    let begun = Instant::now();
    let answers = type_all(tries, &replicas).await?;
    let minutes = usize::try_from(begun.elapsed().as_secs() / 60)?;
    assert_eq!(answers.len(), CODES + GUESSERS);
    for (party, told) in &answers {
        let of = |status| told.get(&status).copied().unwrap_or_default();
        if party.starts_with("code") {
            assert_eq!((of(200), of(403)), (1, PHONES - 1), "{party}: {told:?}");
        } else {
            // Exactly five, unless the machine took so long that another minute has begun.
            assert_eq!(of(403) + of(429), GUESSES, "{party}: {told:?}");
            assert!(
                (5..=5 * (minutes + 1)).contains(&of(403)),
                "{party}: {told:?} in {minutes} min"
            );
        }
    }
    let paired =
        "SELECT count(*) FROM core.sessions WHERE dual_status = 'paired' AND participant_count = 2";
    assert_eq!(sessions.database.scalar::<i64>(paired).await?, i64::try_from(CODES)?);
    Ok(())
}

/// Phones that go on by way of a Service, and retry nothing.
struct Evening {
    service: Arc<Service<Arc<Replica>>>,
    over: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    failures: Arc<Mutex<Vec<String>>>,
    phones: JoinSet<()>,
}

impl Evening {
    fn begin(replicas: Vec<Arc<Replica>>, phones: usize) -> Self {
        let mut evening = Self {
            service: Arc::new(Service::of(replicas)),
            over: Arc::default(),
            answered: Arc::default(),
            failures: Arc::default(),
            phones: JoinSet::new(),
        };
        for number in 0..phones {
            let (service, over) = (Arc::clone(&evening.service), Arc::clone(&evening.over));
            let (answered, failures) =
                (Arc::clone(&evening.answered), Arc::clone(&evening.failures));
            evening.phones.spawn(async move {
                let mut turn = number;
                while !over.load(Ordering::Acquire) {
                    match session(&service, &mut turn).await {
                        Ok(requests) => drop(answered.fetch_add(requests, Ordering::AcqRel)),
                        Err(error) => {
                            let mut failures =
                                failures.lock().unwrap_or_else(PoisonError::into_inner);
                            failures.push(format!("{error:#}"));
                        }
                    }
                }
            });
        }
        evening
    }

    async fn goes_on(&self) -> Result<()> {
        let before = self.answered.load(Ordering::Acquire);
        wait::until("more requests to be answered", Duration::from_mins(1), async || {
            Ok((self.answered.load(Ordering::Acquire) > before + 30).then_some(()))
        })
        .await
    }

    /// What failed.
    async fn end(mut self) -> Vec<String> {
        self.over.store(true, Ordering::Release);
        while self.phones.join_next().await.is_some() {}
        std::mem::take(&mut *self.failures.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A phone that asks the next server each time, and takes one answer.
struct Caller<'a> {
    service: &'a Service<Arc<Replica>>,
    turn: &'a mut usize,
    phone: Phone,
}

impl Caller<'_> {
    async fn ask(&mut self, method: Method, path: &str, body: Value, good: u16) -> Result<Answer> {
        *self.turn += 1;
        let replica = self.service.pick(*self.turn).context("there is no server")?;
        let place = format!("{method} {path}");
        let answer = self.phone.send(&replica, method, path, body).await;
        let answer = answer.with_context(|| place.clone())?;
        ensure!(answer.status == good, "{place}: {} {}", answer.status, answer.body);
        Ok(answer)
    }
}

/// A session from its begin to its end. How many requests that were.
async fn session(service: &Service<Arc<Replica>>, turn: &mut usize) -> Result<usize> {
    let mut caller = Caller { service, turn, phone: Phone::fresh() };
    let body = json!({"app": "tarot", "mode": "single"});
    let made = caller.ask(Method::POST, "/api/v1/sessions", body, 201).await?;
    caller.phone = caller.phone.with_token(made.text("/participant/token"));
    let path = format!("/api/v1/sessions/{}", made.text("/session/id"));
    let beat = format!("{path}/participants/me/heartbeat");
    caller.ask(Method::GET, &path, Value::Null, 200).await?;
    caller.ask(Method::PUT, &beat, Value::Null, 204).await?;
    caller.ask(Method::POST, &format!("{path}/end"), Value::Null, 200).await?;
    Ok(4)
}

#[tokio::test(flavor = "multi_thread")]
async fn three_servers_are_replaced_one_after_the_other_and_no_request_fails() -> Result<()> {
    let (sessions, _) = scene().await?;
    let flags = [("--code-keys", CODE_KEYS[0]), ("--drain-delay", "2s"), ("--pool-size", "4")];
    let first = Replica::start_with(&sessions, &flags).await?;
    let old = three(&sessions, first, &flags).await?.map(Arc::new);
    let evening = Evening::begin(old.to_vec(), 6);
    for leaves in old {
        evening.goes_on().await?;
        // The new one is ready before the old one goes.
        let next = Replica::start_with(&sessions, &flags).await?;
        assert_eq!(read(next.request(Method::GET, "/readyz")).await?.status, 200);
        evening.service.add(Arc::new(next));
        leaves.terminate()?;
        // A Service hears of it by the same page.
        wait::until("the old one to say that it goes", Duration::from_secs(20), async || {
            let ready = read(leaves.request(Method::GET, "/readyz")).await?;
            Ok((ready.status == 503).then_some(()))
        })
        .await?;
        evening.service.remove(|replica| replica.base() == leaves.base());
        wait::until("it to take no more", Duration::from_mins(1), async || {
            Ok(leaves.request(Method::GET, "/healthz").send().await.is_err().then_some(()))
        })
        .await?;
        wait::until("every request of it to be answered", Duration::from_mins(1), async || {
            Ok(leaves.log().contains("every request was answered").then_some(()))
        })
        .await?;
    }
    evening.goes_on().await?;
    let failures = evening.end().await;
    assert!(failures.is_empty(), "{} failed: {:?}", failures.len(), failures.first());
    Ok(())
}

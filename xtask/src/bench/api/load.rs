//! Open load: requests at their times, whether those before were answered or not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use reqwest::RequestBuilder;
use tokio::task::JoinSet;

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered as it should be.
    Good,
    /// It was answered with another status.
    Refused(u16),
    /// It was not answered.
    Broken,
}

impl Outcome {
    /// Sends a request. An answer is there when its last byte is.
    pub async fn of(request: RequestBuilder) -> Self {
        let Ok(answer) = request.send().await else { return Self::Broken };
        let status = answer.status();
        if answer.bytes().await.is_err() {
            return Self::Broken;
        }
        if status.is_success() { Self::Good } else { Self::Refused(status.as_u16()) }
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// From its time to the end of its answer.
    pub took: Duration,
    /// How.
    pub outcome: Outcome,
}

/// All of a run.
#[derive(Default)]
pub struct Samples(Vec<Sample>);

/// Sends `rate` requests a second for this long. `request` is told the number of its request.
pub async fn open<F, R>(rate: u32, length: Duration, request: R) -> Result<Samples>
where
    R: Fn(u64) -> F + Send + Sync + 'static,
    F: Future<Output = Outcome> + Send + 'static,
{
    let request = Arc::new(request);
    let begun = Instant::now();
    let mut under_way = JoinSet::new();
    let mut samples = Samples::default();
    let mut number = 0;
    loop {
        let due = Duration::from_secs(number) / rate;
        if due >= length {
            break;
        }
        if let Some(early) = due.checked_sub(begun.elapsed()) {
            tokio::time::sleep(early).await;
        }
        let (request, at) = (Arc::clone(&request), begun + due);
        under_way.spawn(async move {
            let outcome = request(number).await;
            Sample { took: at.elapsed(), outcome }
        });
        while let Some(sample) = under_way.try_join_next() {
            samples.0.push(sample?);
        }
        number += 1;
    }
    while let Some(sample) = under_way.join_next().await {
        samples.0.push(sample?);
    }
    Ok(samples)
}

impl Samples {
    /// All of several.
    pub fn together(all: Vec<Self>) -> Self {
        Self(all.into_iter().flat_map(|samples| samples.0).collect())
    }

    /// How many there were.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// How many were not answered as they should have been.
    pub fn failed(&self) -> usize {
        self.0.iter().filter(|sample| sample.outcome != Outcome::Good).count()
    }

    /// ` (503: 2, no answer: 1)`, or nothing where none failed.
    fn failures(&self) -> String {
        let mut kinds = BTreeMap::new();
        for sample in &self.0 {
            let kind = match sample.outcome {
                Outcome::Good => continue,
                Outcome::Refused(status) => status.to_string(),
                Outcome::Broken => "no answer".to_owned(),
            };
            *kinds.entry(kind).or_insert(0_u32) += 1;
        }
        let kinds: Vec<_> = kinds.iter().map(|(kind, count)| format!("{kind}: {count}")).collect();
        if kinds.is_empty() { String::new() } else { format!(" ({})", kinds.join(", ")) }
    }

    /// The time within which so many of a thousand were answered.
    pub fn within(&self, permille: usize) -> Duration {
        let mut times: Vec<_> = self.0.iter().map(|sample| sample.took).collect();
        times.sort_unstable();
        let last = times.len().saturating_sub(1);
        times.get((times.len() * permille / 1000).min(last)).copied().unwrap_or_default()
    }

    /// `p50 1.2 ms, p99 8.0 ms, most 20.1 ms of 90000, 0 failed`.
    pub fn shown(&self) -> String {
        let ms = |permille| self.within(permille).as_secs_f64() * 1000.0;
        format!(
            "p50 {:.1} ms, p99 {:.1} ms, most {:.1} ms of {}, {} failed{}",
            ms(500),
            ms(990),
            ms(1000),
            self.len(),
            self.failed(),
            self.failures()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_tell_their_tail_and_their_failures() {
        let outcome = |ms| match ms {
            7 => Outcome::Broken,
            8 | 9 => Outcome::Refused(503),
            _ => Outcome::Good,
        };
        let sample = |ms| Sample { took: Duration::from_millis(ms), outcome: outcome(ms) };
        let samples = Samples((1..=1000).rev().map(sample).collect());
        let shown =
            "p50 501.0 ms, p99 991.0 ms, most 1000.0 ms of 1000, 3 failed (503: 2, no answer: 1)";
        assert_eq!(samples.shown(), shown);
        assert!(Samples::default().shown().ends_with("of 0, 0 failed"));
    }

    #[tokio::test]
    async fn a_slow_answer_holds_up_no_request_and_counts_from_its_time() {
        let samples = open(100, Duration::from_millis(200), |number| async move {
            let pause = if number == 0 { 150 } else { 0 };
            tokio::time::sleep(Duration::from_millis(pause)).await;
            Outcome::Good
        })
        .await
        .expect("samples");
        assert_eq!(samples.len(), 20);
        assert!(samples.within(1000) >= Duration::from_millis(150));
    }
}

//! Figures, as a table for `docs/benchmarks.md`.

use std::fmt;
use std::time::Duration;

/// Lines of a table: what, the target, what was measured.
#[derive(Default)]
pub struct Figures(Vec<[String; 3]>);

impl Figures {
    /// Adds a line, and says it at once: a benchmark takes long.
    pub fn add(&mut self, what: &str, target: &str, measured: impl Into<String>) {
        let line = [what.to_owned(), target.to_owned(), measured.into()];
        println!("{} | {} | {}", line[0], line[1], line[2]);
        self.0.push(line);
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "| what | to reach | measured |\n|---|---|---|")?;
        for [what, target, measured] in &self.0 {
            writeln!(formatter, "| {what} | {target} | {measured} |")?;
        }
        Ok(())
    }
}

/// Times in order: `p50 12 ms, p99 80 ms, most 95 ms of 200`.
pub fn spread(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let Some(most) = times.last() else { return "nothing was measured".to_owned() };
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)].as_millis();
    let (p50, p99, count) = (at(50), at(99), times.len());
    format!("p50 {p50} ms, p99 {p99} ms, most {} ms of {count}", most.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_its_median_and_its_tail() {
        let times = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!(spread(times), "p50 101 ms, p99 199 ms, most 200 ms of 200");
        assert_eq!(spread(vec![]), "nothing was measured");
    }
}

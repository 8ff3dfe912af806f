//! The figures of the server. Labels are closed sets: routes as they are written in `router`, methods and
//! statuses of HTTP, words of ours.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// Every metric of the server.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    requests: HistogramVec,
    codes: IntCounterVec,
    limited: IntCounterVec,
    lost_limits: IntCounter,
    heartbeats: IntCounterVec,
    pool: IntGaugeVec,
    connections: IntGauge,
}

/// What became of a code that somebody typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeTry {
    /// Two phones are paired.
    Paired,
    /// It was wrong, or used.
    Invalid,
    /// It was too late.
    Expired,
    /// There was no try left.
    Limited,
}

impl CodeTry {
    fn label(self) -> &'static str {
        match self {
            Self::Paired => "paired",
            Self::Invalid => "invalid",
            Self::Expired => "expired",
            Self::Limited => "limited",
        }
    }
}

impl Metrics {
    /// Registers all of them.
    pub fn new() -> prometheus::Result<Self> {
        let registry = runtime::metrics::registry()?;
        let requests = HistogramVec::new(
            HistogramOpts::new(
                "pgsweep_api_request_duration_seconds",
                "How long a request took, by its route, method and status.",
            )
            .buckets(vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0]),
            &["route", "method", "status"],
        )?;
        let codes = IntCounterVec::new(
            Opts::new(
                "pgsweep_api_join_code_tries_total",
                "Codes that were typed, by what came of it.",
            ),
            &["result"],
        )?;
        let limited = IntCounterVec::new(
            Opts::new(
                "pgsweep_api_limited_total",
                "Requests that were refused because there was no try left, by their limit.",
            ),
            &["limit"],
        )?;
        let lost_limits = IntCounter::new(
            "pgsweep_api_limits_lost_total",
            "How often all tries were forgotten, as in a crash of the database.",
        )?;
        let heartbeats = IntCounterVec::new(
            Opts::new(
                "pgsweep_api_heartbeats_total",
                "Heartbeats that were answered with 204, by where the answer came from.",
            ),
            &["source"],
        )?;
        let pool = IntGaugeVec::new(
            Opts::new(
                "pgsweep_api_pool_connections",
                "Connections to the database, by what they do.",
            ),
            &["state"],
        )?;
        let connections = IntGauge::new(
            "pgsweep_api_client_connections",
            "Connections of clients that are open.",
        )?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(codes.clone()))?;
        registry.register(Box::new(limited.clone()))?;
        registry.register(Box::new(lost_limits.clone()))?;
        registry.register(Box::new(heartbeats.clone()))?;
        registry.register(Box::new(pool.clone()))?;
        registry.register(Box::new(connections.clone()))?;
        Ok(Self { registry, requests, codes, limited, lost_limits, heartbeats, pool, connections })
    }

    /// A request was answered.
    pub fn answered(&self, method: &Method, route: &str, status: StatusCode, duration: Duration) {
        let labels = [route, label_of(method), status.as_str()];
        self.requests.with_label_values(&labels).observe(duration.as_secs_f64());
    }

    /// A code was typed.
    pub fn tried(&self, what: CodeTry) {
        self.codes.with_label_values(&[what.label()]).inc();
    }

    /// There was no try left of the limit of this name.
    pub fn limited(&self, limit: &'static str) {
        self.limited.with_label_values(&[limit]).inc();
    }

    /// Nobody has used any try any more.
    pub fn lost_limits(&self) {
        self.lost_limits.inc();
    }

    /// Somebody was heard of, and was known here or asked for.
    pub fn heard(&self, is_known: bool) {
        let source = if is_known { "memory" } else { "database" };
        self.heartbeats.with_label_values(&[source]).inc();
    }

    /// A client came; it has gone when what is returned is dropped.
    pub fn connected(&self) -> Connected {
        self.connections.inc();
        Connected(self.connections.clone())
    }

    /// The page, with the pool as it is now.
    pub fn page(&self, (open, idle): (u32, usize)) -> prometheus::Result<String> {
        let idle = i64::try_from(idle).unwrap_or(i64::MAX);
        self.pool.with_label_values(&["idle"]).set(idle);
        self.pool.with_label_values(&["busy"]).set((i64::from(open) - idle).max(0));
        runtime::metrics::encode(&self.registry)
    }
}

/// A client that is here.
pub struct Connected(IntGauge);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A client may make up methods.
fn label_of(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_that_somebody_made_up_makes_no_series_of_its_own() {
        let metrics = Metrics::new().expect("metrics");
        for name in ["BREW", "STEEP"] {
            let method = Method::from_bytes(name.as_bytes()).expect("a method");
            metrics.answered(&method, "none", StatusCode::NOT_FOUND, Duration::from_millis(3));
        }
        let client = metrics.connected();
        let page = metrics.page((5, 3)).expect("a page");
        let count = "pgsweep_api_request_duration_seconds_count{method=\"other\",route=\"none\",status=\"404\"} 2";
        assert!(page.contains(count), "{page}");
        assert!(page.contains("pgsweep_api_pool_connections{state=\"busy\"} 2"), "{page}");
        assert!(page.contains("pgsweep_api_client_connections 1"), "{page}");
        drop(client);
        let page = metrics.page((5, 3)).expect("a page");
        assert!(page.contains("pgsweep_api_client_connections 0"), "{page}");
    }
}

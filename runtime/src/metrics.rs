//! The registry of the process's metrics, and the text that a scraper reads.

use prometheus::{Registry, TextEncoder};

/// A registry of its own, since the global one breaks tests that run side by
/// side. On Linux it begins with the process's own figures (memory, CPU, files).
///
/// # Errors
/// When a collector is registered twice, which would be a mistake in here.
pub fn registry() -> prometheus::Result<Registry> {
    let registry = Registry::new();
    #[cfg(target_os = "linux")]
    registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
    Ok(registry)
}

/// The media type of [`encode`]'s text.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// All metrics of the registry, in the Prometheus text format.
pub fn encode(registry: &Registry) -> prometheus::Result<String> {
    TextEncoder::new().encode_to_string(&registry.gather())
}

//! The metrics, in CloudWatch's embedded metric format: a log line that becomes a metric.

use circuit::Meter;
use message_worker::emf::{Emf, Metric};

/// Writes metrics of Waybill's namespace.
pub fn metrics() -> Emf {
    Emf::new("Waybill")
}

/// Counts something that happened once or more.
pub fn count(dimensions: &[(&str, &str)], name: &str, times: usize) {
    metrics().put(dimensions, &[Metric::count(name, times)], &[]);
}

/// Counts what happens to circuits, and reports how long a consumer's messages
/// have been held up: by the consumer and over all, so that one alarm watches all
/// of them.
#[derive(Debug, Clone, Copy)]
pub struct CircuitMetrics;

impl Meter for CircuitMetrics {
    fn happened(&self, consumer: &str, name: &'static str) {
        count(&[("consumer", consumer)], name, 1);
    }

    fn hindered(&self, consumer: &str, seconds: u64) {
        let metric = [Metric::seconds("CircuitOpenSeconds", seconds)];
        metrics().put(&[("consumer", consumer)], &metric, &[]);
        metrics().put(&[], &metric, &[("consumer", consumer)]);
    }
}

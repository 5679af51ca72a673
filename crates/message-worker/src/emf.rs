//! Metrics in CloudWatch's embedded metric format: a line of the log that
//! becomes metrics. No request is made for a metric; Lambda ships the line with
//! the logs.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use crate::observe::{BatchSummary, Observer, RecordReport};
use crate::outcome::Outcome;

static SILENT: AtomicBool = AtomicBool::new(false);

/// From now on this process writes no metrics: for simulations, whose standard output
/// is for people.
pub fn silence() {
    SILENT.store(true, Ordering::Relaxed);
}

/// Writes metrics of one namespace to the standard output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emf {
    namespace: String,
    dimensions: Vec<(String, String)>,
}

/// One value of one metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric<'a> {
    name: &'a str,
    unit: &'static str,
    value: u64,
}

impl<'a> Metric<'a> {
    /// How often something happened.
    #[must_use]
    pub fn count(name: &'a str, times: usize) -> Self {
        let value = u64::try_from(times).unwrap_or(u64::MAX);
        Self {
            name,
            unit: "Count",
            value,
        }
    }

    /// How long something took or has lasted.
    #[must_use]
    pub const fn seconds(name: &'a str, seconds: u64) -> Self {
        Self {
            name,
            unit: "Seconds",
            value: seconds,
        }
    }
}

impl Emf {
    /// Metrics of this namespace.
    pub fn new(namespace: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            dimensions: Vec::new(),
        }
    }

    /// Gives every metric one more dimension, such as the stage. CloudWatch
    /// bills each combination of values as a metric of its own.
    #[must_use]
    pub fn with_dimension(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.dimensions.push((name.into(), value.into()));
        self
    }

    /// Writes one line with these metrics. `properties` are beside them in the
    /// line, to search for, and are no dimensions.
    pub fn put(
        &self,
        dimensions: &[(&str, &str)],
        metrics: &[Metric<'_>],
        properties: &[(&str, &str)],
    ) {
        if SILENT.load(Ordering::Relaxed) {
            return;
        }
        let line = self.line(dimensions, metrics, properties);
        if let Err(error) = writeln!(std::io::stdout().lock(), "{line}") {
            tracing::warn!(%error, "a metric could not be written");
        }
    }

    fn line(
        &self,
        dimensions: &[(&str, &str)],
        metrics: &[Metric<'_>],
        properties: &[(&str, &str)],
    ) -> Value {
        let own = self.dimensions.iter();
        let own = own.map(|(name, value)| (name.as_str(), value.as_str()));
        let dimensions: Vec<(&str, &str)> = own.chain(dimensions.iter().copied()).collect();
        let names: Vec<&str> = dimensions.iter().map(|(name, _)| *name).collect();
        let declared: Vec<Value> = metrics
            .iter()
            .map(|metric| json!({ "Name": metric.name, "Unit": metric.unit }))
            .collect();
        let declaration = json!({
            "Namespace": self.namespace, "Dimensions": [names], "Metrics": declared,
        });
        let mut line = Map::new();
        let text = |(name, value): &(&str, &str)| ((*name).to_owned(), json!(value));
        // A property must not stand in for a metric or a dimension of the same name.
        line.extend(properties.iter().map(text));
        line.extend(dimensions.iter().map(text));
        line.extend(metrics.iter().map(|m| (m.name.to_owned(), json!(m.value))));
        let header = json!({ "Timestamp": epoch_millis(), "CloudWatchMetrics": [declaration] });
        line.insert("_aws".to_owned(), header);
        Value::Object(line)
    }
}

fn epoch_millis() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

/// An [`Observer`] that writes the metrics of one consumer, all of them counts:
///
/// | metric | dimensions | when |
/// |---|---|---|
/// | `Records`, `Acknowledged`, `Returned` | `consumer` | once for each batch |
/// | `Failures` | `consumer`, `errorClass`, `errorName` | for each record with an error |
/// | `MovedAside` | `consumer`, `outcome` | for each dead-lettered or quarantined record |
///
/// The lines of a record carry its `correlation_id` as a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmfObserver {
    emf: Emf,
    consumer: String,
}

impl EmfObserver {
    /// Writes the metrics of this consumer.
    pub fn new(emf: Emf, consumer: impl Into<String>) -> Self {
        Self {
            emf,
            consumer: consumer.into(),
        }
    }
}

impl Observer for EmfObserver {
    fn record_finished(&self, report: &RecordReport<'_>) {
        let (Some(class), Some(error_name)) = (report.class, report.error_name) else {
            return;
        };
        let consumer = ("consumer", self.consumer.as_str());
        let id = report.correlation_id.map(|id| ("correlation_id", id));
        let dimensions = [
            consumer,
            ("errorClass", class.as_str()),
            ("errorName", error_name),
        ];
        let failures = Metric::count("Failures", 1);
        self.emf.put(&dimensions, &[failures], id.as_slice());
        if matches!(report.outcome, Outcome::DeadLettered | Outcome::Quarantined) {
            let dimensions = [consumer, ("outcome", report.outcome.as_str())];
            let moved = Metric::count("MovedAside", 1);
            self.emf.put(&dimensions, &[moved], id.as_slice());
        }
    }

    fn batch_finished(&self, summary: &BatchSummary) {
        let counts = [
            Metric::count("Records", summary.records),
            Metric::count("Acknowledged", summary.acknowledged),
            Metric::count("Returned", summary.returned),
        ];
        let consumer = ("consumer", self.consumer.as_str());
        self.emf.put(&[consumer], &counts, &[]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_declares_each_metric_and_dimension_that_it_carries() {
        let emf = Emf::new("Shop").with_dimension("stage", "prod");
        let metrics = [Metric::count("Records", 3), Metric::seconds("Open", 90)];
        let line = emf.line(
            &[("consumer", "payment")],
            &metrics,
            &[("correlation_id", "c-1")],
        );
        let declared = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(declared["Namespace"], "Shop");
        assert_eq!(declared["Dimensions"], json!([["stage", "consumer"]]));
        assert_eq!(
            declared["Metrics"],
            json!([{ "Name": "Records", "Unit": "Count" }, { "Name": "Open", "Unit": "Seconds" }])
        );
        let values = (&line["stage"], &line["consumer"], &line["Records"]);
        assert_eq!(values, (&json!("prod"), &json!("payment"), &json!(3)));
        assert_eq!(line["Open"], 90);
        assert_eq!(line["correlation_id"], "c-1");
        assert!(line["_aws"]["Timestamp"].is_u64());
    }

    #[test]
    fn a_property_does_not_replace_a_metric_or_a_dimension() {
        let metrics = [Metric::count("Records", 3)];
        let dimensions = [("consumer", "payment")];
        let properties = [("Records", "none"), ("consumer", "other"), ("_aws", "")];
        let line = Emf::new("Shop").line(&dimensions, &metrics, &properties);
        assert_eq!(
            (&line["Records"], &line["consumer"]),
            (&json!(3), &json!("payment"))
        );
        assert!(line["_aws"].is_object());
    }
}

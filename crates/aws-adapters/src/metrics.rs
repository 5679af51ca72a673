//! Metrics in CloudWatch's embedded metric format: a log line that becomes a metric.
//!
//! No request is made for a metric; Lambda ships the line with the logs.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use message_worker::{BatchSummary, Observer, Outcome, RecordReport};
use serde_json::{Map, Value, json};

const NAMESPACE: &str = "Waybill";

/// Writes the metrics of one consumer's records.
#[derive(Debug, Clone)]
pub struct Metrics {
    consumer: String,
}

impl Metrics {
    /// Metrics with this consumer as their dimension.
    pub fn new(consumer: impl Into<String>) -> Self {
        Self {
            consumer: consumer.into(),
        }
    }
}

impl Observer for Metrics {
    fn record_finished(&self, report: &RecordReport<'_>) {
        let (Some(class), Some(error_name)) = (report.class, report.error_name) else {
            return;
        };
        let dimensions = [
            ("consumer", self.consumer.as_str()),
            ("errorClass", class.as_str()),
            ("errorName", error_name),
        ];
        emit(&line(
            &dimensions,
            &[("Failures", 1)],
            report.correlation_id,
        ));
        if matches!(report.outcome, Outcome::DeadLettered | Outcome::Quarantined) {
            let moved = [
                ("consumer", self.consumer.as_str()),
                ("outcome", report.outcome.as_str()),
            ];
            emit(&line(&moved, &[("MovedAside", 1)], report.correlation_id));
        }
    }

    fn batch_finished(&self, summary: &BatchSummary) {
        let counts = [
            ("Records", summary.records),
            ("Acknowledged", summary.acknowledged),
            ("Returned", summary.returned),
        ];
        emit(&line(&[("consumer", &self.consumer)], &counts, None));
    }
}

/// Counts something that happened once or more.
pub fn count(dimensions: &[(&str, &str)], name: &str, times: usize) {
    emit(&line(dimensions, &[(name, times)], None));
}

fn line(dimensions: &[(&str, &str)], counts: &[(&str, usize)], correlation: Option<&str>) -> Value {
    let names: Vec<&str> = dimensions.iter().map(|(name, _)| *name).collect();
    let metrics: Vec<Value> = counts
        .iter()
        .map(|(name, _)| json!({ "Name": name, "Unit": "Count" }))
        .collect();
    let mut fields = Map::new();
    fields.insert(
        "_aws".to_owned(),
        json!({
            "Timestamp": epoch_millis(),
            "CloudWatchMetrics": [
                { "Namespace": NAMESPACE, "Dimensions": [names], "Metrics": metrics }
            ]
        }),
    );
    fields.extend(
        dimensions
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value))),
    );
    fields.extend(
        counts
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value))),
    );
    if let Some(correlation) = correlation {
        fields.insert("correlation_id".to_owned(), json!(correlation));
    }
    Value::Object(fields)
}

fn epoch_millis() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn emit(line: &Value) {
    if let Err(error) = writeln!(std::io::stdout().lock(), "{line}") {
        tracing::warn!(%error, "a metric could not be written");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_declares_each_metric_and_dimension_that_it_carries() {
        let line = line(&[("consumer", "payment")], &[("Records", 3)], Some("c-1"));
        let declared = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(declared["Dimensions"], json!([["consumer"]]));
        assert_eq!(
            declared["Metrics"],
            json!([{ "Name": "Records", "Unit": "Count" }])
        );
        assert_eq!(line["consumer"], "payment");
        assert_eq!(line["Records"], 3);
        assert_eq!(line["correlation_id"], "c-1");
    }
}

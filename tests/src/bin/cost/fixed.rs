//! What is paid each month, however many orders there are.

use std::collections::BTreeSet;

use serde_json::Value;
use waybill_tests::cost::{Counter, ON_THE_WAY};

use crate::prices::Prices;

/// Lambda keeps so many receivers at each queue that it reads, each asking every 20 seconds.
const RECEIVERS: f64 = 5.0;
const ASKS_A_MINUTE: f64 = 3.0;
const MINUTES: f64 = 43_800.0;

/// Counted in the stack and in the logs.
#[derive(Debug)]
pub(crate) struct Fixed {
    pub(crate) alarms: u32,
    pub(crate) metrics: u32,
    pub(crate) queues: u32,
}

impl Fixed {
    pub(crate) async fn count(counter: &Counter) -> Self {
        let environment = counter.environment();
        let parameters = [("Action", "DescribeAlarms"), ("Version", "2010-08-01")];
        let alarms = environment
            .query_call("monitoring", &parameters)
            .await
            .text();
        let mut metrics = BTreeSet::new();
        for function in ON_THE_WAY {
            for line in environment.log_lines(function, "\"_aws\"").await {
                metrics.extend(metrics_of(&line));
            }
        }
        let queues = environment.read_queues().await;
        let count = |number: usize| u32::try_from(number).expect("a small number");
        Self {
            alarms: count(alarms.matches("<AlarmName>").count()),
            metrics: count(metrics.len()),
            queues: count(queues),
        }
    }

    /// Dollars a month.
    pub(crate) fn dollars(&self, prices: &Prices) -> [(&'static str, f64); 3] {
        let polls = f64::from(self.queues) * RECEIVERS * ASKS_A_MINUTE * MINUTES;
        [
            ("alarms", f64::from(self.alarms) * prices.of("alarm month")),
            (
                "metrics of the functions",
                f64::from(self.metrics) * prices.of("custom metric month"),
            ),
            (
                "asking empty queues",
                polls * prices.of("sqs request of 64 KB"),
            ),
        ]
    }
}

/// The metrics that a log line declares: each name with each set of dimensions' values.
fn metrics_of(line: &str) -> Vec<String> {
    let line: Value = serde_json::from_str(line).unwrap_or_default();
    let declared = line["_aws"]["CloudWatchMetrics"].as_array();
    let mut found = Vec::new();
    for each in declared.into_iter().flatten() {
        for dimensions in each["Dimensions"].as_array().into_iter().flatten() {
            let names = dimensions
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str);
            let values: Vec<_> = names.map(|name| format!("{name}={}", line[name])).collect();
            for metric in each["Metrics"].as_array().into_iter().flatten() {
                found.push(format!("{} {}", values.join(","), metric["Name"]));
            }
        }
    }
    found
}

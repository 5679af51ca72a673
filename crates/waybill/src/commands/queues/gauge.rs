//! Measures the queues, without receiving: that would use up receives.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_cloudwatch::Client as CloudWatch;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricDataResult, MetricStat};
use aws_sdk_sqs::Client as Sqs;
use aws_sdk_sqs::types::QueueAttributeName;
use serde::Serialize;

use crate::failure::Failure;
use crate::records::now_millis;

/// What a queue holds, as far as SQS knows at the moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Depth {
    /// What can be received.
    pub(super) visible: u64,
    /// What becomes visible later.
    pub(super) delayed: u64,
    /// What was received and is not done.
    pub(super) in_flight: u64,
}

/// Reads what a queue holds.
pub(super) async fn depth(sqs: &Sqs, url: &str) -> Result<Depth, Failure> {
    let answer = sqs
        .get_queue_attributes()
        .queue_url(url)
        .attribute_names(QueueAttributeName::ApproximateNumberOfMessages)
        .attribute_names(QueueAttributeName::ApproximateNumberOfMessagesDelayed)
        .attribute_names(QueueAttributeName::ApproximateNumberOfMessagesNotVisible)
        .send()
        .await
        .map_err(|error| Failure::from_sdk("sqs:GetQueueAttributes", error))?;
    let attributes = answer.attributes.unwrap_or_default();
    let count = |name| {
        let count: Option<u64> = attributes.get(&name).and_then(|text| text.parse().ok());
        count.unwrap_or_default()
    };
    Ok(Depth {
        visible: count(QueueAttributeName::ApproximateNumberOfMessages),
        delayed: count(QueueAttributeName::ApproximateNumberOfMessagesDelayed),
        in_flight: count(QueueAttributeName::ApproximateNumberOfMessagesNotVisible),
    })
}

/// How far back a measurement may lie. CloudWatch gets one a minute, and a while later.
const WINDOW_SECONDS: u64 = 10 * 60;

/// The age in seconds of the oldest message of each queue, by the queue's name. A queue
/// that CloudWatch has no recent measurement of is not in it: that is no zero.
///
/// The measurements are a minute or more old. A message that waits has grown older since.
pub(super) async fn oldest(
    cloudwatch: &CloudWatch,
    queues: &[&str],
) -> Result<BTreeMap<String, u64>, Failure> {
    let now = now_millis() / 1000;
    let second = |at: u64| DateTime::from_secs(i64::try_from(at).unwrap_or(i64::MAX));
    let queries = queues.iter().enumerate().map(query).collect();
    let answer = cloudwatch
        .get_metric_data()
        .start_time(second(now.saturating_sub(WINDOW_SECONDS)))
        // The measurement of this very second is not left out.
        .end_time(second(now + 60))
        .set_metric_data_queries(Some(queries))
        .send()
        .await
        .map_err(|error| Failure::from_sdk("cloudwatch:GetMetricData", error))?;
    let values: HashMap<_, _> = answer
        .metric_data_results
        .unwrap_or_default()
        .into_iter()
        .filter_map(|result| Some((result.id.clone()?, latest(&result)?)))
        .collect();
    let ages = queues.iter().enumerate().filter_map(|(index, queue)| {
        let age = values.get(&format!("q{index}"))?;
        Some(((*queue).to_owned(), whole(*age)))
    });
    Ok(ages.collect())
}

fn latest(result: &MetricDataResult) -> Option<f64> {
    let measurements = result.timestamps().iter().zip(result.values());
    let (_, value) = measurements.max_by_key(|(at, _)| at.secs())?;
    Some(*value)
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an age in seconds; `as` takes what does not fit for the nearest that does"
)]
fn whole(seconds: f64) -> u64 {
    seconds as u64
}

fn query((index, queue): (usize, &&str)) -> MetricDataQuery {
    let dimension = Dimension::builder().name("QueueName").value(*queue).build();
    let metric = Metric::builder()
        .namespace("AWS/SQS")
        .metric_name("ApproximateAgeOfOldestMessage")
        .dimensions(dimension)
        .build();
    let stat = MetricStat::builder()
        .metric(metric)
        .period(60)
        .stat("Maximum")
        .build();
    MetricDataQuery::builder()
        .id(format!("q{index}"))
        .metric_stat(stat)
        .build()
}

/// The name of the queue of a URL.
pub(super) fn name(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_measurement_counts_in_whatever_order_they_come() {
        let result = MetricDataResult::builder()
            .timestamps(DateTime::from_secs(60))
            .timestamps(DateTime::from_secs(180))
            .timestamps(DateTime::from_secs(120))
            .values(1.0)
            .values(3.0)
            .values(2.0)
            .build();
        assert_eq!(latest(&result), Some(3.0));
        assert_eq!(latest(&MetricDataResult::builder().build()), None);
    }

    #[test]
    fn an_age_is_whole_seconds() {
        assert_eq!([whole(12.9), whole(-1.0), whole(f64::NAN)], [12, 0, 0]);
    }
}

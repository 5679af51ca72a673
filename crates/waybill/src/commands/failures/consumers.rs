//! The consumers, and what each of them reads.

use std::collections::BTreeMap;

use crate::deployment::Deployment;
use crate::failure::Failure;

/// A consumer's name, the stack output with its queue, and the types that it reads; no
/// types means all of them.
struct Consumer {
    name: &'static str,
    queue: &'static str,
    reads: &'static [&'static str],
}

const CONSUMERS: [Consumer; 6] = [
    Consumer {
        name: "saga",
        queue: "SagaQueueUrl",
        reads: &["waybill.order.placed.v1"],
    },
    Consumer {
        name: "payment",
        queue: "PaymentQueueUrl",
        reads: &["waybill.payment.charge.v1", "waybill.payment.refund.v1"],
    },
    Consumer {
        name: "stock",
        queue: "StockQueueUrl",
        reads: &["waybill.stock.reserve.v1", "waybill.stock.release.v1"],
    },
    Consumer {
        name: "shipping",
        queue: "ShippingQueueUrl",
        reads: &["waybill.shipment.create.v1", "waybill.shipment.cancel.v1"],
    },
    Consumer {
        name: "audit",
        queue: "AuditQueueUrl",
        reads: &[],
    },
    Consumer {
        name: "notify",
        queue: "NotifyQueueUrl",
        reads: &[
            "waybill.order.completed.v1",
            "waybill.order.failed.v1",
            "waybill.order.needs-attention.v1",
        ],
    },
];

/// Their names.
pub(super) fn names() -> [&'static str; 6] {
    CONSUMERS.map(|consumer| consumer.name)
}

/// Whether a consumer subscribes to a message type.
pub(super) fn reads(consumer: &str, message_type: Option<&str>) -> bool {
    let found = CONSUMERS.iter().find(|known| known.name == consumer);
    found.is_some_and(|known| match message_type {
        _ if known.reads.is_empty() => true,
        Some(message_type) => known.reads.contains(&message_type),
        None => false,
    })
}

/// The URLs of their queues.
pub(super) fn queues(deployment: &Deployment) -> Result<BTreeMap<String, String>, Failure> {
    let urls = CONSUMERS.iter().map(|consumer| {
        let url = deployment.output(consumer.queue)?;
        Ok((consumer.name.to_owned(), url.to_owned()))
    });
    urls.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = include_str!("../../../../../template.yaml");

    /// The types in the filter of a consumer's subscription, read as lines: the template
    /// is YAML with tags that a parser would have to be taught.
    fn filtered(queue: &str) -> Vec<&'static str> {
        let endpoint = format!("Endpoint: !GetAtt {queue}.Arn");
        let (_, rest) = TEMPLATE.split_once(&endpoint).unwrap();
        let subscription = rest.split("\n\n").next().unwrap();
        subscription
            .lines()
            .filter_map(|line| line.trim().strip_prefix("- waybill."))
            .map(|name| {
                let at = TEMPLATE.find(&format!("- waybill.{name}")).unwrap();
                TEMPLATE[at + 2..].lines().next().unwrap()
            })
            .collect()
    }

    #[test]
    fn what_a_consumer_reads_is_what_the_template_subscribes_it_to() {
        for consumer in CONSUMERS {
            let queue = consumer.queue.trim_end_matches("Url");
            assert_eq!(filtered(queue), consumer.reads, "{}", consumer.name);
        }
    }

    #[test]
    fn only_a_consumer_of_its_type_gets_a_message() {
        assert!(reads("payment", Some("waybill.payment.charge.v1")));
        assert!(!reads("stock", Some("waybill.payment.charge.v1")));
        assert!(!reads("payment", None));
        assert!(reads("audit", None));
        assert!(!reads("nobody", Some("waybill.payment.charge.v1")));
    }
}

//! The bus as it is deployed: who gets what.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use waybill_tests::{CONSUMERS, Environment};

/// The message types that each consumer's subscription names; `None` where it names none.
async fn subscriptions(environment: &Environment) -> BTreeMap<String, Option<BTreeSet<String>>> {
    let topic = environment.output("BusTopicArn");
    let mut pages = environment
        .sns
        .list_subscriptions_by_topic()
        .topic_arn(topic)
        .into_paginator()
        .items()
        .send();
    let mut found = BTreeMap::new();
    while let Some(subscription) = pages.next().await {
        let subscription = subscription.unwrap();
        let endpoint = subscription.endpoint.unwrap_or_default();
        let queue_of = |consumer: &&&str| {
            let name = environment
                .queue(consumer)
                .rsplit('/')
                .next()
                .unwrap_or_default();
            endpoint.ends_with(&format!(":{name}"))
        };
        // Tests that listen have subscriptions of their own.
        let Some(consumer) = CONSUMERS.iter().find(queue_of) else {
            continue;
        };
        let arn = subscription.subscription_arn.unwrap_or_default();
        let types = types(environment, &arn).await;
        assert!(
            found.insert((*consumer).to_owned(), types).is_none(),
            "{consumer} twice"
        );
    }
    found
}

async fn types(environment: &Environment, subscription: &str) -> Option<BTreeSet<String>> {
    let described = environment
        .sns
        .get_subscription_attributes()
        .subscription_arn(subscription)
        .send()
        .await;
    let attributes = described.unwrap().attributes.unwrap_or_default();
    let attribute = |name: &str| attributes.get(name).map(String::as_str);
    assert_eq!(
        attribute("RawMessageDelivery"),
        Some("true"),
        "{attributes:?}"
    );
    assert!(
        attribute("RedrivePolicy").is_some_and(|it| it.contains("delivery-dlq")),
        "{attributes:?}"
    );
    let filter = attribute("FilterPolicy").filter(|filter| !filter.is_empty())?;
    assert_eq!(
        attribute("FilterPolicyScope"),
        Some("MessageBody"),
        "{attributes:?}"
    );
    let filter: Value = serde_json::from_str(filter).unwrap();
    assert_eq!(filter.as_object().map(|it| it.len()), Some(1), "{filter}");
    let types = filter["type"].as_array().unwrap().iter();
    Some(types.map(|it| it.as_str().unwrap().to_owned()).collect())
}

#[tokio::test]
async fn every_command_has_one_subscriber_besides_the_audit_and_every_name_is_known() {
    let environment = Environment::connect().await;
    let subscriptions = subscriptions(&environment).await;
    assert_eq!(subscriptions.len(), CONSUMERS.len(), "{subscriptions:?}");
    assert_eq!(subscriptions["Audit"], None, "the audit hears everything");
    let named: Vec<_> = subscriptions.values().flatten().flatten().collect();
    for step in domain::Step::ALL {
        let command = format!("waybill.{step}.v1");
        assert_eq!(
            named.iter().filter(|it| ***it == command).count(),
            1,
            "{command}"
        );
    }
    for name in named {
        assert!(
            contracts::schema::Schema::find(name).is_some(),
            "{name} has no schema"
        );
    }
}

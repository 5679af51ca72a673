//! What of the deployed template the simulation goes by.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use serde_yaml_ng::Value;

const TEMPLATE: &str = include_str!("../../../template.yaml");

/// The consumers, by the names of their queues.
pub(crate) const CONSUMERS: [&str; 6] = ["saga", "payment", "stock", "shipping", "audit", "notify"];

/// What is deployed.
#[derive(Debug)]
pub(crate) struct Template {
    /// The message types that each consumer's queue gets; `None` is all.
    pub(crate) filters: BTreeMap<String, Option<Vec<String>>>,
    pub(crate) visibility: Duration,
    pub(crate) most_receives: u32,
    pub(crate) function_time: Duration,
    pub(crate) api_time: Duration,
    pub(crate) backoff_base: Duration,
    pub(crate) backoff_cap: Duration,
    pub(crate) drain_every: Duration,
    pub(crate) automatic_replay_after: Duration,
    pub(crate) step_seconds: u64,
    pub(crate) undo_seconds: u64,
    pub(crate) probe_interval: Duration,
    pub(crate) ramp_interval: Duration,
    pub(crate) concurrency: u32,
}

/// Read once.
pub(crate) static DEPLOYED: LazyLock<Template> = LazyLock::new(Template::read);

impl Template {
    #[allow(
        clippy::expect_used,
        reason = "a template that cannot be read simulates nothing"
    )]
    fn read() -> Self {
        let yaml: Value = serde_yaml_ng::from_str(TEMPLATE).expect("the template is YAML");
        let resource = |name: &str| &yaml["Resources"][name]["Properties"];
        let number = |value: &Value| value.as_u64().expect("a number in the template");
        let seconds = |value: &Value| Duration::from_secs(number(value));
        let parameter = |name: &str| number(&yaml["Parameters"][name]["Default"]);
        let filters = CONSUMERS.map(|consumer| {
            let name = format!(
                "{}{}Subscription",
                consumer[..1].to_uppercase(),
                &consumer[1..]
            );
            let filter = &resource(&name)["FilterPolicy"]["type"];
            let types = filter.as_sequence().map(|types| {
                let texts = types.iter().filter_map(Value::as_str);
                texts.map(str::to_owned).collect()
            });
            (consumer.to_owned(), types)
        });
        let queue = resource("PaymentQueue");
        Self {
            filters: filters.into_iter().collect(),
            visibility: seconds(&queue["VisibilityTimeout"]),
            most_receives: u32::try_from(number(
                &untagged(&queue["RedrivePolicy"])["maxReceiveCount"],
            ))
            .expect("a small number"),
            function_time: seconds(&yaml["Globals"]["Function"]["Timeout"]),
            api_time: seconds(&resource("OrderApiFunction")["Timeout"]),
            backoff_base: Duration::from_millis(parameter("BackoffBaseMillis")),
            backoff_cap: Duration::from_secs(parameter("BackoffCapSeconds")),
            drain_every: Duration::from_secs(60 * parameter("DrainMinutes")),
            automatic_replay_after: Duration::from_secs(60 * parameter("AutomaticReplayMinutes")),
            step_seconds: parameter("StepTimeoutSeconds"),
            undo_seconds: parameter("UndoTimeoutSeconds"),
            probe_interval: Duration::from_secs(parameter("ProbeIntervalSeconds")),
            ramp_interval: Duration::from_secs(parameter("RampIntervalSeconds")),
            concurrency: u32::try_from(parameter("WorkerConcurrency")).expect("a small number"),
        }
    }

    /// The consumers whose queues get messages of this type.
    pub(crate) fn subscribers<'a>(
        &'a self,
        message_type: &'a str,
    ) -> impl Iterator<Item = &'a str> {
        let gets = move |types: &Option<Vec<String>>| {
            types
                .as_ref()
                .is_none_or(|types| types.iter().any(|it| it == message_type))
        };
        let filters = self.filters.iter().filter(move |(_, types)| gets(types));
        filters.map(|(consumer, _)| consumer.as_str())
    }
}

/// The value behind a tag such as `!Sub`.
fn untagged(value: &Value) -> &Value {
    match value {
        Value::Tagged(tagged) => &tagged.value,
        plain => plain,
    }
}

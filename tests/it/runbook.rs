//! The commands of `docs/runbook.md`, each run on what its section is about.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use aws_sdk_sqs::types::MessageAttributeValue;
use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;
use waybill_tests::{Environment, Order, QUICKLY, Tap, messages, unique, wait_until};

const RUNBOOK: &str = include_str!("../../docs/runbook.md");

/// For queues, the AWS CLI does not look at `AWS_ENDPOINT_URL`.
const AWS_HERE: &str = r#"aws() { command aws --endpoint-url "$AWS_ENDPOINT_URL" "$@"; }"#;

/// A section with commands.
#[derive(Debug)]
struct Section {
    title: &'static str,
    commands: Vec<&'static str>,
}

fn sections() -> Vec<Section> {
    let mut sections = Vec::new();
    let mut is_command = false;
    for line in RUNBOOK.lines() {
        if line.starts_with("```") {
            is_command = line == "```sh";
        } else if let Some(title) = line.strip_prefix("## ").or(line.strip_prefix("### ")) {
            sections.push(Section {
                title,
                commands: Vec::new(),
            });
        } else if let (true, Some(section)) = (is_command, sections.last_mut()) {
            section.commands.push(line);
        }
    }
    sections.retain(|section| !section.commands.is_empty());
    sections
}

/// What a section's commands are run on.
#[derive(Debug, Default)]
struct Scene {
    variables: BTreeMap<&'static str, String>,
    /// What the commands together must have shown.
    shown: Vec<String>,
    /// Failures that are resolved when all commands were run.
    resolved: Vec<String>,
    /// The order that has failed by then.
    failed: Option<String>,
}

impl Scene {
    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.insert(name, value.into());
        self
    }

    fn showing(mut self, text: impl Into<String>) -> Self {
        self.shown.push(text.into());
        self
    }

    fn resolving(mut self, failure: &str) -> Self {
        self.resolved.push(failure.to_owned());
        self
    }
}

#[tokio::test]
async fn every_command_of_the_runbook_works_on_what_its_section_is_about() {
    let environment = Environment::connect().await;
    let sections = sections();
    assert!(
        sections.len() > 15,
        "the runbook was not read: {sections:?}"
    );
    // Side by side, since each waits for its own messages.
    let runs = sections.iter().map(|section| follow(&environment, section));
    join_all(runs).await;
}

async fn follow(environment: &Environment, section: &Section) {
    let mut scene = prepare(environment, section.title).await;
    let mut printed = String::new();
    for command in &section.commands {
        if command.contains("$COPY") {
            let copy = copy_of(environment, &scene.variables["FAILURE"]).await;
            scene.resolved.push(copy.clone());
            scene = scene.with("COPY", copy);
        }
        printed.push_str(&run(section.title, command, &scene.variables, environment).await);
    }
    for text in &scene.shown {
        assert!(
            printed.contains(text),
            "{}: {text} is not in\n{printed}",
            section.title
        );
    }
    for failure in &scene.resolved {
        let shown = show(environment, failure).await;
        assert_eq!(shown["status"], "resolved", "{}: {shown:#}", section.title);
    }
    if let Some(order) = &scene.failed {
        assert_eq!(
            environment.order(order).await.status,
            "failed",
            "order {order}"
        );
    }
    for name in ["FAILURE", "COPY", "OTHER", "GROUP"] {
        if let Some(id) = scene.variables.get(name) {
            forget(environment, id).await;
        }
    }
}

/// Runs one command as a person would, in a shell.
async fn run(
    title: &str,
    command: &'static str,
    variables: &BTreeMap<&'static str, String>,
    environment: &Environment,
) -> String {
    // The AWS CLI is installed beside the emulator.
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.local/emulator/bin");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("bash");
    shell
        .args(["-euo", "pipefail", "-c", &format!("{AWS_HERE}\n{command}")])
        .envs(variables)
        .env("WAYBILL_STACK", environment.stack())
        .env("PATH", format!("{}:{path}", tools.display()));
    let ran = tokio::task::spawn_blocking(move || shell.output()).await;
    let output = ran.unwrap().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(
        output.status.success(),
        "{title}: {command}\n{}\n{stdout}\n{stderr}\nwith {variables:?}",
        output.status
    );
    stdout
}

/// A section that nothing is prepared for fails the test: its commands would prove nothing.
async fn prepare(environment: &Environment, title: &str) -> Scene {
    let nothing = Scene::default();
    match title {
        "First look" => {
            let order = completed(environment).await;
            nothing
                .with("ORDER", &order)
                .showing(order)
                .showing("payment")
        }
        "transient" => {
            let id = failed(environment, "Payment", "transient", &charge()).await;
            let group = group_of(environment, &id).await;
            nothing
                .with("FAILURE", &id)
                .with("GROUP", &group)
                .showing(group)
                .resolving(&id)
                .showing(id)
        }
        "ambiguous" => {
            let order = completed(environment).await;
            // As the saga sent it: two mugs.
            let data = messages::charge(2500, "pm_card_visa");
            let again = messages::command(&order, "payment.charge", data);
            let id = failed(environment, "Payment", "ambiguous", &again).await;
            nothing
                .with("FAILURE", &id)
                .with("ORDER", order)
                .resolving(&id)
                .showing(id)
        }
        "poison" => {
            let mut broken = charge();
            broken["data"]["amount"] = json!("a lot");
            let id = poisoned(environment, &broken.to_string()).await;
            let other = poisoned(environment, "no message at all").await;
            nothing
                .with(
                    "PATCH",
                    r#"[{"op":"replace","path":"/data/amount","value":100}]"#,
                )
                .with("FAILURE", &id)
                .with("OTHER", other)
                .showing(id)
        }
        "unknown" => {
            let id = put(
                environment,
                environment.quarantine(),
                &charge().to_string(),
                None,
            )
            .await;
            nothing.with("FAILURE", &id).resolving(&id).showing(id)
        }
        "saga-dlq, payment-dlq, stock-dlq, shipping-dlq, audit-dlq, notify-dlq" => {
            let id = failed(environment, "Payment", "business", &charge()).await;
            let group = group_of(environment, &id).await;
            nothing.with("GROUP", &group).showing(group).showing(id)
        }
        "saga-delivery-dlq, payment-delivery-dlq, stock-delivery-dlq, shipping-delivery-dlq, audit-delivery-dlq, notify-delivery-dlq" =>
        {
            let queue = environment.output("NotifyDeliveryDlqUrl");
            let event =
                messages::command(&Uuid::new_v4().to_string(), "payment.charge", charge_data());
            let id = put(environment, queue, &event.to_string(), None).await;
            nothing
                .with("QUEUE_URL", environment.queue("Notify"))
                .showing(id)
                .showing("sns.amazonaws.com")
        }
        "An order needs attention" => {
            let order = stuck(environment).await;
            let scene = nothing.with("ORDER", &order).showing(&order);
            Scene {
                failed: Some(order),
                ..scene
            }
        }
        "circuit-control-failed, circuit-control-not-invoked" => {
            nothing.showing("payment: messages pass; its mapping is Enabled")
        }
        "order-sweep-failed, order-sweep-timed-out" | "outbox-relay-late, relay-failures" => {
            nothing.with("ORDER", completed(environment).await)
        }
        // What they show is there on every deployment.
        "business"
        | "circuit-open-too-long"
        | "A consumer is paused"
        | "saga-late, payment-late, stock-late, shipping-late, audit-late, notify-late"
        | "drain-failed"
        | "alarm-failures-dlq"
        | "order-saga-failed, order-saga-timed-out, order-saga-aborted, saga-rescue-failed, saga-rescue-timed-out, saga-rescue-dlq" => {
            nothing
        }
        _ => panic!("nothing is prepared for the runbook's section {title:?}"),
    }
}

fn charge_data() -> Value {
    messages::charge(100, "pm_card_visa")
}

/// A charge of an order that nobody else knows.
fn charge() -> Value {
    messages::command(&Uuid::new_v4().to_string(), "payment.charge", charge_data())
}

async fn completed(environment: &Environment) -> String {
    let sku = unique("MUG");
    environment
        .seed(&sku, waybill_tests::StockLevel::new(5, 0, 0))
        .await;
    let order = Order::of(&sku);
    environment.accept(&order).await;
    assert_eq!(environment.ended(&order.id()).await.status, "completed");
    order.id()
}

/// Paid and reserved; then the saga is stopped, and the order needs attention.
async fn stuck(environment: &Environment) -> String {
    let sku = unique("MUG");
    environment
        .seed(&sku, waybill_tests::StockLevel::new(5, 0, 0))
        .await;
    let order = Order::of(&sku).shipped_to("00001");
    let id = order.id();
    let mut tap = Tap::on_order(environment, &id).await;
    environment.accept(&order).await;
    tap.next("shipment.create").await;
    environment.stop_saga(&id).await;
    tap.next("order.needs-attention").await;
    tap.close().await;
    id
}

/// A message that a consumer gave up on, in the failure store. Gives its id.
async fn failed(environment: &Environment, consumer: &str, class: &str, body: &Value) -> String {
    let record = record(class, &consumer.to_lowercase());
    put(
        environment,
        environment.dlq(consumer),
        &body.to_string(),
        Some(&record),
    )
    .await
}

async fn poisoned(environment: &Environment, body: &str) -> String {
    let record = record("poison", "payment");
    put(environment, environment.quarantine(), body, Some(&record)).await
}

/// What a worker says of a failure, with an error that no other test has.
fn record(class: &str, consumer: &str) -> Value {
    json!({
        "errorClass": class, "errorName": unique("Runbook").replace('-', ""), "consumer": consumer,
        "cause": ["the test says so"], "attempts": 5, "bodySha256": "", "messageId": uuid::Uuid::new_v4().to_string(),
        "failedAt": "2026-11-21T17:56:15.859Z",
    })
}

/// Puts a message where dead letters are found, and waits until it is in the store.
async fn put(environment: &Environment, queue: &str, body: &str, record: Option<&Value>) -> String {
    let attribute = record.map(|record| {
        let value = MessageAttributeValue::builder().data_type("String");
        value.string_value(record.to_string()).build().unwrap()
    });
    let message = environment
        .sqs
        .send_message()
        .queue_url(queue)
        .message_body(body);
    let message = match attribute {
        Some(attribute) => message.message_attributes("failure", attribute),
        None => message,
    };
    let sent = message.send().await.unwrap().message_id.unwrap();
    // What a worker moved is named as the worker knew it.
    let known = record.and_then(|record| record["messageId"].as_str());
    let id = known.map_or(sent, str::to_owned);
    wait_until(
        &format!("{id} is in the failure store"),
        QUICKLY,
        async || {
            let drained = environment.waybill(&["failures", "drain"]).await;
            let shown = environment.waybill(&["failures", "show", &id]).await;
            (shown.code == 0)
                .then_some(())
                .ok_or(format!("{drained:?} {shown:?}"))
        },
    )
    .await;
    id
}

async fn show(environment: &Environment, failure: &str) -> Value {
    let shown = environment.waybill(&["failures", "show", failure]).await;
    assert_eq!(shown.code, 0, "{shown:?}");
    shown.json()["failures"][0].clone()
}

async fn group_of(environment: &Environment, failure: &str) -> String {
    let group = show(environment, failure).await["group"].clone();
    group.as_str().unwrap().to_owned()
}

async fn copy_of(environment: &Environment, failure: &str) -> String {
    let copy = show(environment, failure).await["editedAs"].clone();
    copy.as_str().unwrap().to_owned()
}

/// Removes a failure, or the failures of a group.
async fn forget(environment: &Environment, id: &str) {
    let one = failures::Query {
        ids: vec![failures::FailureId::new(id)],
        ..Default::default()
    };
    let group = failures::Query {
        group: Some(failures::GroupId::new(id)),
        ..Default::default()
    };
    let mut found = environment.failures(&one).await;
    found.extend(environment.failures(&group).await);
    for failure in found {
        let id = aws_sdk_dynamodb::types::AttributeValue::S(failure.id.to_string());
        let deleted = environment
            .dynamodb
            .delete_item()
            .table_name(environment.output("FailuresTableName"))
            .key("id", id)
            .send();
        deleted.await.unwrap();
    }
}

//! Mappings that somebody has meddled with, and consumers that somebody has paused.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use waybill_tests::{Environment, MappingView, wait_until};

/// The schedule comes every minute; the emulator looks for it every ten seconds.
const A_MINUTE_OR_SO: Duration = Duration::from_secs(90);

async fn until_state(environment: &Environment, consumer: &str, state: &str) {
    let what = format!("the mapping of {consumer} is {state}");
    wait_until(&what, A_MINUTE_OR_SO, async || {
        let mapping = environment.mapping(consumer).await;
        if mapping.state == state {
            Ok(())
        } else {
            Err(format!("{mapping:?}"))
        }
    })
    .await;
}

async fn change(environment: &Environment, consumer: &str, expression: &str) {
    let number = |number: u64| AttributeValue::N(number.to_string());
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let mut update = environment
        .dynamodb
        .update_item()
        .table_name(environment.output("CircuitsTableName"))
        .key("id", text(consumer))
        .update_expression(expression)
        .expression_attribute_values(":one", number(1))
        .expression_attribute_values(":wake", text("1"));
    if expression.contains(":open") {
        update = update
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":open", text("open"))
            .expression_attribute_values(":never", number(4_102_444_800_000));
    }
    if expression.contains(":at") {
        update = update
            .expression_attribute_values(":at", number(1_795_283_775_859))
            .expression_attribute_values(":who", text("a test"));
    }
    update.send().await.unwrap();
}

#[tokio::test]
async fn a_mapping_that_was_disabled_by_hand_is_enabled_by_the_schedule() {
    let _alone = super::alone().await;
    let environment = Environment::connect().await;
    let before = environment.mapping("Stock").await;
    assert_eq!(before.state, "Enabled");
    environment.disable_mapping("Stock").await;
    until_state(&environment, "Stock", "Enabled").await;
    assert_eq!(environment.mapping("Stock").await, before);
}

#[tokio::test]
async fn a_paused_consumer_is_held_back_until_it_is_resumed() {
    let _alone = super::alone().await;
    let environment = Environment::connect().await;
    let before = environment.mapping("Notify").await;
    let pause =
        "SET pausedAt = :at, pausedBy = :who, pausedWhy = :who, wake = :wake ADD version :one";
    change(&environment, "notify", pause).await;
    until_state(&environment, "Notify", "Disabled").await;

    environment.control_circuits().await;
    let held = MappingView {
        state: "Disabled".to_owned(),
        ..before.clone()
    };
    assert_eq!(environment.mapping("Notify").await, held);
    let reported = environment
        .log_lines("circuit-control", "CircuitOpenSeconds")
        .await;
    assert!(
        reported.iter().any(|line| line.contains("notify")),
        "{reported:?}"
    );

    let resume = "SET wake = :wake REMOVE pausedAt, pausedBy, pausedWhy ADD version :one";
    change(&environment, "notify", resume).await;
    until_state(&environment, "Notify", "Enabled").await;
    assert_eq!(environment.mapping("Notify").await, before);
}

/// No probe is due before the year 2100: for this circuit the controller is as good as dead.
#[tokio::test]
async fn an_open_circuit_that_nobody_closes_is_closed_by_force_and_lets_all_messages_pass() {
    let _alone = super::alone().await;
    let environment = Environment::connect().await;
    let before = environment.mapping("Stock").await;
    let open = "SET #state = :open, openedAt = :at, cause = :who, nextProbeAt = :never, \
                wake = :wake ADD version :one";
    change(&environment, "stock", open).await;
    until_state(&environment, "Stock", "Disabled").await;

    let resumed = environment.waybill(&["queues", "resume", "stock"]).await;
    assert_eq!(resumed.code, 0, "{resumed:?}");
    assert_eq!(environment.circuit("stock").await.state, "open");
    assert_eq!(environment.mapping("Stock").await.state, "Disabled");

    let forced = ["queues", "resume", "stock", "--force"];
    let forced = environment.waybill(&forced).await;
    assert_eq!(forced.code, 0, "{forced:?}");
    let shown = forced.json();
    assert_eq!(shown["circuit"]["state"], "closed", "{shown}");
    let by = shown["resumed"]["by"].as_str().unwrap_or_default();
    assert!(by.contains("arn:aws"), "who did it: {shown}");
    until_state(&environment, "Stock", "Enabled").await;
    assert_eq!(environment.mapping("Stock").await, before);
    let at_rest = "people know that the circuit is closed";
    wait_until(at_rest, A_MINUTE_OR_SO, async || {
        let circuit = environment.circuit("stock").await;
        let is_over = circuit.state == "closed" && !circuit.is_told;
        is_over.then_some(()).ok_or(format!("{circuit:?}"))
    })
    .await;
}

//! What a person does and looks at: executions, failures, orders that need attention.

use serde_json::{Value, json};
use waybill_tests::{Environment, Ran};

/// Sends whatever waits to its consumer again.
pub(crate) const REPLAY: [&str; 5] = ["failures", "replay", "--status", "waiting", "--yes"];

/// The names of the executions of a state machine that run; those of sagas are orders.
pub(crate) async fn running(environment: &Environment, machine: &str) -> Vec<String> {
    let mut body = json!({
        "stateMachineArn": environment.output(machine),
        "statusFilter": "RUNNING",
        "maxResults": 1000
    });
    let mut names = Vec::new();
    loop {
        let target = "AWSStepFunctions.ListExecutions";
        let answer = environment.json_call("states", target, &body).await;
        assert_eq!(answer.status, 200, "{machine}: {}", answer.text());
        let answer = answer.json();
        let executions = answer["executions"].as_array().cloned().unwrap_or_default();
        let own = executions.iter().filter_map(|it| it["name"].as_str());
        names.extend(own.map(str::to_owned));
        body["nextToken"] = answer["nextToken"].clone();
        if body["nextToken"].is_null() {
            return names;
        }
    }
}

/// Stops a saga; says whether it did, as the saga may have ended by itself a moment before.
pub(crate) async fn stop(environment: &Environment, order: &str) -> bool {
    let machine = environment.output("OrderSagaArn");
    let machine = machine.replace(":stateMachine:", ":execution:");
    let body = json!({ "executionArn": format!("{machine}:{order}") });
    let target = "AWSStepFunctions.StopExecution";
    let answer = environment.json_call("states", target, &body).await;
    let status = environment.saga_status(order).await;
    answer.status == 200 && status.as_deref() == Some("ABORTED")
}

/// Takes everything out of the dead-letter queues into the failure store.
pub(crate) async fn drain(environment: &Environment) -> Ran {
    environment.waybill(&["failures", "drain"]).await
}

/// Replays what waits, or what a replay that was killed has left behind.
pub(crate) async fn replay(environment: &Environment, which: &[&str]) -> Ran {
    let how = ["--canary", "0", "--rate", "50", "--timeout", "40"];
    let arguments = [which, &how, &["--why", "after it"]].concat();
    environment.waybill(&arguments).await
}

/// The replays that began.
#[derive(Debug)]
pub(crate) struct Replays {
    pub(crate) all: usize,
    /// Those that nobody brought to their end.
    pub(crate) unfinished: usize,
    /// The messages in all of them.
    pub(crate) messages: u64,
}

/// Counts the replays.
pub(crate) async fn replays(environment: &Environment) -> Replays {
    let all = ["failures", "replays", "--limit", "1000"];
    let listing = environment.waybill(&all).await.json();
    let all = listing["replays"].as_array().cloned().unwrap_or_default();
    Replays {
        all: all.len(),
        unfinished: all.iter().filter(|it| it["finishedAt"].is_null()).count(),
        messages: all.iter().filter_map(|it| it["planned"].as_u64()).sum(),
    }
}

/// The orders that need attention and that nobody is finishing.
pub(crate) async fn needing_attention(environment: &Environment) -> Vec<String> {
    let ran = environment
        .waybill(&["saga", "list", "--limit", "1000"])
        .await;
    let listing = ran.json();
    let orders = listing["orders"].as_array().cloned().unwrap_or_default();
    let waiting = orders.iter().filter(|it| it["recovery"].is_null());
    let ids = waiting.filter_map(|it| it["orderId"].as_str());
    ids.map(str::to_owned).collect()
}

/// Finishes an order that needs attention, and says how it stands then.
///
/// Where an undo was asked for before, a person has to choose: here they undo.
pub(crate) async fn resume(environment: &Environment, order: &str) -> Result<String, String> {
    let resume = [
        "saga",
        "resume",
        order,
        "--yes",
        "--why",
        "its saga was stopped",
    ];
    let mut ran = environment.waybill(&resume).await;
    if ran.code == 3 && ran.stderr.contains("say --undo or --complete") {
        let undo = [resume.as_slice(), &["--undo"]].concat();
        ran = environment.waybill(&undo).await;
    }
    match ran.code {
        0 => Ok(text(&ran.json()["status"])),
        _ => Err(format!("exit {}: {}", ran.code, ran.stderr.trim())),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

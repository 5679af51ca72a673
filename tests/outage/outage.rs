//! The payment provider serves nobody for longer than a message's receives last.

use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use waybill_tests::invariants::{Accounts, Asked};
use waybill_tests::{
    Call, Environment, MappingView, Order, QUICKLY, StockLevel, Tap, unique, wait_until,
};

/// A message is received five times, with waits of at most 1, 1, 2 and 4 seconds
/// in between (`BackoffBaseMillis=500`, whole seconds): 8 seconds after its first
/// receive it would be given up. The outage lasts more than twice as long. A charge
/// is waited for longer still (`StepTimeoutSeconds=45`), so no order has to fail.
const OUTAGE: &str = "20s";

/// So slow is each call afterwards that those which overlap can be seen.
const SLOWNESS: &str = "300ms";

/// More than the least concurrency takes at once: two batches of ten messages.
const ORDERS: usize = 40;
const RAMP_BEGINS_WITH: usize = 2 * 10;

/// Ten invocations at a time with ten messages each may have begun by then.
const MOST_BEFORE_THE_OPENING: usize = 10 * 10;

#[tokio::test]
async fn an_outage_gives_up_no_message_and_ends_in_steps() {
    let _alone = super::alone().await;
    let environment = Environment::connect().await;
    let sku = unique("MUG");
    let pieces = 2 * ORDERS;
    let level = StockLevel::new(i64::try_from(pieces).unwrap(), 0, 0);
    environment.seed(&sku, level).await;
    let full = environment.mapping("Payment").await;
    let mut people = Tap::on_notifications(&environment).await;
    let began = now();

    sandbox(&["payment", "--for", OUTAGE, "--slow", SLOWNESS]);
    let orders: Vec<_> = (0..ORDERS).map(|_| Order::of(&sku)).collect();
    for order in &orders {
        environment.accept(order).await;
    }

    let disabled_at = opened(&environment).await;
    while_open(&environment, &orders).await;
    let steps = until_closed(&environment, &full).await;

    for order in &orders {
        let view = environment.ended(&order.id()).await;
        assert_eq!(view.status, "completed", "{}", view.document);
        environment.dealt_with("Payment", &order.id()).await;
    }
    let calls = environment.calls("payment", began).await;
    check_outage(&calls, disabled_at);
    check_recovery(&calls, &steps);
    check_notices(&mut people).await;
    people.close().await;
    sandbox(&["payment", "--end"]);

    let asked = Asked {
        orders,
        stock: vec![(sku, i64::try_from(pieces).unwrap())],
        ..Asked::default()
    };
    Accounts::open(&environment, asked).await.check();
}

/// The command, as a person runs it.
fn sandbox(arguments: &[&str]) {
    let run = Command::new("waybill")
        .args(["sandbox", "outage"])
        .args(arguments)
        .output();
    let run = run.unwrap_or_else(|error| panic!("waybill is not on the PATH: {error}"));
    let stderr = String::from_utf8_lossy(&run.stderr);
    assert!(
        run.status.success(),
        "waybill sandbox outage {arguments:?}: {stderr}"
    );
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

/// Waits until messages are held back, and says since when at the latest.
async fn opened(environment: &Environment) -> u64 {
    wait_until(
        "the circuit is open and the mapping disabled",
        QUICKLY,
        async || {
            let circuit = environment.circuit("payment").await;
            let mapping = environment.mapping("Payment").await;
            match (circuit.state.as_str(), mapping.state.as_str()) {
                ("open", "Disabled") => Ok(now()),
                _ => Err(format!("{circuit:?}, {mapping:?}")),
            }
        },
    )
    .await
}

/// For as long as the circuit is open, nothing is given up, and the messages'
/// receives do not become more.
async fn while_open(environment: &Environment, orders: &[Order]) {
    let mut used_up: Vec<u64> = Vec::new();
    while environment.circuit("payment").await.state == "open" {
        let messages = environment.peek(environment.queue("Payment")).await;
        let mut dead = environment.peek(environment.dlq("Payment")).await;
        dead.retain(|message| {
            orders
                .iter()
                .any(|order| message.body.contains(&order.id()))
        });
        assert!(dead.is_empty(), "given up: {dead:?}");
        let mapping = environment.mapping("Payment").await;
        // A look at a moment when the circuit was no longer open says nothing.
        if environment.circuit("payment").await.state == "open" {
            assert_eq!(mapping.state, "Disabled");
            used_up.push(messages.iter().map(|message| message.receive_count).sum());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let first = used_up.first().copied().unwrap_or_default();
    // The message that is being probed has one more, till a copy takes its place.
    let most = used_up.iter().copied().max().unwrap_or_default();
    assert!(most <= first + 1, "receives are used up: {used_up:?}");
}

/// Follows the mapping until the circuit is closed, and gives its concurrencies.
async fn until_closed(environment: &Environment, full: &MappingView) -> Vec<u64> {
    let mut steps = Vec::new();
    wait_until("all messages pass again", QUICKLY, async || {
        let mapping = environment.mapping("Payment").await;
        let circuit = environment.circuit("payment").await;
        let is_new = steps.last() != Some(&mapping.concurrency);
        if mapping.state == "Enabled" && is_new {
            steps.push(mapping.concurrency);
        }
        if circuit.state == "closed" && mapping == *full && !circuit.is_told {
            Ok(())
        } else {
            Err(format!("{circuit:?}, {mapping:?}"))
        }
    })
    .await;
    steps
}

/// Once messages were held back, the provider was asked by single probes alone.
fn check_outage(calls: &[Call], disabled_at: u64) {
    let refused: Vec<_> = calls.iter().filter(|call| !call.served).collect();
    assert!(refused.len() >= 5, "there was an outage: {refused:?}");
    assert!(
        refused.len() <= MOST_BEFORE_THE_OPENING,
        "{} calls were refused",
        refused.len()
    );
    // What had been received before may have come a moment later.
    let probes = refused
        .iter()
        .filter(|call| call.started > disabled_at + 1000);
    let probes = probes.count();
    assert!((1..=5).contains(&probes), "{probes} probes: {refused:?}");
}

/// When the provider was back, it had no more to bear at a time than the ramp
/// allows: all messages that had waited came in its first step.
fn check_recovery(calls: &[Call], steps: &[u64]) {
    assert_eq!(steps, [2, 4, 8, 10], "the steps of the ramp");
    let served: Vec<_> = calls.iter().filter(|call| call.served).collect();
    assert!(served.len() >= ORDERS, "{} calls were served", served.len());
    let at_once = |moment: u64| {
        let under_way = |call: &&&Call| call.started <= moment && moment < call.ended;
        served.iter().filter(under_way).count()
    };
    let most = served.iter().map(|call| at_once(call.started)).max();
    let most = most.unwrap_or_default();
    assert!(most <= RAMP_BEGINS_WITH, "{most} calls at once");
    assert!(most > 1, "the calls did not overlap, so this shows nothing");
}

async fn check_notices(people: &mut Tap<'_>) {
    let of = |tap: &Tap<'_>, words: &str| {
        let notices = tap.notices();
        let about = notices
            .iter()
            .filter(|notice| notice.subject.contains("payment") && notice.subject.contains(words));
        about.count()
    };
    people
        .until("people know that it is over", QUICKLY, |tap| {
            of(tap, "closed again") > 0
        })
        .await;
    assert_eq!(of(people, "is open"), 1);
    assert_eq!(of(people, "closed again"), 1);
}

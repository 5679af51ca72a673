//! From the opening to the closing, and what people do in between.

use std::time::Duration;

use circuit::{Pause, Switch, Wanted};
use circuit_control::{Invocation, Watch};
use tokio::time::{sleep, timeout};

use crate::outside::{FULL, Outside, name};

/// A controller that looks every five seconds, until the circuit is closed.
async fn run_until_closed(outside: &Outside) {
    let controller = outside.controller();
    let done = async {
        while !outside.is_closed() {
            // What fails at one look is tried again at the next.
            let _ = controller.look_after_all().await;
            sleep(Duration::from_secs(5)).await;
        }
    };
    let hour = Duration::from_secs(3600);
    assert!(
        timeout(hour, done).await.is_ok(),
        "{:?}",
        outside.get().circuit
    );
}

#[tokio::test(start_paused = true)]
async fn an_opened_circuit_disables_the_mapping_at_once_and_has_somebody_watch() {
    let outside = Outside::new();
    outside.trip();
    outside.controller().hear().await.unwrap();
    assert_eq!(outside.get().mapping.switch, Switch::Disabled);
    assert_eq!(outside.get().wakes, 1);
}

#[tokio::test(start_paused = true)]
async fn the_traffic_returns_in_steps_once_a_probe_succeeds() {
    let outside = Outside::new();
    outside.send(40);
    outside.get().serves = false;
    outside.trip();
    let controller = outside.controller();
    while outside.get().probes_made < 3 {
        controller.look_after_all().await.unwrap();
        assert_eq!(outside.get().mapping.switch, Switch::Disabled);
        sleep(Duration::from_secs(5)).await;
    }
    outside.get().serves = true;
    run_until_closed(&outside).await;
    let steps = outside.get().mappings_set.clone();
    let expected = [
        Wanted::Disabled,
        Wanted::Enabled(2),
        Wanted::Enabled(4),
        Wanted::Enabled(8),
        Wanted::Enabled(FULL),
    ];
    assert_eq!(steps, expected);
    let happened = outside.get().happened.clone();
    let failed = ["ProbeFailed"; 3];
    let expected = [&failed[..], &["CircuitHalfOpen", "CircuitClosed"]].concat();
    assert_eq!(happened, expected);
}

#[tokio::test(start_paused = true)]
async fn failed_probes_use_up_no_receive_and_lose_no_message() {
    let outside = Outside::new();
    outside.send(3);
    outside.get().serves = false;
    outside.trip();
    let controller = outside.controller();
    for _ in 0..200 {
        controller.look_after_all().await.unwrap();
        sleep(Duration::from_secs(5)).await;
    }
    let state = outside.get();
    assert!(state.probes_made > 4, "{}", state.probes_made);
    let mut ids: Vec<_> = state.queue.iter().map(|queued| queued.id).collect();
    ids.sort_unstable();
    assert_eq!(ids, [0, 1, 2]);
    assert!(
        state.queue.iter().all(|queued| queued.receives == 0),
        "{:?}",
        state.queue
    );
}

#[tokio::test(start_paused = true)]
async fn people_are_told_of_the_opening_and_of_the_end_once_each() {
    let outside = Outside::new();
    outside.send(1);
    outside.trip();
    run_until_closed(&outside).await;
    let kinds: Vec<_> = outside.get().notices.iter().map(|it| it.kind).collect();
    assert_eq!(kinds, ["circuit-opened", "circuit-closed"]);
}

#[tokio::test(start_paused = true)]
async fn people_are_reminded_every_quarter_of_an_hour() {
    let outside = Outside::new();
    outside.send(1);
    outside.get().serves = false;
    outside.trip();
    let controller = outside.controller();
    for _ in 0..(50 * 12) {
        controller.look_after_all().await.unwrap();
        sleep(Duration::from_secs(5)).await;
    }
    let state = outside.get();
    let kinds: Vec<_> = state.notices.iter().map(|it| it.kind).collect();
    assert_eq!(kinds.len(), 4, "{kinds:?}");
    assert_eq!(kinds[0], "circuit-opened");
    assert!(kinds[1..].iter().all(|kind| *kind == "circuit-still-open"));
    assert!(
        state.notices[1].text.contains("15 minutes"),
        "{}",
        state.notices[1].text
    );
}

#[tokio::test(start_paused = true)]
async fn with_nothing_to_probe_with_the_traffic_is_let_in_slowly() {
    let outside = Outside::new();
    outside.trip();
    run_until_closed(&outside).await;
    let state = outside.get();
    assert_eq!(state.probes_made, 0);
    assert_eq!(state.mappings_set[1], Wanted::Enabled(2));
}

#[tokio::test(start_paused = true)]
async fn a_mapping_that_somebody_disabled_by_hand_is_enabled_again() {
    let outside = Outside::new();
    outside.get().mapping.switch = Switch::Disabled;
    outside.controller().look_after_all().await.unwrap();
    assert_eq!(outside.get().mapping.switch, Switch::Enabled);
}

#[tokio::test(start_paused = true)]
async fn a_mapping_whose_concurrency_was_changed_by_hand_gets_its_own_back() {
    let outside = Outside::new();
    outside.get().mapping.concurrency = Some(500);
    outside.controller().look_after_all().await.unwrap();
    assert_eq!(outside.get().mapping.concurrency, Some(FULL));
}

#[tokio::test(start_paused = true)]
async fn a_mapping_that_is_being_changed_is_left_alone_for_now() {
    let outside = Outside::new();
    outside.get().mapping.switch = Switch::Changing;
    outside.trip();
    outside.controller().hear().await.unwrap();
    assert_eq!(outside.get().mappings_set, []);
    outside.get().mapping.switch = Switch::Enabled;
    outside.controller().look_after_all().await.unwrap();
    assert_eq!(outside.get().mapping.switch, Switch::Disabled);
}

#[tokio::test(start_paused = true)]
async fn a_paused_consumer_is_left_alone_and_reported() {
    let outside = Outside::new();
    outside.send(1);
    outside.trip();
    outside.get().circuit.pause = Some(Pause {
        at: outside.now(),
        by: "ada".to_owned(),
        why: "maintenance".to_owned(),
    });
    let controller = outside.controller();
    let watch = Watch::every(Duration::from_secs(5));
    for _ in 0..30 {
        controller.watch(watch).await.unwrap();
        sleep(Duration::from_secs(5)).await;
    }
    {
        let state = outside.get();
        assert_eq!(state.mapping.switch, Switch::Disabled);
        assert_eq!(state.probes_made, 0);
        assert_eq!(name(&state.circuit.state), "open");
        assert!(state.hindered.last().is_some_and(|seconds| *seconds > 1500));
    }
    outside.get().circuit.pause = None;
    run_until_closed(&outside).await;
    assert_eq!(outside.get().mapping.switch, Switch::Enabled);
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_comes_while_the_mapping_is_being_enabled_leaves_it_disabled() {
    let outside = Outside::new();
    outside.get().mapping.switch = Switch::Disabled;
    outside.get().pause_before_set = Some(Pause {
        at: outside.now(),
        by: "ada".to_owned(),
        why: "maintenance".to_owned(),
    });
    outside.controller().look_after_all().await.unwrap();
    let state = outside.get();
    assert_eq!(
        state.mappings_set,
        [Wanted::Enabled(FULL), Wanted::Disabled]
    );
    assert_eq!(state.mapping.switch, Switch::Disabled);
}

#[tokio::test(start_paused = true)]
async fn with_all_circuits_closed_a_watch_ends_after_one_look() {
    let outside = Outside::new();
    let began = outside.now();
    let watch = Watch::every(Duration::from_secs(5));
    outside.controller().watch(watch).await.unwrap();
    assert_eq!(outside.now(), began);
    assert!(outside.get().hindered.is_empty());
    // One look for the report, one at the circuit, one at its mapping.
    assert_eq!(outside.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_watch_ends_before_the_next_one_begins() {
    let outside = Outside::new();
    outside.send(1);
    outside.get().serves = false;
    outside.trip();
    let began = outside.now();
    let watch = Watch::every(Duration::from_secs(5));
    outside.controller().watch(watch).await.unwrap();
    let took = outside.now().since(began);
    assert!(took <= Duration::from_secs(60), "{took:?}");
    assert!(took >= Duration::from_secs(45), "{took:?}");
}

#[test]
fn the_samples_are_what_the_function_is_invoked_with() {
    #[track_caller]
    fn check(sample: &str, is_news: bool) {
        let sample = testkit::fixtures::sample(&format!("circuit-control/{sample}"));
        let invocation: Invocation = serde_json::from_str(&sample).unwrap();
        assert_eq!(invocation.is_news(), is_news);
    }
    check("circuit-opened", true);
    check("schedule", false);
}

//! Controllers that are killed, requests that fail, and two controllers at once.

use std::time::Duration;

use circuit::{HalfOpen, Switch, Wanted};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use tokio::runtime::Builder;
use tokio::time::{sleep, timeout};

use crate::outside::{FULL, Fault, Outside, settings};

/// Looks every five seconds. An invocation that hangs is ended after a minute,
/// as Lambda would end it.
async fn look(outside: &Outside) {
    let controller = outside.controller();
    let _ = timeout(Duration::from_secs(60), controller.look_after_all()).await;
    sleep(Duration::from_secs(5)).await;
}

/// All is closed, everybody knows, and every message is where it should be.
fn check_recovered(outside: &Outside, messages: u32) -> Result<(), TestCaseError> {
    let state = outside.get();
    prop_assert!(state.circuit.is_at_rest(), "{:?}", state.circuit);
    prop_assert_eq!(state.mapping.switch, Switch::Enabled);
    prop_assert_eq!(state.mapping.concurrency, Some(FULL));
    prop_assert!(state.probes.1 <= 1, "{} probes at once", state.probes.1);
    for id in 0..messages {
        let waits = state.queue.iter().any(|queued| queued.id == id);
        prop_assert!(waits || state.processed.contains(&id), "{id} is lost");
    }
    Ok(())
}

fn in_time<T>(test: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(test)
}

fn any_fault() -> impl Strategy<Value = Fault> {
    proptest::sample::select(&Fault::ALL[..])
}

/// A recovery whose first probes find the outside party down.
async fn recover(outside: &Outside, failing_probes: u32) {
    outside.send(3);
    outside.get().serves = failing_probes == 0;
    outside.trip();
    let mut looks = 0;
    while !outside.is_closed() {
        looks += 1;
        assert!(looks < 500, "{:?}", outside.get());
        look(outside).await;
        if outside.get().probes_made >= failing_probes {
            outside.get().serves = true;
        }
    }
}

#[test]
fn whichever_call_fails_or_kills_the_controller_the_traffic_returns_and_nothing_is_lost() {
    for failing_probes in [0, 2] {
        // Enough for the last call of an undisturbed recovery.
        let calls = in_time(async {
            let outside = Outside::new();
            recover(&outside, failing_probes).await;
            outside.calls()
        });
        for call in 0..calls {
            for fault in Fault::ALL {
                in_time(async {
                    let outside = Outside::new();
                    outside.fail(call, fault);
                    recover(&outside, failing_probes).await;
                    look(&outside).await;
                    let checked = check_recovered(&outside, 3);
                    checked.unwrap_or_else(|error| panic!("{fault:?} at call {call}: {error}"));
                });
            }
        }
    }
}

#[test]
fn of_two_controllers_that_find_a_probe_due_at_once_one_makes_it() {
    in_time(async {
        let outside = Outside::new();
        outside.send(3);
        outside.get().serves = false;
        outside.trip();
        look(&outside).await;
        sleep(settings().probe_interval).await;
        let (first, second) = (outside.controller(), outside.controller());
        let (first, second) = tokio::join!(first.look_after_all(), second.look_after_all());
        first.unwrap();
        second.unwrap();
        assert_eq!(outside.get().probes_made, 1);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// From any state and any mapping, with any finite number of faults.
    #[test]
    fn with_a_healthy_party_the_mapping_is_always_enabled_in_full_again(
        faults in proptest::collection::vec((0usize..300, any_fault()), 0..40),
        messages in 0u32..4,
        concurrency in 2u32..20,
        is_half_open in any::<bool>(),
        mapping_is_enabled in any::<bool>(),
    ) {
        in_time(async {
            let outside = Outside::new();
            outside.send(messages);
            outside.trip();
            if is_half_open {
                let raise_at = outside.now();
                let half = HalfOpen { concurrency, raise_at };
                outside.get().circuit.state = circuit::State::HalfOpen(half);
            }
            if !mapping_is_enabled {
                outside.get().mapping.switch = Switch::Disabled;
            }
            for (call, fault) in faults {
                outside.fail(call, fault);
            }
            let mut looks = 0;
            while !outside.is_closed() {
                looks += 1;
                prop_assert!(looks < 1000, "{:?}", outside.get());
                look(&outside).await;
            }
            // A fault may have struck the last change of the mapping.
            while !outside.lets_all_through() {
                looks += 1;
                prop_assert!(looks < 1000, "{:?}", outside.get());
                look(&outside).await;
            }
            look(&outside).await;
            check_recovered(&outside, messages)
        })?;
    }

    /// However two controllers interleave, and whatever fails for them.
    #[test]
    fn two_controllers_at_once_probe_one_at_a_time_and_keep_to_the_ramp(
        offset in prop_oneof![Just(0), 0u64..5_000],
        faults in proptest::collection::vec((0usize..200, any_fault()), 0..10),
        fails_first in 0u32..4,
    ) {
        in_time(async {
            let outside = Outside::new();
            outside.send(5);
            outside.get().serves = fails_first == 0;
            outside.trip();
            for (call, fault) in faults {
                outside.fail(call, fault);
            }
            let watch = async || {
                let mut looks = 0;
                while !outside.is_closed() && looks < 1000 {
                    looks += 1;
                    look(&outside).await;
                    if outside.get().probes_made >= fails_first {
                        outside.get().serves = true;
                    }
                }
            };
            let second = async {
                sleep(Duration::from_millis(offset)).await;
                watch().await;
            };
            tokio::join!(watch(), second);
            look(&outside).await;
            look(&outside).await;
            check_recovered(&outside, 5)?;
            let set = outside.get().mappings_set.clone();
            let full = set.iter().position(|wanted| *wanted == Wanted::Enabled(FULL));
            for wanted in set.iter().take(full.unwrap_or(set.len())) {
                let allowed = [Wanted::Disabled, Wanted::Enabled(2), Wanted::Enabled(4), Wanted::Enabled(8)];
                prop_assert!(allowed.contains(wanted), "{wanted:?}");
            }
            Ok::<_, TestCaseError>(())
        })?;
    }
}

//! What happens to providers, sagas and operators.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::process::Command;
use tokio::time::{sleep, timeout};
use waybill_tests::Environment;

use crate::fault::Fault;
use crate::operations;
use crate::plan::Period;
use crate::run::Run;

/// How many sagas are stopped in each period.
const STOPS: u64 = 3;

/// The providers are down at their times.
pub(crate) async fn outages(run: &Run, environment: &Environment, fault: Fault, party: &str) {
    for period in run.plan.of(fault) {
        if !run.comes(period.from).await {
            return;
        }
        let lasts = (period.until - period.from).as_secs().max(5);
        let ran = environment
            .waybill(&["sandbox", "outage", party, "--for", &format!("{lasts}s")])
            .await;
        assert_eq!(ran.code, 0, "no outage of {party}: {ran:?}");
    }
}

/// Running sagas are stopped at their times.
pub(crate) async fn stops(run: &Run, environment: &Environment) {
    let mut rng = Rng::with_seed(run.plan.seed);
    for period in run.plan.of(Fault::SagaStopped) {
        let mut moments: Vec<_> = (0..STOPS).map(|_| within(period, &mut rng)).collect();
        moments.sort();
        for moment in moments {
            if !run.comes(moment).await {
                return;
            }
            let running = operations::running(environment, "OrderSagaArn").await;
            if running.is_empty() {
                continue;
            }
            let order = &running[rng.usize(0..running.len())];
            if operations::stop(environment, order).await {
                run.happened(Fault::SagaStopped);
            }
        }
    }
}

fn within(period: &Period, rng: &mut Rng) -> Duration {
    period.from + (period.until - period.from).mul_f64(rng.f64())
}

/// An operator who replays whatever waits, again and again, through the same network.
/// Two of them do it at once, and now and then one is killed.
pub(crate) async fn operator(run: &Arc<Run>, proxy: &str, number: u64) {
    let mut rng = Rng::with_seed(run.plan.seed + number);
    while !run.has_calmed() {
        sleep(Duration::from_secs(4).mul_f64(0.5 + rng.f64())).await;
        let mut child = replay(proxy);
        let is_to_die = run.is_on(Fault::OperatorKilled) && rng.bool();
        if !is_to_die {
            // What it came to does not matter: what is left is seen to when all is calm.
            child.wait().await.expect("a replay ends");
            continue;
        }
        let lives = Duration::from_millis(rng.u64(50..3_000));
        if timeout(lives, child.wait()).await.is_err() {
            child.kill().await.expect("the replay is killed");
            run.happened(Fault::OperatorKilled);
        }
    }
}

fn replay(proxy: &str) -> tokio::process::Child {
    Command::new("waybill")
        .args(operations::REPLAY)
        .args(["--canary", "1", "--rate", "20", "--timeout", "15"])
        .args(["--why", "in the middle of it"])
        .env("AWS_ENDPOINT_URL", proxy)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("waybill cannot be started ({error})"))
}

/// What the providers wrote down during their outages.
pub(crate) async fn count_outages(run: &Run, environment: &Environment) {
    let parties = [
        (Fault::PaymentDown, "payment"),
        (Fault::WarehouseDown, "warehouse"),
    ];
    for (fault, party) in parties {
        let calls = environment.calls(party, 0).await;
        for call in calls.iter().filter(|call| !call.served) {
            run.happened_at_millis(fault, call.started);
        }
    }
}

//! A subscriber of the bus that hears everything, and sends some of it to the consumers
//! again: at once, so that two deliveries meet, or late, so that the order is lost.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use futures_util::future::join_all;
use tokio::time::sleep;
use waybill_tests::{Captured, Environment, Tap};

use crate::fault::Fault;
use crate::run::Run;

/// Of a hundred messages.
const COPIED: u32 = 20;
const LATEST: Duration = Duration::from_secs(45);
const PAUSE: Duration = Duration::from_millis(300);

/// Listens until the run is over, and gives what it heard.
pub(crate) async fn hear(run: &Arc<Run>, environment: &'static Environment, tap: &mut Tap<'_>) {
    let mut rng = Rng::with_seed(run.plan.seed);
    let mut copies = Vec::new();
    let mut heard = 0;
    while !run.is_over() {
        let came = tap.receive().await;
        for captured in &tap.captured()[heard..] {
            let is_on = run.is_on(Fault::Copied);
            if is_on && rng.u32(0..100) < COPIED {
                let copy = copy(run.clone(), environment, captured.clone(), &mut rng);
                copies.push(tokio::spawn(copy));
            }
        }
        heard = tap.captured().len();
        if !came {
            sleep(PAUSE).await;
        }
    }
    for copy in join_all(copies).await {
        copy.expect("a copy was sent");
    }
}

/// A third of them at once; the others overtake each other.
fn copy(
    run: Arc<Run>,
    environment: &'static Environment,
    captured: Captured,
    rng: &mut Rng,
) -> impl Future<Output = ()> + use<> {
    let late = match rng.u32(0..3) {
        0 => Duration::ZERO,
        _ => LATEST.mul_f64(rng.f64()),
    };
    let consumers = consumers(&captured.name());
    let consumer = consumers[rng.usize(0..consumers.len())];
    let drawn = run.elapsed();
    async move {
        sleep(late).await;
        environment
            .put(environment.queue(consumer), &captured.body)
            .await;
        run.tally.add(Fault::Copied, drawn);
    }
}

/// Who subscribes to messages of a name.
fn consumers(name: &str) -> &'static [&'static str] {
    match name {
        "payment.charge" | "payment.refund" => &["Payment", "Payment", "Audit"],
        "stock.reserve" | "stock.release" => &["Stock", "Stock", "Audit"],
        "shipment.create" | "shipment.cancel" => &["Shipping", "Shipping", "Audit"],
        "order.placed" => &["Saga", "Saga", "Audit"],
        "order.completed" | "order.failed" | "order.needs-attention" => &["Notify", "Audit"],
        _ => &["Audit"],
    }
}

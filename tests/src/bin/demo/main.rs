//! A tour of the whole system: orders of every kind go through the deployed
//! pipeline, and the end shows what became of each and whether the promises held.
//!
//! `make demo` runs it in an environment of its own. It exits with 1 where an
//! order ends otherwise than it should, or an invariant does not hold.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "the panic hook turns a panic into the demo's own error message"
)]

mod output;
mod picture;
mod progress;
mod script;

use std::process::ExitCode;

use waybill_tests::invariants::{Accounts, Asked};
use waybill_tests::{CONSUMERS, Environment, QUICKLY, Tap, wait_until};

use output::Output;
use script::{Act, Script};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.payload();
        let text = text.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.payload().downcast_ref::<&str>().copied());
        output::complain(text.unwrap_or("something unexpected happened"));
    }));
    if Box::pin(show()).await {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Plays the script and draws the picture; says whether all is as it must be.
async fn show() -> bool {
    let environment = Environment::connect().await;
    let output = Output::new();
    picture::title(&output, &environment);
    let script = Script::write();
    script.seed(&environment).await;
    picture::shelf(&output, &script);

    let mut tap = Tap::on_bus(&environment, None).await;
    let answers = script.place(&environment).await;
    picture::answers(&output, &script, &answers);
    let views = progress::watch(&output, &environment, &script.acts).await;
    let extra_deliveries = deliver_again(&environment, &mut tap, &script.acts[0]).await;
    settle(&environment, &script.acts).await;
    tap.listen().await;
    let heard = tap.captured().to_vec();
    tap.close().await;

    let asked = Asked {
        orders: script.acts.iter().map(|act| act.order.clone()).collect(),
        stock: script.shelf.clone(),
        strays: script.strays(),
        extra_deliveries,
        heard,
    };
    let accounts = Accounts::open(&environment, asked).await;
    picture::paths(&output, &script.acts, &views);
    picture::ledger(&output, &script.acts, &accounts);
    picture::stock(&output, &environment, &script).await;
    picture::unprocessed(&output, &environment).await;
    let surprises = picture::surprises(&output, &script.acts, &views);
    let breaches = picture::invariants(&output, &accounts.invariants());
    picture::what_next(&output);
    answers.are_as_expected() && surprises == 0 && breaches == 0
}

/// Sends the commands of a completed order to their workers twice more.
async fn deliver_again(environment: &Environment, tap: &mut Tap<'_>, act: &Act) -> usize {
    let order = act.order.id();
    let commands = [
        ("payment.charge", "Payment"),
        ("stock.reserve", "Stock"),
        ("shipment.create", "Shipping"),
    ];
    tap.listen().await;
    for (name, consumer) in commands {
        let found = tap
            .captured()
            .iter()
            .find(|it| it.order() == order && it.name() == name);
        let body = &found
            .unwrap_or_else(|| panic!("{name} of order {order} was not heard"))
            .body;
        environment
            .put_together(environment.queue(consumer), &[body, body])
            .await;
    }
    for (_, consumer) in commands {
        environment.dealt_with(consumer, &order).await;
    }
    2 * commands.len()
}

/// Waits until the consumers behind the orders' end (audit, notices) are through as well.
async fn settle(environment: &Environment, acts: &[Act]) {
    for act in acts {
        let order = act.order.id();
        for consumer in CONSUMERS {
            environment.dealt_with(consumer, &order).await;
        }
        let events = environment.order(&order).await.events.len();
        wait_until(
            &format!("the events of order {order} are audited"),
            QUICKLY,
            async || {
                let trail = environment.audit(&order).await;
                let seen = trail
                    .iter()
                    .filter(|entry| entry.sequence.is_some())
                    .count();
                if seen == events {
                    Ok(())
                } else {
                    Err(format!("{seen} of {events}"))
                }
            },
        )
        .await;
    }
}

//! Layers of `tower` around a handler.

#![allow(
    clippy::unwrap_used,
    reason = "in a test, and in what helps it, a panic is the failure report"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use message_worker::memory::MemoryQueue;
use message_worker::tower::{BoxError, Layered};
use message_worker::{
    Classify, Config, Delivery, Description, Failure, Handler, RecordContext, Worker,
};
use tokio::time::{Instant, sleep};
use tower::ServiceBuilder;
use tower::timeout::error::Elapsed;

const INVOCATION: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Sleeper {
    running: AtomicUsize,
    most_running: AtomicUsize,
    poisoned: AtomicUsize,
}

impl Handler for Sleeper {
    type Message = Duration;
    type Output = ();
    type Error = Failure;

    fn decode(&self, delivery: &Delivery) -> Result<Duration, Failure> {
        let millis = delivery.body().parse();
        let not_a_time = |error| Failure::poison("NotATime").caused_by(error);
        millis.map(Duration::from_millis).map_err(not_a_time)
    }

    async fn handle(&self, time: Duration, _: &RecordContext) -> Result<(), Failure> {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_running.fetch_max(running, Ordering::SeqCst);
        sleep(time).await;
        self.running.fetch_sub(1, Ordering::SeqCst);
        (!time.is_zero())
            .then_some(())
            .ok_or_else(|| Failure::transient("NoTime"))
    }

    async fn poisoned(&self, _: &Delivery, _: &dyn Classify) {
        self.poisoned.fetch_add(1, Ordering::SeqCst);
    }

    fn describe(&self, delivery: &Delivery) -> Description {
        Description {
            correlation_id: Some(format!("c-{}", delivery.body())),
            ..Description::default()
        }
    }
}

fn queue(bodies: &[&str]) -> MemoryQueue {
    let queue = MemoryQueue::new(Duration::from_secs(180), 100);
    bodies.iter().for_each(|body| {
        queue.send(*body);
    });
    queue
}

#[tokio::test(start_paused = true)]
async fn a_concurrency_limit_is_shared_by_the_messages_of_a_batch() {
    let queue = queue(&["100"; 6]);
    let layers = ServiceBuilder::new().concurrency_limit(2);
    let handler = Layered::new(Sleeper::default(), layers);
    let worker = Worker::new(Config::new("sleeper"), queue.clone(), handler);
    let started = Instant::now();
    let response = worker.run(queue.receive(10), started + INVOCATION).await;
    assert!(response.unwrap().batch_item_failures.is_empty());
    let sleeper = worker.handler().handler();
    assert_eq!(sleeper.most_running.load(Ordering::SeqCst), 2);
    assert_eq!(started.elapsed(), Duration::from_millis(300));
}

/// What was parked, by body, with class, name and correlation id.
async fn given_up(bodies: &[&str], classify: Option<fn(BoxError) -> Failure>) -> Vec<[String; 4]> {
    let queue = queue(bodies);
    let layers = ServiceBuilder::new().timeout(Duration::from_secs(1));
    let mut handler = Layered::new(Sleeper::default(), layers);
    if let Some(classify) = classify {
        handler = handler.with_layer_errors(classify);
    }
    let worker = Worker::new(Config::new("sleeper"), queue.clone(), handler);
    let patience = Duration::from_secs(3600);
    queue.drive(&worker, INVOCATION, patience).await;
    let poisoned = &worker.handler().handler().poisoned;
    assert_eq!(poisoned.load(Ordering::SeqCst), queue.quarantined().len());
    let parked = queue.dead_letters().into_iter().chain(queue.quarantined());
    let mut parked: Vec<_> = parked
        .map(|parked| {
            let record = parked.record.unwrap();
            let correlation = record.correlation_id.unwrap();
            [
                parked.body,
                record.error_class,
                record.error_name,
                correlation,
            ]
        })
        .collect();
    parked.sort();
    parked
}

#[tokio::test(start_paused = true)]
async fn the_handlers_own_errors_come_through_the_layers_with_class_and_name() {
    let parked = given_up(&["0", "1", "soon"], None).await;
    let expected = [
        ["0", "transient", "NoTime", "c-0"],
        ["soon", "poison", "NotATime", "c-soon"],
    ];
    assert_eq!(parked, expected.map(|fields| fields.map(str::to_owned)));
}

#[tokio::test(start_paused = true)]
async fn what_a_layer_cuts_off_is_ambiguous_unless_told_otherwise() {
    let parked = given_up(&["5000"], None).await;
    let expected = ["5000", "ambiguous", "LayerFailed", "c-5000"];
    assert_eq!(parked, [expected.map(str::to_owned)]);

    fn classify(error: BoxError) -> Failure {
        assert!(error.is::<Elapsed>(), "{error:?}");
        Failure::transient("TooSlow").caused_by(error)
    }
    let parked = given_up(&["5000"], Some(classify)).await;
    let expected = ["5000", "transient", "TooSlow", "c-5000"];
    assert_eq!(parked, [expected.map(str::to_owned)]);
}

#[tokio::test(start_paused = true)]
async fn a_layer_reads_the_message_and_its_delivery() {
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&seen);
    let layers = tower::layer::layer_fn(move |service| Counting {
        service,
        seen: Arc::clone(&counter),
    });
    let queue = queue(&["7", "8"]);
    let handler = Layered::new(Sleeper::default(), layers);
    let worker = Worker::new(Config::new("sleeper"), queue.clone(), handler);
    let deadline = Instant::now() + INVOCATION;
    worker.run(queue.receive(10), deadline).await.unwrap();
    assert_eq!(seen.load(Ordering::SeqCst), 15 + 2);
}

/// Adds up the milliseconds and the attempts.
#[derive(Clone)]
struct Counting<S> {
    service: S,
    seen: Arc<AtomicUsize>,
}

type Request = message_worker::tower::Request<Duration>;

impl<S: tower::Service<Request>> tower::Service<Request> for Counting<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(
        &mut self,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> S::Future {
        let attempt = request.context.attempt() as usize;
        let millis = usize::try_from(request.message.as_millis()).unwrap();
        self.seen.fetch_add(millis + attempt, Ordering::SeqCst);
        self.service.call(request)
    }
}

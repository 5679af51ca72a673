//! One run, from its seed to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use domain::{OrderId, OrderStatus, Step};
use fastrand::Rng;
use tokio::time::sleep;

use crate::checks::ONE_END;
use crate::mishaps::Mix;
use crate::sim::{Sim, Violation};
use crate::story::Story;
use crate::{customers, functions, operators};

/// Everything must be at rest so long after the last mishap. An undo may wait for a day,
/// and there are three of them.
const REST_WITHIN: Duration = Duration::from_secs(5 * 24 * 3600);

/// How often it is looked whether everything is at rest.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// How often the sweep starts sagas that are missing, and how old an order is by then.
const SWEEP_EVERY: Duration = Duration::from_secs(900);

/// What a run is made of beside its seed.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// So many orders; drawn where it is not said.
    pub orders: Option<usize>,
}

/// What became of a run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// The invariant that did not hold.
    pub violation: Option<Violation>,
    /// The same for two runs in which the same happened.
    pub digest: String,
    /// How many orders were accepted.
    pub orders: usize,
    /// How long it was, in simulated time.
    pub lasted: Duration,
    /// How often each thing happened.
    pub counts: BTreeMap<String, u64>,
}

/// Runs a seed.
pub fn run(seed: u64, settings: &Settings) -> Outcome {
    simulate(seed, settings, false, |_| ()).0
}

/// Runs a seed again and tells the story of an order, or of everything.
pub fn trace(seed: u64, settings: &Settings, order: Option<&str>) -> (Outcome, String) {
    simulate(seed, settings, true, |sim| tell(sim, seed, order))
}

fn simulate<T>(
    seed: u64,
    settings: &Settings,
    is_kept: bool,
    told: impl FnOnce(&Sim) -> T,
) -> (Outcome, T) {
    in_simulated_time(async || {
        let mut random = Rng::with_seed(seed);
        let mix = Mix::draw(&mut random, settings.orders);
        let sim = Sim::new(random, mix, Story::new(is_kept));
        until_violated(&sim, whole(&sim)).await;
        let told = told(&sim);
        let (orders, lasted) = (sim.world().orders().len(), sim.elapsed());
        let violation = sim.violation();
        let state = sim.state();
        let outcome = Outcome {
            seed,
            violation,
            digest: state.story.digest(),
            orders,
            lasted: Duration::from_millis(lasted),
            counts: state.story.counts().clone(),
        };
        (outcome, told)
    })
}

/// Time passes only where nothing else can happen.
#[allow(
    clippy::expect_used,
    reason = "a simulation without a runtime simulates nothing"
)]
pub(crate) fn in_simulated_time<T>(work: impl AsyncFnOnce() -> T) -> T {
    message_worker::emf::silence();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O can be built");
    tokio::task::LocalSet::new().block_on(&runtime, work())
}

pub(crate) async fn until_violated(sim: &Sim, work: impl Future<Output = ()>) {
    tokio::select! {
        biased;
        () = sim.violated() => {}
        () = work => {}
    }
}

/// First things go wrong; then nothing does any more, and everything must come to rest.
async fn whole(sim: &Sim) {
    functions::deploy(sim);
    customers::open(sim);
    sim.spawn(operators::work(sim.clone()));
    sim.spawn(outages(sim.clone()));
    sim.spawn(sweep(sim.clone()));
    let stormy_for = sim.state().mix.stormy_for;
    sleep(stormy_for).await;
    sim.state().is_calm = true;
    sim.tell("weather", format_args!("calm from now on"));
    sim.spawn(operators::finish(sim.clone()));
    let deadline = sim.elapsed() + u64::try_from(REST_WITHIN.as_millis()).unwrap_or(u64::MAX);
    loop {
        sleep(LOOK_EVERY).await;
        let hangs = hangs(sim);
        if hangs.is_empty() {
            break;
        }
        if sim.elapsed() > deadline {
            let order = unfinished(sim)
                .first()
                .copied()
                .or_else(|| order_of_open(sim));
            let (invariant, seen) = ("everything comes to rest".to_owned(), hangs.join("; "));
            return sim.violate(Violation {
                invariant,
                order,
                seen,
            });
        }
    }
    let found = sim.state().checks.at_rest(sim.world());
    found
        .into_iter()
        .for_each(|violation| sim.violate(violation));
    count_ends(sim);
}

/// What is not at rest.
fn hangs(sim: &Sim) -> Vec<String> {
    let mut hangs = Vec::new();
    if sim.elapsed() < 900_000 {
        hangs.push("customers may still come".to_owned());
    }
    for order in unfinished(sim) {
        hangs.push(format!("order {order} is {:?}", sim.world().status(order)));
    }
    let state = sim.state();
    hangs.extend(
        state
            .machines
            .running()
            .into_iter()
            .map(|it| format!("{it} runs")),
    );
    let depths = state.queues.depths();
    hangs.extend(
        depths
            .iter()
            .map(|(queue, depth)| format!("{queue} has {depth} messages")),
    );
    let now = sim.now();
    let circuits = crate::circuits::GUARDED.into_iter();
    hangs.extend(circuits.filter_map(|consumer| state.circuits.hindrance(consumer, now)));
    let failures = sim.world().failures();
    let open = failures.iter().filter(|failure| failure.status.is_open());
    hangs.extend(open.map(|failure| {
        format!(
            "failure {} ({}) is {}",
            failure.id, failure.trouble.name, failure.status
        )
    }));
    hangs
}

/// The order of a failure that is open.
fn order_of_open(sim: &Sim) -> Option<OrderId> {
    let failures = sim.world().failures();
    let mut open = failures.iter().filter(|failure| failure.status.is_open());
    open.find_map(|failure| failure.order_id.as_deref()?.parse().ok())
}

/// The orders that have no end, or not their last.
fn unfinished(sim: &Sim) -> Vec<OrderId> {
    let world = sim.world();
    let mut orders = world.orders();
    orders.retain(|order| {
        let status = world.status(*order);
        if status == Some(OrderStatus::NeedsAttention)
            && !sim.state().machines.may_need_attention(*order)
        {
            let seen =
                "it needs attention though no undo failed and its saga did not die".to_owned();
            let invariant = ONE_END.to_owned();
            sim.violate(Violation {
                invariant,
                order: Some(*order),
                seen,
            });
        }
        !matches!(status, Some(OrderStatus::Completed | OrderStatus::Failed))
    });
    orders
}

fn count_ends(sim: &Sim) {
    for order in sim.world().orders() {
        let events = sim.world().events(order);
        let ends: Vec<_> = events.iter().filter_map(|it| domain::evolve(*it)).collect();
        let ends: Vec<_> = ends
            .iter()
            .filter(|it| it.is_final())
            .map(|it| it.as_str())
            .collect();
        sim.count(format!("order ends: {}", ends.join(", then ")));
    }
}

/// An outside party is down, now and then.
async fn outages(sim: Sim) {
    // The first one while most orders come.
    let mut longest = Duration::from_secs(300);
    while !sim.is_calm() {
        sleep(sim.up_to(longest)).await;
        longest = Duration::from_secs(1200);
        if sim.draw(crate::Mishap::Outage) {
            let party = match sim.state().random.bool() {
                true => "payment provider",
                false => "warehouse",
            };
            let until = sim.now().plus(sim.up_to(Duration::from_secs(900)));
            sim.state().down_until.insert(party, until);
            sim.tell("weather", format_args!("the {party} is down"));
        }
    }
    sim.state().down_until.clear();
}

/// Stands in for the state machine `order-sweep`: starts the saga of an order that has
/// been accepted for a while and has none.
async fn sweep(sim: Sim) {
    loop {
        sleep(SWEEP_EVERY).await;
        for order in sim.world().orders() {
            if sim.world().status(order) == Some(OrderStatus::Accepted) {
                let started = start_again(&sim, order);
                sim.count(format!("sweep: {started}"));
            }
        }
    }
}

#[allow(
    clippy::expect_used,
    reason = "the order was stored with the event that it was placed"
)]
fn start_again(sim: &Sim, order: OrderId) -> &'static str {
    let timeline = sim.world().timeline(order);
    let message = contracts::EventMessage::parse(&timeline[0].json).expect("an event");
    let placed = message.placed_order().expect("the first event");
    let envelope = message.envelope;
    let correlation = envelope.correlation.as_str();
    let trace = envelope.trace.as_ref();
    let input = contracts::saga::input(order, &placed, correlation, &envelope.id, trace);
    match crate::machines::start_saga(sim, order, &input) {
        ports::SagaStart::Started => "a missing saga is started",
        ports::SagaStart::AlreadyExists => "the saga is there",
    }
}

/// The story of a run as a person reads it.
fn tell(sim: &Sim, seed: u64, order: Option<&str>) -> String {
    let violation = sim.violation();
    let concerned = violation
        .as_ref()
        .and_then(|it| it.order)
        .map(|it| it.to_string());
    let order = order.map(str::to_owned).or(concerned);
    let names: BTreeSet<String> = order
        .iter()
        .flat_map(|order| {
            let ids = sim.state().queues.ids_about(order);
            ids.into_iter().map(|id| format!("{id} ")).chain([
                order.clone(),
                "weather".to_owned(),
                "CHECK".to_owned(),
            ])
        })
        .collect();
    let mut told = vec![
        format!("seed {seed}: {}", sim.state().mix.told()),
        String::new(),
    ];
    told.extend(sim.state().story.lines_about(&names));
    if let Some(id) = order.as_ref().and_then(|it| it.parse().ok()) {
        told.push(String::new());
        told.extend(records(sim, id));
    }
    if let Some(violation) = violation {
        told.push(String::new());
        told.push(format!("VIOLATED: {}", violation.invariant));
        told.push(format!("seen:     {}", violation.seen));
        let order = order.map(|order| format!(" {order}")).unwrap_or_default();
        told.push(format!(
            "again:    cargo run --package simulation -- --seed {seed} --trace{order}"
        ));
    }
    told.join("\n")
}

/// What the tables and the outside parties say of an order in the end.
fn records(sim: &Sim, order: OrderId) -> Vec<String> {
    let world = sim.world();
    let mut told = vec![
        format!(
            "order:    {:?} {:?}",
            world.status(order),
            world.reason(order).map(|it| it.code)
        ),
        format!("timeline: {:?}", world.events(order)),
        format!("outside:  {:?}", world.effects(order)),
    ];
    for step in [Step::Charge, Step::Reserve, Step::Ship] {
        use crate::told::Told;
        let record = world.record(&format!("{order}/{step}"));
        told.push(format!("record:   {step}: {}", record.told()));
    }
    let failures = world.failures().into_iter();
    let own = failures.filter(|it| it.order_id.as_deref() == Some(order.to_string().as_str()));
    told.extend(own.map(|it| {
        let history: Vec<_> = it
            .history
            .iter()
            .map(|entry| entry.action.as_str())
            .collect();
        format!(
            "failure:  {} of {} ({}): {}; {}",
            it.id,
            it.consumer,
            it.trouble.name,
            it.status,
            history.join(", ")
        )
    }));
    told
}

//! What the seed decides: the orders, who sends them when and how patiently, and
//! when which fault is on.

use std::time::Duration;

use fastrand::Rng;
use serde_json::json;
use waybill_tests::Order;

use crate::fault::{FAULTS, Fault};

/// An order, and how its client behaves.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    pub(crate) order: Order,
    /// When it is sent first, from the beginning on.
    pub(crate) at: Duration,
    /// Whether the client gives up when its request is not answered.
    pub(crate) gives_up: bool,
    /// What it sends after it has been answered.
    pub(crate) then: Then,
}

/// What a client sends when it has been answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    Nothing,
    /// The same again.
    Same,
    /// The same key with another content.
    Other,
}

/// A fault is on from one moment to another.
#[derive(Debug, Clone)]
pub(crate) struct Period {
    pub(crate) fault: Fault,
    pub(crate) from: Duration,
    pub(crate) until: Duration,
}

/// Everything that is decided before it begins.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// For how long at least; a slow machine needs longer to take all orders.
    pub(crate) length: Duration,
    pub(crate) stock: Vec<(String, i64)>,
    pub(crate) orders: Vec<Planned>,
    pub(crate) periods: Vec<Period>,
}

/// Articles of which there is enough, and those of which there is not.
const COMMON: u64 = 5;
const SCARCE: u64 = 2;

/// A fault comes back about so often, for as long as orders are sent.
const EVERY: Duration = Duration::from_secs(120);
const LONGEST: Duration = Duration::from_secs(3600);

/// How each hundred orders are paid and where they go. The rest is plain.
const KINDS: [(u64, Kind); 10] = [
    (5, Kind::PaidBy("pm_card_chargeDeclined")),
    (3, Kind::PaidBy("pm_card_chargeDeclinedInsufficientFunds")),
    (5, Kind::PaidBy("sandbox_flaky_1")),
    (4, Kind::PaidBy("sandbox_flaky_3")),
    (3, Kind::PaidBy("sandbox_flaky_6")),
    (6, Kind::PaidBy("sandbox_ambiguous")),
    (2, Kind::PaidBy("sandbox_unavailable")),
    (4, Kind::ShippedTo("00000")),
    (2, Kind::ShippedTo("00001")),
    (7, Kind::Scarce),
];

#[derive(Debug, Clone, Copy)]
enum Kind {
    PaidBy(&'static str),
    ShippedTo(&'static str),
    Scarce,
    Plain,
}

impl Plan {
    pub(crate) fn draw(seed: u64, orders: usize, length: Duration) -> Self {
        let mut rng = Rng::with_seed(seed);
        let periods = periods(&mut rng, length);
        let orders: Vec<_> = (0..orders)
            .map(|number| {
                let share = number as f64 / orders as f64;
                planned(&mut rng, seed, number, length.mul_f64(share))
            })
            .collect();
        Self {
            seed,
            length,
            stock: stock(seed, orders.len()),
            orders,
            periods,
        }
    }

    /// When a fault is on.
    pub(crate) fn of(&self, fault: Fault) -> impl Iterator<Item = &Period> {
        self.periods.iter().filter(move |it| it.fault == fault)
    }
}

fn article(seed: u64, name: &str, number: u64) -> String {
    format!("{name}-{number}-{seed}")
}

/// Of what is scarce there is about half of what is wanted.
fn stock(seed: u64, orders: usize) -> Vec<(String, i64)> {
    let enough = i64::try_from(orders * 10).unwrap_or(i64::MAX);
    let too_little = (enough / 250).max(1);
    let common = (0..COMMON).map(|number| (article(seed, "MUG", number), enough));
    let scarce = (0..SCARCE).map(|number| (article(seed, "LAMP", number), too_little));
    common.chain(scarce).collect()
}

fn planned(rng: &mut Rng, seed: u64, number: usize, at: Duration) -> Planned {
    let kind = kind(rng);
    let sku = match kind {
        Kind::Scarce => article(seed, "LAMP", rng.u64(0..SCARCE)),
        _ => article(seed, "MUG", rng.u64(0..COMMON)),
    };
    let mut order = Order::of(&sku).pieces(rng.u64(1..=3));
    order.key = format!("chaos-{seed}-{number}");
    order.body["customerId"] = json!(format!("customer-{seed}-{number}"));
    order = match kind {
        Kind::PaidBy(method) => order.paid_by(method),
        Kind::ShippedTo(postal_code) => order.shipped_to(postal_code),
        Kind::Scarce | Kind::Plain => order,
    };
    if rng.u64(0..100) < 20 {
        order = order.and(&article(seed, "MUG", COMMON - 1), 1, 990);
    }
    let then = match rng.u64(0..100) {
        0..10 => Then::Same,
        10..20 => Then::Other,
        _ => Then::Nothing,
    };
    Planned {
        order,
        at,
        gives_up: rng.u64(0..100) < 10,
        then,
    }
}

fn kind(rng: &mut Rng) -> Kind {
    let mut drawn = rng.u64(0..100);
    for (share, kind) in KINDS {
        if drawn < share {
            return kind;
        }
        drawn -= share;
    }
    Kind::Plain
}

/// Each fault has its turns, each somewhere in a stretch of its own.
fn periods(rng: &mut Rng, length: Duration) -> Vec<Period> {
    let stretch = length.min(EVERY);
    let mut periods = Vec::new();
    let mut begins = Duration::ZERO;
    while begins < length.max(LONGEST) {
        for fault in FAULTS {
            let lasts = stretch.mul_f64(fault.share());
            let from = begins + (stretch - lasts).mul_f64(rng.f64());
            periods.push(Period {
                fault,
                from,
                until: from + lasts,
            });
        }
        begins += stretch;
    }
    periods
}

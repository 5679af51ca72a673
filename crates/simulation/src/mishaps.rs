//! What goes wrong in a run, and how often: each seed draws its own mix.

use std::time::Duration;

use fastrand::Rng;

/// Everything that can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mishap {
    /// A call of a port fails and has no effect.
    ErrorBefore,
    /// A call of a port has its effect, and its answer is lost.
    ErrorAfter,
    /// A call of a port has no effect and gets no answer.
    SilenceBefore,
    /// A call of a port has its effect and gets no answer.
    SilenceAfter,
    /// A call takes up to forty seconds, longer than a lease and than an invocation.
    Delay,
    /// The effect arrives up to a minute after the caller has got an error or has died.
    LateEffect,
    /// The execution environment is lost before a call.
    KilledBefore,
    /// The execution environment is lost after a call.
    KilledAfter,
    /// The clock of an environment is wrong by up to a minute.
    WrongClock,
    /// A message is there twice.
    Duplicate,
    /// A message arrives up to ten minutes late.
    LateMessage,
    /// A message becomes visible again while it is worked on.
    VisibilityLost,
    /// The bus cannot hand a message to a queue.
    NotDelivered,
    /// The bus takes a part of a batch only.
    PartlyPublished,
    /// The stream gives out a batch again that was processed.
    StreamRepeated,
    /// A step's time limit passes early.
    EarlyTimeLimit,
    /// A call that a state machine makes fails, before or after its effect.
    MachineCallFails,
    /// A saga is stopped in the middle.
    SagaStopped,
    /// An outside party is down for minutes.
    Outage,
    /// Something that is no message of ours is in a queue.
    Garbage,
}

impl Mishap {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::ErrorBefore,
        Self::ErrorAfter,
        Self::SilenceBefore,
        Self::SilenceAfter,
        Self::Delay,
        Self::LateEffect,
        Self::KilledBefore,
        Self::KilledAfter,
        Self::WrongClock,
        Self::Duplicate,
        Self::LateMessage,
        Self::VisibilityLost,
        Self::NotDelivered,
        Self::PartlyPublished,
        Self::StreamRepeated,
        Self::EarlyTimeLimit,
        Self::MachineCallFails,
        Self::SagaStopped,
        Self::Outage,
        Self::Garbage,
    ];

    /// What can go wrong at a call of a port.
    pub(crate) const AT_CALLS: [Self; 8] = [
        Self::ErrorBefore,
        Self::ErrorAfter,
        Self::SilenceBefore,
        Self::SilenceAfter,
        Self::Delay,
        Self::LateEffect,
        Self::KilledBefore,
        Self::KilledAfter,
    ];

    /// A call happens hundreds of times in an order's life, the others a few times.
    fn highest_rate(self) -> f64 {
        match self {
            call if Self::AT_CALLS.contains(&call) => 0.06,
            Self::StreamRepeated | Self::PartlyPublished => 0.3,
            Self::WrongClock => 0.5,
            Self::Outage => 1.0,
            _ => 0.25,
        }
    }
}

/// How many orders of what kind, and what goes wrong how often.
#[derive(Debug, Clone)]
pub(crate) struct Mix {
    rates: [f64; Mishap::ALL.len()],
    /// How many customers' orders there are.
    pub(crate) orders: usize,
    /// How long things go wrong.
    pub(crate) stormy_for: Duration,
    /// How many pieces of each article there are.
    pub(crate) pieces: u64,
    /// How likely an order is one that the sandbox treats in a special way.
    pub(crate) special: f64,
    /// How often operators do something.
    pub(crate) operators_every: Duration,
}

impl Mix {
    /// What makes two workers meet over one message.
    const DUEL: [Mishap; 4] = [
        Mishap::Delay,
        Mishap::Duplicate,
        Mishap::VisibilityLost,
        Mishap::WrongClock,
    ];

    /// A few seeds are calm, a few have one kind of mishap alone and that often, a few let
    /// slow workers meet over the same message; the others have about half of the kinds,
    /// each at a rate of its own.
    pub(crate) fn draw(random: &mut Rng, orders: Option<usize>) -> Self {
        let mut rates = [0.0; Mishap::ALL.len()];
        let style = random.u8(0..10);
        let only = random.usize(0..rates.len());
        for (index, rate) in rates.iter_mut().enumerate() {
            let highest = Mishap::ALL[index].highest_rate();
            let is_on = match style {
                0 => false,
                1 | 2 => index == only,
                3 => Self::DUEL.contains(&Mishap::ALL[index]),
                _ => random.bool(),
            };
            // Over two decades, all of them alike.
            let drawn = highest * 100_f64.powf(-random.f64());
            *rate = match (is_on, style) {
                (false, _) => 0.0,
                (true, 1..=3) => highest,
                (true, _) => drawn,
            };
        }
        let drawn = random.usize(5..=24);
        let scarce = random.u8(0..3) == 0;
        Self {
            rates,
            orders: orders.unwrap_or(drawn),
            stormy_for: Duration::from_secs(random.u64(600..7200)),
            pieces: if scarce { random.u64(1..8) } else { 1000 },
            special: random.f64() * 0.6,
            operators_every: Duration::from_secs(random.u64(60..900)),
        }
    }

    /// One order, and nothing goes wrong but these mishaps, which always happen.
    pub(crate) fn one_order(always: &[Mishap]) -> Self {
        Self {
            rates: Mishap::ALL.map(|it| if always.contains(&it) { 1.0 } else { 0.0 }),
            orders: 1,
            stormy_for: Duration::ZERO,
            pieces: 1000,
            special: 0.0,
            operators_every: Duration::MAX,
        }
    }

    /// How likely a mishap is, each time that it can happen.
    pub(crate) fn rate(&self, mishap: Mishap) -> f64 {
        self.rates[mishap as usize]
    }

    /// In words, the most likely first.
    pub(crate) fn told(&self) -> String {
        let mut told: Vec<_> = Mishap::ALL
            .into_iter()
            .filter(|mishap| self.rate(*mishap) > 0.0)
            .map(|mishap| (self.rate(mishap), mishap))
            .collect();
        told.sort_by(|one, other| other.0.total_cmp(&one.0));
        let told: Vec<_> = told
            .iter()
            .map(|(rate, mishap)| format!("{mishap:?} {:.1} %", rate * 100.0))
            .collect();
        match told.is_empty() {
            true => "nothing goes wrong".to_owned(),
            false => told.join(", "),
        }
    }
}

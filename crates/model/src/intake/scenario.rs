//! What is explored.

/// A starting point, and what may go wrong from there.
#[derive(Debug, Clone)]
pub struct Requests {
    /// For people.
    pub name: &'static str,
    /// Which of two orders each client wants, all under one key.
    pub orders: &'static [u8],
    /// How often each thing may go wrong.
    pub mishaps: Mishaps,
    /// What is broken on purpose.
    pub sabotage: Option<Sabotage>,
}

/// How often each thing may go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Mishaps {
    /// An invocation dies between two calls.
    pub crashes: u8,
    /// A call, or a client, gets no answer.
    pub lost_answers: u8,
    /// A client sends its request again though it need not.
    pub repeats: u8,
    /// The order goes on between two requests.
    pub advances: u8,
}

/// What is broken on purpose, to see that the model notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// An order is stored over whatever is there.
    Unconditional,
    /// An order is stored without its first event.
    NoOutbox,
    /// The fingerprint of an order is not kept.
    NoFingerprint,
    /// A stored order expires.
    Expires,
}

impl Requests {
    /// The same with something broken.
    #[must_use]
    pub fn broken(self, sabotage: Sabotage) -> Self {
        let sabotage = Some(sabotage);
        Self { sabotage, ..self }
    }
}

const fn requests(name: &'static str, orders: &'static [u8], mishaps: Mishaps) -> Requests {
    Requests {
        name,
        orders,
        mishaps,
        sabotage: None,
    }
}

const NONE: Mishaps = Mishaps {
    crashes: 0,
    lost_answers: 0,
    repeats: 0,
    advances: 0,
};

/// Explored in each run of the tests: seconds.
pub fn quick() -> Vec<Requests> {
    let some = Mishaps {
        crashes: 1,
        lost_answers: 2,
        repeats: 1,
        advances: 1,
    };
    vec![
        requests(
            "the same order, repeated",
            &[0],
            Mishaps { repeats: 2, ..some },
        ),
        requests("the same order from two clients", &[0, 0], some),
        requests("two orders under one key", &[0, 1], some),
        // The SDK gives up after three attempts.
        requests(
            "an answer of the table lost again and again",
            &[0],
            Mishaps {
                lost_answers: 4,
                repeats: 1,
                ..NONE
            },
        ),
    ]
}

/// Explored by `make model`.
pub fn thorough() -> Vec<Requests> {
    let more = Mishaps {
        crashes: 2,
        lost_answers: 3,
        repeats: 1,
        advances: 1,
    };
    vec![
        requests("two orders under one key, more mishaps", &[0, 1], more),
        requests(
            "three clients, two orders",
            &[0, 0, 1],
            Mishaps {
                lost_answers: 1,
                ..NONE
            },
        ),
    ]
}

/// Each sabotage with the scenario in which it shows.
pub fn sabotaged() -> Vec<Requests> {
    let both = || requests("sabotaged", &[0, 1], NONE);
    vec![
        both().broken(Sabotage::Unconditional),
        both().broken(Sabotage::NoOutbox),
        requests("sabotaged", &[0], Mishaps { repeats: 1, ..NONE }).broken(Sabotage::NoFingerprint),
        expiring(),
    ]
}

/// An order that expires: the promise rests on that none does.
pub fn expiring() -> Requests {
    requests("an order expires", &[0, 1], NONE).broken(Sabotage::Expires)
}

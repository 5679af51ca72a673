//! What is explored.

/// A starting point, and what may go wrong from there.
#[derive(Debug, Clone)]
pub struct Letters {
    /// For people.
    pub name: &'static str,
    /// How many messages there are: one or two.
    pub messages: u8,
    /// How many programs may run at the same time.
    pub at_once: usize,
    /// How many canaries an operator's plan has.
    pub canaries: u8,
    /// How often each thing may go wrong, or be asked for.
    pub mishaps: Mishaps,
    /// What is broken on purpose.
    pub sabotage: Option<Sabotage>,
}

/// How often each thing may go wrong, or be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Mishaps {
    /// The handler fails, and the message is given up.
    pub fails: u8,
    /// A program dies between two calls.
    pub crashes: u8,
    /// A message is given out, or a plan taken over, while somebody is at it.
    pub overlaps: u8,
    /// A call without an answer, or a message that the queue refuses.
    pub lost_answers: u8,
    /// An operator makes a plan.
    pub plans: u8,
    /// The automatic replay runs.
    pub automatic: u8,
    /// A person changes a record.
    pub persons: u8,
}

/// What is broken on purpose, to see that the model notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// A dead letter is deleted before it is stored.
    DeleteBeforeStore,
    /// A claim is taken for stored, and is not.
    SendWithoutClaim,
    /// A record is stored over whatever version is there.
    NoVersionCheck,
    /// A record is resolved when its message is sent.
    ResolveAtSend,
    /// A replayed message does not name its record.
    ForgetAttributes,
}

impl Letters {
    /// The same with something broken.
    #[must_use]
    pub fn broken(self, sabotage: Sabotage) -> Self {
        let sabotage = Some(sabotage);
        Self { sabotage, ..self }
    }
}

const NONE: Mishaps = Mishaps {
    fails: 1,
    crashes: 0,
    overlaps: 0,
    lost_answers: 0,
    plans: 0,
    automatic: 0,
    persons: 0,
};

/// One message that fails as often as the mishaps say, two programs at a time.
const fn one(name: &'static str, mishaps: Mishaps) -> Letters {
    Letters {
        name,
        messages: 1,
        at_once: 2,
        canaries: 0,
        mishaps,
        sabotage: None,
    }
}

/// Two messages, and a plan with one canary.
const fn two(name: &'static str, mishaps: Mishaps) -> Letters {
    Letters {
        messages: 2,
        canaries: 1,
        ..one(name, mishaps)
    }
}

/// Explored in each run of the tests: seconds.
pub fn quick() -> Vec<Letters> {
    vec![
        one(
            "2 crashes, 2 drains at once",
            Mishaps {
                crashes: 2,
                overlaps: 2,
                ..NONE
            },
        ),
        one(
            "2 operators, a failed replay",
            Mishaps {
                fails: 2,
                plans: 2,
                ..NONE
            },
        ),
        one(
            "an operator, a failed replay, a crash",
            Mishaps {
                fails: 2,
                crashes: 1,
                plans: 1,
                ..NONE
            },
        ),
        one(
            "an operator, a failed replay, a lost answer",
            Mishaps {
                fails: 2,
                lost_answers: 1,
                plans: 1,
                ..NONE
            },
        ),
        one(
            "2 automatic replays at once, a crash",
            Mishaps {
                crashes: 1,
                automatic: 2,
                ..NONE
            },
        ),
        one(
            "an operator, a person",
            Mishaps {
                plans: 1,
                persons: 2,
                ..NONE
            },
        ),
        two(
            "a plan with a canary, a failed replay",
            Mishaps {
                fails: 3,
                plans: 1,
                ..NONE
            },
        ),
    ]
}

/// Explored by `make model`: minutes.
pub fn thorough() -> Vec<Letters> {
    vec![
        one(
            "2 operators, a failed replay, a crash",
            Mishaps {
                fails: 2,
                crashes: 1,
                plans: 2,
                ..NONE
            },
        ),
        one(
            "2 automatic replays, an operator, a crash",
            Mishaps {
                crashes: 1,
                automatic: 2,
                plans: 1,
                ..NONE
            },
        ),
        one(
            "2 operators, a plan taken over, a refused message",
            Mishaps {
                overlaps: 1,
                lost_answers: 1,
                plans: 2,
                ..NONE
            },
        ),
        one(
            "2 operators, a plan taken over, a failed replay",
            Mishaps {
                fails: 2,
                overlaps: 1,
                plans: 2,
                ..NONE
            },
        ),
        two(
            "a plan with a canary, a crash",
            Mishaps {
                fails: 2,
                crashes: 1,
                plans: 1,
                ..NONE
            },
        ),
    ]
}

/// Each sabotage with the scenario in which it shows.
pub fn sabotaged() -> Vec<Letters> {
    let broken = |sabotage, mishaps| one("sabotaged", mishaps).broken(sabotage);
    let two_plans = Mishaps { plans: 2, ..NONE };
    vec![
        broken(Sabotage::DeleteBeforeStore, Mishaps { crashes: 1, ..NONE }),
        broken(Sabotage::SendWithoutClaim, Mishaps { plans: 1, ..NONE }),
        broken(Sabotage::NoVersionCheck, two_plans),
        broken(Sabotage::ResolveAtSend, Mishaps { plans: 1, ..NONE }),
        broken(
            Sabotage::ForgetAttributes,
            Mishaps {
                fails: 2,
                plans: 1,
                ..NONE
            },
        ),
    ]
}

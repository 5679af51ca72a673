//! What is explored.

use crate::state::Faults;

/// A starting point, and what may go wrong from there.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// For people.
    pub name: &'static str,
    /// How many orders, each of one piece.
    pub orders: u8,
    /// How many pieces there are.
    pub pieces: u8,
    /// How many workers may run at the same time.
    pub workers: usize,
    /// How often each thing may go wrong; [`Scenario::ALWAYS`] for as often as it likes.
    pub faults: Faults,
    /// What the outside parties promise.
    pub party: PartyRules,
    /// What is broken on purpose.
    pub sabotage: Option<Sabotage>,
}

impl Scenario {
    /// No limit.
    pub const ALWAYS: u8 = u8::MAX;

    /// The same with something broken.
    #[must_use]
    pub fn broken(self, sabotage: Sabotage) -> Self {
        Self {
            sabotage: Some(sabotage),
            ..self
        }
    }
}

/// What the outside parties promise beside one effect for each key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartyRules {
    /// As the ports demand: an undo bars the action's key, and a refusal is
    /// remembered. A request may arrive however late.
    Barring,
    /// Nothing is barred. Instead time is on our side: a request arrives while the
    /// lease of its claim lasts, and no worker outlives its lease.
    Prompt,
    /// As `Barring`, but a refused key is decided anew when it comes again.
    Forgetful,
}

/// What is broken on purpose, to see that the model notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// A completion is written whoever holds the claim, and whatever is recorded.
    NoFencing,
    /// An undo that finds no action leaves nothing behind.
    NoTombstone,
    /// The saga writes an order's end also where it has ended.
    UnconditionalEnd,
    /// The saga is answered, then the result is committed.
    AnswerBeforeCommit,
    /// A claim whose outcome is unknown is deleted, so that a redelivery can begin anew.
    ForgetUnknown,
    /// A claim whose outcome is unknown is given back before its lease ends.
    ReleaseUnknown,
    /// The outside party gets another key at each delivery.
    KeyPerDelivery,
    /// A message is deleted before it is moved to the dead-letter queue.
    DeleteBeforeMove,
    /// An action is committed also where its order has ended.
    CommitAfterEnd,
    /// A refused commit says that the order has ended, where it should say that the
    /// claim is lost: the record's reason must count first.
    OrderBeforeRecord,
}

/// One order, two workers at a time, no mishap but those given.
const fn one_order(name: &'static str, faults: Faults) -> Scenario {
    Scenario {
        name,
        orders: 1,
        pieces: 1,
        workers: 2,
        faults,
        party: PartyRules::Barring,
        sabotage: None,
    }
}

/// Two orders for the last piece, two workers at a time.
const fn two_orders(name: &'static str, faults: Faults) -> Scenario {
    Scenario {
        orders: 2,
        ..one_order(name, faults)
    }
}

const NONE: Faults = Faults {
    crashes: 0,
    duplicates: 0,
    lost_answers: 0,
    party_faults: 0,
    refusals: 0,
    replays: 0,
    saga_deaths: 0,
    time_outs: 0,
};

/// Explored in each run of the tests: seconds.
pub fn quick() -> Vec<Scenario> {
    let any = Scenario::ALWAYS;
    vec![
        one_order(
            "any time-outs, refusals and replays",
            Faults {
                time_outs: any,
                refusals: any,
                replays: 1,
                ..NONE
            },
        ),
        one_order(
            "a crash, a duplicate",
            Faults {
                crashes: 1,
                duplicates: 1,
                ..NONE
            },
        ),
        one_order(
            "a crash, a time-out, a dying saga",
            Faults {
                crashes: 1,
                time_outs: 1,
                saga_deaths: 1,
                ..NONE
            },
        ),
        one_order(
            "a duplicate, a time-out",
            Faults {
                duplicates: 1,
                time_outs: 1,
                ..NONE
            },
        ),
        one_order(
            "a lost answer, a time-out",
            Faults {
                lost_answers: 1,
                time_outs: 1,
                ..NONE
            },
        ),
        one_order(
            "a fault of a party, a time-out, a refusal",
            Faults {
                party_faults: 1,
                time_outs: 1,
                refusals: 1,
                ..NONE
            },
        ),
        two_orders(
            "a time-out",
            Faults {
                time_outs: 1,
                ..NONE
            },
        ),
        two_orders("a crash", Faults { crashes: 1, ..NONE }),
    ]
}

/// Explored by `make model`: minutes.
pub fn thorough() -> Vec<Scenario> {
    vec![
        one_order(
            "2 crashes, a time-out, a replay",
            Faults {
                crashes: 2,
                time_outs: 1,
                replays: 1,
                ..NONE
            },
        ),
        one_order(
            "a crash, a duplicate, a time-out",
            Faults {
                crashes: 1,
                duplicates: 1,
                time_outs: 1,
                ..NONE
            },
        ),
        one_order(
            "a crash, a party fault, a refusal, a time-out, a replay",
            Faults {
                crashes: 1,
                party_faults: 1,
                refusals: 1,
                time_outs: 1,
                replays: 1,
                ..NONE
            },
        ),
        one_order(
            "2 lost answers, a time-out",
            Faults {
                lost_answers: 2,
                time_outs: 1,
                ..NONE
            },
        ),
        one_order(
            "a lost answer, a crash, a dying saga",
            Faults {
                lost_answers: 1,
                crashes: 1,
                saga_deaths: 1,
                ..NONE
            },
        ),
        one_order(
            "2 party faults, any time-outs",
            Faults {
                party_faults: 2,
                time_outs: Scenario::ALWAYS,
                ..NONE
            },
        ),
        two_orders(
            "a duplicate, a time-out",
            Faults {
                duplicates: 1,
                time_outs: 1,
                ..NONE
            },
        ),
        two_orders(
            "a crash, a time-out",
            Faults {
                crashes: 1,
                time_outs: 1,
                ..NONE
            },
        ),
        two_orders(
            "a party fault, a refusal, a time-out",
            Faults {
                party_faults: 1,
                refusals: 1,
                time_outs: 1,
                ..NONE
            },
        ),
    ]
}

/// Each sabotage with the scenario in which it shows.
pub fn sabotaged() -> Vec<Scenario> {
    let broken = |sabotage, faults| one_order("sabotaged", faults).broken(sabotage);
    let prompt = |scenario| Scenario {
        party: PartyRules::Prompt,
        ..scenario
    };
    vec![
        broken(
            Sabotage::NoFencing,
            Faults {
                duplicates: 1,
                ..NONE
            },
        ),
        broken(
            Sabotage::NoTombstone,
            Faults {
                time_outs: 1,
                ..NONE
            },
        ),
        broken(
            Sabotage::UnconditionalEnd,
            Faults {
                lost_answers: 1,
                ..NONE
            },
        ),
        broken(Sabotage::AnswerBeforeCommit, Faults { crashes: 1, ..NONE }),
        broken(
            Sabotage::ForgetUnknown,
            Faults {
                party_faults: 1,
                time_outs: 1,
                ..NONE
            },
        ),
        prompt(broken(
            Sabotage::ReleaseUnknown,
            Faults {
                party_faults: 1,
                time_outs: 1,
                ..NONE
            },
        )),
        broken(Sabotage::KeyPerDelivery, Faults { crashes: 1, ..NONE }),
        broken(
            Sabotage::DeleteBeforeMove,
            Faults {
                crashes: 2,
                party_faults: 2,
                ..NONE
            },
        ),
        broken(
            Sabotage::CommitAfterEnd,
            Faults {
                saga_deaths: 1,
                ..NONE
            },
        ),
        broken(
            Sabotage::OrderBeforeRecord,
            Faults {
                duplicates: 1,
                ..NONE
            },
        ),
    ]
}

/// The lease alone protects a call whose answer was lost, where nothing is barred.
pub fn prompt_parties() -> Scenario {
    Scenario {
        party: PartyRules::Prompt,
        ..one_order(
            "parties that bar nothing, and are prompt",
            Faults {
                party_faults: 1,
                time_outs: 1,
                crashes: 1,
                ..NONE
            },
        )
    }
}

/// What the ports must demand of an outside party: that a refusal is remembered.
pub fn forgetful_parties() -> Scenario {
    Scenario {
        party: PartyRules::Forgetful,
        ..one_order(
            "parties that forget a refusal",
            Faults {
                party_faults: 1,
                refusals: 1,
                ..NONE
            },
        )
    }
}

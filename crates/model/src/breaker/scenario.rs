//! What is explored.

use super::process::{Memory, StepRecord};

/// A starting point, and what may go wrong from there.
#[derive(Debug, Clone)]
pub struct Breaker {
    /// For people.
    pub name: &'static str,
    /// How many messages there are: one or two.
    pub messages: u8,
    /// What the records of their steps say.
    pub records: StepRecord,
    /// What the environments of the worker may have seen before.
    pub memories: &'static [Memory],
    /// How many controllers may run at the same time.
    pub controllers: usize,
    /// How many workers.
    pub workers: usize,
    /// How many ticks a controller may last. A probe's claim lasts for two.
    pub longest: u8,
    /// Whether a mapping takes a while to change.
    pub slow_mapping: bool,
    /// Whether the circuit is open in the beginning, and people know.
    pub is_open: bool,
    /// Whether the stream has the controller act on news, beside the schedule.
    pub has_stream: bool,
    /// How often each thing may go wrong, or be asked for.
    pub mishaps: Mishaps,
    /// What is broken on purpose.
    pub sabotage: Option<Sabotage>,
}

/// How often each thing may go wrong, or be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Mishaps {
    /// The outside party goes down.
    pub outages: u8,
    /// The outside party gives no answer in time.
    pub timeouts: u8,
    /// A program dies between two calls.
    pub crashes: u8,
    /// A call without an answer.
    pub lost_answers: u8,
    /// A person gives an order.
    pub persons: u8,
    /// A person changes the mapping by hand.
    pub by_hand: u8,
}

/// What is broken on purpose, to see that the model notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// A circuit is stored over whatever version is there.
    NoVersionCheck,
    /// The claim of a probe whose controller died never ends.
    EndlessProbe,
    /// A change of the mapping is confirmed and never made.
    DeafMapping,
    /// A message that a probe did not get through is deleted before its copy is sent.
    DeleteBeforeCopy,
    /// To store a circuit forgets a person's pause.
    PauseForgotten,
}

impl Breaker {
    /// The same with something broken.
    #[must_use]
    pub fn broken(self, sabotage: Sabotage) -> Self {
        let sabotage = Some(sabotage);
        Self { sabotage, ..self }
    }
}

const NONE: Mishaps = Mishaps {
    outages: 0,
    timeouts: 0,
    crashes: 0,
    lost_answers: 0,
    persons: 0,
    by_hand: 0,
};

const ANY: &[Memory] = &[Memory::Nothing, Memory::Failures, Memory::Tripped];

/// One message, one worker whose next failure is one too many, and one controller.
const fn closed(name: &'static str, mishaps: Mishaps) -> Breaker {
    Breaker {
        name,
        messages: 1,
        records: StepRecord::New,
        memories: &[Memory::Failures],
        controllers: 1,
        workers: 1,
        longest: 0,
        slow_mapping: false,
        is_open: false,
        has_stream: false,
        mishaps,
        sabotage: None,
    }
}

/// The outside party is down, and only probes reach the worker.
const fn open(name: &'static str, mishaps: Mishaps) -> Breaker {
    Breaker {
        workers: 0,
        is_open: true,
        ..closed(name, mishaps)
    }
}

/// The same with two controllers at a time.
const fn two(name: &'static str, mishaps: Mishaps) -> Breaker {
    Breaker {
        controllers: 2,
        ..open(name, mishaps)
    }
}

/// Explored in each run of the tests: seconds.
pub fn quick() -> Vec<Breaker> {
    let crash = Mishaps { crashes: 1, ..NONE };
    let outages = Mishaps {
        outages: 2,
        timeouts: 1,
        ..NONE
    };
    let by_hand = Mishaps { by_hand: 1, ..NONE };
    vec![
        Breaker {
            memories: ANY,
            ..closed("2 outages, workers that have seen anything", outages)
        },
        two("2 controllers, a crash", crash),
        two(
            "2 controllers, a lost answer",
            Mishaps {
                lost_answers: 1,
                ..NONE
            },
        ),
        open("2 orders of a person", Mishaps { persons: 2, ..NONE }),
        Breaker {
            workers: 1,
            longest: 1,
            ..open("a controller that takes its time, a crash", crash)
        },
        Breaker {
            slow_mapping: true,
            ..open("a slow mapping, a hand at it", by_hand)
        },
        Breaker {
            workers: 1,
            records: StepRecord::Claimed,
            ..open("a message that never gets through", NONE)
        },
    ]
}

/// Explored by `make model`: minutes.
pub fn thorough() -> Vec<Breaker> {
    let outage = Mishaps { outages: 1, ..NONE };
    let person = Mishaps { persons: 1, ..NONE };
    vec![
        Breaker {
            workers: 1,
            ..Breaker {
                is_open: false,
                ..two("an outage, 2 controllers", outage)
            }
        },
        Breaker {
            messages: 2,
            workers: 2,
            ..closed("an outage, 2 messages, 2 workers", outage)
        },
        Breaker {
            memories: &[Memory::Nothing, Memory::Failures],
            ..closed(
                "an outage, a crash",
                Mishaps {
                    crashes: 1,
                    ..outage
                },
            )
        },
        Breaker {
            slow_mapping: true,
            ..two(
                "2 controllers, a slow mapping, a hand at it",
                Mishaps { by_hand: 1, ..NONE },
            )
        },
        Breaker {
            longest: 1,
            ..two("2 controllers that take their time", NONE)
        },
        Breaker {
            longest: 3,
            ..open(
                "a controller that outlasts its claim, a crash",
                Mishaps { crashes: 1, ..NONE },
            )
        },
        open(
            "a person, a crash",
            Mishaps {
                crashes: 1,
                ..person
            },
        ),
        Breaker {
            slow_mapping: true,
            has_stream: true,
            ..open("a person, a slow mapping, the stream", person)
        },
    ]
}

/// Each sabotage with the scenario in which it shows.
pub fn sabotaged() -> Vec<Breaker> {
    vec![
        two("sabotaged", NONE).broken(Sabotage::NoVersionCheck),
        open("sabotaged", NONE).broken(Sabotage::DeafMapping),
        open("sabotaged", Mishaps { crashes: 1, ..NONE }).broken(Sabotage::DeleteBeforeCopy),
        open("sabotaged", Mishaps { persons: 1, ..NONE }).broken(Sabotage::PauseForgotten),
    ]
}

/// What never comes to rest, and the scenario in which it shows.
pub fn endless() -> Breaker {
    open("sabotaged", Mishaps { crashes: 1, ..NONE }).broken(Sabotage::EndlessProbe)
}

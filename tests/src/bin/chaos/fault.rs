//! The kinds of faults, and how many of each there really were.

use std::sync::Mutex;
use std::time::Duration;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Fault {
    Killed,
    Throttled,
    Unavailable,
    Delayed,
    CutBefore,
    CutAfter,
    Copied,
    PaymentDown,
    WarehouseDown,
    SagaStopped,
    OperatorKilled,
}

/// All kinds.
pub(crate) const FAULTS: [Fault; 11] = [
    Fault::Killed,
    Fault::Throttled,
    Fault::Unavailable,
    Fault::Delayed,
    Fault::CutBefore,
    Fault::CutAfter,
    Fault::Copied,
    Fault::PaymentDown,
    Fault::WarehouseDown,
    Fault::SagaStopped,
    Fault::OperatorKilled,
];

impl Fault {
    /// What it is, in few words.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Killed => "functions killed",
            Self::Throttled => "calls throttled",
            Self::Unavailable => "calls refused (5xx)",
            Self::Delayed => "calls delayed",
            Self::CutBefore => "cut off before AWS",
            Self::CutAfter => "cut off after AWS",
            Self::Copied => "messages sent again",
            Self::PaymentDown => "payment provider down",
            Self::WarehouseDown => "warehouse down",
            Self::SagaStopped => "sagas stopped",
            Self::OperatorKilled => "operators killed",
        }
    }

    /// What its number counts.
    pub(crate) fn counted(self) -> &'static str {
        match self {
            Self::Killed => "functions got SIGKILL at a call to AWS, before or after it",
            Self::Throttled => "calls were answered with the service's throttling error",
            Self::Unavailable => "calls were answered with a 5xx of the service",
            Self::Delayed => "calls were held back, for up to 4 s",
            Self::CutBefore => "connections were closed before the call arrived",
            Self::CutAfter => "connections were closed after the call, before its answer",
            Self::Copied => "copies of messages came to their consumers, at once or late",
            Self::PaymentDown => "charges and refunds met a provider that served nobody",
            Self::WarehouseDown => "shipments met a warehouse that served nobody",
            Self::SagaStopped => "running sagas were stopped",
            Self::OperatorKilled => "replays were killed in the middle",
        }
    }

    /// For what part of its time it is on.
    pub(crate) fn share(self) -> f64 {
        match self {
            Self::Killed | Self::SagaStopped => 0.30,
            Self::Throttled | Self::Unavailable | Self::Delayed => 0.20,
            Self::CutBefore | Self::CutAfter => 0.25,
            Self::Copied => 0.40,
            Self::PaymentDown | Self::WarehouseDown => 0.15,
            Self::OperatorKilled => 0.60,
        }
    }
}

/// What was injected, and when.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Vec<(Fault, Duration)>>);

impl Tally {
    pub(crate) fn add(&self, fault: Fault, at: Duration) {
        self.injected().push((fault, at));
    }

    pub(crate) fn count(&self, fault: Fault) -> usize {
        self.between(fault, Duration::ZERO, Duration::MAX)
    }

    pub(crate) fn between(&self, fault: Fault, from: Duration, until: Duration) -> usize {
        let injected = self.injected();
        let fits = |(kind, at): &&(Fault, Duration)| *kind == fault && from <= *at && *at < until;
        injected.iter().filter(fits).count()
    }

    fn injected(&self) -> std::sync::MutexGuard<'_, Vec<(Fault, Duration)>> {
        self.0.lock().expect("nobody panics while counting")
    }
}

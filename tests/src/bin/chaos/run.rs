//! The run: its plan, its clock, and what is written down on the way.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use contracts::Timestamp;
use tokio::time::{Instant, sleep, sleep_until};

use crate::fault::{Fault, Tally};
use crate::plan::{Period, Plan};

const PAUSE: Duration = Duration::from_millis(100);

/// Each running saga costs the emulator time, whether or not it moves.
const MOST_MOVING: u64 = 80;

/// What everybody shares.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) plan: Plan,
    pub(crate) tally: Tally,
    began: Instant,
    /// In milliseconds since 1970, as others date things.
    began_at: u64,
    /// Since when nothing fails any more.
    calm_since: OnceLock<Duration>,
    moving: AtomicU64,
    is_over: AtomicBool,
}

impl Run {
    pub(crate) fn begin(plan: Plan) -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        let since_1970 = since_1970.expect("a clock that is later than 1970");
        Self {
            began_at: u64::try_from(since_1970.as_millis()).expect("milliseconds"),
            plan,
            tally: Tally::default(),
            began: Instant::now(),
            calm_since: OnceLock::new(),
            moving: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) async fn until(&self, at: Duration) {
        sleep_until(self.began + at).await;
    }

    /// Waits for a moment of the plan; says whether it came before the faults were over.
    pub(crate) async fn comes(&self, at: Duration) -> bool {
        while self.elapsed() < at && !self.has_calmed() {
            sleep(PAUSE).await;
        }
        !self.has_calmed()
    }

    /// Waits while more orders are on their way than the emulator bears.
    pub(crate) async fn has_room(&self) {
        while self.moving.load(Ordering::Relaxed) >= MOST_MOVING {
            sleep(PAUSE).await;
        }
    }

    /// Notes how many orders are on their way.
    pub(crate) fn move_on(&self, orders: u64) {
        self.moving.store(orders, Ordering::Relaxed);
    }

    /// From here on nothing fails.
    pub(crate) fn calm(&self) {
        self.calm_since.get_or_init(|| self.elapsed());
    }

    /// Since when nothing fails any more.
    pub(crate) fn calm_since(&self) -> Duration {
        self.calm_since.get().copied().unwrap_or(Duration::MAX)
    }

    pub(crate) fn has_calmed(&self) -> bool {
        self.calm_since.get().is_some()
    }

    /// The times at which a fault was on, as far as it came to that.
    pub(crate) fn periods(&self, fault: Fault) -> impl Iterator<Item = Period> {
        let calm = self.calm_since();
        let came = self.plan.of(fault).filter(move |it| it.from < calm);
        came.map(move |it| Period {
            until: it.until.min(calm),
            ..it.clone()
        })
    }

    /// Whether a fault is on now.
    pub(crate) fn is_on(&self, fault: Fault) -> bool {
        let now = self.elapsed();
        self.periods(fault)
            .any(|it| it.from <= now && now < it.until)
    }

    /// Whether nothing is to be watched any more.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Writes down a fault that was injected now.
    pub(crate) fn happened(&self, fault: Fault) {
        self.tally.add(fault, self.elapsed());
    }

    /// Writes down a fault that somebody else dated.
    pub(crate) fn happened_at_millis(&self, fault: Fault, millis: u64) {
        let at = Duration::from_millis(millis.saturating_sub(self.began_at));
        self.tally.add(fault, at);
    }

    /// The day on which it began, such as `2026-11-22`.
    pub(crate) fn day(&self) -> String {
        let time = Timestamp::from_epoch_millis(self.began_at).to_string();
        time.chars().take("2026-11-22".len()).collect()
    }
}

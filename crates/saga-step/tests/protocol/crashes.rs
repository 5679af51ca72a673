//! Every call of every port goes wrong, before and after its effect, with an
//! error and without a word, once and twice. Redelivery has to make it good.

use contracts::saga;
use domain::EventKind;
use domain::stock::StockLevel;
use ports::Answer;
use serde_json::Value;
use testkit::{EffectKind, Fault, fixtures};

use crate::bench::{Bench, Pair};

/// What the saga asks for, one after the other, each until it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    Action,
    ActionThenUndo,
    /// The undo overtakes the action, which comes late.
    UndoThenAction,
    /// The action is tried once; then the saga gives up and undoes it. Later
    /// the action is delivered again.
    ActionAbandoned,
}

/// How the action ends if nothing goes wrong on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Good,
    Refused,
    /// The warehouse takes pieces on that are not reserved.
    Short,
    /// The order ended before the action came.
    Ended,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
struct Row {
    pair: Pair,
    course: Course,
    ending: Ending,
}

impl Row {
    fn bench(self) -> Bench {
        let bench = Bench::new(self.pair);
        if self.ending == Ending::Short {
            let level = StockLevel {
                available: 5,
                ..StockLevel::default()
            };
            bench.world.put_stock(&fixtures::sku("MUG-RED"), level);
        }
        if self.ending == Ending::Ended {
            bench.end_order();
        }
        bench
    }

    fn action(self, bench: &Bench, token: &str) -> Value {
        match self.ending {
            Ending::Refused => bench.refused_action(token),
            _ => bench.action(token),
        }
    }

    async fn run(self, bench: &Bench) {
        let action = self.action(bench, "action");
        let undo = bench.undo("undo");
        match self.course {
            Course::Action => bench.drive(&[action]).await,
            Course::ActionThenUndo => {
                bench.drive(&[action]).await;
                bench.drive(&[undo]).await;
            }
            Course::UndoThenAction => {
                bench.drive(&[undo]).await;
                bench.drive(&[action]).await;
            }
            Course::ActionAbandoned => {
                let late = self.action(bench, "late");
                bench.invoke_once(&action).await;
                bench.drive(&[undo]).await;
                bench.drive(&[late]).await;
            }
        }
    }

    /// Runs with faults, and holds the end against that of a run without.
    async fn check(self, faults: &[(usize, Fault)], smooth: &Bench) {
        let bench = self.bench();
        for (call, fault) in faults {
            bench.world.fail_call(*call, *fault);
        }
        self.run(&bench).await;
        let told = format!("{self:?} {faults:?} {bench}");
        bench.check_nothing_parked();
        match self.course {
            Course::ActionAbandoned => self.check_nothing_is_left(&bench, &told),
            _ => {
                check_same(&bench, smooth, &told);
                assert_eq!(self.answers(&bench), self.answers(smooth), "{told}");
            }
        }
    }

    /// Each token once, with its one answer.
    fn answers(self, bench: &Bench) -> Vec<(String, Answer)> {
        let mut answers = bench.world.answers();
        answers.sort_by(|one, other| one.0.cmp(&other.0));
        if self.ending == Ending::Short || self.ending == Ending::Ended {
            // Why it was taken back, the warehouse says in its own words when it is asked again.
            for (_, answer) in &mut answers {
                if let Answer::Failure { error, cause } = answer {
                    cause.clear();
                    if *error == saga::ORDER_ENDED {
                        *error = saga::SHIPMENT_REFUSED;
                    }
                }
            }
        }
        answers
    }

    /// How far the abandoned action came is open; that nothing is left of it is not.
    fn check_nothing_is_left(self, bench: &Bench, told: &str) {
        bench.check_success("undo");
        bench.check_failure("late", saga::ALREADY_UNDONE);
        assert_eq!(bench.mugs(), self.bench().mugs(), "{told}");
        let effects = bench.world.effects(bench.order);
        let undone = effects.is_empty() || effects == self.pair.effects();
        assert!(undone, "{effects:?} {told}");

        let events = bench.events();
        for event in &events {
            let times = events.iter().filter(|other| *other == event).count();
            assert_eq!(times, 1, "{event}: {told}");
        }
        let [done, undone] = self.pair.events();
        let has = |event: EventKind| events.contains(&event);
        // An undo is told where there was an effect, whether or not the effect was told.
        let had_effect = match self.pair {
            Pair::Stock => has(done),
            Pair::Payment | Pair::Shipping => !effects.is_empty(),
        };
        if self.ending == Ending::Good || self.ending == Ending::Refused {
            assert_eq!(has(undone), had_effect, "{told}");
        }
        assert!(had_effect || !has(done), "{told}");
    }
}

#[track_caller]
fn check_same(bench: &Bench, smooth: &Bench, told: &str) {
    assert_eq!(bench.events(), smooth.events(), "{told}");
    assert_eq!(
        bench.world.effects(bench.order),
        smooth.world.effects(smooth.order),
        "{told}"
    );
    for article in ["MUG-RED", "STICKER"] {
        let article = fixtures::sku(article);
        assert_eq!(
            bench.world.stock(&article),
            smooth.world.stock(&article),
            "{told}"
        );
    }
}

const ENDINGS: [Ending; 4] = [Ending::Good, Ending::Refused, Ending::Short, Ending::Ended];

fn rows() -> Vec<Row> {
    let courses = [
        Course::Action,
        Course::ActionThenUndo,
        Course::UndoThenAction,
        Course::ActionAbandoned,
    ];
    let mut rows = Vec::new();
    for pair in Pair::ALL {
        for course in courses {
            for ending in ENDINGS {
                if ending != Ending::Short || pair == Pair::Shipping {
                    rows.push(Row {
                        pair,
                        course,
                        ending,
                    });
                }
            }
        }
    }
    rows
}

#[tokio::test(start_paused = true)]
async fn a_failure_at_any_call_leads_to_the_same_end_as_none() {
    let mut crash_points = 0;
    for row in rows() {
        let smooth = row.bench();
        row.run(&smooth).await;
        let calls = smooth.world.calls().len();
        assert!(calls >= 2, "{row:?} calls no port");
        for call in 0..calls {
            for fault in Fault::FAILURES {
                row.check(&[(call, fault)], &smooth).await;
                crash_points += 1;
            }
        }
    }
    assert!(crash_points > 900, "only {crash_points} crash points");
}

#[tokio::test(start_paused = true)]
async fn two_failures_at_any_calls_lead_to_the_same_end_as_none() {
    let mut crash_points = 0;
    for row in rows() {
        let smooth = row.bench();
        row.run(&smooth).await;
        // A first failure adds calls: those of giving back and of the redelivery.
        let calls = smooth.world.calls().len() + 4;
        for second in 1..calls {
            for first in 0..second {
                for (one, other) in [
                    (Fault::ErrorAfter, Fault::ErrorBefore),
                    (Fault::ErrorBefore, Fault::SilenceAfter),
                    (Fault::SilenceBefore, Fault::ErrorAfter),
                    (Fault::SilenceAfter, Fault::SilenceBefore),
                ] {
                    row.check(&[(first, one), (second, other)], &smooth).await;
                    crash_points += 1;
                }
            }
        }
    }
    assert!(crash_points > 7000, "only {crash_points} crash points");
}

#[tokio::test(start_paused = true)]
async fn the_table_of_crash_points_ends_as_its_rows_say() {
    for row in rows() {
        let bench = row.bench();
        row.run(&bench).await;
        let effects = bench.world.effects(bench.order);
        let expected: &[EffectKind] = match (row.course, row.ending) {
            (Course::UndoThenAction, _) | (_, Ending::Refused) => &[],
            (_, Ending::Short | Ending::Ended) => row.pair.effects(),
            (Course::Action, Ending::Good) => &row.pair.effects()[..row.pair.effects().len() / 2],
            (_, Ending::Good) => row.pair.effects(),
        };
        assert_eq!(effects, expected, "{row:?} {bench}");
        let tokens: Vec<_> = bench.world.answers();
        let steps = match row.course {
            Course::Action => 1,
            Course::ActionThenUndo | Course::UndoThenAction => 2,
            Course::ActionAbandoned => 3,
        };
        assert_eq!(tokens.len(), steps, "{row:?} {bench}");
    }
}

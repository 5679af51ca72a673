//! `waybill failures replay`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;
use contracts::Timestamp;
use failures::replay::{
    Event, Finish, ReplayError, Replayer, Run, Selection, Settings, Watcher, Wish, freeze, select,
};
use failures::{EntryState, FailureId, KEYS_ARE_KNOWN, Plan, PlanStore, Query, ReplayId};
use idempotency::SystemClock;
use indicatif::ProgressBar;
use serde::Serialize;
use tokio::time::Instant;
use uuid::Uuid;

use super::consumers;
use super::drain::Drain;
use super::filter::{Filter, failure_id};
use super::replays::{Counts, EntryRow, counts, entry_rows};
use super::store::{Store, now};
use crate::cli::Context;
use crate::failure::{Exit, Failure};
use crate::output::{Column, Output, note, printable, progress_bar, table, word};

/// What was stored before this is sent only with `--force`.
fn still_known_since(now: Timestamp) -> Timestamp {
    let age = u64::try_from(KEYS_ARE_KNOWN.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_epoch_millis(now.epoch_millis().saturating_sub(age))
}

/// A longer list of what is skipped is for `--output json`.
const SKIPPED_SHOWN: usize = 20;

/// `waybill failures replay`
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The failures' ids; or choose by flags
    #[arg(value_name = "ID", value_parser = failure_id)]
    ids: Vec<FailureId>,
    #[command(flatten)]
    filter: Filter,
    /// Send; without it, only say what would be sent
    #[arg(long)]
    yes: bool,
    /// Go on with a replay that was interrupted, exactly where it was
    #[arg(
        long,
        value_name = "REPLAY",
        conflicts_with_all = ["ids", "to", "canary", "rate", "why", "again", "force", "group", "consumer",
            "class", "error", "message_type", "order", "status", "since", "until", "text", "replay"]
    )]
    resume: Option<String>,
    /// Send to this consumer's queue, not to their own. What it processes waits again afterwards, as its own consumer has not processed it
    #[arg(long, value_name = "CONSUMER", value_parser = PossibleValuesParser::new(consumers::names()))]
    to: Option<String>,
    /// Also what is older than 30 days, and with --to also where that consumer does not read messages of this type
    #[arg(long)]
    force: bool,
    /// So many of each group go first; if one fails again, the rest of its group is not sent.
    /// 0 sends all at once
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1000))]
    canary: u32,
    /// At most so many messages a second
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rate: u32,
    /// Also those that a replay has sent and no worker has confirmed. They may be processed
    /// twice; their effect happens once
    #[arg(long)]
    again: bool,
    /// Why, for the history
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "TEXT"
    )]
    why: String,
    /// Do not wait, at the end, for the workers (canaries are waited for)
    #[arg(long)]
    no_wait: bool,
    /// Stop waiting after this many seconds; the replay can be resumed
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
}

/// What would be sent.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DryRun {
    dry_run: bool,
    /// What fails later is not meant.
    cut_off: contracts::Timestamp,
    groups: Vec<GroupRow>,
    messages: Vec<MessageRow>,
    skipped: Vec<SkipRow>,
}

#[derive(Debug, Serialize)]
struct GroupRow {
    group: String,
    destination: String,
    messages: usize,
    canaries: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MessageRow {
    id: String,
    group: String,
    destination: String,
    body_sha256: String,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct SkipRow {
    id: String,
    group: String,
    why: String,
}

/// What was sent.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Replayed {
    dry_run: bool,
    /// None where there was nothing to replay.
    replay: Option<String>,
    /// `complete`, `still-under-way` or `stopped`.
    finish: &'static str,
    #[serde(flatten)]
    counts: Counts,
    /// Groups whose canary failed again.
    aborted: Vec<String>,
    messages: Vec<EntryRow>,
    /// What fitted and did not get into the plan.
    #[serde(rename = "notPlanned")]
    skipped: Vec<SkipRow>,
}

impl Arguments {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        if let Some(id) = self.resume.clone() {
            let store = Store::open(context).await?;
            let id = ReplayId::new(id);
            return self
                .carry_out(&store, &id, Vec::new(), context.output)
                .await;
        }
        let wish = self.wish()?;
        let store = Store::open(context).await?;
        let found = select(&store.failures, &wish, consumers::reads).await;
        let found = found.map_err(Failure::from_port)?;
        let missing = self.missing(&found);
        if !missing.is_empty() {
            return Err(Failure::NotInStore(missing));
        }
        if found.chosen.is_empty() && found.skipped.is_empty() {
            store.check_named(&wish.query).await?;
        }
        if !self.yes {
            let dry_run = self.dry_run(&found);
            context.output.result(&dry_run, dry_run_text)?;
            note("nothing was sent: this was a dry run. --yes sends");
            return Ok(Exit::Ok);
        }
        if found.chosen.is_empty() {
            return nothing_to_do(&found, context.output);
        }
        if found
            .chosen
            .iter()
            .any(|choice| choice.entry.over.is_some())
        {
            note(
                "some are taken over from a replay that no worker has confirmed: they may be processed twice, with one effect",
            );
        }
        let plan = self.frozen(&store, &found, &wish).await?;
        self.carry_out(&store, &plan, skipped(&found), context.output)
            .await
    }

    fn wish(&self) -> Result<Wish, Failure> {
        match (self.ids.is_empty(), self.filter.is_empty()) {
            (true, true) => {
                let message = "say which: give ids, or flags such as --group (--status open means all that are open)";
                return Err(Failure::Input(message.to_owned()));
            }
            (false, false) => {
                let message = "give ids or flags that choose failures, not both";
                return Err(Failure::Input(message.to_owned()));
            }
            _ => {}
        }
        Ok(Wish {
            query: Query {
                ids: self.ids.clone(),
                ..self.filter.query(&[])?
            },
            destination: self.to.clone(),
            again: self.again,
            oldest: Some(still_known_since(now())),
            force: self.force,
        })
    }

    /// Ids that were named and are not there.
    fn missing(&self, found: &Selection) -> Vec<String> {
        let is_there = |id: &&FailureId| {
            found
                .chosen
                .iter()
                .any(|choice| choice.entry.failure == **id)
                || found.skipped.iter().any(|skip| skip.failure == **id)
        };
        let missing = self.ids.iter().filter(|id| !is_there(id));
        missing.map(ToString::to_string).collect()
    }

    fn dry_run(&self, found: &Selection) -> DryRun {
        let mut groups: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for choice in &found.chosen {
            let key = (choice.entry.group.as_str(), choice.destination.as_str());
            *groups.entry(key).or_default() += 1;
        }
        let canaries = self.canary as usize;
        let row = |((group, destination), messages): ((&str, &str), usize)| GroupRow {
            group: group.to_owned(),
            destination: destination.to_owned(),
            messages,
            canaries: canaries.min(messages),
        };
        DryRun {
            dry_run: true,
            cut_off: now(),
            groups: groups.into_iter().map(row).collect(),
            messages: found
                .chosen
                .iter()
                .map(|choice| MessageRow {
                    id: choice.entry.failure.to_string(),
                    group: choice.entry.group.to_string(),
                    destination: choice.destination.clone(),
                    body_sha256: choice.entry.body_sha256.clone(),
                })
                .collect(),
            skipped: skipped(found),
        }
    }

    /// Freezes the plan and stores it, before anything is sent.
    async fn frozen(
        &self,
        store: &Store,
        found: &Selection,
        wish: &Wish,
    ) -> Result<ReplayId, Failure> {
        let by = store.operator().await?;
        let settings = Settings {
            canaries: self.canary as usize,
            rate: self.rate,
            why: self.why.clone(),
        };
        let id = ReplayId::new(Uuid::new_v4().to_string());
        let plan = freeze(found, wish, settings, id.clone(), &by, now());
        let stored = store.plans()?.create_plan(&plan).await;
        stored.map_err(Failure::from_port)?;
        note(&format!(
            "replay {id} of {} (to go on with it: waybill failures replay --resume {id} --yes)",
            plan.entries.len()
        ));
        Ok(id)
    }

    async fn carry_out(
        &self,
        store: &Store,
        id: &ReplayId,
        skipped: Vec<SkipRow>,
        output: Output,
    ) -> Result<Exit, Failure> {
        if self.resume.is_some() && !self.yes {
            return Err(Failure::Input(
                "to send, say --yes as well; to look at it: waybill failures replays show"
                    .to_owned(),
            ));
        }
        let (plans, queues, drain) = (
            store.plans()?,
            store.queues()?,
            Drain::of(store.deployment())?,
        );
        let replayer = Replayer {
            store: &store.failures,
            plans: &plans,
            queues: &queues,
            clock: &SystemClock,
            drains: &drain,
        };
        // A time limit beyond what the clock can hold is no limit.
        let deadline = self
            .timeout
            .and_then(|seconds| Instant::now().checked_add(Duration::from_secs(seconds)));
        let run = Run {
            id: Uuid::new_v4().to_string(),
            by: store.operator().await?,
            wait: !self.no_wait,
            deadline,
        };
        let progress = Progress::new();
        let interrupts = tokio::spawn(heed_interrupts(progress.stopped.clone()));
        let ended = run_when_free(&replayer, id, &run, &progress).await;
        interrupts.abort();
        progress.bar.finish_and_clear();
        let (finish, plan, states) = ended.map_err(|error| failed(error, id))?;
        let replayed = Replayed::of(finish, &plan, &states, skipped);
        output.result(&replayed, replayed_text)?;
        say_what_next(&replayed, id);
        Ok(exit_of(finish, &replayed.counts))
    }
}

/// Waits where the process that had the plan was killed a moment ago.
async fn run_when_free(
    replayer: &Replayer<
        '_,
        aws_adapters::DynamoFailures,
        aws_adapters::DynamoPlans,
        aws_adapters::SqsReplayQueues,
        SystemClock,
        Drain,
    >,
    id: &ReplayId,
    run: &Run,
    progress: &Progress,
) -> Result<(Finish, Plan, Vec<EntryState>), ReplayError> {
    let mut seen = None;
    loop {
        match Box::pin(replayer.run(id, run, progress)).await {
            // A lease that is renewed belongs to a process that lives.
            Err(ReplayError::Running { by, until }) if seen.is_none() || seen == Some(until) => {
                if seen.is_none() {
                    note(&format!(
                        "{by} had it a moment ago; it is free at {until}, unless that process lives"
                    ));
                }
                seen = Some(until);
                let left = until.epoch_millis().saturating_sub(now().epoch_millis());
                tokio::time::sleep(Duration::from_millis(left.clamp(100, 1000))).await;
            }
            ended => return ended,
        }
        if progress.stop() {
            std::process::exit(130);
        }
    }
}

fn failed(error: ReplayError, id: &ReplayId) -> Failure {
    match error {
        ReplayError::NoSuchPlan(_) => Failure::NoSuchReplay(id.to_string()),
        error @ (ReplayError::Running { .. } | ReplayError::TakenOver) => {
            Failure::NotAllowed(format!("replay {id}: {error}"), None)
        }
        ReplayError::Unavailable(error) => {
            note(&format!(
                "what was sent stays sent; to go on: waybill failures replay --resume {} --yes",
                word(id.as_str())
            ));
            Failure::from_port(error)
        }
    }
}

/// All that fits is refused, or there is nothing.
fn nothing_to_do(found: &Selection, output: Output) -> Result<Exit, Failure> {
    let replayed = Replayed {
        dry_run: false,
        replay: None,
        finish: "complete",
        counts: Counts::default(),
        aborted: Vec::new(),
        messages: Vec::new(),
        skipped: skipped(found),
    };
    output.result(&replayed, replayed_text)?;
    Ok(match found.skipped.is_empty() {
        true => Exit::Ok,
        false => Exit::Refused,
    })
}

fn skipped(found: &Selection) -> Vec<SkipRow> {
    let rows = found.skipped.iter().map(|skip| SkipRow {
        id: skip.failure.to_string(),
        group: skip.group.to_string(),
        why: skip.why.clone(),
    });
    rows.collect()
}

impl Replayed {
    fn of(finish: Finish, plan: &Plan, states: &[EntryState], skipped: Vec<SkipRow>) -> Self {
        Self {
            dry_run: false,
            replay: Some(plan.id.to_string()),
            finish: match finish {
                Finish::Complete => "complete",
                Finish::StillUnderWay => "still-under-way",
                Finish::Stopped => "stopped",
            },
            counts: counts(states),
            aborted: plan
                .progress
                .aborted
                .iter()
                .map(ToString::to_string)
                .collect(),
            messages: entry_rows(plan, states),
            skipped,
        }
    }
}

/// What failed again matters most; then what is not at its end.
fn exit_of(finish: Finish, counts: &Counts) -> Exit {
    if counts.failed_again > 0 {
        return Exit::FailedAgain;
    }
    match finish {
        Finish::StillUnderWay | Finish::Stopped => Exit::StillUnderWay,
        Finish::Complete if counts.processed + counts.under_way == 0 => Exit::Refused,
        Finish::Complete => Exit::Ok,
    }
}

fn say_what_next(replayed: &Replayed, id: &ReplayId) {
    let id = word(id.as_str());
    if replayed.finish != "complete" {
        note(&format!(
            "to go on: waybill failures replay --resume {id} --yes"
        ));
    } else if replayed.counts.under_way > 0 {
        note(&format!(
            "to see what became of them: waybill failures replays show {id}"
        ));
    }
    for group in &replayed.aborted {
        let group = word(group);
        note(&format!(
            "the canary of {group} failed again, so the rest of it was not sent: waybill failures list --group {group}"
        ));
    }
}

/// The first Ctrl-C ends the run between two messages, the second ends the process.
async fn heed_interrupts(stopped: Arc<AtomicBool>) {
    while tokio::signal::ctrl_c().await.is_ok() {
        if stopped.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        note("stopping after this message; once more ends it at once");
    }
}

/// A bar for people.
struct Progress {
    bar: ProgressBar,
    stopped: Arc<AtomicBool>,
}

impl Progress {
    fn new() -> Self {
        Self {
            bar: progress_bar(0, "replaying"),
            stopped: Arc::default(),
        }
    }

    /// On one line: names and reasons come from the store.
    fn say(&self, text: &str) {
        self.bar.suspend(|| note(&printable(text)));
    }
}

impl Watcher for Progress {
    fn saw(&self, event: &Event<'_>) {
        match event {
            Event::Sent(_) => self.bar.inc_length(1),
            Event::Processed(..) => self.bar.inc(1),
            Event::FailedAgain(entry, name) => {
                self.bar.inc(1);
                self.say(&format!("{} failed again: {name}", entry.failure));
            }
            Event::Skipped(entry, why) => {
                self.say(&format!("{} is not sent: {why}", entry.failure));
            }
            Event::Cleared(group) => self.say(&format!(
                "{group}: the canary was processed; the rest follows"
            )),
            Event::Aborted(group) => self.say(&format!(
                "{group}: a canary failed again; the rest is not sent"
            )),
            Event::Waiting(_) => self.bar.tick(),
            Event::Trouble(error) => self.say(&format!("{error}; it is tried again")),
        }
    }

    fn stop(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }
}

fn dry_run_text(dry_run: &DryRun) -> String {
    let rows = dry_run.groups.iter().map(|group| {
        vec![
            Column::text(&group.group),
            Column::text(&group.destination),
            Column::number(group.messages.to_string()),
            Column::number(group.canaries.to_string()),
        ]
    });
    let mut text = match dry_run.groups.is_empty() {
        true => "nothing to replay".to_owned(),
        false => table(&["GROUP", "TO", "MESSAGES", "FIRST"], rows),
    };
    text.push_str(&skipped_text(&dry_run.skipped));
    text.push_str(&format!("\n\ncut-off: {}", dry_run.cut_off));
    text
}

fn replayed_text(replayed: &Replayed) -> String {
    let counts = &replayed.counts;
    let mut text = match &replayed.replay {
        Some(id) => format!(
            "replay {id} ({}): {} processed, {} failed again, {} under way, {} not sent",
            replayed.finish,
            counts.processed,
            counts.failed_again,
            counts.under_way,
            counts.due + counts.skipped,
        ),
        None => "nothing to replay".to_owned(),
    };
    text.push_str(&skipped_text(&replayed.skipped));
    text
}

fn skipped_text(skipped: &[SkipRow]) -> String {
    if skipped.is_empty() {
        return String::new();
    }
    let rows = skipped
        .iter()
        .take(SKIPPED_SHOWN)
        .map(|skip| vec![Column::text(&skip.id), Column::text(&skip.why)]);
    let mut text = format!(
        "\n\nskipped: {}\n{}",
        skipped.len(),
        table(&["FAILURE", "WHY"], rows)
    );
    if skipped.len() > SKIPPED_SHOWN {
        text.push_str("\n… and more: --output json names all");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(finish: Finish, processed: usize, failed_again: usize, expected: Exit) {
        let counts = Counts {
            processed,
            failed_again,
            ..Counts::default()
        };
        assert_eq!(exit_of(finish, &counts), expected);
    }

    #[test]
    fn it_exits_by_what_became_of_the_messages() {
        check(Finish::Complete, 2, 0, Exit::Ok);
        check(Finish::Complete, 2, 1, Exit::FailedAgain);
        check(Finish::Complete, 0, 0, Exit::Refused);
        check(Finish::StillUnderWay, 2, 0, Exit::StillUnderWay);
        check(Finish::Stopped, 2, 0, Exit::StillUnderWay);
        check(Finish::Stopped, 2, 1, Exit::FailedAgain);
    }
}

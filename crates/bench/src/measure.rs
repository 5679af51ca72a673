//! Starts a function, gives it work, and looks at what that took.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::Fault;
use crate::http::Server;
use crate::process::{Process, bind, own_cpu};
use crate::profile;
use crate::runtime_api::{Answer, Event, Session};
use crate::standin::{StandIn, Tally};
use crate::statistics::percentile;
use crate::subject::Subject;

/// How long a function may take for all that it was given at once.
const PATIENCE: Duration = Duration::from_secs(300);
/// Batches before anything is measured: connections are open, code is compiled where a
/// runtime compiles, and no memory is new.
const WARM_UP: usize = 30;

/// The cores of driver and function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Placement {
    /// The same core.
    Together,
    /// A core each.
    Apart,
}

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amount {
    pub(crate) records: usize,
    pub(crate) batch: usize,
    pub(crate) starts: usize,
    pub(crate) slow_batches: usize,
    pub(crate) latency: Duration,
}

/// One round of one function.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) starts: Vec<Start>,
    pub(crate) first: Phase,
    pub(crate) duplicate: Phase,
    /// With a store that takes its time.
    pub(crate) slow: Phase,
    /// Other batches, in the order of [`SHAPES`]; empty where they are not measured.
    pub(crate) shapes: Vec<Phase>,
    pub(crate) peak_mib: f64,
}

/// Batches unlike those of the other phases. A third of their messages comes again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) batch: usize,
    pub(crate) latency_millis: u64,
}

pub(crate) const SHAPES: [Shape; 7] = [
    Shape::new(1, 3),
    Shape::new(5, 3),
    Shape::new(10, 0),
    Shape::new(10, 1),
    Shape::new(10, 3),
    Shape::new(10, 10),
    Shape::new(25, 3),
];

/// Batches of each shape.
const SHAPE_BATCHES: usize = 30;

impl Shape {
    const fn new(batch: usize, latency_millis: u64) -> Self {
        Self {
            batch,
            latency_millis,
        }
    }
}

/// A cold start, in milliseconds from the start of the process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    pub(crate) to_request: f64,
    pub(crate) to_answer: f64,
}

/// Some batches in a row.
#[derive(Debug)]
pub(crate) struct Phase {
    pub(crate) records: f64,
    pub(crate) seconds: f64,
    /// CPU seconds of the function.
    pub(crate) cpu: f64,
    /// CPU seconds of the driver, with the Runtime API and the store in it.
    pub(crate) driver_cpu: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) tally: Tally,
}

impl Phase {
    pub(crate) fn cpu_per_thousand(&self) -> f64 {
        self.cpu * 1_000.0 / self.records
    }

    pub(crate) fn records_per_second(&self) -> f64 {
        self.records / self.seconds
    }

    /// Requests that the stand-in answered in a second.
    pub(crate) fn requests_per_second(&self) -> f64 {
        let all: u64 = self.tally.requests.values().sum();
        float(all) / self.seconds
    }
}

/// Where a function is run.
#[derive(Debug)]
pub(crate) struct Bench<'a> {
    pub(crate) aws: &'a Arc<StandIn>,
    pub(crate) endpoint: String,
    pub(crate) driver_core: usize,
    pub(crate) function_core: usize,
    pub(crate) logs: &'a Path,
}

impl Bench<'_> {
    /// Measures a function once.
    pub(crate) fn round(&self, subject: &Subject, amount: Amount) -> Result<Round, Fault> {
        let named = |fault: Fault| -> Fault { format!("{}: {fault}", subject.name).into() };
        let count = if subject.is_quick() {
            amount.starts
        } else {
            amount.starts.div_ceil(5)
        };
        let starts = (0..count).map(|_| self.start(subject));
        let starts = starts.collect::<Result<Vec<_>, _>>().map_err(named)?;
        self.warm(subject, amount, starts).map_err(named)
    }

    /// Gives a function so many batches behind the warm-up, and has it end by itself.
    pub(crate) fn only_first(
        &self,
        subject: &Subject,
        batches: usize,
        batch: usize,
    ) -> Result<(), Fault> {
        self.aws.clear();
        let mut run = Run::start(self, subject)?;
        let per_event = subject.workload.records_of(batch);
        let orders = orders((WARM_UP + batches) * per_event);
        subject.workload.prepare(self.aws, &orders)?;
        let events = orders
            .chunks(per_event)
            .map(|it| subject.workload.event(it));
        run.invoke(events.collect::<Result<_, _>>()?)?;
        check(&self.aws.take_tally())?;
        run.process.end(profile::WRITING)
    }

    /// Starts a process and gives it one record.
    fn start(&self, subject: &Subject) -> Result<Start, Fault> {
        self.aws.clear();
        let mut run = Run::start(self, subject)?;
        let orders = orders(1);
        subject.workload.prepare(self.aws, &orders)?;
        let answers = run.invoke(vec![subject.workload.event(&orders)?])?;
        check(&self.aws.take_tally())?;
        let since = |at: Instant| millis(at.duration_since(run.process.started));
        let requested = run
            .session
            .first_request()
            .ok_or("the function asked for no work")?;
        let answered = answers
            .first()
            .ok_or("the function gave no answer")?
            .answered;
        Ok(Start {
            to_request: since(requested),
            to_answer: since(answered),
        })
    }

    fn warm(&self, subject: &Subject, amount: Amount, starts: Vec<Start>) -> Result<Round, Fault> {
        self.aws.clear();
        let mut run = Run::start(self, subject)?;
        let per_event = subject.workload.records_of(amount.batch);
        let events = |batches: usize| -> Result<Vec<Event>, Fault> {
            let orders = orders(batches.min(subject.workload.most_events()) * per_event);
            subject.workload.prepare(self.aws, &orders)?;
            orders
                .chunks(per_event)
                .map(|it| subject.workload.event(it))
                .collect()
        };
        run.invoke(events(WARM_UP)?)?;
        let batches = events(amount.records.div_ceil(per_event))?;
        let first = run.phase(batches.clone(), per_event)?;
        let duplicate = run.phase(batches, per_event)?;
        let slow = events(amount.slow_batches)?;
        let slow = run.phase_with(amount.latency, slow, per_event)?;
        let mut shapes = Vec::new();
        if subject.has_shapes && self.driver_core == self.function_core {
            for shape in SHAPES {
                let events = self.mixed(subject, shape)?;
                let latency = Duration::from_millis(shape.latency_millis);
                shapes.push(run.phase_with(latency, events, shape.batch)?);
            }
        }
        Ok(Round {
            starts,
            first,
            duplicate,
            slow,
            shapes,
            peak_mib: float(run.process.peak_kib()?) / 1024.0,
        })
    }

    /// Batches in each of which every third message was in the batch before. A single
    /// message comes again in every third batch.
    fn mixed(&self, subject: &Subject, shape: Shape) -> Result<Vec<Event>, Fault> {
        let fresh = orders(SHAPE_BATCHES * shape.batch);
        subject.workload.prepare(self.aws, &fresh)?;
        let again = |(at, order): (usize, &Uuid)| match at.checked_sub(shape.batch) {
            Some(before) if at % 3 == 2 => fresh.get(before).copied().unwrap_or(*order),
            _ => *order,
        };
        let orders: Vec<Uuid> = fresh.iter().enumerate().map(again).collect();
        orders
            .chunks(shape.batch)
            .map(|it| subject.workload.event(it))
            .collect()
    }
}

/// A process, and the Runtime API that it talks to.
struct Run<'a> {
    aws: &'a StandIn,
    session: Arc<Session>,
    process: Process,
    _server: Server,
}

impl<'a> Run<'a> {
    fn start(bench: &'a Bench<'_>, subject: &Subject) -> Result<Self, Fault> {
        let session = Arc::new(Session::new(Arc::clone(bench.aws)));
        let server = Server::start(Arc::clone(&session))?;
        let variables = variables(&server.address().to_string(), &bench.endpoint);
        let log = bench.logs.join(format!("{}.log", subject.name));
        // The process inherits the core of the thread that starts it.
        bind(bench.function_core)?;
        let process = Process::start(subject, &variables, &log);
        bind(bench.driver_core)?;
        Ok(Self {
            aws: bench.aws,
            session,
            process: process?,
            _server: server,
        })
    }

    fn invoke(&mut self, events: Vec<Event>) -> Result<Vec<Answer>, Fault> {
        let process = &mut self.process;
        let answers = self
            .session
            .invoke(events, PATIENCE, || process.alive())
            .map_err(|fault| format!("{fault}\n{}", process.log()))?;
        for answer in &answers {
            accept(answer).map_err(|wrong| format!("{wrong}\n{}", process.log()))?;
        }
        Ok(answers)
    }

    /// With a store whose requests take so much longer.
    fn phase_with(
        &mut self,
        latency: Duration,
        events: Vec<Event>,
        per_event: usize,
    ) -> Result<Phase, Fault> {
        self.aws.set_latency(latency);
        let phase = self.phase(events, per_event);
        self.aws.set_latency(Duration::ZERO);
        phase
    }

    fn phase(&mut self, events: Vec<Event>, per_event: usize) -> Result<Phase, Fault> {
        let records = events.len() * per_event;
        self.aws.take_tally();
        let (cpu, driver) = (self.process.cpu()?, own_cpu()?);
        let answers = self.invoke(events)?;
        let (cpu, driver) = (self.process.cpu()? - cpu, own_cpu()? - driver);
        let tally = self.aws.take_tally();
        check(&tally)?;
        let begin = answers.iter().map(|it| it.given).min();
        let end = answers.iter().map(|it| it.answered).max();
        let wall = begin.zip(end).map(|(begin, end)| end - begin);
        let latencies: Vec<f64> = answers
            .iter()
            .map(|it| millis(it.answered - it.given))
            .collect();
        let of = |percent| percentile(&latencies, percent).ok_or("nothing was answered");
        Ok(Phase {
            records: float(u64::try_from(records)?),
            seconds: wall.ok_or("nothing was answered")?.as_secs_f64(),
            cpu: cpu.as_secs_f64(),
            driver_cpu: driver.as_secs_f64(),
            p50: of(50)?,
            p99: of(99)?,
            tally,
        })
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.session.close();
    }
}

/// A request that the stand-in does not know makes the measurement worthless.
fn check(tally: &Tally) -> Result<(), Fault> {
    match tally.faults.first() {
        Some(fault) => Err(format!("the stand-in: {fault}").into()),
        None => Ok(()),
    }
}

/// Only what was done counts as measured.
fn accept(answer: &Answer) -> Result<(), String> {
    let body = answer
        .outcome
        .as_ref()
        .map_err(|error| format!("an error: {error}"))?;
    let response: serde_json::Value =
        serde_json::from_slice(body).map_err(|error| format!("no JSON: {error}"))?;
    let failures = response
        .get("batchItemFailures")
        .and_then(|it| it.as_array());
    let status = response
        .get("statusCode")
        .and_then(serde_json::Value::as_u64);
    if failures.is_some_and(|it| !it.is_empty()) || status.is_some_and(|it| it != 202) {
        return Err(format!("not all was done: {response}"));
    }
    Ok(())
}

fn orders(count: usize) -> Vec<Uuid> {
    (0..count).map(|_| Uuid::new_v4()).collect()
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// Counts here are small enough to be exact.
#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

/// The environment of every function: what Lambda sets, and what the template does.
fn variables(runtime: &str, endpoint: &str) -> Vec<(&'static str, String)> {
    const FIXED: [(&str, &str); 51] = [
        ("PATH", "/usr/local/bin:/usr/bin:/bin"),
        ("LANG", "en_US.UTF-8"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_DEFAULT_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "EXAMPLEACCESSKEYID"),
        ("AWS_SECRET_ACCESS_KEY", "EXAMPLESECRETACCESSKEY"),
        ("AWS_SESSION_TOKEN", "EXAMPLESESSIONTOKEN"),
        ("AWS_EXECUTION_ENV", "AWS_Lambda_provided.al2023"),
        ("AWS_LAMBDA_FUNCTION_NAME", "bench"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/bench"),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "bench"),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
        ("_HANDLER", "bootstrap"),
        ("LOG_LEVEL", "info"),
        ("POWERTOOLS_SERVICE_NAME", "bench"),
        ("ORDERS_TABLE", "Orders"),
        ("IDEMPOTENCY_TABLE", "Idempotency"),
        ("STOCK_TABLE", "Stock"),
        ("AUDIT_TABLE", "Audit"),
        ("CIRCUITS_TABLE", "Circuits"),
        ("FAILURES_TABLE", "Failures"),
        ("FAILURE_GROUPS_TABLE", "FailureGroups"),
        ("SANDBOX_LEDGER_TABLE", "SandboxLedger"),
        ("SANDBOX_STATE_TABLE", "SandboxState"),
        ("AUTH_MODE", "iam"),
        ("PAYMENT_PROVIDER", "sandbox"),
        ("WAREHOUSE_PROVIDER", "sandbox"),
        ("MAX_RECEIVES", "5"),
        ("BACKOFF_BASE_MILLIS", "1000"),
        ("BACKOFF_CAP_SECONDS", "300"),
        ("CONCURRENCY", "10"),
        ("PROBE_INTERVAL_SECONDS", "30"),
        ("RAMP_INTERVAL_SECONDS", "60"),
        ("WORKER_CONCURRENCY", "10"),
        ("AUDIT_RETENTION_DAYS", "365"),
        ("AUTOMATIC_REPLAY_MINUTES", "15"),
        ("STACK_NAME", "waybill"),
        ("CIRCUIT_CONTROL_FUNCTION", "waybill-circuit-control"),
        ("SAGA_MAPPING", "saga"),
        ("PAYMENT_MAPPING", "payment"),
        ("STOCK_MAPPING", "stock"),
        ("SHIPPING_MAPPING", "shipping"),
        ("AUDIT_MAPPING", "audit"),
        ("NOTIFY_MAPPING", "notify"),
        ("PAYMENT_FUNCTION", "waybill-payment-worker"),
        ("SHIPPING_FUNCTION", "waybill-shipping-worker"),
        (
            "PAYMENT_QUEUE_ARN",
            "arn:aws:sqs:eu-central-1:123456789012:waybill-payment",
        ),
        (
            "SHIPPING_QUEUE_ARN",
            "arn:aws:sqs:eu-central-1:123456789012:waybill-shipping",
        ),
        (
            "ORDER_SAGA_ARN",
            "arn:aws:states:eu-central-1:123456789012:stateMachine:order-saga",
        ),
    ];
    const TOPICS: [(&str, &str); 2] = [
        ("BUS_TOPIC_ARN", "bus"),
        ("NOTIFICATIONS_TOPIC_ARN", "notifications"),
    ];
    const QUEUES: [(&str, &str); 8] = [
        ("QUEUE_URL", "waybill-payment"),
        ("DLQ_URL", "waybill-payment-dlq"),
        ("QUARANTINE_QUEUE_URL", "waybill-quarantine"),
        ("PAYMENT_QUEUE_URL", "waybill-payment"),
        ("SHIPPING_QUEUE_URL", "waybill-shipping"),
        ("CONSUMER_QUEUE_URLS", "waybill-payment"),
        ("DRAINED_QUEUE_URLS", "waybill-payment-dlq"),
        ("RELAY_FAILURES_QUEUE_URL", "waybill-relay-failures"),
    ];
    let fixed = FIXED.map(|(name, value)| (name, value.to_owned()));
    let topic = |topic| format!("arn:aws:sns:eu-central-1:123456789012:waybill-{topic}");
    let queue = |queue| format!("{endpoint}/123456789012/{queue}");
    let mut all = fixed.to_vec();
    all.extend(TOPICS.map(|(name, value)| (name, topic(value))));
    all.extend(QUEUES.map(|(name, value)| (name, queue(value))));
    all.push(("AWS_ENDPOINT_URL", endpoint.to_owned()));
    all.push(("AWS_LAMBDA_RUNTIME_API", runtime.to_owned()));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(outcome: Result<&str, &str>) -> Answer {
        Answer {
            given: Instant::now(),
            answered: Instant::now(),
            outcome: outcome
                .map(|it| it.as_bytes().to_vec())
                .map_err(str::to_owned),
        }
    }

    #[test]
    fn an_answer_counts_only_where_all_was_done() {
        let is_accepted = |it: Result<&str, &str>| accept(&answer(it)).is_ok();
        assert!(is_accepted(Ok(r#"{"batchItemFailures":[]}"#)));
        assert!(is_accepted(Ok(r#"{"statusCode":202,"body":"{}"}"#)));
        assert!(is_accepted(Ok("null")));
        assert!(!is_accepted(Ok(
            r#"{"batchItemFailures":[{"itemIdentifier":"a"}]}"#
        )));
        assert!(!is_accepted(Ok(r#"{"statusCode":400}"#)));
        assert!(!is_accepted(Err("panicked")));
        assert!(!is_accepted(Ok("")));
    }
}

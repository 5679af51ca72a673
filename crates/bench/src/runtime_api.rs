//! The Lambda Runtime API, for one function's process.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::Fault;
use crate::http::{Request, Response, Service};
use crate::standin::{Message, StandIn};

/// How much time a function is told that it has.
const TIME_LIMIT: Duration = Duration::from_secs(60);
/// How often somebody who waits looks whether the function is still there.
const LOOK: Duration = Duration::from_millis(100);

/// An invocation.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) payload: Arc<[u8]>,
    /// What is put into a queue at the moment the event is handed out.
    pub(crate) letters: Vec<(String, Message)>,
}

/// What a function made of an event.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) given: Instant,
    pub(crate) answered: Instant,
    /// The response, or the error.
    pub(crate) outcome: Result<Vec<u8>, String>,
}

/// One process and its events.
#[derive(Debug)]
pub(crate) struct Session {
    state: Mutex<State>,
    changed: Condvar,
    aws: Arc<StandIn>,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Event>,
    given: Vec<Instant>,
    answers: Vec<Answer>,
    first_request: Option<Instant>,
    fault: Option<String>,
    closed: bool,
}

impl Session {
    pub(crate) fn new(aws: Arc<StandIn>) -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            aws,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands these events out, one after the other, and gives the answers.
    ///
    /// `alive` says why nothing more can come, if so.
    pub(crate) fn invoke(
        &self,
        events: Vec<Event>,
        patience: Duration,
        mut alive: impl FnMut() -> Result<(), Fault>,
    ) -> Result<Vec<Answer>, Fault> {
        let count = events.len();
        let end = Instant::now() + patience;
        let mut state = self.state();
        state.answers.clear();
        state.events.extend(events);
        self.changed.notify_all();
        while state.answers.len() < count {
            if let Some(fault) = &state.fault {
                return Err(format!("the function did not start: {fault}").into());
            }
            alive()?;
            if Instant::now() > end {
                let missing = count - state.answers.len();
                return Err(format!("{missing} of {count} answers did not come in time").into());
            }
            let waited = self.changed.wait_timeout(state, LOOK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(std::mem::take(&mut state.answers))
    }

    /// When the function first asked for work.
    pub(crate) fn first_request(&self) -> Option<Instant> {
        self.state().first_request
    }

    /// Lets go of whoever waits for an event.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }

    fn next(&self) -> Response {
        let mut state = self.state();
        state.first_request.get_or_insert_with(Instant::now);
        let event = loop {
            if state.closed {
                return plain(410, "the session is over");
            }
            match state.events.pop_front() {
                Some(event) => break event,
                None => {
                    let waited = self.changed.wait(state);
                    state = waited.unwrap_or_else(PoisonError::into_inner);
                }
            }
        };
        for (queue, message) in event.letters {
            self.aws.put_in_queue(&queue, message);
        }
        let id = state.given.len();
        state.given.push(Instant::now());
        drop(state);
        let deadline = SystemTime::now() + TIME_LIMIT;
        let deadline = deadline.duration_since(UNIX_EPOCH).unwrap_or_default();
        let arn = "arn:aws:lambda:eu-central-1:123456789012:function:bench".to_owned();
        let trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0".to_owned();
        Response {
            status: 200,
            headers: vec![
                ("Lambda-Runtime-Aws-Request-Id", request_id(id)),
                (
                    "Lambda-Runtime-Deadline-Ms",
                    deadline.as_millis().to_string(),
                ),
                ("Lambda-Runtime-Invoked-Function-Arn", arn),
                ("Lambda-Runtime-Trace-Id", trace),
            ],
            content_type: "application/json",
            body: event.payload.to_vec(),
            delay: Duration::ZERO,
        }
    }

    fn answered(&self, id: &str, outcome: Result<Vec<u8>, String>) -> Response {
        let answered = Instant::now();
        let mut state = self.state();
        let Some(given) = number(id).and_then(|id| state.given.get(id).copied()) else {
            state.fault = Some(format!("an answer to {id}, which nobody asked"));
            self.changed.notify_all();
            return plain(400, "no such request");
        };
        state.answers.push(Answer {
            given,
            answered,
            outcome,
        });
        self.changed.notify_all();
        plain(202, "{\"status\":\"OK\"}")
    }
}

impl Service for Session {
    fn answer(&self, request: Request) -> Response {
        let path = request.path.trim_start_matches("/2018-06-01/runtime/");
        let text = || String::from_utf8_lossy(&request.body).into_owned();
        match path.split('/').collect::<Vec<_>>().as_slice() {
            ["invocation", "next"] => self.next(),
            ["invocation", id, "response"] => self.answered(id, Ok(request.body)),
            ["invocation", id, "error"] => self.answered(id, Err(text())),
            ["init", "error"] => {
                self.state().fault = Some(text());
                self.changed.notify_all();
                plain(202, "{\"status\":\"OK\"}")
            }
            _ => plain(404, "no such path"),
        }
    }
}

fn plain(status: u16, body: &str) -> Response {
    Response {
        status,
        headers: Vec::new(),
        content_type: "application/json",
        body: body.as_bytes().to_vec(),
        delay: Duration::ZERO,
    }
}

/// In the form of Lambda's ids, which a runtime may check.
fn request_id(number: usize) -> String {
    format!("8476a536-e9f4-11e8-9739-{number:012}")
}

fn number(id: &str) -> Option<usize> {
    id.rsplit('-').next()?.parse().ok()
}

//! AWS in memory, as far as the functions call it: DynamoDB, and answers for the others.

mod expression;
mod tables;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use self::tables::{Refusal, Tables};
use crate::http::{Request, Response, Service};

/// A message in a queue, in the form in which SQS gives it out.
pub(crate) type Message = Value;

/// All services on one address, told apart as AWS's protocols allow.
#[derive(Debug, Default)]
pub(crate) struct StandIn {
    tables: Mutex<Tables>,
    queues: Mutex<HashMap<String, VecDeque<Message>>>,
    tally: Mutex<Tally>,
    latency_micros: AtomicU64,
}

/// What was asked.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tally {
    /// Requests by service, operation and table.
    pub(crate) requests: BTreeMap<(String, String, String), u64>,
    /// Write units by table.
    pub(crate) units: BTreeMap<String, u64>,
    /// What is not known here. A measurement with a fault is none.
    pub(crate) faults: Vec<String>,
}

const JSON: &str = "application/x-amz-json-1.0";
const SANDBOX: &str = "Sandbox";

impl Tally {
    /// The requests of a service that fulfil a condition on operation and table.
    fn count(&self, service: &str, is: impl Fn(&str, &str) -> bool) -> u64 {
        let fits = |(of, operation, table): &(String, String, String)| {
            of == service && is(operation, table)
        };
        let found = self.requests.iter().filter(|(key, _)| fits(key));
        found.map(|(_, count)| count).sum()
    }

    /// Requests to the tables, but for those that the sandbox's providers make of theirs.
    pub(crate) fn store_requests(&self) -> u64 {
        self.count("DynamoDB", |_, table| !table.starts_with(SANDBOX))
    }

    /// Requests that stand for those of an outside party.
    pub(crate) fn sandbox_requests(&self) -> u64 {
        self.count("DynamoDB", |_, table| table.starts_with(SANDBOX))
    }

    /// Write units of the tables, but for the sandbox's.
    pub(crate) fn write_units(&self) -> u64 {
        let own = |(table, _): &(&String, &u64)| !table.starts_with(SANDBOX);
        self.units.iter().filter(own).map(|(_, units)| units).sum()
    }

    /// Requests to one service.
    pub(crate) fn of(&self, service: &str) -> u64 {
        self.count(service, |_, _| true)
    }
}

impl StandIn {
    fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
        of.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on each request to a table takes so much longer.
    pub(crate) fn set_latency(&self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.latency_micros.store(micros, Ordering::Relaxed);
    }

    /// Puts an item into a table.
    pub(crate) fn seed(&self, table: &str, item: &Value) -> Result<(), String> {
        let item = item.as_object().ok_or("an item is no object")?;
        Self::lock(&self.tables).seed(table, item.clone())
    }

    /// Forgets all items and messages.
    pub(crate) fn clear(&self) {
        *Self::lock(&self.tables) = Tables::default();
        Self::lock(&self.queues).clear();
    }

    /// Puts a message into a queue.
    pub(crate) fn put_in_queue(&self, queue: &str, message: Message) {
        let mut queues = Self::lock(&self.queues);
        queues
            .entry(queue.to_owned())
            .or_default()
            .push_back(message);
    }

    /// What was asked since this was called last.
    pub(crate) fn take_tally(&self) -> Tally {
        std::mem::take(&mut *Self::lock(&self.tally))
    }

    fn count(&self, service: &str, operation: &str, table: &str) {
        let mut tally = Self::lock(&self.tally);
        let key = (service.to_owned(), operation.to_owned(), table.to_owned());
        *tally.requests.entry(key).or_default() += 1;
    }

    fn fault(&self, what: &str) -> Response {
        Self::lock(&self.tally).faults.push(what.to_owned());
        error("ValidationException", json!({ "message": what }))
    }

    fn dynamodb(&self, operation: &str, body: &[u8]) -> Response {
        let request: Value = match serde_json::from_slice(body) {
            Ok(request) => request,
            Err(wrong) => return self.fault(&format!("{operation}: {wrong}")),
        };
        let done = Self::lock(&self.tables).ask(operation, &request);
        let first = |part: &Value| part.as_object()?.values().next()?.get("TableName").cloned();
        let table = request.get("TableName").cloned();
        let table = table.or_else(|| first(&request["TransactItems"][0]));
        let table = table.as_ref().and_then(Value::as_str);
        self.count("DynamoDB", operation, table.unwrap_or_default());
        let mut tally = Self::lock(&self.tally);
        for (table, units) in done.units {
            *tally.units.entry(table).or_default() += units;
        }
        drop(tally);
        match done.answer {
            Ok(answer) => ok(JSON, answer.to_string()),
            Err(Refusal::Condition(item)) => refused(item),
            Err(Refusal::Transaction(reasons)) => cancelled(reasons),
            Err(Refusal::Wrong(wrong)) => self.fault(&format!("{operation}: {wrong}")),
        }
    }

    fn latency(&self) -> Duration {
        Duration::from_micros(self.latency_micros.load(Ordering::Relaxed))
    }

    fn sqs(&self, operation: &str, body: &[u8]) -> Response {
        self.count("SQS", operation, "");
        let request: Value = serde_json::from_slice(body).unwrap_or_default();
        let url = request["QueueUrl"].as_str().unwrap_or_default();
        let queue = url.rsplit('/').next().unwrap_or(url);
        match operation {
            "SendMessage" => ok(JSON, json!({ "MessageId": "sent" }).to_string()),
            "ReceiveMessage" => {
                let mut queues = Self::lock(&self.queues);
                let waiting = queues.entry(queue.to_owned()).or_default();
                let most = waiting.len().min(10);
                let given: Vec<_> = waiting.drain(..most).collect();
                ok(JSON, json!({ "Messages": given }).to_string())
            }
            "DeleteMessage" | "ChangeMessageVisibility" => ok(JSON, "{}".to_owned()),
            other => self.fault(&format!("SQS's {other} is not known")),
        }
    }

    fn step_functions(&self, operation: &str) -> Response {
        self.count("Step Functions", operation, "");
        match operation {
            "SendTaskSuccess" | "SendTaskFailure" => ok(JSON, "{}".to_owned()),
            "StartExecution" => {
                let arn = "arn:aws:states:eu-central-1:123456789012:execution:order-saga:x";
                ok(
                    JSON,
                    json!({ "executionArn": arn, "startDate": 1 }).to_string(),
                )
            }
            other => self.fault(&format!("Step Functions' {other} is not known")),
        }
    }

    fn lambda(&self, request: &Request) -> Response {
        self.count("Lambda", &request.method, "");
        if request.method == "GET" && request.path.contains("/event-source-mappings/") {
            let mapping =
                json!({ "State": "Enabled", "ScalingConfig": { "MaximumConcurrency": 10 } });
            return ok("application/json", mapping.to_string());
        }
        self.fault(&format!(
            "Lambda's {} {} is not known",
            request.method, request.path
        ))
    }

    fn sns(&self, body: &[u8]) -> Response {
        let form = String::from_utf8_lossy(body);
        let action = form
            .split('&')
            .find_map(|field| field.strip_prefix("Action="));
        let action = action.unwrap_or_default();
        self.count("SNS", action, "");
        match action {
            "Publish" => xml("Publish", "<MessageId>published</MessageId>"),
            "PublishBatch" => {
                let is_id = |field: &&str| {
                    let (name, _) = field.split_once('=').unwrap_or_default();
                    name.starts_with("PublishBatchRequestEntries.") && name.ends_with(".Id")
                };
                let entries = form.split('&').filter(is_id);
                let entries = entries.filter_map(|field| field.split_once('='));
                let members: String = entries
                    .map(|(_, id)| {
                        format!("<member><MessageId>{id}</MessageId><Id>{id}</Id></member>")
                    })
                    .collect();
                let result = format!("<Failed/><Successful>{members}</Successful>");
                xml("PublishBatch", &result)
            }
            other => self.fault(&format!("SNS's {other} is not known")),
        }
    }
}

impl Service for StandIn {
    fn answer(&self, request: Request) -> Response {
        let target = request.target.as_deref().unwrap_or_default();
        let (service, operation) = target.split_once('.').unwrap_or_default();
        match service {
            "DynamoDB_20120810" => Response {
                delay: self.latency(),
                ..self.dynamodb(operation, &request.body)
            },
            "AmazonSQS" => self.sqs(operation, &request.body),
            "AWSStepFunctions" => self.step_functions(operation),
            "" if request.path.starts_with("/2015-03-31/") => self.lambda(&request),
            "" => self.sns(&request.body),
            other => self.fault(&format!("{other} is not known")),
        }
    }
}

fn ok(content_type: &'static str, body: String) -> Response {
    Response {
        status: 200,
        headers: Vec::new(),
        content_type,
        body: body.into_bytes(),
        delay: Duration::ZERO,
    }
}

fn error(name: &str, mut body: Value) -> Response {
    body["__type"] = json!(format!("com.amazonaws.dynamodb.v20120810#{name}"));
    Response {
        status: 400,
        headers: Vec::new(),
        content_type: JSON,
        body: body.to_string().into_bytes(),
        delay: Duration::ZERO,
    }
}

fn refused(item: Option<expression::Item>) -> Response {
    let mut body = json!({ "message": "The conditional request failed" });
    if let Some(item) = item {
        body["Item"] = Value::Object(item);
    }
    error("ConditionalCheckFailedException", body)
}

fn cancelled(reasons: Vec<Option<Option<expression::Item>>>) -> Response {
    let reasons: Vec<_> = reasons
        .into_iter()
        .map(|reason| match reason {
            None => json!({ "Code": "None" }),
            Some(None) => json!({ "Code": "ConditionalCheckFailed" }),
            Some(Some(item)) => json!({ "Code": "ConditionalCheckFailed", "Item": item }),
        })
        .collect();
    let body = json!({ "Message": "Transaction cancelled", "CancellationReasons": reasons });
    error("TransactionCanceledException", body)
}

fn xml(action: &str, result: &str) -> Response {
    let body = format!(
        "<{action}Response xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\">\
         <{action}Result>{result}</{action}Result></{action}Response>"
    );
    ok("text/xml", body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(aws: &StandIn, target: &str, body: &Value) -> (u16, Value) {
        let response = aws.answer(Request {
            method: "POST".to_owned(),
            path: "/".to_owned(),
            target: Some(target.to_owned()),
            body: body.to_string().into_bytes(),
        });
        (
            response.status,
            serde_json::from_slice(&response.body).unwrap(),
        )
    }

    #[test]
    fn the_sandboxes_tables_are_counted_apart() {
        let aws = StandIn::default();
        for table in ["Idempotency", "Orders", "SandboxState"] {
            let item = json!({ "id": { "S": "a" }, "orderId": { "S": "a" }, "key": { "S": "a" } });
            let (status, _) = ask(
                &aws,
                "DynamoDB_20120810.PutItem",
                &json!({ "TableName": table, "Item": item }),
            );
            assert_eq!(status, 200);
        }
        let tally = aws.take_tally();
        assert_eq!(
            (
                tally.store_requests(),
                tally.sandbox_requests(),
                tally.write_units()
            ),
            (2, 1, 2)
        );
        assert_eq!(aws.take_tally().store_requests(), 0);
    }

    #[test]
    fn what_is_not_known_is_told_as_a_fault() {
        let aws = StandIn::default();
        let (status, _) = ask(
            &aws,
            "DynamoDB_20120810.BatchGetItem",
            &json!({ "TableName": "T" }),
        );
        assert_eq!(status, 400);
        assert_eq!(aws.take_tally().faults.len(), 1);
    }

    #[test]
    fn each_entry_of_a_batch_is_confirmed_by_its_id() {
        let body = b"Action=PublishBatch&TopicArn=t&PublishBatchRequestEntries.member.1.Id=0\
            &PublishBatchRequestEntries.member.1.Message=x&PublishBatchRequestEntries.member.2.Id=1";
        let answer = String::from_utf8(StandIn::default().sns(body).body).unwrap();
        assert!(
            answer.contains("<Id>0</Id>") && answer.contains("<Id>1</Id>"),
            "{answer}"
        );
    }
}

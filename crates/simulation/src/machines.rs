//! Step Functions: runs the state machines as they are deployed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bumpalo::Bump;
use contracts::{EventMessage, Reason, Timestamp};
use domain::{OrderId, evolve};
use idempotency::record::State;
use jsonata_rs::JsonAta;
use ports::{Answer, Answered, SagaStart};
use serde_json::{Map, Value, json};
use testkit::{OrderCondition, OrderWrite, Recovery};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::bus;
use crate::mishaps::Mishap;
use crate::sim::Sim;
use crate::template::DEPLOYED;

/// The machines that are simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Machine {
    /// The saga of an order.
    Saga,
    /// Marks the order of a saga that died.
    Rescue,
    /// A person's attempt to finish an order.
    Recovery,
}

static SAGA: LazyLock<Value> =
    LazyLock::new(|| parse(include_str!("../../../infra/order-saga.asl.json")));
static RESCUE: LazyLock<Value> =
    LazyLock::new(|| parse(include_str!("../../../infra/saga-rescue.asl.json")));
static RECOVERY: LazyLock<Value> =
    LazyLock::new(|| parse(include_str!("../../../infra/order-recovery.asl.json")));

#[allow(
    clippy::expect_used,
    reason = "a machine that cannot be read simulates nothing"
)]
fn parse(definition: &str) -> Value {
    let seconds = |name: &str, value: u64| (format!("${{{name}}}"), value.to_string());
    let filled = [
        seconds("StepTimeoutSeconds", DEPLOYED.step_seconds),
        seconds("UndoTimeoutSeconds", DEPLOYED.undo_seconds),
    ]
    .into_iter()
    .fold(definition.to_owned(), |text, (name, value)| {
        text.replace(&name, &value)
    });
    serde_json::from_str(&filled).expect("the state machine is JSON once its numbers are filled in")
}

impl Machine {
    fn definition(self) -> &'static Value {
        match self {
            Self::Saga => &SAGA,
            Self::Rescue => &RESCUE,
            Self::Recovery => &RECOVERY,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Saga => "saga",
            Self::Rescue => "rescue",
            Self::Recovery => "recovery",
        }
    }
}

/// What is known of executions.
#[derive(Debug, Default)]
pub(crate) struct Machines {
    executions: BTreeMap<(Machine, String), Option<&'static str>>,
    tasks: BTreeMap<String, Task>,
    /// Why an order may need attention.
    reasons: BTreeMap<OrderId, BTreeSet<&'static str>>,
}

/// A task that waits for its answer, or did.
#[derive(Debug, Default)]
struct Task {
    /// Of which order and step, in words that may be shown.
    what: String,
    is_waiting: bool,
    answer: Option<Answer>,
    answered: Arc<Notify>,
}

impl Machines {
    /// A task without its token.
    pub(crate) fn told(&self, token: &str) -> String {
        let task = self.tasks.get(token);
        task.map_or_else(|| "an unknown task".to_owned(), |task| task.what.clone())
    }

    /// The executions that run.
    pub(crate) fn running(&self) -> Vec<String> {
        let running = self.executions.iter().filter(|(_, end)| end.is_none());
        running
            .map(|((machine, name), _)| format!("{} {name}", machine.name()))
            .collect()
    }

    /// Whether an execution of this name was started, and how it ended if it did.
    pub(crate) fn execution(&self, machine: Machine, name: &str) -> Option<Option<&'static str>> {
        self.executions.get(&(machine, name.to_owned())).copied()
    }

    pub(crate) fn may_need_attention(&self, order: OrderId) -> bool {
        self.reasons.contains_key(&order)
    }
}

/// Starts the saga of an order, once.
pub(crate) fn start_saga(sim: &Sim, order: OrderId, input: &str) -> SagaStart {
    let input = serde_json::from_str(input).unwrap_or_default();
    match start(sim, Machine::Saga, order.to_string(), order, input) {
        true => SagaStart::Started,
        false => SagaStart::AlreadyExists,
    }
}

/// Starts an execution, unless there is or was one of this name.
pub(crate) fn start(
    sim: &Sim,
    machine: Machine,
    name: String,
    order: OrderId,
    input: Value,
) -> bool {
    let key = (machine, name.clone());
    {
        let mut state = sim.state();
        if state.machines.executions.contains_key(&key) {
            return false;
        }
        state.machines.executions.insert(key.clone(), None);
    }
    let execution = Execution {
        sim: sim.clone(),
        machine,
        actor: format!("{} {name}", machine.name()),
        order,
        started: stamp(sim),
        name,
        input,
        variables: Map::new(),
    };
    sim.spawn(async move {
        let (sim, input) = (execution.sim.clone(), execution.input.clone());
        let end = execution.run().await;
        sim.count(format!("{} ends: {end}", machine.name()));
        sim.state().machines.executions.insert(key, Some(end));
        if machine == Machine::Saga && end != "SUCCEEDED" {
            let longest = Duration::from_secs(60);
            sleep(sim.up_to(longest)).await;
            let event = json!({ "detail": { "input": input.to_string(), "status": end } });
            start(&sim, Machine::Rescue, order.to_string(), order, event);
        }
    });
    true
}

/// A worker's answer: a token takes one, and none after its time.
pub(crate) fn answer(sim: &Sim, token: &str, answer: Answer) -> Answered {
    let mut state = sim.state();
    match state.machines.tasks.get_mut(token) {
        Some(task) if task.is_waiting => {
            task.is_waiting = false;
            task.answer = Some(answer);
            task.answered.notify_one();
            Answered::Delivered
        }
        _ => Answered::Stale,
    }
}

fn stamp(sim: &Sim) -> String {
    Timestamp::from_epoch_millis(sim.now().get()).to_string()
}

/// An error that a machine catches.
#[derive(Debug)]
struct Caught {
    name: String,
    cause: String,
}

impl Caught {
    fn new(name: &str, cause: &str) -> Self {
        Self {
            name: name.to_owned(),
            cause: cause.to_owned(),
        }
    }

    /// An expression that fails, or gives nothing.
    fn expression(cause: &str) -> Self {
        Self::new("States.QueryEvaluationError", cause)
    }

    /// What does not even make a request; `States.ALL` does not catch it.
    fn runtime(cause: &str) -> Self {
        Self::new("States.Runtime", cause)
    }
}

/// The state to which a choice leads.
fn chosen(state: &'static Value, result: &Value) -> &'static str {
    let index = result.as_u64().and_then(|it| usize::try_from(it).ok());
    let choice = index.and_then(|index| state["Choices"].get(index));
    text(choice.map_or(&state["Default"], |choice| &choice["Next"]))
}

/// One execution.
struct Execution {
    sim: Sim,
    machine: Machine,
    name: String,
    actor: String,
    order: OrderId,
    started: String,
    input: Value,
    variables: Map<String, Value>,
}

impl Execution {
    /// Runs to the end and gives its status.
    async fn run(mut self) -> &'static str {
        let definition = self.machine.definition();
        let mut name = text(&definition["StartAt"]);
        loop {
            if self.machine != Machine::Rescue && self.sim.draw(Mishap::SagaStopped) {
                self.sim
                    .tell(&self.actor, format_args!("is stopped before {name}"));
                self.reason("its saga died");
                return "ABORTED";
            }
            self.sim.tell(&self.actor, format_args!("enters {name}"));
            let state = &definition["States"][name];
            let outcome = match text(&state["Type"]) {
                "Task" => self.attempt(name, state).await,
                "Choice" => self.choose(state),
                "Succeed" => Ok(Value::Null),
                _ => return "FAILED",
            };
            match self.next(name, state, outcome) {
                Ok(Some(next)) => name = next,
                Ok(None) => return "SUCCEEDED",
                Err(caught) => {
                    let died = format_args!("dies in {name} of {}", caught.name);
                    self.sim.tell(&self.actor, died);
                    self.reason("its saga died");
                    return "FAILED";
                }
            }
        }
    }

    /// The state that follows; none at the end. An error that nothing catches ends the
    /// execution.
    fn next(
        &mut self,
        name: &str,
        state: &'static Value,
        outcome: Result<Value, Caught>,
    ) -> Result<Option<&'static str>, Caught> {
        let leaves = match outcome {
            Ok(result) if state["Type"] == "Choice" => return Ok(Some(chosen(state, &result))),
            Ok(result) => self.leave(state, &json!({ "result": result })),
            Err(caught) => Err(caught),
        };
        let Err(caught) = leaves else {
            return Ok(state["Next"].as_str());
        };
        let told = format_args!("{name} ends with {}", caught.name);
        self.sim.tell(&self.actor, told);
        self.blame(name, &caught);
        let mut catches = state["Catch"].as_array().into_iter().flatten();
        let Some(catch) = catches.find(|catch| names(catch, &caught.name)) else {
            return Err(caught);
        };
        let output = json!({ "Error": caught.name, "Cause": caught.cause });
        self.leave(catch, &json!({ "errorOutput": output }))?;
        Ok(catch["Next"].as_str())
    }

    /// Sets the variables and writes the output of a state, or of a catch.
    fn leave(&mut self, from: &Value, states: &Value) -> Result<(), Caught> {
        let mut scope = states.clone();
        scope["context"] = self.context("");
        let assigned = self.fill(&from["Assign"], &scope)?;
        self.fill(&from["Output"], &scope)?;
        if let Value::Object(assigned) = assigned {
            self.variables.extend(assigned);
        }
        Ok(())
    }

    /// What entitles the order to need attention.
    fn blame(&self, name: &str, caught: &Caught) {
        let is_undo = ["CancelShipment", "Release", "Refund"].contains(&name);
        let is_write =
            caught.name.starts_with("DynamoDB") && !caught.name.contains("ConditionalCheck");
        match (is_undo, is_write) {
            (true, _) => self.reason("an undo failed"),
            (_, true) => self.reason("its end could not be written"),
            _ => {}
        }
    }

    fn reason(&self, reason: &'static str) {
        let mut state = self.sim.state();
        state
            .machines
            .reasons
            .entry(self.order)
            .or_default()
            .insert(reason);
    }

    /// The number of the first choice whose condition holds.
    fn choose(&self, state: &Value) -> Result<Value, Caught> {
        let scope = json!({ "context": self.context("") });
        let choices = state["Choices"].as_array().into_iter().flatten();
        for (index, choice) in choices.enumerate() {
            match self.fill(&choice["Condition"], &scope)? {
                Value::Bool(false) => {}
                Value::Bool(true) => return Ok(index.into()),
                other => return Err(Caught::expression(&format!("{other} is no condition"))),
            }
        }
        Ok(Value::Null)
    }

    /// A task, and again as its retriers say.
    async fn attempt(&self, name: &str, state: &Value) -> Result<Value, Caught> {
        let fails_on =
            self.sim.draw(Mishap::MachineCallFails) && self.sim.state().random.u8(0..4) == 0;
        let mut attempts = 0;
        loop {
            let caught = match self.task(name, state, fails_on).await {
                Ok(result) => return Ok(result),
                Err(caught) => caught,
            };
            let retriers = state["Retry"].as_array().into_iter().flatten();
            let Some(retrier) = retriers.into_iter().find(|it| names(it, &caught.name)) else {
                return Err(caught);
            };
            if attempts >= retrier["MaxAttempts"].as_u64().unwrap_or(3) {
                return Err(caught);
            }
            let number = |name: &str| retrier[name].as_u64().unwrap_or(1);
            let doublings = u32::try_from(attempts).unwrap_or(u32::MAX);
            let factor = number("BackoffRate").saturating_pow(doublings);
            let doubled = number("IntervalSeconds").saturating_mul(factor);
            let longest = Duration::from_secs(doubled.min(number("MaxDelaySeconds")));
            sleep(self.sim.up_to(longest)).await;
            attempts += 1;
        }
    }

    async fn task(&self, name: &str, state: &Value, fails_on: bool) -> Result<Value, Caught> {
        sleep(self.sim.up_to(Duration::from_millis(50))).await;
        let fails = fails_on || self.sim.draw(Mishap::MachineCallFails);
        let has_effect = !fails || self.sim.state().random.bool();
        let arguments = || self.fill(&state["Arguments"], &json!({ "context": self.context("") }));
        match text(&state["Resource"]) {
            "arn:aws:states:::sns:publish.waitForTaskToken" => {
                self.ask(name, state, fails, has_effect).await
            }
            "arn:aws:states:::dynamodb:updateItem" => {
                let arguments = arguments()?;
                let written = !has_effect || self.update(&arguments)?;
                self.sim.check();
                match (fails, written) {
                    (true, _) => Err(Caught::new(
                        "DynamoDB.InternalServerErrorException",
                        "injected",
                    )),
                    (_, false) => Err(Caught::new("DynamoDB.ConditionalCheckFailedException", "")),
                    _ => Ok(Value::Null),
                }
            }
            "arn:aws:states:::dynamodb:getItem" if fails => Err(Caught::new(
                "DynamoDB.InternalServerErrorException",
                "injected",
            )),
            "arn:aws:states:::dynamodb:getItem" => self.read_order(&arguments()?),
            "arn:aws:states:::aws-sdk:dynamodb:batchGetItem" if fails => {
                Err(Caught::new("DynamoDb.DynamoDbException", "injected"))
            }
            "arn:aws:states:::aws-sdk:dynamodb:batchGetItem" => Ok(self.read(&arguments()?)),
            other => unknown("resource", other),
        }
    }

    /// Puts a command on the bus and waits for the answer.
    async fn ask(
        &self,
        name: &str,
        state: &Value,
        fails: bool,
        has_effect: bool,
    ) -> Result<Value, Caught> {
        let (token, answered) = self.open_task(name);
        let scope = json!({ "context": self.context(&token) });
        let filled = self.fill(&state["Arguments"], &scope);
        let arguments = filled.inspect_err(|_| drop(self.close_task(&token)))?;
        if has_effect {
            bus::publish(&self.sim, &Arc::from(text(&arguments["Message"])));
        }
        if fails {
            self.close_task(&token);
            return Err(Caught::new("SNS.SdkClientException", "injected"));
        }
        let limit = match self.sim.draw(Mishap::EarlyTimeLimit) {
            true => self.sim.up_to(Duration::from_secs(60)),
            false => Duration::from_secs(state["TimeoutSeconds"].as_u64().unwrap_or(u64::MAX)),
        };
        let _waited = timeout(limit, answered.notified()).await;
        match self.close_task(&token) {
            Some(Answer::Success(output)) => Ok(serde_json::from_str(&output).unwrap_or_default()),
            Some(Answer::Failure { error, cause }) => Err(Caught::new(error, &cause)),
            None => Err(Caught::new("States.Timeout", "")),
        }
    }

    fn open_task(&self, name: &str) -> (String, Arc<Notify>) {
        let mut state = self.sim.state();
        let tasks = &mut state.machines.tasks;
        let token = format!("task-token-{}", tasks.len());
        let task = Task {
            what: format!("{name} of {}", self.order),
            is_waiting: true,
            ..Task::default()
        };
        let answered = Arc::clone(&task.answered);
        tasks.insert(token.clone(), task);
        (token, answered)
    }

    /// Nobody waits any more.
    fn close_task(&self, token: &str) -> Option<Answer> {
        let mut state = self.sim.state();
        let task = state.machines.tasks.get_mut(token)?;
        task.is_waiting = false;
        task.answer.clone()
    }

    /// Writes into the order's item; `false` where a condition does not hold.
    fn update(&self, arguments: &Value) -> Result<bool, Caught> {
        let values = &arguments["ExpressionAttributeValues"];
        // All conditions are of an order that was placed.
        let Some(order) = self.placed(arguments)? else {
            return Ok(false);
        };
        let conditions = arguments["ConditionExpression"]
            .as_str()
            .unwrap_or_default();
        let conditions: Vec<_> = conditions
            .split(" AND ")
            .filter(|condition| !condition.is_empty())
            .map(|condition| self.condition(condition))
            .collect();
        let write = write(text(&arguments["UpdateExpression"]), values);
        let is_written = self.sim.world().write_order(order, &conditions, &write);
        let what = write.event.as_ref().map(|event| event.kind.to_string());
        self.sim.tell(
            &self.actor,
            format_args!(
                "writes {}: {is_written}",
                what.as_deref().unwrap_or("no event")
            ),
        );
        Ok(is_written)
    }

    /// The order that a key means, if one was placed under it.
    fn placed(&self, arguments: &Value) -> Result<Option<OrderId>, Caught> {
        let Some(key) = arguments["Key"]["orderId"]["S"].as_str() else {
            return Err(Caught::runtime("a key of type S takes a string"));
        };
        if key.is_empty() {
            let name = "DynamoDB.AmazonDynamoDBException";
            return Err(Caught::new(name, "a key is not empty"));
        }
        let order = key.parse().ok();
        Ok(order.filter(|order| self.sim.world().orders().contains(order)))
    }

    fn condition(&self, condition: &str) -> OrderCondition {
        match condition {
            // Only an order that was placed has a customer.
            "attribute_exists(customerId)" => OrderCondition::Exists,
            "NOT #status IN (:completed, :failed, :attention)" => OrderCondition::NotEnded,
            "#status = :attention" => OrderCondition::NeedsAttention,
            "recovery.#name = :name" => OrderCondition::RecoveredBy(self.name.clone()),
            other => unknown("condition", other),
        }
    }

    /// The order's item, as far as a machine reads it; an empty answer where none was placed.
    fn read_order(&self, arguments: &Value) -> Result<Value, Caught> {
        Ok(match self.placed(arguments)? {
            Some(_) => json!({ "Item": { "customerId": { "S": "the customer" } } }),
            None => json!({}),
        })
    }

    /// The states of the records.
    fn read(&self, arguments: &Value) -> Value {
        let mut responses = Map::new();
        for (table, request) in arguments["RequestItems"].as_object().into_iter().flatten() {
            let keys = request["Keys"].as_array().into_iter().flatten();
            let records = keys.filter_map(|key| self.sim.world().record(text(&key["id"]["S"])));
            let items: Vec<_> = records.map(|record| item(&record.state)).collect();
            responses.insert(table.clone(), items.into());
        }
        json!({ "Responses": responses })
    }

    fn context(&self, token: &str) -> Value {
        json!({
            "Execution": { "Input": self.input, "Name": self.name, "StartTime": self.started },
            "State": { "EnteredTime": stamp(&self.sim) },
            "Task": { "Token": token },
        })
    }

    /// A value with all its expressions evaluated.
    fn fill(&self, value: &Value, scope: &Value) -> Result<Value, Caught> {
        match value {
            Value::String(text) => {
                match text.strip_prefix("{%").and_then(|it| it.strip_suffix("%}")) {
                    Some(expression) => evaluate(expression.trim(), scope, &self.variables),
                    None => Ok(value.clone()),
                }
            }
            Value::Array(items) => items.iter().map(|item| self.fill(item, scope)).collect(),
            Value::Object(members) => {
                let filled = members
                    .iter()
                    .map(|(name, it)| Ok((name.clone(), self.fill(it, scope)?)));
                Ok(Value::Object(filled.collect::<Result<_, Caught>>()?))
            }
            other => Ok(other.clone()),
        }
    }
}

/// As the idempotency table writes it, as far as a machine reads it.
fn item(state: &State) -> Value {
    match state {
        State::Started { .. } => json!({ "state": { "S": "started" } }),
        State::Completed { result, .. } => {
            json!({ "state": { "S": "completed" }, "result": { "S": result.as_str() } })
        }
        State::Undoing { .. } => json!({ "state": { "S": "undoing" } }),
        State::Undone { .. } => json!({ "state": { "S": "undone" } }),
    }
}

/// What an update expression of ours writes.
#[allow(
    clippy::expect_used,
    reason = "an event that does not parse is a defect of the machine"
)]
fn write(expression: &str, values: &Value) -> OrderWrite {
    let event = expression
        .contains("list_append(if_not_exists(timeline")
        .then(|| {
            let json = text(&values[":events"]["L"][0]["S"]).to_owned();
            let kind = EventMessage::parse(&json)
                .expect("the machine writes events")
                .kind;
            contracts::StoredEvent { kind, json }
        });
    let set = expression
        .split("#status = ")
        .nth(1)
        .and_then(|rest| rest.split([',', ' ']).next());
    let set = set.map(|name| text(&values[name]["S"]));
    let follows = event.as_ref().and_then(|event| evolve(event.kind));
    assert_eq!(
        set,
        follows.map(|status| status.as_str()),
        "the status follows from the event"
    );
    let reason = expression.contains("reason = :reason").then(|| {
        let part = |name: &str| text(&values[":reason"]["M"][name]["S"]).to_owned();
        Reason {
            code: part("code"),
            message: part("message"),
        }
    });
    let begins = expression.contains("recovery = :recovery").then(|| {
        let part = |name: &str| text(&values[":recovery"]["M"][name]["S"]).to_owned();
        Recovery {
            name: part("name"),
            mode: part("mode"),
        }
    });
    OrderWrite {
        event,
        reason,
        begins,
        ends: expression.contains("REMOVE recovery"),
    }
}

/// Evaluates JSONata. `$parse` is of Step Functions; the texts that it could be asked
/// to parse are parsed beforehand.
fn evaluate(
    expression: &str,
    states: &Value,
    variables: &Map<String, Value>,
) -> Result<Value, Caught> {
    let mut input = variables.clone();
    let mut whole =
        "($states := states; $parse := function($text) { $lookup($$.parsed, $text) }; ".to_owned();
    for name in variables.keys() {
        whole.push_str(&format!("${name} := {name}; "));
    }
    whole.push_str(expression);
    whole.push(')');
    let mut parsed = Map::new();
    parse_embedded(states, &mut parsed);
    input.insert("parsed".to_owned(), Value::Object(parsed));
    input.insert("states".to_owned(), states.clone());
    let arena = Bump::new();
    let jsonata = JsonAta::new(&whole, &arena)
        .unwrap_or_else(|error| unknown("expression", &format!("{expression}: {error}")));
    let failed = |why: String| Caught::expression(&format!("{expression}: {why}"));
    let value = jsonata.evaluate(Some(&Value::Object(input).to_string()), None);
    let value = value.map_err(|error| failed(error.to_string()))?;
    if value.is_undefined() {
        return Err(failed("it gives nothing".to_owned()));
    }
    let value = serde_json::from_str(&value.serialize(false));
    value
        .map(in_order)
        .map_err(|error| failed(error.to_string()))
}

/// Every text in a value that is a JSON object, with that object.
fn parse_embedded(value: &Value, parsed: &mut Map<String, Value>) {
    match value {
        Value::String(text) if text.starts_with('{') => {
            if let Ok(object) = serde_json::from_str(text) {
                parsed.insert(text.clone(), object);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| parse_embedded(item, parsed)),
        Value::Object(members) => members.values().for_each(|it| parse_embedded(it, parsed)),
        _ => {}
    }
}

/// The evaluator writes an object's members in any order; a run must be repeatable.
fn in_order(value: Value) -> Value {
    match &value {
        Value::String(text) if text.starts_with('{') => {
            let parsed: Option<Value> = serde_json::from_str(text).ok();
            parsed.map_or_else(|| value.clone(), |parsed| parsed.to_string().into())
        }
        _ => value,
    }
}

fn names(handler: &Value, error: &str) -> bool {
    let mut errors = handler["ErrorEquals"].as_array().into_iter().flatten();
    let for_all = error != "States.Runtime";
    errors.any(|it| it == error || (for_all && it == "States.ALL"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What is not understood is not simulated.
#[allow(
    clippy::panic,
    reason = "a simulation of something else than what is deployed is none"
)]
fn unknown<T>(what: &str, it: &str) -> T {
    panic!("the simulation knows no {what} {it}")
}

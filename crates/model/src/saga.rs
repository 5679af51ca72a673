//! The state machine of an order, read from the file that is deployed.

use domain::{OrderStatus, Step};
use serde_json::Value;

/// The definition as deployed.
const ORDER_SAGA: &str = include_str!("../../../infra/order-saga.asl.json");
const SAGA_RESCUE: &str = include_str!("../../../infra/saga-rescue.asl.json");

/// A state of the saga, by its place in [`Definition::states`].
pub type StateId = u8;

/// What the saga does, and where each outcome leads.
#[derive(Debug, Clone)]
pub struct Definition {
    /// The states.
    pub states: Vec<SagaState>,
    /// Where it starts.
    pub first: StateId,
    /// The write of the machine that looks after sagas that died.
    pub rescue: EndWrite,
}

/// One state.
#[derive(Debug, Clone)]
pub struct SagaState {
    /// Its name.
    pub name: String,
    /// What it does.
    pub kind: Kind,
    /// Where success leads; `None` ends the saga.
    pub next: Option<StateId>,
    catches: Vec<(Vec<String>, StateId)>,
}

/// What a state does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Publishes a command and waits for the answer.
    Ask(Step),
    /// Writes how the order ended.
    End(EndWrite),
    /// Ends the saga well.
    Succeed,
    /// Ends the saga as failed: the rescue machine looks at the order.
    Fail,
}

/// The write of an order's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndWrite {
    /// How the order ended.
    pub status: OrderStatus,
    /// Whether it is refused where the order has ended before.
    pub conditional: bool,
}

impl Definition {
    /// Reads the deployed files.
    ///
    /// # Panics
    /// If they are not what the model understands: then it would not be a model of them.
    pub fn deployed() -> Self {
        let saga = parse(ORDER_SAGA);
        let own = || states(&saga).filter(|(_, state)| !is_about_unplaced(state));
        let names: Vec<String> = own().map(|(name, _)| name.clone()).collect();
        let id = |name: &Value| find(&names, led_to(&saga, text(name)));
        let states = own()
            .map(|(name, state)| SagaState {
                name: name.clone(),
                kind: kind(state),
                next: state.get("Next").map(id),
                catches: catches(state)
                    .map(|catch| (errors(catch), id(&catch["Next"])))
                    .collect(),
            })
            .collect();
        let rescue = end_write(&parse(SAGA_RESCUE)["States"]["NeedsAttention"]);
        Self {
            states,
            first: id(&saga["StartAt"]),
            rescue,
        }
    }

    /// A state.
    pub fn state(&self, id: StateId) -> &SagaState {
        &self.states[usize::from(id)]
    }
}

impl SagaState {
    /// Where an error leads; `None` where nothing catches it, and the saga dies.
    pub fn caught(&self, error: &str) -> Option<StateId> {
        let mut catches = self.catches.iter();
        let catch =
            catches.find(|(errors, _)| errors.iter().any(|e| e == error || e == "States.ALL"));
        catch.map(|(_, next)| *next)
    }
}

/// The placeholders that a deployment fills in are numbers or texts; neither matters here.
fn parse(definition: &str) -> Value {
    let mut filled = definition.to_owned();
    for placeholder in ["${StepTimeoutSeconds}", "${UndoTimeoutSeconds}"] {
        filled = filled.replace(placeholder, "1");
    }
    serde_json::from_str(&filled).unwrap_or_else(|error| panic!("not a state machine: {error}"))
}

fn states(machine: &Value) -> impl Iterator<Item = (&String, &Value)> {
    machine["States"].as_object().into_iter().flatten()
}

fn catches(state: &Value) -> impl Iterator<Item = &Value> {
    state["Catch"].as_array().into_iter().flatten()
}

fn errors(catch: &Value) -> Vec<String> {
    let errors = catch["ErrorEquals"].as_array().into_iter().flatten();
    errors.map(|error| text(error).to_owned()).collect()
}

/// Whether a state only tells orders that were placed from others. The model has none
/// of the others, and takes the read for one that succeeds.
fn is_about_unplaced(state: &Value) -> bool {
    let reads = state["Resource"] == "arn:aws:states:::dynamodb:getItem";
    reads || state["Type"] == "Choice"
}

/// The state to which an order that was placed is led by way of this one.
fn led_to<'a>(machine: &'a Value, name: &'a str) -> &'a str {
    let state = &machine["States"][name];
    if !is_about_unplaced(state) {
        return name;
    }
    let chosen = state["Choices"].get(0).unwrap_or(state);
    led_to(machine, text(&chosen["Next"]))
}

fn kind(state: &Value) -> Kind {
    match (text(&state["Type"]), state["Resource"].as_str()) {
        ("Task", Some("arn:aws:states:::sns:publish.waitForTaskToken")) => {
            Kind::Ask(command(state))
        }
        ("Task", Some("arn:aws:states:::dynamodb:updateItem")) => Kind::End(end_write(state)),
        ("Succeed", _) => Kind::Succeed,
        ("Fail", _) => Kind::Fail,
        other => panic!("the model knows no state of this kind: {other:?}"),
    }
}

fn command(state: &Value) -> Step {
    let message = text(&state["Arguments"]["Message"]);
    let asked = |step: &&Step| {
        message.contains(&format!("$saga.orderId & '/{step}'"))
            && message.contains(&format!("'waybill.{step}.v1'"))
            && message.contains("'tasktoken': $states.context.Task.Token")
    };
    let step = Step::ALL.iter().find(asked);
    *step.unwrap_or_else(|| panic!("no command in {message}"))
}

fn end_write(state: &Value) -> EndWrite {
    let arguments = &state["Arguments"];
    let update = text(&arguments["UpdateExpression"]);
    let status = [
        (":completed", OrderStatus::Completed),
        (":failed", OrderStatus::Failed),
        (":attention", OrderStatus::NeedsAttention),
    ]
    .into_iter()
    .find(|(value, _)| update.contains(&format!("#status = {value}")));
    let (_, status) = status.unwrap_or_else(|| panic!("no end in {update}"));
    let condition = arguments["ConditionExpression"]
        .as_str()
        .unwrap_or_default();
    EndWrite {
        status,
        conditional: condition.contains("NOT #status IN (:completed, :failed, :attention)"),
    }
}

fn find(names: &[String], name: &str) -> StateId {
    let index = names.iter().position(|known| known == name);
    let index = index.unwrap_or_else(|| panic!("no state {name}"));
    StateId::try_from(index).unwrap_or_else(|_| panic!("too many states"))
}

fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("not a text: {value}"))
}

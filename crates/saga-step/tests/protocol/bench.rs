//! One pair of action and undo in a world of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use contracts::{CommandMessage, Event, Reason};
use domain::stock::StockLevel;
use domain::{EventKind, OrderId, Step};
use failures::Acknowledging;
use message_worker::{Attribute, Handler, RecordContext};
use payment_worker::Payments;
use ports::Answer;
use saga_step::{ClaimedSteps, Settled, StepError, StepHandler};
use serde_json::{Value, json};
use shipping_worker::Shipments;
use stock_worker::Stock;
use testkit::{EffectKind, INVOCATION, Inbox, VirtualClock, World, fixtures};
use tokio::time::Instant;

/// An action and its undo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pair {
    Payment,
    Stock,
    Shipping,
}

impl Pair {
    pub(crate) const ALL: [Self; 3] = [Self::Payment, Self::Stock, Self::Shipping];
    /// Those that claim first, because an outside party acts in between.
    pub(crate) const CLAIMED: [Self; 2] = [Self::Payment, Self::Shipping];

    pub(crate) fn action(self) -> Step {
        match self {
            Self::Payment => Step::Charge,
            Self::Stock => Step::Reserve,
            Self::Shipping => Step::Ship,
        }
    }

    pub(crate) fn undo(self) -> Step {
        match self {
            Self::Payment => Step::Refund,
            Self::Stock => Step::Release,
            Self::Shipping => Step::CancelShipment,
        }
    }

    /// What happens at the outside party, first by the action and then by the undo.
    pub(crate) fn effects(self) -> &'static [EffectKind] {
        match self {
            Self::Payment => &[EffectKind::Capture, EffectKind::Refund],
            Self::Stock => &[],
            Self::Shipping => &[EffectKind::Shipment, EffectKind::ShipmentCancelled],
        }
    }

    /// The events of the action and of the undo.
    pub(crate) fn events(self) -> [EventKind; 2] {
        match self {
            Self::Payment => [EventKind::PaymentCaptured, EventKind::PaymentRefunded],
            Self::Stock => [EventKind::StockReserved, EventKind::StockReleased],
            Self::Shipping => [EventKind::ShipmentCreated, EventKind::ShipmentCancelled],
        }
    }

    /// The mugs before the action, of which the order wants two.
    fn mugs_at_first(self) -> StockLevel {
        let (available, reserved) = match self {
            Self::Payment | Self::Stock => (5, 0),
            Self::Shipping => (3, 2),
        };
        StockLevel {
            available,
            reserved,
            shipped: 0,
        }
    }

    pub(crate) fn mugs_when_done(self) -> StockLevel {
        let (available, reserved, shipped) = match self {
            Self::Payment => (5, 0, 0),
            Self::Stock => (3, 2, 0),
            Self::Shipping => (3, 0, 2),
        };
        StockLevel {
            available,
            reserved,
            shipped,
        }
    }
}

/// How far a pair has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    Untouched,
    Done,
    Undone,
}

/// A worker of one pair, its queue, and the world around it.
pub(crate) struct Bench {
    pub(crate) pair: Pair,
    pub(crate) world: World,
    pub(crate) inbox: Inbox,
    pub(crate) order: OrderId,
}

/// The same for every pair, though each has a handler of another type.
macro_rules! for_pair {
    ($bench:expr, |$handler:ident| $work:expr) => {
        match $bench.pair {
            Pair::Payment => {
                let $handler = $bench.payments();
                $work
            }
            Pair::Stock => {
                let $handler = $bench.stock();
                $work
            }
            Pair::Shipping => {
                let $handler = $bench.shipments();
                $work
            }
        }
    };
}

impl Bench {
    pub(crate) fn new(pair: Pair) -> Self {
        let world = World::new();
        for (article, pieces) in [("MUG-RED", 2), ("STICKER", 1)] {
            let held = if pair == Pair::Shipping { pieces } else { 0 };
            let level = StockLevel {
                available: 5 - held,
                reserved: held,
                shipped: 0,
            };
            world.put_stock(&fixtures::sku(article), level);
        }
        Self {
            pair,
            world,
            inbox: Inbox::new(20.try_into().unwrap()),
            order: fixtures::order_id(1),
        }
    }

    /// The command of the action.
    pub(crate) fn action(&self, token: &str) -> Value {
        fixtures::command(self.order, self.pair.action(), token)
    }

    /// The command of the undo.
    pub(crate) fn undo(&self, token: &str) -> Value {
        fixtures::command(self.order, self.pair.undo(), token)
    }

    /// The action with other data: still valid, and not the same.
    pub(crate) fn changed_action(&self, token: &str) -> Value {
        let mut body = self.action(token);
        match self.pair {
            Pair::Payment => body["data"]["amount"] = json!(1),
            Pair::Stock | Pair::Shipping => body["data"]["items"][0]["quantity"] = json!(1),
        }
        body
    }

    /// The action in a form that the outside party, or the stock, refuses.
    pub(crate) fn refused_action(&self, token: &str) -> Value {
        let mut body = self.action(token);
        match self.pair {
            Pair::Payment => body["data"]["method"] = json!("pm_card_chargeDeclined"),
            Pair::Stock => body["data"]["items"][0]["quantity"] = json!(6),
            Pair::Shipping => body["data"]["shipTo"]["postalCode"] = json!("00000"),
        }
        body
    }

    /// Ends the order, as the state machine does when it has undone everything.
    pub(crate) fn end_order(&self) {
        let reason = Reason {
            code: "stock-timed-out".to_owned(),
            message: "The stock did not answer in time.".to_owned(),
        };
        let at = fixtures::timestamp(VirtualClock::START);
        self.world
            .conclude(self.order, &Event::OrderFailed(reason), at);
    }

    /// Completes the order, as a person's attempt does when it lacks its end alone.
    pub(crate) fn complete_order(&self) {
        let at = fixtures::timestamp(VirtualClock::START);
        self.world.conclude(self.order, &Event::OrderCompleted, at);
    }

    /// Delivers a command once, without a queue around it.
    pub(crate) async fn deliver(&self, body: &Value) -> Result<Settled, StepError> {
        for_pair!(self, |handler| deliver(&handler, body).await)
    }

    /// Delivers a command that a replay sent, as the function has it: its failure
    /// record is resolved when it was carried out to its end.
    pub(crate) async fn deliver_replayed(
        &self,
        body: &Value,
        attributes: BTreeMap<String, Attribute>,
    ) -> Settled {
        let message = CommandMessage::parse(&body.to_string()).unwrap();
        let context = RecordContext::new("message-1", 1, Instant::now() + INVOCATION);
        let context = context.with_attributes(attributes);
        let store = self.world.clone();
        for_pair!(self, |handler| {
            let clock = self.world.clock();
            let handler = Acknowledging::new(handler, "payment", move || store, clock);
            handler.handle(message, &context).await.unwrap()
        })
    }

    /// Sends commands and drives the worker until the queue is empty.
    pub(crate) async fn drive(&self, bodies: &[Value]) {
        for_pair!(self, |handler| self.inbox.drive(handler, bodies).await);
    }

    /// Delivers a command when the invocation has this much time left.
    pub(crate) async fn deliver_within(
        &self,
        time: Duration,
        body: &Value,
    ) -> Result<Settled, StepError> {
        let deadline = Instant::now() + time;
        for_pair!(self, |handler| deliver_until(&handler, body, deadline)
            .await)
    }

    /// Invokes the worker once with a command that is never received again.
    pub(crate) async fn invoke_once(&self, body: &Value) {
        for_pair!(self, |handler| self
            .inbox
            .drop_after_one(handler, body)
            .await);
    }

    /// What a token was answered.
    #[track_caller]
    pub(crate) fn answer_to(&self, token: &str) -> Answer {
        let answers = self.world.answers();
        let mut own = answers.into_iter().filter(|(to, _)| to == token);
        let answer = own.next();
        assert_eq!(own.next(), None, "{token} was answered twice; {self}");
        let (_, answer) = answer.unwrap_or_else(|| panic!("{token} was not answered; {self}"));
        answer
    }

    #[track_caller]
    pub(crate) fn check_success(&self, token: &str) {
        let answer = self.answer_to(token);
        assert!(matches!(answer, Answer::Success(_)), "{answer:?}; {self}");
    }

    #[track_caller]
    pub(crate) fn check_failure(&self, token: &str, name: &str) {
        match self.answer_to(token) {
            Answer::Failure { error, .. } => assert_eq!(error, name, "{self}"),
            answer => panic!("{answer:?}; {self}"),
        }
    }

    /// Checks the ledger, the stock and the timeline.
    #[track_caller]
    pub(crate) fn check(&self, progress: Progress) {
        let (steps, mugs) = match progress {
            Progress::Untouched => (0, self.pair.mugs_at_first()),
            Progress::Done => (1, self.pair.mugs_when_done()),
            Progress::Undone => (2, self.pair.mugs_at_first()),
        };
        let effects: Vec<_> = self.pair.effects().iter().take(steps).copied().collect();
        assert_eq!(self.world.effects(self.order), effects, "{self}");
        assert_eq!(self.events(), self.pair.events()[..steps], "{self}");
        assert_eq!(self.mugs(), mugs, "{self}");
    }

    pub(crate) fn events(&self) -> Vec<EventKind> {
        self.world.events(self.order)
    }

    pub(crate) fn mugs(&self) -> StockLevel {
        self.world.stock(&fixtures::sku("MUG-RED"))
    }

    /// The mugs are as they were before the action.
    #[track_caller]
    pub(crate) fn check_mugs_untouched(&self) {
        assert_eq!(self.mugs(), self.pair.mugs_at_first(), "{self}");
    }

    /// Nothing was given up.
    #[track_caller]
    pub(crate) fn check_nothing_parked(&self) {
        assert_eq!(self.inbox.dead_letters(), [], "{self}");
        assert_eq!(self.inbox.quarantined(), [] as [&str; 0], "{self}");
    }

    fn payments(
        &self,
    ) -> impl Handler<Message = CommandMessage, Output = Settled, Error = StepError> + use<> {
        let effects = Payments::new(self.world.clone(), self.world.clock());
        let steps = ClaimedSteps::new(self.world.clone(), effects, self.world.clock());
        StepHandler::new(Step::Charge, steps, self.world.clone())
    }

    fn stock(
        &self,
    ) -> impl Handler<Message = CommandMessage, Output = Settled, Error = StepError> + use<> {
        let steps = Stock::new(self.world.clone(), self.world.clock());
        StepHandler::new(Step::Reserve, steps, self.world.clone())
    }

    fn shipments(
        &self,
    ) -> impl Handler<Message = CommandMessage, Output = Settled, Error = StepError> + use<> {
        let effects = Shipments::new(self.world.clone(), self.world.clock());
        let steps = ClaimedSteps::new(self.world.clone(), effects, self.world.clock());
        StepHandler::new(Step::Ship, steps, self.world.clone())
    }
}

async fn deliver<H>(handler: &H, body: &Value) -> Result<Settled, StepError>
where
    H: Handler<Message = CommandMessage, Output = Settled, Error = StepError>,
{
    deliver_until(handler, body, Instant::now() + INVOCATION).await
}

async fn deliver_until<H>(
    handler: &H,
    body: &Value,
    deadline: Instant,
) -> Result<Settled, StepError>
where
    H: Handler<Message = CommandMessage, Output = Settled, Error = StepError>,
{
    let message = CommandMessage::parse(&body.to_string())?;
    let context = RecordContext::new("message-1", 1, deadline);
    handler.handle(message, &context).await
}

/// What happened, for the report of a failed check.
impl std::fmt::Display for Bench {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "{:?}: calls {:?}, outcomes {:?}",
            self.pair,
            self.world.calls(),
            self.inbox.outcomes()
        )
    }
}

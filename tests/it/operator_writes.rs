//! Commands that write work with the rights that docs/operations.md names for them, and
//! without one of these they say which, and leave nothing half done that they do not tell of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use aws_sdk_dynamodb::types::AttributeValue;
use contracts::Timestamp;
use failures::{
    Failure, FailureId, FailureStore, Group, GroupId, GroupStore, Letter, Query, Status, Trouble,
};
use serde_json::{Value, json};
use uuid::Uuid;
use waybill_tests::{
    Environment, Order, QUICKLY, Ran, StockLevel, Tap, Twin, messages, unique, wait_until,
};

use crate::operator_rights::{Right, documented, policy};
use crate::operator_scene::Scene;
use crate::permissions::Person;

/// Something that somebody may do.
#[derive(Debug, Clone)]
struct Need {
    right: Right,
    /// Whether it is asked for in any case.
    always: bool,
    /// What is said of what is done all the same, where the command is half done without it.
    remains: &'static str,
}

fn always(service: &'static str, operation: &'static str, resource: &str) -> Need {
    Need {
        right: Right::of(service, &[operation], vec![resource.to_owned()]),
        always: true,
        remains: "",
    }
}

fn sometimes(service: &'static str, operation: &'static str, resource: &str) -> Need {
    Need {
        always: false,
        ..always(service, operation, resource)
    }
}

impl Need {
    fn leaving(self, remains: &'static str) -> Self {
        Self { remains, ..self }
    }

    /// As the error names it.
    fn name(&self) -> String {
        format!("{}:{}", self.right.service, self.right.operations[0])
    }
}

/// A command, on something that was made for it.
#[derive(Debug)]
struct Task {
    arguments: Vec<String>,
    /// What the command is about, by its id.
    about: String,
}

impl Task {
    fn new(arguments: &[&str], about: &str) -> Self {
        Self {
            arguments: arguments.iter().map(|it| (*it).to_owned()).collect(),
            about: about.to_owned(),
        }
    }

    async fn run_by(&self, environment: &Environment, needs: &[Need]) -> Ran {
        let rights: Vec<_> = needs.iter().map(|need| need.right.clone()).collect();
        let person = Person::with(environment, &policy(&rights, environment)).await;
        let mut arguments: Vec<_> = self.arguments.iter().map(String::as_str).collect();
        arguments.extend(["--stack", environment.stack()]);
        let ran = environment.waybill_of(&person.key, &arguments).await;
        person.leave().await;
        ran
    }
}

/// What a person does.
trait Deed {
    /// How the row in the document begins.
    fn row(&self) -> &'static str;
    /// What the row says, resource by resource.
    fn needs(&self) -> Vec<Need>;
    /// A command on something new.
    async fn task(&self) -> Task;
    /// What the command changes, as it is now; nothing where that is elsewhere.
    async fn look(&self, task: &Task) -> Option<String>;
}

/// Gives the row, and what of it was used.
async fn check(environment: &Environment, deed: &impl Deed) -> (&'static str, Vec<&'static str>) {
    let needs = deed.needs();
    let task = deed.task().await;
    succeeds(environment, deed, &task, &needs).await;
    for (left_out, need) in needs.iter().enumerate().filter(|(_, it)| it.always) {
        let task = deed.task().await;
        let mut fewer = needs.clone();
        fewer.remove(left_out);
        let what = format!("{:?} without {need:?}", task.arguments);
        let before = deed.look(&task).await;
        let ran = task.run_by(environment, &fewer).await;
        assert_eq!(ran.code, 1, "{what}: {ran:?}");
        let name = need.name();
        let denied = format!("error: {name} was denied");
        assert!(ran.stderr.contains(&denied), "{what}: {ran:?}");
        let advice = format!("allow {name} to this identity");
        assert!(ran.stderr.contains(&advice), "{what}: {ran:?}");
        if need.remains.is_empty() {
            assert_eq!(deed.look(&task).await, before, "{what} changed something");
            // Nothing that was begun is in the way.
            succeeds(environment, deed, &task, &needs).await;
        } else {
            assert!(ran.stderr.contains(need.remains), "{what}: {ran:?}");
        }
    }
    let used = needs.iter().map(|it| it.right.operations[0]);
    (deed.row(), used.collect())
}

async fn succeeds<D: Deed>(environment: &Environment, deed: &D, task: &Task, needs: &[Need]) {
    let before = deed.look(task).await;
    let ran = task.run_by(environment, needs).await;
    assert_eq!(ran.code, 0, "{:?}: {ran:?}", task.arguments);
    if before.is_some() {
        let after = deed.look(task).await;
        assert_ne!(
            before, after,
            "{:?} changed nothing: {ran:?}",
            task.arguments
        );
    }
}

fn table(environment: &Environment, stem: &str) -> String {
    let (region, account) = (environment.region(), environment.account());
    let name = environment.output(&format!("{stem}TableName"));
    format!("arn:aws:dynamodb:{region}:{account}:table/{name}")
}

fn indexes(environment: &Environment, stem: &str) -> String {
    format!("{}/index/*", table(environment, stem))
}

async fn item(environment: &Environment, stem: &str, key: &str, value: &str) -> String {
    let found = environment
        .dynamodb
        .get_item()
        .table_name(environment.output(&format!("{stem}TableName")))
        .key(key, AttributeValue::S(value.to_owned()))
        .consistent_read(true)
        .send()
        .await;
    let found = found.unwrap_or_else(|error| panic!("{stem} {value}: {error:?}"));
    let mut fields: Vec<_> = found.item.unwrap_or_default().into_iter().collect();
    fields.sort_by(|one, other| one.0.cmp(&other.0));
    format!("{fields:?}")
}

/// Where the files of a twin's test are.
fn folder(environment: &Environment) -> PathBuf {
    std::env::temp_dir().join(environment.stack())
}

struct Seed<'a>(&'a Environment);

impl Deed for Seed<'_> {
    fn row(&self) -> &'static str {
        "stock seed"
    }

    fn needs(&self) -> Vec<Need> {
        vec![always("dynamodb", "UpdateItem", &table(self.0, "Stock"))]
    }

    async fn task(&self) -> Task {
        let sku = unique("MUG");
        let file = folder(self.0).join(format!("{sku}.json"));
        std::fs::write(&file, json!({ &sku: 7 }).to_string()).unwrap();
        Task::new(&["stock", "seed", &file.display().to_string()], &sku)
    }

    async fn look(&self, task: &Task) -> Option<String> {
        Some(item(self.0, "Stock", "sku", &task.about).await)
    }
}

struct Outage<'a> {
    environment: &'a Environment,
    end: bool,
}

impl Deed for Outage<'_> {
    fn row(&self) -> &'static str {
        "sandbox outage"
    }

    fn needs(&self) -> Vec<Need> {
        let state = table(self.environment, "SandboxState");
        match self.end {
            true => vec![always("dynamodb", "DeleteItem", &state)],
            false => vec![always("dynamodb", "PutItem", &state)],
        }
    }

    async fn task(&self) -> Task {
        if !self.end {
            return Task::new(&["sandbox", "outage", "payment", "--for", "60s"], "payment");
        }
        let stack = self.environment.stack();
        let begin = [
            "sandbox",
            "outage",
            "warehouse",
            "--for",
            "60s",
            "--stack",
            stack,
        ];
        assert_eq!(self.environment.waybill(&begin).await.code, 0);
        Task::new(&["sandbox", "outage", "warehouse", "--end"], "warehouse")
    }

    async fn look(&self, task: &Task) -> Option<String> {
        let key = aws_adapters::sandbox::outage_key(&task.about);
        Some(item(self.environment, "SandboxState", "key", &key).await)
    }
}

/// What is done to a failure, or to several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Note,
    Edit,
    Archive,
    ArchiveFound,
    Restore,
    Resolve,
    Replay,
}

struct ToFailure<'a> {
    environment: &'a Environment,
    change: Change,
}

/// A charge that waits in the store, under an error name of its own.
pub(crate) async fn waiting(environment: &Environment) -> Failure {
    let order = Uuid::new_v4().to_string();
    let mut charge = messages::command(
        &order,
        "payment.charge",
        messages::charge(100, "pm_card_visa"),
    );
    charge["data"]["amount"] = json!("100");
    let now = Timestamp::from_epoch_millis(1_795_283_775_859);
    let failure = Failure {
        id: FailureId::new(Uuid::new_v4().to_string()),
        version: 1,
        status: Status::Waiting,
        consumer: "payment".to_owned(),
        group: GroupId::new(unique("payment.Trouble")),
        letter: Letter::new(charge.to_string(), Default::default()),
        trouble: Trouble {
            class: "business".to_owned(),
            name: unique("Trouble"),
            cause: Vec::new(),
            attempts: 1,
            failed_at: now,
            found_in: "payment-dlq".to_owned(),
            message_id: "m".to_owned(),
            source_queue: None,
            source_message_id: None,
        },
        message_type: Some("waybill.payment.charge.v1".to_owned()),
        event_id: None,
        order_id: Some(order),
        correlation_id: None,
        schema: None,
        schema_hash: None,
        first_seen: None,
        stored_at: now,
        failed: 1,
        automatic_replays: 0,
        dead_letters: Vec::new(),
        replay: None,
        resolution: None,
        edit_of: None,
        edited_as: None,
        note: None,
        history: Vec::new(),
        expires_at: None,
    };
    assert!(environment.failure_store().create(&failure).await.unwrap());
    failure
}

impl Deed for ToFailure<'_> {
    fn row(&self) -> &'static str {
        match self.change {
            Change::Replay => "failures replay",
            _ => "failures note",
        }
    }

    fn needs(&self) -> Vec<Need> {
        let environment = self.environment;
        let failures = table(environment, "Failures");
        let mut needs = vec![
            always("dynamodb", "GetItem", &failures),
            always("dynamodb", "PutItem", &failures),
        ];
        let query = indexes(environment, "Failures");
        needs.push(match self.change {
            Change::ArchiveFound => always("dynamodb", "Query", &query),
            _ => sometimes("dynamodb", "Query", &query),
        });
        if self.change != Change::Replay {
            return needs;
        }
        let replays = table(environment, "Replays");
        let dlq_alarm = function(environment, "DlqAlarmFunctionName");
        let queue = environment.queue("Payment").rsplit('/').next().unwrap();
        let (region, account) = (environment.region(), environment.account());
        let queue = format!("arn:aws:sqs:{region}:{account}:{queue}");
        let goes_on = "to go on: waybill failures replay --resume";
        needs[1] = needs[1].clone().leaving(goes_on);
        needs.extend([
            always("dynamodb", "PutItem", &replays),
            always("dynamodb", "Query", &replays).leaving(goes_on),
            always("sqs", "SendMessage", &queue).leaving(goes_on),
            sometimes("lambda", "InvokeFunction", &dlq_alarm),
        ]);
        needs
    }

    async fn task(&self) -> Task {
        let failure = waiting(self.environment).await;
        let (id, error) = (failure.id.as_str(), failure.trouble.name.as_str());
        let patch = r#"[{"op":"replace","path":"/data/amount","value":100}]"#;
        let arguments = match self.change {
            Change::Note => vec!["note", id, "looked at"],
            Change::Edit => vec!["edit", id, "--patch", patch, "--yes"],
            Change::Archive => vec!["archive", id, "--why", "x"],
            Change::ArchiveFound => vec!["archive", "--error", error, "--why", "x", "--yes"],
            Change::Restore => vec!["restore", id],
            Change::Resolve => vec!["resolve", id, "--why", "x"],
            Change::Replay => vec!["replay", id, "--yes", "--canary", "0", "--no-wait"],
        };
        if self.change == Change::Restore {
            let stack = self.environment.stack();
            let archive = ["failures", "archive", id, "--why", "x", "--stack", stack];
            assert_eq!(self.environment.waybill(&archive).await.code, 0);
        }
        Task::new(&[&["failures"], arguments.as_slice()].concat(), id)
    }

    /// The record, and whether a copy of it was made.
    async fn look(&self, task: &Task) -> Option<String> {
        let id = FailureId::new(task.about.clone());
        let record = self.environment.failure(&id).await;
        let all = self.environment.failures(&Query::default()).await;
        let copies = all.iter().filter(|it| it.edit_of.as_ref() == Some(&id));
        Some(format!("{record:?} {}", copies.count()))
    }
}

fn function(environment: &Environment, output: &str) -> String {
    let (region, account) = (environment.region(), environment.account());
    let name = environment.output(output);
    format!("arn:aws:lambda:{region}:{account}:function:{name}")
}

struct NoteGroup<'a>(&'a Environment);

impl Deed for NoteGroup<'_> {
    fn row(&self) -> &'static str {
        "failures note"
    }

    fn needs(&self) -> Vec<Need> {
        let groups = table(self.0, "FailureGroups");
        vec![
            always("dynamodb", "GetItem", &groups),
            always("dynamodb", "PutItem", &groups),
        ]
    }

    async fn task(&self) -> Task {
        let id = unique("payment.Trouble");
        let group = Group {
            id: GroupId::new(id.clone()),
            version: 1,
            consumer: "payment".to_owned(),
            error_name: "Trouble".to_owned(),
            cause: String::new(),
            last_failure_at: Timestamp::from_epoch_millis(1_795_283_775_859),
            told_at: None,
            told_of: None,
            telling_until: None,
            canary: None,
            notes: Vec::new(),
        };
        assert!(self.0.group_store().put_group(&group).await.unwrap());
        Task::new(&["failures", "note", "--group", &id, "looked at"], &id)
    }

    async fn look(&self, task: &Task) -> Option<String> {
        Some(item(self.0, "FailureGroups", "id", &task.about).await)
    }
}

/// What is ordered of a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Traffic {
    Pause,
    Resume,
    Force,
}

struct OfNotifier<'a> {
    environment: &'a Environment,
    traffic: Traffic,
}

impl OfNotifier<'_> {
    async fn by_root(&self, arguments: &[&str], state: &str) {
        let stack = ["--stack", self.environment.stack()];
        let ran = self
            .environment
            .waybill(&[arguments, &stack].concat())
            .await;
        assert_eq!(ran.code, 0, "{ran:?}");
        wait_until(&format!("the mapping is {state}"), QUICKLY, async || {
            let now = self.environment.mapping("Notify").await.state;
            if now == state { Ok(()) } else { Err(now) }
        })
        .await;
    }
}

impl Deed for OfNotifier<'_> {
    fn row(&self) -> &'static str {
        "queues pause"
    }

    fn needs(&self) -> Vec<Need> {
        let circuits = table(self.environment, "Circuits");
        let said = match self.traffic {
            Traffic::Pause => "notify is paused all the same",
            _ => "notify is resumed all the same",
        };
        let mut needs = match self.traffic {
            Traffic::Force => vec![
                always("dynamodb", "GetItem", &circuits),
                always("dynamodb", "PutItem", &circuits),
            ],
            _ => vec![
                always("dynamodb", "UpdateItem", &circuits),
                always("dynamodb", "GetItem", &circuits).leaving(said),
            ],
        };
        needs.extend([
            always("lambda", "GetEventSourceMapping", "*").leaving(said),
            // The emulator lets everybody change a mapping.
            sometimes("lambda", "UpdateEventSourceMapping", "*"),
        ]);
        needs
    }

    /// They share one mapping, which must not be as it is to be already.
    async fn task(&self) -> Task {
        let pause = ["queues", "pause", "notify", "--why", "x"];
        let resume = ["queues", "resume", "notify"];
        let force = ["queues", "resume", "notify", "--force"];
        match self.traffic {
            Traffic::Pause => {
                self.by_root(&resume, "Enabled").await;
                Task::new(&pause, "notify")
            }
            Traffic::Resume => {
                self.by_root(&pause, "Disabled").await;
                Task::new(&resume, "notify")
            }
            Traffic::Force => {
                self.by_root(&pause, "Disabled").await;
                Task::new(&force, "notify")
            }
        }
    }

    async fn look(&self, task: &Task) -> Option<String> {
        Some(item(self.environment, "Circuits", "id", &task.about).await)
    }
}

struct Republish<'a>(&'a Environment);

impl Deed for Republish<'_> {
    fn row(&self) -> &'static str {
        "order republish"
    }

    fn needs(&self) -> Vec<Need> {
        vec![
            always("dynamodb", "GetItem", &table(self.0, "Orders")),
            always("sns", "Publish", self.0.output("BusTopicArn")),
        ]
    }

    async fn task(&self) -> Task {
        let id = Uuid::new_v4().to_string();
        let data = json!({ "amount": 100, "currency": "EUR", "reference": "r" });
        let event = messages::event(&id, "payment.captured", 1, data);
        let text = |value: &str| AttributeValue::S(value.to_owned());
        let timeline = AttributeValue::L(vec![text(&event.to_string())]);
        let put = self.0.dynamodb.put_item();
        put.table_name(self.0.output("OrdersTableName"))
            .item("orderId", text(&id))
            .item("status", text("paid"))
            .item("timeline", timeline)
            .send()
            .await
            .unwrap();
        Task::new(&["order", "republish", &id, "--yes"], &id)
    }

    /// The bus keeps nothing.
    async fn look(&self, _: &Task) -> Option<String> {
        None
    }
}

#[tokio::test]
async fn commands_that_write_need_the_rights_of_their_row_and_leave_nothing_half_done() {
    let twin = Twin::of(&Environment::connect().await).await;
    let environment = &twin.environment;
    std::fs::create_dir(folder(environment)).unwrap();
    let changes = [
        Change::Note,
        Change::Edit,
        Change::Archive,
        Change::ArchiveFound,
        Change::Restore,
        Change::Resolve,
        Change::Replay,
    ];
    let to_failures = changes.map(|change| ToFailure {
        environment,
        change,
    });
    let outages = [false, true].map(|end| Outage { environment, end });
    let to_failures = to_failures.iter().map(|deed| check(environment, deed));
    let outages = outages.iter().map(|deed| check(environment, deed));
    let of_notifier = async {
        let mut used = Vec::new();
        for traffic in [Traffic::Pause, Traffic::Resume, Traffic::Force] {
            let deed = OfNotifier {
                environment,
                traffic,
            };
            used.push(check(environment, &deed).await);
        }
        used
    };
    let (seed, group) = (Seed(environment), NoteGroup(environment));
    let republish = Republish(environment);
    let (seed, group, republish, failures, outages, notifier) = tokio::join!(
        check(environment, &seed),
        check(environment, &group),
        check(environment, &republish),
        futures_util::future::join_all(to_failures),
        futures_util::future::join_all(outages),
        of_notifier,
    );
    let mut used = vec![seed, group, republish];
    used.extend([failures, outages, notifier].into_iter().flatten());
    all_that_is_documented_is_used(used);
    std::fs::remove_dir_all(folder(environment)).unwrap();
    twin.leave().await;
}

/// A row that names more than anything needs is wrong as well.
#[track_caller]
fn all_that_is_documented_is_used(used: Vec<(&'static str, Vec<&'static str>)>) {
    let mut by_row: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (row, operations) in used {
        by_row.entry(row).or_default().extend(operations);
    }
    for (row, operations) in by_row {
        assert_eq!(documented(row), operations, "the row of `{row}`");
    }
}

/// An order of which nothing stands, and whose saga is gone.
struct Resume<'a>(&'a Environment);

impl Deed for Resume<'_> {
    fn row(&self) -> &'static str {
        "saga resume"
    }

    fn needs(&self) -> Vec<Need> {
        let machine = self.0.output("OrderRecoveryArn");
        let executions = machine.replace(":stateMachine:", ":execution:");
        vec![
            always("dynamodb", "GetItem", &table(self.0, "Orders")),
            always("dynamodb", "GetItem", &table(self.0, "Idempotency")),
            // Only where everything is done but the order's end.
            sometimes("dynamodb", "Query", &table(self.0, "Audit")),
            always("states", "StartExecution", machine),
            always("states", "DescribeExecution", &format!("{executions}:*"))
                .leaving("is under way all the same"),
        ]
    }

    async fn task(&self) -> Task {
        let order = Order::of(&unique("MUG"));
        self.0.store_without_event(&order).await;
        let id = order.id();
        let status = AttributeValue::S("needs-attention".to_owned());
        self.0
            .dynamodb
            .update_item()
            .table_name(self.0.output("OrdersTableName"))
            .key("orderId", AttributeValue::S(id.clone()))
            .update_expression("SET #status = :status")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":status", status)
            .send()
            .await
            .unwrap();
        Task::new(&["saga", "resume", &id, "--why", "x", "--yes"], &id)
    }

    async fn look(&self, task: &Task) -> Option<String> {
        Some(item(self.0, "Orders", "orderId", &task.about).await)
    }
}

#[tokio::test]
async fn an_order_is_resumed_with_the_rights_of_its_row() {
    let environment = Environment::connect().await;
    let used = check(&environment, &Resume(&environment)).await;
    all_that_is_documented_is_used(vec![used]);
}

struct Drain<'a>(&'a Environment);

impl Deed for Drain<'_> {
    fn row(&self) -> &'static str {
        "failures drain"
    }

    fn needs(&self) -> Vec<Need> {
        let dlq_alarm = function(self.0, "DlqAlarmFunctionName");
        vec![always("lambda", "InvokeFunction", &dlq_alarm)]
    }

    async fn task(&self) -> Task {
        // No other test looks into this one.
        Task::new(&["failures", "drain", "saga-delivery-dlq"], "")
    }

    /// The schedule drains as well.
    async fn look(&self, _: &Task) -> Option<String> {
        None
    }
}

#[tokio::test]
async fn a_replay_is_carried_to_its_end_and_a_drain_begun_with_the_rights_of_their_rows() {
    let scene = Scene::with(2, "pm_card_visa").await;
    let environment = &scene.environment;
    let used = check(environment, &Drain(environment)).await;
    all_that_is_documented_is_used(vec![used]);

    let deed = ToFailure {
        environment,
        change: Change::Replay,
    };
    let arguments = ["failures", "replay", "--error", &scene.error, "--yes"];
    let task = Task::new(&arguments, "");
    let ran = task.run_by(environment, &deed.needs()).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.json()["processed"], 2, "{ran:?}");
    scene.each_once().await;
    scene.forget().await;
}

#[tokio::test]
async fn orders_are_placed_and_shown_with_the_right_to_call_the_api_alone() {
    let environment = Environment::connect().await;
    let sku = unique("MUG");
    environment.seed(&sku, StockLevel::new(5, 0, 0)).await;
    let order = Order::of(&sku);
    let id = order.id();
    let file = std::env::temp_dir().join(format!("waybill-test-{id}.json"));
    std::fs::write(&file, order.body().to_string()).unwrap();
    let (region, account) = (environment.region(), environment.account());
    let api = environment.output("ApiUrl");
    let api = api.split("://").nth(1).unwrap().split('.').next().unwrap();
    let arn = format!("arn:aws:execute-api:{region}:{account}:{api}/*");
    let invoke = [always("execute-api", "Invoke", &arn)];
    let path = file.display().to_string();
    let place = Task::new(&["order", "place", &path, "--key", &order.key], &id);
    let show = Task::new(&["order", "show", &id], &id);

    let mut tap = Tap::on_order(&environment, &id).await;
    for (task, code) in [(&place, 3), (&show, 3)] {
        let ran = task.run_by(&environment, &[]).await;
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(ran.stderr.contains("allow execute-api:Invoke"), "{ran:?}");
    }
    for task in [&place, &show] {
        let ran = task.run_by(&environment, &invoke).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(ran.json()["orderId"], Value::from(id.as_str()), "{ran:?}");
    }
    tap.next("order.completed").await;
    assert_eq!(
        tap.named("order.placed").len(),
        1,
        "what was denied placed nothing"
    );
    tap.close().await;
    std::fs::remove_file(&file).unwrap();
    assert_eq!(documented("order place"), BTreeSet::from(["Invoke"]));
}

//! What `waybill` makes of tables and queues that somebody hostile has written into.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};

use aws_adapters::{DynamoCircuits, DynamoPlans};
use aws_sdk_dynamodb::types::AttributeValue;
use circuit::Pause;
use contracts::Timestamp;
use failures::{
    Entry, Failure, FailureId, FailureStore, Group, GroupId, GroupNote, GroupStore, HistoryEntry,
    Letter, Plan, PlanStore, Progress, Query, Replay, ReplayId, Runner, Status, Trouble,
};
use idempotency::Millis;
use serde_json::{Value, json};
use uuid::Uuid;
use waybill_tests::{Environment, Ran, Twin, messages};

/// Texts that drive a terminal, forge lines, turn or hide other text, run in a
/// spreadsheet or a shell, or lead out of a folder.
const HOSTILE: [&str; 8] = [
    "\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{7f}\u{85}",
    "x\r\nerror: forged\n\terror: forged",
    "\u{202e}gpj.\u{2066}\u{200b}\u{feff}\u{e0041}\u{2028}\u{61c}",
    "=HYPERLINK(\"http://x\")",
    "\u{3000}＝1+1",
    "../../../etc/passwd",
    "x'; touch owned; $(id) `id`",
    "--all",
];

fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

fn moment() -> Timestamp {
    Timestamp::from_epoch_millis(1_795_283_775_859)
}

/// A failure of which every text is this one, but for what it is found by.
fn failure(id: &str, evil: &str, order: &str) -> Failure {
    let some = || Some(evil.to_owned());
    Failure {
        id: FailureId::new(id),
        version: 1,
        status: Status::Replaying,
        consumer: evil.to_owned(),
        group: GroupId::new(evil),
        letter: Letter::new(
            evil,
            [(evil.to_owned(), attribute(evil))].into_iter().collect(),
        ),
        trouble: Trouble {
            class: evil.to_owned(),
            name: evil.to_owned(),
            cause: vec![evil.to_owned(), evil.to_owned()],
            attempts: u32::MAX,
            failed_at: moment(),
            found_in: evil.to_owned(),
            message_id: evil.to_owned(),
            source_queue: some(),
            source_message_id: some(),
        },
        message_type: some(),
        event_id: some(),
        order_id: Some(order.to_owned()),
        correlation_id: some(),
        schema: some(),
        schema_hash: some(),
        first_seen: some(),
        stored_at: moment(),
        failed: u32::MAX,
        automatic_replays: u32::MAX,
        dead_letters: vec![evil.to_owned()],
        replay: Some(Replay {
            id: ReplayId::new(evil),
            by: evil.to_owned(),
            automatic: false,
            claimed_at: moment(),
            sent_at: None,
            may_be_sent: false,
            destination: evil.to_owned(),
        }),
        resolution: None,
        edit_of: Some(FailureId::new(evil)),
        edited_as: None,
        note: some(),
        history: vec![HistoryEntry {
            at: moment(),
            by: evil.to_owned(),
            action: evil.to_owned(),
            detail: evil.to_owned(),
        }],
        expires_at: None,
    }
}

fn attribute(value: &str) -> failures::Value {
    failures::Value::Text {
        data_type: "String".to_owned(),
        value: value.to_owned(),
    }
}

fn plan(id: &str, evil: &str, failure: &str) -> Plan {
    Plan {
        id: ReplayId::new(id),
        version: 1,
        by: evil.to_owned(),
        cut_off: Timestamp::from_epoch_millis(u64::MAX),
        query: Query::default(),
        destination: Some(evil.to_owned()),
        canaries: 1,
        rate: 1,
        why: evil.to_owned(),
        progress: Progress {
            planned: 1,
            aborted: vec![GroupId::new(evil)],
            finished_at: None,
            groups: Default::default(),
            runner: Some(Runner {
                run: evil.to_owned(),
                by: evil.to_owned(),
                until: moment(),
            }),
        },
        entries: vec![Entry {
            failure: FailureId::new(failure),
            group: GroupId::new(evil),
            body_sha256: evil.to_owned(),
            failed: 1,
            over: None,
        }],
    }
}

/// An order that needs attention, with whatever may stand in its texts and its timeline.
fn order(id: &str, evil: &str) -> HashMap<String, AttributeValue> {
    let event = json!({
        "id": evil, "type": evil, "time": evil, "source": evil, "subject": evil,
        "data": { "amount": -1, "currency": evil },
    });
    let captured = json!({
        "id": evil, "type": "waybill.payment.captured.v1", "time": evil,
        "data": { "amount": 2500, "currency": evil },
    });
    let entries = [
        event.to_string(),
        captured.to_string(),
        evil.to_owned(),
        "[1]".to_owned(),
        "\"x\"".to_owned(),
        String::new(),
        "[".repeat(10_000),
    ];
    let map = |names: &[&str]| {
        let fields = names.iter().map(|name| ((*name).to_owned(), text(evil)));
        AttributeValue::M(fields.collect())
    };
    let attempt = map(&[
        "name",
        "mode",
        "by",
        "why",
        "startedAt",
        "endedAt",
        "outcome",
    ]);
    let mut timeline: Vec<_> = entries.into_iter().map(text).collect();
    timeline.push(AttributeValue::N("1".to_owned()));
    HashMap::from([
        ("orderId".to_owned(), text(id)),
        ("status".to_owned(), text("needs-attention")),
        ("createdAt".to_owned(), text(evil)),
        ("updatedAt".to_owned(), text(evil)),
        ("correlationId".to_owned(), text(evil)),
        ("traceparent".to_owned(), text(evil)),
        ("customerId".to_owned(), text(evil)),
        ("currency".to_owned(), text(evil)),
        (
            "totalAmount".to_owned(),
            AttributeValue::N("-1e5".to_owned()),
        ),
        ("reason".to_owned(), map(&["code", "message"])),
        ("recovery".to_owned(), attempt.clone()),
        ("recoveries".to_owned(), AttributeValue::L(vec![attempt])),
        ("timeline".to_owned(), AttributeValue::L(timeline)),
    ])
}

async fn put(
    environment: &Environment,
    output: &str,
    item: impl IntoIterator<Item = (String, AttributeValue)>,
) {
    environment
        .dynamodb
        .put_item()
        .table_name(environment.output(output))
        .set_item(Some(item.into_iter().collect()))
        .send()
        .await
        .unwrap_or_else(|error| panic!("{output}: {error:?}"));
}

/// Writes one text wherever the tables hold texts. Gives the order that they are about.
async fn overrun(environment: &Environment, number: usize, evil: &str) -> String {
    let order_id = Uuid::new_v4().to_string();
    let id = format!("{number}-{evil}.");
    let stored = failure(&id, evil, &order_id);
    assert!(environment.failure_store().create(&stored).await.unwrap());
    let group = Group {
        id: GroupId::new(evil),
        version: 1,
        consumer: evil.to_owned(),
        error_name: evil.to_owned(),
        cause: evil.to_owned(),
        last_failure_at: moment(),
        told_at: None,
        told_of: None,
        telling_until: None,
        canary: None,
        notes: vec![GroupNote {
            at: moment(),
            by: evil.to_owned(),
            text: evil.to_owned(),
        }],
    };
    assert!(environment.group_store().put_group(&group).await.unwrap());
    let plans = DynamoPlans::new(
        environment.dynamodb.clone(),
        environment.output("ReplaysTableName"),
    );
    plans.create_plan(&plan(&id, evil, &id)).await.unwrap();
    put(environment, "OrdersTableName", order(&order_id, evil)).await;
    let audited = ["id", "type", "time", "source", "recordedAt", "entry"];
    let audited = audited.map(|name| (name.to_owned(), text(evil)));
    let audited = audited
        .into_iter()
        .chain([("orderId".to_owned(), text(&order_id))]);
    put(environment, "AuditTableName", audited).await;
    let stock = [
        ("sku".to_owned(), text(evil)),
        ("available".to_owned(), text(evil)),
    ];
    put(environment, "StockTableName", stock).await;
    let captured = json!({
        "outcome": "captured", "money": { "amount": 2500, "currency": "EUR" }, "reference": evil,
    });
    let step = [
        ("id", text(format!("{order_id}/payment.charge"))),
        ("state", text("completed")),
        ("owner", text(Uuid::new_v4().to_string())),
        ("fingerprint", text("0".repeat(64))),
        ("result", text(captured.to_string())),
        ("expiresAt", AttributeValue::N("99999999999".to_owned())),
    ];
    let step = step.map(|(name, value)| (name.to_owned(), value));
    put(environment, "IdempotencyTableName", step).await;
    let letter = json!({ "id": evil, "type": evil, "subject": order_id, "tasktoken": "SECRET" });
    environment
        .put(environment.dlq("Payment"), &letter.to_string())
        .await;
    order_id
}

/// Stops a consumer in somebody else's name.
async fn pause(environment: &Environment, consumer: &str, evil: &str) {
    let table = environment.output("CircuitsTableName").to_owned();
    let circuits = DynamoCircuits::new(environment.dynamodb.clone(), table);
    let pause = Pause {
        at: Millis::new(u64::MAX),
        by: evil.to_owned(),
        why: evil.to_owned(),
    };
    circuits.pause(consumer, &pause).await.unwrap();
}

fn is_unseen(char: char) -> bool {
    (char.is_control() && char != '\n')
        || matches!(
            char,
            '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
        )
        || matches!(char, '\u{2060}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// What must hold of every run, whatever it has met.
#[track_caller]
fn decent(arguments: &[&str], ran: &Ran) {
    let told = |what: &str| format!("{what}: {arguments:?}: {ran:?}");
    assert!((0..=8).contains(&ran.code), "{}", told("an exit code"));
    assert!(!ran.stderr.contains("panicked"), "{}", told("a panic"));
    for stream in [&ran.stdout, &ran.stderr] {
        assert!(
            !stream.chars().any(is_unseen),
            "{}",
            told("a raw character")
        );
        let forged = stream
            .lines()
            .filter(|line| line.starts_with("error: forged"));
        assert_eq!(forged.count(), 0, "{}", told("a forged line"));
        assert!(!stream.contains("SECRET"), "{}", told("a task token"));
    }
    let errors = ran
        .stderr
        .lines()
        .filter(|line| line.starts_with("error: "));
    let errors = errors.count();
    assert!(errors <= 1, "{}", told("one error at most"));
    if [1, 2, 4, 6].contains(&ran.code) {
        assert_eq!(errors, 1, "{}", told("an error that says why"));
    }
}

/// Runs it for people and for programs.
async fn both(environment: &Environment, arguments: &[&str]) -> Ran {
    let table = environment.waybill_here(arguments).await;
    decent(arguments, &table);
    let arguments = [arguments, &["--output", "json"]].concat();
    let json = environment.waybill_here(&arguments).await;
    decent(&arguments, &json);
    assert_eq!(json.code, table.code, "{arguments:?}: {json:?} {table:?}");
    json
}

#[tokio::test]
async fn nothing_that_is_stored_drives_a_terminal_forges_a_line_or_runs() {
    let twin = Twin::of(&Environment::connect().await).await;
    let environment = &twin.environment;
    let mut orders = Vec::new();
    for (number, evil) in HOSTILE.into_iter().enumerate() {
        orders.push(overrun(environment, number, evil).await);
    }
    pause(environment, "payment", HOSTILE[0]).await;
    pause(environment, "stock", HOSTILE[1]).await;
    pause(environment, "shipping", HOSTILE[2]).await;

    for arguments in [
        &["failures", "list", "--status", "all"][..],
        &["failures", "list", "--text", "error"],
        &[
            "failures",
            "list",
            "--sort",
            "first-seen",
            "--status",
            "all",
        ],
        &["failures", "groups", "--all"],
        &["failures", "replay", "--status", "open"],
        &["failures", "replay", "--status", "open", "--again"],
        &["failures", "archive", "--status", "all", "--why", "x"],
        &["failures", "replays"],
        &["stock", "show"],
        &["order", "list"],
        &["saga", "list"],
        &["queues"],
    ] {
        let ran = both(environment, arguments).await;
        assert_eq!(ran.code, 0, "{arguments:?}: {ran:?}");
        ran.json();
    }
    let each = HOSTILE.into_iter().zip(&orders).enumerate();
    let each = each.map(|(number, (evil, order))| one_by_one(environment, number, evil, order));
    futures_util::future::join_all(each).await;
    twin.leave().await;
}

/// Whatever can be asked about one failure, one replay and one order.
async fn one_by_one(environment: &Environment, number: usize, evil: &str, order: &str) {
    let id = format!("{number}-{evil}.");
    let shown = both(environment, &["failures", "show", &id]).await;
    assert_eq!(shown.json()["failures"][0]["id"], id, "{shown:?}");
    for arguments in [
        &["failures", "show", &id, "--personal"][..],
        &["failures", "edit", &id, "--body", "{}"],
        &["failures", "edit", &id, "--patch", "[]"],
        &["failures", "replay", &id, "--again"],
        &["failures", "replays", "show", &id],
        &["failures", "export", &id],
        &["failures", "archive", &id, "--why", "x"],
        &["failures", "restore", &id],
        &["failures", "note", &id, &format!("noted: {evil}")],
        &["order", "trace", order],
        &["saga", "explain", order],
        &["saga", "resume", order, "--why", "x"],
    ] {
        both(environment, arguments).await;
    }
    let resolve = ["failures", "resolve", &id, "--why", "x"];
    for code in [0, 3] {
        let ran = environment.waybill_here(&resolve).await;
        decent(&resolve, &ran);
        assert_eq!(ran.code, code, "{ran:?}");
    }
}

#[tokio::test]
async fn an_export_of_what_is_hostile_is_a_file_that_runs_nowhere() {
    let twin = Twin::of(&Environment::connect().await).await;
    let environment = &twin.environment;
    for (number, evil) in HOSTILE.into_iter().enumerate() {
        overrun(environment, number, evil).await;
    }
    let folder = Folder::new();
    let path = folder.path("out.csv");
    let ran = environment
        .waybill_here(&["failures", "export", "--format", "csv", "--file", &path])
        .await;
    decent(&["export"], &ran);
    assert_eq!(ran.code, 0, "{ran:?}");
    let mut reader = csv::Reader::from_path(&path).unwrap();
    let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), HOSTILE.len());
    for cell in rows.iter().flatten() {
        let begins = cell.trim_start_matches([' ', '\u{3000}', '"']);
        assert!(
            !begins.starts_with(['=', '+', '-', '@', '＝', '\t', '\r']),
            "{cell:?}"
        );
        assert!(!cell.chars().any(is_unseen), "{cell:?}");
    }
    let whole = folder.path("out.jsonl");
    let ran = environment
        .waybill_here(&["failures", "export", "--file", &whole])
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let lines = std::fs::read_to_string(&whole).unwrap();
    assert!(!lines.chars().any(is_unseen));
    for line in lines.lines() {
        serde_json::from_str::<Value>(line).unwrap();
    }
    assert_eq!(folder.names(), ["out.csv", "out.jsonl"]);
    twin.leave().await;
}

/// Items of which nothing but the keys is what it should be, one for each table.
fn garbage(order: &str) -> Vec<(&'static str, Vec<(&'static str, AttributeValue)>)> {
    let odd = || AttributeValue::L(vec![AttributeValue::Bool(true)]);
    let number = |value: &str| AttributeValue::N(value.to_owned());
    vec![
        (
            "FailuresTableName",
            vec![
                ("id", text("garbage")),
                ("status", text("waiting")),
                ("failedAt", text(moment().to_string())),
                ("group", text("garbage")),
                ("orderId", text(order)),
                ("version", odd()),
            ],
        ),
        (
            "FailureGroupsTableName",
            vec![("id", text("garbage")), ("version", odd())],
        ),
        (
            "ReplaysTableName",
            vec![
                ("id", text("garbage")),
                ("part", number("0")),
                ("kind", text("plan")),
                ("cutOff", text("tomorrow")),
                ("version", number("1e30")),
            ],
        ),
        (
            "CircuitsTableName",
            vec![
                ("id", text("payment")),
                ("state", text("ajar")),
                ("openedAt", number("-1")),
                ("version", number("1e30")),
            ],
        ),
        (
            "AuditTableName",
            vec![
                ("orderId", text(order)),
                ("entry", text("e")),
                ("sequence", number("1e30")),
                ("type", odd()),
            ],
        ),
        (
            "IdempotencyTableName",
            vec![
                ("id", text(format!("{order}/payment.charge"))),
                ("state", text("ajar")),
                ("expiresAt", odd()),
            ],
        ),
        (
            "StockTableName",
            vec![("sku", text("garbage")), ("available", text("many"))],
        ),
        (
            "OrdersTableName",
            vec![
                ("orderId", text(order)),
                ("status", text("needs-attention")),
                ("createdAt", text("")),
                ("updatedAt", AttributeValue::Bool(true)),
                ("timeline", number("1")),
                ("recoveries", odd()),
                ("recovery", odd()),
                ("reason", odd()),
                ("totalAmount", odd()),
            ],
        ),
    ]
}

#[tokio::test]
async fn a_record_that_nobody_can_read_ends_in_one_error_that_names_it() {
    let twin = Twin::of(&Environment::connect().await).await;
    let environment = &twin.environment;
    let order = Uuid::new_v4().to_string();
    for (output, item) in garbage(&order) {
        let mut item: Vec<_> = item
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        // No index has an empty key.
        item.retain(|(_, value)| *value != text(""));
        put(environment, output, item).await;
    }
    for (arguments, names) in [
        (&["failures", "list"][..], "\"garbage\""),
        (
            &["failures", "list", "--status", "all", "--group", "garbage"],
            "\"garbage\"",
        ),
        (&["failures", "show", "garbage"], "\"garbage\""),
        (&["failures", "groups"], "\"garbage\""),
        (&["failures", "export"], "\"garbage\""),
        (&["failures", "note", "garbage", "x"], "\"garbage\""),
        (
            &["failures", "note", "--group", "garbage", "x"],
            "\"garbage\"",
        ),
        (
            &["failures", "edit", "garbage", "--patch", "[]"],
            "\"garbage\"",
        ),
        (
            &["failures", "archive", "garbage", "--why", "x"],
            "\"garbage\"",
        ),
        (
            &["failures", "resolve", "garbage", "--why", "x"],
            "\"garbage\"",
        ),
        (&["failures", "replay", "garbage", "--yes"], "\"garbage\""),
        (
            &["failures", "replay", "--resume", "garbage", "--yes"],
            "\"garbage\"",
        ),
        (&["failures", "replays"], "\"garbage\""),
        (&["failures", "replays", "show", "garbage"], "\"garbage\""),
        (&["order", "trace", &order], "cannot be read"),
        (&["saga", "explain", &order], "cannot be read"),
        (&["saga", "resume", &order, "--why", "x"], "cannot be read"),
        (&["queues"], "cannot be read"),
    ] {
        let ran = both(environment, arguments).await;
        assert_eq!(ran.code, 1, "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains(names), "{arguments:?}: {ran:?}");
    }
    let stock = both(environment, &["stock", "show"]).await;
    assert_eq!(stock.json()["stock"][0]["available"], Value::Null);
    for arguments in [&["order", "list"][..], &["saga", "list"]] {
        assert_eq!(both(environment, arguments).await.code, 0, "{arguments:?}");
    }
    twin.leave().await;
}

#[tokio::test]
async fn a_timeline_that_holds_no_events_is_not_published_again() {
    let environment = Environment::connect().await;
    let twin = Twin::of(&environment).await;
    let id = overrun(&twin.environment, 0, "x").await;
    let refused = both(&twin.environment, &["order", "republish", &id, "--yes"]).await;
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(
        refused.stderr.contains("1, 2, 3, 4, 5, 6, 7, 8"),
        "{refused:?}"
    );

    // One that another order's event was put into is refused as a whole.
    let placed = messages::event(&id, "order.placed", 1, json!({}));
    let other = messages::event(&Uuid::new_v4().to_string(), "order.placed", 1, json!({}));
    let command = messages::command(&id, "payment.refund", messages::charge(100, "pm_card_visa"));
    for intruder in [other, command] {
        let timeline = [&placed, &intruder].map(|entry| text(entry.to_string()));
        let item = [
            ("orderId".to_owned(), text(&id)),
            ("status".to_owned(), text("accepted")),
            ("timeline".to_owned(), AttributeValue::L(timeline.to_vec())),
        ];
        put(&twin.environment, "OrdersTableName", item).await;
        for arguments in [
            &["order", "republish", &id][..],
            &["order", "republish", &id, "--yes"],
            &["order", "republish", &id, "--from", "2", "--yes"],
        ] {
            let refused = both(&twin.environment, arguments).await;
            assert_eq!(refused.code, 3, "{refused:?}");
            assert!(refused.stderr.contains("at 2"), "{refused:?}");
        }
    }
    // The bus is the same for both, and so is what listens to it.
    assert!(
        environment.audit(&id).await.is_empty(),
        "something was published"
    );
    twin.leave().await;
}

#[tokio::test]
async fn an_export_that_fails_leaves_no_file_and_touches_none() {
    let twin = Twin::of(&Environment::connect().await).await;
    let environment = &twin.environment;
    let id = Uuid::new_v4().to_string();
    let good = failure(&id, "x", &Uuid::new_v4().to_string());
    assert!(environment.failure_store().create(&good).await.unwrap());
    let folder = Folder::new();
    std::fs::write(folder.path("there"), "kept").unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path("dangling")).unwrap();
    std::fs::create_dir(folder.path("folder")).unwrap();
    for target in [
        folder.path("there"),
        folder.path("dangling"),
        folder.path("folder"),
        folder.path("missing/out"),
        folder.path("there/out"),
        "/dev/full".to_owned(),
        "/dev/null".to_owned(),
        String::new(),
        folder.path(&"n".repeat(300)),
        "/proc/out".to_owned(),
    ] {
        let arguments = ["failures", "export", &id, "--file", &target];
        let ran = environment.waybill_here(&arguments).await;
        decent(&arguments, &ran);
        assert_eq!(ran.code, 2, "{target}: {ran:?}");
        assert!(ran.stdout.is_empty(), "{ran:?}");
    }
    let items = garbage(&id).remove(0).1;
    let items = items
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    put(environment, "FailuresTableName", items).await;
    let target = folder.path("out");
    let arguments = ["failures", "export", "--file", &target];
    let ran = environment.waybill_here(&arguments).await;
    decent(&arguments, &ran);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(folder.names(), ["dangling", "folder", "there"]);
    assert_eq!(
        std::fs::read_to_string(folder.path("there")).unwrap(),
        "kept"
    );

    for arguments in [
        &["failures", "export", &id][..],
        &["failures", "export", &id, "--format", "csv"],
        &["failures", "show", &id],
        &["stock", "show"],
        &["order", "list", "--output", "json"],
    ] {
        let full = std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let output = Command::new("waybill")
            .args(arguments)
            .args(["--stack", environment.stack()])
            .stdout(full)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {stderr}");
        assert!(
            stderr.contains("cannot be written"),
            "{arguments:?}: {stderr}"
        );
    }
    twin.leave().await;
}

#[tokio::test]
async fn an_edit_that_grows_nests_or_breaks_the_message_stores_nothing() {
    let twin = Twin::of(&Environment::connect().await).await;
    let environment = &twin.environment;
    let order = Uuid::new_v4().to_string();
    let id = Uuid::new_v4().to_string();
    let charge = messages::command(
        &order,
        "payment.charge",
        messages::charge(100, "pm_card_visa"),
    );
    let mut stored = failure(&id, "x", &order);
    stored.letter = Letter::new(charge.to_string(), Default::default());
    stored.status = Status::Waiting;
    stored.replay = None;
    assert!(environment.failure_store().create(&stored).await.unwrap());
    let before = environment.failure(&stored.id).await;

    let doubling: Vec<_> = (0..60)
        .map(|number| json!({ "op": "copy", "from": "", "path": format!("/data/{number}") }))
        .collect();
    let doubling = json!(doubling).to_string();
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(120), "]".repeat(120));
    let value: Value = serde_json::from_str(&deep).unwrap();
    let deeper = json!([
        { "op": "add", "path": "/data/a", "value": value },
        { "op": "copy", "from": "/data/a", "path": format!("/data/a/a{}", "/0".repeat(119)) },
    ]);
    let deeper = deeper.to_string();
    for arguments in [
        &["--patch", &doubling][..],
        &["--patch", &deeper],
        &["--patch", r#"[{"op":"remove","path":""}]"#],
        &["--patch", r#"[{"op":"replace","path":"","value":[]}]"#],
        &["--body", &deep],
        &["--body", "{}"],
    ] {
        let all = [&["failures", "edit", &id, "--yes"], arguments].concat();
        let ran = both(environment, &all).await;
        assert!([2, 3].contains(&ran.code), "{ran:?}");
    }
    for (editor, code) in [
        ("printf '\\377' >", 2),
        ("printf '{\"a\":1,\"a\":2}' >", 2),
        (": >", 2),
        ("head -c 1000000 /dev/zero >", 2),
        ("rm", 2),
        ("false", 2),
        ("kill -9 $$ #", 2),
        ("/nonexistent", 2),
    ] {
        let output = Command::new("waybill")
            .args([
                "failures",
                "edit",
                &id,
                "--yes",
                "--stack",
                environment.stack(),
            ])
            .env_remove("VISUAL")
            .env("EDITOR", editor)
            .output()
            .unwrap();
        let ran = Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        assert_eq!(ran.code, code, "{editor}: {ran:?}");
        assert!(!ran.stderr.contains("panicked"), "{editor}: {ran:?}");
        assert!(!ran.stderr.contains('\0'), "{editor}: {ran:?}");
    }
    assert_eq!(
        environment.failure(&stored.id).await,
        before,
        "nothing was stored"
    );
    twin.leave().await;
}

#[tokio::test]
async fn a_time_limit_beyond_all_time_is_no_limit() {
    let twin = Twin::of(&Environment::connect().await).await;
    let environment = &twin.environment;
    let id = Uuid::new_v4().to_string();
    let mut finished = plan(&id, "x", "nothing");
    finished.progress.runner = None;
    let plans = DynamoPlans::new(
        environment.dynamodb.clone(),
        environment.output("ReplaysTableName"),
    );
    plans.create_plan(&finished).await.unwrap();
    let limit = u64::MAX.to_string();
    let arguments = [
        "failures",
        "replay",
        "--resume",
        &id,
        "--yes",
        "--timeout",
        &limit,
    ];
    let ran = environment.waybill_here(&arguments).await;
    decent(&arguments, &ran);
    assert_eq!(ran.code, 3, "its one message is not there: {ran:?}");
    twin.leave().await;
}

/// A folder that goes with the test.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("waybill-test-{}", Uuid::new_v4()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        Path::new(&self.0).join(name).display().to_string()
    }

    fn names(&self) -> Vec<String> {
        let names = std::fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> = names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left in the temporary folder does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

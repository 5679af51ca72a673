//! The rights that docs/operations.md names for each command that looks are enough, and are
//! needed. Those that write are in `operator_writes`.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use waybill_tests::{Environment, Order, StockLevel, unique};

use crate::operator_writes::waiting;
use crate::permissions::{Person, Resources};

const DOCUMENT: &str = include_str!("../../docs/operations.md");

/// Somebody's command, by the name that its row in the document begins with, and its rights.
struct Operator<'a> {
    row: &'a str,
    arguments: Vec<&'a str>,
    rights: Vec<Right>,
    /// The operations that are asked for whatever there is to see.
    always: &'a [&'a str],
}

/// Operations of one service on some resources.
#[derive(Debug, Clone)]
pub(crate) struct Right {
    pub(crate) service: &'static str,
    pub(crate) operations: Vec<&'static str>,
    resources: Vec<String>,
}

impl Right {
    pub(crate) fn of(
        service: &'static str,
        operations: &[&'static str],
        resources: Vec<String>,
    ) -> Self {
        let operations = operations.to_vec();
        Self {
            service,
            operations,
            resources,
        }
    }

    fn without(mut self, operation: &str) -> Self {
        self.operations.retain(|it| *it != operation);
        self
    }
}

pub(crate) fn policy(rights: &[Right], environment: &Environment) -> String {
    let (region, account) = (environment.region(), environment.account());
    let stack = format!(
        "arn:aws:cloudformation:{region}:{account}:stack/{}/*",
        environment.stack()
    );
    let mut all = vec![Right::of(
        "cloudformation",
        &["DescribeStacks"],
        vec![stack],
    )];
    all.extend(rights.iter().cloned());
    // The emulator checks the one under the name of the other.
    if rights
        .iter()
        .any(|it| it.operations.contains(&"GetEventSourceMapping"))
    {
        let everything = vec!["*".to_owned()];
        all.push(Right::of(
            "lambda",
            &["ListEventSourceMappings"],
            everything,
        ));
    }
    let allowed = all.iter().filter(|right| !right.operations.is_empty());
    let statements: Vec<Value> = allowed
        .map(|right| {
            let actions = right.operations.iter();
            let actions: Vec<_> = actions
                .map(|it| format!("{}:{it}", right.service))
                .collect();
            json!({ "Effect": "Allow", "Action": actions, "Resource": right.resources })
        })
        .collect();
    json!({ "Version": "2012-10-17", "Statement": statements }).to_string()
}

/// The operations in a command's row of the document.
pub(crate) fn documented(row: &str) -> BTreeSet<&str> {
    let begins = format!("| `{row}`");
    let line = DOCUMENT.lines().find(|line| line.starts_with(&begins));
    let line = line.unwrap_or_else(|| panic!("docs/operations.md has no row {begins}"));
    let needs = line.split('|').nth(2).unwrap();
    let code = needs.split('`').skip(1).step_by(2);
    let operations = code.map(|it| it.rsplit(':').next().unwrap());
    operations
        .filter(|it| it.starts_with(|first: char| first.is_ascii_uppercase()))
        .collect()
}

async fn check(environment: &Environment, operator: &Operator<'_>) {
    let Operator {
        row,
        arguments,
        rights,
        always,
    } = operator;
    let used: BTreeSet<_> = rights.iter().flat_map(|it| it.operations.clone()).collect();
    assert_eq!(documented(row), used, "the row of `{row}`");

    let person = Person::with(environment, &policy(rights, environment)).await;
    let ran = environment.waybill_of(&person.key, arguments).await;
    person.leave().await;
    assert_eq!(ran.code, 0, "`{row}` with the rights of its row: {ran:?}");

    for operation in *always {
        let fewer: Vec<_> = rights
            .iter()
            .map(|it| it.clone().without(operation))
            .collect();
        let person = Person::with(environment, &policy(&fewer, environment)).await;
        let ran = environment.waybill_of(&person.key, arguments).await;
        person.leave().await;
        assert_eq!(ran.code, 1, "`{row}` without {operation}: {ran:?}");
        assert!(
            ran.stderr.contains("denied"),
            "`{row}` without {operation}: {ran:?}"
        );
    }
}

#[tokio::test]
async fn every_command_that_looks_works_with_the_rights_of_its_row_and_says_which_are_denied() {
    let environment = Environment::connect().await;
    let resources = Resources::find(&environment).await;
    let sku = unique("MUG");
    environment.seed(&sku, StockLevel::new(5, 0, 0)).await;
    let order = Order::of(&sku);
    let id = environment.accept(&order).await;
    environment.ended(&order.id()).await;

    let table = |name: &str| resources.arn(&format!("{name}Table"));
    let tables = |names: &[&str]| names.iter().map(|it| table(it)).collect::<Vec<_>>();
    let index = |name: &str, index: &str| format!("{}/index/{index}", table(name));
    let mapping = || Right::of("lambda", &["GetEventSourceMapping"], vec!["*".to_owned()]);
    let consumers = ["Saga", "Payment", "Stock", "Shipping", "Audit", "Notify"];
    let own = consumers
        .iter()
        .map(|it| resources.arn(&format!("{it}Queue")));
    let dead = consumers.iter().flat_map(|it| {
        [format!("{it}Dlq"), format!("{it}DeliveryDlq")].map(|name| resources.arn(&name))
    });
    let dead: Vec<_> = dead.chain([resources.arn("QuarantineQueue")]).collect();
    let queues: Vec<_> = own.chain(dead.clone()).collect();
    let query = |resources| Right::of("dynamodb", &["Query"], resources);
    let machines = ["OrderSaga", "OrderRecovery"].map(|machine| {
        let machine = resources.arn(machine);
        format!("{}:*", machine.replace(":stateMachine:", ":execution:"))
    });

    let failure = waiting(&environment).await;
    let failure_id = failure.id.to_string();
    let list = || {
        vec![
            Right::of(
                "dynamodb",
                &["GetItem"],
                tables(&["Failures", "FailureGroups"]),
            ),
            query(vec![index("Failures", "*"), table("Replays")]),
        ]
    };

    let operators = [
        Operator {
            row: "failures show",
            arguments: vec!["failures", "show", &failure_id],
            rights: vec![Right::of(
                "dynamodb",
                &["GetItem"],
                tables(&["Failures", "Orders"]),
            )],
            always: &["GetItem"],
        },
        Operator {
            row: "failures list",
            arguments: vec!["failures", "export"],
            rights: list(),
            always: &["Query"],
        },
        Operator {
            row: "saga explain",
            arguments: vec!["saga", "explain", &id],
            rights: vec![
                Right::of(
                    "dynamodb",
                    &["GetItem"],
                    tables(&["Orders", "Idempotency", "Circuits"]),
                ),
                query(vec![index("Failures", "by-order")]),
                Right::of(
                    "states",
                    &["DescribeExecution", "GetExecutionHistory"],
                    vec![machines[0].clone()],
                ),
                mapping(),
            ],
            always: &[
                "GetItem",
                "Query",
                "DescribeExecution",
                "GetExecutionHistory",
                "GetEventSourceMapping",
            ],
        },
        Operator {
            row: "order list",
            arguments: vec!["order", "list", "--status", "completed"],
            rights: vec![query(vec![index("Orders", "by-status")])],
            always: &["Query"],
        },
        Operator {
            row: "order trace",
            arguments: vec!["order", "trace", &id],
            rights: vec![
                Right::of(
                    "dynamodb",
                    &["GetItem"],
                    tables(&["Orders", "Idempotency", "Circuits"]),
                ),
                query(vec![table("Audit"), index("Failures", "by-order")]),
                Right::of("states", &["GetExecutionHistory"], machines.to_vec()),
                Right::of("sqs", &["ReceiveMessage"], dead),
                mapping(),
            ],
            always: &["GetItem", "Query"],
        },
        Operator {
            row: "stock show",
            arguments: vec!["stock", "show"],
            rights: vec![Right::of(
                "dynamodb",
                &["GetItem", "Scan"],
                vec![table("Stock")],
            )],
            always: &["Scan"],
        },
        Operator {
            row: "stock show",
            arguments: vec!["stock", "show", &sku],
            rights: vec![Right::of(
                "dynamodb",
                &["GetItem", "Scan"],
                vec![table("Stock")],
            )],
            always: &["GetItem"],
        },
        Operator {
            row: "saga list",
            arguments: vec!["saga", "list"],
            rights: vec![
                Right::of("dynamodb", &["GetItem"], vec![table("Orders")]),
                query(vec![index("Orders", "by-status")]),
            ],
            always: &["Query"],
        },
        Operator {
            row: "queues",
            arguments: vec!["queues"],
            rights: vec![
                Right::of("sqs", &["GetQueueAttributes"], queues),
                Right::of("dynamodb", &["GetItem"], vec![table("Circuits")]),
                query(vec![index("Failures", "by-status")]),
                mapping(),
                Right::of("cloudwatch", &["GetMetricData"], vec!["*".to_owned()]),
            ],
            always: &["GetQueueAttributes"],
        },
        Operator {
            row: "failures list",
            arguments: vec!["failures", "list"],
            rights: list(),
            always: &["Query"],
        },
        Operator {
            row: "failures groups",
            arguments: vec!["failures", "groups"],
            rights: vec![
                query(vec![index("Failures", "*"), index("Replays", "by-cut-off")]),
                Right::of("dynamodb", &["Scan"], vec![table("FailureGroups")]),
            ],
            always: &["Query", "Scan"],
        },
        Operator {
            row: "failures replays",
            arguments: vec!["failures", "replays"],
            rights: vec![
                query(vec![table("Replays"), index("Replays", "by-cut-off")]),
                Right::of("dynamodb", &["GetItem"], vec![table("Failures")]),
            ],
            always: &["Query"],
        },
    ];
    for operator in &operators {
        check(&environment, operator).await;
    }
    environment.forget_failures(&failure.letter.body).await;
}

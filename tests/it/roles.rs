//! Every right of every role is used, and every right that is used is there.
//!
//! The rights are those of the deployed stack. What is used is read from the functions'
//! code and from the state machines; what Lambda and Step Functions do in a role's
//! name is what AWS documents.

use std::collections::BTreeSet;

use serde_json::Value;
use waybill_tests::Environment;

use crate::code::Code;
use crate::permissions::{Resources, element, percent_decoded};
use crate::relay::DENIAL;
use crate::template::{Template, list, target};

/// One right: an action on a resource.
type Right = (String, String);

/// AWS's own policies that roles may have, and why.
const FOREIGN_POLICIES: [(&str, &str); 1] = [(
    "AWSXRayDaemonWriteAccess",
    "what AWS asks for where tracing is on; X-Ray has no resources to name",
)];

/// Actions for which AWS lets a policy name no resource, and why nothing is lost.
const WITHOUT_RESOURCE: [(&str, &str); 10] = [
    ("states:SendTaskSuccess", "the task's token names the task"),
    ("states:SendTaskFailure", "the task's token names the task"),
    ("logs:CreateLogDelivery", "log delivery of state machines"),
    ("logs:GetLogDelivery", "log delivery of state machines"),
    ("logs:UpdateLogDelivery", "log delivery of state machines"),
    ("logs:DeleteLogDelivery", "log delivery of state machines"),
    ("logs:ListLogDeliveries", "log delivery of state machines"),
    ("logs:PutResourcePolicy", "log delivery of state machines"),
    (
        "logs:DescribeResourcePolicies",
        "log delivery of state machines",
    ),
    ("logs:DescribeLogGroups", "log delivery of state machines"),
];

/// Rights that only the emulator asks for: it checks the first under the name of the second.
const EMULATORS: [(&str, &str); 2] = [
    ("sns:Publish", "sns:PublishBatch"),
    (
        "lambda:GetEventSourceMapping",
        "lambda:ListEventSourceMappings",
    ),
];

/// Calls that a function makes only on what it is told at run time, not by a variable.
const A_QUEUE: [&str; 3] = [
    "sqs:ReceiveMessage",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
];

/// A deployed stack beside its template.
struct Stack<'a> {
    template: Template,
    resources: Resources<'a>,
    code: Code,
}

impl Stack<'_> {
    /// The rights that a role has in the deployed stack.
    async fn granted(&self, role: &str) -> Vec<Right> {
        let iam = self.resources.environment;
        let named = [("RoleName", role)];
        let mut documents = Vec::new();
        for name in members(&iam.iam("ListRolePolicies", &named).await, "member") {
            // Another test, which runs at the same time, takes a right away for a while.
            if name == DENIAL {
                continue;
            }
            let both = [("RoleName", role), ("PolicyName", name.as_str())];
            documents.push(iam.iam("GetRolePolicy", &both).await);
        }
        let attached = iam.iam("ListAttachedRolePolicies", &named).await;
        for arn in members(&attached, "PolicyArn") {
            let name = arn.rsplit('/').next().unwrap_or_default();
            if FOREIGN_POLICIES.iter().any(|(known, _)| *known == name) {
                continue;
            }
            let policy = iam.iam("GetPolicy", &[("PolicyArn", &arn)]).await;
            let version = element(&policy, "DefaultVersionId");
            let both = [("PolicyArn", arn.as_str()), ("VersionId", version)];
            documents.push(iam.iam("GetPolicyVersion", &both).await);
        }
        let read = |xml: &String| {
            let name = ["PolicyDocument", "Document"].into_iter();
            let mut named = name.filter(|name| xml.contains(&format!("<{name}>")));
            rights(&percent_decoded(element(xml, named.next().unwrap())))
        };
        documents.iter().flat_map(read).collect()
    }

    fn arn(&self, logical: &str) -> String {
        self.resources.arn(logical)
    }

    /// What a function's role must be able to do, and nothing more.
    fn used_by_function(&self, name: &str, function: &Value) -> Vec<Need> {
        let variables = &function["Environment"]["Variables"];
        let code = function["CodeUri"].as_str().unwrap();
        let code = code.rsplit('/').next().unwrap();
        let mut needs = self.used_by_lambda(name, function);
        for used in self.code.with(code).uses() {
            let resources = match &used.table {
                Some(variable) => {
                    let table = self.arn(&target(&variables[variable]));
                    let is_search = ["dynamodb:Query"].contains(&used.action.as_str());
                    vec![if is_search {
                        format!("{table}/index/*")
                    } else {
                        table
                    }]
                }
                None => self.told(name, function),
            };
            needs.extend(Need::of(&used.action, &resources, used.table.is_some()));
        }
        needs
    }

    /// The resources that a function's variables name, those that its alarms name, and itself.
    fn told(&self, name: &str, function: &Value) -> Vec<String> {
        let mut logical = references(&function["Environment"]["Variables"]);
        logical.push(name.to_owned());
        logical.extend(self.alarmed(function));
        logical.retain(|name| self.resources.physical.contains_key(name));
        let arns = logical.iter().map(|it| self.arn(it));
        arns.chain(["*".to_owned()]).collect()
    }

    /// The queues that the alarms watch which a function hears.
    fn alarmed(&self, function: &Value) -> Vec<String> {
        let events = function["Events"]
            .as_object()
            .into_iter()
            .flat_map(|all| all.values());
        let topics: Vec<_> = events
            .map(|it| target(&it["Properties"]["Topic"]))
            .collect();
        let alarms = self.template.of_type("AWS::CloudWatch::Alarm").into_iter();
        let heard = alarms.filter(|(_, alarm)| topics.contains(&target(&alarm["AlarmActions"][0])));
        let of_queues = heard.filter(|(_, alarm)| alarm["Namespace"] == "AWS/SQS");
        of_queues
            .map(|(_, alarm)| target(&alarm["Dimensions"][0]["Value"]))
            .collect()
    }

    /// What Lambda does in the name of a function's role.
    fn used_by_lambda(&self, name: &str, function: &Value) -> Vec<Need> {
        let exactly = |action: &str, resource: String| Need::of(action, &[resource], true);
        let logs = self.arn(&target(&function["LoggingConfig"]["LogGroup"]));
        let mut needs = Vec::new();
        for action in ["logs:CreateLogStream", "logs:PutLogEvents"] {
            needs.extend(exactly(action, logs.clone()));
        }
        let events = function["Events"].as_object().into_iter().flatten();
        for (event, described) in events {
            let given = &described["Properties"];
            match described["Type"].as_str().unwrap() {
                "SQS" => {
                    for action in A_QUEUE {
                        needs.extend(exactly(action, self.arn(&target(&given["Queue"]))));
                    }
                }
                "DynamoDB" => {
                    let table = self.arn(&target(&given["Stream"]));
                    for action in [
                        "DescribeStream",
                        "GetRecords",
                        "GetShardIterator",
                        "ListStreams",
                    ] {
                        let action = format!("dynamodb:{action}");
                        needs.extend(exactly(&action, format!("{table}/stream/*")));
                    }
                }
                "SNS" | "Schedule" => {}
                other => panic!("{name}.{event}: what does Lambda need for {other}?"),
            }
            needs.extend(self.destination(given, &exactly));
        }
        needs.extend(self.destination(&function["EventInvokeConfig"], &exactly));
        needs
    }

    fn destination(&self, of: &Value, exactly: &impl Fn(&str, String) -> Vec<Need>) -> Vec<Need> {
        match &of["DestinationConfig"]["OnFailure"]["Destination"] {
            Value::Null => Vec::new(),
            queue => exactly("sqs:SendMessage", self.arn(&target(queue))),
        }
    }

    /// What a state machine's tasks ask for.
    fn used_by_machine(&self, machine: &Value) -> Vec<Need> {
        let path = machine["DefinitionUri"].as_str().unwrap();
        let path = format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"));
        let mut definition = std::fs::read_to_string(path).unwrap();
        for (name, value) in machine["DefinitionSubstitutions"].as_object().unwrap() {
            let logical = target(value);
            let is_resource = self.resources.physical.contains_key(&logical);
            let value = if is_resource {
                self.arn(&logical)
            } else {
                "1".to_owned()
            };
            definition = definition.replace(&format!("${{{name}}}"), &value);
        }
        let definition: Value = serde_json::from_str(&definition).unwrap();
        let mut needs = Vec::new();
        for task in tasks(&definition) {
            let call = task["Resource"].as_str().unwrap();
            let call = call
                .split(":::")
                .nth(1)
                .unwrap()
                .trim_start_matches("aws-sdk:");
            let call = call.trim_end_matches(".waitForTaskToken");
            let (service, operation) = call.split_once(':').unwrap();
            let service = if service == "sfn" { "states" } else { service };
            let (first, rest) = operation.split_at(1);
            let action = format!("{service}:{}{rest}", first.to_uppercase());
            let arguments = task["Arguments"].to_string();
            let mut resources: Vec<_> = self.arns().filter(|arn| arguments.contains(arn)).collect();
            if let Some(index) = task["Arguments"]["IndexName"].as_str() {
                resources
                    .iter_mut()
                    .for_each(|it| *it += &format!("/index/{index}"));
            }
            assert!(!resources.is_empty(), "{call}: on what? {arguments}");
            needs.extend(Need::of(&action, &resources, true));
        }
        let log_delivery = WITHOUT_RESOURCE
            .iter()
            .filter(|(it, _)| it.starts_with("logs:"));
        needs.extend(log_delivery.flat_map(|(it, _)| Need::of(it, &["*".to_owned()], true)));
        needs
    }

    fn arns(&self) -> impl Iterator<Item = String> {
        let named = ["Table", "Topic", "OrderSaga"];
        let names = self.resources.physical.keys();
        names
            .filter(move |name| named.iter().any(|it| name.ends_with(it)))
            .map(|name| self.arn(name))
    }

    /// What a rule starts.
    fn used_by_rule(&self, role: &str) -> Vec<Need> {
        let rules = self.template.of_type("AWS::Events::Rule");
        let targets = rules.iter().flat_map(|(_, rule)| list(&rule["Targets"]));
        let own = targets.filter(|it| target(&it["RoleArn"]) == role);
        own.flat_map(|it| {
            Need::of(
                "states:StartExecution",
                &[self.arn(&target(&it["Arn"]))],
                true,
            )
        })
        .collect()
    }

    fn used(&self, role: &str) -> Vec<Need> {
        let mut needs = self.used_by_rule(role);
        for (name, function) in self.template.functions() {
            if target(&function["Role"]) == role {
                needs.extend(self.used_by_function(name, function));
            }
        }
        for (_, machine) in self.template.of_type("AWS::Serverless::StateMachine") {
            if target(&machine["Role"]) == role {
                needs.extend(self.used_by_machine(machine));
            }
        }
        needs
    }
}

/// What is used: an action on each of these resources, or on some of them.
struct Need {
    action: String,
    resources: Vec<String>,
    each: bool,
    /// Only the emulator asks for it.
    is_asked_by_aws: bool,
}

impl Need {
    fn of(action: &str, resources: &[String], each: bool) -> Vec<Self> {
        let also = EMULATORS.iter().filter(|(it, _)| *it == action);
        let also = also.map(|(_, other)| (*other, false));
        let all = std::iter::once((action, true)).chain(also);
        all.map(|(action, is_asked_by_aws)| Self {
            action: action.to_owned(),
            resources: resources.to_vec(),
            each,
            is_asked_by_aws,
        })
        .collect()
    }

    fn covers(&self, (action, resource): &Right) -> bool {
        self.action == *action && self.resources.iter().any(|it| is_same(it, resource))
    }
}

/// A stream's ARN ends with when it was made, and a policy may name all of one table.
fn is_same(wanted: &str, granted: &str) -> bool {
    match wanted.strip_suffix("/stream/*") {
        Some(table) => granted.starts_with(&format!("{table}/stream/")),
        None => wanted == granted,
    }
}

/// The right of a policy's statements.
fn rights(policy: &str) -> Vec<Right> {
    let policy: Value = serde_json::from_str(policy).unwrap();
    let mut rights = Vec::new();
    for statement in list(&policy["Statement"]) {
        assert_eq!(statement["Effect"], "Allow", "{statement}");
        for action in list(&statement["Action"]) {
            for resource in list(&statement["Resource"]) {
                let text = |it: &Value| it.as_str().unwrap().to_owned();
                rights.push((text(action), text(resource)));
            }
        }
    }
    rights
}

/// The tasks of a state machine, those within others included.
fn tasks(states: &Value) -> Vec<&Value> {
    let own = (states["Type"] == "Task").then_some(states);
    let inner: Vec<&Value> = match states {
        Value::Object(map) => map.values().collect(),
        Value::Array(all) => all.iter().collect(),
        _ => Vec::new(),
    };
    own.into_iter()
        .chain(inner.into_iter().flat_map(tasks))
        .collect()
}

/// The logical ids that a value refers to.
fn references(value: &Value) -> Vec<String> {
    let own = target(value);
    let inner: Vec<&Value> = match value {
        Value::Object(map) => map.values().collect(),
        Value::Array(all) => all.iter().collect(),
        _ => Vec::new(),
    };
    let inner = inner.into_iter().flat_map(references);
    std::iter::once(own)
        .filter(|it| !it.is_empty())
        .chain(inner)
        .collect()
}

/// The texts of all elements of a name.
fn members(xml: &str, name: &str) -> Vec<String> {
    let (begin, end) = (format!("<{name}>"), format!("</{name}>"));
    let parts = xml.split(&begin).skip(1);
    let texts = parts.filter_map(|part| part.split_once(&end));
    texts.map(|(text, _)| text.to_owned()).collect()
}

/// What is wrong with a role, in words that say what to do.
fn faults(role: &str, granted: &[Right], used: &[Need]) -> Vec<String> {
    let mut faults = Vec::new();
    for right in granted {
        let (action, resource) = right;
        let may_be_wide = WITHOUT_RESOURCE.iter().any(|(it, _)| it == action);
        // All indexes or streams of one table; all streams of one log group.
        let is_of_one = ["/index/*", "/stream/*", ":*"]
            .iter()
            .any(|end| resource.ends_with(end));
        let is_wide = resource == "*" || (resource.contains('*') && !is_of_one);
        if action.contains('*') || (is_wide && !may_be_wide) {
            faults.push(format!(
                "{role}: {action} on {resource} is a wildcard; name what is meant"
            ));
        }
        if !used.iter().any(|need| need.covers(right)) {
            faults.push(format!(
                "{role}: {action} on {resource} is used by nothing; remove it from the role in template.yaml"
            ));
        }
    }
    for need in used.iter().filter(|need| need.is_asked_by_aws) {
        let has = |resource: &String| {
            let mut rights = granted.iter();
            rights.any(|(action, granted)| *action == need.action && is_same(resource, granted))
        };
        let mut missing = need.resources.iter().filter(|it| !has(it));
        let is_there = if need.each {
            missing.next().is_none()
        } else {
            need.resources.iter().any(has)
        };
        if !is_there {
            faults.push(format!(
                "{role}: {} on {:?} is used and not allowed; add it to the role in template.yaml",
                need.action, need.resources
            ));
        }
    }
    faults
}

#[tokio::test]
async fn every_right_of_every_role_is_used_and_every_right_that_is_used_is_there() {
    let environment = Environment::connect().await;
    let resources = Resources::find(&environment).await;
    let stack = Stack {
        template: Template::read(),
        resources,
        code: Code::shared(),
    };
    let mut wrong = Vec::new();
    let mut known = BTreeSet::new();
    for (role, _) in stack.template.of_type("AWS::IAM::Role") {
        let physical = &stack.resources.physical[role];
        known.insert(physical.clone());
        let granted = stack.granted(physical).await;
        assert!(!granted.is_empty(), "{role} has no rights at all");
        wrong.extend(faults(role, &granted, &stack.used(role)));
    }
    let deployed = members(&environment.iam("ListRoles", &[]).await, "RoleName");
    let prefix = format!("{}-", environment.stack());
    let strangers = deployed
        .iter()
        .filter(|it| it.starts_with(&prefix) && !known.contains(*it));
    wrong.extend(strangers.map(|role| format!("{role} is deployed, and no role of the template")));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_right_that_nothing_uses_a_wildcard_and_a_missing_right_are_told() {
    let right = |action: &str, resource: &str| (action.to_owned(), resource.to_owned());
    let used = Need::of("dynamodb:GetItem", &["orders".to_owned()], true);
    let granted = [right("dynamodb:GetItem", "orders")];
    assert_eq!(faults("Role", &granted, &used), [""; 0]);
    let check = |granted: &[Right], word: &str| {
        let faults = faults("Role", granted, &used);
        assert!(
            faults.iter().any(|fault| fault.contains(word)),
            "{word}: {faults:?}"
        );
    };
    check(
        &[
            right("dynamodb:GetItem", "orders"),
            right("dynamodb:Scan", "orders"),
        ],
        "Scan on orders is used by nothing",
    );
    check(
        &[right("dynamodb:GetItem", "stock")],
        "is used and not allowed",
    );
    check(&[right("dynamodb:*", "orders")], "is a wildcard");
    check(&[right("dynamodb:GetItem", "*")], "is a wildcard");
}

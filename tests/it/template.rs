//! Tidiness of the template and of the crates: rules that hold for every queue, function and role.

use serde_json::{Map, Value, json};
use serde_yaml_ng::Value as Yaml;

const TEMPLATE: &str = include_str!("../../template.yaml");
const FOURTEEN_DAYS: u64 = 14 * 24 * 60 * 60;

/// A YAML value as JSON, a short-form tag in its long form: `!Ref X` as `{"Ref": "X"}`.
fn plain(yaml: Yaml) -> Value {
    match yaml {
        Yaml::Null => Value::Null,
        Yaml::Bool(value) => json!(value),
        Yaml::Number(value) => serde_json::to_value(value).unwrap(),
        Yaml::String(value) => json!(value),
        Yaml::Sequence(values) => values.into_iter().map(plain).collect(),
        Yaml::Mapping(entries) => {
            let name = |key: Yaml| key.as_str().unwrap().to_owned();
            entries
                .into_iter()
                .map(|(key, value)| (name(key), plain(value)))
                .collect()
        }
        Yaml::Tagged(tagged) => {
            let tag = tagged.tag.to_string();
            let tag = tag.trim_start_matches('!');
            let name = if ["Ref", "Condition"].contains(&tag) {
                tag.to_owned()
            } else {
                format!("Fn::{tag}")
            };
            Value::Object(Map::from_iter([(name, plain(tagged.value))]))
        }
    }
}

pub(crate) struct Template(pub(crate) Value);

impl Template {
    pub(crate) fn read() -> Self {
        Self(plain(serde_yaml_ng::from_str(TEMPLATE).unwrap()))
    }

    pub(crate) fn resource(&self, name: &str) -> &Value {
        let properties = &self.0["Resources"][name]["Properties"];
        assert!(properties.is_object(), "there is no resource {name}");
        properties
    }

    /// The resources of a type: their names and properties.
    pub(crate) fn of_type(&self, resource_type: &str) -> Vec<(&String, &Value)> {
        let resources = self.0["Resources"].as_object().unwrap().iter();
        let of_type = resources.filter(|(_, resource)| resource["Type"] == resource_type);
        of_type
            .map(|(name, resource)| (name, &resource["Properties"]))
            .collect()
    }

    pub(crate) fn functions(&self) -> Vec<(&String, &Value)> {
        self.of_type("AWS::Serverless::Function")
    }

    /// The queues that functions read, with the function and its event.
    fn sources(&self) -> Vec<(String, &Value, &Value)> {
        let mut sources = Vec::new();
        for (_, function) in self.functions() {
            let events = function["Events"]
                .as_object()
                .into_iter()
                .flat_map(|all| all.values());
            for event in events.filter(|event| event["Type"] == "SQS") {
                let queue = target(&event["Properties"]["Queue"]);
                sources.push((queue, function, &event["Properties"]));
            }
        }
        assert_eq!(sources.len(), 6, "six consumers");
        sources
    }

    /// All statements of all roles, each with its role's name.
    fn statements(&self) -> Vec<(&String, &Value)> {
        let mut statements = Vec::new();
        for (role, properties) in self.of_type("AWS::IAM::Role") {
            for policy in properties["Policies"].as_array().into_iter().flatten() {
                let of_policy = policy["PolicyDocument"]["Statement"].as_array().unwrap();
                statements.extend(of_policy.iter().map(|statement| (role, statement)));
            }
        }
        statements
    }
}

/// The logical id that a `!Ref` or `!GetAtt` names.
pub(crate) fn target(value: &Value) -> String {
    let name = value["Ref"]
        .as_str()
        .or_else(|| value["Fn::GetAtt"].as_str());
    name.and_then(|it| it.split('.').next())
        .unwrap_or_default()
        .to_owned()
}

/// One or many.
pub(crate) fn list(value: &Value) -> Vec<&Value> {
    value
        .as_array()
        .map_or_else(|| vec![value], |values| values.iter().collect())
}

#[test]
fn every_queue_that_is_read_has_a_dead_letter_queue_after_five_receives() {
    let template = Template::read();
    for (queue, _, _) in template.sources() {
        let redrive = &template.resource(&queue)["RedrivePolicy"];
        assert_eq!(redrive["maxReceiveCount"], 5, "{queue}");
        let dead = target(&redrive["deadLetterTargetArn"]);
        assert_eq!(
            template.resource(&dead)["MessageRetentionPeriod"],
            FOURTEEN_DAYS,
            "{dead}"
        );
        assert!(
            template.resource(&dead)["RedriveAllowPolicy"].is_object(),
            "{dead}"
        );
    }
}

#[test]
fn what_a_queue_takes_fits_into_its_dead_letter_queue_and_that_into_the_failure_store() {
    // What a worker adds at most, and what a record takes beside its message.
    const ADDED: usize = 24 * 1024;
    const RECORD: usize = 64 * 1024;
    const ITEM: usize = 400 * 1024;
    let template = Template::read();
    let takes = |queue: &str| {
        let most = template.resource(queue)["MaximumMessageSize"].as_u64();
        usize::try_from(most.unwrap_or_else(|| panic!("{queue} has no limit"))).unwrap()
    };
    for (queue, _, _) in template.sources() {
        let redrive = &template.resource(&queue)["RedrivePolicy"];
        let dead = target(&redrive["deadLetterTargetArn"]);
        let delivery = dead.replace("Dlq", "DeliveryDlq");
        for parked in [dead.as_str(), &delivery, "QuarantineQueue"] {
            assert_eq!(takes(parked), aws_adapters::DEAD_LETTER_BYTES, "{parked}");
            assert!(
                takes(&queue) + ADDED <= takes(parked),
                "{queue} and {parked}"
            );
            assert!(takes(parked) + RECORD <= ITEM, "{parked}");
        }
    }
}

#[test]
fn every_queue_that_is_not_read_by_a_function_has_an_alarm_on_its_depth() {
    let template = Template::read();
    let read: Vec<_> = template
        .sources()
        .into_iter()
        .map(|(queue, _, _)| queue)
        .collect();
    let alarms = template.of_type("AWS::CloudWatch::Alarm");
    for (queue, properties) in template.of_type("AWS::SQS::Queue") {
        if read.contains(queue) {
            continue;
        }
        let watches =
            |alarm: &&(&String, &Value)| target(&alarm.1["Dimensions"][0]["Value"]) == *queue;
        let (name, alarm) = alarms
            .iter()
            .find(watches)
            .unwrap_or_else(|| panic!("{queue} has no alarm"));
        assert_eq!(
            alarm["MetricName"], "ApproximateNumberOfMessagesVisible",
            "{name}"
        );
        assert_eq!(target(&alarm["AlarmActions"][0]), "AlarmsTopic", "{name}");
        assert_eq!(
            properties["MessageRetentionPeriod"], FOURTEEN_DAYS,
            "{queue}"
        );
    }
}

#[test]
fn a_message_stays_hidden_for_six_function_time_outs_and_the_batching_window() {
    let template = Template::read();
    let default = &template.0["Globals"]["Function"]["Timeout"];
    for (queue, function, event) in template.sources() {
        let timeout = function["Timeout"]
            .as_u64()
            .or_else(|| default.as_u64())
            .unwrap();
        let window = event["MaximumBatchingWindowInSeconds"]
            .as_u64()
            .unwrap_or_default();
        let hidden = template.resource(&queue)["VisibilityTimeout"]
            .as_u64()
            .unwrap();
        assert!(
            hidden >= 6 * timeout + window,
            "{queue}: {hidden} s for {timeout} s"
        );
    }
}

#[test]
fn every_batch_is_answered_record_by_record() {
    let template = Template::read();
    for (name, function) in template.functions() {
        for event in function["Events"]
            .as_object()
            .into_iter()
            .flat_map(|all| all.values())
        {
            if ["SQS", "DynamoDB"].contains(&event["Type"].as_str().unwrap()) {
                let answers = &event["Properties"]["FunctionResponseTypes"];
                assert_eq!(*answers, json!(["ReportBatchItemFailures"]), "{name}");
            }
        }
    }
}

#[test]
fn every_function_has_a_role_and_a_log_group_with_retention_of_its_own() {
    let template = Template::read();
    let functions = template.functions();
    assert_eq!(functions.len(), 10);
    let mut roles: Vec<_> = functions
        .iter()
        .map(|(_, function)| target(&function["Role"]))
        .collect();
    for (name, function) in &functions {
        let logs = target(&function["LoggingConfig"]["LogGroup"]);
        let retention = &template.resource(&logs)["RetentionInDays"];
        assert!(!retention.is_null(), "{name}");
        let stem = name.trim_end_matches("Function");
        assert_eq!(
            (target(&function["Role"]), logs),
            (format!("{stem}Role"), format!("{stem}Logs"))
        );
    }
    roles.sort();
    roles.dedup();
    assert_eq!(
        roles.len(),
        functions.len(),
        "no two functions share a role"
    );
}

#[test]
fn every_function_logs_json_and_is_traced() {
    let template = Template::read();
    let globals = &template.0["Globals"]["Function"];
    assert_eq!(globals["LoggingConfig"]["LogFormat"], "JSON");
    assert_eq!(globals["Tracing"], "Active");
    for (name, machine) in template.of_type("AWS::Serverless::StateMachine") {
        assert_eq!(machine["Tracing"]["Enabled"], true, "{name}");
        assert_eq!(
            machine["Logging"]["IncludeExecutionData"], false,
            "{name}: it holds task tokens"
        );
    }
}

/// AWS lets no policy narrow these: whoever holds a task's token may answer it.
const ANSWERS: [&str; 2] = ["states:SendTaskSuccess", "states:SendTaskFailure"];

#[test]
fn no_role_has_a_wildcard() {
    for (role, statement) in Template::read().statements() {
        assert_eq!(statement["Effect"], "Allow", "{role}");
        for action in list(&statement["Action"]) {
            assert!(
                action.as_str().is_some_and(|it| !it.contains('*')),
                "{role}: {action}"
            );
        }
        if statement["Action"] != json!(ANSWERS) {
            for resource in list(&statement["Resource"]) {
                assert_ne!(resource, "*", "{role}: {statement}");
            }
        }
    }
}

#[test]
fn every_table_is_on_demand_encrypted_and_can_be_restored() {
    let template = Template::read();
    for (name, table) in template.of_type("AWS::DynamoDB::Table") {
        assert_eq!(table["BillingMode"], "PAY_PER_REQUEST", "{name}");
        assert_eq!(table["SSESpecification"]["SSEEnabled"], true, "{name}");
        let restored = &table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"];
        assert_eq!(*restored, true, "{name}");
    }
}

#[test]
fn every_queue_and_topic_that_holds_messages_is_encrypted() {
    let template = Template::read();
    for (name, queue) in template.of_type("AWS::SQS::Queue") {
        assert_eq!(queue["SqsManagedSseEnabled"], true, "{name}");
    }
    for (name, topic) in template.of_type("AWS::SNS::Topic") {
        // An alarm names queues and counts, and CloudWatch may not use the AWS-managed key.
        let wanted = if name == "AlarmsTopic" {
            Value::Null
        } else {
            json!("alias/aws/sns")
        };
        assert_eq!(topic["KmsMasterKeyId"], wanted, "{name}");
    }
}

#[test]
fn no_variable_of_a_function_is_a_secret() {
    let template = Template::read();
    for (name, parameter) in template.0["Parameters"].as_object().unwrap() {
        assert!(
            parameter["NoEcho"].is_null(),
            "{name}: a secret belongs into Secrets Manager"
        );
    }
    for (name, function) in template.functions() {
        let variables = function["Environment"]["Variables"].to_string();
        assert!(
            !variables.contains("{{resolve:"),
            "{name}: whoever sees the function sees it"
        );
    }
}

#[test]
fn every_function_has_a_limit_on_what_reaches_it() {
    let template = Template::read();
    for (queue, _, event) in template.sources() {
        assert!(
            !event["ScalingConfig"]["MaximumConcurrency"].is_null(),
            "{queue}"
        );
    }
    let limits = &template.resource("ApiStage")["DefaultRouteSettings"];
    for limit in ["ThrottlingRateLimit", "ThrottlingBurstLimit"] {
        assert!(!limits[limit].is_null(), "{limit}");
    }
}

#[test]
fn what_a_function_gives_up_on_is_kept() {
    // The controller repeats all it does every minute.
    const REPEATED: [&str; 1] = ["CircuitControlFunction"];
    let template = Template::read();
    for (name, function) in template.functions() {
        let events = function["Events"]
            .as_object()
            .into_iter()
            .flat_map(|all| all.values());
        for event in events.filter(|_| !REPEATED.contains(&name.as_str())) {
            let given = &event["Properties"];
            let kept = match event["Type"].as_str().unwrap() {
                // Its queue's own, which another test looks at.
                "SQS" => continue,
                "DynamoDB" => &given["DestinationConfig"]["OnFailure"],
                _ => &function["EventInvokeConfig"]["DestinationConfig"]["OnFailure"],
            };
            assert_eq!(kept["Type"], "SQS", "{name}");
        }
    }
}

/// The statements of all policies of queues and topics, and of who may take a role.
fn statements_about_others(template: &Template) -> Vec<(String, Value)> {
    let mut statements = Vec::new();
    for (of_type, policy) in [
        ("AWS::SQS::QueuePolicy", "PolicyDocument"),
        ("AWS::SNS::TopicPolicy", "PolicyDocument"),
        ("AWS::IAM::Role", "AssumeRolePolicyDocument"),
    ] {
        for (name, properties) in template.of_type(of_type) {
            let own = properties[policy]["Statement"].as_array().unwrap();
            statements.extend(own.iter().map(|it| (name.clone(), it.clone())));
        }
    }
    statements
}

#[test]
fn a_service_acts_for_this_account_only() {
    let template = Template::read();
    for (name, statement) in statements_about_others(&template) {
        // Lambda takes a role only for the function that names it.
        let is_lambda = statement["Principal"]["Service"] == "lambda.amazonaws.com";
        if statement["Effect"] == "Allow" && !is_lambda {
            let condition = statement["Condition"].to_string();
            let is_bound =
                condition.contains("aws:SourceArn") || condition.contains("aws:SourceAccount");
            assert!(
                is_bound && statement["Principal"] != "*",
                "{name}: {statement}"
            );
        }
    }
    for (name, permission) in template.of_type("AWS::Lambda::Permission") {
        assert!(!permission["SourceArn"].is_null(), "{name}");
    }
}

#[test]
fn every_queue_and_topic_refuses_plain_http() {
    let template = Template::read();
    let mut guarded = Vec::new();
    for (of_type, of) in [
        ("AWS::SQS::QueuePolicy", "Queues"),
        ("AWS::SNS::TopicPolicy", "Topics"),
    ] {
        for (_, policy) in template.of_type(of_type) {
            let statements = policy["PolicyDocument"]["Statement"].as_array().unwrap();
            let refuses = |it: &Value| {
                let condition = &it["Condition"]["Bool"]["aws:SecureTransport"];
                it["Effect"] == "Deny" && it["Principal"] == "*" && *condition == json!(false)
            };
            if statements.iter().any(refuses) {
                guarded.extend(list(&policy[of]).into_iter().map(target));
            }
        }
    }
    for of_type in ["AWS::SQS::Queue", "AWS::SNS::Topic"] {
        for (name, _) in template.of_type(of_type) {
            assert!(guarded.contains(name), "{name}");
        }
    }
}

#[test]
fn nothing_of_a_function_is_reached_but_by_the_api() {
    let template = Template::read();
    for (name, function) in template.functions() {
        assert!(function["FunctionUrlConfig"].is_null(), "{name}");
    }
    assert!(template.of_type("AWS::Lambda::Url").is_empty());
}

#[test]
fn every_route_of_the_api_is_closed() {
    let template = Template::read();
    let routes = template.of_type("AWS::ApiGatewayV2::Route");
    assert_eq!(routes.len(), 2);
    for (name, route) in routes {
        assert_eq!(
            route["AuthorizationType"],
            json!({ "Fn::If": ["UsesJwt", "JWT", "AWS_IAM"] }),
            "{name}"
        );
    }
}

#[test]
fn a_subscription_delivers_raw_messages_filters_on_the_body_and_has_dead_letters() {
    let template = Template::read();
    let queues = template.of_type("AWS::SNS::Subscription");
    let queues: Vec<_> = queues
        .into_iter()
        .filter(|(_, it)| it["Protocol"] == "sqs")
        .collect();
    assert_eq!(queues.len(), 6);
    for (name, subscription) in queues {
        assert_eq!(subscription["RawMessageDelivery"], true, "{name}");
        let dead = target(&subscription["RedrivePolicy"]["deadLetterTargetArn"]);
        assert!(dead.ends_with("DeliveryDlq"), "{name}: {dead}");
        if !subscription["FilterPolicy"].is_null() {
            assert_eq!(subscription["FilterPolicyScope"], "MessageBody", "{name}");
        }
    }
}

#[test]
fn a_controller_that_fails_now_and_then_and_one_that_nobody_invokes_have_an_alarm_each() {
    let template = Template::read();
    let alarms = template.of_type("AWS::CloudWatch::Alarm");
    let on = |metric: &str| {
        let watches = |(_, alarm): &&(&String, &Value)| {
            let watched = &alarm["Dimensions"][0]["Value"];
            alarm["MetricName"] == metric && target(watched) == "CircuitControlFunction"
        };
        let found = alarms.iter().find(watches);
        found
            .unwrap_or_else(|| panic!("no alarm on {metric}"))
            .1
            .clone()
    };
    let failed = on("Errors");
    assert_eq!(failed["DatapointsToAlarm"], 3, "{failed}");
    assert_eq!(failed["EvaluationPeriods"], 5, "{failed}");
    let silent = on("Invocations");
    assert_eq!(
        silent["ComparisonOperator"], "LessThanThreshold",
        "{silent}"
    );
    assert_eq!(silent["TreatMissingData"], "breaching", "{silent}");
    assert_eq!(silent["EvaluationPeriods"], 5, "{silent}");
    for alarm in [failed, silent] {
        assert_eq!(alarm["Period"], 60, "{alarm}");
        assert_eq!(target(&alarm["AlarmActions"][0]), "AlarmsTopic", "{alarm}");
    }
}

#[test]
fn a_worker_may_open_its_own_circuit_only() {
    let template = Template::read();
    for (role, consumer) in [
        ("PaymentWorkerRole", "payment"),
        ("ShippingWorkerRole", "shipping"),
    ] {
        let role = template.resource(role);
        let policies = role["Policies"].as_array().unwrap();
        let statements = policies
            .iter()
            .flat_map(|policy| policy["PolicyDocument"]["Statement"].as_array().unwrap());
        let on_circuits: Vec<_> = statements
            .filter(|statement| target(&statement["Resource"]) == "CircuitsTable")
            .collect();
        assert_eq!(on_circuits.len(), 1, "{on_circuits:?}");
        let keys = &on_circuits[0]["Condition"]["ForAllValues:StringEquals"];
        assert_eq!(keys["dynamodb:LeadingKeys"], serde_json::json!([consumer]));
    }
}

#[test]
fn every_output_that_tools_rely_on_is_there() {
    let template = Template::read();
    let outputs = template.0["Outputs"].as_object().unwrap();
    let mut wanted: Vec<String> = [
        "ApiUrl",
        "BusTopicArn",
        "AlarmsTopicArn",
        "NotificationsTopicArn",
        "OrderSagaArn",
        "OrderRecoveryArn",
        "OrdersTableName",
        "IdempotencyTableName",
        "StockTableName",
        "FailuresTableName",
        "DlqAlarmFunctionName",
        "FailureGroupsTableName",
        "ReplaysTableName",
        "AuditTableName",
        "SandboxLedgerTableName",
        "CircuitsTableName",
        "CircuitControlFunctionName",
        "WorkerConcurrency",
        "QuarantineQueueUrl",
    ]
    .map(str::to_owned)
    .into();
    for consumer in waybill_tests::CONSUMERS {
        let urls = ["QueueUrl", "DlqUrl", "DeliveryDlqUrl", "MappingId"];
        wanted.extend(urls.map(|url| format!("{consumer}{url}")));
    }
    for output in wanted {
        assert!(outputs.contains_key(&output), "{output}");
    }
}

#[test]
fn every_queue_of_dead_letters_from_the_bus_is_drained() {
    const OTHERS: [&str; 3] = ["AlarmFailuresDlq", "RelayFailuresQueue", "SagaRescueDlq"];
    let template = Template::read();
    let read: Vec<_> = template.sources().into_iter().map(|it| it.0).collect();
    let queues = template.of_type("AWS::SQS::Queue");
    let mut wanted: Vec<String> = queues.iter().map(|(name, _)| (*name).clone()).collect();
    wanted.retain(|name| !read.contains(name) && !OTHERS.contains(&name.as_str()));
    wanted.sort();
    let function = template.resource("DlqAlarmFunction");
    let urls = &function["Environment"]["Variables"]["DRAINED_QUEUE_URLS"]["Fn::Join"][1];
    let mut drained: Vec<_> = urls.as_array().unwrap().iter().map(target).collect();
    drained.sort();
    assert_eq!(drained, wanted);
    assert_eq!(drained.len(), 13);
}

/// The dependencies that a crate's manifest names, those of its tests included.
#[track_caller]
fn check_depends_on_none_of(manifest: &str, forbidden: &[&str]) {
    for line in manifest.lines() {
        let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
        let is_forbidden = |it: &&str| name == *it || (it.ends_with('-') && name.starts_with(*it));
        assert!(!forbidden.iter().any(is_forbidden), "{line}");
    }
}

#[test]
fn the_domain_knows_no_aws_and_the_reusable_crates_know_no_orders() {
    let domain = include_str!("../../crates/domain/Cargo.toml");
    let outside = [
        "aws-",
        "aws_lambda_events",
        "lambda_runtime",
        "tokio",
        "serde",
        "serde_json",
    ];
    check_depends_on_none_of(domain, &outside);
    let orders = [
        "domain",
        "contracts",
        "ports",
        "saga-step",
        "aws-adapters",
        "testkit",
    ];
    check_depends_on_none_of(include_str!("../../crates/idempotency/Cargo.toml"), &orders);
    check_depends_on_none_of(
        include_str!("../../crates/message-worker/Cargo.toml"),
        &orders,
    );
}

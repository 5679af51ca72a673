//! Each function may do what its role names, and nothing else.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::Value;
use waybill_tests::{Environment, unique};

/// What a role can be asked to touch.
pub(crate) struct Resources<'a> {
    pub(crate) environment: &'a Environment,
    pub(crate) physical: HashMap<String, String>,
}

impl Resources<'_> {
    pub(crate) async fn find(environment: &Environment) -> Resources<'_> {
        Resources {
            environment,
            physical: environment.resources().await,
        }
    }

    /// The ARN of a resource, by its logical id.
    pub(crate) fn arn(&self, logical: &str) -> String {
        let id = &self.physical[logical];
        let (region, account) = (self.environment.region(), self.environment.account());
        let name = id.rsplit('/').next().unwrap_or(id);
        match logical {
            _ if id.starts_with("arn:") => id.clone(),
            _ if logical.ends_with("Table") => {
                format!("arn:aws:dynamodb:{region}:{account}:table/{name}")
            }
            _ if logical.ends_with("Function") => {
                format!("arn:aws:lambda:{region}:{account}:function:{name}")
            }
            _ if logical.contains("Function") => {
                format!("arn:aws:lambda:{region}:{account}:event-source-mapping:{name}")
            }
            _ if logical.ends_with("Logs") => {
                format!("arn:aws:logs:{region}:{account}:log-group:{id}:*")
            }
            _ => format!("arn:aws:sqs:{region}:{account}:{name}"),
        }
    }
}

/// What a role must be able to do and must not; resources by logical id.
struct Role {
    name: &'static str,
    may: &'static [(&'static str, &'static str)],
    may_not: &'static [(&'static str, &'static str)],
}

const ROLES: [Role; 11] = [
    Role {
        name: "OrderApiRole",
        may: &[
            ("dynamodb:PutItem", "OrdersTable"),
            ("dynamodb:GetItem", "OrdersTable"),
        ],
        may_not: &[
            ("dynamodb:DeleteItem", "OrdersTable"),
            ("dynamodb:Scan", "OrdersTable"),
            ("dynamodb:GetItem", "IdempotencyTable"),
            ("sns:Publish", "BusTopic"),
            ("states:StartExecution", "OrderSaga"),
        ],
    },
    Role {
        name: "OutboxRelayRole",
        may: &[
            ("sns:Publish", "BusTopic"),
            ("sqs:SendMessage", "RelayFailuresQueue"),
        ],
        may_not: &[
            ("dynamodb:GetItem", "OrdersTable"),
            ("dynamodb:UpdateItem", "OrdersTable"),
            ("sns:Publish", "NotificationsTopic"),
            ("sqs:SendMessage", "PaymentQueue"),
        ],
    },
    Role {
        name: "SagaStarterRole",
        may: &[
            ("states:StartExecution", "OrderSaga"),
            ("sqs:DeleteMessage", "SagaQueue"),
            ("dynamodb:PutItem", "FailuresTable"),
        ],
        may_not: &[
            ("states:SendTaskSuccess", "OrderSaga"),
            ("states:StartExecution", "SagaRescue"),
            ("sqs:ReceiveMessage", "PaymentQueue"),
            ("dynamodb:UpdateItem", "OrdersTable"),
            ("sns:Publish", "BusTopic"),
        ],
    },
    Role {
        name: "PaymentWorkerRole",
        may: &[
            ("dynamodb:PutItem", "IdempotencyTable"),
            ("dynamodb:UpdateItem", "OrdersTable"),
            ("dynamodb:GetItem", "OrdersTable"),
            ("dynamodb:PutItem", "SandboxLedgerTable"),
            ("states:SendTaskFailure", "OrderSaga"),
            ("sqs:SendMessage", "QuarantineQueue"),
            ("dynamodb:GetItem", "FailuresTable"),
            ("dynamodb:PutItem", "FailuresTable"),
            ("dynamodb:UpdateItem", "CircuitsTable"),
        ],
        may_not: &[
            ("dynamodb:GetItem", "CircuitsTable"),
            ("dynamodb:PutItem", "CircuitsTable"),
            (
                "lambda:UpdateEventSourceMapping",
                "PaymentWorkerFunctionMessages",
            ),
            ("lambda:InvokeFunction", "CircuitControlFunction"),
            ("dynamodb:GetItem", "StockTable"),
            ("dynamodb:UpdateItem", "StockTable"),
            ("dynamodb:PutItem", "OrdersTable"),
            ("dynamodb:DeleteItem", "IdempotencyTable"),
            ("dynamodb:UpdateItem", "SandboxLedgerTable"),
            ("dynamodb:PutItem", "AuditTable"),
            ("sns:Publish", "BusTopic"),
            ("sqs:SendMessage", "StockQueue"),
            ("sqs:ReceiveMessage", "PaymentDlq"),
            ("dynamodb:Query", "FailuresTable"),
            ("dynamodb:DeleteItem", "FailuresTable"),
            ("dynamodb:GetItem", "ReplaysTable"),
            ("states:StartExecution", "OrderSaga"),
        ],
    },
    Role {
        name: "StockWorkerRole",
        may: &[
            ("dynamodb:UpdateItem", "StockTable"),
            ("states:SendTaskSuccess", "OrderSaga"),
        ],
        may_not: &[
            ("dynamodb:PutItem", "StockTable"),
            ("dynamodb:PutItem", "SandboxLedgerTable"),
            ("sqs:SendMessage", "PaymentQueue"),
            ("sns:Publish", "BusTopic"),
        ],
    },
    Role {
        name: "ShippingWorkerRole",
        may: &[
            ("dynamodb:GetItem", "OrdersTable"),
            ("dynamodb:UpdateItem", "StockTable"),
            ("dynamodb:PutItem", "SandboxLedgerTable"),
        ],
        may_not: &[
            ("dynamodb:DeleteItem", "SandboxLedgerTable"),
            ("dynamodb:PutItem", "OrdersTable"),
            ("sqs:ReceiveMessage", "StockQueue"),
            ("sns:Publish", "BusTopic"),
        ],
    },
    Role {
        name: "AuditRecorderRole",
        may: &[
            ("dynamodb:PutItem", "AuditTable"),
            ("sqs:SendMessage", "AuditDlq"),
            ("dynamodb:PutItem", "FailuresTable"),
        ],
        may_not: &[
            ("dynamodb:UpdateItem", "AuditTable"),
            ("dynamodb:DeleteItem", "AuditTable"),
            ("dynamodb:GetItem", "OrdersTable"),
            ("states:SendTaskSuccess", "OrderSaga"),
        ],
    },
    Role {
        name: "NotifierRole",
        may: &[
            ("sns:Publish", "NotificationsTopic"),
            ("dynamodb:PutItem", "IdempotencyTable"),
        ],
        may_not: &[
            ("sns:Publish", "BusTopic"),
            ("sns:Publish", "AlarmsTopic"),
            ("dynamodb:UpdateItem", "OrdersTable"),
            ("states:SendTaskSuccess", "OrderSaga"),
        ],
    },
    Role {
        name: "CircuitControlRole",
        may: &[
            ("dynamodb:GetItem", "CircuitsTable"),
            ("dynamodb:PutItem", "CircuitsTable"),
            (
                "lambda:UpdateEventSourceMapping",
                "PaymentWorkerFunctionMessages",
            ),
            (
                "lambda:UpdateEventSourceMapping",
                "NotifierFunctionMessages",
            ),
            ("lambda:InvokeFunction", "PaymentWorkerFunction"),
            ("lambda:InvokeFunction", "CircuitControlFunction"),
            ("sqs:ReceiveMessage", "ShippingQueue"),
            ("sns:Publish", "NotificationsTopic"),
        ],
        may_not: &[
            (
                "lambda:UpdateEventSourceMapping",
                "OutboxRelayFunctionOrders",
            ),
            (
                "lambda:DeleteEventSourceMapping",
                "PaymentWorkerFunctionMessages",
            ),
            ("lambda:InvokeFunction", "OrderApiFunction"),
            ("lambda:UpdateFunctionCode", "PaymentWorkerFunction"),
            ("sqs:ReceiveMessage", "StockQueue"),
            ("sqs:ReceiveMessage", "PaymentDlq"),
            ("sqs:SendMessage", "PaymentDlq"),
            ("dynamodb:GetItem", "OrdersTable"),
            ("dynamodb:DeleteItem", "CircuitsTable"),
            ("states:SendTaskSuccess", "OrderSaga"),
            ("sns:Publish", "BusTopic"),
        ],
    },
    Role {
        name: "DlqAlarmRole",
        may: &[
            ("sqs:ReceiveMessage", "PaymentDlq"),
            ("sqs:DeleteMessage", "PaymentDlq"),
            ("sqs:DeleteMessage", "NotifyDeliveryDlq"),
            ("sqs:DeleteMessage", "QuarantineQueue"),
            ("sqs:SendMessage", "PaymentQueue"),
            ("dynamodb:PutItem", "FailuresTable"),
            ("dynamodb:PutItem", "FailureGroupsTable"),
            ("dynamodb:GetItem", "CircuitsTable"),
            ("sns:Publish", "NotificationsTopic"),
        ],
        may_not: &[
            ("sqs:PurgeQueue", "PaymentDlq"),
            ("sqs:DeleteMessage", "RelayFailuresQueue"),
            ("sqs:ReceiveMessage", "PaymentQueue"),
            ("sqs:DeleteMessage", "PaymentQueue"),
            ("sqs:SendMessage", "PaymentDlq"),
            ("dynamodb:DeleteItem", "FailuresTable"),
            ("dynamodb:PutItem", "CircuitsTable"),
            ("dynamodb:GetItem", "OrdersTable"),
            ("dynamodb:GetItem", "ReplaysTable"),
            ("sns:Publish", "BusTopic"),
        ],
    },
    Role {
        name: "OrderRecoveryRole",
        may: &[
            ("sns:Publish", "BusTopic"),
            ("dynamodb:UpdateItem", "OrdersTable"),
        ],
        may_not: &[
            ("dynamodb:GetItem", "OrdersTable"),
            ("dynamodb:UpdateItem", "StockTable"),
            ("dynamodb:UpdateItem", "IdempotencyTable"),
            ("states:StartExecution", "OrderSaga"),
            ("sns:Publish", "NotificationsTopic"),
        ],
    },
];

#[tokio::test]
async fn each_function_is_denied_what_its_role_does_not_name() {
    let environment = Environment::connect().await;
    let resources = Resources::find(&environment).await;
    let mut wrong = Vec::new();
    for Role { name, may, may_not } in &ROLES {
        let role = &resources.physical[*name];
        let wishes = may
            .iter()
            .map(|wish| (wish, true))
            .chain(may_not.iter().map(|wish| (wish, false)));
        for ((action, resource), wanted) in wishes {
            if environment
                .may(role, action, &resources.arn(resource))
                .await
                != wanted
            {
                wrong.push(format!(
                    "{name}: {action} on {resource} must be {}",
                    words(wanted)
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn words(allowed: bool) -> &'static str {
    if allowed { "allowed" } else { "denied" }
}

#[tokio::test]
async fn no_function_may_reach_the_functions_and_roles_themselves() {
    let environment = Environment::connect().await;
    let resources = Resources::find(&environment).await;
    for Role { name, .. } in &ROLES {
        let role = &resources.physical[*name];
        for action in [
            "iam:PutRolePolicy",
            "lambda:UpdateFunctionCode",
            "sts:AssumeRole",
            "kms:Decrypt",
        ] {
            assert!(
                !environment.may(role, action, "*").await,
                "{name}: {action}"
            );
        }
    }
}

/// Somebody with exactly the rights of one policy; real calls show what those are worth.
pub(crate) struct Person<'a> {
    environment: &'a Environment,
    user: String,
    /// The access key and its secret.
    pub(crate) key: (String, String),
}

impl<'a> Person<'a> {
    /// Somebody with a policy.
    pub(crate) async fn with(environment: &'a Environment, policy: &str) -> Person<'a> {
        let user = unique("person");
        environment.iam("CreateUser", &[("UserName", &user)]).await;
        let parameters = [
            ("UserName", user.as_str()),
            ("PolicyName", "copied"),
            ("PolicyDocument", policy),
        ];
        environment.iam("PutUserPolicy", &parameters).await;
        let created = environment
            .iam("CreateAccessKey", &[("UserName", &user)])
            .await;
        let key = ["AccessKeyId", "SecretAccessKey"].map(|it| element(&created, it).to_owned());
        Person {
            environment,
            user,
            key: key.into(),
        }
    }

    /// Somebody who has what a role has.
    async fn like(environment: &'a Environment, role: &str, policy: &str) -> Person<'a> {
        let named = [("RoleName", role), ("PolicyName", policy)];
        let document = environment.iam("GetRolePolicy", &named).await;
        let document = percent_decoded(element(&document, "PolicyDocument"));
        Self::with(environment, &document).await
    }

    /// Takes the person's rights away.
    pub(crate) async fn leave(self) {
        let (user, key) = (self.user.as_str(), self.key.0.as_str());
        let iam = self.environment;
        iam.iam(
            "DeleteAccessKey",
            &[("UserName", user), ("AccessKeyId", key)],
        )
        .await;
        iam.iam(
            "DeleteUserPolicy",
            &[("UserName", user), ("PolicyName", "copied")],
        )
        .await;
        iam.iam("DeleteUser", &[("UserName", user)]).await;
    }
}

pub(crate) fn element<'a>(xml: &'a str, name: &str) -> &'a str {
    let after = xml
        .split_once(&format!("<{name}>"))
        .unwrap_or_else(|| panic!("{name}: {xml}"))
        .1;
    after.split_once(&format!("</{name}>")).unwrap().0
}

/// IAM hands policies out percent-encoded, the emulator as XML text.
pub(crate) fn percent_decoded(text: &str) -> String {
    let text = text.replace("&quot;", "\"").replace("&amp;", "&");
    let mut bytes = text.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        let escaped = if byte == b'%' {
            bytes.next().zip(bytes.next())
        } else {
            None
        };
        decoded.push(match escaped {
            Some((high, low)) => {
                let digits = [high, low];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            None => byte,
        });
    }
    let policy = String::from_utf8(decoded).unwrap();
    serde_json::from_str::<Value>(&policy).unwrap_or_else(|error| panic!("{error}: {policy}"));
    policy
}

#[tokio::test]
async fn the_policies_of_the_payment_worker_open_its_own_doors_and_no_others() {
    let environment = Environment::connect().await;
    let resources = Resources::find(&environment).await;
    let role = &resources.physical["PaymentWorkerRole"];
    let impostor = Person::like(&environment, role, "payment-worker").await;
    let config = environment.config_of(&impostor.key.0, &impostor.key.1);
    let dynamodb = aws_sdk_dynamodb::Client::new(&config);
    let sqs = aws_sdk_sqs::Client::new(&config);
    let sns = aws_sdk_sns::Client::new(&config);
    let read = |table: &str, key: &[&str]| {
        let mut read = dynamodb.get_item().table_name(environment.output(table));
        for name in key {
            read = read.key(*name, AttributeValue::S("nobody".to_owned()));
        }
        read.send()
    };
    let ledger = read("SandboxLedgerTableName", &["orderId", "key"]).await;
    assert!(ledger.is_ok(), "its own table: {ledger:?}");
    let own = sqs
        .get_queue_attributes()
        .queue_url(environment.queue("Payment"))
        .send()
        .await;
    assert!(own.is_ok(), "its own queue: {own:?}");

    assert!(denied(&read("StockTableName", &["sku"]).await), "the stock");
    assert!(
        denied(&read("AuditTableName", &["orderId", "entry"]).await),
        "the audit trail"
    );
    let other = sqs
        .send_message()
        .queue_url(environment.queue("Stock"))
        .message_body("{}");
    assert!(denied(&other.send().await), "another worker's queue");
    let bus = sns
        .publish()
        .topic_arn(environment.output("BusTopicArn"))
        .message("{}");
    assert!(denied(&bus.send().await), "the bus");
    impostor.leave().await;
}

fn denied<T, E: std::fmt::Debug>(outcome: &Result<T, E>) -> bool {
    let Err(error) = outcome else { return false };
    let error = format!("{error:?}");
    ["AccessDenied", "AuthorizationError", "not authorized"]
        .iter()
        .any(|word| error.contains(word))
}

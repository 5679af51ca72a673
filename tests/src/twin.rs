//! A deployment beside the one under test, with tables of its own and all else shared: what
//! is written there disturbs nobody, whatever it is.

use aws_sdk_dynamodb::types::{BillingMode, GlobalSecondaryIndex, TableDescription};
use serde_json::{Map, Value, json};

use crate::{Environment, QUICKLY, Request, unique, wait_until};

/// Tables and a dead-letter queue of one's own, under a stack that names them.
#[derive(Debug)]
pub struct Twin {
    /// The twin, as any deployment.
    pub environment: Environment,
    tables: Vec<String>,
    mapping: String,
    /// The URL of the queue that it reads.
    mapped: String,
}

/// The queues that a twin has for itself: output, resource and the end of the name.
const QUEUES: [(&str, &str, &str); 3] = [
    ("PaymentQueueUrl", "Queue", "payment"),
    ("PaymentDlqUrl", "Dlq", "payment-dlq"),
    ("NotifyQueueUrl", "Notify", "notify"),
];

impl Twin {
    /// Makes a twin of a deployment. No function reads its tables, and nothing is put into
    /// the queue that its mapping reads.
    ///
    /// # Panics
    /// Where it cannot be made.
    pub async fn of(environment: &Environment) -> Self {
        let name = unique("twin");
        let mut outputs = Map::new();
        let mut tables = Vec::new();
        for (output, value) in environment.outputs() {
            let value = match output.strip_suffix("TableName") {
                None => value.clone(),
                Some(stem) => {
                    let copy = format!("{name}-{stem}");
                    copy_table(environment, value, &copy).await;
                    tables.push(copy.clone());
                    copy
                }
            };
            outputs.insert(output.clone(), json!({ "Value": value }));
        }
        let mut resources = Map::new();
        for (output, resource, queue) in QUEUES {
            let queue = json!({ "QueueName": format!("{name}-{queue}") });
            resources.insert(
                resource.to_owned(),
                json!({ "Type": "AWS::SQS::Queue", "Properties": queue }),
            );
            outputs.insert(output.to_owned(), json!({ "Value": { "Ref": resource } }));
        }
        let (mapped, mapping) = copy_mapping(environment, &name).await;
        outputs.insert("NotifyMappingId".to_owned(), json!({ "Value": mapping }));
        let template = json!({ "Resources": resources, "Outputs": outputs });
        create_stack(environment, &name, &template).await;
        Self {
            environment: Environment::connect_to(name).await,
            tables,
            mapping,
            mapped,
        }
    }

    /// Removes it.
    ///
    /// # Panics
    /// Where it cannot be removed.
    pub async fn leave(self) {
        for table in &self.tables {
            let deleted = self.environment.dynamodb.delete_table().table_name(table);
            deleted.send().await.expect("the twin's table goes");
        }
        let request = Request {
            method: "DELETE",
            ..Request::get(format!("{MAPPINGS}/{}", self.mapping))
        };
        let deleted = self.environment.call("lambda", &request).await;
        assert!(deleted.status < 300, "the mapping: {}", deleted.text());
        let delete = self.environment.sqs.delete_queue();
        let deleted = delete.queue_url(&self.mapped).send().await;
        deleted.expect("the mapped queue goes");
        let stack = self.environment.stack();
        stack_call(&self.environment, "DeleteStack", &[("StackName", stack)]).await;
    }
}

const MAPPINGS: &str = "/2015-03-31/event-source-mappings";

/// A mapping of the notifier's from a queue that stays empty. Gives the queue's URL and the
/// mapping's id.
async fn copy_mapping(environment: &Environment, name: &str) -> (String, String) {
    let path = format!("{MAPPINGS}/{}", environment.output("NotifyMappingId"));
    let original = environment.call("lambda", &Request::get(path)).await.json();
    let queue = environment.sqs.create_queue();
    let queue = queue.queue_name(format!("{name}-mapped"));
    let queue = queue.send().await.expect("a queue");
    let (region, account) = (environment.region(), environment.account());
    let mapping = json!({
        "FunctionName": original["FunctionArn"], "BatchSize": 10, "Enabled": true,
        "EventSourceArn": format!("arn:aws:sqs:{region}:{account}:{name}-mapped"),
        "ScalingConfig": original["ScalingConfig"],
    });
    let request = Request::post(MAPPINGS, mapping.to_string());
    let made = environment.call("lambda", &request).await;
    assert!(made.status < 300, "no mapping: {}", made.text());
    let id = made.json()["UUID"].as_str().map(str::to_owned);
    let url = queue.queue_url.expect("the queue's URL");
    (url, id.expect("the mapping's id"))
}

/// A table with the keys and indexes of another, and without its stream.
async fn copy_table(environment: &Environment, table: &str, copy: &str) {
    let described = environment.dynamodb.describe_table().table_name(table);
    let described = described.send().await.expect("the table is there");
    let original = described.table.expect("its description");
    environment
        .dynamodb
        .create_table()
        .table_name(copy)
        .billing_mode(BillingMode::PayPerRequest)
        .set_key_schema(original.key_schema.clone())
        .set_attribute_definitions(original.attribute_definitions.clone())
        .set_global_secondary_indexes(indexes(&original))
        .send()
        .await
        .unwrap_or_else(|error| panic!("{copy} is not made: {error:?}"));
}

fn indexes(original: &TableDescription) -> Option<Vec<GlobalSecondaryIndex>> {
    let all = original.global_secondary_indexes.as_deref()?;
    let copied = all.iter().map(|index| {
        GlobalSecondaryIndex::builder()
            .set_index_name(index.index_name.clone())
            .set_key_schema(index.key_schema.clone())
            .set_projection(index.projection.clone())
            .build()
            .expect("a name and keys")
    });
    Some(copied.collect()).filter(|indexes: &Vec<_>| !indexes.is_empty())
}

async fn create_stack(environment: &Environment, name: &str, template: &Value) {
    let template = template.to_string();
    let parameters = [("StackName", name), ("TemplateBody", template.as_str())];
    stack_call(environment, "CreateStack", &parameters).await;
    wait_until("the twin's stack is made", QUICKLY, async || {
        let told = stack_call(environment, "DescribeStacks", &[("StackName", name)]).await;
        match told.contains("CREATE_COMPLETE") {
            true => Ok(()),
            false => Err(told),
        }
    })
    .await;
}

async fn stack_call(environment: &Environment, action: &str, more: &[(&str, &str)]) -> String {
    let mut parameters = vec![("Action", action), ("Version", "2010-05-15")];
    parameters.extend(more);
    let answer = environment.query_call("cloudformation", &parameters).await;
    assert_eq!(answer.status, 200, "{action}: {}", answer.text());
    answer.text()
}

//! The few calls to services that are not worth an SDK crate: IAM, CloudWatch, logs, Step Functions.

use serde_json::{Value, json};

use crate::http::Target;
use crate::{Answer, Environment, QUICKLY, Request, unique, wait_until};

impl Environment {
    /// Calls a service that speaks the query protocol; the answer is XML.
    pub async fn query_call(&self, service: &str, parameters: &[(&str, &str)]) -> Answer {
        let body: Vec<String> = parameters
            .iter()
            .map(|(name, value)| format!("{name}={}", percent_encoded(value)))
            .collect();
        let request = Request::post("/", body.join("&"))
            .header("content-type", "application/x-www-form-urlencoded");
        self.call(service, &request).await
    }

    /// Calls a service that speaks JSON.
    pub async fn json_call(&self, service: &str, target: &str, body: &Value) -> Answer {
        let request = Request::post("/", body.to_string())
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", target);
        self.call(service, &request).await
    }

    pub(crate) async fn call(&self, service: &str, request: &Request) -> Answer {
        let host = self.endpoint().trim_start_matches("http://").to_owned();
        let target = Target {
            service,
            host: &host,
            origin: self.endpoint(),
        };
        self.http.send(&target, request).await
    }

    /// Calls IAM.
    ///
    /// # Panics
    /// Where IAM refuses.
    pub async fn iam(&self, action: &str, parameters: &[(&str, &str)]) -> String {
        let mut all = vec![("Action", action), ("Version", "2010-05-08")];
        all.extend(parameters);
        let answer = self.query_call("iam", &all).await;
        assert_eq!(answer.status, 200, "iam:{action}: {}", answer.text());
        answer.text()
    }

    /// Whether IAM would let a role do something.
    pub async fn may(&self, role: &str, action: &str, resource: &str) -> bool {
        let arn = format!("arn:aws:iam::{}:role/{role}", self.account());
        let decided = self
            .iam(
                "SimulatePrincipalPolicy",
                &[
                    ("PolicySourceArn", &arn),
                    ("ActionNames.member.1", action),
                    ("ResourceArns.member.1", resource),
                ],
            )
            .await;
        element(&decided, "EvalDecision") == Some("allowed")
    }

    /// The account, as the outputs' ARNs name it.
    pub fn account(&self) -> &str {
        self.output("BusTopicArn")
            .split(':')
            .nth(4)
            .unwrap_or_default()
    }

    /// An alarm of the stack: its state, such as `OK` or `ALARM`.
    pub async fn alarm_state(&self, name: &str) -> String {
        let full = format!("{}-{name}", self.stack());
        let parameters = [
            ("Action", "DescribeAlarms"),
            ("Version", "2010-08-01"),
            ("AlarmNames.member.1", &full),
        ];
        let answer = self.query_call("monitoring", &parameters).await.text();
        let state = element(&answer, "StateValue");
        state
            .unwrap_or_else(|| panic!("there is no alarm {full}: {answer}"))
            .to_owned()
    }

    /// The lines that a function has logged and that contain a text.
    pub async fn log_lines(&self, function: &str, text: &str) -> Vec<String> {
        let body = json!({
            "logGroupName": format!("/aws/lambda/{}-{function}", self.stack()),
            "limit": 10_000
        });
        let target = "Logs_20140328.FilterLogEvents";
        let mut lines = Vec::new();
        let mut next = Value::Null;
        loop {
            let mut page = body.clone();
            if !next.is_null() {
                page["nextToken"] = next;
            }
            let answer = self.json_call("logs", target, &page).await;
            assert_eq!(
                answer.status,
                200,
                "the logs of {function}: {}",
                answer.text()
            );
            let answer = answer.json();
            let events = answer["events"].as_array().cloned().unwrap_or_default();
            let messages = events.iter().filter_map(|event| event["message"].as_str());
            lines.extend(
                messages
                    .filter(|line| line.contains(text))
                    .map(str::to_owned),
            );
            next = answer["nextToken"].clone();
            if next.is_null() || events.is_empty() {
                return lines;
            }
        }
    }

    /// The status of an order's saga, such as `RUNNING`; `None` where it never began.
    pub async fn saga_status(&self, order: &str) -> Option<String> {
        let answer = self.describe(&self.saga(order)).await;
        (answer.status == 200).then(|| answer.json()["status"].as_str().map(str::to_owned))?
    }

    /// Starts a saga by hand, as a person could.
    pub async fn start_saga(&self, order: &str, input: &Value) {
        let machine = self.output("OrderSagaArn");
        self.start(machine, order, input).await;
    }

    /// How an order's saga ended: its status, and the error where it failed.
    pub async fn saga_end(&self, order: &str) -> (String, Option<String>) {
        self.end_of(&self.saga(order)).await
    }

    /// Stops an order's saga, as a person could.
    pub async fn stop_saga(&self, order: &str) {
        self.stop(&self.saga(order)).await;
    }

    /// Stops an attempt to finish an order, as a person could.
    pub async fn stop_recovery(&self, attempt: &str) {
        self.stop(&self.execution("OrderRecoveryArn", attempt))
            .await;
    }

    /// Answers a task with a failure, as a worker does that got a message which it cannot read.
    pub async fn fail_task(&self, token: &str, error: &str) {
        let body = json!({ "taskToken": token, "error": error, "cause": "a test says so" });
        let answer = self
            .json_call("states", "AWSStepFunctions.SendTaskFailure", &body)
            .await;
        assert_eq!(answer.status, 200, "{error}: {}", answer.text());
    }

    /// Invokes a function by its name, and gives its answer, which is no error.
    pub async fn invoke(&self, function: &str, event: &Value) -> Value {
        let path = format!("/2015-03-31/functions/{function}/invocations");
        let request = Request::post(path, event.to_string());
        let answer = self.call("lambda", &request).await;
        assert_eq!(answer.status, 200, "{function}: {}", answer.text());
        let failed = answer.header("x-amz-function-error");
        assert_eq!(failed, None, "{function}: {}", answer.text());
        answer.json()
    }

    /// Runs the sweep, as its schedule does, and waits for its end.
    pub async fn sweep(&self) {
        let machine = &self.resources().await["OrderSweep"];
        let execution = self.start(machine, &unique("sweep"), &json!({})).await;
        let (status, _) = self.end_of(&execution).await;
        assert_eq!(status, "SUCCEEDED", "the sweep");
    }

    /// Rescues the order of a saga that had this input and was stopped, as the rule does
    /// that hears of it, and waits for the end.
    pub async fn rescue(&self, input: &Value) {
        let machine = &self.resources().await["SagaRescue"];
        let event = json!({ "detail": { "status": "ABORTED", "input": input.to_string() } });
        let execution = self.start(machine, &unique("rescue"), &event).await;
        let (status, error) = self.end_of(&execution).await;
        assert_eq!(status, "SUCCEEDED", "the rescue of {input}: {error:?}");
    }

    /// The execution that is an order's saga.
    pub(crate) fn saga(&self, order: &str) -> String {
        self.execution("OrderSagaArn", order)
    }

    /// An execution by its name, of the state machine in an output.
    fn execution(&self, machine: &str, name: &str) -> String {
        let machine = self.output(machine);
        format!(
            "{}:{name}",
            machine.replace(":stateMachine:", ":execution:")
        )
    }

    /// Starts an execution, and gives its ARN.
    async fn start(&self, machine: &str, name: &str, input: &Value) -> String {
        let body = json!({ "stateMachineArn": machine, "name": name, "input": input.to_string() });
        let answer = self
            .json_call("states", "AWSStepFunctions.StartExecution", &body)
            .await;
        assert_eq!(answer.status, 200, "{body}: {}", answer.text());
        let execution = answer.json()["executionArn"].take();
        execution.as_str().expect("an execution").to_owned()
    }

    async fn stop(&self, execution: &str) {
        let body = json!({ "executionArn": execution });
        let answer = self
            .json_call("states", "AWSStepFunctions.StopExecution", &body)
            .await;
        assert_eq!(
            answer.status,
            200,
            "{execution} was not stopped: {}",
            answer.text()
        );
    }

    async fn describe(&self, execution: &str) -> Answer {
        let body = json!({ "executionArn": execution });
        self.json_call("states", "AWSStepFunctions.DescribeExecution", &body)
            .await
    }

    /// Waits for the end of an execution: its status, and the error where it failed.
    async fn end_of(&self, execution: &str) -> (String, Option<String>) {
        wait_until(&format!("{execution} ends"), QUICKLY, async || {
            let answer = self.describe(execution).await;
            let described = answer.json();
            let text = |name: &str| described[name].as_str().map(str::to_owned);
            match text("status") {
                Some(status) if status != "RUNNING" => Ok((status, text("error"))),
                _ => Err(answer.text()),
            }
        })
        .await
    }
}

/// The text of the first element of a name. These documents are flat enough for that.
pub(crate) fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
}

fn percent_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    text.bytes().map(encode).collect()
}

//! Wiring of the audit recorder.

use std::time::Duration;

use audit_recorder::AuditRecorder;
use aws_adapters::{Clients, DynamoAudit, Environment, init_logs, queue_worker, serve_queue};
use idempotency::SystemClock;

const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let environment = Environment;
    init_logs(environment);
    let clients = Clients::from_environment(environment)?;
    let trail = DynamoAudit::new(clients.dynamodb(), environment.text("AUDIT_TABLE")?);
    let retention = A_DAY * environment.number("AUDIT_RETENTION_DAYS")?;
    let recorder = AuditRecorder::new(trail, SystemClock, retention);
    serve_queue(queue_worker("audit", environment, &clients, recorder)?).await
}

//! Exactly-once effects for at-least-once deliveries: fenced idempotency records on DynamoDB or in memory.

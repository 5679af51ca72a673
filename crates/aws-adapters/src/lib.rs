//! The ports on AWS: DynamoDB, SNS, SQS and Step Functions; configuration and telemetry.

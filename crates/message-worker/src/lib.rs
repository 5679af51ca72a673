//! SQS batches for Lambda, record by record: partial failures, backoff, dead letters and quarantine.

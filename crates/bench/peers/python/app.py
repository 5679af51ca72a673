"""A worker as the documents of Powertools for AWS Lambda (Python) show it:
batch processing with an idempotent function for each record."""

import json
import os

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)
from aws_lambda_powertools.utilities.typing import LambdaContext

processor = BatchProcessor(event_type=EventType.SQS)
dynamodb = DynamoDBPersistenceLayer(table_name=os.environ["IDEMPOTENCY_TABLE"])
config = IdempotencyConfig(event_key_jmespath="messageId")


@idempotent_function(data_keyword_argument="record", config=config, persistence_store=dynamodb)
def record_handler(record: SQSRecord):
    message = json.loads(record.body)
    return {"charged": message["data"]["amount"]}


def handler(event: dict, context: LambdaContext):
    config.register_lambda_context(context)
    return process_partial_response(
        event=event, context=context, processor=processor, record_handler=record_handler
    )

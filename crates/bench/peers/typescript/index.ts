// A worker as the documents of Powertools for AWS Lambda (TypeScript) show it:
// batch processing with an idempotent function for each record.

import { BatchProcessor, EventType, processPartialResponse } from '@aws-lambda-powertools/batch';
import { IdempotencyConfig, makeIdempotent } from '@aws-lambda-powertools/idempotency';
import { DynamoDBPersistenceLayer } from '@aws-lambda-powertools/idempotency/dynamodb';
import type { Context, SQSEvent, SQSRecord } from 'aws-lambda';

const processor = new BatchProcessor(EventType.SQS);
const persistenceStore = new DynamoDBPersistenceLayer({
  tableName: process.env.IDEMPOTENCY_TABLE as string,
});
const config = new IdempotencyConfig({ eventKeyJmesPath: 'messageId' });

const processIdempotently = makeIdempotent(
  async (record: SQSRecord) => {
    const message = JSON.parse(record.body);
    return { charged: message.data.amount };
  },
  { persistenceStore, config }
);

const recordHandler = async (record: SQSRecord): Promise<void> => {
  await processIdempotently(record);
};

export const handler = async (event: SQSEvent, context: Context) => {
  config.registerLambdaContext(context);
  return processPartialResponse(event, recordHandler, processor, { context });
};

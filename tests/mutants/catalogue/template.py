"""The deployed template, by the tests that read it."""

from mutant import Mutant

TEMPLATE = "template.yaml"
RULES = "waybill-tests/it:template::"
KEPT = "5. every message is processed, waiting or in a dead-letter queue"

MUTANTS = [
    Mutant(
        name="queue-without-dead-letters",
        file=TEMPLATE,
        find="\n      RedrivePolicy: { deadLetterTargetArn: !GetAtt PaymentDlq.Arn, maxReceiveCount: 5 }",
        replace="",
        breaks="a message that is always fatal circles until it is forgotten",
        promise=KEPT,
        by=(RULES,),
    ),
    Mutant(
        name="subscription-without-dead-letters",
        file=TEMPLATE,
        find="\n      RedrivePolicy: { deadLetterTargetArn: !GetAtt PaymentDeliveryDlq.Arn }",
        replace="",
        breaks="what the bus cannot deliver is lost",
        promise=KEPT,
        by=(RULES,),
    ),
    Mutant(
        name="batch-answered-as-a-whole",
        file=TEMPLATE,
        find="""            Queue: !GetAtt PaymentQueue.Arn
            BatchSize: 10
            FunctionResponseTypes: [ReportBatchItemFailures]""",
        replace="""            Queue: !GetAtt PaymentQueue.Arn
            BatchSize: 10""",
        breaks="messages that the worker returns are deleted",
        promise=KEPT,
        by=(RULES,),
    ),
    Mutant(
        name="visible-while-it-is-handled",
        file=TEMPLATE,
        find="""      QueueName: !Sub '${AWS::StackName}-payment'
      MaximumMessageSize: 262144
      VisibilityTimeout: 180""",
        replace="""      QueueName: !Sub '${AWS::StackName}-payment'
      MaximumMessageSize: 262144
      VisibilityTimeout: 30""",
        breaks="a message is given out again while its function still works on it",
        promise="six function time-outs",
        by=(RULES,),
    ),
    Mutant(
        name="wildcard-permission",
        file=TEMPLATE,
        find="                Action: [sqs:ReceiveMessage, sqs:DeleteMessage, sqs:GetQueueAttributes, sqs:ChangeMessageVisibility, sqs:SendMessage]\n                Resource: !GetAtt PaymentQueue.Arn",
        replace="                Action: sqs:*\n                Resource: !GetAtt PaymentQueue.Arn",
        breaks="a function may do whatever it likes with its queue",
        promise="no role has a wildcard",
        by=(RULES,),
    ),
]

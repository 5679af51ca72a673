"""The state machines: what is caught, what is undone, what is written under which condition."""

from mutant import PROTOCOL, Mutant

SAGA = "infra/order-saga.asl.json"
RESCUE = "infra/saga-rescue.asl.json"
STATES = "waybill-tests/it:state_machine::"
UNDONE = "1. failed and fully undone"
ENDED = '"ConditionExpression": "attribute_exists(customerId) AND NOT #status IN (:completed, :failed, :attention)"'


def end(status):
    """The write of an order's end, up to its condition."""
    reason = "" if status == "completed" else ", reason = :reason"
    return (
        f'"UpdateExpression": "SET #status = :{status}, updatedAt = :now, '
        f'timeline = list_append(if_not_exists(timeline, :none), :events){reason}",\n        '
    )


def caught(message, closing, target):
    """A catch with this message, up to where it leads."""
    return f'"message": {message}\n            }}\n          }},\n          "Next": "{target}"{closing}'


MUTANTS = [
    Mutant(
        name="charge-in-doubt-not-refunded",
        file=SAGA,
        find=caught('"The payment was not confirmed in time."', "", "Refund"),
        replace=caught('"The payment was not confirmed in time."', "", "Fail"),
        breaks="a payment that was not confirmed in time is not refunded",
        promise="2. captured and not completed means refunded",
        by=PROTOCOL,
    ),
    Mutant(
        name="out-of-stock-not-refunded",
        file=SAGA,
        find=""" 'The order is out of stock.' %}"
            }
          },
          "Next": "Refund\"""",
        replace=""" 'The order is out of stock.' %}"
            }
          },
          "Next": "Fail\"""",
        breaks="the payment of an order that is out of stock is kept",
        promise="2. captured and not completed means refunded",
        by=PROTOCOL,
    ),
    Mutant(
        name="shipment-in-doubt-not-called-off",
        file=SAGA,
        find=caught('"The shipment was not confirmed in time."', "", "CancelShipment"),
        replace=caught('"The shipment was not confirmed in time."', "", "Release"),
        breaks="the pieces of a shipment that may have gone out are released first",
        promise=UNDONE,
        by=PROTOCOL,
    ),
    Mutant(
        name="undo-stops-half-way",
        file=SAGA,
        find='"Next": "NeedsAttention"\n        }\n      ],\n      "Next": "Refund"',
        replace='"Next": "NeedsAttention"\n        }\n      ],\n      "Next": "Fail"',
        breaks="after the stock is released the payment is kept",
        promise="2. captured and not completed means refunded",
        by=PROTOCOL,
    ),
    Mutant(
        name="undo-in-another-order",
        file=SAGA,
        find='"Next": "NeedsAttention"\n        }\n      ],\n      "Next": "Release"',
        replace='"Next": "NeedsAttention"\n        }\n      ],\n      "Next": "Refund"',
        breaks="a shipment is called off, and its pieces are never released",
        promise="3. what is reserved is shipped or released",
        by=PROTOCOL,
    ),
    Mutant(
        name="failed-refund-taken-for-done",
        file=SAGA,
        find="""'The payment could not be refunded after this: ' & $reason.message %}"
            }
          },
          "Next": "NeedsAttention\"""",
        replace="""'The payment could not be refunded after this: ' & $reason.message %}"
            }
          },
          "Next": "Fail\"""",
        breaks="an order whose refund failed is called failed and undone",
        promise="2. captured and not completed means refunded",
        by=PROTOCOL,
    ),
    Mutant(
        name="unconditional-completion",
        file=SAGA,
        find=end("completed") + ENDED,
        replace=end("completed") + '"ConditionExpression": "attribute_exists(customerId)"',
        breaks="an order that has ended is completed",
        promise="1. an order reaches exactly one end",
        by=PROTOCOL,
    ),
    Mutant(
        name="unconditional-failure",
        file=SAGA,
        find=end("failed") + ENDED,
        replace=end("failed") + '"ConditionExpression": "attribute_exists(customerId)"',
        breaks="an order that has ended is called failed",
        promise="1. an order reaches exactly one end",
        by=PROTOCOL,
    ),
    Mutant(
        name="unconditional-rescue",
        file=RESCUE,
        find=ENDED,
        replace='"ConditionExpression": "attribute_exists(customerId)"',
        breaks="the rescue of a saga that died overwrites its order's end",
        promise="1. an order reaches exactly one end",
        by=PROTOCOL,
    ),
    Mutant(
        name="shipment-failure-not-caught",
        file=SAGA,
        find="""          "Next": "CancelShipment"
        },
        {
          "ErrorEquals": ["States.ALL"],
          "Assign": {
            "reason": {
              "code": "shipment-failed",
              "message": "The shipment could not be made."
            }
          },
          "Next": "CancelShipment"
        }
      ],""",
        replace="""          "Next": "CancelShipment"
        }
      ],""",
        breaks="a failure of the shipment that nobody foresaw ends the saga, and nothing is undone",
        promise="1. needs attention only where an undo failed or a saga died",
        by=(*PROTOCOL, STATES),
    ),
    Mutant(
        name="refund-without-time-limit",
        file=SAGA,
        find="""      "Comment": "Gives back what Charge took, if it took anything.",
      "Type": "Task",
      "Resource": "arn:aws:states:::sns:publish.waitForTaskToken",
      "TimeoutSeconds": ${UndoTimeoutSeconds},""",
        replace="""      "Comment": "Gives back what Charge took, if it took anything.",
      "Type": "Task",
      "Resource": "arn:aws:states:::sns:publish.waitForTaskToken",""",
        breaks="a refund that is never answered is waited for until the saga is a week old",
        promise="1. every accepted order reaches an end",
        by=(STATES,),
    ),
    Mutant(
        name="decline-not-caught-by-its-name",
        file=SAGA,
        find='"ErrorEquals": ["Waybill.PaymentDeclined"]',
        replace='"ErrorEquals": ["Waybill.PaymentRefused"]',
        breaks="the saga catches an error name that no worker sends",
        promise="the customer is told why",
        by=(STATES,),
    ),
    Mutant(
        name="rescue-tells-in-words-that-nobody-reads",
        file=RESCUE,
        find="$saga.correlationId ? $substring($replace($string($saga.correlationId), /[^!-~]/, '?'), 0, 128) : $saga.orderId",
        replace="$saga.correlationId",
        breaks="a saga with an odd input leaves an event that holds up the stream",
        promise="4. each event is published at least once, in order, with its number",
        by=("hostile/hostile",),
    ),
]

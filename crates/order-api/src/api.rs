//! The two routes.

use std::str::FromStr;

use aws_adapters::count;
use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use contracts::{Event, Lineage, RequestError, Timestamp, fingerprint, parse_order};
use domain::{CorrelationId, CustomerId, NewOrder, OrderId};
use idempotency::Clock;
use message_worker::cause_chain;
use ports::{Acceptance, Accepted, OrderReader, OrderRecord, OrderStore, Unavailable};

use crate::problem::Problem;
use crate::request::{self, Route};
use crate::response;

/// Who may call, as the gateway checks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Callers are systems that sign with IAM; they act for all customers.
    Iam,
    /// Callers are customers with a token; they act for themselves.
    Jwt,
}

impl FromStr for Access {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "iam" => Ok(Self::Iam),
            "jwt" => Ok(Self::Jwt),
            _ => Err("the environment variable AUTH_MODE must be iam or jwt"),
        }
    }
}

/// The API over a store of orders.
#[derive(Debug)]
pub struct OrderApi<S, C> {
    orders: S,
    clock: C,
    access: Access,
}

const SOURCE: &str = "/waybill/order-api";

impl<S: OrderStore + OrderReader, C: Clock> OrderApi<S, C> {
    /// Puts the parts together.
    pub fn new(orders: S, clock: C, access: Access) -> Self {
        Self {
            orders,
            clock,
            access,
        }
    }

    /// Answers a request. Every outcome is an answer; none is an error of the function.
    pub async fn handle(&self, request: &ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
        let correlation = request::correlation(request);
        let correlation_id = correlation.as_ref().map_or("", CorrelationId::as_str);
        let answer = match request::route(request) {
            Route::Place => self.place(request, correlation.as_ref()).await,
            Route::Show { order_id } => self.show(request, order_id, correlation_id).await,
            Route::Unknown => Err(Problem::OrderNotFound),
        };
        answer.unwrap_or_else(|problem| {
            tracing::info!(correlation_id, problem = problem.name(), "request refused");
            count(
                &[("function", "order-api"), ("problem", problem.name())],
                "Refused",
                1,
            );
            response::problem(&problem, correlation_id)
        })
    }

    async fn place(
        &self,
        request: &ApiGatewayV2httpRequest,
        correlation: Option<&CorrelationId>,
    ) -> Result<ApiGatewayV2httpResponse, Problem> {
        let body = request::json_body(request)?;
        let key = request::idempotency_key(request)?;
        let order = parse_order(&body).map_err(to_problem)?;
        self.check_customer(request, order.customer())?;
        let id = OrderId::derive(order.customer(), &key);
        let correlation = match correlation {
            Some(correlation) => correlation.clone(),
            // Outside a gateway there may be no request id; the order's own will do.
            None => CorrelationId::new(&id.to_string()).map_err(|_| Problem::Unavailable)?,
        };
        self.accept(request, id, order, correlation).await
    }

    async fn accept(
        &self,
        request: &ApiGatewayV2httpRequest,
        id: OrderId,
        order: NewOrder,
        correlation: CorrelationId,
    ) -> Result<ApiGatewayV2httpResponse, Problem> {
        let at = Timestamp::from_epoch_millis(self.clock.now().get());
        let trace = request::trace(request);
        let lineage = Lineage {
            correlation: correlation.clone(),
            causation: None,
            trace: trace.clone(),
        };
        let placed = Event::OrderPlaced(order.clone()).store(id, &lineage, SOURCE, at);
        let fingerprint = fingerprint(&order);
        let total = order.total();
        let acceptance = Acceptance {
            id,
            order,
            fingerprint,
            correlation,
            trace,
            placed,
            at,
        };
        let accepted = self.orders.accept(&acceptance).await;
        match accepted.map_err(|error| unavailable(&acceptance.correlation, &error))? {
            Accepted::New => {
                tracing::info!(correlation_id = %acceptance.correlation, order_id = %id, "accepted");
                count(&[("function", "order-api")], "Accepted", 1);
                Ok(response::accepted(
                    id,
                    total,
                    &acceptance.correlation,
                    false,
                ))
            }
            Accepted::Known(stored) => replay(&stored, &acceptance),
        }
    }

    async fn show(
        &self,
        request: &ApiGatewayV2httpRequest,
        order_id: &str,
        correlation_id: &str,
    ) -> Result<ApiGatewayV2httpResponse, Problem> {
        let id = order_id.parse().map_err(|_| Problem::OrderNotFound)?;
        let found = self.orders.find(id).await.map_err(|error| {
            let cause = cause_chain(&error).join(": ");
            tracing::error!(
                correlation_id,
                order_id,
                error_name = "OrderNotReadable",
                cause,
                "order not readable"
            );
            Problem::Unavailable
        })?;
        let order = found.ok_or(Problem::OrderNotFound)?;
        // Whether another customer's order exists is not to be told.
        self.check_customer(request, &order.customer)
            .map_err(|_| Problem::OrderNotFound)?;
        Ok(response::order(&order))
    }

    fn check_customer(
        &self,
        request: &ApiGatewayV2httpRequest,
        customer: &CustomerId,
    ) -> Result<(), Problem> {
        let own = request::subject(request) == Some(customer.as_str());
        if self.access == Access::Iam || own {
            Ok(())
        } else {
            Err(Problem::NotYourOrder)
        }
    }
}

fn replay(
    stored: &OrderRecord,
    acceptance: &Acceptance,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    if stored.fingerprint != acceptance.fingerprint {
        return Err(Problem::IdempotencyKeyReused);
    }
    tracing::info!(correlation_id = %stored.correlation, order_id = %stored.id, "accepted before");
    count(&[("function", "order-api")], "Replayed", 1);
    Ok(response::accepted(
        stored.id,
        stored.total,
        &stored.correlation,
        true,
    ))
}

fn unavailable(correlation: &CorrelationId, error: &Unavailable) -> Problem {
    tracing::error!(
        correlation_id = %correlation,
        error_name = "OrderNotStored",
        cause = cause_chain(error).join(": "),
        "the order could not be stored"
    );
    Problem::Unavailable
}

fn to_problem(error: RequestError) -> Problem {
    match error {
        RequestError::Malformed(detail) => Problem::MalformedRequest(detail),
        RequestError::Invalid(faults) => Problem::InvalidOrder(faults),
    }
}

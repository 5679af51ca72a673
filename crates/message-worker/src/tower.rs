//! Middleware: `tower` layers around a handler.
//!
//! A layer sees each message after it was decoded, and the outcome of its
//! handling. [`Layered`] is a [`Handler`] again, so that a worker runs it like
//! any other. Layers of layers are put together with `tower::ServiceBuilder`.
//!
//! ```
//! # use std::time::Duration;
//! # use message_worker::memory::MemoryQueue;
//! # use message_worker::{Config, Delivery, Failure, Handler, RecordContext, Worker};
//! use message_worker::tower::Layered;
//! use tower::ServiceBuilder;
//!
//! # struct Greeter;
//! # impl Handler for Greeter {
//! #     type Message = String;
//! #     type Output = ();
//! #     type Error = Failure;
//! #     fn decode(&self, delivery: &Delivery) -> Result<String, Failure> {
//! #         Ok(delivery.body().to_owned())
//! #     }
//! #     async fn handle(&self, _: String, _: &RecordContext) -> Result<(), Failure> {
//! #         Ok(())
//! #     }
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! # let queue = MemoryQueue::new(Duration::from_secs(60), 10);
//! let layers = ServiceBuilder::new()
//!     .concurrency_limit(2)
//!     .timeout(Duration::from_secs(5));
//! let worker = Worker::new(Config::new("greeter"), queue, Layered::new(Greeter, layers));
//! # drop(worker);
//! # }
//! ```

use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

use crate::class::{Class, Classify, Failure};
use crate::delivery::Delivery;
use crate::handler::{Description, Handler, RecordContext};

/// Any error, as `tower`'s layers have it.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// A decoded message on its way through the layers to the handler.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request<M> {
    /// The message.
    pub message: M,
    /// What is known of its delivery.
    pub context: RecordContext,
}

/// The innermost service: calls [`Handler::handle`]. It is always ready.
#[derive(Debug)]
pub struct HandlerService<H> {
    handler: Arc<H>,
}

impl<H> Clone for HandlerService<H> {
    fn clone(&self) -> Self {
        Self {
            handler: Arc::clone(&self.handler),
        }
    }
}

impl<H> Service<Request<H::Message>> for HandlerService<H>
where
    H: Handler<Message: 'static> + 'static,
{
    type Response = H::Output;
    type Error = H::Error;
    type Future = Pin<Box<dyn Future<Output = Result<H::Output, H::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), H::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<H::Message>) -> Self::Future {
        let handler = Arc::clone(&self.handler);
        Box::pin(async move { handler.handle(request.message, &request.context).await })
    }
}

/// A handler with layers around its [`handle`](Handler::handle). Decoding,
/// describing and the hook for poison go to the handler itself.
///
/// The service is cloned for each message, as `tower` intends it; a layer that
/// limits must share its limit between clones, as `tower`'s own do. The
/// worker's deadline holds for the layers too: a message that waits in them
/// uses up its time.
#[derive(Clone, Debug)]
pub struct Layered<H, S> {
    handler: Arc<H>,
    service: S,
    classify: fn(BoxError) -> Failure,
}

impl<H> Layered<H, HandlerService<H>> {
    /// Puts a layer, or a stack of them, around a handler.
    pub fn new<L: Layer<HandlerService<H>>>(handler: H, layer: L) -> Layered<H, L::Service> {
        let handler = Arc::new(handler);
        let service = layer.layer(HandlerService {
            handler: Arc::clone(&handler),
        });
        Layered {
            handler,
            service,
            classify: |error| Failure::ambiguous("LayerFailed").caused_by(error),
        }
    }
}

impl<H, S> Layered<H, S> {
    /// Gives the errors that come from the layers, and not from the handler, a
    /// class and a name. By default each is [`Class::Ambiguous`], since a layer
    /// may have cut the handler off, and named `LayerFailed`.
    #[must_use]
    pub fn with_layer_errors(mut self, classify: fn(BoxError) -> Failure) -> Self {
        self.classify = classify;
        self
    }

    /// The handler inside.
    pub fn handler(&self) -> &H {
        &self.handler
    }
}

impl<H, S> Handler for Layered<H, S>
where
    H: Handler<Message: 'static>,
    S: Service<Request<H::Message>> + Clone + Send + Sync,
    S::Response: Send,
    S::Error: Into<BoxError> + Send,
    S::Future: Send,
{
    type Message = H::Message;
    type Output = S::Response;
    type Error = LayeredError<H::Error>;

    fn decode(&self, delivery: &Delivery) -> Result<H::Message, Self::Error> {
        let decoded = self.handler.decode(delivery);
        decoded.map_err(LayeredError::Handler)
    }

    async fn handle(
        &self,
        message: H::Message,
        context: &RecordContext,
    ) -> Result<S::Response, Self::Error> {
        let context = context.clone();
        let request = Request { message, context };
        let handled = call(self.service.clone(), request).await;
        handled.map_err(|error| LayeredError::from_layers(error.into(), self.classify))
    }

    async fn poisoned(&self, delivery: &Delivery, error: &dyn Classify) {
        self.handler.poisoned(delivery, error).await;
    }

    fn describe(&self, delivery: &Delivery) -> Description {
        self.handler.describe(delivery)
    }
}

async fn call<R, S: Service<R>>(mut service: S, request: R) -> Result<S::Response, S::Error> {
    poll_fn(|context| service.poll_ready(context)).await?;
    service.call(request).await
}

/// An error of a handler with layers around it.
#[derive(Debug)]
pub enum LayeredError<E> {
    /// The handler's own.
    Handler(E),
    /// That of a layer, classed by [`Layered::with_layer_errors`].
    Layer(Failure),
}

impl<E: Classify> LayeredError<E> {
    /// Layers box the errors of what they wrap; inside is the handler's own.
    fn from_layers(error: BoxError, classify: fn(BoxError) -> Failure) -> Self {
        match error.downcast::<E>() {
            Ok(error) => Self::Handler(*error),
            Err(error) => Self::Layer(classify(error)),
        }
    }

    fn inner(&self) -> &dyn Classify {
        match self {
            Self::Handler(error) => error,
            Self::Layer(failure) => failure,
        }
    }
}

impl<E: Classify> fmt::Display for LayeredError<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.inner(), formatter)
    }
}

impl<E: Classify> Error for LayeredError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.inner().source()
    }
}

impl<E: Classify> Classify for LayeredError<E> {
    fn class(&self) -> Class {
        self.inner().class()
    }

    fn name(&self) -> &str {
        self.inner().name()
    }

    fn correlation_id(&self) -> Option<&str> {
        self.inner().correlation_id()
    }
}

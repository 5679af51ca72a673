//! A proxy between AWS and those who call it, which decides about each request.
//!
//! `environment.py up --proxied` has the functions call the address in
//! `WAYBILL_PROXY`. What is decided, and what is written down about the requests,
//! is the [`Decide`] of whoever starts the proxy.

mod caller;
mod recorder;
mod refusal;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::sleep;

pub use caller::{Caller, Callers};
pub use recorder::{Recorded, Recorder};
pub use refusal::Refusal;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Whole = Full<Bytes>;

/// A request that somebody makes.
#[derive(Debug, Clone)]
pub struct Call {
    /// The service that it is signed for, such as `dynamodb`; empty where it is not signed.
    pub service: String,
    /// Such as `PutItem`; for services without such names the method and the path.
    pub operation: String,
    /// The caller's end of the connection.
    pub peer: SocketAddr,
    /// The request's body.
    pub body: Bytes,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It is passed on.
    Pass,
    /// It is passed on after a while.
    Delay(Duration),
    /// It is refused, in the words of its service; the service never sees it.
    Refuse(Refusal),
    /// The connection is closed; the service never sees the call.
    CutBefore,
    /// It is passed on, and the connection is closed instead of an answer.
    CutAfter,
}

/// Decides about calls, and may write them down.
pub trait Decide: Send + Sync + 'static {
    /// What becomes of this one.
    fn decide(&self, call: &Call) -> Decision;
}

/// A running proxy. It ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

/// What all connections share.
struct Shared {
    upstream: Uri,
    client: Client<HttpConnector, Whole>,
    decide: Arc<dyn Decide>,
}

/// The end of a connection that is cut off on purpose.
#[derive(Debug)]
struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("cut off on purpose")
    }
}

impl std::error::Error for Cut {}

impl Proxy {
    /// Listens at an address and passes on to `upstream`, such as `http://127.0.0.1:4566`.
    ///
    /// # Panics
    /// Where the address is taken, or `upstream` is no URL.
    pub async fn start(address: &str, upstream: &str, decide: Arc<dyn Decide>) -> Self {
        let listener = TcpListener::bind(address).await;
        let listener = listener.unwrap_or_else(|error| panic!("no proxy at {address}: {error}"));
        let shared = Arc::new(Shared {
            upstream: upstream.parse().expect("a URL"),
            client: Client::builder(TokioExecutor::new()).build_http(),
            decide,
        });
        Self {
            address: listener.local_addr().expect("a bound address"),
            accepting: tokio::spawn(accept(listener, shared)),
        }
    }

    /// Where it listens, as a URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                tokio::spawn(serve(stream, peer, shared.clone()));
            }
            Err(error) => {
                eprintln!("the proxy took no connection: {error}");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>) {
    let service = service_fn(|request| answer(shared.clone(), peer, request));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // It ends with an error when it is cut off, by the proxy or by a caller who was killed.
    let _ = connection.await;
}

async fn answer(
    shared: Arc<Shared>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Whole>, BoxError> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let service = signed_for(&head.headers).to_owned();
    let call = Call {
        operation: operation(&head, &body),
        service,
        peer,
        body,
    };
    match shared.decide.decide(&call) {
        Decision::Pass => {}
        Decision::Delay(time) => sleep(time).await,
        Decision::Refuse(refusal) => return Ok(refusal.answer(&call.service)),
        Decision::CutBefore => return Err(Cut.into()),
        Decision::CutAfter => {
            // A caller who is gone must not keep the request from arriving.
            tokio::spawn(pass_on(shared, head, call.body)).await??;
            return Err(Cut.into());
        }
    }
    pass_on(shared, head, call.body).await
}

async fn pass_on(
    shared: Arc<Shared>,
    mut head: http::request::Parts,
    body: Bytes,
) -> Result<Response<Whole>, BoxError> {
    let mut uri = shared.upstream.clone().into_parts();
    uri.path_and_query = head.uri.path_and_query().cloned();
    head.uri = Uri::from_parts(uri)?;
    of_the_connection(&mut head.headers);
    let request = Request::from_parts(head, Full::new(body));
    let (mut head, body) = shared.client.request(request).await?.into_parts();
    of_the_connection(&mut head.headers);
    Ok(Response::from_parts(
        head,
        Full::new(body.collect().await?.to_bytes()),
    ))
}

/// Takes out what each connection says for itself.
fn of_the_connection(headers: &mut HeaderMap) {
    for name in [header::CONNECTION, header::TRANSFER_ENCODING] {
        headers.remove(name);
    }
}

/// The service in the signature's scope: `Credential=KEY/date/region/service/aws4_request`.
fn signed_for(headers: &HeaderMap) -> &str {
    let signature = headers.get(header::AUTHORIZATION);
    let signature = signature
        .and_then(|it| it.to_str().ok())
        .unwrap_or_default();
    let scope = signature.split_once("Credential=").map_or("", |(_, it)| it);
    scope.split('/').nth(3).unwrap_or_default()
}

/// The JSON protocols name it in a header, the query protocol in the body.
fn operation(head: &http::request::Parts, body: &[u8]) -> String {
    let target = head.headers.get("x-amz-target");
    if let Some(target) = target.and_then(|it| it.to_str().ok()) {
        return target.rsplit('.').next().unwrap_or(target).to_owned();
    }
    let mut parameters = body.split(|byte| *byte == b'&');
    match parameters.find_map(|it| it.strip_prefix(b"Action=")) {
        Some(action) => String::from_utf8_lossy(action).into_owned(),
        None => format!("{} {}", head.method, head.uri.path()),
    }
}

//! A small HTTP/1.1 server: one thread, which waits for all its connections and for the
//! answers that are to leave later.
//!
//! A thread for each connection would wake and sleep with each request, and on the core
//! that a function shares with it that took as much time as the requests.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use crate::process;

/// What came in.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// The header `X-Amz-Target`, which names the operation of most AWS services.
    pub(crate) target: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// What goes out.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) content_type: &'static str,
    pub(crate) body: Vec<u8>,
    /// How much later it leaves.
    pub(crate) delay: Duration,
}

impl Response {
    fn bytes(&self) -> Vec<u8> {
        let (status, kind, length) = (self.status, self.content_type, self.body.len());
        let mut head =
            format!("HTTP/1.1 {status} -\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n");
        for (name, value) in &self.headers {
            head += name;
            head += ": ";
            head += value;
            head += "\r\n";
        }
        head += "\r\n";
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// Answers requests, one after the other.
pub(crate) trait Service: Send + Sync + 'static {
    fn answer(&self, request: Request) -> Response;
}

/// A server that listens until it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    closed: Arc<AtomicBool>,
}

impl Server {
    /// Listens on a port that is free.
    pub(crate) fn start(service: Arc<impl Service>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let closed = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&closed);
        thread::spawn(move || {
            // The functions do not inherit it.
            if let Err(error) = process::exact_timers() {
                crate::say(&format!("  answers leave late: {error}"));
            }
            let mut exchange = Exchange::new(listener, &*service);
            while !flag.load(Ordering::SeqCst) {
                if let Err(error) = exchange.turn() {
                    return crate::say(&format!("  nothing is served any more: {error}"));
                }
            }
        });
        Ok(Self { address, closed })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts. If that fails, nothing listens any more.
        drop(TcpStream::connect(self.address));
    }
}

/// What a server has in hand.
struct Exchange<'a, S> {
    service: &'a S,
    listener: TcpListener,
    connections: BTreeMap<usize, Connection>,
    opened: usize,
    /// Answers, and over which connection, by when they leave.
    waiting: BTreeMap<(Instant, usize), (usize, Vec<u8>)>,
    answered: usize,
    chunk: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    /// What was read and is no whole request yet.
    buffer: Vec<u8>,
}

impl<'a, S: Service> Exchange<'a, S> {
    fn new(listener: TcpListener, service: &'a S) -> Self {
        Self {
            service,
            listener,
            connections: BTreeMap::new(),
            opened: 0,
            waiting: BTreeMap::new(),
            answered: 0,
            chunk: vec![0; 64 * 1024],
        }
    }

    /// Waits until there is something to do, and does it.
    fn turn(&mut self) -> io::Result<()> {
        let (is_called, readable) = self.wait()?;
        if is_called {
            let (stream, _) = self.listener.accept()?;
            stream.set_nodelay(true)?;
            let buffer = Vec::with_capacity(64 * 1024);
            self.opened += 1;
            self.connections
                .insert(self.opened, Connection { stream, buffer });
        }
        for connection in readable {
            let read = self.read(connection);
            if let Err(error) = &read
                && error.kind() == io::ErrorKind::InvalidData
            {
                // Others are ends of connections: a function that is ended breaks its own.
                crate::say(&format!("  a request cannot be read: {error}"));
            }
            if !read.unwrap_or(false) {
                self.connections.remove(&connection);
            }
        }
        self.send_due();
        Ok(())
    }

    /// Whether somebody connects, and which connections have something to read.
    fn wait(&self) -> io::Result<(bool, Vec<usize>)> {
        let streams = self.connections.values().map(|it| it.stream.as_fd());
        let all = std::iter::once(self.listener.as_fd()).chain(streams);
        let mut all: Vec<_> = all.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        let first = self.waiting.keys().next();
        let time = first.map(|(due, _)| due.saturating_duration_since(Instant::now()));
        ppoll(&mut all, time.map(TimeSpec::from_duration), None)?;
        let mut ready = all.iter().map(|it| it.any().unwrap_or(false));
        let is_called = ready.next().unwrap_or(false);
        let readable = self.connections.keys().zip(ready);
        let readable = readable.filter_map(|(connection, ready)| ready.then_some(*connection));
        Ok((is_called, readable.collect()))
    }

    /// Reads what is there and answers it; `false` at the end of the connection.
    fn read(&mut self, number: usize) -> io::Result<bool> {
        let Some(connection) = self.connections.get_mut(&number) else {
            return Ok(false);
        };
        let count = connection.stream.read(&mut self.chunk)?;
        let chunk = self.chunk.get(..count).unwrap_or_default();
        connection.buffer.extend_from_slice(chunk);
        while let Some((request, used)) = parse(&connection.buffer)? {
            connection.buffer.drain(..used);
            let response = self.service.answer(request);
            if response.delay.is_zero() {
                connection.stream.write_all(&response.bytes())?;
            } else {
                self.answered += 1;
                let due = (Instant::now() + response.delay, self.answered);
                self.waiting.insert(due, (number, response.bytes()));
            }
        }
        Ok(count > 0)
    }

    fn send_due(&mut self) {
        let now = Instant::now();
        while let Some(first) = self.waiting.first_entry()
            && first.key().0 <= now
        {
            let (number, bytes) = first.remove();
            let connection = self.connections.get_mut(&number);
            let sent = connection.map(|it| it.stream.write_all(&bytes));
            if let Some(Err(_)) = sent {
                self.connections.remove(&number);
            }
        }
    }
}

/// A request that is there as a whole, and how many bytes it has.
fn parse(buffer: &[u8]) -> io::Result<Option<(Request, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Request::new(&mut headers);
    let parsed = head.parse(buffer).map_err(invalid)?;
    let httparse::Status::Complete(start) = parsed else {
        return Ok(None);
    };
    let header = |name: &str| {
        let found = head
            .headers
            .iter()
            .find(|it| it.name.eq_ignore_ascii_case(name));
        found.map(|it| String::from_utf8_lossy(it.value).into_owned())
    };
    let (body, end) = if header("transfer-encoding").is_some() {
        match chunks(buffer, start)? {
            Some(it) => it,
            None => return Ok(None),
        }
    } else {
        let length = header("content-length").unwrap_or_else(|| "0".to_owned());
        let end = start + length.trim().parse::<usize>().map_err(invalid)?;
        match buffer.get(start..end) {
            Some(body) => (body.to_vec(), end),
            None => return Ok(None),
        }
    };
    let request = Request {
        method: head.method.unwrap_or_default().to_owned(),
        path: head.path.unwrap_or_default().to_owned(),
        target: header("x-amz-target"),
        body,
    };
    Ok(Some((request, end)))
}

/// The body that comes in chunks, and where it ends.
fn chunks(buffer: &[u8], mut at: usize) -> io::Result<Option<(Vec<u8>, usize)>> {
    let mut body = Vec::new();
    loop {
        let rest = buffer.get(at..).unwrap_or_default();
        let size = httparse::parse_chunk_size(rest).map_err(|_| invalid("a chunk has no size"))?;
        let httparse::Status::Complete((used, size)) = size else {
            return Ok(None);
        };
        let start = at + used;
        let end = start + usize::try_from(size).map_err(invalid)?;
        // Each chunk ends with a line break, the last one too.
        let Some(chunk) = buffer.get(start..end + 2) else {
            return Ok(None);
        };
        body.extend_from_slice(&chunk[..chunk.len() - 2]);
        at = end + 2;
        if size == 0 {
            return Ok(Some((body, at)));
        }
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_when_it_is_there_as_a_whole() {
        let text = b"POST /a HTTP/1.1\r\nX-Amz-Target: X.Y\r\ncontent-length: 3\r\n\r\nabcGET";
        for end in 0..text.len() - 3 {
            assert!(parse(&text[..end]).unwrap().is_none(), "{end}");
        }
        let (request, used) = parse(text).unwrap().unwrap();
        assert_eq!((request.path.as_str(), used), ("/a", text.len() - 3));
        assert_eq!(request.target.as_deref(), Some("X.Y"));
        assert_eq!(request.body, b"abc");
    }

    #[test]
    fn a_body_in_chunks_is_put_together() {
        let text =
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
        for end in 0..text.len() {
            assert!(parse(&text[..end]).unwrap().is_none(), "{end}");
        }
        assert_eq!(parse(text).unwrap().unwrap().0.body, b"abc");
    }

    #[test]
    fn what_is_no_request_is_an_error() {
        assert!(parse(b"\x01\x02\r\n\r\n").is_err());
    }
}

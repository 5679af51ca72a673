//! A small HTTP/1.1 server: a thread for each connection, which stays open.
//!
//! Threads that block are simpler than a runtime and quick enough by far: a function
//! has a handful of connections.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

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

/// Answers requests.
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
            // The threads of the connections inherit it, and the functions do not.
            if let Err(error) = process::exact_timers() {
                crate::say(&format!("  timers end late: {error}"));
            }
            accept(&listener, &flag, &service);
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

fn accept(listener: &TcpListener, closed: &AtomicBool, service: &Arc<impl Service>) {
    for stream in listener.incoming() {
        if closed.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let service = Arc::clone(service);
        thread::spawn(move || {
            if let Err(error) = converse(stream, &*service)
                && error.kind() == io::ErrorKind::InvalidData
            {
                // Others are ends of connections: a function that is ended breaks its own.
                crate::say(&format!("  a request cannot be read: {error}"));
            }
        });
    }
}

fn converse(mut stream: TcpStream, service: &impl Service) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(64 * 1024);
    while let Some(request) = read(&mut stream, &mut buffer)? {
        stream.write_all(&service.answer(request).bytes())?;
    }
    Ok(())
}

/// The next request; `None` at the end of the connection.
fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Request>> {
    loop {
        if let Some((request, used)) = parse(buffer)? {
            buffer.drain(..used);
            return Ok(Some(request));
        }
        let mut chunk = [0; 32 * 1024];
        let count = stream.read(&mut chunk)?;
        if count == 0 {
            return Ok(None);
        }
        buffer.extend_from_slice(&chunk[..count]);
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

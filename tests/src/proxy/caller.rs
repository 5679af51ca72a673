//! Which function is at the other end of a connection.

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

/// A function's process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The process.
    pub process: i32,
    /// The function's name, without the stack's.
    pub function: String,
}

impl Caller {
    /// The function of this stack that holds a connection, if it is one.
    ///
    /// The emulator gives each function its name in a variable.
    pub fn at(peer: SocketAddr, stack: &str) -> Option<Self> {
        let socket = socket_at(peer)?;
        Self::all(stack)
            .into_iter()
            .find(|it| holds(Path::new(&format!("/proc/{}", it.process)), &socket))
    }

    /// The processes of all functions of this stack.
    pub fn all(stack: &str) -> Vec<Self> {
        let marker = format!("AWS_LAMBDA_FUNCTION_NAME={stack}-");
        let Ok(processes) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        let found = processes.flatten().filter_map(|entry| {
            let process = entry.file_name().to_str()?.parse().ok()?;
            let environment = fs::read(entry.path().join("environ")).ok()?;
            let mut variables = environment.split(|byte| *byte == 0);
            let function = variables.find_map(|it| it.strip_prefix(marker.as_bytes()))?;
            let function = String::from_utf8_lossy(function).into_owned();
            Some(Self { process, function })
        });
        found.collect()
    }
}

/// The functions at the other end of connections, each looked up once.
#[derive(Debug)]
pub struct Callers {
    stack: String,
    known: HashMap<SocketAddr, String>,
}

impl Callers {
    /// Knows the functions of this stack.
    pub fn of(stack: &str) -> Self {
        Self {
            stack: stack.to_owned(),
            known: HashMap::new(),
        }
    }

    /// The function's name, without the stack's; empty for whoever is no function.
    pub fn name(&mut self, peer: SocketAddr) -> &str {
        let look = || Caller::at(peer, &self.stack).map_or_else(String::new, |it| it.function);
        self.known.entry(peer).or_insert_with(look)
    }
}

/// The name of the socket that is bound to an IPv4 address, as links in `/proc` have it.
fn socket_at(address: SocketAddr) -> Option<String> {
    let SocketAddr::V4(address) = address else {
        return None;
    };
    let ip = u32::from_le_bytes(address.ip().octets());
    let local = format!("{ip:08X}:{:04X}", address.port());
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    table.lines().find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let is_it = fields.get(1) == Some(&local.as_str());
        is_it.then(|| fields.get(9).map(|inode| format!("socket:[{inode}]")))?
    })
}

fn holds(process: &Path, socket: &str) -> bool {
    let Ok(open) = fs::read_dir(process.join("fd")) else {
        return false;
    };
    let mut links = open
        .flatten()
        .filter_map(|it| fs::read_link(it.path()).ok());
    links.any(|link| link.as_os_str() == socket)
}

//! The functions' processes: which one is at the other end of a connection.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// Kills the function of this stack that holds a connection; says whether there was one.
///
/// The emulator gives each function its name in a variable. A process without the
/// stack's name in it is not ours to kill.
pub(crate) fn kill_function_at(peer: SocketAddr, stack: &str) -> bool {
    let Some(socket) = socket_at(peer) else {
        return false;
    };
    let marker = format!("AWS_LAMBDA_FUNCTION_NAME={stack}-");
    let Ok(processes) = fs::read_dir("/proc") else {
        return false;
    };
    let found = processes.flatten().find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let environment = fs::read(entry.path().join("environ")).ok()?;
        let mut variables = environment.split(|byte| *byte == 0);
        let is_ours = variables.any(|it| it.starts_with(marker.as_bytes()));
        (is_ours && holds(&entry.path(), &socket)).then_some(pid)
    });
    let killed = found.and_then(Pid::from_raw);
    killed.is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok())
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

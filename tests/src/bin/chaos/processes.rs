//! Ends the function that makes a call.

use std::net::SocketAddr;

use rustix::process::{Pid, Signal, kill_process};
use waybill_tests::proxy::Caller;

/// Kills the function of this stack that holds a connection; says whether there was one.
/// A process without the stack's name in it is not ours to kill.
pub(crate) fn kill_function_at(peer: SocketAddr, stack: &str) -> bool {
    let found = Caller::at(peer, stack).and_then(|it| Pid::from_raw(it.process));
    found.is_some_and(|process| kill_process(process, Signal::KILL).is_ok())
}

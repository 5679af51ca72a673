//! A function's process: on which core, how long it computed, how much memory it had.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::prctl::set_timerslack;
use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;

use crate::Fault;
use crate::subject::Subject;

const SELF: Pid = Pid::from_raw(0);
/// How much of a log is shown where something went wrong.
const SHOWN: usize = 2_000;

/// The cores that this program may use.
pub(crate) fn cores() -> Result<Vec<usize>, Fault> {
    let set = sched_getaffinity(SELF)?;
    let of = (0..CpuSet::count()).filter(|core| set.is_set(*core).unwrap_or(false));
    Ok(of.collect())
}

/// Binds this thread, and what it starts from now on, to a core.
pub(crate) fn bind(core: usize) -> Result<(), Fault> {
    let mut set = CpuSet::new();
    set.set(core)?;
    Ok(sched_setaffinity(SELF, &set)?)
}

/// Has timers of this thread end when they should, and not up to 50 µs later, as Linux
/// has it otherwise.
pub(crate) fn exact_timers() -> Result<(), Fault> {
    Ok(set_timerslack(1)?)
}

/// A process that ends with this value.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    clock: ClockId,
    log: PathBuf,
    pub(crate) started: Instant,
}

impl Process {
    /// Starts a function.
    pub(crate) fn start(
        subject: &Subject,
        variables: &[(&str, String)],
        log: &Path,
    ) -> Result<Self, Fault> {
        let output = File::create(log)?;
        let mut command = Command::new(&subject.program);
        command
            .args(&subject.arguments)
            .env_clear()
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        if let Some(folder) = &subject.folder {
            command.current_dir(folder);
        }
        let started = Instant::now();
        let program = subject.program.display();
        let child = command
            .spawn()
            .map_err(|error| format!("{program}: {error}"))?;
        let pid = Pid::from_raw(child.id().try_into()?);
        Ok(Self {
            clock: clock_getcpuclockid(pid)?,
            child,
            log: log.to_owned(),
            started,
        })
    }

    /// Asks it to end, and waits until it has.
    #[allow(
        clippy::disallowed_methods,
        reason = "no executor, and nothing else to do"
    )]
    pub(crate) fn end(&mut self, patience: Duration) -> Result<(), Fault> {
        kill(Pid::from_raw(self.child.id().try_into()?), Signal::SIGTERM)?;
        let asked = Instant::now();
        while self.child.try_wait()?.is_none() {
            if asked.elapsed() > patience {
                return Err("the function does not end".into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The CPU time of all its threads, also of those that have ended.
    pub(crate) fn cpu(&self) -> Result<Duration, Fault> {
        Ok(Duration::from(self.clock.now()?))
    }

    /// The most memory that it had at a time.
    pub(crate) fn peak_kib(&self) -> Result<u64, Fault> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        peak_of(&status).ok_or_else(|| "the process has no VmHWM".into())
    }

    /// An error where it has ended.
    pub(crate) fn alive(&mut self) -> Result<(), Fault> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(format!("the function ended: {status}\n{}", self.log()).into()),
        }
    }

    /// The end of what it wrote.
    pub(crate) fn log(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        let from = bytes.len().saturating_sub(SHOWN);
        String::from_utf8_lossy(&bytes[from..]).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let ended: io::Result<_> = self.child.kill().and_then(|()| self.child.wait());
        if let Err(error) = ended {
            crate::say(&format!("  a function could not be ended: {error}"));
        }
    }
}

/// The CPU time of this program.
pub(crate) fn own_cpu() -> Result<Duration, Fault> {
    Ok(Duration::from(ClockId::CLOCK_PROCESS_CPUTIME_ID.now()?))
}

fn peak_of(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_from_the_status() {
        let status = "Name:\tx\nVmPeak:\t  9 kB\nVmHWM:\t  18432 kB\nVmRSS:\t 7 kB\n";
        assert_eq!(peak_of(status), Some(18432));
        assert_eq!(peak_of("Name:\tx\n"), None);
    }
}

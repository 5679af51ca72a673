//! `waybill completions`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// `waybill completions SHELL`
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The shell; for bash, add `source <(waybill completions bash)` to its start-up file
    shell: Shell,
}

impl Arguments {
    pub(crate) fn run(&self, output: Output) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "waybill", &mut script);
        output.bytes(&script)?;
        Ok(Exit::Ok)
    }
}

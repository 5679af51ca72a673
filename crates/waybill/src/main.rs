//! The command line of a Waybill deployment: place orders, follow them, seed stock,
//! and see to what failed.
//!
//! The deployment is found by the outputs of its CloudFormation stack; region,
//! profile, endpoint and credentials come from where the AWS CLI takes them.
//!
//! Results go to stdout, as tables or as one JSON document (`--output json`);
//! progress, notes and errors go to stderr.
//!
//! Exit codes, by what a script does next (the same list is in `--help`):
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | it cannot work as things are: credentials, permissions, stack, or a defect |
//! | 2 | the command line or an input file is wrong |
//! | 3 | refused, by the API (4xx) or by a rule; the same request will be refused again |
//! | 4 | no such order, article, failure or replay |
//! | 5 | the order ended as failed or needs-attention (with `--watch` or `--wait`) |
//! | 6 | unavailable (unreachable, throttled, 5xx): repeat it, with the same `--key` |
//! | 7 | the order, or the replay, was not at its end when `--timeout` was over |
//! | 8 | a message that was replayed failed again |

mod api;
mod cli;
mod commands;
mod credentials;
mod deployment;
mod failure;
mod items;
mod operator;
mod output;
mod problem;
mod records;
mod transport;

use std::process::ExitCode;

use clap::Parser;

use failure::{Exit, Failure};

fn main() -> ExitCode {
    let exit = match cli::Cli::try_parse() {
        Ok(cli) => run(cli),
        Err(error) => output::usage(&error),
    };
    let exit = exit.unwrap_or_else(|failure| {
        if failure.exit() != Exit::Ok {
            output::failure(&failure);
        }
        failure.exit()
    });
    ExitCode::from(exit as u8)
}

fn run(cli: cli::Cli) -> Result<Exit, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::unexpected("the runtime cannot start", error))?
        .block_on(cli.run())
}

//! The command line as a whole. Each noun has its own module under `commands`.

use clap::{Parser, Subcommand};

use crate::commands::{completions, failures, order, queues, saga, sandbox, stock};
use crate::deployment::Settings;
use crate::failure::{EXIT_CODES_HELP, Exit, Failure};
use crate::output::{Format, Output};

/// Place orders with a Waybill deployment, follow them, and seed its stock
#[derive(Debug, Parser)]
#[command(name = "waybill", version, after_help = EXIT_CODES_HELP, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    settings: Settings,
    /// How results are printed
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    output: Format,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Place and follow orders
    #[command(subcommand)]
    Order(order::Command),
    /// Seed and show the stock
    #[command(subcommand)]
    Stock(stock::Command),
    /// See to messages that failed: find, edit, replay and archive them
    #[command(subcommand)]
    Failures(Box<failures::Command>),
    /// See to orders that need attention: list, explain and finish them
    #[command(subcommand)]
    Saga(saga::Command),
    /// Show what waits for each consumer and whether it is let through
    Queues(queues::Arguments),
    /// Steer the sandbox providers
    #[command(subcommand)]
    Sandbox(sandbox::Command),
    /// Print a completion script for a shell
    Completions(completions::Arguments),
}

/// What every command gets.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) settings: Settings,
    pub(crate) output: Output,
}

impl Cli {
    /// Runs the command.
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        let context = Context {
            settings: self.settings,
            output: Output::new(self.output),
        };
        match self.command {
            Command::Order(command) => command.run(&context).await,
            Command::Stock(command) => command.run(&context).await,
            Command::Failures(command) => command.run(&context).await,
            Command::Saga(command) => command.run(&context).await,
            Command::Queues(arguments) => arguments.run(&context).await,
            Command::Sandbox(command) => command.run(&context).await,
            Command::Completions(arguments) => arguments.run(context.output),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[track_caller]
    fn accepts(line: &str) {
        if let Err(error) = Cli::try_parse_from(line.split_whitespace()) {
            panic!("{error}");
        }
    }

    #[track_caller]
    fn refuses(line: &str) {
        let parsed = Cli::try_parse_from(line.split_whitespace());
        assert_eq!(
            parsed.unwrap_err().exit_code(),
            Exit::Usage as i32,
            "{line}"
        );
    }

    #[test]
    fn flags_stand_before_or_after_the_command() {
        accepts("waybill --stack shop --output json stock show");
        accepts("waybill order list --status failed --limit 5 --output json --region eu-west-1");
        accepts("waybill order place - --key k --count 100 --wait --timeout 60");
        accepts("waybill stock seed stock.json --if-absent --endpoint-url http://127.0.0.1:4566");
        accepts("waybill sandbox outage payment --for 60s --slow 300ms");
        accepts("waybill sandbox outage warehouse --end");
        accepts("waybill completions bash");
        accepts("waybill saga list --limit 5 --output json");
        accepts("waybill saga explain 0b7e7f0e-6a52-5d5c-9a39-0a2c8a1d9f10");
        accepts("waybill saga resume 0b7e7f0e-6a52-5d5c-9a39-0a2c8a1d9f10 --why x --yes");
        accepts("waybill order trace 0b7e7f0e-6a52-5d5c-9a39-0a2c8a1d9f10");
        accepts("waybill order republish 0b7e7f0e-6a52-5d5c-9a39-0a2c8a1d9f10 --from 2 --yes");
        accepts("waybill queues --watch --interval 2");
        accepts("waybill queues pause payment --why x");
        accepts("waybill queues resume payment");
    }

    #[test]
    fn a_wrong_line_is_a_usage_error() {
        refuses("waybill order show not-an-id");
        refuses("waybill order list --status Completed");
        refuses("waybill order place order.json --count 0");
        refuses("waybill order place order.json --timeout 5");
        refuses("waybill stock show --output yaml");
        refuses("waybill sandbox outage payment");
        refuses("waybill sandbox outage payment --for 60s --end");
        refuses("waybill queues pause payment");
        refuses("waybill queues pause everything --why x");
        refuses("waybill queues --interval 2");
    }

    /// The commands of a row of the rights' table: "`order place`, `show`".
    fn commands_of(row: &str) -> Vec<String> {
        let first_column = row.split('|').nth(1).unwrap_or_default();
        let names: Vec<_> = first_column.split('`').skip(1).step_by(2).collect();
        let group = names[0].split(' ').next().unwrap();
        let with_group = |name: &&str| match name.starts_with(group) {
            true => (*name).to_owned(),
            false => format!("{group} {name}"),
        };
        names.iter().map(with_group).collect()
    }

    #[test]
    fn what_each_command_needs_is_written_down() {
        let operations = include_str!("../../../docs/operations.md");
        let rights = operations.split("## Rights").nth(1).unwrap();
        let rights = rights.split("\n## ").next().unwrap();
        let rows = rights.lines().filter(|line| line.starts_with("| `"));
        let mut told: Vec<_> = rows.flat_map(commands_of).collect();
        told.sort_unstable();

        let cli = <Cli as clap::CommandFactory>::command();
        let mut known = Vec::new();
        for group in cli.get_subcommands() {
            let name = group.get_name();
            let commands = group.get_subcommands();
            known.extend(commands.map(|command| format!("{name} {}", command.get_name())));
            // One that does something by itself, and one that asks nothing of AWS.
            if !group.is_subcommand_required_set() && name != "completions" {
                known.push(name.to_owned());
            }
        }
        known.sort_unstable();
        assert_eq!(told, known);
    }
}

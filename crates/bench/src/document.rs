//! The section of the page, and where it was measured.

use std::fs::read_to_string;
use std::path::Path;
use std::process::Command;

use time::OffsetDateTime;

use crate::Fault;

const BEGIN: &str = "<!-- written by make bench -->";
const END: &str = "<!-- end of what make bench writes -->";

/// Puts a text between the markers of a page.
pub(crate) fn replace(page: &str, text: &str) -> Result<String, Fault> {
    let (head, rest) = page
        .split_once(BEGIN)
        .ok_or("the page has no first marker")?;
    let (_, tail) = rest.split_once(END).ok_or("the page has no last marker")?;
    Ok(format!("{head}{BEGIN}\n{text}{END}{tail}"))
}

/// The first number of `/proc/loadavg`.
pub(crate) fn load() -> Result<String, Fault> {
    let loads = read_to_string("/proc/loadavg")?;
    Ok(loads.split(' ').next().unwrap_or_default().to_owned())
}

/// Date, machine and versions.
pub(crate) fn circumstances(
    root: &Path,
    node: Option<&Path>,
    cores: usize,
) -> Result<String, Fault> {
    let info = read_to_string("/proc/cpuinfo")?;
    let model = value_of(&info, "model name").unwrap_or("a processor without a name");
    let memory = read_to_string("/proc/meminfo")?;
    let memory = gibibytes(value_of(&memory, "MemTotal").unwrap_or_default())?;
    let kernel = read_to_string("/proc/sys/kernel/osrelease")?;
    let date = OffsetDateTime::now_utc().date();
    let git = |arguments: &[&str]| said(Command::new("git").current_dir(root).args(arguments));
    let mut commit = git(&["rev-parse", "--short", "HEAD"])?;
    if !git(&["status", "--porcelain", "--", "crates", "Cargo.lock"])?.is_empty() {
        commit += " with changes";
    }
    let rust = said(Command::new("rustc").arg("--version"))?;
    let python = said(Command::new(root.join(".local/bench/bin/python")).arg("--version"));
    let python = python.unwrap_or_else(|_| "no Python".to_owned());
    let node = node
        .map(|node| said(Command::new(node).arg("--version")))
        .transpose()?;
    let wanted = read_to_string(root.join("infra/local/requirements-bench.txt"))?;
    let packages = wanted
        .lines()
        .filter(|line| is_named(line))
        .collect::<Vec<_>>();
    let npm = read_to_string(root.join("crates/bench/peers/typescript/package.json"))?;
    let npm: serde_json::Value = serde_json::from_str(&npm)?;
    let npm: Vec<String> = npm["dependencies"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, version)| format!("{name} {}", version.as_str().unwrap_or_default()))
        .collect();
    Ok(format!(
        "- {date}, commit {commit}\n- {model}, {cores} cores, {memory:.0} GiB, Linux {}\n- {rust}; {python} with {}; Node.js {} with {}\n",
        kernel.trim(),
        packages.join(", "),
        node.as_deref().unwrap_or("(not measured)"),
        npm.join(", "),
    ))
}

fn is_named(line: &str) -> bool {
    ["aws-lambda-powertools", "awslambdaric", "boto3"]
        .iter()
        .any(|name| line.starts_with(name))
}

/// Of a number of kilobytes, as the kernel writes it.
fn gibibytes(kilobytes: &str) -> Result<f64, Fault> {
    let number = kilobytes.trim_end_matches("kB").trim();
    Ok(number.parse::<f64>()? / 1024.0 / 1024.0)
}

fn value_of<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim())
}

fn said(command: &mut Command) -> Result<String, Fault> {
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_is_replaced() {
        let page = format!("a\n{BEGIN}\nold\n{END}\nz\n");
        let new = replace(&page, "new\n").unwrap();
        assert_eq!(new, format!("a\n{BEGIN}\nnew\n{END}\nz\n"));
        assert_eq!(replace(&new, "new\n").unwrap(), new);
        assert!(replace("no markers", "x").is_err());
    }

    #[test]
    fn memory_is_told_in_gibibytes() {
        assert!((gibibytes("2097152 kB").unwrap() - 2.0).abs() < 1e-9);
        assert!(gibibytes("").is_err());
    }

    #[test]
    fn values_are_read_by_their_names() {
        assert_eq!(
            value_of("a : 1\nmodel name\t: X 1\n", "model name"),
            Some("X 1")
        );
        assert_eq!(value_of("a: 1", "b"), None);
    }
}

//! A short round; `make fuzz FOR=10m` makes long ones.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is how a test reports its failure"
)]

use std::process::Command;

use hostile::logs;

#[test]
fn bad_input_is_refused_and_told_and_does_nothing() {
    let mut fuzzer = Command::new(env!("CARGO_BIN_EXE_hostile"));
    let status = fuzzer.args(["--cases", "150"]).status().unwrap();
    assert!(status.success(), "see above");
}

#[test]
fn a_log_that_is_not_as_it_must_be_is_noticed() {
    for line in [
        "plain text",
        r#"{"a":1}{"b":2}"#,
        "",
        "[1]",
        r#"{"token":"secret-token"}"#,
        "{\"a\":\"\u{1b}[31m\"}",
    ] {
        let log = format!("{{\"good\":1}}\n{line}\n");
        assert!(logs::check(log.as_bytes()).is_err(), "{line}");
    }
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(20_000));
    assert!(logs::check(long.as_bytes()).is_err());
    assert_eq!(logs::check(&b"{\"a\":\"\\n\"}\n{}\n"[..]), Ok(2));
}

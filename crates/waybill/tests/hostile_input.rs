//! Hostile files, streams, paths and arguments against the whole `waybill` program.
//!
//! The endpoint that stands for AWS counts who calls and hangs up. So a refusal shows that
//! the input was judged before anything was asked, and an input that passes shows that it
//! would have gone on.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is the failure report of a test"
)]
#![cfg(target_os = "linux")]

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use proptest::prelude::*;
use tempfile::TempDir;

const ORDER: &str = include_str!("../../contracts/samples/order-request.v1.json");
const STOCK: &str = r#"{"MUG-RED": 100, "PLATE": 0}"#;
const PATCH: &str = r#"[{"op": "replace", "path": "/data/amount", "value": 1}]"#;
const MESSAGE: &str = include_str!("../../contracts/samples/waybill.payment.charge.v1.json");

/// So many bytes of memory a run may map; the inputs that must not be held are larger.
const MEMORY_KIB: usize = 768 * 1024;
const HUGE: u64 = 2 * 1024 * 1024 * 1024;

/// A command that reads a file, or stdin for `-`, and a good one for it.
#[derive(Debug, Clone, Copy)]
struct Reader {
    before: &'static [&'static str],
    /// What stands in front of the path, in one word with it.
    prefix: &'static str,
    good: &'static str,
}

const READERS: [Reader; 4] = [
    Reader {
        before: &["order", "place", "--key", "k"],
        prefix: "",
        good: ORDER,
    },
    Reader {
        before: &["stock", "seed"],
        prefix: "",
        good: STOCK,
    },
    Reader {
        before: &["failures", "edit", "f-1", "--yes", "--patch"],
        prefix: "@",
        good: PATCH,
    },
    Reader {
        before: &["failures", "edit", "f-1", "--yes", "--body"],
        prefix: "@",
        good: MESSAGE,
    },
];

impl Reader {
    fn arguments(&self, path: &OsStr) -> Vec<OsString> {
        let mut last = OsString::from(self.prefix);
        last.push(path);
        let before = self.before.iter().map(OsString::from);
        before.chain([last]).collect()
    }
}

/// A place of its own for one test, and the endpoint.
struct Scene {
    folder: TempDir,
    endpoint: String,
    calls: Arc<AtomicUsize>,
}

impl Scene {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        // It ends with the test's process.
        thread::spawn(move || {
            for call in listener.incoming() {
                counted.fetch_add(1, Ordering::SeqCst);
                drop(call);
            }
        });
        Self {
            folder: TempDir::new().unwrap(),
            endpoint,
            calls,
        }
    }

    fn path(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.folder.path().join(Path::new(name.as_ref()))
    }

    fn file(&self, content: &[u8]) -> PathBuf {
        let path = self.path("input");
        fs::write(&path, content).unwrap();
        path
    }

    /// The program with credentials, an endpoint and nothing else from outside.
    fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        // The shell only bounds the memory.
        let mut command = Command::new("sh");
        command.arg("-c");
        command.arg(format!("ulimit -v {MEMORY_KIB}; exec \"$@\""));
        command.arg("sh").arg(env!("CARGO_BIN_EXE_waybill"));
        command.args(arguments);
        command.env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap());
        command.env("HOME", self.folder.path());
        command.env("AWS_ACCESS_KEY_ID", "test");
        command.env("AWS_SECRET_ACCESS_KEY", "test");
        command.env("AWS_REGION", "eu-west-1");
        command.env("AWS_ENDPOINT_URL", &self.endpoint);
        command.env("AWS_MAX_ATTEMPTS", "1");
        command.stdin(Stdio::null());
        command
    }

    fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ran {
        self.ran(&mut self.command(arguments))
    }

    fn ran(&self, command: &mut Command) -> Ran {
        let before = self.calls.load(Ordering::SeqCst);
        let output = command.output().unwrap();
        Ran::of(output, self.calls.load(Ordering::SeqCst) - before)
    }

    /// Gives a stream to stdin, as far as it is read.
    fn run_with_stdin(&self, arguments: &[OsString], stream: impl Iterator<Item = Vec<u8>>) -> Ran {
        let before = self.calls.load(Ordering::SeqCst);
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        for part in stream {
            // Who has read enough hangs up.
            if stdin.write_all(&part).is_err() {
                break;
            }
        }
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        Ran::of(output, self.calls.load(Ordering::SeqCst) - before)
    }
}

/// What a run came to.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    stdout: Vec<u8>,
    stderr: String,
    calls: usize,
}

impl Ran {
    fn of(output: Output, calls: usize) -> Self {
        Self {
            code: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8(output.stderr).unwrap(),
            calls,
        }
    }

    /// What must hold of every run, whatever it was given.
    fn is_decent(&self) -> Result<(), TestCaseError> {
        prop_assert!(
            self.code.is_some_and(|code| (0..=8).contains(&code)),
            "{self:?}"
        );
        prop_assert!(!self.stderr.contains("panicked"), "{self:?}");
        prop_assert!(self.stderr.len() < 4_000, "{self:?}");
        let stdout = String::from_utf8_lossy(&self.stdout);
        for char in self.stderr.chars().chain(stdout.chars()) {
            prop_assert!(!is_unseen(char), "{char:?} in {self:?}");
        }
        Ok(())
    }

    /// It was refused for what it is, in one error, before anything was asked.
    fn is_refused(&self) -> Result<(), TestCaseError> {
        self.is_decent()?;
        prop_assert_eq!(self.code, Some(2), "{:?}", self);
        prop_assert!(self.stdout.is_empty(), "{self:?}");
        prop_assert_eq!(self.calls, 0, "{:?}", self);
        let errors = self
            .stderr
            .lines()
            .filter(|line| line.starts_with("error: "));
        prop_assert_eq!(errors.count(), 1, "{:?}", self);
        prop_assert_eq!(self.stderr.lines().count(), 1, "{:?}", self);
        Ok(())
    }

    /// It passed, and the endpoint was asked, which nobody answered at.
    fn has_passed(&self) -> Result<(), TestCaseError> {
        self.is_decent()?;
        prop_assert_eq!(self.code, Some(6), "{:?}", self);
        prop_assert!(self.calls > 0, "{self:?}");
        Ok(())
    }
}

/// As a person sees it: what drives the terminal, turns text or hides it.
fn is_unseen(char: char) -> bool {
    (char.is_control() && char != '\n')
        || matches!(
            char,
            '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
        )
        || matches!(char, '\u{2060}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

#[track_caller]
fn holds(what: &str, held: Result<(), TestCaseError>) {
    if let Err(broken) = held {
        panic!("{what}: {broken}");
    }
}

/// What no command can take for its input.
fn unreadable() -> Vec<(&'static str, Vec<u8>)> {
    let nested = |open: &str, times: usize| open.repeat(times).into_bytes();
    let mut cases = vec![
        ("nothing", Vec::new()),
        ("spaces", b" \r\n\t".to_vec()),
        (
            "a byte order mark",
            [b"\xef\xbb\xbf", STOCK.as_bytes()].concat(),
        ),
        ("UTF-16", b"\xff\xfe{\0\"\0A\0\"\0:\x001\0}\0".to_vec()),
        ("bytes that are no UTF-8", b"{\"A\xff\": 1}".to_vec()),
        ("an overlong NUL", b"{\"A\xc0\x80\": 1}".to_vec()),
        ("a surrogate in UTF-8", b"{\"\xed\xa0\x80\": 1}".to_vec()),
        ("NUL bytes", vec![0; 4096]),
        ("a raw NUL in a text", b"{\"A\0\": 1}".to_vec()),
        ("a raw escape sequence", b"{\"\x1b[2J\": \x1b[31m}".to_vec()),
        ("half a document", STOCK.as_bytes()[..20].to_vec()),
        ("two documents", [STOCK, STOCK].concat().into_bytes()),
        ("a key twice", br#"{"A": 1, "A": 2}"#.to_vec()),
        ("a key twice, escaped", br#"{"A": 1, "\u0041": 1}"#.to_vec()),
        (
            "a key twice, deep",
            br#"[{"a": [{"A": 1, "A": 1}]}]"#.to_vec(),
        ),
        ("a lone surrogate", br#"{"\ud800": 1}"#.to_vec()),
        ("surrogates reversed", br#"{"\udc00\ud800": 1}"#.to_vec()),
        ("NaN", br#"{"A": NaN}"#.to_vec()),
        ("infinity", br#"{"A": -Infinity}"#.to_vec()),
        ("a number beyond f64", br#"{"A": 1e999}"#.to_vec()),
        (
            "a number of thousands of digits",
            format!("{{\"A\": {}e5}}", "9".repeat(5000)).into(),
        ),
        ("a plus sign", br#"{"A": +1}"#.to_vec()),
        ("a leading zero", br#"{"A": 01}"#.to_vec()),
        ("a comment", b"{\"A\": 1} // all".to_vec()),
        ("single quotes", b"{'A': 1}".to_vec()),
        ("a trailing comma", br#"{"A": 1,}"#.to_vec()),
        ("arrays without end", nested("[", 50_000)),
        ("objects without end", nested("{\"a\":", 50_000)),
        ("JSON Lines", b"{\"A\": 1}\n{\"B\": 1}\n".to_vec()),
    ];
    let deep = [nested("[", 20_000), nested("]", 20_000)].concat();
    cases.push(("arrays that are deep and closed", deep));
    cases
}

/// JSON of a kind that none of the commands takes, but the API may judge.
fn of_another_kind() -> Vec<(&'static str, Vec<u8>)> {
    let long = format!("\"{}\"", "x".repeat(60_000));
    vec![
        ("null", b"null".to_vec()),
        ("a number", b"1".to_vec()),
        ("a text", b"\"x\"".to_vec()),
        ("a very long text", long.into_bytes()),
        ("a text with bidi", "\"\u{202e}txt.\"".into()),
        ("true", b"true".to_vec()),
    ]
}

#[test]
fn what_is_no_input_is_refused_before_anything_is_asked() {
    let scene = Scene::new();
    for reader in READERS {
        for (what, content) in unreadable() {
            let path = scene.file(&content);
            let ran = scene.run(reader.arguments(path.as_os_str()));
            holds(&format!("{reader:?} of {what}"), ran.is_refused());
            let arguments = reader.arguments(OsStr::new("-"));
            let ran = scene.run_with_stdin(&arguments, std::iter::once(content));
            holds(&format!("{reader:?} of {what} on stdin"), ran.is_refused());
            assert!(ran.stderr.contains("stdin"), "{ran:?}");
        }
    }
}

#[test]
fn what_is_of_another_kind_is_refused_by_all_but_the_api() {
    let scene = Scene::new();
    for reader in READERS {
        for (what, content) in of_another_kind() {
            let ran = scene.run(reader.arguments(scene.file(&content).as_os_str()));
            let held = match reader.before[0] {
                "order" => ran.has_passed(),
                _ => ran.is_refused(),
            };
            holds(&format!("{reader:?} of {what}"), held);
        }
    }
}

#[test]
fn what_is_good_passes_with_whatever_line_ends_and_spaces() {
    let scene = Scene::new();
    for reader in READERS {
        for content in [
            reader.good.to_owned(),
            reader.good.replace('\n', "\r\n").replace(", ", ",\r\n"),
            format!("\r\n\t{}\n\n", reader.good),
        ] {
            let ran = scene.run(reader.arguments(scene.file(content.as_bytes()).as_os_str()));
            holds(&format!("{reader:?} of {content:?}"), ran.has_passed());
            let arguments = reader.arguments(OsStr::new("-"));
            let ran = scene.run_with_stdin(&arguments, std::iter::once(content.into_bytes()));
            holds(&format!("{reader:?} on stdin"), ran.has_passed());
        }
    }
}

#[test]
fn stock_that_no_table_should_hold_is_refused() {
    let scene = Scene::new();
    for content in [
        r#"{"A": -1}"#,
        r#"{"A": 1.5}"#,
        r#"{"A": "1"}"#,
        r#"{"A": null}"#,
        r#"{"A": [1]}"#,
        r#"{"A": 9007199254740992}"#,
        r#"{"A": 18446744073709551616}"#,
        r#"{"A": 9223372036854775808}"#,
        r#"{"": 1}"#,
        r#"{"A B": 1}"#,
        "{\"\u{202e}A\": 1}",
        r#"{"\u001b[2J": 1}"#,
        r#"[{"sku": "A", "available": 1, "reserved": 0}]"#,
        r#"[{"sku": "A"}]"#,
        r#"[["A", 1]]"#,
        r#"[{"sku": "A", "available": 1}, {"sku": "A", "available": 1}]"#,
    ] {
        let path = scene.file(content.as_bytes());
        let ran = scene.run([OsStr::new("stock"), OsStr::new("seed"), path.as_os_str()]);
        holds(content, ran.is_refused());
    }
    let long = format!("{{\"{}\": 1}}", "A".repeat(1_000_000));
    let ran = scene.run([
        OsStr::new("stock"),
        OsStr::new("seed"),
        scene.file(long.as_bytes()).as_os_str(),
    ]);
    holds("a name of a million letters", ran.is_refused());
}

#[test]
fn patches_that_are_none_are_refused_without_repeating_what_is_in_them() {
    let scene = Scene::new();
    let many = format!("[{}]", vec![&PATCH[1..PATCH.len() - 1]; 1_001].join(","));
    for patch in [
        r#"{"op": "replace"}"#,
        r#"["12 Private Lane"]"#,
        r#"[{"op": "12 Private Lane", "path": "/a"}]"#,
        r#"[{"op": "add", "path": "/a"}]"#,
        r#"[{"op": "add", "path": "12 Private Lane", "value": 1}]"#,
        r#"[{"op": "add", "path": 1, "value": 1}]"#,
        r#"[{"op": "move", "path": "/a"}]"#,
        r#"[{"op": "add", "path": "/~2", "value": 1}]"#,
        &many,
    ] {
        // As it is typed, and in a file.
        let typed = scene.run(["failures", "edit", "f-1", "--patch", patch]);
        holds(patch, typed.is_refused());
        assert!(!typed.stderr.contains("Private"), "{typed:?}");
        let path = scene.file(patch.as_bytes());
        let ran = scene.run(READERS[2].arguments(path.as_os_str()));
        holds(patch, ran.is_refused());
        assert!(!ran.stderr.contains("Private"), "{ran:?}");
    }
}

#[test]
fn more_than_can_be_meant_is_refused_and_never_held() {
    let scene = Scene::new();
    let sparse = scene.path("huge");
    File::create(&sparse).unwrap().set_len(HUGE).unwrap();
    for reader in READERS {
        for path in [sparse.as_path(), Path::new("/dev/zero")] {
            let ran = scene.run(reader.arguments(path.as_os_str()));
            holds(&format!("{reader:?} of {path:?}"), ran.is_refused());
            assert!(ran.stderr.contains("too large"), "{ran:?}");
        }
        // It is good as far as it goes, and it goes on for ever.
        let part = format!("[{}", "1,".repeat(50_000)).into_bytes();
        let arguments = reader.arguments(OsStr::new("-"));
        let ran = scene.run_with_stdin(&arguments, std::iter::repeat(part));
        holds(&format!("{reader:?} of a stream"), ran.is_refused());
        assert!(ran.stderr.contains("too large"), "{ran:?}");
    }
}

#[test]
fn a_path_that_leads_to_no_file_is_refused() {
    let scene = Scene::new();
    let looped = scene.path("loop");
    symlink(&looped, &looped).unwrap();
    let dangling = scene.path("dangling");
    symlink(scene.path("nowhere"), &dangling).unwrap();
    let secret = scene.path("secret");
    fs::write(&secret, STOCK).unwrap();
    let mut closed = fs::metadata(&secret).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut closed, 0);
    fs::set_permissions(&secret, closed).unwrap();

    let mut paths = vec![
        scene.folder.path().to_owned(),
        scene.path("missing"),
        looped,
        dangling,
        PathBuf::from("/dev/null"),
        // It can be opened, and reading it fails.
        PathBuf::from("/proc/self/mem"),
        scene.path("missing").join("below"),
        scene.path(OsStr::from_bytes(
            b"line\nerror: forged \x1b[2J \xe2\x80\xae",
        )),
        scene.path("n".repeat(300)),
        PathBuf::from("\u{202e}json"),
    ];
    // Whoever is root may read everything.
    if File::open(&secret).is_err() {
        paths.push(secret);
    }
    for reader in READERS {
        for path in &paths {
            let ran = scene.run(reader.arguments(path.as_os_str()));
            holds(&format!("{reader:?} of {path:?}"), ran.is_refused());
        }
    }
    // A patch and a body are typed as text, which cannot hold this path.
    for reader in &READERS[..2] {
        let odd = scene.path(OsStr::from_bytes(b"\xff\xfe\x07"));
        let ran = scene.run(reader.arguments(odd.as_os_str()));
        holds(&format!("{reader:?} of {odd:?}"), ran.is_refused());
    }
}

#[test]
fn a_file_is_read_through_a_link_a_pipe_and_an_odd_name() {
    let scene = Scene::new();
    for reader in READERS {
        let real = scene.file(reader.good.as_bytes());
        let link = scene.path("link");
        let _ = fs::remove_file(&link);
        symlink(&real, &link).unwrap();
        holds(
            "a link",
            scene.run(reader.arguments(link.as_os_str())).has_passed(),
        );

        let odd = scene.path("a b\n\u{1b}[2J'\"$(id)");
        fs::write(&odd, reader.good).unwrap();
        holds(
            "an odd name",
            scene.run(reader.arguments(odd.as_os_str())).has_passed(),
        );

        let pipe = scene.path("pipe");
        let _ = fs::remove_file(&pipe);
        assert!(
            Command::new("mkfifo")
                .arg(&pipe)
                .status()
                .unwrap()
                .success()
        );
        let (writer, good) = (pipe.clone(), reader.good);
        let written = thread::spawn(move || fs::write(writer, good));
        holds(
            "a pipe",
            scene.run(reader.arguments(pipe.as_os_str())).has_passed(),
        );
        written.join().unwrap().unwrap();
    }
}

#[test]
fn arguments_that_are_hostile_neither_pass_nor_reach_the_terminal() {
    let scene = Scene::new();
    let hostile: [&[u8]; 8] = [
        b"\x1b[2J\x1b]0;owned\x07",
        b"a\nerror: forged",
        b"\xe2\x80\xaegpj.exe",
        b"\xc2\x9b2J",
        b"\xff\xfe",
        b"../../etc passwd",
        b"",
        b"-1",
    ];
    for argument in hostile.map(OsStr::from_bytes) {
        for before in [
            &["order", "show"][..],
            &["order", "trace"],
            &["order", "republish"],
            &["order", "list", "--status"],
            &["order", "list", "--limit"],
            &["order", "place", "x", "--count"],
            &["saga", "explain"],
            &["saga", "resume"],
            &["queues", "pause"],
            &["failures", "list", "--since"],
            &["failures", "list", "--type"],
            &["failures", "replay", "f-1", "--rate"],
            &["failures", "archive", "f-1", "--why", "x", "--keep"],
            &["failures", "drain"],
            &["sandbox", "outage", "payment", "--for"],
            &["stock", "show"],
            &["completions"],
            &["--output"],
            &[],
        ] {
            let arguments = before.iter().map(OsStr::new).chain([argument]);
            let ran = scene.run(arguments);
            let what = format!("{before:?} {argument:?}");
            holds(&what, ran.is_decent());
            assert_eq!((ran.code, ran.calls), (Some(2), 0), "{what}: {ran:?}");
        }
    }
}

#[test]
fn ids_from_anywhere_are_asked_for_as_they_are() {
    let scene = Scene::new();
    let long = "i".repeat(100_000);
    for id in [
        "\u{1b}[2J",
        "a\nerror: forged",
        "../../x",
        "$(id)",
        "\u{202e}",
        &long,
    ] {
        for before in [
            &["failures", "show"][..],
            &["failures", "resolve", "--why", "x"],
            &["failures", "replay"],
            &["failures", "replays", "show"],
            &["failures", "list", "--group"],
            &["failures", "list", "--text"],
            &["failures", "export"],
        ] {
            let ran = scene.run(before.iter().copied().chain([id]));
            holds(&format!("{before:?} {id:?}"), ran.has_passed());
        }
    }
}

#[test]
fn settings_that_are_hostile_end_in_an_error_and_not_in_a_panic() {
    let scene = Scene::new();
    let junk = scene.path("junk");
    fs::write(&junk, b"[default\n\xff\x00=\n[profile \x1b[2J]\nregion").unwrap();
    let odd = scene.path("odd");
    fs::write(
        &odd,
        "[default]\nmax_attempts = many\nretry_mode = \u{1b}[2J\n",
    )
    .unwrap();
    let bad = "\u{1b}[2J\u{202e}x";
    for (name, value) in [
        ("AWS_ENDPOINT_URL", OsStr::new("not a url")),
        ("AWS_ENDPOINT_URL", OsStr::new("http://")),
        ("AWS_ENDPOINT_URL", OsStr::new(bad)),
        ("AWS_ENDPOINT_URL", OsStr::new("ftp://127.0.0.1:1")),
        ("AWS_ENDPOINT_URL", OsStr::from_bytes(b"\xff")),
        ("AWS_REGION", OsStr::new(bad)),
        ("AWS_REGION", OsStr::new("a b/../c")),
        ("AWS_ACCESS_KEY_ID", OsStr::new("a\nb")),
        ("AWS_SESSION_TOKEN", OsStr::new("a\r\nx-evil: 1")),
        ("AWS_CONFIG_FILE", junk.as_os_str()),
        ("AWS_CONFIG_FILE", scene.folder.path().as_os_str()),
        ("AWS_CONFIG_FILE", OsStr::new("/dev/null")),
        ("AWS_PROFILE", OsStr::new(bad)),
        ("AWS_CONFIG_FILE", odd.as_os_str()),
        ("AWS_MAX_ATTEMPTS", OsStr::new("-1")),
        ("AWS_MAX_ATTEMPTS", OsStr::new(bad)),
        ("AWS_RETRY_MODE", OsStr::new(bad)),
        ("AWS_EC2_METADATA_DISABLED", OsStr::new(bad)),
        ("AWS_USE_FIPS_ENDPOINT", OsStr::new(bad)),
        ("AWS_USE_DUALSTACK_ENDPOINT", OsStr::new("maybe")),
        ("AWS_SDK_UA_APP_ID", OsStr::new(bad)),
        ("HTTP_PROXY", OsStr::new(bad)),
        ("WAYBILL_STACK", OsStr::new(bad)),
        ("WAYBILL_STACK", OsStr::from_bytes(b"\xff")),
        ("WAYBILL_STACK", OsStr::new("")),
        ("NO_COLOR", OsStr::from_bytes(b"\xff")),
    ] {
        let mut command = scene.command(["stock", "show"]);
        let ran = scene.ran(command.env(name, value));
        let what = format!("{name}={value:?}");
        holds(&what, ran.is_decent());
        assert_ne!(ran.code, Some(0), "{what}: {ran:?}");
        assert!(ran.stderr.contains("error: "), "{what}: {ran:?}");
    }
}

#[test]
fn a_token_that_no_header_can_carry_is_not_shown() {
    let scene = Scene::new();
    let order = "7f0d2f5e-3c5b-5a8e-9a39-6f9a2f1c0b11";
    let mut command = scene.command(["order", "show", order, "--api-url", &scene.endpoint]);
    let ran = scene.ran(command.env("WAYBILL_JWT", "SECRET\r\nx-evil: 1\u{1b}[2J"));
    holds("a token with line ends", ran.is_decent());
    assert_eq!((ran.code, ran.calls), (Some(1), 0), "{ran:?}");
    assert!(!ran.stderr.contains("SECRET"), "{ran:?}");
}

/// An API that answers every request in the same way.
fn api(status: u16, body: Vec<u8>, times: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut request = [0; 65_536];
            let _ = connection.read(&mut request);
            let head = format!(
                "HTTP/1.1 {status} x\r\nretry-after: 18446744073709551615\r\n\
                 connection: close\r\ncontent-length: {}\r\n\r\n",
                body.len() * times
            );
            let _ = connection.write_all(head.as_bytes());
            for _ in 0..times {
                // Who has read enough hangs up.
                if connection.write_all(&body).is_err() {
                    break;
                }
            }
        }
    });
    url
}

#[test]
fn an_api_that_is_hostile_is_neither_believed_nor_shown_raw() {
    let scene = Scene::new();
    let evil = r"\u001b[2J\u009b31m\u202egpj\u200b\nerror: forged\u0007";
    let order = format!(
        r#"{{"orderId":"{evil}","status":"{evil}","correlationId":"{evil}",
            "total":{{"amount":1,"currency":"{evil}"}},
            "timeline":[{{"type":"{evil}","time":"{evil}"}},{{"type":"x","time":"{evil}"}}],
            "reason":{{"code":"{evil}","message":"{evil}"}},"shipTo":{{"name":"12 Private Lane"}}}}"#
    );
    let problem = format!(
        r#"{{"type":"{evil}","title":"{evil}","detail":"{evil}","correlationId":"{evil}",
            "errors":[{{"pointer":"{evil}","detail":"{evil}"}}]}}"#
    );
    let deep = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
    let id = "7f0d2f5e-3c5b-5a8e-9a39-6f9a2f1c0b11";
    for (what, code, status, body, times) in [
        ("an order", 0, 200, order.clone().into_bytes(), 1),
        ("a refusal", 3, 422, problem.clone().into_bytes(), 1),
        ("no such order", 4, 404, problem.into_bytes(), 1),
        ("another thing", 1, 200, b"[]".to_vec(), 1),
        ("nothing", 1, 200, Vec::new(), 1),
        ("bytes", 1, 200, vec![0xff; 1000], 1),
        ("a deep thing", 1, 200, deep.clone(), 1),
        ("a deep refusal", 3, 400, deep, 1),
        (
            "a page of somebody else",
            3,
            404,
            b"<html>\x1b[2J".to_vec(),
            1,
        ),
        (
            "more than there is memory",
            1,
            200,
            vec![b' '; 1 << 20],
            2_000,
        ),
        (
            "a number beyond all",
            1,
            200,
            order.replace(":1,", ":1e999,").into_bytes(),
            1,
        ),
    ] {
        for format in ["table", "json"] {
            let url = api(status, body.clone(), times);
            let mut command = scene.command(["order", "show", id, "--output", format]);
            let ran = scene.ran(
                command
                    .args(["--api-url", &url])
                    .env("WAYBILL_JWT", "SECRET"),
            );
            let what = format!("{what} as {format}");
            holds(&what, ran.is_decent());
            assert_eq!(ran.code, Some(code), "{what}: {ran:?}");
            let stdout = String::from_utf8(ran.stdout.clone()).unwrap();
            for text in [&stdout, &ran.stderr] {
                assert!(
                    !text.contains("Private") && !text.contains("SECRET"),
                    "{what}: {ran:?}"
                );
            }
            let lines = stdout.lines().chain(ran.stderr.lines());
            let forged = lines.filter(|line| line.starts_with("error: forged"));
            assert_eq!(forged.count(), 0, "{what}: {ran:?}");
        }
    }
}

#[test]
fn an_output_that_is_full_is_an_error_and_one_that_was_closed_is_none() {
    let scene = Scene::new();
    for arguments in [&["completions", "bash"][..], &["--help"], &["--version"]] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut command = scene.command(arguments);
        let ran = Ran::of(
            command
                .stdout(full)
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
                .wait_with_output()
                .unwrap(),
            0,
        );
        holds(&format!("{arguments:?}"), ran.is_decent());
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stderr.contains("cannot be written"), "{ran:?}");

        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = scene.command(arguments);
        let ran = Ran::of(
            command
                .stdout(writer)
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
                .wait_with_output()
                .unwrap(),
            0,
        );
        assert_eq!(
            (ran.code, ran.stderr.as_str()),
            (Some(0), ""),
            "{arguments:?}"
        );
    }
}

/// The fragments that the other harness throws at everything that faces outside.
#[test]
fn the_corpus_of_hostile_fragments_ends_in_a_refusal_or_passes_whole() {
    let scene = Scene::new();
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hostile/corpus/fragments");
    let fragments: Vec<_> = fs::read_dir(corpus)
        .unwrap()
        .map(|it| it.unwrap().path())
        .collect();
    assert!(fragments.len() > 50, "the corpus is there");
    for reader in READERS {
        for fragment in &fragments {
            let ran = scene.run(reader.arguments(fragment.as_os_str()));
            let held = match ran.code {
                Some(6) => ran.has_passed(),
                _ => ran.is_refused(),
            };
            holds(&format!("{reader:?} of {fragment:?}"), held);
        }
    }
}

/// A change of a few bytes anywhere.
fn mutation() -> impl Strategy<Value = Vec<(usize, u8, u8)>> {
    proptest::collection::vec((any::<usize>(), any::<u8>(), 0..4_u8), 1..6)
}

fn mutated(good: &str, mutations: &[(usize, u8, u8)]) -> Vec<u8> {
    let mut bytes = good.as_bytes().to_vec();
    for (place, byte, how) in mutations {
        let place = place % (bytes.len() + 1);
        match how {
            0 => bytes.truncate(place),
            1 => bytes.insert(place, *byte),
            _ if place == bytes.len() => bytes.push(*byte),
            2 => bytes[place] = *byte,
            _ => {
                bytes.remove(place);
            }
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn whatever_bytes_a_file_has_it_is_refused_whole_or_passes_whole(
        which in 0..READERS.len(),
        mutations in mutation(),
    ) {
        let scene = Scene::new();
        let reader = READERS[which];
        let path = scene.file(&mutated(reader.good, &mutations));
        let ran = scene.run(reader.arguments(path.as_os_str()));
        match ran.code {
            Some(6) => ran.has_passed()?,
            _ => ran.is_refused()?,
        }
    }

    #[test]
    fn whatever_is_typed_is_never_a_panic_and_never_reaches_the_terminal_raw(
        words in proptest::collection::vec("[^\\x00]{0,12}", 0..4),
        group in proptest::sample::select(vec!["order", "stock", "failures", "saga", "queues", "sandbox", "completions"]),
    ) {
        let scene = Scene::new();
        let ran = scene.run(std::iter::once(group.to_owned()).chain(words));
        ran.is_decent()?;
    }
}

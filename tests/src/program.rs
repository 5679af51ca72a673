//! The `waybill` command, driven from outside as a person would.

use std::process::Command;

use serde_json::Value;

use crate::Environment;

/// What a run of the command came to.
#[derive(Debug, Clone)]
pub struct Ran {
    /// The exit code.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it said beside that.
    pub stderr: String,
}

impl Ran {
    /// The document that it printed.
    ///
    /// # Panics
    /// Where it printed none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("exit {}: no JSON ({error}): {self:?}", self.code))
    }
}

impl Environment {
    /// Runs `waybill` with JSON output; the environment's variables name the deployment.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub async fn waybill(&self, arguments: &[&str]) -> Ran {
        self.run_waybill(arguments, &["--output", "json"]).await
    }

    /// Runs `waybill` as people read it.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub async fn waybill_text(&self, arguments: &[&str]) -> Ran {
        self.run_waybill(arguments, &[]).await
    }

    /// Runs `waybill` as somebody else, named by an access key and its secret.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub async fn waybill_of(&self, key: &(String, String), arguments: &[&str]) -> Ran {
        let mut command = Command::new("waybill");
        command.args(arguments).args(["--output", "json"]);
        command.env("AWS_ACCESS_KEY_ID", &key.0);
        command.env("AWS_SECRET_ACCESS_KEY", &key.1);
        self.ran(command).await
    }

    /// Runs `waybill` for this deployment, whichever the environment's variables name.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub async fn waybill_here(&self, arguments: &[&str]) -> Ran {
        self.run_waybill(arguments, &["--stack", self.stack()])
            .await
    }

    async fn run_waybill(&self, arguments: &[&str], more: &[&str]) -> Ran {
        let mut command = Command::new("waybill");
        command.args(arguments).args(more);
        self.ran(command).await
    }

    async fn ran(&self, mut command: Command) -> Ran {
        // Its end is waited for in a thread of its own, so that the test goes on meanwhile.
        let ran = tokio::task::spawn_blocking(move || command.output()).await;
        let output = ran.expect("the thread").unwrap_or_else(|error| {
            panic!("waybill cannot be started ({error}): source .local/dev/env")
        });
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

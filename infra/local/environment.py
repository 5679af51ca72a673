#!/usr/bin/env python3
"""The local environment: an emulated AWS with the real template deployed to it.

    environment.py up     starts the emulator, builds, deploys; again: redeploys
    environment.py down   stops it and removes what it left
    environment.py feed   (started by `up`) lets the alarms see the queues

Everything an environment is lives in `.local/<name>/`: the process ids, the
logs, the build and `env`, which a shell sources to use it.
"""

import argparse
import contextlib
import fcntl
import json
import os
import platform
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STATE = ROOT / ".local"
EMULATOR = STATE / "emulator" / "bin"
SAM = STATE / "sam" / "bin"
REGION = "us-east-1"
# These names are the installed tools' own directories.
RESERVED_NAMES = {"emulator", "sam", "cargo", "checkov", "schemathesis", "bench", "bench-typescript", "bench-logs", "lock", "profile"}
# Anything here would send a request elsewhere than to the emulator, or sign it as someone else.
FOREIGN_VARIABLES = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")


class Fault(Exception):
    """Something the user can act on; its text says what."""


class Environment:
    """One environment's directory, and the names of what is in it."""

    def __init__(self, name):
        if name in RESERVED_NAMES:
            raise Fault(f"'{name}' cannot name an environment; the tools are kept under that name")
        if not re.fullmatch("[a-z][a-z0-9-]{0,29}", name):
            raise Fault(f"'{name}' cannot name an environment; use small letters, digits and dashes")
        self.name = name
        self.stack = f"waybill-{name}"
        # No prefix of the other, by which the processes of its functions are told.
        self.ceiling_stack = f"ceiling-{name}"
        self.directory = STATE / name
        self.build = self.directory / "build"
        self.functions = self.directory / "functions"
        self.env_file = self.directory / "env"

    def log(self, step):
        return self.directory / f"{step}.log"

    def record(self, process):
        return self.directory / f"{process}.json"


# --------------------------------------------------------------------------
# Processes. A process id alone is no proof: the system gives it out again.


def started_at(pid):
    """When the process was started, in the system's own words; None if there is none."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            return None
        state, start_ticks = fields[0], fields[19]
        return None if state == "Z" else start_ticks
    shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True)
    return shown.stdout.strip() or None


def start(environment, process, command, variables):
    """Starts a process that outlives this one, and records which it is."""
    with environment.log(process).open("ab") as log:
        child = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=variables,
            cwd=ROOT,
            start_new_session=True,
        )
    known = {"pid": child.pid, "started": started_at(child.pid)}
    environment.record(process).write_text(json.dumps(known))
    return child


def recorded(environment, process):
    """The recorded process, if it is the one that was started and it still runs."""
    try:
        known = json.loads(environment.record(process).read_text())
    except (OSError, ValueError):
        return None
    alive = known["started"] is not None and started_at(known["pid"]) == known["started"]
    return known if alive else None


def stop(environment, process):
    """Ends the recorded process and whatever it started; True if it ran."""
    known = recorded(environment, process)
    if known is not None:
        end_group(known)
    environment.record(process).unlink(missing_ok=True)
    return known is not None


def end_group(known):
    # It was started in a session of its own, so its group is its own too.
    for wish in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(known["pid"], wish)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            if started_at(known["pid"]) != known["started"]:
                # The functions it ran are of its group, and end with it.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(known["pid"], signal.SIGKILL)
                return
            time.sleep(0.05)


# --------------------------------------------------------------------------
# What the user sees: a line for each step, and a log's end if it fails.


class Step:
    """Prints a line when the step is done, with what it took."""

    def __init__(self, name):
        self.name = name
        self.text = ""

    def __enter__(self):
        self.begun = time.monotonic()
        if sys.stdout.isatty():
            print(f"  {self.name:<10} …", end="\r", flush=True)
        return self

    def __exit__(self, kind, _fault, _trace):
        if kind is None:
            took = time.monotonic() - self.begun
            print(f"  {self.name:<10} {self.text:<52} {took:6.1f} s", flush=True)


def run(environment, step, command, variables):
    """Runs a tool into its log; the log's end is the message if it fails."""
    log = environment.log(step)
    with log.open("wb") as sink:
        code = subprocess.run(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=variables,
            cwd=ROOT,
        ).returncode
    if code != 0:
        end = "\n".join("    " + line for line in log.read_text(errors="replace").splitlines()[-40:])
        raise Fault(f"{step} failed (exit code {code}); the end of {shown(log)}:\n{end}")


def shown(path):
    return os.path.relpath(path, Path.cwd())


# --------------------------------------------------------------------------
# The emulator.


def endpoint(port):
    return f"http://127.0.0.1:{port}"


def variables_for(port):
    """The caller's variables, pointed at the emulator and at nothing else."""
    variables = {key: value for key, value in os.environ.items() if key not in FOREIGN_VARIABLES}
    variables.update(
        AWS_ENDPOINT_URL=endpoint(port),
        AWS_REGION=REGION,
        AWS_DEFAULT_REGION=REGION,
        # The emulator takes this pair for the account's root.
        AWS_ACCESS_KEY_ID="test",
        AWS_SECRET_ACCESS_KEY="test",
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
        AWS_EC2_METADATA_DISABLED="true",
        # A proxy of the user's must not come between.
        NO_PROXY="127.0.0.1,localhost",
        no_proxy="127.0.0.1,localhost",
    )
    return variables


def free_port(wanted):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted or 0))
        except OSError as error:
            raise Fault(f"port {wanted} is taken; choose another, or none to have one found") from error
        return probe.getsockname()[1]


def spare_port():
    """A free port that the system gives to nobody's outgoing connection before it is used."""
    lowest_given = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in random.sample(range(lowest_given // 2, lowest_given), 20):
        with contextlib.suppress(Fault):
            return free_port(port)
    raise Fault("no free port was found for the proxy")


def answers(port):
    try:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(endpoint(port) + "/_ministack/health", timeout=2) as reply:
            return reply.status == 200
    except (OSError, urllib.error.URLError):
        return False


def start_emulator(environment, wanted_port, proxied):
    known = recorded(environment, "emulator")
    port_file, proxy_file = environment.directory / "port", environment.directory / "proxy-port"
    if known is not None and port_file.exists():
        port = int(port_file.read_text())
        if wanted_port and wanted_port != port:
            raise Fault(f"'{environment.name}' runs on port {port}; take it down first to move it")
        if proxied != proxy_file.exists():
            raise Fault(f"'{environment.name}' runs {'without' if proxied else 'with'} a proxy; take it down first")
        if answers(port):
            return port, "running already"
    stop(environment, "feed")
    stop(environment, "emulator")

    port = free_port(wanted_port)
    scratch = environment.directory / "tmp"
    scratch.mkdir(exist_ok=True)
    variables = variables_for(port)
    # AWS_ENDPOINT_URL is among them: the functions inherit it, and without it they would call the real AWS.
    proxy_file.unlink(missing_ok=True)
    if proxied:
        proxy_file.write_text(str(spare_port()))
        variables["AWS_ENDPOINT_URL"] = endpoint(proxy_file.read_text())
    variables.update(GATEWAY_PORT=str(port), BIND_HOST="127.0.0.1", AUTH="true", LOG_LEVEL="INFO", TMPDIR=str(scratch))
    environment.log("emulator").unlink(missing_ok=True)
    child = start(environment, "emulator", [EMULATOR / "ministack"], variables)
    port_file.write_text(str(port))
    deadline = time.monotonic() + 30
    while not answers(port):
        if child.poll() is not None or time.monotonic() > deadline:
            stop(environment, "emulator")
            raise Fault(f"the emulator did not start; see {shown(environment.log('emulator'))}")
        time.sleep(0.1)
    return port, "started"


def start_feed(environment, port):
    if recorded(environment, "feed") is None:
        command = [sys.executable, Path(__file__).resolve(), "feed", "--name", environment.name]
        start(environment, "feed", command, variables_for(port))


# --------------------------------------------------------------------------
# up


def up(environment, wanted_port, proxied, ceiling):
    check_machine()
    environment.directory.mkdir(parents=True, exist_ok=True)
    with Step("emulator") as step:
        port, how = start_emulator(environment, wanted_port, proxied)
        step.text = f"{how} on {endpoint(port)}"
    variables = variables_for(port)
    with Step("build") as step:
        build(environment, variables)
        step.text = "functions of template.yaml"
    with Step("deploy") as step:
        deploy(environment, variables)
        step.text = f"stack {environment.stack}"
    if ceiling:
        with Step("ceiling") as step:
            deploy_ceiling(environment, variables, ceiling)
            step.text = f"stack {environment.ceiling_stack}"
    with Step("settings") as step:
        outputs = describe(environment, variables)
        write_env(environment, port, outputs)
        start_feed(environment, port)
        step.text = shown(environment.env_file)


def check_machine():
    if not (SAM / "sam").exists() or not (EMULATOR / "ministack").exists():
        raise Fault("the tools are not installed; run `make setup`")
    if shutil.which("cargo") is None:
        raise Fault("cargo is not on the PATH; install Rust from https://rustup.rs")
    if platform.system() != "Linux":
        raise Fault(
            "the emulator runs functions as processes of this machine, and they are built for Linux; "
            "use a Linux machine, virtual machine or container"
        )


def config_environment():
    return "local-arm64" if platform.machine() in ("aarch64", "arm64") else "local"


def sam_variables(variables):
    return {
        **variables,
        # sam finds cargo-lambda here.
        "PATH": f"{SAM}{os.pathsep}{variables.get('PATH', '')}",
        "SAM_CLI_TELEMETRY": "0",
        # Debug builds, by the machine's own compiler, share everything with `cargo build`.
        "SAM_BUILD_MODE": variables.get("SAM_BUILD_MODE", "debug"),
        "CARGO_LAMBDA_COMPILER": "cargo",
        # Seconds between two looks at the stack; AWS would want more.
        "SAM_CLI_POLL_DELAY": "0.5",
    }


def build(environment, variables):
    command = [SAM / "sam", "build", "--config-env", config_environment(), "--build-dir", environment.build]
    # Two builds at a time would move the same executables from under each other.
    with (STATE / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run(environment, "build", command, sam_variables(variables))


def deploy(environment, variables):
    deploy_build(environment, "deploy", environment.stack, environment.build, variables)


def deploy_ceiling(environment, variables, program):
    """The same template a second time, with one program in the place of each function."""
    again = environment.directory / "ceiling"
    shutil.rmtree(again, ignore_errors=True)
    shutil.copytree(environment.build, again)
    for bootstrap in again.glob("*/bootstrap"):
        shutil.copy(program, bootstrap)
    deploy_build(environment, "ceiling", environment.ceiling_stack, again, variables)


def deploy_build(environment, step, stack, folder, variables):
    command = [SAM / "sam", "deploy", "--config-env", config_environment(), "--config-file", ROOT / "samconfig.toml"]
    command += ["--stack-name", stack, "--template-file", folder / "template.yaml"]
    run(environment, step, command, sam_variables(variables))


def client(service, variables):
    import boto3  # Not for `down`, which must work when the tools are broken.

    return boto3.client(
        service,
        endpoint_url=variables["AWS_ENDPOINT_URL"],
        region_name=REGION,
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
    )


def describe(environment, variables):
    """The stack's outputs. Also keeps each function's variables for `make watch`."""
    stacks = client("cloudformation", variables).describe_stacks(StackName=environment.stack)
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stacks["Stacks"][0]["Outputs"]}
    environment.functions.mkdir(exist_ok=True)
    prefix = environment.stack + "-"
    for page in client("lambda", variables).get_paginator("list_functions").paginate():
        for function in page["Functions"]:
            if function["FunctionName"].startswith(prefix):
                own = function.get("Environment", {}).get("Variables", {})
                lines = "".join(f"{key}={value}\n" for key, value in sorted(own.items()))
                (environment.functions / f"{function['FunctionName'][len(prefix):]}.env").write_text(lines)
    return outputs


def programs():
    """Where cargo puts the `waybill` command."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return (target / os.environ.get("CARGO_BUILD_TARGET", "") / "debug").resolve()


def write_env(environment, port, outputs):
    settings = {
        "AWS_ENDPOINT_URL": endpoint(port),
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "WAYBILL_STACK": environment.stack,
        "WAYBILL_API_URL": outputs["ApiUrl"],
    }
    proxy_file = environment.directory / "proxy-port"
    if proxy_file.exists():
        settings["WAYBILL_PROXY"] = f"127.0.0.1:{proxy_file.read_text()}"
    if (environment.directory / "ceiling").exists():
        settings["WAYBILL_CEILING"] = environment.ceiling_stack
    lines = [f"unset {' '.join(FOREIGN_VARIABLES)}"]
    lines += [f"export {key}='{value}'" for key, value in settings.items()]
    lines.append(f"export PATH='{programs()}':\"$PATH\"")
    environment.env_file.write_text("\n".join(lines) + "\n")


# --------------------------------------------------------------------------
# down


def down(environment, keep):
    ran = [stop(environment, process) for process in ("feed", "emulator")]
    if keep:
        environment.env_file.unlink(missing_ok=True)
    else:
        shutil.rmtree(environment.directory, ignore_errors=True)
    print(f"  {environment.name} {'is down' if any(ran) else 'was not running'}")
    if keep and environment.directory.exists():
        print(f"  its logs are in {shown(environment.directory)}")


# --------------------------------------------------------------------------
# feed. The emulator emits no queue metrics, and it evaluates an alarm over all
# queues at once. So the feed stands in for CloudWatch: it looks at the queue
# that an alarm names and sets the alarm's state, upon which the emulator runs
# the alarm's actions. It also measures how long the oldest message of each queue
# has waited. The emulator evaluates alarms on that metric over all queues at once;
# the template has none.


def feed(environment):
    from botocore.exceptions import BotoCoreError, ClientError

    variables = dict(os.environ)
    queues, alarms = client("sqs", variables), client("cloudwatch", variables)
    measured = -AGES_EVERY
    while recorded(environment, "emulator") is not None:
        begun = time.monotonic()
        try:
            for alarm in depth_alarms(alarms):
                judge(alarm, queues, alarms)
            if begun - measured >= AGES_EVERY:
                measured = begun
                measure_ages(variables, alarms)
        except (BotoCoreError, ClientError, KeyError, OSError) as error:
            print(f"{time.strftime('%H:%M:%S')} {error}", flush=True)
        time.sleep(max(0.0, 1.0 - (time.monotonic() - begun)))


# Seconds between two measurements of the queues' ages. CloudWatch has one a minute.
AGES_EVERY = 5


def measure_ages(variables, metrics):
    """Nothing is received for it: the emulator shows what its queues hold."""
    url = f"{variables['AWS_ENDPOINT_URL']}/_ministack/sqs/messages"
    with urllib.request.urlopen(url, timeout=5) as answer:
        accounts = json.load(answer)["messages"]
    now = time.time()
    data = []
    for regions in accounts.values():
        for queues in regions.values():
            for queue, messages in queues.items():
                age = max((now - message["SentTimestamp"] for message in messages), default=0)
                data.append(
                    {
                        "MetricName": "ApproximateAgeOfOldestMessage",
                        "Dimensions": [{"Name": "QueueName", "Value": queue.rpartition("/")[2]}],
                        "Unit": "Seconds",
                        "Value": max(0, age),
                    }
                )
    if data:
        metrics.put_metric_data(Namespace="AWS/SQS", MetricData=data)


def depth_alarms(alarms):
    for page in alarms.get_paginator("describe_alarms").paginate():
        for alarm in page["MetricAlarms"]:
            if alarm.get("MetricName") == "ApproximateNumberOfMessagesVisible":
                yield alarm


def judge(alarm, queues, alarms):
    queue = next(each["Value"] for each in alarm["Dimensions"] if each["Name"] == "QueueName")
    url = queues.get_queue_url(QueueName=queue)["QueueUrl"]
    attribute = "ApproximateNumberOfMessages"
    attributes = queues.get_queue_attributes(QueueUrl=url, AttributeNames=[attribute])["Attributes"]
    depth, threshold = float(attributes[attribute]), alarm["Threshold"]
    state = "ALARM" if depth >= threshold else "OK"
    if state != alarm["StateValue"]:
        side = "greater than or equal to" if state == "ALARM" else "not greater than or equal to"
        reason = f"Threshold Crossed: 1 datapoint [{depth}] was {side} the threshold ({threshold})."
        alarms.set_alarm_state(AlarmName=alarm["AlarmName"], StateValue=state, StateReason=reason)


# --------------------------------------------------------------------------


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for command, does in (("up", "start or redeploy"), ("down", "stop and remove"), ("feed", "drive the alarms")):
        parser_of = commands.add_parser(command, help=does)
        parser_of.add_argument("--name", default="dev", help="the environment (default: %(default)s)")
        if command == "up":
            parser_of.add_argument("--port", type=int, help="the emulator's port (default: a free one)")
            parser_of.add_argument(
                "--proxied",
                action="store_true",
                help="have the functions call AWS through a proxy, which is to listen at the address in WAYBILL_PROXY",
            )
            parser_of.add_argument(
                "--ceiling",
                type=Path,
                metavar="PROGRAM",
                help="deploy the template a second time, with this program as each function",
            )
        if command == "down":
            parser_of.add_argument("--keep", action="store_true", help="keep the logs")
    return parser.parse_args()


def main():
    if sys.version_info < (3, 10):
        raise Fault(f"Python 3.10 or newer is needed; this is {platform.python_version()}")
    given = arguments()
    environment = Environment(given.name)
    if given.command == "up":
        up(environment, given.port, given.proxied, given.ceiling)
    elif given.command == "down":
        down(environment, given.keep)
    else:
        feed(environment)


if __name__ == "__main__":
    try:
        main()
    except Fault as fault:
        sys.exit(f"error: {fault}")
    except KeyboardInterrupt:
        sys.exit(130)

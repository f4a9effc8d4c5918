//! The command `up`: start, print, watch, stop.

use std::io::{self, IsTerminal as _, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::view::show_shards;
use super::watch::{self, Event, Watcher};
use super::{Options, RunningCluster, UpError};

/// How often the nodes are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The command's arguments.
#[derive(Clone, Debug, clap::Args)]
pub struct UpArgs {
    /// Primaries, at least 3 [default: 3, or what the directory holds]
    #[arg(long)]
    pub masters: Option<u16>,
    /// Replicas of each primary [default: 1, or what the directory holds]
    #[arg(long)]
    pub replicas: Option<u16>,
    /// First port; the nodes take it and those that follow [default: 7000, or what the directory
    /// holds]
    #[arg(long)]
    pub port: Option<u16>,
    /// Where the nodes keep their files
    #[arg(long, default_value = "./tessera-data")]
    pub dir: PathBuf,
    /// Remove the cluster that is in the directory, with its data, and make a new one; of what the
    /// other options do not say, it is as the old one
    #[arg(long)]
    pub reset: bool,
    /// Do not ask before many processes are started
    #[arg(long)]
    pub yes: bool,
}

impl UpArgs {
    /// With the server's program and the arguments that it takes before its configuration file.
    pub(crate) fn into_options(self, program: PathBuf, program_args: Vec<String>) -> Options {
        Options {
            program,
            program_args,
            masters: self.masters,
            replicas: self.replicas,
            port: self.port,
            dir: self.dir,
            reset: self.reset,
            config: Vec::new(),
        }
    }
}

/// Runs a cluster until Ctrl-C (or SIGTERM, or the end of the terminal), telling `out` about it.
pub fn run(options: &Options, out: &mut dyn Write) -> Result<(), UpError> {
    let ended = Arc::new(AtomicBool::new(false));
    // Under nohup the end of the terminal is not to end the cluster.
    let hangup = (!is_hangup_ignored()).then_some(SIGHUP);
    for signal in [SIGINT, SIGTERM].into_iter().chain(hangup) {
        let registered = signal_hook::flag::register(signal, Arc::clone(&ended));
        registered.map_err(UpError::file("signal handler"))?;
    }
    run_until(options, out, &|| ended.load(Ordering::Relaxed))
}

/// Whether this process was started to ignore SIGHUP, by the mask that the system shows.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (SIGHUP - 1)) != 0
}

/// As [`run`], until `ended` says so.
pub fn run_until(
    options: &Options,
    out: &mut dyn Write,
    ended: &dyn Fn() -> bool,
) -> Result<(), UpError> {
    let checked = super::check(options)?;
    let (nodes, first) = (checked.plan.node_count(), checked.plan.port);
    let doing = if checked.resumed { "Resuming" } else { "Starting" };
    say(out, format_args!("{doing} {nodes} nodes on ports {first} to {}…", first + nodes - 1));
    let left = checked.left_running();
    if !left.is_empty() {
        let left = left.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
        say(out, format_args!("Already running, left by an `up` that was killed: {left}"));
    }
    let progress = &mut |line: &str| say(out, format_args!("{line}"));
    let mut cluster = checked.start(options, ended, progress)?;
    greet(options, &mut cluster, out)?;
    watch(&mut cluster, out, ended);
    say(out, format_args!("Stopping {} nodes…", cluster.nodes.len()));
    let unsaved = cluster.unsaved_keys();
    let killed = cluster.stop();
    if killed.is_empty() {
        say(out, format_args!("Stopped."));
    } else {
        let ports: Vec<String> = killed.iter().map(u16::to_string).collect();
        say(out, format_args!("Stopped; these did not end and were killed: {}", ports.join(", ")));
    }
    if let Some(keys) = unsaved {
        let note =
            "data is in memory only in this version. The next `up` resumes the cluster, empty.";
        say(out, format_args!("Lost keys: {keys}; {note}"));
    }
    Ok(())
}

/// Prints a line. The cluster goes on even if the output is closed.
fn say(out: &mut dyn Write, line: std::fmt::Arguments<'_>) {
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn greet(
    options: &Options,
    cluster: &mut RunningCluster,
    out: &mut dyn Write,
) -> Result<(), UpError> {
    let shards = cluster.shards()?;
    let how = if cluster.resumed { "resumed" } else { "formed" };
    let (nodes, dir) = (cluster.nodes.len(), options.dir.display());
    say(
        out,
        format_args!("Cluster {how}: {} shards, {nodes} nodes, files in {dir}\n", shards.len()),
    );
    say(out, format_args!("{}", show_shards(&shards)));
    if cluster.resumed && cluster.unsaved_keys() == Some(0) {
        let note = "data is in memory only in this version, and has ended with the last run.";
        say(out, format_args!("The cluster is empty: {note}"));
    }
    say(out, format_args!("Connect with: redis-cli -c -p {}", cluster.plan.port));
    say(out, format_args!("Ctrl-C stops all nodes.\n"));
    Ok(())
}

fn watch(cluster: &mut RunningCluster, out: &mut dyn Write, ended: &dyn Fn() -> bool) {
    let started = Instant::now();
    let mut watcher = Watcher::default();
    while !ended() {
        let seen = watch::look(cluster);
        for event in watcher.see(Instant::now(), &seen) {
            say(out, format_args!("[{:>8.1} s] {event}", started.elapsed().as_secs_f64()));
            if let Event::Ended { port, .. } = event {
                hint(cluster, port, out);
            }
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// How to start a node again that has ended.
fn hint(cluster: &RunningCluster, port: u16, out: &mut dyn Write) {
    if let Some(node) = cluster.nodes.iter().find(|node| node.port == port) {
        say(out, format_args!("{:13}start it again with: {}", "", node.command_line()));
    }
}

/// From how many processes on they are hardly meant.
const MANY: u16 = 60;

/// Asks at the terminal before many processes are started; without a terminal, `--yes` must have
/// been given.
fn confirm(options: &Options, yes: bool) -> Result<(), UpError> {
    let nodes = super::nodes_to_make(options)?;
    if yes || nodes < MANY {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(UpError::Many(nodes));
    }
    say(&mut io::stdout(), format_args!("This starts {nodes} processes. Go on? [y/N]"));
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    read.map_err(UpError::file("standard input"))?;
    if answer.trim().eq_ignore_ascii_case("y") { Ok(()) } else { Err(UpError::Interrupted) }
}

/// Runs the command and gives the exit code; an error is one line on standard error.
pub fn main(args: UpArgs, program: PathBuf, program_args: Vec<String>) -> std::process::ExitCode {
    let yes = args.yes;
    let options = args.into_options(program, program_args);
    match confirm(&options, yes).and_then(|()| run(&options, &mut io::stdout())) {
        Ok(()) | Err(UpError::Interrupted) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

//! One node: its process and a connection to ask it.

use std::fmt;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{self, Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

use super::directory::NodeFiles;
use super::view::{self, SeenNode};
use super::{Options, UpError};
use crate::client::{Client, ClientError, Reply};

/// How long a node may take to answer a question. A halted node costs this much each time.
const ANSWER_PATIENCE: Duration = Duration::from_millis(500);

/// How long a process may take to be gone that was killed.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// How often a process is looked at that should end.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A node of the cluster; its process may have ended.
#[derive(Debug)]
pub struct Node {
    /// Its port, which is its name here.
    pub port: u16,
    /// Its files.
    pub files: NodeFiles,
    program: PathBuf,
    program_args: Vec<String>,
    process: Process,
    client: Option<Client>,
    /// Its id in the cluster, once it has told it.
    id: Option<String>,
}

/// The process of a node.
#[derive(Debug)]
enum Process {
    /// There has been none.
    Absent,
    /// It was started here.
    Child(Child),
    /// An earlier `up`, which was killed, has left it running. The descriptor stands for it, since
    /// its number may come to be another process's.
    Adopted(u32, OwnedFd),
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With this status.
    Seen(ExitStatus),
    /// That is not known: it was no child of this process.
    Unseen,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Seen(status) => status.fmt(f),
            End::Unseen => f.write_str("its process is gone"),
        }
    }
}

/// Whether the process has ended, or does so in this time.
fn has_ended(process: &OwnedFd, patience: Duration) -> bool {
    let patience = Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: 0 };
    let mut ended = [PollFd::new(process, PollFlags::IN)];
    poll(&mut ended, Some(&patience)).is_ok_and(|ready| ready > 0)
}

impl Node {
    /// Starts the node.
    pub fn start(port: u16, files: NodeFiles, options: &Options) -> Result<Node, UpError> {
        let mut node = Node::absent(port, files, options);
        node.restart()?;
        Ok(node)
    }

    fn absent(port: u16, files: NodeFiles, options: &Options) -> Node {
        Node {
            port,
            files,
            program: absolute(&options.program),
            program_args: options.program_args.clone(),
            process: Process::Absent,
            client: None,
            id: None,
        }
    }

    /// The node with these files if it runs already: what answers on its port has the id that its
    /// `nodes.conf` says.
    pub fn adopt(port: u16, files: NodeFiles, options: &Options) -> Option<Node> {
        let id = own_id(&files)?;
        let mut node = Node::absent(port, files, options);
        node.id = Some(id);
        if !node.is_the_one() {
            return None;
        }
        let number = node.field(&["INFO", "server"], "process_id").ok()?.parse().ok()?;
        let pid = Pid::from_raw(i32::try_from(number).ok()?)?;
        let process = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        // It answers still, so that the descriptor stands for it and no other.
        if !node.is_the_one() {
            return None;
        }
        node.process = Process::Adopted(number, process);
        Some(node)
    }

    /// Starts it again if it has ended.
    pub fn restart(&mut self) -> Result<(), UpError> {
        if self.pid().is_some() {
            return Ok(());
        }
        let log = || {
            let file = File::options().create(true).append(true).open(&self.files.log);
            file.map_err(UpError::file(&self.files.log))
        };
        let mut command = Command::new(&self.program);
        command
            .args(&self.program_args)
            .arg(&self.files.config)
            .current_dir(&self.files.dir)
            .stdin(Stdio::null())
            .stdout(log()?)
            .stderr(log()?)
            // A Ctrl-C at the terminal is for `up` alone, which ends the nodes in good order.
            .process_group(0);
        let spawned = command.spawn();
        let program = self.program.clone();
        let child = spawned.map_err(|source| UpError::Program { program, source })?;
        self.process = Process::Child(child);
        self.client = None;
        Ok(())
    }

    /// How to start it by hand.
    pub fn command_line(&self) -> String {
        let mut words = vec![self.program.display().to_string()];
        words.extend(self.program_args.iter().cloned());
        words.push(self.files.config.display().to_string());
        words.join(" ")
    }

    /// Its process id, while it runs.
    pub fn pid(&mut self) -> Option<u32> {
        if self.ended().is_some() {
            return None;
        }
        match &self.process {
            Process::Absent => None,
            Process::Child(child) => Some(child.id()),
            Process::Adopted(number, _) => Some(*number),
        }
    }

    /// How its process ended, if it has.
    pub fn ended(&mut self) -> Option<End> {
        match &mut self.process {
            Process::Absent => None,
            // An error here would mean that the process is not our child, which it is.
            Process::Child(child) => child.try_wait().ok().flatten().map(End::Seen),
            Process::Adopted(_, process) => {
                has_ended(process, Duration::ZERO).then_some(End::Unseen)
            }
        }
    }

    /// The last line that it printed.
    pub(crate) fn last_line(&self) -> String {
        let log = fs::read(&self.files.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        let last = text.lines().rev().find(|line| !line.trim().is_empty());
        last.unwrap_or("it printed nothing").trim().to_owned()
    }

    /// Sends it a signal if it runs.
    pub fn signal(&mut self, signal: Signal) {
        let Some(number) = self.pid() else { return };
        // It may end between the question and the signal; then there is nothing to do.
        match &self.process {
            Process::Adopted(_, process) => {
                let _ = pidfd_send_signal(process, signal);
            }
            // Waiting for a child is ours alone, so its number cannot have gone to another process.
            _ => {
                if let Some(pid) = i32::try_from(number).ok().and_then(Pid::from_raw) {
                    let _ = kill_process(pid, signal);
                }
            }
        }
    }

    /// Has nothing to do with its process any more. Gives its id, if it runs.
    pub fn abandon(&mut self) -> Option<u32> {
        let pid = self.pid();
        self.process = Process::Absent;
        pid
    }

    /// Kills it at once and waits until it is gone.
    pub fn kill(&mut self) {
        self.client = None;
        // All of this fails only if it is gone already.
        match &mut self.process {
            Process::Absent => {}
            Process::Child(child) => {
                let _ = child.kill();
                let _ = child.wait();
            }
            Process::Adopted(_, process) => {
                let _ = pidfd_send_signal(&*process, Signal::KILL);
                has_ended(process, KILL_PATIENCE);
            }
        }
    }

    /// Asks it to end. If its process has ended but the same node was started again by hand, that
    /// one is asked.
    pub(crate) fn ask_to_end(&mut self) {
        if self.pid().is_some() {
            self.signal(Signal::TERM);
            // A halted process ends only once it goes on.
            self.signal(Signal::CONT);
        } else if self.is_the_one() {
            // The answer to SHUTDOWN is the end of the connection.
            let _ = self.ask(&["SHUTDOWN"]);
        }
        self.client = None;
    }

    /// Whether what answers on its port is this node, not a stranger; it may have been started by
    /// hand.
    fn is_the_one(&mut self) -> bool {
        let known = self.id.clone();
        let answer = self.ask(&["CLUSTER", "MYID"]).ok().and_then(|reply| reply.text());
        known.is_some() && answer == known
    }

    /// Waits for its end; false if it still runs at the deadline.
    pub fn await_end(&mut self, deadline: Instant) -> bool {
        while self.pid().is_some() {
            if Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        true
    }

    /// Sends a command and waits for the answer. A connection that fails is made anew by the next
    /// question.
    pub fn ask<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Result<Reply, ClientError> {
        let mut client = match self.client.take() {
            Some(client) => client,
            None => Client::connect(("127.0.0.1", self.port), ANSWER_PATIENCE)?,
        };
        let answer = client.command(args);
        if matches!(answer, Ok(_) | Err(ClientError::Refused(_))) {
            self.client = Some(client);
        }
        answer
    }

    /// The nodes of the cluster as this one sees them.
    pub(crate) fn cluster_nodes(&mut self) -> Result<Vec<SeenNode>, ClientError> {
        let text = self.ask(&["CLUSTER", "NODES"])?.text().unwrap_or_default();
        let seen = view::parse_nodes(&text)
            .ok_or(ClientError::Protocol("CLUSTER NODES has another form"))?;
        if self.id.is_none() {
            self.id = seen.iter().find(|node| node.myself).map(|node| node.id.clone());
        }
        Ok(seen)
    }

    /// Whether it says that it follows another node.
    pub fn is_replica(&mut self) -> bool {
        let follows = |seen: &SeenNode| seen.myself && seen.primary.is_some();
        self.cluster_nodes().is_ok_and(|seen| seen.iter().any(follows))
    }

    /// How many keys it holds; 0 if it does not answer.
    pub fn key_count(&mut self) -> i64 {
        self.ask(&["DBSIZE"]).ok().and_then(|reply| reply.integer()).unwrap_or(0)
    }

    /// The value of a field of INFO or CLUSTER INFO.
    pub fn field<A: AsRef<[u8]>>(
        &mut self,
        question: &[A],
        name: &str,
    ) -> Result<String, ClientError> {
        let text = self.ask(question)?.text().unwrap_or_default();
        let mut fields = text.lines().filter_map(|line| line.split_once(':'));
        let value = fields.find(|(field, _)| *field == name).map(|(_, value)| value.trim());
        Ok(value.unwrap_or_default().to_owned())
    }
}

/// The id that a node has given itself, by its own file.
fn own_id(files: &NodeFiles) -> Option<String> {
    let text = fs::read_to_string(files.dir.join("nodes.conf")).ok()?;
    let line = text.lines().find(|line| {
        line.split_ascii_whitespace().nth(2).is_some_and(|flags| flags.starts_with("myself"))
    })?;
    line.split_ascii_whitespace().next().map(str::to_owned)
}

/// A path holds from any directory, and the node starts in its own; a mere name is looked up.
fn absolute(program: &Path) -> PathBuf {
    let is_name = program.components().count() == 1;
    if is_name { program.to_owned() } else { path::absolute(program).unwrap_or(program.to_owned()) }
}

impl Drop for Node {
    /// No process that was started here outlives the cluster that it belongs to. One that was found
    /// running, with its data, is left as it was.
    fn drop(&mut self) {
        if matches!(self.process, Process::Child(_)) && self.pid().is_some() {
            self.kill();
        }
    }
}

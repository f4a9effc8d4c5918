//! One node: its process and a connection to ask it.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{self, Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::directory::NodeFiles;
use super::view::{self, SeenNode};
use super::{Options, UpError};
use crate::client::{Client, ClientError, Reply};

/// How long a node may take to answer a question. A halted node costs this much each time.
const ANSWER_PATIENCE: Duration = Duration::from_millis(500);

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
    process: Option<Child>,
    client: Option<Client>,
    /// Its id in the cluster, once it has told it.
    id: Option<String>,
}

impl Node {
    /// Starts the node.
    pub fn start(port: u16, files: NodeFiles, options: &Options) -> Result<Node, UpError> {
        let mut node = Node {
            port,
            files,
            program: absolute(&options.program),
            program_args: options.program_args.clone(),
            process: None,
            client: None,
            id: None,
        };
        node.restart()?;
        Ok(node)
    }

    /// Starts it again if it has ended.
    pub fn restart(&mut self) -> Result<(), UpError> {
        if self.ended().is_none() && self.process.is_some() {
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
        self.process = Some(spawned.map_err(|source| UpError::Program { program, source })?);
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
        self.process.as_ref().map(Child::id)
    }

    /// How its process ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        // An error here would mean that the process is not our child, which it is.
        self.process.as_mut().and_then(|process| process.try_wait().ok().flatten())
    }

    /// The last line that it printed.
    pub fn last_line(&self) -> String {
        let log = fs::read(&self.files.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        let last = text.lines().rev().find(|line| !line.trim().is_empty());
        last.unwrap_or("it printed nothing").trim().to_owned()
    }

    /// Sends it a signal if it runs.
    pub fn signal(&mut self, signal: Signal) {
        // Waiting for it is ours alone, so its number cannot have gone to another process.
        let pid = self.pid().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It may end between the question and the signal; then there is nothing to do.
            let _ = kill_process(pid, signal);
        }
    }

    /// Kills it at once and waits until it is gone.
    pub fn kill(&mut self) {
        self.client = None;
        if let Some(process) = &mut self.process {
            // Both fail only if it is gone already.
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Asks it to end. If its process has ended but somebody has started the same node by hand,
    /// that one is asked.
    pub fn ask_to_end(&mut self) {
        if self.pid().is_some() {
            self.signal(Signal::TERM);
            // A halted process ends only once it goes on.
            self.signal(Signal::CONT);
        } else if self.was_started_by_hand() {
            // The answer to SHUTDOWN is the end of the connection.
            let _ = self.ask(&["SHUTDOWN"]);
        }
        self.client = None;
    }

    /// Whether what answers on the port of an ended process is the same node, not a stranger.
    fn was_started_by_hand(&mut self) -> bool {
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
    pub fn cluster_nodes(&mut self) -> Result<Vec<SeenNode>, ClientError> {
        let text = self.ask(&["CLUSTER", "NODES"])?.text().unwrap_or_default();
        let seen = view::parse_nodes(&text)
            .ok_or(ClientError::Protocol("CLUSTER NODES has another form"))?;
        if self.id.is_none() {
            self.id = seen.iter().find(|node| node.myself).map(|node| node.id.clone());
        }
        Ok(seen)
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

/// A path holds from any directory, and the node starts in its own; a mere name is looked up.
fn absolute(program: &Path) -> PathBuf {
    let is_name = program.components().count() == 1;
    if is_name { program.to_owned() } else { path::absolute(program).unwrap_or(program.to_owned()) }
}

impl Drop for Node {
    /// No process outlives the cluster that it belongs to.
    fn drop(&mut self) {
        if self.pid().is_some() {
            self.kill();
        }
    }
}

//! One server process, ours or another's.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::wire::{Answer, Wire};
use super::{TESSERA, eventually, free_ports, print_tail};

/// Starts Tessera with more directives, in a directory of its own that goes with the first of both.
#[track_caller]
pub(crate) fn start(more: &[&str]) -> (TempDir, Server) {
    let temp = tempfile::tempdir().expect("a directory");
    let server = Server::tessera(temp.path(), more);
    (temp, server)
}

/// A server that is killed when the test ends, however it ends.
pub(crate) struct Server {
    /// Its port on 127.0.0.1.
    pub(crate) port: u16,
    /// The directory in which it runs and keeps its files.
    pub(crate) dir: PathBuf,
    program: PathBuf,
    args: Vec<String>,
    child: Child,
}

impl Server {
    /// Starts Tessera on a free port with more directives, each `--name value` in two elements.
    #[track_caller]
    pub(crate) fn tessera(root: &Path, more: &[&str]) -> Server {
        Server::start(Path::new(TESSERA), &["server"], root, more)
    }

    /// Starts Tessera with a configuration file, which goes before the directives.
    #[track_caller]
    pub(crate) fn tessera_with_file(root: &Path, file: &str, more: &[&str]) -> Server {
        Server::start(Path::new(TESSERA), &["server", file], root, more)
    }

    /// Starts a redis-server, valkey-server or the like.
    #[track_caller]
    pub(crate) fn peer(program: &Path, root: &Path, more: &[&str]) -> Server {
        Server::start(program, &[], root, more)
    }

    #[track_caller]
    fn start(program: &Path, first: &[&str], root: &Path, more: &[&str]) -> Server {
        let port = free_ports(1);
        let dir = root.join(port.to_string());
        std::fs::create_dir_all(&dir).expect("the test's directory is writable");
        let port_text = port.to_string();
        let own = ["--port", &port_text, "--bind", "127.0.0.1", "--save", ""];
        let args: Vec<String> =
            first.iter().chain(&own).chain(more).map(|arg| (*arg).to_owned()).collect();
        let child = spawn(program, &args, &dir);
        let mut server = Server { port, dir, program: program.to_owned(), args, child };
        server.await_answer();
        server
    }

    /// Starts it again, with the files that it left.
    #[track_caller]
    pub(crate) fn restart(&mut self) {
        self.child = spawn(&self.program, &self.args, &self.dir);
        self.await_answer();
    }

    #[track_caller]
    fn await_answer(&mut self) {
        let port = self.port;
        eventually("the server answers", || {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("the server on {port} ended at once: {status}");
            }
            let answer = Wire::connect(port).and_then(|mut wire| wire.try_ask(&["PING"]));
            match answer {
                Ok(Answer::Error(text)) if text.starts_with("LOADING") => Err(text),
                Ok(_) => Ok(()),
                Err(error) => Err(error.to_string()),
            }
        });
    }

    /// A new connection to it.
    #[track_caller]
    pub(crate) fn wire(&self) -> Wire {
        match Wire::connect(self.port) {
            Ok(wire) => wire,
            Err(error) => panic!("no connection to {}: {error}", self.port),
        }
    }

    /// Asks on a connection of its own; the words of one line.
    #[track_caller]
    pub(crate) fn say(&self, line: &str) -> Answer {
        self.wire().say(line)
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The file of its log.
    pub(crate) fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// The text of its log.
    pub(crate) fn log_text(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log()).unwrap_or_default()).into_owned()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("process ids are positive"), signal).expect("the process is ours");
    }

    /// Kills it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        // Fails only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn await_end(&mut self) -> ExitStatus {
        eventually("the server ends", || {
            let ended = self.child.try_wait().map_err(|error| error.to_string())?;
            ended.ok_or_else(|| "it runs".to_owned())
        })
    }
}

fn spawn(program: &Path, args: &[String], dir: &Path) -> Child {
    let log = || File::options().create(true).append(true).open(dir.join("log")).expect("writable");
    let mut command = Command::new(program);
    command.args(args).current_dir(dir).stdin(Stdio::null()).stdout(log()).stderr(log());
    match command.spawn() {
        Ok(child) => child,
        Err(error) => panic!("cannot start {}: {error}", program.display()),
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            print_tail(&self.log());
        }
    }
}

/// The output of a server that does not start, and its exit status.
pub(crate) fn run_to_end(args: &[&str], dir: &Path) -> (ExitStatus, String) {
    let mut command = Command::new(TESSERA);
    command.arg("server").args(args).current_dir(dir).stdin(Stdio::null());
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it can be started");
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while child.try_wait().expect("it is our child").is_none() {
        if std::time::Instant::now() > deadline {
            let _ = child.kill();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = child.wait_with_output().expect("it has ended");
    let text = [output.stdout, output.stderr].concat();
    (output.status, String::from_utf8_lossy(&text).into_owned())
}

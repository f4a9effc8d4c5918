//! `tessera up`: a whole cluster on this machine, on one command.
//!
//! [`check`] looks at everything that can be wrong before anything is started ([`plan`],
//! [`directory`]); [`Checked::start`] starts each node as a process of its own ([`process`]), forms
//! the cluster by the protocol ([`form`]) or, on a second run, waits until the one in the directory
//! has found itself again. The result is a [`RunningCluster`]: tests kill and restart its nodes,
//! the command watches it ([`watch`]) until Ctrl-C.
//!
//! Deliberately not here: any knowledge of the server's insides. The nodes may be any program that
//! takes a redis.conf and speaks the protocol.

pub mod command;
pub mod directory;
pub mod form;
pub mod plan;
pub mod process;
pub mod view;
pub mod watch;

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use directory::{Directory, Found};
use plan::Plan;
use process::{End, Node};
use view::Shard;

use crate::client::ClientError;

/// How long nodes may take to come up, form, or find each other again.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a node may take to end by itself before it is killed. Above `shutdown-timeout`'s 10 s,
/// for which a primary may wait for its replicas.
const STOP_PATIENCE: Duration = Duration::from_secs(15);

/// The options of a run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server's executable: a path, or a name that is looked up as a shell does.
    pub program: PathBuf,
    /// Arguments before the path of the configuration file, such as `server`.
    pub program_args: Vec<String>,
    /// Primaries; `None`: what the directory says, or 3.
    pub masters: Option<u16>,
    /// Replicas of each primary; `None`: what the directory says, or 1.
    pub replicas: Option<u16>,
    /// First port; the nodes take it and those that follow. `None`: what the directory says, or
    /// 7000.
    pub port: Option<u16>,
    /// The directory of the nodes' files.
    pub dir: PathBuf,
    /// Remove what an earlier run left in `dir` first.
    pub reset: bool,
    /// More lines for each node's redis.conf, when it is written.
    pub config: Vec<String>,
}

/// Why a cluster does not come up. Each text is one line for the user.
#[derive(Debug, thiserror::Error)]
pub enum UpError {
    /// Fewer than three primaries cannot agree on a failover.
    #[error("a cluster needs at least 3 masters, not {0}: fewer cannot agree on a failover")]
    TooFewMasters(u16),
    /// There are not that many ports, or slots.
    #[error(
        "{0} nodes from port {1} on are too many: ports end at 65535, and bus ports are 10000 above"
    )]
    TooManyNodes(u32, u16),
    /// Somebody listens there.
    #[error("port {port} is in use{}; stop what listens there or choose others with --port", bus_note(*.bus))]
    PortInUse {
        /// The port.
        port: u16,
        /// Whether it is a bus port.
        bus: bool,
    },
    /// The system does not let us listen there.
    #[error("cannot listen on port {port}: {source}")]
    PortDenied {
        /// The port.
        port: u16,
        /// The system's error.
        source: io::Error,
    },
    /// The directory holds something that `up` has not made.
    #[error("{0} was not made by `up`, so it is left alone; choose another directory with --dir")]
    NotOurs(PathBuf),
    /// Another `up` runs there.
    #[error(
        "another `up`{} runs in {dir}; stop it with Ctrl-C or SIGTERM, or choose another directory with --dir",
        pid_note(*.pid)
    )]
    Busy {
        /// The directory.
        dir: PathBuf,
        /// Its process id, if it has said so.
        pid: Option<u32>,
    },
    /// Nodes which are to be removed still run.
    #[error(
        "{} of {dir} still run, left by an `up` that was killed; {}",
        nodes_note(.ports),
        way_out(*.formed, .pids)
    )]
    StillRunning {
        /// The directory.
        dir: PathBuf,
        /// The nodes' ports.
        ports: Vec<u16>,
        /// Their process ids.
        pids: Vec<u32>,
        /// Whether they are a cluster that can be resumed.
        formed: bool,
    },
    /// The number of processes is so large that it is hardly meant.
    #[error("this starts {0} processes; say --yes if that is what you want")]
    Many(u16),
    /// The directory holds another cluster than asked for.
    #[error(
        "{dir} holds a cluster of {found}; run without --masters, --replicas and --port to resume it, or with --reset to start afresh"
    )]
    Different {
        /// The directory.
        dir: PathBuf,
        /// The cluster that it holds.
        found: Plan,
    },
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The program cannot be started.
    #[error("cannot start {program}: {source}")]
    Program {
        /// The program.
        program: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A node ended while the cluster was coming up.
    #[error("node {port} ended ({status}): {last_line} (more in {log})")]
    NodeEnded {
        /// Its port.
        port: u16,
        /// How it ended.
        status: End,
        /// The last line of its log.
        last_line: String,
        /// Its log.
        log: PathBuf,
    },
    /// A node does not do what it is asked.
    #[error("node {port}: {source}")]
    Node {
        /// Its port.
        port: u16,
        /// Its answer.
        source: ClientError,
    },
    /// It takes too long.
    #[error("gave up after {} s: {what}", PATIENCE.as_secs())]
    Timeout {
        /// The state that was waited for, and the nodes that are late.
        what: String,
    },
    /// No node of the cluster has this port.
    #[error("no node has port {0}")]
    NoSuchNode(u16),
    /// Ctrl-C while the cluster was coming up.
    #[error("interrupted")]
    Interrupted,
}

fn bus_note(bus: bool) -> &'static str {
    if bus { " (a cluster bus port: a node's port plus 10000)" } else { "" }
}

fn pid_note(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

fn listed(numbers: impl Iterator<Item = impl ToString>) -> String {
    numbers.map(|number| number.to_string()).collect::<Vec<_>>().join(" ")
}

fn nodes_note(ports: &[u16]) -> String {
    format!("the nodes {}", listed(ports.iter()))
}

fn way_out(formed: bool, pids: &[u32]) -> String {
    let pids = listed(pids.iter());
    if formed {
        format!("run `up` without --reset to go on with them, or end them first: kill {pids}")
    } else {
        format!("end them first: kill {pids}")
    }
}

impl UpError {
    fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> UpError {
        let path = path.into();
        move |source| UpError::File { path, source }
    }
}

/// A cluster whose nodes are children of this process. Dropping it kills those that still run;
/// [`RunningCluster::stop`] ends them properly.
#[derive(Debug)]
pub struct RunningCluster {
    /// The nodes that it consists of.
    pub plan: Plan,
    /// Whether it was resumed from its directory, not newly formed.
    pub resumed: bool,
    pub(crate) nodes: Vec<Node>,
    /// Holds the directory's lock while the cluster runs.
    directory: Directory,
}

/// A cluster of which all has been checked that can be, and nothing has been started.
#[derive(Debug)]
pub struct Checked {
    /// The nodes that it consists of.
    pub plan: Plan,
    /// Whether the directory holds it already, so that it is resumed and not formed.
    pub resumed: bool,
    /// Nodes that an earlier `up`, which was killed, has left running.
    left: Vec<Node>,
    directory: Directory,
}

/// How many processes [`check`] and [`Checked::start`] would start for a cluster that is not there
/// yet; none if the directory holds one.
pub(crate) fn nodes_to_make(options: &Options) -> Result<u16, UpError> {
    let plan = directory::plan_for(options)?;
    Ok(plan.map_or(0, |plan| plan.node_count()))
}

/// Checks the plan, the ports and the directory, and locks the directory. Nothing is started.
pub fn check(options: &Options) -> Result<Checked, UpError> {
    let (mut directory, found) = Directory::open(options)?;
    let left = directory.take_left();
    Ok(match found {
        Found::Formed(plan) => Checked { plan, resumed: true, left, directory },
        Found::Nothing(plan) => Checked { plan, resumed: false, left, directory },
    })
}

/// Starts a cluster, or resumes the one in the directory, and waits until every node says
/// `cluster_state:ok` and every replica follows its primary.
pub fn start(options: &Options) -> Result<RunningCluster, UpError> {
    check(options)?.start(options, &|| false, &mut |_| {})
}

impl Checked {
    /// The ports of nodes that need not be started, since an earlier `up` has left them running.
    pub fn left_running(&self) -> Vec<u16> {
        self.left.iter().map(|node| node.port).collect()
    }

    /// Starts the nodes and waits until all is well. Gives up, and ends what it has started, once
    /// `interrupted` says so. If the waiting takes long, `progress` hears the reason.
    pub fn start(
        self,
        options: &Options,
        interrupted: &dyn Fn() -> bool,
        progress: &mut dyn FnMut(&str),
    ) -> Result<RunningCluster, UpError> {
        let Checked { plan, resumed, mut left, directory } = self;
        if !resumed {
            directory.prepare(&plan, &options.config)?;
        }
        let mut cluster = RunningCluster { nodes: Vec::new(), plan, resumed, directory };
        for port in cluster.plan.ports() {
            let node = match left.iter().position(|node| node.port == port) {
                Some(at) => left.swap_remove(at),
                None => Node::start(port, cluster.directory.node(port), options)?,
            };
            cluster.nodes.push(node);
        }
        let formation = form::Formation::new(&mut cluster.nodes, PATIENCE, interrupted);
        let mut formation = formation.telling(progress);
        formation.await_answers()?;
        if !resumed {
            formation.form(&cluster.plan)?;
        }
        formation.await_ok(&cluster.plan)?;
        if !resumed {
            cluster.directory.mark_formed(&cluster.plan)?;
        }
        Ok(cluster)
    }
}

impl RunningCluster {
    /// The ports of all nodes.
    pub fn ports(&self) -> Vec<u16> {
        self.nodes.iter().map(|node| node.port).collect()
    }

    /// The process id of the node, while it runs.
    pub fn pid(&mut self, port: u16) -> Result<Option<u32>, UpError> {
        Ok(self.node(port)?.pid())
    }

    /// Kills a node as `kill -9` does and waits until its process is gone.
    pub fn kill(&mut self, port: u16) -> Result<(), UpError> {
        self.node(port)?.kill();
        Ok(())
    }

    /// Halts a node as SIGSTOP does: it lives, and does nothing.
    pub fn pause(&mut self, port: u16) -> Result<(), UpError> {
        self.node(port)?.signal(rustix::process::Signal::STOP);
        Ok(())
    }

    /// Lets a halted node go on.
    pub fn unpause(&mut self, port: u16) -> Result<(), UpError> {
        self.node(port)?.signal(rustix::process::Signal::CONT);
        Ok(())
    }

    /// Starts a node again that has ended, with the files that it left, and waits until it
    /// answers. A node that runs is left as it is.
    pub fn restart(&mut self, port: u16) -> Result<(), UpError> {
        let node = self.node(port)?;
        node.restart()?;
        form::Formation::new(std::slice::from_mut(node), PATIENCE, &|| false).await_answers()
    }

    /// Waits until every running node says that all is well, all nodes are known and linked, and
    /// every replica follows its primary.
    pub fn await_ok(&mut self) -> Result<(), UpError> {
        let plan = self.plan.clone();
        form::Formation::new(&mut self.nodes, PATIENCE, &|| false).await_ok(&plan)
    }

    /// The shards as the first node that answers sees them, by their first slot.
    pub fn shards(&mut self) -> Result<Vec<Shard>, UpError> {
        let mut failure = UpError::Timeout { what: "no node answers".to_owned() };
        for node in &mut self.nodes {
            match node.cluster_nodes() {
                Ok(seen) => return Ok(view::shards(&seen)),
                Err(source) => failure = UpError::Node { port: node.port, source },
            }
        }
        Err(failure)
    }

    /// Leaves the nodes running, as a process does that is killed: nothing here holds them or the
    /// directory any more. Gives their process ids.
    pub fn abandon(mut self) -> Vec<u32> {
        self.nodes.iter_mut().filter_map(Node::abandon).collect()
    }

    /// How many keys the primaries hold that no node can save, so that they are lost when the
    /// cluster stops; `None` if the nodes can save data.
    pub(crate) fn unsaved_keys(&mut self) -> Option<i64> {
        let mut keys = None;
        for node in &mut self.nodes {
            let saved = node.field(&["INFO", "persistence"], "rdb_last_bgsave_status");
            if saved.is_ok_and(|saved| saved == "none") {
                let count = if node.is_replica() { 0 } else { node.key_count() };
                keys = Some(keys.unwrap_or(0) + count);
            }
        }
        keys
    }

    /// Ends all nodes: replicas first, so that none takes over from a primary that is asked to end.
    /// Nodes that do not end in time are killed. Gives the ports of these.
    pub fn stop(mut self) -> Vec<u16> {
        let mut replicas = Vec::new();
        let mut primaries = Vec::new();
        for node in &mut self.nodes {
            if node.is_replica() { replicas.push(node) } else { primaries.push(node) }
        }
        let mut killed = Vec::new();
        for group in [replicas, primaries] {
            killed.extend(stop_all(group));
        }
        killed
    }

    fn node(&mut self, port: u16) -> Result<&mut Node, UpError> {
        self.nodes.iter_mut().find(|node| node.port == port).ok_or(UpError::NoSuchNode(port))
    }
}

/// Asks all to end, waits, kills the rest and gives their ports.
fn stop_all(mut nodes: Vec<&mut Node>) -> Vec<u16> {
    for node in &mut nodes {
        node.ask_to_end();
    }
    let deadline = Instant::now() + STOP_PATIENCE;
    let mut killed = Vec::new();
    for node in nodes {
        if !node.await_end(deadline) {
            node.kill();
            killed.push(node.port);
        }
    }
    killed
}

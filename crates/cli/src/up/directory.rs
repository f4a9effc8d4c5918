//! The directory of a cluster.
//!
//! ```text
//! tessera-data/
//! ├── tessera-up.conf    says that `up` made this directory, and the plan
//! ├── tessera-up.lock    locked while an `up` runs here
//! └── 7000/              a node, named by its port
//!     ├── redis.conf     written once; the user may edit it
//!     ├── nodes.conf     written by the node
//!     └── server.log     what the node prints
//! ```
//!
//! The marker is written before anything else and says `formed yes` only once the cluster is
//! formed: what a run that failed half-way left is made anew by the next.

use std::fs::{self, File, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::plan::Plan;
use super::process::Node;
use super::{Options, UpError};

const MARKER: &str = "tessera-up.conf";
const LOCK: &str = "tessera-up.lock";
const FIRST_LINE: &str = "# Made by `up`. What stands beside this file is removed by --reset.";

/// The files of one node.
#[derive(Clone, Debug)]
pub struct NodeFiles {
    /// The node's directory.
    pub dir: PathBuf,
    /// Its configuration.
    pub config: PathBuf,
    /// The file that its output goes to.
    pub log: PathBuf,
}

/// The content of the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing to go on with; a cluster is to be made by this plan.
    Nothing(Plan),
    /// A cluster that was formed.
    Formed(Plan),
}

/// A directory that this process has locked.
#[derive(Debug)]
pub struct Directory {
    root: PathBuf,
    /// Nodes that still run although no `up` does.
    left: Vec<Node>,
    /// The lock lasts as long as this file is open.
    _lock: File,
}

/// By which plan a cluster is to be made; `None`: the directory holds one that is to be resumed.
pub(super) fn plan_for(options: &Options) -> Result<Option<Plan>, UpError> {
    let marker = read_marker(&root_of(options)?)?;
    match marker {
        Some(marker) if marker.formed && !options.reset => Ok(None),
        marker => asked(options, marker.as_ref()).map(Some),
    }
}

/// A reset keeps what the options do not change.
fn asked(options: &Options, marker: Option<&Marker>) -> Result<Plan, UpError> {
    let before = marker.filter(|marker| marker.formed).map(|marker| &marker.plan);
    Plan::asked(options, before)
}

fn root_of(options: &Options) -> Result<PathBuf, UpError> {
    std::path::absolute(&options.dir).map_err(UpError::file(&options.dir))
}

impl Directory {
    /// Makes or finds the directory, and locks it. With `reset`, or if a former run did not come
    /// to its end, what `up` had made there is removed.
    ///
    /// A directory that is locked is refused before ports are looked at: they are in use there.
    pub fn open(options: &Options) -> Result<(Directory, Found), UpError> {
        let root = root_of(options)?;
        let marker = read_marker(&root)?;
        if marker.is_none() && !is_empty_or_absent(&root)? {
            return Err(UpError::NotOurs(root));
        }
        let formed = marker.as_ref().filter(|marker| marker.formed && !options.reset);
        if let Some(marker) = formed
            && differs(options, &marker.plan)
        {
            return Err(UpError::Different { dir: root, found: marker.plan.clone() });
        }
        let asked = asked(options, marker.as_ref())?;
        let locked = root.join(LOCK).exists().then(|| lock(&root)).transpose()?;
        let left = marker.as_ref().map_or(Vec::new(), |marker| left(&root, &marker.plan, options));
        if formed.is_none() && !left.is_empty() {
            return Err(still_running(root, left, marker.is_some_and(|marker| marker.formed)));
        }
        // Ports are looked at before anything is written or removed.
        let there: Vec<u16> = left.iter().map(|node| node.port).collect();
        formed.map_or(&asked, |marker| &marker.plan).check_ports(&there)?;
        fs::create_dir_all(&root).map_err(UpError::file(&root))?;
        let locked = locked.map_or_else(|| lock(&root), Ok)?;
        let directory = Directory { _lock: locked, left, root };
        match marker {
            Some(marker) if marker.formed && !options.reset => {
                Ok((directory, Found::Formed(marker.plan)))
            }
            Some(marker) => {
                directory.remove_nodes(&marker.plan)?;
                Ok((directory, Found::Nothing(asked)))
            }
            None => Ok((directory, Found::Nothing(asked))),
        }
    }

    /// The nodes that still run although the `up` that has started them does not.
    pub(crate) fn take_left(&mut self) -> Vec<Node> {
        std::mem::take(&mut self.left)
    }

    /// The files of the node with this port.
    pub fn node(&self, port: u16) -> NodeFiles {
        files_of(&self.root, port)
    }

    /// Writes the marker and the nodes' directories and configurations.
    pub fn prepare(&self, plan: &Plan, more: &[String]) -> Result<(), UpError> {
        self.write_marker(plan, false)?;
        for port in plan.ports() {
            let files = self.node(port);
            fs::create_dir_all(&files.dir).map_err(UpError::file(&files.dir))?;
            let text = node_config(port, &files, more);
            fs::write(&files.config, text).map_err(UpError::file(&files.config))?;
        }
        Ok(())
    }

    /// Notes that the cluster is formed: from now on it is resumed.
    pub(crate) fn mark_formed(&self, plan: &Plan) -> Result<(), UpError> {
        self.write_marker(plan, true)
    }

    /// Written aside and renamed, so that a crash leaves the old marker or the new one.
    fn write_marker(&self, plan: &Plan, formed: bool) -> Result<(), UpError> {
        let path = self.root.join(MARKER);
        let aside = self.root.join(format!("{MARKER}.new"));
        let formed = if formed { "yes" } else { "no" };
        let text = format!("{FIRST_LINE}\n{}formed {formed}\n", plan.to_text());
        fs::write(&aside, text).map_err(UpError::file(&aside))?;
        fs::rename(&aside, &path).map_err(UpError::file(&path))
    }

    /// Removes the directories of the plan's nodes, nothing else.
    fn remove_nodes(&self, plan: &Plan) -> Result<(), UpError> {
        for port in plan.ports() {
            let dir = self.node(port).dir;
            match fs::remove_dir_all(&dir) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(UpError::File { path: dir, source: error });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn files_of(root: &Path, port: u16) -> NodeFiles {
    let dir = root.join(port.to_string());
    NodeFiles { config: dir.join("redis.conf"), log: dir.join("server.log"), dir }
}

/// The nodes of the plan that run.
fn left(root: &Path, plan: &Plan, options: &Options) -> Vec<Node> {
    plan.ports().filter_map(|port| Node::adopt(port, files_of(root, port), options)).collect()
}

fn still_running(dir: PathBuf, mut left: Vec<Node>, formed: bool) -> UpError {
    let ports = left.iter().map(|node| node.port).collect();
    let pids = left.iter_mut().filter_map(Node::pid).collect();
    UpError::StillRunning { dir, ports, pids, formed }
}

struct Marker {
    plan: Plan,
    formed: bool,
}

/// The marker, `None` if there is none; a file of its name which `up` has not written belongs to
/// another program.
fn read_marker(root: &Path) -> Result<Option<Marker>, UpError> {
    let path = root.join(MARKER);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
            return Err(UpError::NotOurs(root.to_owned()));
        }
        Err(source) => return Err(UpError::File { path, source }),
    };
    let plan = Plan::from_text(&text).filter(|_| text.starts_with(FIRST_LINE));
    let plan = plan.ok_or_else(|| UpError::NotOurs(root.to_owned()))?;
    Ok(Some(Marker { plan, formed: text.lines().any(|line| line == "formed yes") }))
}

/// Whether the options name something else than what is there.
fn differs(options: &Options, found: &Plan) -> bool {
    let other = |asked: Option<u16>, found: u16| asked.is_some_and(|asked| asked != found);
    other(options.masters, found.masters)
        || other(options.replicas, found.replicas)
        || other(options.port, found.port)
}

fn is_empty_or_absent(root: &Path) -> Result<bool, UpError> {
    match fs::read_dir(root) {
        Ok(mut entries) => Ok(entries.all(|entry| entry.is_ok_and(|e| e.file_name() == LOCK))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => Ok(false),
        Err(source) => Err(UpError::File { path: root.to_owned(), source }),
    }
}

fn lock(root: &Path) -> Result<File, UpError> {
    let path = root.join(LOCK);
    let mut open = File::options();
    open.create(true).read(true).write(true).truncate(false);
    let mut file = open.open(&path).map_err(UpError::file(&path))?;
    match file.try_lock() {
        Ok(()) => {
            // For the message of the next one that comes here.
            let said = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
            said.map_err(UpError::file(&path))?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
            Err(UpError::Busy { dir: root.to_owned(), pid })
        }
        Err(TryLockError::Error(source)) => Err(UpError::File { path, source }),
    }
}

fn node_config(port: u16, files: &NodeFiles, more: &[String]) -> String {
    let dir = files.dir.display().to_string().replace('\\', r"\\").replace('"', "\\\"");
    let mut text = format!(
        "# A node of a cluster that `up` has made. Written once: edit it as you like.\n\
         port {port}\nbind 127.0.0.1\ndir \"{dir}\"\n\
         cluster-enabled yes\ncluster-config-file nodes.conf\n"
    );
    for line in more {
        text.push_str(line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ports that nothing here listens on are found once, so that the plans below are possible.
    fn options(dir: &Path) -> Options {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        Options {
            program: "true".into(),
            program_args: Vec::new(),
            masters: None,
            replicas: Some(0),
            // Bus ports stay below those that the system gives to outgoing connections.
            port: Some(port % 10_000 + 11_000),
            dir: dir.to_owned(),
            reset: false,
            config: Vec::new(),
        }
    }

    fn open(options: &Options) -> Result<(Directory, Found), UpError> {
        Directory::open(options)
    }

    fn asked_of(options: &Options) -> Plan {
        Plan::asked(options, None).expect("possible")
    }

    #[test]
    fn a_directory_is_made_resumed_and_reset() {
        let temp = tempfile::tempdir().expect("a directory");
        let mut options = options(&temp.path().join("new"));
        let plan = asked_of(&options);
        let (directory, found) = open(&options).expect("it is made");
        assert_eq!(found, Found::Nothing(plan.clone()));
        directory.prepare(&plan, &["timeout 1".to_owned()]).expect("writable");
        let config = directory.node(plan.port).config;
        let text = fs::read_to_string(&config).expect("written");
        assert!(text.ends_with("timeout 1\n") && text.contains("cluster-enabled yes"), "{text}");
        let error = open(&options).expect_err("it is locked").to_string();
        let who = format!("another `up` (process {}) runs in ", std::process::id());
        assert!(error.starts_with(&who), "{error}");

        // The cluster was not formed, so the next run begins anew.
        drop(directory);
        let (directory, found) = open(&options).expect("ours");
        assert_eq!(found, Found::Nothing(plan.clone()));
        assert!(!config.exists());

        directory.prepare(&plan, &[]).expect("writable");
        directory.mark_formed(&plan).expect("writable");
        drop(directory);
        options.port = None;
        let (directory, found) = open(&options).expect("ours");
        assert_eq!(found, Found::Formed(plan.clone()));

        drop(directory);
        options.masters = Some(5);
        assert!(matches!(open(&options), Err(UpError::Different { .. })));
        options.reset = true;
        fs::write(options.dir.join("mine.txt"), "mine").expect("writable");
        let (_directory, found) = open(&options).expect("ours");
        assert_eq!(found, Found::Nothing(Plan { masters: 5, ..plan }), "the ports are kept");
        assert!(!config.exists());
        assert!(options.dir.join("mine.txt").exists(), "only what `up` made is removed");
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        let temp = tempfile::tempdir().expect("a directory");
        let mut options = options(temp.path());
        options.reset = true;
        fs::write(temp.path().join("letter.txt"), "dear").expect("writable");
        assert!(matches!(open(&options), Err(UpError::NotOurs(_))));
        fs::write(temp.path().join(MARKER), "masters 3\nreplicas 1\nport 7000\n")
            .expect("writable");
        assert!(matches!(open(&options), Err(UpError::NotOurs(_))));
        options.dir = temp.path().join("letter.txt");
        assert!(matches!(open(&options), Err(UpError::NotOurs(_))));
        assert!(temp.path().join("letter.txt").exists());
    }
}

//! A changed configuration takes effect, and is written back to its file.
//!
//! CONFIG SET is all or nothing. What can fail is prepared first ([`prepare`]): sockets are bound,
//! descriptors are asked for, a directory is opened. Only then the new configuration is set, and
//! [`Change::commit`] does the rest, which cannot fail. Dropping a [`Change`] undoes what was
//! prepared. Which effect a directive has stands in its row of the table
//! (`tessera_config::Effect`).
//!
//! All of this may block, so it runs on the thread of `deferred.rs` with nothing locked.

use crate::accept::{Listener, bind_tcp};
use crate::descriptors::{self, Raised};
use crate::io::Message;
use crate::server::Server;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode as FileMode, OFlags, open, openat};
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::Arc;
use tessera_config::{Config, Directive, Effect};
use tessera_engine::{ConfigChange, Mode};
use tessera_store::assert_unlocked;

/// The directive that cannot take effect, and why.
pub(crate) type Refusal = (&'static str, String);

/// A change of the configuration of which nothing can fail any more.
pub(crate) struct Change {
    server: Arc<Server>,
    changed: Vec<&'static Directive>,
    listeners: Option<Vec<Listener>>,
    directory: Option<OwnedFd>,
    raised: Option<Raised>,
}

/// Prepares for a configuration that is about to be set. A relative `dir` becomes absolute.
///
/// # Errors
/// The directive that cannot take effect, and why. What was prepared for others is undone.
pub(crate) fn prepare(
    server: Arc<Server>,
    changed: &[&'static Directive],
    config: &mut Config,
) -> Result<Change, Refusal> {
    assert_unlocked("CONFIG SET");
    let mut change = Change {
        server,
        changed: changed.to_vec(),
        listeners: None,
        directory: None,
        raised: None,
    };
    for directive in changed {
        let prepared = match directive.spec.effect {
            Some(effect) => change.prepare(effect, config),
            None => Ok(()),
        };
        prepared.map_err(|reason| (directive.name, reason))?;
    }
    Ok(change)
}

impl Change {
    fn prepare(&mut self, effect: Effect, config: &mut Config) -> Result<(), String> {
        match effect {
            Effect::Listen => self.listeners = Some(listeners(config)?),
            Effect::Directory => self.directory = Some(open_directory(config)?),
            Effect::Descriptors => self.raised = Some(descriptors_for_clients(config)?),
            Effect::Restart => {
                let reason =
                    "it can't be changed while the server runs: set it in the file and restart";
                return Err(reason.to_owned());
            }
            Effect::Read
            | Effect::LogLevel
            | Effect::Backlog
            | Effect::ReadOnly
            | Effect::GoodReplicas
            | Effect::Cluster => {}
        }
        Ok(())
    }

    fn carry_out(&mut self, effect: Effect, config: &Config) {
        let engine = &self.server.engine;
        match effect {
            Effect::Read | Effect::Restart => {}
            Effect::Listen => {
                if let Some(listeners) = self.listeners.take() {
                    self.server.mailboxes[0].send(Message::Listen(listeners));
                }
            }
            Effect::Directory => {
                if let Some(directory) = self.directory.take()
                    && let Err(error) = rustix::process::fchdir(directory)
                {
                    // It was searchable a moment ago.
                    tracing::warn!("Can't chdir to '{}': {error}", config.general.dir);
                }
            }
            Effect::Descriptors => self.raised.take().into_iter().for_each(Raised::keep),
            Effect::LogLevel => crate::logging::set_level(config.general.loglevel),
            Effect::Backlog => {
                engine.log.set_backlog_limit(config.replication.repl_backlog_size.0);
            }
            Effect::ReadOnly => {
                if engine.mode().any(Mode::REPLICA) {
                    engine.set_mode(Mode::READ_ONLY, config.replication.replica_read_only);
                }
            }
            Effect::GoodReplicas => self.server.count_good_replicas(config),
            Effect::Cluster => {}
        }
    }
}

impl ConfigChange for Change {
    fn commit(mut self: Box<Self>) {
        let config = self.server.engine.config();
        for directive in self.changed.clone() {
            match directive.spec.effect {
                Some(effect) => self.carry_out(effect, &config),
                None => tracing::warn!("{}", directive.warning()),
            }
        }
        // The core takes all of its directives at once, and the port that clients are told.
        let is_for_core = |directive: &Directive| {
            matches!(directive.spec.effect, Some(Effect::Cluster | Effect::Listen))
        };
        if let Some(cluster) = &self.server.cluster
            && self.changed.iter().copied().any(is_for_core)
        {
            cluster.configure(&config);
        }
    }
}

/// Sockets for the clients' port of this configuration.
fn listeners(config: &Config) -> Result<Vec<Listener>, String> {
    match config.network.port {
        0 => Ok(Vec::new()),
        port => bind_tcp(config, port).map_err(|error| {
            tracing::warn!("{error:#}");
            "Unable to listen on this port. Check server logs.".to_owned()
        }),
    }
}

/// Opens `dir`, and puts its absolute path into the configuration.
fn open_directory(config: &mut Config) -> Result<OwnedFd, String> {
    let dir = &mut config.general.dir;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = open(dir.as_str(), flags, FileMode::empty()).map_err(reason)?;
    // Nobody can work in a directory that they may not search.
    openat(&directory, ".", flags, FileMode::empty()).map_err(reason)?;
    let path = std::fs::canonicalize(&*dir).map_err(|error| words(&error))?;
    *dir = path.display().to_string();
    Ok(directory)
}

fn descriptors_for_clients(config: &Config) -> Result<Raised, String> {
    let network = &config.network;
    descriptors::make_room(network.maxclients, network.io_threads).map_err(|few| {
        let clients = few.clients;
        format!(
            "The operating system is not able to handle the specified number of clients, try with \
             {clients}"
        )
    })
}

/// CONFIG REWRITE: writes the configuration back to its file, as a whole.
///
/// # Errors
/// Why it could not be written; the old file is then still whole.
pub(crate) fn rewrite(server: &Server) -> Result<(), String> {
    assert_unlocked("CONFIG REWRITE");
    let path = server.paths.config_file.as_ref();
    let path = Path::new(path.ok_or("The server is running without a config file")?);
    let failed = |error: io::Error| format!("Rewriting config file: {}", words(&error));
    let old = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(failed(error)),
    };
    let mut config = (*server.engine.config()).clone();
    // REPLICAOF changes it, too.
    config.replication.replicaof = server.followed();
    replace(path, &config.rewrite(&old)).map_err(failed)
}

/// Writes a new file and renames it over the old one. Returns when both are on disk.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".tmp-{}", std::process::id()));
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(text)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        // The path is absolute, so it has a parent.
        path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
    };
    write().inspect_err(|_| drop(std::fs::remove_file(&temporary)))
}

/// What the system says of an error, in C's words alone.
fn words(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => nix::errno::Errno::from_raw(code).desc().to_owned(),
        None => error.to_string(),
    }
}

fn reason(error: rustix::io::Errno) -> String {
    words(&error.into())
}

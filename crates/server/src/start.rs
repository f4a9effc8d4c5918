//! From a command line to a running server, and down again.

use crate::accept::{bind_at_start, listen};
use crate::bus::{ClusterHandle, Control, NodesFile, cluster_config};
use crate::descriptors::{self, TooFew};
use crate::follow::{Follow, Follower, Primary};
use crate::host::Rim;
use crate::information::{CalledAs, Information, information};
use crate::io::{IoThread, Mailbox, Message};
use crate::server::{Asked, Flag, Paths, Server, random_bytes, random_id};
use crate::{deferred, expire, logging, time};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use tessera_cluster::{Cluster, Event};
use tessera_config::{Config, IncludeError, Source, command_line, load};
use tessera_engine::commands::check_renamed;
use tessera_engine::{Engine, EngineOptions, Mode};
use tessera_slot::{Slot, SlotState};

/// The version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Threads beside the I/O threads that run commands, walk the keyspace or count: the follower, the
/// control thread, the applier's, the snapshot thread, the expiry thread, and the one for deferred
/// commands.
const OTHER_THREADS: usize = 6;

/// Why the server did not start, or stopped by itself. Printed as it is.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
pub struct StartError(#[from] anyhow::Error);

/// Runs a server until it is told to stop. `args` are those of redis-server: a configuration file,
/// then `--directive value …`; or one such as `--version`, which is answered instead.
///
/// # Errors
/// Why it could not start; nothing is left behind then.
pub fn run(name: CalledAs, args: &[Vec<u8>]) -> Result<(), StartError> {
    match information(name, args) {
        Some(Information::Good(text)) => println!("{text}"),
        Some(Information::Bad(text)) => return Err(anyhow::Error::msg(text).into()),
        None => start(args)?,
    }
    Ok(())
}

/// A configuration with where it came from.
struct Settings {
    config: Config,
    warnings: Vec<String>,
    file: Option<PathBuf>,
}

fn settings(args: &[Vec<u8>]) -> Result<Settings> {
    let line = command_line(args);
    let mut sources = Vec::new();
    let mut file = None;
    if let Some(path) = &line.file {
        let text = std::fs::read(path)
            .with_context(|| format!("Fatal error, can't open config file '{path}'"))?;
        file = Some(std::path::absolute(path)?);
        sources.push(Source::new(path.clone(), text));
    }
    if line.stdin {
        let mut text = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin(), &mut text)?;
        sources.push(Source::new("stdin", text));
    }
    sources.push(line.options);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut include = |path: &str| match std::fs::read(path) {
        Ok(text) => Ok(vec![Source::new(path, text)]),
        Err(error) => Err(IncludeError(format!("can't open config file '{path}': {error}"))),
    };
    let loaded = load(Config::for_cores(cores), sources, &mut include)
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    check_renamed(&loaded.config.renamed_commands).map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(Settings { config: loaded.config, warnings: loaded.warnings, file })
}

fn start(args: &[Vec<u8>]) -> Result<()> {
    let Settings { mut config, mut warnings, file } = settings(args)?;
    let executable = std::env::current_exe().unwrap_or_default();
    if config.general.disable_thp {
        let _ = nix::sys::prctl::set_thp_disable(true);
    }
    enter_dir(&mut config)?;
    raise_descriptor_limit(&mut config, &mut warnings)?;

    // Steps that can fail come here, in the foreground, where the reason can be read.
    let listeners = told_to_log(&config, listen(&config))?;
    let (nodes_file, bus_listeners, core) =
        told_to_log(&config, open_cluster(&config, &mut warnings))?;
    anyhow::ensure!(
        !listeners.is_empty() || config.cluster.enabled,
        "Configured to not listen anywhere, exiting."
    );
    if config.general.daemonize {
        // No thread runs yet.
        nix::unistd::daemon(true, false).context("Could not go into the background")?;
    }
    logging::start(&config.general.logfile, config.general.loglevel)
        .with_context(|| format!("Can't open the log file '{}'", config.general.logfile))?;
    announce(&config, &warnings, file.as_deref());
    let pid_file = PidFile::write(&config);

    let io_threads = usize::from(config.network.io_threads);
    let engine = Arc::new(Engine::new(EngineOptions {
        config: config.clone(),
        threads: io_threads + OTHER_THREADS,
        seed: u64::from_le_bytes(random_bytes()),
        replication_id: random_id(),
        now: time::unix(),
    }));
    let mut mailboxes = Vec::new();
    for _ in 0..io_threads {
        mailboxes.push(Arc::new(Mailbox::new().context("Could not create an event descriptor")?));
    }
    let cluster = core.map(|core| Arc::new(ClusterHandle::new(core)));
    if cluster.is_some() {
        let mut world = engine.keyspace.enter_exclusive();
        world.set_states(Slot::all(), SlotState::Remote { owner: None });
        drop(world);
        engine.set_mode(Mode::CLUSTER_DOWN, true);
    }
    let paths = Paths {
        executable: executable.display().to_string(),
        config_file: file.map(|file| file.display().to_string()),
    };
    let follow = Arc::new(Follow::default());
    let server = Arc::new(Server::new(engine, mailboxes, follow, cluster, paths));
    server.engine.set_host(Arc::new(Rim::of(&server)));

    // Before anybody is answered: whoever has seen the server may ask it to end.
    watch_signals(&server)?;
    server.replication_tick();

    let quit = Arc::new(Flag::default());
    let mut threads = Threads::default();
    let mut listeners = Some(listeners);
    let io_thread =
        |index| IoThread::new(index, Arc::clone(&server), listeners.take().unwrap_or_default());
    let io = (0..io_threads).map(io_thread).collect::<std::io::Result<Vec<_>>>()?;
    let runtime = Control::runtime()?;
    // All have their descriptors now, of which clients may take the rest.
    for (index, thread) in io.into_iter().enumerate() {
        threads.spawn(format!("io-{index}"), move || thread.run())?;
    }
    let freeing = Arc::clone(&server.engine.keyspace);
    threads.spawn("free".to_owned(), move || freeing.discards().work())?;
    spawn_others(&server, &quit, &mut threads, runtime, (nodes_file, bus_listeners))?;
    if let Some(primary) = &config.replication.replicaof.0 {
        let primary = Primary { host: primary.host.clone(), port: primary.port };
        crate::host::follow(&server, Some(primary));
    }
    tracing::info!("Server initialized");
    if config.network.port != 0 {
        tracing::info!("Ready to accept connections tcp");
    }
    if !config.network.unixsocket.is_empty() {
        tracing::info!("Ready to accept connections unix");
    }

    server.stop.wait();
    stop(&server, &quit, threads);
    drop(pid_file);
    tracing::info!("Tessera is now ready to exit, bye bye...");
    Ok(())
}

/// Goes to `dir`, and remembers it as an absolute path.
fn enter_dir(config: &mut Config) -> Result<()> {
    let dir = &config.general.dir;
    if !dir.is_empty() {
        std::env::set_current_dir(dir).with_context(|| format!("Can't chdir to '{dir}'"))?;
    }
    config.general.dir = std::env::current_dir()?.display().to_string();
    Ok(())
}

/// A descriptor for every client; fewer clients, and a warning, where the system gives fewer
/// descriptors.
fn raise_descriptor_limit(config: &mut Config, warnings: &mut Vec<String>) -> Result<()> {
    let wanted = config.network.maxclients;
    let (raised, few) = descriptors::raise(wanted, config.network.io_threads);
    raised.keep();
    let Some(TooFew { clients, limit }) = few else { return Ok(()) };
    anyhow::ensure!(
        clients > 0,
        "Your current 'ulimit -n' of {limit} is not enough for the server to start. Please increase your open file \
         limit. Exiting."
    );
    warnings.push(format!(
        "Current maximum open files is {limit}. maxclients has been reduced from {wanted} to {clients} to compensate \
         for low ulimit. If you need higher maxclients increase 'ulimit -n'."
    ));
    config.network.maxclients = clients;
    Ok(())
}

/// Has the log file say why the server does not start, for those who watch that alone. Without a
/// file standard error has it anyway.
fn told_to_log<T>(config: &Config, result: Result<T>) -> Result<T> {
    let general = &config.general;
    if let Err(error) = &result
        && !general.logfile.is_empty()
        && logging::start(&general.logfile, general.loglevel).is_ok()
    {
        tracing::error!("{error:#}");
    }
    result
}

type ClusterParts = (Option<NodesFile>, Vec<crate::accept::Listener>, Option<Cluster>);

fn open_cluster(config: &Config, warnings: &mut Vec<String>) -> Result<ClusterParts> {
    if !config.cluster.enabled {
        return Ok((None, Vec::new(), None));
    }
    let settings = cluster_config(config);
    let port = settings.bus_port();
    if port == 0 {
        bail!(
            "Cluster bus port number too high for port {}: it is the port plus 10000 unless 'cluster-port' is \
             set, and must be below 65536.",
            config.network.port
        );
    }
    if config.replication.replicaof.0.is_some() {
        bail!("replicaof directive not allowed in cluster mode");
    }
    let path = Path::new(&config.cluster.config_file);
    let (file, text) = NodesFile::open(path)?;
    if text.as_deref() == Some("") {
        // Other servers make it so before they write it for the first time.
        warnings.push(format!(
            "The cluster configuration file {} is EMPTY: this node begins as a new one. If it was a member of a cluster, it has \
             forgotten its name, its slots and its votes.",
            path.display()
        ));
    }
    let seed = u64::from_le_bytes(random_bytes());
    let mut core =
        Cluster::new(settings, text.as_deref(), time::now(), seed).with_context(|| {
            format!("Unrecoverable error: corrupted cluster config file {}", path.display())
        })?;
    // There are no files that the data could come from.
    core.handle(time::now(), Event::StartedEmpty);
    let listeners = bind_at_start(config, port)?;
    Ok((Some(file), listeners, Some(core)))
}

fn announce(config: &Config, warnings: &[String], file: Option<&Path>) {
    let mode = if config.cluster.enabled { "cluster" } else { "standalone" };
    tracing::info!("oO0OoO0OoO0Oo Tessera is starting oO0OoO0OoO0Oo");
    tracing::info!(
        "Tessera version={VERSION}, bits=64, io-threads={}, pid={}, just started",
        config.network.io_threads,
        std::process::id()
    );
    match file {
        Some(file) => tracing::info!("Configuration loaded from {}", file.display()),
        None => tracing::warn!(
            "Warning: no config file specified, using the default config. In order to specify a config file use \
             tessera server /path/to/redis.conf"
        ),
    }
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    tracing::info!(
        "Running mode={mode}, port={}. PID: {}",
        config.network.port,
        std::process::id()
    );
}

/// The threads of the server, to be joined at its end.
#[derive(Default)]
struct Threads(Vec<JoinHandle<()>>);

impl Threads {
    fn spawn(&mut self, name: String, run: impl FnOnce() + Send + 'static) -> Result<()> {
        self.0.push(std::thread::Builder::new().name(name).spawn(run)?);
        Ok(())
    }
}

fn spawn_others(
    server: &Arc<Server>,
    quit: &Arc<Flag>,
    threads: &mut Threads,
    runtime: tokio::runtime::Runtime,
    (nodes_file, bus_listeners): (Option<NodesFile>, Vec<crate::accept::Listener>),
) -> Result<()> {
    let first = server.mailboxes.len();
    let shared = || Arc::clone(server);
    let follower = shared();
    threads.spawn("follow".to_owned(), move || Follower::run(follower, first))?;
    let (control, flag) = (shared(), Arc::clone(quit));
    // The control thread starts the applier's, which has the number after its own.
    threads.spawn("control".to_owned(), move || {
        let (thread, bus) = (first + 1, (nodes_file, bus_listeners));
        let run = Control::run(runtime, control, thread, bus, flag);
        if let Err(error) = run {
            tracing::error!("Fatal: the control thread failed: {error}");
            std::process::exit(1);
        }
    })?;
    let sync = shared();
    threads.spawn("snapshot".to_owned(), move || sync.sync.run(&sync.engine, first + 3))?;
    let expiry = shared();
    threads.spawn("expire".to_owned(), move || expire::run(&expiry, first + 4))?;
    let deferring = shared();
    threads.spawn("deferred".to_owned(), move || deferred::run(&deferring, first + 5))?;
    Ok(())
}

/// SIGTERM and SIGINT stop the server; the second one at once. SIGHUP does nothing, as in Redis: a
/// server outlives the terminal that it was started at.
fn watch_signals(server: &Arc<Server>) -> Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    let server = Arc::clone(server);
    // The thread is not joined: it ends with the process.
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in &mut signals {
            if signal == SIGHUP {
                continue;
            }
            let name = if signal == SIGINT { "SIGINT" } else { "SIGTERM" };
            tracing::warn!("Received {name} scheduling shutdown...");
            server.stop.ask();
        }
    })?;
    Ok(())
}

fn stop(server: &Arc<Server>, quit: &Flag, threads: Threads) {
    tracing::warn!("User requested shutdown...");
    await_replicas(server);
    server.mailboxes.iter().for_each(|mailbox| mailbox.send(Message::Quit));
    quit.set();
    server.follow.quit();
    server.sync.quit();
    server.deferred.close();
    server.engine.keyspace.discards().close();
    for thread in threads.0 {
        let _ = thread.join();
    }
}

/// Lets the replicas have what was written, for at most `shutdown-timeout` seconds.
fn await_replicas(server: &Server) {
    let engine = &server.engine;
    let config = engine.config();
    let replicas = server.replicas.all().iter().filter(|replica| replica.online).count();
    if replicas == 0 || engine.mode().any(Mode::REPLICA) {
        return;
    }
    engine.set_mode(Mode::WRITES_PAUSED, true);
    drop(engine.keyspace.enter_exclusive());
    let offset = engine.log.offset();
    let deadline = time::monotonic().plus(u64::from(config.general.shutdown_timeout) * 1000);
    let acknowledged = || {
        let _world = engine.keyspace.enter_exclusive();
        server.acknowledged(offset, replicas)
    };
    while acknowledged() < replicas
        && time::monotonic() < deadline
        && server.stop.asked() != Asked::Now
    {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// The file with the process id, while the server runs.
struct PidFile(PathBuf);

impl PidFile {
    fn write(config: &Config) -> Option<PidFile> {
        let path = match (config.general.pidfile.as_str(), config.general.daemonize) {
            ("", false) => return None,
            ("", true) => "/var/run/redis.pid",
            (path, _) => path,
        };
        // CONFIG SET dir may take the process elsewhere.
        let path = std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
        match std::fs::write(&path, format!("{}\n", std::process::id())) {
            Ok(()) => Some(PidFile(path)),
            Err(error) => {
                tracing::warn!("Failed to write PID file: {error}");
                None
            }
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

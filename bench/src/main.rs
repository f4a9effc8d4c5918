//! The command line of the load generator: arguments in, tables out.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::{Args, Parser, Subcommand};

use tessera_bench::generator::{self, Load};
use tessera_bench::requests::{Order, Workload};
use tessera_bench::server::{self, Program};
use tessera_bench::{compare, families, growth, lru, staleness, topology};

#[derive(Parser)]
#[command(about = "Load for Redis-compatible servers, and comparisons of two of them")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Send load to a running server or cluster.
    Load(LoadArgs),
    /// Start two servers in turn, one core each way, and compare them.
    Compare(CompareArgs),
    /// Compare commands of every family on two servers.
    Families(FamiliesArgs),
    /// Compare the memory that values of every type take on two servers.
    Memory(FamiliesArgs),
    /// Load many keys into an empty server and report the slowest command.
    Growth(GrowthArgs),
    /// Compare how well two servers choose what to evict.
    Lru(LruArgs),
    /// Count how often a replica answers without what its primary has just acknowledged.
    Staleness(StalenessArgs),
}

#[derive(Args)]
struct Shape {
    /// Connections.
    #[arg(short = 'c', long, default_value_t = 50)]
    connections: usize,
    /// Bytes of a value.
    #[arg(short = 'd', long, default_value_t = 64)]
    value_size: usize,
}

#[derive(Args)]
struct LoadArgs {
    /// Where the server, or a node of the cluster, listens.
    #[arg(long, default_value = "127.0.0.1:6379")]
    address: String,
    /// The server is a node of a cluster: send each key to its node.
    #[arg(long)]
    cluster: bool,
    #[command(flatten)]
    shape: Shape,
    /// Commands that a connection sends at once.
    #[arg(short = 'P', long, default_value_t = 1)]
    pipeline: usize,
    /// Which commands.
    #[arg(short = 't', long, value_enum, default_value = "set")]
    test: Workload,
    /// How many different keys.
    #[arg(short = 'r', long, default_value_t = 1_000_000)]
    keys: u64,
    /// Each key once and in order, instead of random keys for some time.
    #[arg(long)]
    once: bool,
    /// For how many seconds.
    #[arg(short = 's', long, default_value_t = 5.0)]
    seconds: f64,
    /// The core that the generator runs on.
    #[arg(long)]
    core: Option<usize>,
}

#[derive(Args)]
struct Servers {
    /// Our server: a path. A program called `tessera` is started as `tessera server`.
    #[arg(long)]
    server: PathBuf,
    /// The server to compare with: any Redis-compatible program.
    #[arg(long)]
    peer: Option<PathBuf>,
    /// Another argument for our server, such as --server-arg=--io-threads --server-arg=1.
    #[arg(long)]
    server_arg: Vec<String>,
    /// Another argument for the peer.
    #[arg(long)]
    peer_arg: Vec<String>,
    /// Each server as a cluster of one node with all slots.
    #[arg(long)]
    cluster: bool,
    /// The core that the servers run on.
    #[arg(long, default_value_t = 0)]
    server_core: usize,
    /// The core that the generator runs on.
    #[arg(long, default_value_t = 1)]
    load_core: usize,
    /// Leave the choice of cores to the system.
    #[arg(long)]
    no_pin: bool,
}

impl Servers {
    fn ours(&self) -> Program {
        program(&self.server, &self.server_arg)
    }

    fn peer(&self) -> Option<Program> {
        self.peer.as_deref().map(|path| program(path, &self.peer_arg))
    }

    /// Pins this thread as asked; the core for the servers.
    fn pin(&self) -> Result<Option<usize>> {
        if self.no_pin {
            return Ok(None);
        }
        server::pin_to(self.load_core)?;
        Ok(Some(self.server_core))
    }
}

#[derive(Args)]
struct CompareArgs {
    #[command(flatten)]
    servers: Servers,
    #[command(flatten)]
    shape: Shape,
    /// Depths of pipelining.
    #[arg(short = 'P', long, value_delimiter = ',', default_value = "1,16,64")]
    pipelines: Vec<usize>,
    /// What is measured at each depth.
    #[arg(short = 't', long, value_enum, value_delimiter = ',', default_value = "set,get")]
    tests: Vec<Workload>,
    /// How many keys are loaded before.
    #[arg(short = 'r', long, default_value_t = 1_000_000)]
    keys: u64,
    /// How often each server is measured.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How many seconds each measurement takes.
    #[arg(short = 's', long, default_value_t = 3.0)]
    seconds: f64,
}

#[derive(Args)]
struct FamiliesArgs {
    #[command(flatten)]
    servers: Servers,
    /// Connections.
    #[arg(short = 'c', long, default_value_t = 50)]
    connections: usize,
    /// Depths of pipelining.
    #[arg(short = 'P', long, value_delimiter = ',', default_value = "1,16")]
    pipelines: Vec<usize>,
    /// Only what has this in its name, such as `zadd`.
    #[arg(long)]
    only: Option<String>,
    /// How often each server is measured.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// How many seconds each measurement takes.
    #[arg(short = 's', long, default_value_t = 2.0)]
    seconds: f64,
}

#[derive(Args)]
struct GrowthArgs {
    #[command(flatten)]
    servers: Servers,
    #[command(flatten)]
    shape: Shape,
    /// Commands that a connection sends at once.
    #[arg(short = 'P', long, default_value_t = 1)]
    pipeline: usize,
    /// How many keys.
    #[arg(short = 'r', long, default_value_t = 10_000_000)]
    keys: u64,
    /// How often they are loaded, each time into an empty server.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

#[derive(Args)]
struct LruArgs {
    #[command(flatten)]
    servers: Servers,
    /// Values of maxmemory-policy.
    #[arg(long, value_delimiter = ',', default_value = "allkeys-lru,allkeys-lfu")]
    policies: Vec<String>,
    /// How many different keys.
    #[arg(short = 'r', long, default_value_t = 200_000)]
    keys: u64,
    /// How many of them fit.
    #[arg(long, default_value_t = 20_000)]
    capacity: u64,
    /// How many reads.
    #[arg(short = 'n', long, default_value_t = 1_000_000)]
    requests: u64,
    /// Reads a second.
    #[arg(long, default_value_t = 50_000.0)]
    rate: f64,
    /// The exponent of Zipf's law.
    #[arg(long, default_value_t = 0.9)]
    skew: f64,
    /// Bytes of a value.
    #[arg(short = 'd', long, default_value_t = 200)]
    value_size: usize,
}

#[derive(Args)]
struct StalenessArgs {
    #[command(flatten)]
    servers: Servers,
    /// How many writes in a round.
    #[arg(short = 'n', long, default_value_t = 3000)]
    writes: usize,
    /// How often each server is measured.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Load(args) => run_load(&args),
        Command::Compare(args) => run_compare(args),
        Command::Families(args) => families::run(&families_plan(args)?),
        Command::Memory(args) => families::run_memory(&families_plan(args)?),
        Command::Growth(args) => run_growth(&args),
        Command::Lru(args) => run_lru(args),
        Command::Staleness(args) => staleness::run(&staleness::Plan {
            programs: std::iter::once(args.servers.ours()).chain(args.servers.peer()).collect(),
            writes: args.writes,
            rounds: args.rounds.max(1),
        }),
    }
}

fn program(path: &Path, extra: &[String]) -> Program {
    let name = path
        .file_name()
        .map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
    // Absolute: the server starts in a directory of its own. A program that does not exist is
    // reported when it is started.
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    Program { name, path, extra: extra.to_vec() }
}

/// A duration that a measurement can have.
fn seconds(seconds: f64) -> Result<Duration> {
    ensure!(seconds > 0.0 && seconds <= 86_400.0, "the time must be above 0 and at most a day");
    Ok(Duration::from_secs_f64(seconds))
}

fn run_load(args: &LoadArgs) -> Result<()> {
    ensure!(args.pipeline > 0, "a pipeline has at least one command");
    if let Some(core) = args.core {
        server::pin_to(core)?;
    }
    let nodes = if args.cluster {
        topology::cluster(&args.address)?
    } else {
        vec![topology::single(&args.address)?]
    };
    let load = Load {
        templates: args.test.templates(args.shape.value_size),
        connections: args.shape.connections,
        pipeline: args.pipeline,
        order: if args.once {
            Order::Once { space: args.keys }
        } else {
            Order::Random { space: args.keys }
        },
        duration: if args.once { None } else { Some(seconds(args.seconds)?) },
        seed: u64::from(std::process::id()),
        keep: false,
    };
    let outcome = generator::run(&nodes, &load)?;
    println!(
        "{} of {} node(s): {} commands in {:.2} s, {:.0} per second",
        args.test.name(),
        nodes.len(),
        outcome.commands,
        outcome.elapsed.as_secs_f64(),
        outcome.throughput(),
    );
    println!(
        "latency in us: p50 {:.0}, p99 {:.0}, p99.9 {:.0}, max {:.0}; the generator used {:.0} % of a core",
        outcome.latency_us(0.5),
        outcome.latency_us(0.99),
        outcome.latency_us(0.999),
        outcome.latency_us(1.0),
        outcome.own_share() * 100.0,
    );
    if outcome.nulls > 0 {
        println!("{} keys were not there", outcome.nulls);
    }
    compare::without_errors(outcome).map(|_| ())
}

/// Our server and the one to compare it with.
fn pair(servers: &Servers) -> Result<[Program; 2]> {
    let ours = servers.ours();
    let Some(mut peer) = servers.peer() else {
        anyhow::bail!("--peer says what to compare with");
    };
    if peer.name == ours.name {
        peer.name.push_str(" (peer)");
    }
    Ok([ours, peer])
}

fn families_plan(args: FamiliesArgs) -> Result<families::Plan> {
    ensure!(args.pipelines.iter().all(|&depth| depth > 0), "a pipeline has at least one command");
    Ok(families::Plan {
        server_core: args.servers.pin()?,
        programs: pair(&args.servers)?,
        rounds: args.rounds.max(1),
        duration: seconds(args.seconds)?,
        pipelines: args.pipelines,
        connections: args.connections,
        only: args.only,
    })
}

fn run_compare(args: CompareArgs) -> Result<()> {
    ensure!(args.pipelines.iter().all(|&depth| depth > 0), "a pipeline has at least one command");
    let server_core = args.servers.pin()?;
    compare::run(&compare::Plan {
        programs: pair(&args.servers)?,
        rounds: args.rounds.max(1),
        duration: seconds(args.seconds)?,
        pipelines: args.pipelines,
        workloads: args.tests,
        connections: args.shape.connections,
        value_size: args.shape.value_size,
        keys: args.keys,
        cluster: args.servers.cluster,
        server_core,
    })
}

fn run_growth(args: &GrowthArgs) -> Result<()> {
    ensure!(args.pipeline > 0, "a pipeline has at least one command");
    let server_core = args.servers.pin()?;
    growth::run(&growth::Plan {
        programs: std::iter::once(args.servers.ours()).chain(args.servers.peer()).collect(),
        keys: args.keys,
        rounds: args.rounds.max(1),
        connections: args.shape.connections,
        pipeline: args.pipeline,
        value_size: args.shape.value_size,
        cluster: args.servers.cluster,
        server_core,
    })
}

fn run_lru(args: LruArgs) -> Result<()> {
    let server_core = args.servers.pin()?;
    lru::run(&lru::Plan {
        programs: std::iter::once(args.servers.ours()).chain(args.servers.peer()).collect(),
        policies: args.policies,
        keys: args.keys,
        capacity: args.capacity,
        requests: args.requests,
        rate: args.rate,
        skew: args.skew,
        value_size: args.value_size,
        server_core,
    })
}

//! The multi-call binary: `tessera server`, `tessera up`, `tessera version`. Started under the name
//! of a server (`redis-server`, `valkey-server`, `tessera-server`) it is the server; under that of
//! a Sentinel it says that it is none.

use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;
use tessera_server::CalledAs;

#[global_allocator]
static ALLOCATOR: tessera_store::CountingAlloc = tessera_store::CountingAlloc;

tessera_store::use_huge_pages_from_the_start!();

/// Redis Cluster, built anew: a sharded, replicated in-memory data store that speaks Redis'
/// protocols.
#[derive(Parser)]
#[command(name = "tessera", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run one server: `tessera server [redis.conf] [--port 7000 …]`.
    Server {
        /// The arguments of redis-server: a configuration file, then `--directive value …`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, num_args = 0..)]
        args: Vec<OsString>,
    },
    /// Run a whole cluster on this machine, and watch it.
    Up(tessera_cli::up::command::UpArgs),
    /// Print the version.
    Version,
}

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let name = args.next().unwrap_or_default();
    let base = std::path::Path::new(&name).file_name().unwrap_or_default();
    match base.to_str().unwrap_or_default() {
        "redis-server" => return server(CalledAs::Redis, args.collect()),
        "valkey-server" => return server(CalledAs::Valkey, args.collect()),
        "tessera-server" => return server(CalledAs::Tessera, args.collect()),
        "redis-sentinel" | "valkey-sentinel" => {
            eprintln!("{}", tessera_server::NO_SENTINEL);
            return ExitCode::FAILURE;
        }
        _ => {}
    }
    match Cli::parse().command {
        Command::Server { args } => server(CalledAs::Tessera, args),
        Command::Up(args) => up(args),
        Command::Version => {
            println!("{}", tessera_server::VERSION);
            ExitCode::SUCCESS
        }
    }
}

fn server(name: CalledAs, args: Vec<OsString>) -> ExitCode {
    let args: Vec<Vec<u8>> = args.into_iter().map(OsString::into_vec).collect();
    match tessera_server::run(name, &args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn up(args: tessera_cli::up::command::UpArgs) -> ExitCode {
    match std::env::current_exe() {
        Ok(program) => tessera_cli::up::command::main(args, program, vec!["server".to_owned()]),
        Err(error) => {
            eprintln!("tessera up: can't find the program to start: {error}");
            ExitCode::FAILURE
        }
    }
}

//! A cluster client that goes on when a primary is killed.
//!
//! ```sh
//! cargo run --release -p tessera --example cluster_client -- [--kill] [host:port]
//! ```

use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use redis::cluster::{ClusterClient, ClusterConnection};
use redis::cluster_routing::{Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr};
use redis::{InfoDict, RedisResult, TypedCommands, cmd};

const KEY: &str = "counter";
/// The writes go on for so long.
const DURATION: Duration = Duration::from_secs(10);
/// A time without acknowledged writes is worth a line from here on.
const GAP: Duration = Duration::from_millis(100);

fn main() -> RedisResult<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let kill = args.iter().any(|arg| arg == "--kill");
    let address = args.iter().find(|arg| !arg.starts_with("--"));
    let address = address.map_or("127.0.0.1:7000", String::as_str);

    // Any node is enough to find the others.
    let cluster = ClusterClient::builder([format!("redis://{address}")])
        .retries(0)
        .connection_timeout(Duration::from_secs(1))
        .response_timeout(Duration::from_secs(1))
        .build()?;
    let mut client = cluster.get_connection()?;
    client.set("greeting", "hello")?;
    println!("greeting: {}", client.get("greeting")?.unwrap_or_default());
    println!("{KEY} is served by the node on port {}", owner(&mut client)?.port);

    count(&cluster, &mut client, kill)?;

    let (port, value) = (owner(&mut client)?.port, client.get(KEY)?.unwrap_or_default());
    println!("{KEY} is served by the node on port {port}; it is {value}");
    Ok(())
}

/// What a node says of itself.
struct Owner {
    port: u16,
    process: u32,
}

/// The primary that serves the key.
fn owner(client: &mut ClusterConnection) -> RedisResult<Owner> {
    let route = Route::with_key(KEY, SlotAddr::Master);
    let route = RoutingInfo::SingleNode(SingleNodeRoutingInfo::SpecificNode(route));
    let info = client.route_command(cmd("INFO").arg("server"), route)?;
    let info: InfoDict = redis::from_redis_value(info)?;
    Ok(Owner {
        port: info.get("tcp_port").unwrap_or_default(),
        process: info.get("process_id").unwrap_or_default(),
    })
}

/// Writes numbers for some time; kills the primary in between, if asked.
fn count(
    cluster: &ClusterClient,
    client: &mut ClusterConnection,
    mut kill: bool,
) -> RedisResult<()> {
    let started = Instant::now();
    let mut acknowledged = started;
    let (mut number, mut failed) = (0, 0);
    while started.elapsed() < DURATION {
        if kill && started.elapsed() > Duration::from_secs(2) {
            kill = false;
            kill_owner(client)?;
        }
        if let Err(error) = client.set(KEY, number) {
            failed += 1;
            if failed == 1 {
                println!("write {number} has failed: {error}");
            }
            sleep(Duration::from_millis(20));
            // This client asks for the slots again when it is redirected, but not when a node is
            // gone. A new connection does.
            if let Ok(connected) = cluster.get_connection() {
                *client = connected;
            }
            continue;
        }
        let gap = acknowledged.elapsed();
        if gap > GAP {
            let gap = gap.as_secs_f64();
            println!("write {number} was acknowledged {gap:.2} s after the one before");
        }
        acknowledged = Instant::now();
        number += 1;
    }
    println!("{number} writes were acknowledged, {failed} attempts failed");
    Ok(())
}

/// Ends the process of the primary that serves the key, which must be on this machine.
fn kill_owner(client: &mut ClusterConnection) -> RedisResult<()> {
    let Owner { port, process } = owner(client)?;
    println!("killing the node on port {port}, process {process}");
    let killed = Command::new("kill").args(["-KILL", &process.to_string()]).status()?;
    assert!(killed.success(), "process {process} cannot be killed");
    Ok(())
}

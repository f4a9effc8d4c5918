//! After a primary's failure, a replica takes over that has all data which any of its replicas has
//! acknowledged, as long as that one is healthy. So the promise of WAIT 1 is kept. A slow disk does
//! not make a replica unhealthy, nor does lag.

use crate::net::HostId;
use crate::process::Host;
use tessera_cluster::PrimaryLink;

/// Every other host must have been well for this long, in milliseconds.
const WELL_FOR: u64 = 4000;
/// The primary must have failed within this time, in ms: an election that goes on for longer has
/// met other trouble.
const FRESH: u64 = 2500;

/// Whether the winner's primary has failed, and nothing else is wrong.
pub(crate) fn is_judged(winner: HostId, hosts: &[Host], now: u64) -> bool {
    let process = hosts[winner].process.as_ref();
    let Some(primary) = process.and_then(|process| process.following) else { return false };
    let is_well = |host: HostId| host == primary || now - hosts[host].troubled_at >= WELL_FOR;
    let is_fresh = now - hosts[primary].troubled_at <= FRESH;
    is_fresh && (0..hosts.len()).all(is_well)
}

pub(crate) fn promoted(winner: HostId, hosts: &[Host], now: u64, seed: u64) {
    let Some(process) = &hosts[winner].process else { return };
    let Some(primary) = process.following else { return };
    if !is_judged(winner, hosts, now) {
        return;
    }
    for (host, machine) in hosts.iter().enumerate().filter(|(host, _)| *host != winner) {
        let Some(other) = &machine.process else { continue };
        let could =
            other.following == Some(primary) && other.primary_link != PrimaryLink::Incomplete;
        if could {
            let (has, won_with) = (other.offset, process.offset);
            assert!(
                has <= won_with,
                "host {winner} takes over with {won_with} where host {host} has {has}, seed {seed}"
            );
        }
    }
}

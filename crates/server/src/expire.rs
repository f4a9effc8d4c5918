//! The thread that removes keys whose time has come.

use crate::server::{Asked, Server};

/// Pause between two looks, milliseconds.
const PERIOD: u64 = 100;

/// Runs until the server stops.
pub(crate) fn run(server: &Server, thread: usize) {
    let _ = thread;
    while server.stop.wait_for(PERIOD) == Asked::No {}
}

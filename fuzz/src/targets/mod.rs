//! The targets. Each takes a fuzzer's bytes and panics if a promise of its crate is broken.

mod bus;
mod config;
mod hll;
mod nodes_conf;
mod payload;
mod rdb;
mod resp;
mod samples;

pub use bus::bus_packets;
pub use config::config_text;
pub use hll::hyperloglogs;
pub use nodes_conf::nodes_conf_text;
pub use payload::restored_values;
pub use rdb::{dump_payloads, rdb_streams};
pub use resp::requests;

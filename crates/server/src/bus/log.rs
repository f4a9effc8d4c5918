//! The lines of the cluster core in the log.

use crate::logging::Limit;
use tessera_cluster::{LogLevel, LogTopic};

/// Writes a line. Lines that a stranger can cause are limited, each topic by itself.
pub(super) fn line(level: LogLevel, topic: Option<LogTopic>, text: &str) {
    static LIMITS: [Limit; LogTopic::ALL.len()] = [const { Limit::USUAL }; LogTopic::ALL.len()];
    let left_out = match topic {
        None => String::new(),
        Some(topic) => match LIMITS[topic as usize].admit(crate::time::monotonic()) {
            Some(left_out) => left_out.to_string(),
            None => return,
        },
    };
    match level {
        LogLevel::Debug => tracing::trace!("{text}{left_out}"),
        LogLevel::Verbose => tracing::debug!("{text}{left_out}"),
        LogLevel::Notice => tracing::info!("{text}{left_out}"),
        LogLevel::Warning => tracing::warn!("{text}{left_out}"),
    }
}

//! Checks of texts, with Redis' words for what is wrong.

use core::net::{Ipv4Addr, Ipv6Addr};

use crate::value::Refused;

/// Longest host name, in bytes.
const HOST_NAME_MAX: usize = 255;

/// Every text.
pub(super) fn anything(_: &str) -> Result<(), Refused> {
    Ok(())
}

fn base_name(directive: &str, what: &str, text: &str) -> Result<(), Refused> {
    if text.is_empty() {
        return Err(format!("{directive} can't be empty"));
    }
    if text.contains(['/', '\\']) {
        return Err(format!("{directive} can't be a path, just a {what}"));
    }
    Ok(())
}

pub(super) fn db_file_name(text: &str) -> Result<(), Refused> {
    base_name("dbfilename", "filename", text)
}

pub(super) fn append_file_name(text: &str) -> Result<(), Refused> {
    base_name("appendfilename", "filename", text)
}

pub(super) fn append_dir_name(text: &str) -> Result<(), Refused> {
    base_name("appenddirname", "dirname", text)
}

pub(super) fn cluster_config_file(text: &str) -> Result<(), Refused> {
    if text.is_empty() { Err("cluster-config-file can't be empty".to_owned()) } else { Ok(()) }
}

pub(super) fn host_name(text: &str) -> Result<(), Refused> {
    if text.len() > HOST_NAME_MAX {
        return Err(format!("Hostnames must be less than {} characters", HOST_NAME_MAX + 1));
    }
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.')) {
        Ok(())
    } else {
        Err("Hostnames may only contain alphanumeric characters, hyphens or dots".to_owned())
    }
}

/// A name that can stand in nodes.conf: nothing that separates its fields.
pub(super) fn node_name(text: &str) -> Result<(), Refused> {
    let forbidden = |byte: u8| {
        !byte.is_ascii_alphanumeric() && b"!#$%&()*+:;<>?@[]^{|}~, =\"'\\/\t\r\n".contains(&byte)
    };
    if text.bytes().any(|byte| forbidden(byte) || byte.is_ascii_control()) {
        Err("Announced human node name contained invalid character".to_owned())
    } else {
        Ok(())
    }
}

pub(super) fn ipv4(text: &str) -> Result<(), Refused> {
    if text.is_empty() || text.parse::<Ipv4Addr>().is_ok() {
        Ok(())
    } else {
        Err("Invalid IPv4 address".to_owned())
    }
}

pub(super) fn ipv6(text: &str) -> Result<(), Refused> {
    if text.is_empty() || text.parse::<Ipv6Addr>().is_ok() {
        Ok(())
    } else {
        Err("Invalid IPv6 address".to_owned())
    }
}

/// The variables that `proc-title-template` may name.
const TITLE_VARIABLES: [&str; 6] =
    ["title", "listen-addr", "server-mode", "port", "tls-port", "unixsocket"];

pub(super) fn process_title(text: &str) -> Result<(), Refused> {
    let refused = || "template format is invalid or contains unknown variables".to_owned();
    if text.is_empty() {
        return Err(refused());
    }
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        let after = &rest[open + 1..];
        let close = after.find('}').ok_or_else(refused)?;
        let name = &after[..close];
        if !TITLE_VARIABLES.contains(&name) && name != "config-file" {
            return Err(refused());
        }
        rest = &after[close + 1..];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        assert!(db_file_name("dump.rdb").is_ok());
        assert!(db_file_name("../dump.rdb").is_err());
        assert!(append_dir_name("").is_err());
        assert!(host_name("node-1.example").is_ok());
        assert!(host_name("node_1").is_err());
        assert!(host_name(&"x".repeat(256)).is_err());
        assert!(node_name("shard-1_a").is_ok());
        assert!(node_name("a,b").is_err());
        assert!(ipv4("10.0.0.1").is_ok() && ipv4("").is_ok());
        assert!(ipv4("10.0.0").is_err());
        assert!(ipv6("::1").is_ok());
        assert!(ipv6("10.0.0.1").is_err());
        assert!(process_title("{title} {listen-addr} {server-mode}").is_ok());
        assert!(process_title("{nonsense}").is_err());
        assert!(process_title("{title").is_err());
    }
}

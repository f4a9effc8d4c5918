//! Listening sockets, and who may come in.

use crate::server::Server;
use crate::socket::ClientSocket;
use anyhow::{Context, Result};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use rustix::net::{SocketFlags, acceptfrom_with};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tessera_config::Config;

/// How many connections of clients there are, those on their way to their threads included.
#[derive(Default)]
pub(crate) struct Places(AtomicUsize);

impl Places {
    /// A place for one more connection, if there are fewer than `limit`.
    pub(crate) fn take(self: &Arc<Self>, limit: usize) -> Option<Place> {
        let more = |taken: usize| (taken < limit).then_some(taken + 1);
        self.0.fetch_update(Relaxed, Relaxed, more).ok()?;
        Some(Place(Arc::clone(self)))
    }
}

/// A connection's place among the `maxclients`: from when it is accepted until it is closed.
pub(crate) struct Place(Arc<Places>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

/// A connection on its way to the thread that will serve it.
pub(crate) struct Accepted {
    pub(crate) socket: ClientSocket,
    pub(crate) place: Place,
    pub(crate) peer: String,
    pub(crate) local: String,
    pub(crate) is_local: bool,
    pub(crate) is_unix: bool,
}

/// A socket that is listened on.
pub(crate) struct Listener {
    socket: Socket,
    unix: Option<UnixFile>,
}

/// The file of a unix socket.
struct UnixFile {
    /// Its path as it is configured, by which clients are shown.
    name: String,
    /// Its absolute path.
    path: PathBuf,
    /// The file's identity: another may have been put in its place.
    identity: Option<(u64, u64)>,
}

impl Listener {
    /// Whether it is the unix socket.
    pub(crate) fn is_unix(&self) -> bool {
        self.unix.is_some()
    }

    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(file) = &self.unix
            && file.identity == identity(&file.path)
        {
            let _ = std::fs::remove_file(&file.path);
        }
    }
}

/// The address that a `bind` argument means, and whether its absence is no error (`-` in front).
fn bind_address(text: &str) -> Result<(IpAddr, bool)> {
    let (text, optional) = match text.strip_prefix('-') {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let ip = match text {
        "*" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        "::*" => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        name => match name.parse() {
            Ok(ip) => ip,
            Err(_) => std::net::ToSocketAddrs::to_socket_addrs(&(name, 0))
                .ok()
                .and_then(|mut found| found.next())
                .map(|found| found.ip())
                .with_context(|| format!("'{name}' is no address of this machine"))?,
        },
    };
    Ok((ip, optional))
}

/// Binds one TCP port on all configured addresses.
pub(crate) fn bind_tcp(config: &Config, port: u16) -> Result<Vec<Listener>> {
    // Names are resolved.
    tessera_store::assert_unlocked("'bind'");
    let mut listeners = Vec::new();
    for text in &config.network.bind.0 {
        let (ip, optional) = bind_address(text)?;
        match bind_one(SocketAddr::new(ip, port), config.network.tcp_backlog) {
            Ok(socket) => listeners.push(Listener { socket, unix: None }),
            Err(error) if optional && is_missing_address(&error) => {}
            Err(error) => {
                return Err(error).with_context(|| {
                    format!("Could not create server TCP listening socket {text}:{port}: bind")
                });
            }
        }
    }
    anyhow::ensure!(!listeners.is_empty(), "none of the addresses of 'bind' exists here");
    Ok(listeners)
}

/// As [`bind_tcp`], for a server that does not start without it.
pub(crate) fn bind_at_start(config: &Config, port: u16) -> Result<Vec<Listener>> {
    bind_tcp(config, port)
        .with_context(|| format!("Failed listening on port {port} (tcp), aborting"))
}

fn is_missing_address(error: &std::io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw_os_error),
        Some(
            Errno::ADDRNOTAVAIL
                | Errno::AFNOSUPPORT
                | Errno::NOPROTOOPT
                | Errno::PROTONOSUPPORT
                | Errno::SOCKTNOSUPPORT
                | Errno::PFNOSUPPORT
        )
    )
}

fn bind_one(addr: SocketAddr, backlog: u32) -> std::io::Result<Socket> {
    let socket =
        Socket::new(Domain::for_address(addr), Type::STREAM.nonblocking().cloexec(), None)?;
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&addr.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket)
}

fn bind_unix(path: &Path, config: &Config) -> Result<Listener> {
    let context = || format!("Failed opening Unix socket: bind: {}", path.display());
    remove_stale(path).with_context(context)?;
    let socket = unix_socket()?;
    socket.bind(&SockAddr::unix(path).with_context(context)?).with_context(context)?;
    let mode = config.network.unixsocketperm.0;
    if mode != 0 {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
            .with_context(context)?;
    }
    give_to_group(path, &config.network.unixsocketgroup).with_context(context)?;
    socket.listen(config.network.tcp_backlog as i32).with_context(context)?;
    let name = path.display().to_string();
    // CONFIG SET dir may take the process elsewhere.
    let path = std::path::absolute(path).with_context(context)?;
    let identity = identity(&path);
    Ok(Listener { socket, unix: Some(UnixFile { name, path, identity }) })
}

fn unix_socket() -> std::io::Result<Socket> {
    Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)
}

/// The device and number of a file.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let file = std::fs::symlink_metadata(path).ok()?;
    Some((file.dev(), file.ino()))
}

/// Removes the socket that a server has left behind which lives no more. One on which somebody
/// answers stays: its clients would be without their server, and nobody would tell them.
fn remove_stale(path: &Path) -> Result<()> {
    let file = match std::fs::symlink_metadata(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    anyhow::ensure!(file.file_type().is_socket(), "a file that is no socket is in its place");
    match unix_socket()?.connect(&SockAddr::unix(path)?) {
        // No server listens.
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        // WouldBlock: somebody listens whose queue is full.
        Ok(()) => anyhow::bail!("another server that is alive listens on it"),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            anyhow::bail!("another server that is alive listens on it");
        }
        Err(error) => return Err(error).context("it cannot be found out whether anybody listens"),
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// All listening sockets of the clients' port and the unix socket.
pub(crate) fn listen(config: &Config) -> Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    if config.network.port != 0 {
        listeners = bind_at_start(config, config.network.port)?;
    }
    let path = &config.network.unixsocket;
    if !path.is_empty() {
        listeners.push(bind_unix(Path::new(path), config)?);
    }
    Ok(listeners)
}

/// Gives a unix socket to a group, whose members `unixsocketperm` may let in; an empty name: to
/// none.
fn give_to_group(path: &Path, name: &str) -> Result<()> {
    if name.is_empty() {
        return Ok(());
    }
    let group = nix::unistd::Group::from_name(name)?;
    let group = group.with_context(|| format!("there is no group '{name}'"))?;
    nix::unistd::chown(path, None, Some(group.gid))?;
    Ok(())
}

/// Accepts what waits at a listener, at most `limit` connections.
///
/// # Errors
/// Why there is one more that cannot be accepted.
pub(crate) fn accept(
    listener: &Listener,
    server: &Server,
    config: &Arc<Config>,
    limit: usize,
    mut serve: impl FnMut(Accepted),
) -> Result<(), Errno> {
    for _ in 0..limit {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let (fd, _) = match acceptfrom_with(listener.descriptor(), flags) {
            Ok(accepted) => accepted,
            Err(Errno::INTR | Errno::CONNABORTED) => continue,
            Err(Errno::AGAIN) => return Ok(()),
            Err(error) => return Err(error),
        };
        let socket = Socket::from(fd);
        if let Some(accepted) = welcome(socket, listener, server, config) {
            serve(accepted);
        }
    }
    Ok(())
}

/// Prepares a new connection; refuses it where the configuration says so.
fn welcome(
    socket: Socket,
    listener: &Listener,
    server: &Server,
    config: &Config,
) -> Option<Accepted> {
    let stats = server.engine.stats.thread(0);
    let refuse = |socket: Socket, text: &str| {
        stats.bump(|stats| &stats.rejected_connections, 1);
        let _ = ClientSocket::from(socket).send(text.as_bytes());
    };
    let Some(place) = server.places.take(config.network.maxclients as usize) else {
        refuse(socket, "-ERR max number of clients reached\r\n");
        return None;
    };
    if let Some(file) = &listener.unix {
        let name = format!("{}:0", file.name);
        let (peer, local) = (name.clone(), name);
        let socket = socket.into();
        return Some(Accepted { socket, place, peer, local, is_local: true, is_unix: true });
    }
    let peer = socket.peer_addr().ok()?.as_socket()?;
    let local = socket.local_addr().ok()?.as_socket()?;
    let is_local = peer.ip().to_canonical().is_loopback();
    let open = config.general.requirepass.reveal().is_none() && config.network.protected_mode;
    if open && !is_local {
        refuse(socket, PROTECTED);
        return None;
    }
    let _ = socket.set_tcp_nodelay(true);
    keep_alive(&socket, config.network.tcp_keepalive);
    let name =
        |addr: SocketAddr| SocketAddr::new(addr.ip().to_canonical(), addr.port()).to_string();
    let (peer, local) = (name(peer), name(local));
    Some(Accepted { socket: socket.into(), place, peer, local, is_local, is_unix: false })
}

const PROTECTED: &str = "-DENIED Redis is running in protected mode because protected mode is enabled and no \
    password is set for the default user. In this mode connections are only accepted from the loopback interface. \
    To let other machines in, set a password (requirepass) or switch protected mode off: CONFIG SET protected-mode no \
    from this machine, or 'protected-mode no' in the configuration file.\r\n";

/// Probes a silent peer: `tcp-keepalive` seconds, 0 for never.
pub(crate) fn keep_alive(socket: &Socket, seconds: u32) {
    if seconds == 0 {
        return;
    }
    let period = std::time::Duration::from_secs(u64::from(seconds));
    let probes = socket2::TcpKeepalive::new().with_time(period).with_interval(period / 3);
    let _ = socket.set_tcp_keepalive(&probes.with_retries(3));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixListener, UnixStream};

    /// Listens on a unix socket alone.
    fn listen_at(path: &Path) -> Result<Vec<Listener>> {
        let mut config = Config::default();
        config.network.port = 0;
        config.network.unixsocket = path.display().to_string();
        listen(&config)
    }

    #[test]
    fn the_socket_of_a_server_that_is_alive_stays() {
        let temp = tempfile::tempdir().expect("a directory");
        let path = temp.path().join("socket");
        let first = listen_at(&path).expect("nobody has it");
        let error = listen_at(&path).err().expect("the first one has it");
        assert!(format!("{error:#}").contains("another server that is alive"), "{error:#}");
        UnixStream::connect(&path).expect("the first one still listens");

        // Also where nobody takes what comes.
        let busy = temp.path().join("busy");
        let listener = unix_socket().expect("a socket");
        listener.bind(&SockAddr::unix(&busy).expect("short")).expect("nobody has it");
        listener.listen(0).expect("it is bound");
        let _fills_the_queue = UnixStream::connect(&busy).expect("there is one place");
        let error = listen_at(&busy).err().expect("somebody has it");
        assert!(format!("{error:#}").contains("another server that is alive"), "{error:#}");

        drop(first);
        assert!(!path.exists(), "its own socket goes with it");
    }

    #[test]
    fn a_socket_that_was_left_behind_is_replaced_but_no_other_file() {
        let temp = tempfile::tempdir().expect("a directory");
        let path = temp.path().join("socket");
        drop(UnixListener::bind(&path).expect("nobody has it"));
        assert!(path.exists(), "it is left behind");
        let first = listen_at(&path).expect("nobody listens");

        // A program that has removed it and put another in its place keeps that one.
        std::fs::remove_file(&path).expect("it is there");
        let _other = UnixListener::bind(&path).expect("nobody has it");
        drop(first);
        assert!(path.exists(), "it belongs to another");

        let text = temp.path().join("text");
        std::fs::write(&text, "precious").expect("writable");
        let error = listen_at(&text).err().expect("it is no socket");
        assert!(format!("{error:#}").contains("a file that is no socket"), "{error:#}");
        assert_eq!(std::fs::read(&text).expect("it is there"), b"precious");
    }
}

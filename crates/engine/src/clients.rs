//! The clients of the server, as CLIENT LIST and CLIENT KILL see them.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicI64, AtomicU8, AtomicU64, AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

/// The kind of client that a connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClientKind {
    /// A client that sends commands.
    Normal,
    /// A replica of this node.
    Replica,
    /// The link to this node's primary.
    Primary,
    /// A client with subscriptions.
    PubSub,
}

/// The answer to a client that another one has unblocked.
pub const UNBLOCKED: &str = "UNBLOCKED client unblocked via CLIENT UNBLOCK";

/// A client's waiting for replicas (WAIT). Its own thread begins and ends it; CLIENT UNBLOCK, on
/// any thread, asks for the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AckWait {
    /// It does not wait.
    None,
    /// It waits.
    Waiting,
    /// It is to be answered as if its time were up.
    TimeOut,
    /// It is to be answered with an error.
    Fail,
}

const ACK_WAITS: [AckWait; 4] = [AckWait::None, AckWait::Waiting, AckWait::TimeOut, AckWait::Fail];

/// Names a client has given itself.
#[derive(Clone, Debug, Default)]
pub struct ClientNames {
    /// CLIENT SETNAME.
    pub name: Vec<u8>,
    /// CLIENT SETINFO lib-name.
    pub library: Vec<u8>,
    /// CLIENT SETINFO lib-ver.
    pub library_version: Vec<u8>,
}

/// The public state of a client. The connection's thread stores; any thread reads.
#[derive(Debug)]
pub struct ClientInfo {
    /// CLIENT ID.
    pub id: u64,
    /// The peer's address, `ip:port` or `path:0`.
    pub addr: String,
    /// The local address.
    pub laddr: String,
    /// The file descriptor.
    pub fd: i32,
    /// Whether the client connected over the unix socket or loopback.
    pub local: bool,
    /// Whether it is a unix socket.
    pub unix: bool,
    /// The I/O thread that owns the connection.
    pub thread: usize,
    /// When it connected, Unix ms.
    pub created: u64,
    /// When it last sent or took something, Unix ms.
    pub last_active: AtomicU64,
    /// Its last command: an index into the command table plus 1, 0 if none.
    pub last_command: AtomicUsize,
    /// The selected database.
    pub db: AtomicUsize,
    /// 2 or 3.
    pub resp: AtomicUsize,
    /// Bytes waiting to be parsed.
    pub query_bytes: AtomicUsize,
    /// Bytes of an unfinished command that are parsed.
    pub parsed_bytes: AtomicUsize,
    /// Bytes that the buffer with both takes.
    pub query_room: AtomicUsize,
    /// Bytes waiting to be sent.
    pub reply_bytes: AtomicUsize,
    /// Bytes that the buffer with these takes.
    pub reply_room: AtomicUsize,
    /// Bytes received.
    pub total_in: AtomicU64,
    /// Bytes sent.
    pub total_out: AtomicU64,
    /// Commands run.
    pub commands: AtomicU64,
    /// CLIENT NO-EVICT.
    pub no_evict: AtomicBool,
    /// CLIENT NO-TOUCH.
    pub no_touch: AtomicBool,
    /// READONLY.
    pub readonly: AtomicBool,
    /// Waiting in a blocking command, or for replicas.
    pub blocked: AtomicBool,
    /// How far waiting for replicas (WAIT) has come, as a number of [`AckWait`].
    ack_wait: AtomicU8,
    /// Commands queued since MULTI; -1 outside a transaction.
    pub multi: AtomicI64,
    /// Bytes that these take.
    pub multi_bytes: AtomicUsize,
    /// Keys of WATCH.
    pub watching: AtomicUsize,
    /// Bytes that these take.
    pub watching_bytes: AtomicUsize,
    /// The client's share in [`Clients::memory`].
    pub(crate) accounted: AtomicUsize,
    /// To be disconnected by its thread; set by [`Clients::kill`].
    pub killed: AtomicBool,
    /// The kind, as a number of [`ClientKind`].
    kind: AtomicUsize,
    /// The client's waiter in a blocking command.
    pub(crate) waiter: Mutex<Option<Arc<crate::Waiter>>>,
    /// Names; changed rarely.
    pub names: Mutex<ClientNames>,
}

const KINDS: [ClientKind; 4] =
    [ClientKind::Normal, ClientKind::Replica, ClientKind::Primary, ClientKind::PubSub];

impl ClientInfo {
    /// A client which connects at `now` (Unix ms).
    pub fn new(id: u64, addr: String, laddr: String, fd: i32, thread: usize, now: u64) -> Self {
        ClientInfo {
            id,
            addr,
            laddr,
            fd,
            local: false,
            unix: false,
            thread,
            created: now,
            last_active: AtomicU64::new(now),
            last_command: AtomicUsize::new(0),
            db: AtomicUsize::new(0),
            resp: AtomicUsize::new(2),
            query_bytes: AtomicUsize::new(0),
            parsed_bytes: AtomicUsize::new(0),
            query_room: AtomicUsize::new(0),
            reply_bytes: AtomicUsize::new(0),
            reply_room: AtomicUsize::new(0),
            total_in: AtomicU64::new(0),
            total_out: AtomicU64::new(0),
            commands: AtomicU64::new(0),
            no_evict: AtomicBool::new(false),
            no_touch: AtomicBool::new(false),
            readonly: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
            ack_wait: AtomicU8::new(AckWait::None as u8),
            multi: AtomicI64::new(-1),
            multi_bytes: AtomicUsize::new(0),
            watching: AtomicUsize::new(0),
            watching_bytes: AtomicUsize::new(0),
            accounted: AtomicUsize::new(0),
            killed: AtomicBool::new(false),
            kind: AtomicUsize::new(0),
            waiter: Mutex::default(),
            names: Mutex::default(),
        }
    }

    /// The kind of client.
    pub fn kind(&self) -> ClientKind {
        KINDS[self.kind.load(Relaxed)]
    }

    /// Changes the kind of client.
    pub fn set_kind(&self, kind: ClientKind) {
        self.kind.store(kind as usize, Relaxed);
    }

    /// How far waiting for replicas has come.
    pub fn ack_wait(&self) -> AckWait {
        ACK_WAITS[usize::from(self.ack_wait.load(Relaxed))]
    }

    /// The client begins to wait for replicas.
    pub fn begin_ack_wait(&self) {
        self.blocked.store(true, Relaxed);
        self.ack_wait.store(AckWait::Waiting as u8, Relaxed);
    }

    /// The client does not wait any more; how far it had come.
    pub fn end_ack_wait(&self) -> AckWait {
        self.blocked.store(false, Relaxed);
        ACK_WAITS[usize::from(self.ack_wait.swap(AckWait::None as u8, Relaxed))]
    }

    /// Asks that a client does not wait for replicas any longer; false if it does not wait, or
    /// somebody has asked already.
    pub fn cut_ack_wait(&self, end: AckWait) -> bool {
        let waiting = AckWait::Waiting as u8;
        self.ack_wait.compare_exchange(waiting, end as u8, Relaxed, Relaxed).is_ok()
    }

    /// Whether the client was ended by [`Clients::kill`].
    #[inline]
    pub fn is_killed(&self) -> bool {
        self.killed.load(Acquire)
    }

    /// Whether the client waits for keys, and nobody has taken it upon himself to answer it.
    pub fn is_waiting(&self) -> bool {
        self.waiter.lock().is_some()
    }

    /// The line of CLIENT LIST, without line break.
    pub fn line(&self, now: u64) -> String {
        let names = self.names.lock().clone();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (query, reply) = (self.query_bytes.load(Relaxed), self.reply_bytes.load(Relaxed));
        let parsed = self.parsed_bytes.load(Relaxed);
        let query_free = self.query_room.load(Relaxed).saturating_sub(query + parsed);
        let reply_room = self.reply_room.load(Relaxed);
        let multi_bytes = self.multi_bytes.load(Relaxed);
        let command = crate::commands::name_of(self.last_command.load(Relaxed));
        format!(
            "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={} db={} sub=0 psub=0 ssub=0 multi={} watch={} \
             qbuf={query} qbuf-free={query_free} argv-mem={parsed} multi-mem={multi_bytes} rbs={reply_room} rbp={reply_room} obl=0 oll=0 omem={reply} \
             tot-mem={} events=r cmd={command} user=default redir=-1 resp={} lib-name={} lib-ver={} tot-net-in={} \
             tot-net-out={} tot-cmds={}",
            self.id,
            self.addr,
            self.laddr,
            self.fd,
            text(&names.name),
            now.saturating_sub(self.created) / 1000,
            now.saturating_sub(self.last_active.load(Relaxed)) / 1000,
            self.flags(),
            self.db.load(Relaxed),
            self.multi.load(Relaxed),
            self.watching.load(Relaxed),
            self.memory(),
            self.resp.load(Relaxed),
            text(&names.library),
            text(&names.library_version),
            self.total_in.load(Relaxed),
            self.total_out.load(Relaxed),
            self.commands.load(Relaxed),
        )
    }

    /// The letters of CLIENT LIST.
    fn flags(&self) -> String {
        let mut flags = String::new();
        match self.kind() {
            ClientKind::Replica => flags.push('S'),
            ClientKind::Primary => flags.push('M'),
            ClientKind::PubSub => flags.push('P'),
            ClientKind::Normal => {}
        }
        if self.multi.load(Relaxed) >= 0 {
            flags.push('x');
        }
        for (set, letter) in [
            (&self.blocked, 'b'),
            (&self.killed, 'c'),
            (&self.readonly, 'r'),
            (&self.no_evict, 'e'),
            (&self.no_touch, 'T'),
        ] {
            if set.load(Relaxed) {
                flags.push(letter);
            }
        }
        if self.unix {
            flags.push('U');
        }
        if flags.is_empty() { "N".to_owned() } else { flags }
    }
}

/// The clients that CLIENT LIST or CLIENT KILL means; every condition must hold.
#[derive(Clone, Debug, Default)]
pub struct ClientFilter {
    /// One of these ids; empty: any.
    pub ids: Vec<u64>,
    /// The peer's address.
    pub addr: Option<Vec<u8>>,
    /// The local address.
    pub laddr: Option<Vec<u8>>,
    /// The kind.
    pub kind: Option<ClientKind>,
    /// The user; only `default` exists.
    pub user: Option<Vec<u8>>,
    /// Connected for at least this many seconds.
    pub max_age: Option<u64>,
    /// Not this client.
    pub except: Option<u64>,
}

impl ClientFilter {
    fn matches(&self, client: &ClientInfo, now: u64) -> bool {
        let is = |wanted: &Option<Vec<u8>>, text: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == text.as_bytes())
        };
        (self.ids.is_empty() || self.ids.contains(&client.id))
            && is(&self.addr, &client.addr)
            && is(&self.laddr, &client.laddr)
            && is(&self.user, "default")
            && self.kind.is_none_or(|kind| kind == client.kind())
            && self.max_age.is_none_or(|age| now.saturating_sub(client.created) / 1000 >= age)
            && self.except != Some(client.id)
    }
}

/// All connected clients, guarded by one mutex that only connecting, disconnecting and CLIENT take.
#[derive(Default)]
pub struct Clients {
    pub(crate) by_id: Mutex<BTreeMap<u64, Arc<ClientInfo>>>,
    next_id: AtomicU64,
    /// Bytes that all take.
    pub(crate) memory: AtomicUsize,
}

impl Clients {
    /// The id of a new client: 1, 2, …
    pub fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Relaxed) + 1
    }

    /// Adds a client.
    pub fn add(&self, client: Arc<ClientInfo>) {
        self.by_id.lock().insert(client.id, client);
    }

    /// Removes a client, and what it took.
    pub fn remove(&self, client: &ClientInfo) {
        self.by_id.lock().remove(&client.id);
        self.account_as(client, 0);
    }

    /// Ends a client: from now on it is in no list, runs no command and is given nothing that it
    /// waits for. Its thread still has to close the connection. False: somebody else has ended it
    /// before.
    ///
    /// The link to this node's primary stays in the list, since it connects anew.
    pub fn kill(&self, client: &ClientInfo) -> bool {
        self.kill_listed(&mut self.by_id.lock(), client)
    }

    /// As [`Clients::kill`], with the list at hand.
    pub(crate) fn kill_listed(
        &self,
        by_id: &mut BTreeMap<u64, Arc<ClientInfo>>,
        client: &ClientInfo,
    ) -> bool {
        if client.kind() == ClientKind::Primary {
            return !client.killed.swap(true, AcqRel);
        }
        client.killed.store(true, Release);
        self.account_as(client, 0);
        by_id.remove(&client.id).is_some()
    }

    /// A client by its id.
    pub fn get(&self, id: u64) -> Option<Arc<ClientInfo>> {
        self.by_id.lock().get(&id).cloned()
    }

    /// The number of clients.
    pub fn len(&self) -> usize {
        self.by_id.lock().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The clients that a filter means, by id.
    pub fn matching(&self, filter: &ClientFilter, now: u64) -> Vec<Arc<ClientInfo>> {
        self.by_id.lock().values().filter(|client| filter.matches(client, now)).cloned().collect()
    }
}

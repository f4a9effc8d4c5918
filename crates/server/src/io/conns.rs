//! The connections of an I/O thread, and the numbers by which its lists name them.
//!
//! Not here: what a connection is (`conn.rs`), and which lists there are (`thread.rs`).

use super::Conn;
use std::collections::HashMap;

/// A connection of this thread.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct ConnId(usize);

impl ConnId {
    /// The lowest and the highest.
    pub(super) const FIRST: ConnId = ConnId(0);
    pub(super) const LAST: ConnId = ConnId(usize::MAX);

    /// As epoll tells it.
    pub(super) fn from_token(token: u64) -> ConnId {
        ConnId(token as usize)
    }

    /// What epoll is to tell.
    pub(super) fn token(self) -> u64 {
        self.0 as u64
    }
}

/// The connections of a thread, by number. A number is reused only in a later turn, so that an
/// event of this turn never reaches a stranger.
#[derive(Default)]
pub(super) struct Conns {
    slots: Vec<Option<Box<Conn>>>,
    free: Vec<ConnId>,
    /// Freed in this turn.
    resting: Vec<ConnId>,
    by_client: HashMap<u64, ConnId>,
}

impl Conns {
    pub(super) fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.slots.get_mut(id.0)?.as_deref_mut()
    }

    pub(super) fn add(&mut self, conn: Conn) -> ConnId {
        let client = conn.info().id;
        let id = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            ConnId(self.slots.len() - 1)
        });
        self.slots[id.0] = Some(Box::new(conn));
        self.by_client.insert(client, id);
        id
    }

    pub(super) fn remove(&mut self, id: ConnId) -> Option<Box<Conn>> {
        let conn = self.slots.get_mut(id.0)?.take()?;
        self.by_client.remove(&conn.info().id);
        self.resting.push(id);
        Some(conn)
    }

    /// Takes a connection out for a while; its index stays its own.
    pub(super) fn take(&mut self, id: ConnId) -> Option<Box<Conn>> {
        self.slots.get_mut(id.0)?.take()
    }

    /// Puts it back.
    pub(super) fn put_back(&mut self, id: ConnId, conn: Box<Conn>) {
        self.slots[id.0] = Some(conn);
    }

    /// The index of a client's connection.
    pub(super) fn of_client(&self, client: u64) -> Option<ConnId> {
        self.by_client.get(&client).copied()
    }

    pub(super) fn end_turn(&mut self) {
        self.free.append(&mut self.resting);
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = ConnId> + use<> {
        (0..self.slots.len()).map(ConnId)
    }
}

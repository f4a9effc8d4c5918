//! Keyspace notifications: those who have asked for them (`notify-keyspace-events`) hear the events
//! of keys.
//!
//! A handler says what has happened with [`crate::Cx::notify`]; with the directive empty, which is
//! the default, that is one test of a word of the configuration. Otherwise the event goes to the
//! engine's [`EventSink`], under the lock of the key's slot.

use std::sync::{Arc, OnceLock};
use tessera_config::special::KeyspaceEvents;

/// The class of an event, by which it is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventClass {
    /// `g`: commands on any type: `del`, `expire`, `rename_to` …
    Generic,
    /// `$`: strings.
    String,
    /// `l`: lists.
    List,
    /// `s`: sets.
    Set,
    /// `h`: hashes.
    Hash,
    /// `z`: sorted sets.
    SortedSet,
    /// `x`: a key was removed since its time had come.
    Expired,
    /// `e`: a key was removed for want of memory.
    Evicted,
    /// `t`: streams.
    Stream,
    /// `d`: modules.
    Module,
    /// `n`: a key was made. Not part of `A`.
    New,
    /// `m`: a key was read that is not there. Not part of `A`.
    Miss,
}

impl EventClass {
    /// The letter by which `notify-keyspace-events` names the class.
    pub fn letter(self) -> u8 {
        match self {
            EventClass::Generic => b'g',
            EventClass::String => b'$',
            EventClass::List => b'l',
            EventClass::Set => b's',
            EventClass::Hash => b'h',
            EventClass::SortedSet => b'z',
            EventClass::Expired => b'x',
            EventClass::Evicted => b'e',
            EventClass::Stream => b't',
            EventClass::Module => b'd',
            EventClass::New => b'n',
            EventClass::Miss => b'm',
        }
    }
}

/// An event of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event<'a> {
    /// The number of the key's database.
    pub db: usize,
    /// The class.
    pub class: EventClass,
    /// The event's name: `set`, `del` …
    pub event: &'static str,
    /// The key.
    pub key: &'a [u8],
    /// `K`: to be published under the key's name.
    pub by_key: bool,
    /// `E`: to be published under the event's name.
    pub by_event: bool,
}

/// The receiver of events.
pub trait EventSink: Send + Sync {
    /// Something has happened to a key. Called with the key's slot locked: it must neither block
    /// nor use the keyspace.
    fn happened(&self, event: &Event<'_>);
}

/// The engine's sink, if there is one.
pub(crate) type Sink = OnceLock<Arc<dyn EventSink>>;

/// Passes on what was asked for.
#[derive(Clone, Copy)]
pub(crate) struct Notifier<'a> {
    asked: KeyspaceEvents,
    sink: &'a Sink,
}

impl<'a> Notifier<'a> {
    pub(crate) fn new(asked: KeyspaceEvents, sink: &'a Sink) -> Notifier<'a> {
        Notifier { asked, sink }
    }

    /// Something has happened to a key.
    #[inline]
    pub(crate) fn happened(self, db: usize, class: EventClass, event: &'static str, key: &[u8]) {
        if !self.asked.is_empty() {
            self.pass_on(db, class, event, key);
        }
    }

    #[cold]
    fn pass_on(self, db: usize, class: EventClass, event: &'static str, key: &[u8]) {
        let (by_key, by_event) = (self.asked.contains(b'K'), self.asked.contains(b'E'));
        if self.asked.contains(class.letter())
            && (by_key || by_event)
            && let Some(sink) = self.sink.get()
        {
            sink.happened(&Event { db, class, event, key, by_key, by_event });
        }
    }
}

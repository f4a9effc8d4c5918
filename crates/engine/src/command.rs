//! The description of a command: the one place that everything about it is read from (execution,
//! COMMAND, ACL categories).

pub(crate) use crate::command_words::{Categories, KeyUse};
use crate::{Args, Cx, Db, Done, Fail};

/// Properties of a command, as COMMAND INFO shows them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flags(u32);

macro_rules! flags {
    ($($bit:literal $name:ident $word:literal, $doc:literal;)*) => {
        impl Flags {
            $(#[doc = $doc] pub const $name: Flags = Flags(1 << $bit);)*
            /// The flags with the words that COMMAND INFO shows; an empty word is not shown.
            const WORDS: &[(Flags, &str)] = &[$((Flags::$name, $word)),*];
        }
    };
}

flags! {
    0 WRITE "write", "May change keys.";
    1 READONLY "readonly", "Reads keys, and changes none.";
    2 DENYOOM "denyoom", "May need memory: refused when there is none left.";
    3 ADMIN "admin", "Administers the server.";
    4 PUBSUB "pubsub", "Belongs to publish/subscribe.";
    5 NOSCRIPT "noscript", "Not allowed in scripts.";
    6 BLOCKING "blocking", "May make its client wait.";
    7 LOADING "loading", "Allowed while the data is being loaded.";
    8 STALE "stale", "Allowed on a replica that has lost its primary.";
    9 SKIP_MONITOR "skip_monitor", "Not shown by MONITOR.";
    10 SKIP_SLOWLOG "skip_slowlog", "Not in the slow log.";
    11 ASKING "asking", "Allowed on a slot that is being imported.";
    12 FAST "fast", "Constant or logarithmic time.";
    13 NO_AUTH "no_auth", "Allowed before authentication.";
    14 MAY_REPLICATE "", "May be sent to replicas though it writes nothing. Not shown.";
    15 NO_MANDATORY_KEYS "no_mandatory_keys", "Works without any key too.";
    16 NO_ASYNC_LOADING "no_async_loading", "Not allowed during a load beside the old data.";
    17 NO_MULTI "no_multi", "Not allowed in a transaction.";
    18 ALLOW_BUSY "allow_busy", "Allowed while a script is busy.";
    19 EXCLUSIVE "", "Runs with the world to itself. Not shown.";
    20 YIELDS "", "May run for long, and lets its thread's other clients run meanwhile. Not shown.";
}

impl Flags {
    /// No property.
    pub const NONE: Flags = Flags(0);

    /// Both sets of properties.
    pub const fn or(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// The properties that both have.
    pub const fn and(self, other: Flags) -> Flags {
        Flags(self.0 & other.0)
    }

    /// Whether all properties of `other` are there.
    #[inline]
    pub const fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any property of `other` is there.
    #[inline]
    pub const fn any(self, other: Flags) -> bool {
        self.0 & other.0 != 0
    }

    /// The words that COMMAND INFO shows.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        Flags::WORDS
            .iter()
            .filter(move |(flag, word)| self.has(*flag) && !word.is_empty())
            .map(|&(_, word)| word)
    }
}

impl std::ops::BitOr for Flags {
    type Output = Flags;
    fn bitor(self, other: Flags) -> Flags {
        self.or(other)
    }
}

/// The positions of the keys among the arguments.
#[derive(Clone, Copy)]
pub enum Keys {
    /// The command has no keys.
    None,
    /// From `first` to `last` (negative: counted from the end), every `step`-th argument.
    Range {
        /// The first key.
        first: usize,
        /// The last key; -1 is the last argument.
        last: i32,
        /// The distance from key to key.
        step: usize,
    },
    /// Found by looking at the arguments.
    Search {
        /// The positions of the keys.
        find: fn(Args<'_>) -> Result<Vec<usize>, Fail>,
        /// The same for clients, as far as it can be said: places, and how the keys there are used.
        specs: &'static [(KeyPlace, KeyUse)],
    },
}

/// The place to look for keys, in the terms of COMMAND's key specifications.
#[derive(Clone, Copy)]
pub enum KeyPlace {
    /// One key, at this position.
    At(usize),
    /// The keys behind this position, as many as the number there says.
    Counted(usize),
    /// One key behind this word, which is looked for from this position on.
    Behind(&'static str, usize),
    /// The first half of what follows this word, which is looked for from this position on.
    HalfBehind(&'static str, usize),
    /// The positions depend on the command.
    Unknown,
}

impl Keys {
    /// The positions of the keys in these arguments, whose number fits the command's arity.
    ///
    /// # Errors
    /// If the arguments do not say where the keys are.
    pub fn positions(self, args: Args<'_>) -> Result<Vec<usize>, Fail> {
        match self {
            Keys::None => Ok(Vec::new()),
            Keys::Range { first, last, step } => {
                Ok((first..=range_end(last, args.len())).step_by(step).collect())
            }
            Keys::Search { find, .. } => find(args),
        }
    }

    /// The position of the first key, if it is the same in all calls.
    #[inline]
    pub fn first(self) -> Option<usize> {
        match self {
            Keys::Range { first, .. } => Some(first),
            _ => None,
        }
    }

    /// Whether there is exactly one key, at the position [`Keys::first`].
    #[inline]
    pub(crate) fn is_one(self) -> bool {
        matches!(self, Keys::Range { first, last, .. } if last == first as i32)
    }
}

/// The position of the last key of a range.
pub(crate) fn range_end(last: i32, len: usize) -> usize {
    if last < 0 { (len as i64 + i64::from(last)).max(0) as usize } else { last as usize }
}

/// The family of a command, as COMMAND DOCS names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Group {
    /// Commands on any type.
    Generic,
    /// Strings.
    String,
    /// Lists.
    List,
    /// Sets.
    Set,
    /// Hashes.
    Hash,
    /// Sorted sets.
    SortedSet,
    /// Positions on the earth, in sorted sets.
    Geo,
    /// Streams.
    Stream,
    /// Bits of strings.
    Bitmap,
    /// Cardinality estimates in strings.
    HyperLogLog,
    /// The connection itself.
    Connection,
    /// Administration.
    Server,
    /// The cluster.
    Cluster,
    /// Transactions.
    Transactions,
}

impl Group {
    /// The name in COMMAND DOCS.
    pub fn name(self) -> &'static str {
        match self {
            Group::Generic => "generic",
            Group::String => "string",
            Group::List => "list",
            Group::Set => "set",
            Group::Hash => "hash",
            Group::SortedSet => "sorted-set",
            Group::Geo => "geo",
            Group::Stream => "stream",
            Group::Bitmap => "bitmap",
            Group::HyperLogLog => "hyperloglog",
            Group::Connection => "connection",
            Group::Server => "server",
            Group::Cluster => "cluster",
            Group::Transactions => "transactions",
        }
    }

    /// The ACL category of the family, if it has one.
    fn category(self) -> Categories {
        match self {
            Group::Generic => Categories::KEYSPACE,
            Group::String => Categories::STRING,
            Group::List => Categories::LIST,
            Group::Set => Categories::SET,
            Group::Hash => Categories::HASH,
            Group::SortedSet => Categories::SORTEDSET,
            Group::Geo => Categories::GEO,
            Group::Stream => Categories::STREAM,
            Group::Bitmap => Categories::BITMAP,
            Group::HyperLogLog => Categories::HYPERLOGLOG,
            Group::Connection => Categories::CONNECTION,
            Group::Transactions => Categories::TRANSACTION,
            Group::Server | Group::Cluster => Categories::NONE,
        }
    }
}

/// Runs a command: its keys' slots are locked, what was common to all commands has been checked.
pub type Handler = fn(&mut Db<'_, '_>, &mut Cx<'_>, Args<'_>) -> Done;

/// A command, or a subcommand.
pub struct Command {
    /// The name in lower case, a subcommand's without its parent's.
    pub name: &'static str,
    /// The number of arguments with the name (and the parent's name); negative: at least so many.
    pub arity: i32,
    /// The function that runs it. A parent's handler runs if no subcommand was found.
    pub handler: Handler,
    /// Properties.
    pub flags: Flags,
    /// The positions of the keys.
    pub keys: Keys,
    /// How the keys are used: one entry for all keys, or one for each. Empty: what follows from the
    /// flags.
    pub key_uses: &'static [KeyUse],
    /// How a call uses its keys, where that depends on its arguments.
    pub use_by: Option<fn(Args<'_>) -> KeyUse>,
    /// The calls that run with the world to themselves, outside cluster mode; beside
    /// [`Flags::EXCLUSIVE`].
    pub alone_if: Option<fn(Args<'_>) -> bool>,
    /// The part of its first key's value that it reads first.
    pub touches: Touches,
    /// The family.
    pub group: Group,
    /// The version of Redis that brought it.
    pub since: &'static str,
    /// The cost, in words.
    pub complexity: &'static str,
    /// A sentence about its effect.
    pub summary: &'static str,
    /// Its arguments, in the notation of `syntax.rs`.
    pub syntax: &'static str,
    /// ACL categories beyond those that follow from the flags; none: the family's.
    pub categories: Categories,
    /// What the engine has to know it by.
    pub role: Role,
    /// Hints for clients and proxies.
    pub tips: &'static [&'static str],
    /// Subcommands.
    pub subcommands: &'static [Command],
}

/// A command that is more to the engine than its handler.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Just a handler.
    Usual,
    /// EXEC: runs the transaction.
    Exec,
    /// DISCARD: drops the transaction.
    Discard,
    /// QUIT and RESET: run at once, transaction or not.
    AtOnce,
    /// ASKING: holds for the next command, which does not take it back.
    Asking,
    /// REPLCONF: the rim carries it out, so it is no part of a transaction.
    Replconf,
}

/// The part of its first key's value that a command reads first, as far as that is known before it
/// runs: a batch prefetches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touches {
    /// The key alone, and what lies beside it.
    Key,
    /// The value: its ends, where it has some.
    Value,
    /// The member or field that stands at this place among the arguments.
    Member(u8),
}

impl Command {
    /// A command without properties, keys and documentation.
    pub const fn new(name: &'static str, arity: i32, handler: Handler) -> Command {
        Command {
            name,
            arity,
            handler,
            flags: Flags::NONE,
            keys: Keys::None,
            key_uses: &[],
            use_by: None,
            alone_if: None,
            touches: Touches::Key,
            group: Group::Generic,
            since: "1.0.0",
            complexity: "O(1)",
            summary: "",
            syntax: "",
            categories: Categories::NONE,
            role: Role::Usual,
            tips: &[],
            subcommands: &[],
        }
    }

    /// Sets the properties.
    pub const fn flags(mut self, flags: Flags) -> Command {
        self.flags = flags;
        self
    }

    /// Sets where the keys stand.
    pub const fn keys(mut self, first: usize, last: i32, step: usize) -> Command {
        self.keys = Keys::Range { first, last, step };
        self
    }

    /// Sets how the keys are used: once for all, or for each.
    pub const fn uses(mut self, key_uses: &'static [KeyUse]) -> Command {
        self.key_uses = key_uses;
        self
    }

    /// Sets how a call uses its keys by its arguments, beside what [`Command::uses`] says of all
    /// calls.
    pub(crate) const fn uses_by(mut self, use_by: fn(Args<'_>) -> KeyUse) -> Command {
        self.use_by = Some(use_by);
        self
    }

    /// Sets which calls run with the world to themselves, since they reach keys that are not among
    /// their arguments. In cluster mode such keys must be in the slot of the others, and no call
    /// does.
    pub(crate) const fn alone_if(mut self, alone_if: fn(Args<'_>) -> bool) -> Command {
        self.alone_if = Some(alone_if);
        self
    }

    /// Whether a call runs with the world to itself.
    #[inline]
    pub(crate) fn runs_alone(&self, args: Args<'_>, is_cluster: bool) -> bool {
        self.flags.has(Flags::EXCLUSIVE)
            || !is_cluster && self.alone_if.is_some_and(|alone_if| alone_if(args))
    }

    /// How key number `ordinal` is used.
    pub(crate) fn key_use(&self, ordinal: usize) -> KeyUse {
        match self.key_uses {
            [] if self.flags.has(Flags::WRITE) => KeyUse::RW_ACCESS_UPDATE,
            [] => KeyUse::RO_ACCESS,
            uses => uses[ordinal.min(uses.len() - 1)],
        }
    }

    /// Sets what of its first key's value it reads first, where that is not what most of its family
    /// do.
    pub(crate) const fn touches(mut self, touches: Touches) -> Command {
        self.touches = touches;
        self
    }

    /// Sets family, version, cost, summary and arguments; and, by the family, what it touches.
    pub const fn doc(
        mut self,
        group: Group,
        since: &'static str,
        complexity: &'static str,
        summary: &'static str,
        syntax: &'static str,
    ) -> Command {
        self.group = group;
        self.touches = match (group, &self.keys) {
            (
                Group::Hash | Group::Set | Group::SortedSet,
                Keys::Range { first: 1, last: 1, .. },
            ) => {
                if self.arity.abs() > 2 {
                    Touches::Member(2)
                } else {
                    Touches::Value
                }
            }
            (
                Group::List | Group::Stream | Group::HyperLogLog | Group::Bitmap | Group::Geo,
                Keys::Range { first: 1, .. },
            ) => Touches::Value,
            _ => Touches::Key,
        };
        self.since = since;
        self.complexity = complexity;
        self.summary = summary;
        self.syntax = syntax;
        self
    }

    /// Sets the cost, in words.
    pub(crate) const fn costs(mut self, complexity: &'static str) -> Command {
        self.complexity = complexity;
        self
    }

    /// Sets the ACL categories that stand in place of the family's.
    pub(crate) const fn categories(mut self, categories: Categories) -> Command {
        self.categories = categories;
        self
    }

    /// Sets what the engine has to know it by.
    pub const fn role(mut self, role: Role) -> Command {
        self.role = role;
        self
    }

    /// Adds hints for clients and proxies.
    pub(crate) const fn tips(mut self, tips: &'static [&'static str]) -> Command {
        self.tips = tips;
        self
    }

    /// Sets the subcommands.
    pub(crate) const fn subcommands(mut self, subcommands: &'static [Command]) -> Command {
        self.subcommands = subcommands;
        self
    }

    /// Whether this number of arguments fits.
    #[inline]
    pub fn takes(&self, args: usize) -> bool {
        if self.arity >= 0 { args == self.arity as usize } else { args >= -self.arity as usize }
    }

    /// All ACL categories.
    pub(crate) fn all_categories(&self) -> Categories {
        let by_flag = [
            (Flags::WRITE, Categories::WRITE),
            (Flags::READONLY, Categories::READ),
            (Flags::ADMIN, Categories::ADMIN.or(Categories::DANGEROUS)),
            (Flags::PUBSUB, Categories::PUBSUB),
            (Flags::BLOCKING, Categories::BLOCKING),
            (Flags::FAST, Categories::FAST),
        ];
        let mut all = self.categories;
        for (flag, categories) in by_flag {
            if self.flags.has(flag) {
                all = all.or(categories);
            }
        }
        if !self.flags.has(Flags::FAST) {
            all = all.or(Categories::SLOW);
        }
        if self.categories.is_none() && self.subcommands.is_empty() {
            all = all.or(self.group.category());
        }
        all
    }
}

//! The table of directives.
//!
//! One file for each family of directives, one row for each directive: its documentation, field,
//! type, default, name and [`Spec`]. The `family!` macro makes the family's struct and its rows
//! from the same text, so that a directive cannot be half there.

pub mod checks;
pub mod cluster;
pub mod data;
pub mod general;
pub mod memory;
pub mod network;
pub mod observe;
pub mod persistence;
pub mod replication;
pub mod tls;

use crate::Config;
use crate::value::{Kind, Refused};

/// The fixed facts about a directive apart from its name: the kind of its value and its rules.
///
/// Built in the table by `Spec::new(kind)` and the modifiers below.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// The kind of its value.
    pub kind: Kind,
    /// Whether CONFIG SET may change it.
    pub mutable: bool,
    /// Whether CONFIG GET shows it to its exact name only.
    pub hidden: bool,
    /// Whether its value must not appear in logs.
    pub sensitive: bool,
    /// Whether CONFIG SET needs `enable-protected-configs`.
    pub protected: bool,
    /// Whether CONFIG SET is refused while the server loads its data.
    pub deny_loading: bool,
    /// How a change of it takes effect; `None`: this server does not act upon it.
    pub effect: Option<Effect>,
    /// The protection that it asks for and this version does not have.
    pub lacking: Option<Lacking>,
    /// Other names for the same directive.
    pub aliases: &'static [&'static str],
}

/// How a server takes up the new value of a directive.
///
/// [`Effect::Listen`], [`Effect::Directory`] and [`Effect::Descriptors`] can fail, so a server
/// prepares them before it sets anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// By reading the configuration each time that it goes by it. An immutable directive is read
    /// when the server starts.
    Read,
    /// At the next start. CONFIG SET refuses another value.
    Restart,
    /// It listens for clients on other sockets.
    Listen,
    /// It works in another directory.
    Directory,
    /// It gets a file descriptor for each client.
    Descriptors,
    /// It writes more or less into its log.
    LogLevel,
    /// It keeps more or less history for replicas.
    Backlog,
    /// It accepts or refuses writes of clients while it is a replica.
    ReadOnly,
    /// It counts anew whether there are enough good replicas for writes.
    GoodReplicas,
    /// The cluster's core is given its directives anew.
    Cluster,
}

/// A feature that a directive asks for and that this version does not have.
///
/// Such a directive is more than one without effect: an operator an operator who sets it relies on
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lacking {
    /// Protection, for the reason given. Neither a file nor CONFIG SET may ask for it.
    Protection(&'static str),
    /// Data on disk. A file and CONFIG SET may ask for it, and a warning says that it has no
    /// effect. CONFIG GET shows this value instead.
    Storage(&'static str),
}

impl Spec {
    /// Mutable, visible, without aliases, and not yet acted upon.
    const fn new(kind: Kind) -> Spec {
        Spec {
            kind,
            mutable: true,
            hidden: false,
            sensitive: false,
            protected: false,
            deny_loading: false,
            effect: None,
            lacking: None,
            aliases: &[],
        }
    }

    const fn immutable(self) -> Spec {
        Spec { mutable: false, ..self }
    }

    const fn hidden(self) -> Spec {
        Spec { hidden: true, ..self }
    }

    const fn sensitive(self) -> Spec {
        Spec { sensitive: true, ..self }
    }

    const fn protected(self) -> Spec {
        Spec { protected: true, ..self }
    }

    const fn deny_loading(self) -> Spec {
        Spec { deny_loading: true, ..self }
    }

    /// Marks a directive whose readers go by the configuration.
    const fn effective(self) -> Spec {
        self.takes(Effect::Read)
    }

    const fn takes(self, effect: Effect) -> Spec {
        Spec { effect: Some(effect), ..self }
    }

    const fn protects(self, reason: &'static str) -> Spec {
        Spec { lacking: Some(Lacking::Protection(reason)), ..self }
    }

    const fn stores(self, shown: &'static str) -> Spec {
        Spec { lacking: Some(Lacking::Storage(shown)), ..self }
    }

    const fn also(self, aliases: &'static [&'static str]) -> Spec {
        Spec { aliases, ..self }
    }
}

/// `yes` or `no`.
const FLAG: Spec = Spec::new(Kind::Flag);
/// Any text.
const TEXT: Spec = Spec::new(Kind::Text(checks::anything));
/// Several arguments in a form of their own.
const LIST: Spec = Spec::new(Kind::List);
/// A password.
const SECRET: Spec = Spec::new(Kind::Secret).sensitive();
/// A port; 0 means none, or the usual one.
const PORT: Spec = integer(0, 65_535);
/// Any non-negative C `int`.
const COUNT: Spec = integer(0, INT_MAX);
/// Any non-negative `long`.
const LONG_COUNT: Spec = integer(0, i64::MAX);
/// The largest C `int`, the upper limit of many directives.
const INT_MAX: i64 = i32::MAX as i64;
/// The largest size that a memory directive takes.
const SIZE_MAX: u64 = i64::MAX as u64;

const fn integer(low: i64, high: i64) -> Spec {
    Spec::new(Kind::Integer(low, high))
}

const fn bytes(low: u64, high: u64) -> Spec {
    Spec::new(Kind::Memory(low, high))
}

const fn choice(words: &'static [&'static str]) -> Spec {
    Spec::new(Kind::Choice(words))
}

const fn checked(check: fn(&str) -> Result<(), Refused>) -> Spec {
    Spec::new(Kind::Text(check))
}

/// Reads a directive's arguments into its field.
type Parse = fn(&mut Config, &[Vec<u8>], &Kind) -> Result<(), Refused>;

/// One directive: a row of the table.
pub struct Directive {
    /// Its name, in the spelling that this server writes.
    pub name: &'static str,
    /// Its purpose, with units.
    pub doc: &'static str,
    /// Its kind and rules.
    pub spec: Spec,
    show: fn(&Config) -> Vec<u8>,
    parse: Parse,
    lines: fn(&Config) -> Vec<Vec<u8>>,
    same: fn(&Config, &Config) -> bool,
}

impl Directive {
    /// Its name and its aliases.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.spec.aliases.iter().copied())
    }

    /// Its value as CONFIG GET prints it.
    pub fn show(&self, config: &Config) -> Vec<u8> {
        match self.spec.lacking {
            Some(Lacking::Storage(shown)) => shown.as_bytes().to_vec(),
            _ => (self.show)(config),
        }
    }

    /// Refuses a value by which a file asks for protection that this version does not give.
    pub(crate) fn check_protection(&self, config: &Config) -> Result<(), Refused> {
        match self.spec.lacking {
            Some(Lacking::Protection(reason)) if !self.same(config, &config.defaults()) => {
                Err(reason.to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Whether this server acts upon it.
    pub fn is_effective(&self) -> bool {
        self.spec.effect.is_some()
    }

    /// What the log says about a value that is accepted and not acted upon.
    pub fn warning(&self) -> String {
        let name = self.name;
        let reason = if self.wants_storage() { ": nothing is saved" } else { "" };
        format!("'{name}' is accepted but has no effect in this version{reason}")
    }

    /// Whether it asks for data on disk, which this version does not have.
    pub(crate) fn wants_storage(&self) -> bool {
        matches!(self.spec.lacking, Some(Lacking::Storage(_)))
    }

    /// Sets it from the arguments of a line.
    pub(crate) fn parse(&self, config: &mut Config, args: &[Vec<u8>]) -> Result<(), Refused> {
        (self.parse)(config, args, &self.spec.kind)
    }

    /// The text behind its name in a file, one element for each line.
    pub(crate) fn lines(&self, config: &Config) -> Vec<Vec<u8>> {
        (self.lines)(config)
    }

    /// Whether it has the same value in both.
    pub fn same(&self, left: &Config, right: &Config) -> bool {
        (self.same)(left, right)
    }
}

impl std::fmt::Debug for Directive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Directive").field("name", &self.name).field("spec", &self.spec).finish()
    }
}

/// Every directive, by family.
pub fn directives() -> impl Iterator<Item = &'static Directive> {
    [
        general::DIRECTIVES,
        network::DIRECTIVES,
        tls::DIRECTIVES,
        memory::DIRECTIVES,
        persistence::DIRECTIVES,
        replication::DIRECTIVES,
        cluster::DIRECTIVES,
        data::DIRECTIVES,
        observe::DIRECTIVES,
    ]
    .into_iter()
    .flatten()
}

/// The directive with this name or alias, in any case.
pub fn find(name: &[u8]) -> Option<&'static Directive> {
    directives().find(|directive| {
        directive.names().any(|known| known.as_bytes().eq_ignore_ascii_case(name))
    })
}

/// Declares a family: a struct with a field for each directive, its defaults, and the rows.
macro_rules! family {
    (
        $(#[$meta:meta])*
        $family:ident in $path:ident {
            $($(#[doc = $doc:literal])+ $field:ident: $type:ty = $default:expr, $name:literal, $spec:expr;)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $family {
            $($(#[doc = $doc])+ pub $field: $type,)*
        }

        impl Default for $family {
            fn default() -> Self {
                $family { $($field: $default,)* }
            }
        }

        pub(super) static DIRECTIVES: &[$crate::table::Directive] = &[
            $($crate::table::Directive {
                name: $name,
                doc: concat!($($doc),+),
                spec: $spec,
                show: |config| $crate::value::Setting::show(&config.$path.$field),
                parse: |config, args, kind| {
                    config.$path.$field =
                        $crate::value::Setting::parse(&config.$path.$field, args, kind)?;
                    Ok(())
                },
                lines: |config| $crate::value::Setting::lines(&config.$path.$field),
                same: |left, right| left.$path.$field == right.$path.$field,
            },)*
        ];
    };
}
use family;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_name_is_unique_and_documented() {
        let mut seen = HashSet::new();
        for directive in directives() {
            assert!(directive.doc.trim().len() > 10, "{} has no documentation", directive.name);
            for name in directive.names() {
                assert_eq!(name, name.to_ascii_lowercase());
                assert!(seen.insert(name), "{name} is declared twice");
            }
        }
        assert!(seen.len() > 220, "only {} names", seen.len());
    }

    #[test]
    fn names_are_found_in_any_case_and_by_alias() {
        for (name, canonical) in [
            ("PORT", "port"),
            ("slave-read-only", "replica-read-only"),
            ("primaryauth", "masterauth"),
            ("hash-max-ziplist-entries", "hash-max-listpack-entries"),
            ("lua-time-limit", "busy-reply-threshold"),
            ("slaveof", "replicaof"),
        ] {
            assert_eq!(find(name.as_bytes()).map(|found| found.name), Some(canonical));
        }
        assert!(find(b"nonsense").is_none());
    }

    #[test]
    fn limits_of_numbers_fit_their_fields() {
        for directive in directives() {
            let limits = match directive.spec.kind {
                Kind::Integer(low, high) => [low.to_string(), high.to_string()],
                Kind::Memory(low, high) => [low.to_string(), high.to_string()],
                Kind::Octal(low, high) => [format!("{low:o}"), format!("{high:o}")],
                _ => continue,
            };
            for limit in limits {
                let mut config = Config::default();
                let parsed = directive.parse(&mut config, &[limit.clone().into_bytes()]);
                assert_eq!(parsed, Ok(()), "{} {limit}", directive.name);
                assert_eq!(directive.show(&config), limit.into_bytes(), "{}", directive.name);
            }
        }
    }

    #[test]
    fn words_of_choices_are_accepted() {
        for directive in directives() {
            if let Kind::Choice(words) | Kind::Choices(words) = directive.spec.kind {
                assert!(!words.is_empty());
                for word in words {
                    let parsed =
                        directive.parse(&mut Config::default(), &[word.as_bytes().to_vec()]);
                    assert_eq!(parsed, Ok(()), "{} {word}", directive.name);
                }
            }
        }
    }

    #[test]
    fn defaults_read_back_from_get_and_from_a_file() {
        for directive in directives() {
            let mut config = Config::default();
            let shown = (directive.show)(&config);
            let args: Vec<Vec<u8>> = if directive.spec.kind.takes_list() {
                shown.split(|&byte| byte == b' ').map(<[u8]>::to_vec).collect()
            } else {
                vec![shown]
            };
            if directive.name == "save" {
                config.persistence.save.0.clear();
            }
            if directive.name != "replicaof" {
                assert_eq!(directive.parse(&mut config, &args), Ok(()), "{}", directive.name);
            }
            assert_eq!(config, Config::default(), "{}", directive.name);
        }
    }
}

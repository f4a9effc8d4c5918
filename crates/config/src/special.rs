//! Values with a form of their own.

use crate::value::{Kind, Refused, Setting, memory, memory_with_unit, single, strict_integer};

/// The most addresses that `bind` takes.
const BIND_ADDRESSES_MAX: usize = 16;

fn words(items: impl IntoIterator<Item = String>) -> Vec<u8> {
    items.into_iter().collect::<Vec<_>>().join(" ").into_bytes()
}

/// No arguments, or a single empty one: both mean the empty list.
fn is_cleared(args: &[Vec<u8>]) -> bool {
    args.is_empty() || (args.len() == 1 && args[0].is_empty())
}

/// The empty list is written as `""`, so that the default does not come back.
fn or_empty_quotes(shown: Vec<u8>) -> Vec<Vec<u8>> {
    vec![if shown.is_empty() { b"\"\"".to_vec() } else { shown }]
}

/// When to write a snapshot: after `seconds`, if there were at least `changes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavePoint {
    /// Seconds since the last snapshot, at least 1.
    pub seconds: u64,
    /// Changes since the last snapshot.
    pub changes: u64,
}

/// The snapshot rules; any one that holds starts a snapshot, none turns them off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavePoints(pub Vec<SavePoint>);

impl Default for SavePoints {
    /// After an hour with 1 change, 5 minutes with 100, a minute with 10,000.
    fn default() -> Self {
        let rules = [(3600, 1), (300, 100), (60, 10_000)];
        SavePoints(rules.map(|(seconds, changes)| SavePoint { seconds, changes }).into())
    }
}

impl Setting for SavePoints {
    /// Adds to the previous rules: each `save` line of a file is one more rule. A caller that wants
    /// to replace them (CONFIG SET, the first line of a file) clears them before.
    fn parse(previous: &Self, args: &[Vec<u8>], _: &Kind) -> Result<Self, Refused> {
        if is_cleared(args) {
            return Ok(SavePoints(Vec::new()));
        }
        let refused = || "Invalid save parameters".to_owned();
        let mut rules = previous.0.clone();
        let (pairs, []) = args.as_chunks::<2>() else { return Err(refused()) };
        for [seconds, changes] in pairs {
            let number = |text: &[u8]| strict_integer(text).and_then(|n| u64::try_from(n).ok());
            let seconds = number(seconds).filter(|seconds| *seconds >= 1).ok_or_else(refused)?;
            rules.push(SavePoint { seconds, changes: number(changes).ok_or_else(refused)? });
        }
        Ok(SavePoints(rules))
    }

    fn show(&self) -> Vec<u8> {
        words(self.0.iter().map(|rule| format!("{} {}", rule.seconds, rule.changes)))
    }

    fn lines(&self) -> Vec<Vec<u8>> {
        or_empty_quotes(self.show())
    }
}

/// When a client that does not read its answers is disconnected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputLimit {
    /// At once beyond this many bytes; 0 means no limit.
    pub hard_bytes: u64,
    /// Beyond this many bytes for longer than `soft_seconds`; 0 means no limit.
    pub soft_bytes: u64,
    /// How long the soft limit may be exceeded, in seconds.
    pub soft_seconds: u64,
}

/// The output limits of the three classes of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputLimits {
    /// Clients that ask and are answered.
    pub normal: OutputLimit,
    /// Replicas that follow this server.
    pub replica: OutputLimit,
    /// Clients subscribed to a channel or pattern.
    pub pubsub: OutputLimit,
}

impl Default for OutputLimits {
    fn default() -> Self {
        let mib = |count: u64| count << 20;
        OutputLimits {
            normal: OutputLimit::default(),
            replica: OutputLimit { hard_bytes: mib(256), soft_bytes: mib(64), soft_seconds: 60 },
            pubsub: OutputLimit { hard_bytes: mib(32), soft_bytes: mib(8), soft_seconds: 60 },
        }
    }
}

impl OutputLimits {
    fn class_mut(&mut self, name: &[u8]) -> Option<&mut OutputLimit> {
        match name.to_ascii_lowercase().as_slice() {
            b"normal" => Some(&mut self.normal),
            b"slave" | b"replica" => Some(&mut self.replica),
            b"pubsub" => Some(&mut self.pubsub),
            _ => None,
        }
    }
}

impl Setting for OutputLimits {
    /// Classes that are not named keep their limits.
    fn parse(previous: &Self, args: &[Vec<u8>], _: &Kind) -> Result<Self, Refused> {
        let mut limits = *previous;
        let (groups, []) = args.as_chunks::<4>() else {
            return Err("Wrong number of arguments in buffer limit configuration.".to_owned());
        };
        for [class, hard, soft, seconds] in groups {
            let limit = limits.class_mut(class).ok_or_else(|| {
                "Invalid client class specified in buffer limit configuration.".to_owned()
            })?;
            let seconds = strict_integer(seconds).and_then(|seconds| u64::try_from(seconds).ok());
            let (Some(hard_bytes), Some(soft_bytes), Some(soft_seconds)) =
                (memory(hard), memory(soft), seconds)
            else {
                return Err(
                    "Error in hard, soft or soft_seconds setting in buffer limit configuration."
                        .to_owned(),
                );
            };
            *limit = OutputLimit { hard_bytes, soft_bytes, soft_seconds };
        }
        Ok(limits)
    }

    fn show(&self) -> Vec<u8> {
        // "slave" is what CONFIG GET has always said here.
        let classes = [("normal", self.normal), ("slave", self.replica), ("pubsub", self.pubsub)];
        words(classes.map(|(name, limit)| {
            format!("{name} {} {} {}", limit.hard_bytes, limit.soft_bytes, limit.soft_seconds)
        }))
    }

    /// One line for each class that differs from its default.
    fn lines(&self) -> Vec<Vec<u8>> {
        let defaults = OutputLimits::default();
        [
            ("normal", self.normal, defaults.normal),
            ("replica", self.replica, defaults.replica),
            ("pubsub", self.pubsub, defaults.pubsub),
        ]
        .into_iter()
        .filter(|(_, limit, default)| limit != default)
        .map(|(name, limit, _)| {
            let (hard, soft) =
                (memory_with_unit(limit.hard_bytes), memory_with_unit(limit.soft_bytes));
            format!("{name} {hard} {soft} {}", limit.soft_seconds).into_bytes()
        })
        .collect()
    }
}

/// The addresses to listen on. `*` is every IPv4 address, `::*` every IPv6 one; a leading `-` says
/// that an address which is not available is no error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindAddresses(pub Vec<String>);

impl Default for BindAddresses {
    fn default() -> Self {
        BindAddresses(vec!["*".to_owned(), "-::*".to_owned()])
    }
}

impl Setting for BindAddresses {
    fn parse(_: &Self, args: &[Vec<u8>], _: &Kind) -> Result<Self, Refused> {
        if args.len() > BIND_ADDRESSES_MAX {
            return Err("Too many bind addresses specified.".to_owned());
        }
        if is_cleared(args) {
            return Ok(BindAddresses(Vec::new()));
        }
        let address = |text: &Vec<u8>| {
            String::from_utf8(text.clone()).map_err(|_| "argument is not valid UTF-8".to_owned())
        };
        args.iter().map(address).collect::<Result<_, _>>().map(BindAddresses)
    }

    fn show(&self) -> Vec<u8> {
        self.0.join(" ").into_bytes()
    }

    fn lines(&self) -> Vec<Vec<u8>> {
        let words = self.0.iter().map(|address| word(address.as_bytes()));
        or_empty_quotes(words.collect::<Vec<_>>().join(&b' '))
    }
}

/// One word of a line: quoted where it would not be read back as it is.
fn word(text: &[u8]) -> Vec<u8> {
    let plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\');
    if !text.is_empty() && text.iter().all(plain) { text.to_vec() } else { crate::quote(text) }
}

/// The primary that this server follows, if any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplicaOf(pub Option<PrimaryAddress>);

/// The address of a primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrimaryAddress {
    /// Name or IP address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl Setting for ReplicaOf {
    fn parse(_: &Self, args: &[Vec<u8>], _: &Kind) -> Result<Self, Refused> {
        let [host, port] = args else { return Err("wrong number of arguments".to_owned()) };
        if host.eq_ignore_ascii_case(b"no") && port.eq_ignore_ascii_case(b"one") {
            return Ok(ReplicaOf(None));
        }
        let port = strict_integer(port)
            .and_then(|port| u16::try_from(port).ok())
            .ok_or_else(|| "Invalid primary port".to_owned())?;
        let host = String::from_utf8(host.clone())
            .map_err(|_| "argument is not valid UTF-8".to_owned())?;
        Ok(ReplicaOf(Some(PrimaryAddress { host, port })))
    }

    fn show(&self) -> Vec<u8> {
        match &self.0 {
            Some(primary) => format!("{} {}", primary.host, primary.port).into_bytes(),
            None => Vec::new(),
        }
    }

    fn lines(&self) -> Vec<Vec<u8>> {
        self.0.iter().map(|_| self.show()).collect()
    }
}

/// Adjustments of the kernel's out-of-memory score: as a primary, as a replica, for children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OomScores(pub [i32; 3]);

impl Default for OomScores {
    fn default() -> Self {
        OomScores([0, 200, 800])
    }
}

impl Setting for OomScores {
    fn parse(_: &Self, args: &[Vec<u8>], _: &Kind) -> Result<Self, Refused> {
        let [primary, replica, child] = args else {
            return Err("wrong number of arguments".to_owned());
        };
        let score = |text: &[u8]| {
            strict_integer(text)
                .and_then(|score| i32::try_from(score).ok())
                .filter(|score| (-2000..=2000).contains(score))
                .ok_or_else(|| {
                    "Invalid oom-score-adj-values, elements must be between -2000 and 2000."
                        .to_owned()
                })
        };
        Ok(OomScores([score(primary)?, score(replica)?, score(child)?]))
    }

    fn show(&self) -> Vec<u8> {
        words(self.0.map(|score| score.to_string()))
    }
}

/// Percentiles of latency that INFO reports, each from 0 to 100.
#[derive(Clone, Debug, PartialEq)]
pub struct Percentiles(pub Vec<f64>);

impl Default for Percentiles {
    fn default() -> Self {
        Percentiles(vec![50.0, 99.0, 99.9])
    }
}

impl Setting for Percentiles {
    fn parse(_: &Self, args: &[Vec<u8>], _: &Kind) -> Result<Self, Refused> {
        if is_cleared(args) {
            return Ok(Percentiles(Vec::new()));
        }
        let percentile = |text: &Vec<u8>| {
            let number: f64 = std::str::from_utf8(text)
                .ok()
                .and_then(|text| text.parse().ok())
                .filter(|number: &f64| number.is_finite())
                .ok_or_else(|| "Invalid latency-tracking-info-percentiles parameters".to_owned())?;
            if (0.0..=100.0).contains(&number) {
                // As precise as it is shown, so that a rewritten file says the same.
                Ok((number * 1e6).round() / 1e6)
            } else {
                Err("latency-tracking-info-percentiles parameters should sit between [0.0,100.0]"
                    .to_owned())
            }
        };
        args.iter().map(percentile).collect::<Result<_, _>>().map(Percentiles)
    }

    fn show(&self) -> Vec<u8> {
        words(self.0.iter().map(|number| {
            // Six decimals and no trailing zeros, as C's %f and Redis' trimming give.
            let text = format!("{number:.6}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }))
    }

    fn lines(&self) -> Vec<Vec<u8>> {
        or_empty_quotes(self.show())
    }
}

/// The actions on a signal that ends the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShutdownOptions {
    /// Whether to write a snapshot; `None`: only if there are snapshot rules.
    pub save: Option<bool>,
    /// Do not wait for replicas that lag.
    pub now: bool,
    /// End even if a snapshot cannot be written.
    pub force: bool,
}

impl ShutdownOptions {
    /// The words that a configuration may use.
    pub const WORDS: &'static [&'static str] = &["default", "save", "nosave", "now", "force"];
}

impl Setting for ShutdownOptions {
    fn parse(_: &Self, args: &[Vec<u8>], _: &Kind) -> Result<Self, Refused> {
        let mut options = ShutdownOptions::default();
        let (mut save, mut nosave) = (false, false);
        for word in args {
            match word.to_ascii_lowercase().as_slice() {
                b"default" => {}
                b"save" => save = true,
                b"nosave" => nosave = true,
                b"now" => options.now = true,
                b"force" => options.force = true,
                _ => return Err(crate::value::not_a_choice(Self::WORDS)),
            }
        }
        options.save = match (save, nosave) {
            (true, true) => {
                return Err("shutdown options SAVE and NOSAVE can't be used simultaneously".into());
            }
            (false, false) => None,
            _ => Some(save),
        };
        if args.is_empty() {
            return Err(crate::value::not_a_choice(Self::WORDS));
        }
        Ok(options)
    }

    fn show(&self) -> Vec<u8> {
        let flags = [
            ("save", self.save == Some(true)),
            ("nosave", self.save == Some(false)),
            ("now", self.now),
            ("force", self.force),
        ];
        let set = words(flags.iter().filter(|(_, set)| *set).map(|(word, _)| (*word).to_owned()));
        if set.is_empty() { b"default".to_vec() } else { set }
    }
}

/// The classes of events that are published to clients (`notify-keyspace-events`): bits named by
/// Redis' letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyspaceEvents(u16);

impl KeyspaceEvents {
    /// The letters, in the order in which CONFIG GET prints them; bit n belongs to letter n.
    const LETTERS: &'static [u8] = b"g$lshzxetdnKEm";
    /// The classes that `A` stands for: all but new keys, the two kinds of channel, and misses.
    const ALL: u16 = (1 << 10) - 1;

    /// Whether the class with this letter is published.
    pub fn contains(self, letter: u8) -> bool {
        Self::bit(letter).is_some_and(|bit| self.0 & bit == bit)
    }

    /// Whether nothing is published.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn bit(letter: u8) -> Option<u16> {
        if letter == b'A' {
            return Some(Self::ALL);
        }
        Self::LETTERS.iter().position(|&known| known == letter).map(|at| 1 << at)
    }
}

impl Setting for KeyspaceEvents {
    fn parse(_: &Self, args: &[Vec<u8>], _: &Kind) -> Result<Self, Refused> {
        let mut events = 0;
        for &letter in single(args)? {
            events |= Self::bit(letter).ok_or_else(|| {
                "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.".to_owned()
            })?;
        }
        Ok(KeyspaceEvents(events))
    }

    fn show(&self) -> Vec<u8> {
        let all = self.0 & Self::ALL == Self::ALL;
        let mut letters = if all { b"A".to_vec() } else { Vec::new() };
        for (at, &letter) in Self::LETTERS.iter().enumerate() {
            // Redis leaves `n` unsaid beside `A`, so that it is lost on a rewrite; here it stays.
            let said = all && Self::ALL >> at & 1 == 1;
            if self.0 >> at & 1 == 1 && !said {
                letters.push(letter);
            }
        }
        letters
    }

    fn lines(&self) -> Vec<Vec<u8>> {
        vec![crate::args::quote(&self.show())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(text: &str) -> Vec<Vec<u8>> {
        text.split(' ').map(|word| word.as_bytes().to_vec()).collect()
    }

    fn shown<T: Setting + Default>(text: &str) -> Result<String, String> {
        T::parse(&T::default(), &args(text), &Kind::List)
            .map(|value| String::from_utf8(value.show()).expect("these values are text"))
    }

    #[test]
    fn output_limits_amend_what_is_named() {
        assert_eq!(
            shown::<OutputLimits>("replica 1gb 512mb 30 normal 1k 0 0"),
            Ok("normal 1000 0 0 slave 1073741824 536870912 30 pubsub 33554432 8388608 60".into())
        );
        let error = "Wrong number of arguments in buffer limit configuration.".to_owned();
        assert_eq!(shown::<OutputLimits>("normal 1 2"), Err(error));
        let error = "Invalid client class specified in buffer limit configuration.".to_owned();
        assert_eq!(shown::<OutputLimits>("master 1 2 3"), Err(error));
        let error = "Error in hard, soft or soft_seconds setting in buffer limit configuration.";
        assert_eq!(shown::<OutputLimits>("normal 1 2 -3"), Err(error.to_owned()));
    }

    #[test]
    fn event_classes() {
        assert_eq!(shown::<KeyspaceEvents>("KEA"), Ok("AKE".into()));
        assert_eq!(shown::<KeyspaceEvents>("Kg$lshzxetd"), Ok("AK".into()));
        assert_eq!(shown::<KeyspaceEvents>("Exg"), Ok("gxE".into()));
        assert_eq!(shown::<KeyspaceEvents>("mA"), Ok("Am".into()));
        assert!(shown::<KeyspaceEvents>("Q").is_err());
        let events = KeyspaceEvents::parse(&Default::default(), &args("K$"), &Kind::Special);
        assert!(events.as_ref().is_ok_and(|events| events.contains(b'$')));
        assert!(events.is_ok_and(|events| !events.contains(b'A')));
    }

    #[test]
    fn save_points() {
        let cleared = SavePoints(Vec::new());
        let parsed = SavePoints::parse(&cleared, &args("60 1 300 0"), &Kind::List);
        assert_eq!(parsed.map(|rules| rules.show()), Ok(b"60 1 300 0".to_vec()));
        for wrong in ["0 1", "60", "60 -1", "x 1", "60 1 5"] {
            let error = "Invalid save parameters".to_owned();
            assert_eq!(SavePoints::parse(&cleared, &args(wrong), &Kind::List), Err(error));
        }
        assert_eq!(cleared.lines(), [b"\"\"".to_vec()]);
    }

    #[test]
    fn shutdown_options() {
        assert_eq!(shown::<ShutdownOptions>("now nosave"), Ok("nosave now".into()));
        assert_eq!(shown::<ShutdownOptions>("default"), Ok("default".into()));
        assert!(shown::<ShutdownOptions>("save nosave").is_err());
        assert!(shown::<ShutdownOptions>("later").is_err());
    }

    #[test]
    fn percentiles() {
        assert_eq!(shown::<Percentiles>("50 99.900 100"), Ok("50 99.9 100".into()));
        let parse =
            |text: &str| Percentiles::parse(&Percentiles::default(), &[text.into()], &Kind::List);
        assert_eq!(parse("99.2147483"), parse("99.214748"));
        assert!(shown::<Percentiles>("101").is_err());
        assert!(shown::<Percentiles>("nan").is_err());
    }

    #[test]
    fn primaries() {
        assert_eq!(shown::<ReplicaOf>("10.0.0.1 6379"), Ok("10.0.0.1 6379".into()));
        assert_eq!(shown::<ReplicaOf>("no one"), Ok(String::new()));
        assert_eq!(shown::<ReplicaOf>("host 70000"), Err("Invalid primary port".into()));
    }
}

//! Configuration files: from text to [`Config`].

use std::collections::VecDeque;

use crate::args::split_args;
use crate::table::find;
use crate::table::general::NO_ACL;
use crate::value::Kind;
use crate::{Config, Directive};

/// How deep `include` may nest; a file that includes itself ends here.
const INCLUDE_DEPTH_MAX: usize = 16;

/// The most files that one configuration may consist of.
const SOURCES_MAX: usize = 1024;

/// The limits of `hz`; a value beyond them is moved to the nearer one, as in Redis.
const HZ: std::ops::RangeInclusive<u32> = 1..=500;

/// Directives of old versions that are read and ignored, with their one argument.
const IGNORED: [&str; 3] =
    ["list-max-ziplist-entries", "list-max-ziplist-value", "lua-replicate-commands"];

/// A text with the name that errors give it: a path, `stdin`, or `command line`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name in errors.
    pub name: String,
    /// The lines.
    pub text: Vec<u8>,
}

impl Source {
    /// A text under a name.
    pub fn new(name: impl Into<String>, text: impl Into<Vec<u8>>) -> Source {
        Source { name: name.into(), text: text.into() }
    }
}

/// Why an `include` could not be read, for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncludeError(pub String);

/// A line that is not a configuration.
///
/// Its text is what a server prints before it exits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "*** FATAL CONFIG FILE ERROR ***\nReading the configuration file '{source_name}', at line \
     {line_number}\n>>> '{line}'\n{reason}"
)]
pub struct ParseError {
    /// The name of the source.
    pub source_name: String,
    /// The line's number, from 1.
    pub line_number: usize,
    /// The line; a password in it is blotted out.
    pub line: String,
    /// The fault.
    pub reason: String,
}

/// A `rename-command` line. Only who knows the commands can tell whether it is good.
#[derive(Clone, Debug)]
pub struct RenamedCommand {
    /// The name that the command has had until here.
    pub from: Vec<u8>,
    /// Its new one; empty: the command is removed.
    pub to: Vec<u8>,
    place: Place,
}

impl PartialEq for RenamedCommand {
    /// Wherever they stand.
    fn eq(&self, other: &Self) -> bool {
        (&self.from, &self.to) == (&other.from, &other.to)
    }
}

impl RenamedCommand {
    /// The error for this line.
    pub fn refused(&self, reason: impl Into<String>) -> ParseError {
        self.place.refused(reason.into())
    }
}

/// A line of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Place {
    source_name: String,
    line_number: usize,
    line: Vec<u8>,
}

impl Place {
    fn refused(&self, reason: String) -> ParseError {
        ParseError {
            source_name: self.source_name.clone(),
            line_number: self.line_number,
            line: printable(&self.line),
            reason,
        }
    }
}

/// The result of reading a configuration.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// The warnings for the user, a line each.
    pub warnings: Vec<String>,
}

/// A source being read: its lines that are left, and how deep it was included.
struct Reading {
    name: String,
    lines: VecDeque<(usize, Vec<u8>)>,
    depth: usize,
}

impl Reading {
    fn new(source: Source, depth: usize) -> Reading {
        let lines = source.text.split(|&byte| byte == b'\n').enumerate();
        let lines = lines.map(|(at, line)| (at + 1, line.trim_ascii().to_vec())).collect();
        Reading { name: source.name, lines, depth }
    }
}

/// Reads sources one after the other on top of `base`; what comes later wins.
///
/// `include` gives the sources for the argument of an `include` line (several, or none, for a path
/// with wildcards). The result carries warnings for settings without effect.
pub fn load(
    base: Config,
    sources: impl IntoIterator<Item = Source>,
    include: &mut dyn FnMut(&str) -> Result<Vec<Source>, IncludeError>,
) -> Result<Loaded, ParseError> {
    let mut loader = Loader { config: base, save_seen: false };
    // A stack: an include is read where its line stands, before the rest of its file.
    let mut stack: Vec<Reading> =
        sources.into_iter().map(|source| Reading::new(source, 0)).collect();
    stack.reverse();
    let mut opened = stack.len();
    while let Some(reading) = stack.last_mut() {
        let Some((line_number, line)) = reading.lines.pop_front() else {
            stack.pop();
            continue;
        };
        let depth = reading.depth;
        let place = Place { source_name: reading.name.clone(), line_number, line };
        let error = |reason| place.refused(reason);
        match loader.line(&place) {
            Ok(None) => {}
            Ok(Some(path)) => {
                let sources = open_include(&path, depth, &mut opened, include).map_err(error)?;
                stack.extend(
                    sources.into_iter().rev().map(|source| Reading::new(source, depth + 1)),
                );
            }
            Err(reason) => return Err(error(reason)),
        }
    }
    loader.finish()
}

fn open_include(
    path: &str,
    depth: usize,
    opened: &mut usize,
    include: &mut dyn FnMut(&str) -> Result<Vec<Source>, IncludeError>,
) -> Result<Vec<Source>, String> {
    if depth >= INCLUDE_DEPTH_MAX {
        return Err(format!("include nests deeper than {INCLUDE_DEPTH_MAX}"));
    }
    let sources = include(path).map_err(|error| error.0)?;
    *opened += sources.len();
    if *opened > SOURCES_MAX {
        return Err(format!("more than {SOURCES_MAX} files are included"));
    }
    Ok(sources)
}

/// The line as an error shows it: what follows a sensitive directive is left out.
fn printable(line: &[u8]) -> String {
    let name = line.split(u8::is_ascii_whitespace).next().unwrap_or_default();
    let sensitive = find(name).is_some_and(|directive| directive.spec.sensitive)
        || name.eq_ignore_ascii_case(b"user");
    if sensitive {
        format!("{} (redacted)", String::from_utf8_lossy(name))
    } else {
        String::from_utf8_lossy(line).into_owned()
    }
}

/// Whether a `user` line says what holds without ACLs: the default user may do everything. Redis
/// writes such a line with each CONFIG REWRITE.
fn restricts_nobody(user: &[u8], rules: &[Vec<u8>]) -> bool {
    const GRANTS: [&[u8]; 10] = [
        b"on",
        b"nopass",
        b"~*",
        b"allkeys",
        b"&*",
        b"allchannels",
        b"+@all",
        b"allcommands",
        b"sanitize-payload",
        b"skip-sanitize-payload",
    ];
    user == b"default" && rules.iter().all(|rule| GRANTS.contains(&rule.as_slice()))
}

struct Loader {
    config: Config,
    /// The first `save` of all sources replaces the default rules, later ones add to it.
    save_seen: bool,
}

impl Loader {
    /// Takes one line; gives the path of an `include` back to the caller.
    fn line(&mut self, place: &Place) -> Result<Option<String>, String> {
        let line = place.line.as_slice();
        if line.first() == Some(&b'#') {
            return Ok(None);
        }
        let mut args = split_args(line).map_err(|error| error.to_string())?;
        if args.is_empty() {
            return Ok(None);
        }
        let name = args.remove(0).to_ascii_lowercase();
        match find(&name) {
            Some(directive) => self.directive(directive, args).map(|()| None),
            None => self.other(&name, args, place),
        }
    }

    fn directive(&mut self, directive: &Directive, args: Vec<Vec<u8>>) -> Result<(), String> {
        let list = directive.spec.kind.takes_list();
        // These judge an empty list themselves: `save` alone says as much as `save ""`, no rules.
        let judges = directive.name == "save" || matches!(directive.spec.kind, Kind::Choices(_));
        let args = if args.is_empty() && judges { vec![Vec::new()] } else { args };
        if args.is_empty() || (!list && args.len() != 1) {
            return Err("wrong number of arguments".to_owned());
        }
        if directive.name == "save" && !std::mem::replace(&mut self.save_seen, true) {
            self.config.persistence.save.0.clear();
        }
        // One argument for a list may hold the whole list: --bind "127.0.0.1 ::1".
        if list && args.len() == 1 && !args[0].is_empty() {
            let split = split_args(&args[0]).map_err(|error| error.to_string())?;
            directive.parse(&mut self.config, &split)?;
        } else {
            directive.parse(&mut self.config, &args)?;
        }
        directive.check_protection(&self.config)
    }

    /// Lines that are no settings.
    fn other(
        &mut self,
        name: &[u8],
        args: Vec<Vec<u8>>,
        place: &Place,
    ) -> Result<Option<String>, String> {
        match (name, args.as_slice()) {
            (b"include", [path]) => {
                let path = String::from_utf8(path.clone());
                return path.map(Some).map_err(|_| "argument is not valid UTF-8".to_owned());
            }
            (b"rename-command", [from, to]) => {
                let (from, to, place) = (from.clone(), to.clone(), place.clone());
                self.config.renamed_commands.push(RenamedCommand { from, to, place });
            }
            (b"user", [user, rules @ ..]) => {
                if !restricts_nobody(user, rules) {
                    return Err(NO_ACL.to_owned());
                }
                self.config.users.push(args);
            }
            (b"loadmodule", [_, ..]) => {
                return Err("modules are not available in this version".to_owned());
            }
            (b"sentinel", [_, ..]) => {
                return Err("sentinel directive while not in sentinel mode".to_owned());
            }
            (_, [_]) if IGNORED.iter().any(|ignored| ignored.as_bytes() == name) => {}
            _ => return Err("Bad directive or wrong number of arguments".to_owned()),
        }
        Ok(None)
    }

    /// Rules over several settings, once all are read.
    fn finish(mut self) -> Result<Loaded, ParseError> {
        let config = &mut self.config;
        if config.cluster.enabled && config.replication.replicaof.0.is_some() {
            return Err(ParseError {
                source_name: "all files".to_owned(),
                line_number: 0,
                line: "replicaof".to_owned(),
                reason: "replicaof directive not allowed in cluster mode".to_owned(),
            });
        }
        config.general.hz = config.general.hz.clamp(*HZ.start(), *HZ.end());
        let mut warnings = self.config.warnings();
        if self.config.cluster.enabled && self.config.general.databases > 1 {
            // The default of 16 is nothing to be told about.
            if self.config.general.databases != Config::default().general.databases {
                let from = self.config.general.databases;
                warnings.push(format!(
                    "Changing databases number from {from} to 1 since we are in cluster mode"
                ));
            }
            self.config.general.databases = 1;
        }
        Ok(Loaded { config: self.config, warnings })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::value::{Bytes, Setting as _};

    fn no_include(path: &str) -> Result<Vec<Source>, IncludeError> {
        Err(IncludeError(format!("no file {path}")))
    }

    fn read(text: &str) -> Result<Loaded, ParseError> {
        load(Config::default(), [Source::new("redis.conf", text)], &mut no_include)
    }

    #[test]
    fn a_file_as_the_guides_have_it() {
        let loaded = read(
            "# a node\nport 7000\r\nCluster-Enabled yes\ncluster-config-file nodes-7000.conf\n\
             cluster-node-timeout 5000\n\n  daemonize yes\nrequirepass \"pa ss\"\n\
             primaryauth 'pa ss'\nmaxmemory 100mb\nbind 127.0.0.1 -::1\n",
        );
        let config = loaded.expect("every line is good").config;
        assert_eq!(config.network.port, 7000);
        assert!(config.cluster.enabled && config.general.daemonize);
        assert_eq!(config.cluster.node_timeout, 5000);
        assert_eq!(config.general.requirepass.reveal(), Some(b"pa ss".as_slice()));
        assert_eq!(config.replication.masterauth, config.general.requirepass);
        assert_eq!(config.memory.maxmemory, Bytes(100 << 20));
        assert_eq!(config.network.bind.0, ["127.0.0.1", "-::1"]);
        assert_eq!(config.general.databases, 1, "a cluster has one database");
    }

    #[test]
    fn an_error_names_file_and_line() {
        for (text, line_number, reason) in [
            ("port 7000\nnonsense 1", 2, "Bad directive or wrong number of arguments"),
            ("port", 1, "wrong number of arguments"),
            ("port 1 2", 1, "wrong number of arguments"),
            ("port x", 1, "argument couldn't be parsed into an integer"),
            ("port 70000", 1, "argument must be between 0 and 65535 inclusive"),
            ("\n\nport \"70", 3, "Unbalanced quotes in configuration line"),
            ("appendonly maybe", 1, "argument must be 'yes' or 'no'"),
            ("maxmemory lots", 1, "argument must be a memory value"),
            ("include other.conf", 1, "no file other.conf"),
            ("save 60", 1, "Invalid save parameters"),
            ("sentinel monitor x", 1, "sentinel directive while not in sentinel mode"),
            (
                "appendfsync often",
                1,
                "argument(s) must be one of the following: everysec, always, no",
            ),
        ] {
            let error = read(text).expect_err(text);
            assert_eq!((error.line_number, error.reason.as_str()), (line_number, reason), "{text}");
            assert!(error.to_string().contains("'redis.conf', at line"), "{error}");
        }
    }

    #[test]
    fn an_error_does_not_show_a_password() {
        let error = read("requirepass hunter2 extra").expect_err("two arguments");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn save_lines_replace_the_default_and_add_up() {
        let shown = |text| {
            // The value is not the one of CONFIG GET, which says that nothing is saved.
            let rules = read(text).expect("good lines").config.persistence.save;
            String::from_utf8(rules.show()).expect("text")
        };
        assert_eq!(shown("port 1"), "3600 1 300 100 60 10000");
        assert_eq!(shown("save 60 1\nsave 300 2"), "60 1 300 2");
        assert_eq!(shown("save 60 1 300 2"), "60 1 300 2");
        assert_eq!(shown("save \"60 1 300 2\""), "60 1 300 2");
        assert_eq!(shown("save \"\""), "");
        assert_eq!(shown("save"), "");
        assert_eq!(shown("save 60 1\nsave \"\""), "");
    }

    #[test]
    fn includes_are_read_where_they_stand() {
        let mut include = |path: &str| match path {
            "b.conf" => Ok(vec![Source::new("b.conf", "port 2\ntimeout 5")]),
            "none/*.conf" => Ok(Vec::new()),
            "self.conf" => Ok(vec![Source::new("self.conf", "include self.conf")]),
            other => Err(IncludeError(format!("can't open {other}"))),
        };
        let text = "port 1\ninclude b.conf\ninclude none/*.conf\ntimeout 7";
        let loaded = load(Config::default(), [Source::new("a.conf", text)], &mut include);
        let config = loaded.expect("good lines").config;
        assert_eq!((config.network.port, config.network.timeout), (2, 7));

        let source = Source::new("a.conf", "include self.conf");
        let error = load(Config::default(), [source], &mut include).expect_err("a cycle");
        assert_eq!(error.reason, "include nests deeper than 16");
        assert_eq!(error.source_name, "self.conf");
    }

    #[test]
    fn settings_that_exclude_each_other() {
        let error = read("cluster-enabled yes\nreplicaof 10.0.0.1 6379").expect_err("not both");
        assert_eq!(error.reason, "replicaof directive not allowed in cluster mode");
        let config = read("hz 100000").expect("moved to the limit").config;
        assert_eq!(config.general.hz, 500);
    }

    #[test]
    fn lines_that_are_no_settings_are_kept() {
        let loaded = read(
            "port 1\nrename-command FLUSHALL \"\"\nuser default on nopass ~* &* +@all\n\
             list-max-ziplist-value 3\nactivedefrag yes\n",
        )
        .expect("good lines");
        let config = &loaded.config;
        let [renamed] = config.renamed_commands.as_slice() else { panic!("one such line") };
        assert_eq!((renamed.from.as_slice(), renamed.to.as_slice()), (&b"FLUSHALL"[..], &b""[..]));
        let told = renamed.refused("no").to_string();
        assert!(told.contains("'redis.conf', at line 2\n>>> 'rename-command FLUSHALL"), "{told}");
        assert_eq!(config.users.len(), 1);
        assert_eq!(config.users[0][0], b"default");
        assert_eq!(
            loaded.warnings,
            ["'activedefrag' is accepted but has no effect in this version"]
        );
    }

    #[test]
    fn protection_that_is_not_there_is_refused_with_its_line_and_the_reason() {
        for (line, reason) in [
            ("user default off", "ACLs are not available"),
            ("user app on >p ~* +@all", "ACLs are not available"),
            ("user default on nopass ~app:* +@all", "ACLs are not available"),
            ("user default on >p ~* &* +@all", "ACLs are not available"),
            ("aclfile /etc/redis/users.acl", "ACLs are not available"),
            ("tls-port 6380", "TLS is not available"),
            ("tls-replication yes", "TLS is not available"),
            ("tls-cluster yes", "TLS is not available"),
            ("loadmodule /usr/lib/guard.so", "modules are not available"),
        ] {
            let error = read(&format!("port 1\n{line}\nport 2")).expect_err(line);
            assert_eq!((error.source_name.as_str(), error.line_number), ("redis.conf", 2));
            assert!(error.reason.starts_with(reason), "{line}: {}", error.reason);
        }
        for line in ["tls-port 0", "tls-cluster no", "aclfile \"\"", "user default on nopass"] {
            read(line).unwrap_or_else(|error| panic!("{line} protects nothing: {error}"));
        }
    }

    #[test]
    fn saving_is_accepted_in_a_file_and_shown_as_what_it_is() {
        let loaded = read("save 900 1\nappendonly yes\n").expect("as the guides have it");
        assert_eq!(loaded.warnings.len(), 2, "{:?}", loaded.warnings);
        let shown = loaded.config.get(&["save", "appendonly"]);
        let expected = [("save".to_owned(), vec![]), ("appendonly".to_owned(), b"no".to_vec())];
        assert_eq!(shown, expected);
        let rewritten = loaded.config.rewrite(b"save 900 1\nappendonly yes\n");
        assert_eq!(rewritten, b"save 900 1\nappendonly yes\n", "the file is the user's");
    }

    proptest! {
        #[test]
        fn any_text_is_harmless(text: Vec<u8>) {
            let _ = load(Config::default(), [Source::new("x", text)], &mut no_include);
        }

        #[test]
        fn any_value_is_harmless(at in 0usize..1000, value: Vec<u8>) {
            let all: Vec<_> = crate::directives().collect();
            let directive = all[at % all.len()];
            let mut config = Config::default();
            if directive.parse(&mut config, std::slice::from_ref(&value)).is_ok() {
                directive.show(&config);
            }
        }
    }
}

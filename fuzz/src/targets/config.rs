//! Configuration text: refused with its line, or loaded, shown, rewritten and loaded again.

use crate::Vary;
use std::sync::LazyLock;
use tessera_config::{Config, IncludeError, ParseError, Source, load};

static VALID: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut texts: Vec<Vec<u8>> = [
        "port 7000\ncluster-enabled yes\ncluster-config-file nodes-7000.conf\nsave \"\"\n\
         cluster-node-timeout 5000\ndaemonize yes\nrequirepass \"a b\"\nmasterauth 'c\"d'\n",
        "# comment\n\nmaxmemory 10mb\nmaxmemory-policy allkeys-lru\nbind 127.0.0.1 -::1\n\
         client-output-buffer-limit replica 256mb 64mb 60\nsave 3600 1 300 100\nsave 60 10000\n",
        "user default on nopass ~* +@all\nuser eve off\nrename-command CONFIG \"\"\n\
         loadmodule /x.so a b\nreplicaof 10.0.0.1 6379\nnotify-keyspace-events Kg$\n\
         oom-score-adj-values 0 200 800\nlatency-tracking-info-percentiles 50 99.9\n",
        "include other.conf\nloglevel verbose\nlogfile \"\\x41\\n\"\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec();
    // Every directive, at its default.
    let defaults = Config::default();
    let mut all = Vec::new();
    for (name, value) in defaults.get(&["*"]) {
        all.extend_from_slice(name.as_bytes());
        all.push(b' ');
        all.extend_from_slice(&tessera_config::quote(&value));
        all.push(b'\n');
    }
    for lines in all.split_inclusive(|&byte| byte == b'\n').collect::<Vec<_>>().chunks(20) {
        texts.push(lines.concat());
    }
    texts
});

fn read(text: &[u8]) -> Result<Config, ParseError> {
    let mut include = |path: &str| match path {
        "other.conf" => Ok(vec![Source::new(path, "port 1\ninclude other.conf\n")]),
        _ => Err(IncludeError("no such file".to_owned())),
    };
    load(Config::default(), [Source::new("test", text)], &mut include).map(|loaded| loaded.config)
}

/// Texts of redis.conf.
pub fn config_text(bytes: &[u8]) {
    let input = Vary::new(bytes).input(&VALID);
    let config = match read(&input) {
        Ok(config) => config,
        Err(error) => {
            let lines = input.split(|&byte| byte == b'\n').count();
            assert!(error.source_name != "test" || error.line_number <= lines, "{error}");
            return;
        }
    };
    config.get(&["*"]);
    config.warnings();
    for old in [&input[..], b""] {
        let text = config.rewrite(old);
        let shown = String::from_utf8_lossy(&text).into_owned();
        let again = read(&text).unwrap_or_else(|error| panic!("{error}\n---\n{shown}"));
        // A rewrite does not keep renamed commands where the old text is not theirs, and drops
        // `replicaof` in cluster mode.
        let mut expected = config.clone();
        if old.is_empty() {
            expected.renamed_commands.clear();
        }
        if config.cluster.enabled {
            expected.replication.replicaof = again.replication.replicaof.clone();
        }
        assert!(again == expected, "{:?}\n---\n{shown}", differences(&again, &expected));
    }
}

/// The directives, by name, that two configurations show differently.
fn differences(left: &Config, right: &Config) -> Vec<String> {
    let (left, right) = (left.get(&["*"]), right.get(&["*"]));
    let pairs = left.iter().zip(&right).filter(|(left, right)| left != right);
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    pairs.map(|(l, r)| format!("{}: {:?}, {:?}", l.0, text(&l.1), text(&r.1))).collect()
}

//! COMMAND GETKEYS for the commands that say how many keys they have.

mod harness;

use harness::Client;

const INVALID: &str = "-ERR Invalid arguments specified for command";
const ARITY: &str = "-ERR Invalid number of arguments specified for command";

/// A command with a number of keys: what stands before the number, and what must stand behind the
/// keys.
const COUNTED: &[(&str, &str)] = &[
    ("sintercard", ""),
    ("zunion", ""),
    ("zinter", ""),
    ("zdiff", ""),
    ("zintercard", ""),
    ("zunionstore dst", ""),
    ("zinterstore dst", ""),
    ("zdiffstore dst", ""),
    ("lmpop", " LEFT"),
    ("zmpop", " MIN"),
    ("blmpop 0", " LEFT"),
    ("bzmpop 0", " MIN"),
];

#[test]
fn every_command_that_counts_its_keys_is_here() {
    let mut client = Client::new();
    let all = client.run("command info");
    let counted = all.matches("|$6|keynum|").count();
    assert_eq!(counted, COUNTED.len());
    for (head, _) in COUNTED {
        let name = head.split(' ').next().expect("a name");
        let info = client.run(&format!("command info {name}"));
        assert!(info.contains("|$6|keynum|"), "{name}");
    }
}

#[test]
fn keys_are_those_that_the_number_says() {
    let mut client = Client::new();
    for (head, tail) in COUNTED {
        // Clients hear of inputs and destination in the order of the arguments.
        let mut keys = |call: String| client.run(&format!("command getkeys {call}"));
        let (dst, one, two) = match head.ends_with("dst") {
            true => ("|$3|dst", 2, 3),
            false => ("", 1, 2),
        };
        assert_eq!(keys(format!("{head} 1 k{tail}")), format!("*{one}{dst}|$1|k"), "{head}");
        assert_eq!(keys(format!("{head} 2 k l{tail}")), format!("*{two}{dst}|$1|k|$1|l"), "{head}");
    }
}

#[test]
fn numbers_of_keys_that_cannot_be_are_invalid_arguments() {
    let mut client = Client::new();
    for (head, tail) in COUNTED {
        for number in [
            "0",
            "-1",
            "4",
            "x",
            "''",
            "2147483648",
            "9223372036854775807",
            "-9223372036854775808",
            "99999999999999999999",
        ] {
            let call = format!("command getkeys {head} {number} k{tail}");
            assert_eq!(client.run(&call), INVALID, "{call}");
        }
        let call = format!("command getkeys {head}");
        assert_eq!(client.run(&call), ARITY, "{call}");
    }
}

#[test]
fn only_the_number_says_what_is_a_key() {
    Client::new().expect(&[
        ("command getkeys lmpop 2 k LEFT", "*2|$1|k|$4|LEFT"),
        ("command getkeys blmpop 0 2 k LEFT", "*2|$1|k|$4|LEFT"),
        ("command getkeys zmpop 2 k MIN", "*2|$1|k|$3|MIN"),
        ("command getkeys lmpop 3 k LEFT", INVALID),
        ("command getkeys sintercard 1 k LIMIT 3", "*1|$1|k"),
        ("command getkeys xread a b c", INVALID),
        ("command getkeys ping", "-ERR The command has no key arguments"),
    ]);
}

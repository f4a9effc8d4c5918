//! The names of commands on a server, and commands that are not there.

mod harness;

use harness::{Client, told};
use tessera_config::{Config, Source, load};
use tessera_engine::commands::check_renamed;

fn config(text: &str) -> Config {
    let loaded = load(Config::default(), [Source::new("redis.conf", text)], &mut |_| Ok(vec![]));
    loaded.expect("good lines").config
}

#[test]
fn what_is_not_here_yet_is_answered_as_that() {
    let mut client = Client::new();
    for (line, name) in [
        ("eval return 0", "EVAL"),
        ("EvalSha 0 0", "EVALSHA"),
        ("script load x", "SCRIPT"),
        ("function list", "FUNCTION"),
        ("fcall f 0", "FCALL"),
        ("subscribe c", "SUBSCRIBE"),
        ("publish c m", "PUBLISH"),
        ("spublish c m", "SPUBLISH"),
        ("pubsub channels", "PUBSUB"),
        ("acl whoami", "ACL"),
        ("monitor", "MONITOR"),
        ("slowlog get", "SLOWLOG"),
        ("commandlog get 1 slow", "COMMANDLOG"),
        ("latency latest", "LATENCY"),
        ("save", "SAVE"),
        ("bgsave", "BGSAVE"),
        ("bgrewriteaof", "BGREWRITEAOF"),
        ("waitaof 0 0 0", "WAITAOF"),
        ("migrate h 1 k 0 5", "MIGRATE"),
        ("module list", "MODULE"),
        ("failover", "FAILOVER"),
        ("client tracking on", "CLIENT TRACKING"),
        ("CLUSTER Slot-Stats slotsrange 0 1", "CLUSTER SLOT-STATS"),
        ("shutdown save", "SHUTDOWN SAVE"),
    ] {
        let expected = format!("-ERR {name} is not available in this version");
        assert_eq!(client.run(line), expected, "{line}");
    }
    client.expect(&[
        ("client nonsense", "-ERR unknown subcommand 'nonsense'. Try CLIENT HELP."),
        ("evil", "-ERR unknown command 'evil', with args beginning with: "),
        ("command info eval", "*1|$-1"),
        ("command docs publish", "*0"),
    ]);
}

#[test]
fn what_is_not_here_yet_spoils_a_transaction() {
    Client::new().expect(&[
        ("multi", "+OK"),
        ("set k v", "+QUEUED"),
        ("publish c m", "-ERR PUBLISH is not available in this version"),
        ("exec", "-EXECABORT Transaction discarded because of previous errors."),
        ("get k", "$-1"),
    ]);
}

#[test]
fn who_has_not_logged_in_does_not_learn_what_is_here() {
    let mut client = Client::with(config("requirepass p"));
    client.expect(&[
        ("eval x 0", "-NOAUTH Authentication required."),
        ("auth p", "+OK"),
        ("eval x 0", "-ERR EVAL is not available in this version"),
    ]);
}

#[test]
fn a_command_that_was_removed_is_unknown_and_in_no_list() {
    let mut client = Client::with(config("rename-command FLUSHALL \"\"\nrename-command ACL \"\""));
    let before = Client::new().run("command count");
    client.expect(&[
        ("set k v", "+OK"),
        ("flushall", "-ERR unknown command 'flushall', with args beginning with: "),
        ("FlushAll async", "-ERR unknown command 'FlushAll', with args beginning with: 'async' "),
        ("get k", "$1|v"),
        ("acl list", "-ERR unknown command 'acl', with args beginning with: 'list' "),
        ("command info flushall", "*1|$-1"),
        ("command list filterby pattern flusha*", "*0"),
        ("command docs flushall", "*0"),
        ("multi", "+OK"),
        ("flushall", "-ERR unknown command 'flushall', with args beginning with: "),
        ("exec", "-EXECABORT Transaction discarded because of previous errors."),
    ]);
    let count = |reply: &str| reply[1..].parse::<usize>().expect("an integer");
    assert_eq!(count(&client.run("command count")), count(&before) - 1);
}

#[test]
fn a_command_that_was_renamed_is_found_by_its_new_name_alone() {
    let mut client = Client::with(config(
        "rename-command CONFIG secret-config\nrename-command SET put\nrename-command eval run\n\
         rename-command del SET",
    ));
    let mut history = client.follow();
    client.expect(&[
        (
            "config get port",
            "-ERR unknown command 'config', with args beginning with: 'get' 'port' ",
        ),
        ("Secret-Config get port", "*2|$4|port|$4|6379"),
        ("secret-config get", "-ERR wrong number of arguments for 'config|get' command"),
        ("secret-config bad", "-ERR unknown subcommand 'bad'. Try CONFIG HELP."),
        ("put k v", "+OK"),
        ("put k", "-ERR wrong number of arguments for 'set' command"),
        ("get k", "$1|v"),
        ("run x 0", "-ERR EVAL is not available in this version"),
        ("eval x 0", "-ERR unknown command 'eval', with args beginning with: 'x' '0' "),
        ("command getkeys put k v", "*1|$1|k"),
        ("command getkeys del k", "-ERR Invalid command specified"),
        ("set k", ":1"),
        ("get k", "$-1"),
    ]);
    assert!(client.run("command info put").contains("|$3|set|"));
    assert!(client.run("command info secret-config|get").contains("|$10|config|get|"));
    assert_eq!(client.run("command info config|get"), "*1|$-1");
    // As in Redis: a replica must have the same names.
    assert_eq!(told(&mut history), ["SELECT 0", "put k v", "set k"]);
}

#[test]
fn a_primary_s_commands_are_found_whatever_they_are_called_here() {
    let client = Client::with(config("rename-command FLUSHALL \"\"\nrename-command SET put"));
    for (name, known) in [("FLUSHALL", true), ("SET", true), ("put", true), ("evil", false)] {
        let span = tessera_resp::Span { start: 0, len: name.len() as u32 };
        let spans = [span];
        let args = tessera_engine::Args::new(name.as_bytes(), &spans);
        assert_eq!(client.engine.prepare_replicated(args).command.is_some(), known, "{name}");
        let for_clients = client.engine.prepare(args).command.is_some();
        assert_eq!(for_clients, name == "put", "{name}");
    }
}

#[test]
fn names_that_cannot_be_given_are_refused_with_their_line() {
    for (text, line, reason) in [
        ("port 1\nrename-command nosuch x", 2, "No such command in rename-command"),
        ("rename-command get SET", 1, "Target command name already exists"),
        ("rename-command get \"\"\nrename-command GET x", 2, "No such command in rename-command"),
    ] {
        let error = check_renamed(&config(text).renamed_commands).expect_err(text);
        assert_eq!((error.line_number, error.reason.as_str()), (line, reason), "{text}");
    }
    let chain = "rename-command get a\nrename-command a b\nrename-command set get";
    assert!(check_renamed(&config(chain).renamed_commands).is_ok());
}

#[test]
fn nothing_is_said_to_have_been_saved() {
    let mut client = Client::with(config("save 900 1\nappendonly yes"));
    let info = client.run("info persistence");
    for line in ["rdb_last_save_time:0|", "rdb_last_bgsave_status:none|", "aof_enabled:0|"] {
        assert!(info.contains(line), "{line} in {info}");
    }
    client.expect(&[
        ("lastsave", ":0"),
        ("config get save", "*2|$4|save|$0|"),
        ("config get appendonly", "*2|$10|appendonly|$2|no"),
        ("config set save ''", "+OK"),
        ("config set appendonly yes", "+OK"),
        ("config get appendonly", "*2|$10|appendonly|$2|no"),
    ]);
}

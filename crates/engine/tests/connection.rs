//! Commands about connections.

mod harness;

use harness::{Client, START};
use std::sync::atomic::Ordering::Relaxed;
use tessera_engine::Outcome;
use tessera_resp::Protocol;

fn with_password() -> Client {
    let mut client = Client::new();
    client.run("config set requirepass secret");
    client.session.authenticated = false;
    client
}

#[test]
fn nothing_goes_before_authentication() {
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.";
    with_password().expect(&[
        ("get k", "-NOAUTH Authentication required."),
        ("auth wrong", wrong),
        ("auth secre", wrong),
        ("auth other secret", wrong),
        ("get k", "-NOAUTH Authentication required."),
        (
            "hello 3",
            "-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> \
             <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
        ),
        ("hello 3 AUTH default wrong", wrong),
        ("nosuch", "-ERR unknown command 'nosuch', with args beginning with: "),
        ("auth secret", "+OK"),
        ("get k", "$-1"),
        ("reset", "+RESET"),
        ("get k", "-NOAUTH Authentication required."),
        ("auth default secret", "+OK"),
        ("get k", "$-1"),
    ]);
}

#[test]
fn without_password_anything_goes_for_the_default_user() {
    Client::new().expect(&[
        ("auth default anything", "+OK"),
        (
            "auth anything",
            "-ERR AUTH <password> called without any password configured for the default user. \
             Are you sure your configuration is correct?",
        ),
        ("auth a b c", "-ERR syntax error"),
    ]);
}

#[test]
fn hello_introduces_the_server() {
    let mut client = with_password();
    let hello = |proto| {
        format!(
            "|$6|server|$5|redis|$7|version|$5|7.2.4|$5|proto|:{proto}|$2|id|:1|$4|mode|$10|standalone|$4|role|$6|master|$7|modules|*0"
        )
    };
    assert_eq!(client.run("hello 3 SETNAME me AUTH default secret"), format!("%7{}", hello(3)));
    assert_eq!(client.protocol, Protocol::Resp3);
    client.expect(&[("client getname", "$2|me"), ("get k", "_")]);
    assert_eq!(client.run("hello 2"), format!("*14{}", hello(2)));
    client.expect(&[
        ("get k", "$-1"),
        ("hello 4", "-NOPROTO unsupported protocol version"),
        ("hello 1", "-NOPROTO unsupported protocol version"),
        ("hello x", "-ERR Protocol version is not an integer or out of range"),
        ("hello 2 SETNAME", "-ERR Syntax error in HELLO option 'SETNAME'"),
        ("hello 2 AUTH default", "-ERR Syntax error in HELLO option 'AUTH'"),
    ]);
    let cluster = Client::in_cluster().run("hello");
    assert!(cluster.contains("|$4|mode|$7|cluster|"), "{cluster}");
}

#[test]
fn names_of_clients() {
    let mut client = Client::new();
    client.expect(&[
        ("client getname", "$-1"),
        ("client setname me", "+OK"),
        ("client getname", "$2|me"),
        (
            "client setname é",
            "-ERR Client names cannot contain spaces, newlines or special characters.",
        ),
        ("client setinfo lib-name redis-py", "+OK"),
        ("client setinfo LIB-VER 5.0", "+OK"),
        (
            "client setinfo lib-name é",
            "-ERR lib-name cannot contain spaces, newlines or special characters.",
        ),
        ("client setinfo nonsense x", "-ERR Unrecognized option 'nonsense'"),
    ]);
    client.now = START.plus(7_900);
    let info = client.run("client info");
    for part in [
        "id=1 addr=127.0.0.1:50001 ",
        " name=me ",
        " age=7 ",
        " lib-name=redis-py lib-ver=5.0 ",
        " cmd=client|info ",
    ] {
        assert!(info.contains(part), "{part} in {info}");
    }
    client.expect(&[("client setname ''", "+OK"), ("client getname", "$-1")]);
}

#[test]
fn lists_of_clients() {
    let mut client = Client::new();
    let others: Vec<Client> = (0..3).map(|_| client.another()).collect();
    let ids = |list: String| -> Vec<String> {
        let ids = list.split(['\n', '|']).filter_map(|line| line.strip_prefix("id="));
        ids.map(|line| line.split(' ').next().expect("an id").to_owned()).collect()
    };
    assert_eq!(ids(client.run("client list")), ["1", "2", "3", "4"]);
    assert_eq!(ids(client.run("client list ID 3 9 2")), ["2", "3"]);
    assert_eq!(ids(client.run("client list TYPE normal")).len(), 4);
    client.expect(&[
        ("client list TYPE replica", "$0|"),
        ("client list ID -5", "$0|"),
        ("client list TYPE x", "-ERR Unknown client type 'x'"),
        ("client list ID x", "-ERR Invalid client ID"),
        ("client list ID", "-ERR syntax error"),
    ]);
    drop(others);
}

#[test]
fn killing_clients() {
    let mut client = Client::new();
    let others: Vec<Client> = (0..3).map(|_| client.another()).collect();
    client.now = START.plus(10_000);
    client.expect(&[
        ("client kill 127.0.0.1:50002", "+OK"),
        ("client kill 127.0.0.1:1", "-ERR No such client"),
        ("client kill ID 3 ADDR 127.0.0.1:50003", ":1"),
        ("client kill ID 3 ADDR 127.0.0.1:50004", ":0"),
        ("client kill MAXAGE 11", ":0"),
        ("client kill MAXAGE 0", "-ERR maxage should be greater than 0"),
        ("client kill MAXAGE x", "-ERR maxage is not an integer or out of range"),
        ("client kill USER nobody", "-ERR No such user 'nobody'"),
        ("client kill ID 0", "-ERR client-id should be greater than 0"),
        ("client kill SKIPME maybe", "-ERR syntax error"),
        ("client kill ID", "-ERR No such client"),
        ("client kill TYPE normal LADDR 127.0.0.1:6379 MAXAGE 10", ":1"),
    ]);
    assert_eq!(client.outcome, Outcome::Next);
    assert_eq!(client.run("client kill ID 1 SKIPME no"), ":1");
    assert_eq!(client.outcome, Outcome::Close);
    assert!(others.iter().all(|other| other.session.info.killed.load(Relaxed)));
    assert_eq!(client.host.calls.lock().unwrap()[0..2], ["disconnect 2", "disconnect 3"]);
}

#[test]
fn replies_can_be_turned_off() {
    Client::new().expect(&[
        ("client reply skip", ""),
        ("set k v", ""),
        ("get k", "$1|v"),
        ("client reply off", ""),
        ("set k w", ""),
        ("nosuch", ""),
        ("client reply skip", ""),
        ("client reply on", "+OK"),
        ("get k", "$1|w"),
        ("client reply maybe", "-ERR syntax error"),
    ]);
}

#[test]
fn replies_can_be_turned_off_within_a_transaction() {
    // EXEC's answer is whole, or nothing.
    let mut client = Client::new();
    let begin = |client: &mut Client, queue: &[&str]| {
        client.expect(&[("multi", "+OK")]);
        queue.iter().for_each(|line| client.expect(&[(line, "+QUEUED")]));
    };
    begin(&mut client, &["echo a", "client reply off", "set k v"]);
    client.expect(&[("exec", "*3|$1|a|+OK|+OK"), ("ping", ""), ("client reply on", "+OK")]);
    begin(&mut client, &["echo a", "client reply off", "get k", "client reply on", "get k"]);
    client.expect(&[("exec", "*5|$1|a|+OK|$1|v|+OK|$1|v"), ("ping", "+PONG")]);
    begin(&mut client, &["client reply skip", "get k"]);
    client.expect(&[("exec", "*2|+OK|$1|v"), ("ping", ""), ("ping", "+PONG")]);
    begin(&mut client, &["get k", "get k"]);
    client.expect(&[("client reply off", "+QUEUED"), ("discard", "+OK")]);
    client.expect(&[("client reply off", ""), ("multi", ""), ("echo a", "")]);
    client.expect(&[("client reply on", ""), ("get k", ""), ("exec", "*3|$1|a|+OK|$1|v")]);
}

#[test]
fn reset_forgets_everything() {
    let mut client = Client::in_cluster();
    client.expect(&[
        ("client setname me", "+OK"),
        ("readonly", "+OK"),
        ("client no-touch on", "+OK"),
        ("client no-evict on", "+OK"),
    ]);
    assert!(client.run("client info").contains(" flags=reT "), "{}", client.run("client info"));
    client.run("hello 3");
    client.expect(&[("reset", "+RESET"), ("client getname", "$-1")]);
    assert_eq!(client.protocol, Protocol::Resp2);
    assert!(!client.session.readonly && !client.session.no_touch);
    assert!(client.run("client info").contains(" flags=N "));
}

#[test]
fn asking_lasts_for_one_command() {
    let mut client = Client::in_cluster();
    client.run("asking");
    assert!(client.session.asking);
    client.run("get k");
    assert!(!client.session.asking);
}

#[test]
fn quit_closes() {
    let mut client = with_password();
    assert_eq!(client.run("quit"), "+OK");
    assert_eq!(client.outcome, Outcome::Close);
}

#[test]
fn paused_clients_wait_and_nothing_expires() {
    let mut client = Client::new();
    let waits = Outcome::Wait(tessera_engine::Park::WritesPaused);
    client.expect(&[
        ("set due x PX 5", "+OK"),
        ("client pause 10 READ", "-ERR CLIENT PAUSE mode must be WRITE or ALL"),
        ("client pause x", "-ERR timeout is not an integer or out of range"),
        ("client pause -1", "-ERR timeout is negative"),
        ("client pause 10 WRITE", "+OK"),
        ("set k v", ""),
    ]);
    assert_eq!(client.outcome, waits);
    // It may be told to replicas.
    assert_eq!(client.run("pfcount k"), "");
    assert_eq!(client.outcome, waits);
    client.now = START.plus(5);
    client.expect(&[("get due", "$-1"), ("dbsize", ":1")]);
    assert_eq!(client.outcome, Outcome::Next);
    // A later end and a stricter kind hold, an earlier end does not.
    client.expect(&[("client pause 1 ALL", "+OK"), ("get k", "")]);
    assert_eq!(client.outcome, waits);
    client.now = START.plus(9);
    client.expect(&[("get k", "")]);
    client.now = START.plus(10);
    client.expect(&[("set k v", "+OK"), ("get due", "$-1"), ("dbsize", ":1")]);
    client.expect(&[("client pause 10 WRITE", "+OK"), ("client unpause", "+OK")]);
    client.expect(&[("set k w", "+OK")]);
}

#[test]
fn a_client_sees_its_own_command_and_how_many_there_were() {
    let mut client = Client::new();
    client.run("ping");
    let line = client.run("client info");
    assert!(line.contains(" cmd=client|info ") && line.contains(" tot-cmds=1"), "{line}");
}

//! `maxmemory-clients`: who takes most memory goes, and nobody else.

mod common;

use common::eventually;
use common::server::{Server, start};
use common::wire::{Wire, field_of};
use std::io::ErrorKind;

/// A client that has sent the beginning of a long command.
fn a_client_with(server: &Server, name: &str, bytes: usize) -> Wire {
    let mut wire = server.wire();
    assert_eq!(wire.say(&format!("CLIENT SETNAME {name}")).text(), "OK");
    let mut request = format!("*2\r\n$4\r\nECHO\r\n${bytes}\r\n").into_bytes();
    request.resize(request.len() + bytes, b'x');
    wire.send(&request).expect("it is taken");
    wire
}

/// A field of CLIENT LIST for each client of a name.
fn fields(control: &mut Wire, name: &str, field: &str) -> Vec<usize> {
    let list = control.say("CLIENT LIST").text();
    let lines = list.lines().filter(|line| line.contains(&format!(" name={name} ")));
    lines
        .map(|line| {
            let text = field_of(&line.replace(' ', "\r\n").replace('=', ":"), field);
            text.parse().unwrap_or_else(|_| panic!("{field} in {line}"))
        })
        .collect()
}

#[test]
fn who_takes_too_much_is_disconnected_in_good_order() {
    let (_temp, server) = start(&["--maxmemory-clients", "2mb"]);
    let mut control = server.wire();
    let mut large = a_client_with(&server, "large", 3 << 20);
    assert_eq!(large.answer().expect_err("the end").kind(), ErrorKind::UnexpectedEof);
    eventually("one is evicted", || match control.info("stats", "evicted_clients").as_str() {
        "1" => Ok(()),
        other => Err(other.to_owned()),
    });
    assert!(server.log_text().contains("Evicting client: id="), "{}", server.log_text());

    // Nor is a command run that is too long, though it has come as a whole.
    let value = "x".repeat(5 << 19);
    let mut long = server.wire();
    assert_eq!(
        long.try_ask(&["SET", "k", &value]).expect_err("the end").kind(),
        ErrorKind::UnexpectedEof
    );
    assert_eq!(control.say("EXISTS k").integer(), 0);

    // Queued commands, watched keys and unread replies count as well.
    let mut queueing = server.wire();
    assert_eq!(queueing.say("MULTI").text(), "OK");
    let value = "x".repeat(300_000);
    let queued = (0..20).take_while(|_| queueing.try_ask(&["SET", "k", &value]).is_ok()).count();
    assert!((5..=7).contains(&queued), "{queued}");
    assert_eq!(control.say("CONFIG SET maxmemory-clients 200kb").text(), "OK");
    let mut watching = server.wire();
    let watched = (0..5_000)
        .take_while(|number| watching.try_ask(&["WATCH", &format!("key:{number}")]).is_ok())
        .count();
    assert!((500..5_000).contains(&watched), "{watched}");

    // A spared client stays, whatever it takes; but not for ever.
    let mut spared = server.wire();
    assert_eq!(spared.say("CLIENT NO-EVICT ON").text(), "OK");
    assert_eq!(control.say("CLIENT NO-EVICT ON").text(), "OK");
    let value = "x".repeat(250_000);
    for answer in ["OK", "QUEUED"] {
        let words = if answer == "OK" { vec!["MULTI"] } else { vec!["SET", "k", &value] };
        assert_eq!(spared.ask(&words).text(), answer);
    }
    assert_eq!(spared.say("CLIENT NO-EVICT OFF").text(), "QUEUED");
    assert!(
        control.info("memory", "mem_clients_normal").parse::<usize>().expect("bytes") > 250_000
    );
    assert_eq!(spared.say("EXEC").array().len(), 2);
    assert_eq!(control.info("stats", "evicted_clients"), "4");
}

#[test]
fn a_lower_limit_counts_at_once() {
    const EACH: usize = 400_000;
    let (_temp, server) = start(&[]);
    let mut control = server.wire();
    assert_eq!(control.say("CLIENT SETNAME control").text(), "OK");
    assert_eq!(control.say("CLIENT NO-EVICT ON").text(), "OK");
    let _clients: Vec<Wire> = (0..6).map(|_| a_client_with(&server, "many", EACH)).collect();
    eventually("all of it has arrived", || {
        let bytes = fields(&mut control, "many", "qbuf");
        // Without the header, which is parsed.
        if bytes.iter().all(|&bytes| bytes == EACH) { Ok(()) } else { Err(format!("{bytes:?}")) }
    });
    let each = fields(&mut control, "many", "tot-mem");
    // The buffer of a long argument takes little more than the argument.
    assert!(each.iter().all(|&bytes| (EACH..EACH * 6 / 5).contains(&bytes)), "{each:?}");
    let limit = each.iter().max().expect("six") * 3 + fields(&mut control, "control", "tot-mem")[0];
    assert_eq!(control.say(&format!("CONFIG SET maxmemory-clients {limit}")).text(), "OK");
    let left = fields(&mut control, "many", "tot-mem");
    assert_eq!(left.len(), 3, "{left:?} of {limit}");
    assert_eq!(control.info("stats", "evicted_clients"), "3");
}

//! A server whose system fails it: no descriptors, no disk.

mod common;

use std::time::Duration;

use common::eventually;
use common::server::{Server, start};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

/// Gives the server this many descriptors, which it may raise as before; gives what it had.
fn limit_descriptors(server: &Server, limit: u64) -> Rlimit {
    let pid = i32::try_from(server.pid()).ok().and_then(Pid::from_raw).expect("a process id");
    let limit = Rlimit { current: Some(limit), maximum: getrlimit(Resource::Nofile).maximum };
    prlimit(Some(pid), Resource::Nofile, limit).expect("the process is ours")
}

/// How many descriptors the server has open.
fn descriptors(server: &Server) -> u64 {
    let dir = format!("/proc/{}/fd", server.pid());
    std::fs::read_dir(dir).expect("it runs").count() as u64
}

#[test]
fn without_descriptors_clients_wait_until_there_are_some() {
    let (_temp, server) = start(&[]);
    let mut first = server.wire();
    assert_eq!(first.say("PING").text(), "PONG");

    // When there is no descriptor left for a client that comes.
    let before = limit_descriptors(&server, descriptors(&server));
    let mut second = server.wire();
    second.send(b"PING\r\n").expect("the system takes it");
    let complaint = "Accepting client connection: accept: ";
    eventually("the server complains", || {
        let text = server.log_text();
        if text.contains(complaint) { Ok(()) } else { Err(text) }
    });
    for _ in 0..30 {
        assert_eq!(first.say("PING").text(), "PONG");
        std::thread::sleep(Duration::from_millis(10));
    }

    // Then that is told, not again and again, and when there are descriptors again the client is
    // served.
    let told = server.log_text().matches(complaint).count();
    assert_eq!(told, 1, "{}", server.log_text());
    let pid = i32::try_from(server.pid()).ok().and_then(Pid::from_raw);
    prlimit(pid, Resource::Nofile, before).expect("the process is ours");
    assert_eq!(second.answer().expect("a reply").text(), "PONG");
}

#[test]
fn clients_are_promised_no_more_than_the_system_has_descriptors_for() {
    let (_temp, server) = start(&["--maxclients", "50"]);
    let pid = i32::try_from(server.pid()).ok().and_then(Pid::from_raw);
    let limit = Rlimit { current: Some(200), maximum: Some(200) };
    prlimit(pid, Resource::Nofile, limit).expect("the process is ours");

    // When more clients are wanted than there can be, then the answer says how many there can.
    let mut control = server.wire();
    let answer = control.say("CONFIG SET maxclients 100000").text();
    let expected = "ERR CONFIG SET failed (possibly related to argument 'maxclients') - The operating system is not \
                    able to handle the specified number of clients, try with ";
    let possible = answer.strip_prefix(expected).unwrap_or_else(|| panic!("{answer}"));
    assert_eq!(control.say("CONFIG GET maxclients").array()[1].text(), "50");
    let possible: u64 = possible.parse().expect("a number");
    assert!((50..200).contains(&possible), "{possible}");

    // And that many are taken.
    assert_eq!(control.say(&format!("CONFIG SET maxclients {possible}")).text(), "OK");
    // The server has seen the end of the connections before this one.
    eventually("nobody else is connected", || match control.info("clients", "connected_clients") {
        count if count == "1" => Ok(()),
        count => Err(count),
    });
    let mut wires: Vec<_> = (1..possible).map(|_| server.wire()).collect();
    for wire in wires.iter_mut().chain([&mut control]) {
        assert_eq!(wire.say("PING").text(), "PONG");
    }
}

#[test]
fn a_server_with_few_descriptors_says_how_many_clients_it_takes() {
    let (_temp, server) = start(&["--maxclients", "4294967295"]);
    let taken = server.say("CONFIG GET maxclients").array()[1].text();
    let log = server.log_text();
    let told = format!("maxclients has been reduced from 4294967295 to {taken} ");
    assert!(log.contains(&told), "{log}");
}

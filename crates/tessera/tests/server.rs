//! One server process: its connections, limits, files and signals.

mod common;

use std::collections::HashSet;
use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use common::server::{Server, run_to_end, start};
use common::wire::{Answer, Wire, command};
use common::{eventually, free_ports};
use rustix::process::Signal;

#[test]
fn a_protocol_error_closes_its_own_connection_only() {
    let (_temp, server) = start(&[]);
    let mut bystander = server.wire();
    for (sent, answer) in [
        ("*x\r\n", "ERR Protocol error: invalid multibulk length"),
        ("*1\r\n:1\r\n", "ERR Protocol error: expected '$', got ':'"),
        ("*1\r\n$x\r\n", "ERR Protocol error: invalid bulk length"),
        ("*1\r\n$-5\r\n", "ERR Protocol error: invalid bulk length"),
        ("*2147483648\r\n", "ERR Protocol error: invalid multibulk length"),
        ("SET \"unbalanced\r\n", "ERR Protocol error: unbalanced quotes in request"),
    ] {
        // Given a command before it, then that one is answered, the error follows, and nothing
        // more.
        let mut wire = server.wire();
        wire.send(format!("*1\r\n$4\r\nPING\r\n{sent}*1\r\n$4\r\nPING\r\n").as_bytes())
            .expect("sent");
        assert_eq!(wire.answer().expect("a reply").text(), "PONG", "{sent:?}");
        assert_eq!(wire.answer().expect("a reply"), Answer::Error(answer.into()), "{sent:?}");
        assert!(wire.is_closed_by_peer(), "{sent:?}");
        assert_eq!(bystander.say("PING").text(), "PONG");
    }
}

#[test]
fn inline_commands_that_had_to_wait_keep_their_arguments() {
    let (_temp, server) = start(&[]);
    let mut wire = server.wire();
    wire.send(b"WAIT 1 50\r\nSET k \"a b\"\r\nSET  'l'  \"c  \\\"d\"\r\nWAIT 1 50\r\nMGET k l\r\n")
        .expect("sent");
    let waited = |wire: &mut Wire| wire.answer().expect("a reply").integer();
    assert_eq!(waited(&mut wire), 0);
    assert_eq!(wire.answer().expect("a reply").text(), "OK");
    assert_eq!(wire.answer().expect("a reply").text(), "OK");
    assert_eq!(waited(&mut wire), 0);
    let values = ["a b", "c  \"d"].map(|value| Answer::Bulk(value.into()));
    assert_eq!(wire.answer().expect("a reply"), Answer::Array(values.into()));

    // A pause makes the command itself wait, not only those behind it.
    let mut other = server.wire();
    assert_eq!(other.say("CLIENT PAUSE 100 WRITE").text(), "OK");
    wire.send(b"PING\r\nSET k \"e f\"\r\nGET k\r\nSET k \"g\" \"h\r\n").expect("sent");
    for expected in ["PONG", "OK", "e f"] {
        assert_eq!(wire.answer().expect("a reply").text(), expected);
    }
    let unbalanced = "ERR Protocol error: unbalanced quotes in request";
    assert_eq!(wire.answer().expect("a reply"), Answer::Error(unbalanced.into()));
}

#[test]
fn a_pipeline_has_no_limit() {
    const COMMANDS: usize = 100_000;
    let (_temp, server) = start(&[]);
    let mut wire = server.wire();
    let mut pipeline = Vec::new();
    for number in 0..COMMANDS {
        let key = format!("key:{}", number % 1000);
        pipeline.extend(command(&["SET", &key, &number.to_string()]));
        pipeline.extend(command(&["INCR", "counter"]));
    }
    // Bytes that the server does not read yet must not keep us from reading.
    let socket = TcpStream::connect(("127.0.0.1", server.port)).expect("it runs");
    let mut writing = socket.try_clone().expect("a second handle");
    let writer = std::thread::spawn(move || std::io::Write::write_all(&mut writing, &pipeline));
    let mut answers = Vec::new();
    let digits = |number: usize| number.to_string().len();
    let expected: usize = (1..=COMMANDS).map(|number| 5 + 3 + digits(number)).sum();
    socket.take(expected as u64).read_to_end(&mut answers).expect("all answers come");
    assert!(writer.join().expect("no panic").is_ok());
    assert!(answers.ends_with(format!("+OK\r\n:{COMMANDS}\r\n").as_bytes()));
    assert_eq!(wire.say("GET counter").text(), COMMANDS.to_string());
    assert_eq!(wire.say("DBSIZE").integer(), 1001);
    assert_eq!(wire.say("GET key:999").text(), "99999");
}

#[test]
fn a_large_value_comes_and_goes_whole() {
    let (_temp, server) = start(&[]);
    let mut wire = server.wire();
    let value: Vec<u8> =
        (0..100u32 << 20).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    assert_eq!(wire.ask(&[&b"SET"[..], b"large", &value]).text(), "OK");
    assert_eq!(wire.say("STRLEN large").integer(), i64::from(100u32 << 20));
    let Answer::Bulk(found) = wire.say("GET large") else { panic!("no value") };
    assert!(found == value, "the value is another");
    // A bystander is answered meanwhile; afterwards the memory is given back.
    assert_eq!(wire.say("DEL large").integer(), 1);
    eventually("the memory is given back", || {
        let used: u64 = wire.info("memory", "used_memory").parse().expect("a number");
        if used < 60 << 20 { Ok(()) } else { Err(format!("{used} bytes")) }
    });
}

#[test]
fn a_command_may_come_byte_by_byte() {
    let (_temp, server) = start(&[]);
    let mut wire = server.wire();
    let bytes = command(&["SET", "key", "a value of some length"]);
    for byte in &bytes {
        wire.send(std::slice::from_ref(byte)).expect("sent");
    }
    assert_eq!(wire.answer().expect("a reply").text(), "OK");

    // And a large argument in thousands of pieces.
    let value = vec![b'v'; 8 << 20];
    let bytes = command(&[&b"SET"[..], b"pieces", &value]);
    for piece in bytes.chunks(1024) {
        wire.send(piece).expect("sent");
    }
    assert_eq!(wire.answer().expect("a reply").text(), "OK");
    assert_eq!(wire.say("STRLEN pieces").integer(), 8 << 20);
}

#[test]
fn more_clients_than_allowed_are_refused() {
    let (_temp, server) = start(&["--maxclients", "5"]);
    let mut wires: Vec<Wire> = Vec::new();
    eventually("the connection of the start is gone", || {
        let mut wire = server.wire();
        match wire.try_ask(&["PING"]) {
            Ok(Answer::Status(_)) => wires.push(wire),
            answer => return if wires.len() == 5 { Ok(()) } else { Err(format!("{answer:?}")) },
        }
        Err(format!("{} connections", wires.len()))
    });
    let mut refused = server.wire();
    let answer = refused.answer().expect("a reply");
    assert_eq!(answer, Answer::Error("ERR max number of clients reached".into()));
    assert!(refused.is_closed_by_peer());
    assert!(wires[0].info("stats", "rejected_connections").parse::<u64>().expect("a number") >= 1);

    // A client that leaves makes room.
    drop(wires.pop());
    eventually("there is room", || {
        let answer = server.wire().try_ask(&["PING"]);
        if matches!(answer, Ok(Answer::Status(_))) { Ok(()) } else { Err(format!("{answer:?}")) }
    });
}

#[test]
fn an_idle_client_is_disconnected() {
    // Long enough for the busy one to have its turn on a busy machine.
    const TIMEOUT: u64 = 3;
    let (_temp, server) = start(&["--timeout", &TIMEOUT.to_string()]);
    let mut idle = server.wire();
    assert_eq!(idle.say("PING").text(), "PONG");
    let mut busy = server.wire();
    let since = Instant::now();
    // The other one goes on all the while.
    eventually("the idle client is gone", || {
        assert_eq!(busy.say("PING").text(), "PONG");
        let clients = busy.say("CLIENT LIST").text().lines().count();
        if clients == 1 { Ok(()) } else { Err(format!("{clients} clients")) }
    });
    assert!(since.elapsed() >= Duration::from_secs(TIMEOUT), "{:?}", since.elapsed());
    assert!(idle.is_closed_by_peer());
}

#[test]
fn a_password_is_asked_for() {
    let (_temp, server) = start(&["--requirepass", "open sesame"]);
    let mut wire = server.wire();
    assert_eq!(wire.say("GET key"), Answer::Error("NOAUTH Authentication required.".into()));
    let wrong = wire.ask(&["AUTH", "wrong"]);
    assert!(wrong.is_error("WRONGPASS invalid username-password pair"), "{wrong:?}");
    assert!(wire.say("PING").is_error("NOAUTH"));
    assert_eq!(wire.ask(&["AUTH", "open sesame"]).text(), "OK");
    assert_eq!(wire.say("PING").text(), "PONG");
    assert_eq!(server.wire().ask(&["AUTH", "default", "open sesame"]).text(), "OK");
    let hello =
        server.wire().ask(&["HELLO", "3", "AUTH", "default", "open sesame", "SETNAME", "me"]);
    assert!(hello.array().contains(&Answer::Bulk(b"proto".to_vec())), "{hello:?}");

    // A client that has not named the password cannot make the server keep much.
    let mut stranger = server.wire();
    stranger.send(b"*1\r\n$1000000\r\n").expect("sent");
    let answer = stranger.answer().expect("a reply");
    assert!(answer.is_error("ERR Protocol error: unauthenticated bulk length"), "{answer:?}");
    assert!(stranger.is_closed_by_peer());
}

#[test]
fn a_unix_socket_serves_like_a_port() {
    let temp = tempfile::tempdir().expect("a directory");
    let path = temp.path().join("socket");
    let path_text = path.display().to_string();
    let mut server =
        Server::tessera(temp.path(), &["--unixsocket", &path_text, "--unixsocketperm", "700"]);
    let mut wire = Wire::connect_unix(&path).expect("the socket is there");
    assert_eq!(wire.say("SET key value").text(), "OK");
    assert_eq!(server.say("GET key").text(), "value");
    assert!(wire.say("CLIENT LIST").text().contains(&format!("addr={path_text}:0")));
    let mode = std::fs::metadata(&path).expect("it is there");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o700);

    // It stays when the port changes.
    let port = free_ports(1);
    assert_eq!(wire.say(&format!("CONFIG SET port {port}")).text(), "OK");
    eventually("the new port serves, the old one does not", || {
        let answer = |port| Wire::connect(port).and_then(|mut wire| wire.try_ask(&["GET", "key"]));
        let (new, old) = (answer(port), answer(server.port));
        let moved = matches!(new, Ok(Answer::Bulk(_))) && old.is_err();
        if moved { Ok(()) } else { Err(format!("{new:?}, {old:?}")) }
    });
    let mut late = Wire::connect_unix(&path).expect("the socket is still there");
    assert_eq!(late.say("GET key").text(), "value");
    server.signal(Signal::TERM);
    assert_eq!(server.await_end().code(), Some(0));
    assert!(!path.exists(), "the socket is left behind");
}

#[test]
fn clients_see_and_kill_each_other() {
    let (_temp, server) = start(&["--io-threads", "4"]);
    let mut wires: Vec<Wire> = (0..8).map(|_| server.wire()).collect();
    let mut ids = Vec::new();
    for (at, wire) in wires.iter_mut().enumerate() {
        assert_eq!(wire.say(&format!("CLIENT SETNAME client-{at}")).text(), "OK");
        ids.push(wire.say("CLIENT ID").integer());
    }
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 8, "{ids:?}");
    let list = wires[0].say("CLIENT LIST").text();
    for (at, id) in ids.iter().enumerate() {
        let line = list.lines().find(|line| line.starts_with(&format!("id={id} ")));
        let line = line.unwrap_or_else(|| panic!("no {id} in {list}"));
        assert!(line.contains(&format!("name=client-{at} ")), "{line}");
    }

    // Clients of all threads kill and are killed.
    for at in 1..8 {
        let killed = wires[0].say(&format!("CLIENT KILL ID {}", ids[at]));
        assert_eq!(killed.integer(), 1);
        assert!(wires[at].is_closed_by_peer(), "client {at} lives");
    }
    eventually("they are off the list", || {
        let list = wires[0].say("CLIENT LIST").text();
        if list.contains("name=client-1") { Err(list) } else { Ok(()) }
    });
    // Itself: with an answer first.
    let own = wires[0].say(&format!("CLIENT KILL ID {} SKIPME no", ids[0]));
    assert_eq!(own.integer(), 1);
    assert!(wires[0].is_closed_by_peer());
}

#[test]
fn a_client_that_does_not_read_is_disconnected() {
    let (_temp, server) = start(&["--client-output-buffer-limit", "normal 16mb 0 0"]);
    let mut wire = server.wire();
    let value = vec![b'v'; 1 << 20];
    assert_eq!(wire.ask(&[&b"SET"[..], b"key", &value]).text(), "OK");
    let mut greedy = server.wire();
    assert_eq!(greedy.say("CLIENT SETNAME greedy").text(), "OK");
    // More than the limit and what the kernel keeps for both sides.
    let asked = greedy.send(&command(&["GET", "key"]).repeat(200));
    assert!(asked.is_ok());
    eventually("it is disconnected", || {
        let list = wire.say("CLIENT LIST").text();
        if list.contains("name=greedy") { Err(list) } else { Ok(()) }
    });
    eventually("the log says why", || {
        let log = server.log_text();
        if log.contains("output buffer limits") { Ok(()) } else { Err(log) }
    });
    assert_eq!(wire.say("PING").text(), "PONG");
}

#[test]
fn a_killed_client_goes_though_it_does_not_read() {
    let (_temp, server) = start(&[]);
    let mut wire = server.wire();
    let value = vec![b'v'; 1 << 20];
    assert_eq!(wire.ask(&[&b"SET"[..], b"key", &value]).text(), "OK");
    let mut greedy = server.wire();
    let id = greedy.say("CLIENT ID").integer();
    // More than the kernel keeps for both sides.
    greedy.send(&command(&["GET", "key"]).repeat(50)).expect("sent");
    let line = |wire: &mut Wire| {
        let list = wire.say("CLIENT LIST").text();
        list.lines().find(|line| line.starts_with(&format!("id={id} "))).map(str::to_owned)
    };
    eventually("replies pile up", || match line(&mut wire) {
        Some(line) if line.contains(" cmd=get ") && !line.contains(" omem=0 ") => Ok(()),
        line => Err(format!("{line:?}")),
    });
    assert_eq!(wire.say(&format!("CLIENT KILL ID {id}")).integer(), 1);
    eventually("it is off the list", || line(&mut wire).map_or(Ok(()), Err));
}

#[test]
fn small_replies_do_not_count_against_the_output_limit() {
    let (_temp, server) = start(&["--client-output-buffer-limit", "normal 10 0 0"]);
    let mut wire = server.wire();
    let value = vec![b'v'; 100_000];
    assert_eq!(wire.ask(&[&b"SET"[..], b"key", &value]).text(), "OK");
    assert_eq!(wire.say("GETRANGE key 1 16000").text().len(), 16_000);
    assert!(server.wire().try_ask(&["GET", "key"]).is_err());
    assert_eq!(wire.info("stats", "client_output_buffer_limit_disconnections"), "1");
}

#[test]
fn answers_that_came_late_obey_client_reply() {
    let (_temp, server) = start(&[]);
    let mut wire = server.wire();
    // No replica acknowledges anything: WAIT is answered when its time is up.
    wire.send(b"CLIENT REPLY SKIP\r\nWAIT 1 50\r\nPING\r\n").expect("sent");
    assert_eq!(wire.answer().expect("a reply").text(), "PONG");
    wire.send(b"CLIENT REPLY OFF\r\nWAIT 1 50\r\nPING\r\nCLIENT REPLY ON\r\nECHO on\r\n")
        .expect("sent");
    assert_eq!(wire.answer().expect("a reply"), Answer::Status("OK".into()));
    assert_eq!(wire.answer().expect("a reply").text(), "on");

    // A command that has not run yet while it waited skips one answer, its own.
    let mut other = server.wire();
    assert_eq!(other.say("CLIENT PAUSE 100 WRITE").text(), "OK");
    wire.send(b"CLIENT REPLY SKIP\r\nSET k v\r\nGET k\r\n").expect("sent");
    assert_eq!(wire.answer().expect("a reply").text(), "v");
}

#[test]
fn a_client_that_sends_no_end_is_disconnected() {
    let (_temp, server) = start(&["--client-query-buffer-limit", "1mb"]);
    let mut wire = server.wire();
    let mut endless = server.wire();
    endless.send(b"*2\r\n$4\r\nECHO\r\n$100000000\r\n").expect("sent");
    let piece = vec![b'x'; 64 << 10];
    let cut = (0..1000).find(|_| endless.send(&piece).is_err());
    assert!(cut.is_some(), "it took 64 MB");
    assert!(endless.is_closed_by_peer());

    // A whole command that is too long is not run either, and its client sees an end in good order:
    // all of it is taken.
    let mut long = server.wire();
    let value = vec![b'x'; 3 << 20];
    let answer = long.try_ask(&[&b"SET"[..], b"key", &value]);
    assert_eq!(answer.expect_err("the end").kind(), std::io::ErrorKind::UnexpectedEof);
    assert_eq!(wire.say("EXISTS key").integer(), 0);
    assert!(server.log_text().contains("reached max query buffer length"));
    let stats = wire.info("stats", "client_query_buffer_limit_disconnections");
    assert_eq!(stats, "2");
    let within = vec![b'x'; 1 << 19];
    assert_eq!(wire.ask(&[&b"SET"[..], b"key", &within]).text(), "OK");
}

#[test]
fn the_reason_why_a_connection_ends_arrives_before_the_end() {
    let (_temp, server) = start(&[]);
    let mut wire = server.wire();
    // The rest is unread when the connection is closed.
    let mut wrong = b"*1\r\n+4\r\n".to_vec();
    wrong.resize(1 << 20, b'x');
    wire.send(&wrong).expect("it is taken");
    let reason = wire.answer().expect("a reason");
    assert!(reason.is_error("ERR Protocol error: expected '$', got '+'"), "{reason:?}");
    assert_eq!(wire.answer().expect_err("the end").kind(), std::io::ErrorKind::UnexpectedEof);
}

#[test]
fn sigterm_ends_it_in_good_order() {
    for signal in [Signal::TERM, Signal::INT] {
        let (temp, mut server) = start(&["--pidfile", "server.pid"]);
        let pidfile = temp.path().join(server.port.to_string()).join("server.pid");
        let text = std::fs::read_to_string(&pidfile).expect("it is there");
        assert_eq!(text.trim(), server.pid().to_string());
        let mut wire = server.wire();
        server.signal(signal);
        assert_eq!(server.await_end().code(), Some(0));
        assert!(!pidfile.exists(), "the pidfile is left behind");
        assert!(wire.is_closed_by_peer());
        assert!(server.log_text().contains("bye bye"));
    }
    // SHUTDOWN does the same; its answer is the end of the connection.
    let (_temp, mut server) = start(&[]);
    assert!(server.wire().try_ask(&["SHUTDOWN", "NOSAVE"]).is_err());
    assert_eq!(server.await_end().code(), Some(0));
}

#[test]
fn a_port_in_use_is_one_clear_line() {
    let (temp, server) = start(&[]);
    let port = server.port.to_string();
    let (status, text) = run_to_end(&["--port", &port, "--bind", "127.0.0.1"], temp.path());
    assert_eq!(status.code(), Some(1), "{text}");
    assert_eq!(text.trim().lines().count(), 1, "{text}");
    assert!(text.contains(&port) && text.to_lowercase().contains("in use"), "{text}");

    // An operator who watches the log reads it there.
    let args = ["--port", &port, "--bind", "127.0.0.1", "--logfile", "in-use.log"];
    let (_, text) = run_to_end(&args, temp.path());
    let log = std::fs::read_to_string(temp.path().join("in-use.log")).expect("it is there");
    let line = format!("Failed listening on port {port}");
    assert!(log.contains(&line) && text.contains(&line), "{log}{text}");

    // The bus' port, too.
    let port = free_ports(1);
    let bus = port + 10_000;
    let _taken = std::net::TcpListener::bind(("127.0.0.1", bus)).expect("it was free");
    let args = ["--port", &port.to_string(), "--bind", "127.0.0.1", "--cluster-enabled", "yes"];
    let (status, text) = run_to_end(&args, temp.path());
    assert_eq!(status.code(), Some(1), "{text}");
    assert_eq!(text.trim().lines().count(), 1, "{text}");
    assert!(text.contains(&bus.to_string()), "{text}");
}

#[test]
fn a_wrong_directive_is_named_with_its_file_and_line() {
    let temp = tempfile::tempdir().expect("a directory");
    std::fs::write(temp.path().join("bad.conf"), "port 0\n# fine\nno-such-directive yes\n")
        .expect("writable");
    let (status, text) = run_to_end(&["./bad.conf"], temp.path());
    assert_eq!(status.code(), Some(1), "{text}");
    for part in ["bad.conf", "3", "no-such-directive"] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    let (status, text) = run_to_end(&["./absent.conf"], temp.path());
    assert_eq!(status.code(), Some(1));
    assert!(text.contains("absent.conf") && text.trim().lines().count() == 1, "{text}");
}

#[test]
fn config_rewrite_survives_a_restart() {
    // Given: a server with a file that has a comment.
    let temp = tempfile::tempdir().expect("a directory");
    let path = temp.path().join("redis.conf");
    std::fs::write(&path, "# mine\nmaxclients 100\ntimeout 7\n").expect("writable");
    let path_text = path.display().to_string();
    let mut server = Server::tessera_with_file(temp.path(), &path_text, &[]);
    let mut wire = server.wire();
    let set = wire.say("CONFIG SET timeout 77 maxmemory 100mb");
    assert_eq!(set.text(), "OK");
    assert_eq!(wire.say("CONFIG REWRITE").text(), "OK");

    // Then the file has the new values and the comment.
    let text = std::fs::read_to_string(&path).expect("it is there");
    for line in ["# mine", "maxclients 100", "timeout 77", "maxmemory 100mb"] {
        assert!(text.lines().any(|found| found == line), "{line:?} in\n{text}");
    }

    // And the next start has them.
    server.signal(Signal::TERM);
    server.await_end();
    server.restart();
    let get = server.say("CONFIG GET timeout");
    assert_eq!(get.array()[1].text(), "77");
    assert_eq!(server.say("CONFIG GET maxmemory").array()[1].text(), (100 << 20).to_string());

    // Without a file there is nothing to rewrite.
    let (_temp, bare) = start(&[]);
    let answer = bare.say("CONFIG REWRITE");
    assert!(answer.is_error("ERR The server is running without a config file"), "{answer:?}");
}

#[test]
fn scan_finds_everything_while_the_tables_grow() {
    const OLD: usize = 5000;
    let (_temp, server) = start(&[]);
    let mut wire = server.wire();
    for number in 0..OLD {
        wire.say(&format!("SET old:{number} x"));
    }
    // When keys are added and removed all the while.
    let mut other = server.wire();
    let mut found = HashSet::new();
    let mut cursor = "0".to_owned();
    let mut added = 0;
    loop {
        let answer = wire.say(&format!("SCAN {cursor} COUNT 50"));
        let [next, keys] = answer.array() else { panic!("{answer:?}") };
        found.extend(keys.array().iter().map(Answer::text));
        for _ in 0..300 {
            other.send(&command(&["SET", &format!("new:{added}"), "x"])).expect("sent");
            added += 1;
        }
        (0..300).for_each(|_| assert_eq!(other.answer().expect("a reply").text(), "OK"));
        cursor = next.text();
        if cursor == "0" {
            break;
        }
    }
    // Then what was there from the beginning to the end was found.
    let missing = (0..OLD).filter(|number| !found.contains(&format!("old:{number}"))).count();
    assert_eq!(missing, 0, "of {OLD}, with {added} added");
}

#[test]
fn a_command_that_waits_is_counted_for_its_client_when_it_is_through() {
    let (_guard, server) = start(&[]);
    let (mut waiting, mut other) = (server.wire(), server.wire());
    let id = waiting.say("CLIENT ID").integer();
    let mut counted = || {
        let line = other.say(&format!("CLIENT LIST ID {id}")).text();
        let field = |name: &str| {
            let found = line.split([' ', '\n']).find_map(|part| part.strip_prefix(name));
            found.unwrap_or_else(|| panic!("{name} in {line}")).to_owned()
        };
        (field("cmd="), field("tot-cmds="))
    };
    waiting.send(b"BLPOP list 0\r\n").expect("sent");
    eventually("it waits", || match counted() {
        (command, count) if command == "blpop" => {
            assert_eq!(count, "1");
            Ok(())
        }
        other => Err(format!("{other:?}")),
    });
    assert_eq!(server.say("RPUSH list a").integer(), 1);
    waiting.answer().expect("a reply");
    assert_eq!(counted().1, "2");
}

#[test]
fn large_replies_of_one_turn_come_whole_and_in_order() {
    const VALUES: usize = 120;
    let (_temp, server) = start(&[]);
    let mut wire = server.wire();
    let value = |number: usize| number.to_string().repeat(100_000);
    for number in 0..VALUES {
        let set = ["SET", &format!("key:{number}"), &value(number)].map(str::to_owned);
        assert_eq!(wire.ask(&set).text(), "OK");
    }
    // More than a socket takes, in one read of the server; the client begins to read late.
    let gets: Vec<u8> =
        (0..VALUES).flat_map(|number| format!("GET key:{number}\r\n").into_bytes()).collect();
    wire.send(&gets).expect("sent");
    std::thread::sleep(Duration::from_millis(200));
    for number in 0..VALUES {
        let Answer::Bulk(bytes) = wire.answer().expect("a reply") else { panic!("not a string") };
        assert!(bytes == value(number).as_bytes(), "{number}");
    }
    assert_eq!(wire.say("PING").text(), "PONG");
}

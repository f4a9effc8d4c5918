//! Positions, beyond what the comparison with a real server sees.

mod harness;

use harness::Client;

fn sicily() -> Client {
    let mut client = Client::new();
    client.expect(&[(
        "geoadd s 13.361389 38.115556 Palermo 15.087269 37.502669 Catania 13.583333 37.316667 Agrigento",
        ":3",
    )]);
    client
}

#[test]
fn members_are_added_and_found_again() {
    sicily().expect(&[
        ("zscore s Palermo", "$16|3479099956230698"),
        ("geohash s Palermo x Catania", "*3|$11|sqc8b49rny0|$-1|$11|sqdtr74hyu0"),
        ("geopos s Palermo x", "*2|*2|$20|13.36138933897018433|$20|38.11555639549629859|*-1"),
        ("geodist s Palermo Catania", "$11|166274.1516"),
        ("geodist s Palermo Catania km", "$8|166.2742"),
        ("geodist s Palermo x", "$-1"),
        (
            "geodist s Palermo Catania parsec",
            "-ERR unsupported unit provided. please use M, KM, FT, MI",
        ),
        ("geoadd s NX 1 1 Palermo 1 1 new", ":1"),
        ("geoadd s XX CH 2 2 new 2 2 newer", ":1"),
        ("geoadd s 200 10 x", "-ERR invalid longitude,latitude pair 200.000000,10.000000"),
        ("geoadd s a 10 x", "-ERR value is not a valid float"),
        ("geoadd s NX XX 1 1 x", "-ERR syntax error"),
        ("geoadd s 1 1 x 1", "-ERR syntax error"),
    ]);
}

#[test]
fn searches() {
    sicily().expect(&[
        (
            "geosearch s FROMLONLAT 15 37 BYRADIUS 200 km ASC",
            "*3|$7|Catania|$9|Agrigento|$7|Palermo",
        ),
        ("geosearch s FROMMEMBER Palermo BYRADIUS 100 km ASC", "*2|$7|Palermo|$9|Agrigento"),
        (
            "geosearch s FROMLONLAT 15 37 BYBOX 200 200 km DESC WITHDIST",
            "*1|*2|$7|Catania|$7|56.4413",
        ),
        (
            "geosearch s FROMLONLAT 15 37 BYRADIUS 200 km COUNT 1 WITHHASH",
            "*1|*2|$7|Catania|:3479447370796909",
        ),
        (
            "geosearch s FROMLONLAT 15 37 BYRADIUS 100 km WITHCOORD",
            "*1|*2|$7|Catania|*2|$20|15.08726745843887329|$20|37.50266842333162032",
        ),
        ("geosearch s FROMMEMBER x BYRADIUS 100 km", "-ERR could not decode requested zset member"),
        ("geosearch missing FROMMEMBER x BYRADIUS 100 km", "*0"),
        (
            "geosearch s BYRADIUS 100 km ASC WITHDIST",
            "-ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for geosearch",
        ),
        (
            "geosearch s FROMMEMBER Palermo ASC ASC ASC",
            "-ERR exactly one of BYRADIUS and BYBOX can be specified for geosearch",
        ),
        (
            "geosearch s FROMLONLAT 15 37 BYRADIUS 1 km ANY",
            "-ERR the ANY argument requires COUNT argument",
        ),
        ("geosearch s FROMLONLAT 15 37 BYRADIUS -1 km", "-ERR radius cannot be negative"),
        ("geosearch s FROMLONLAT 15 37 BYBOX -1 1 km", "-ERR height or width cannot be negative"),
        ("geosearch s FROMLONLAT 15 37 BYRADIUS 1 km COUNT 0", "-ERR COUNT must be > 0"),
        ("geosearch s FROMLONLAT 15 37 BYRADIUS 1 km STOREDIST", "-ERR syntax error"),
        ("geosearchstore t s FROMLONLAT 15 37 BYRADIUS 200 km COUNT 2", ":2"),
        ("zrange t 0 -1", "*2|$9|Agrigento|$7|Catania"),
        (
            "geosearchstore t s FROMLONLAT 15 37 BYRADIUS 200 km STOREDIST WITHDIST",
            "-ERR GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD options",
        ),
        ("geosearchstore t s FROMLONLAT 0 0 BYRADIUS 1 km", ":0"),
        ("exists t", ":0"),
    ]);
}

#[test]
fn the_older_forms() {
    sicily().expect(&[
        ("georadius s 15 37 200 km ASC COUNT 1", "*1|$7|Catania"),
        ("georadius_ro s 15 37 200 km DESC COUNT 1", "*1|$7|Palermo"),
        ("georadiusbymember s Palermo 1 km", "*1|$7|Palermo"),
        ("georadiusbymember_ro s Palermo 1 km WITHDIST", "*1|*2|$7|Palermo|$6|0.0000"),
        ("georadius_ro s 15 37 200 km STORE t", "-ERR syntax error"),
        ("georadius s 15 37 200 km STORE t", ":3"),
        ("zscore t Palermo", "$16|3479099956230698"),
        ("georadius s 15 37 100 km STOREDIST t", ":1"),
        ("georadius s 15 37 100 km WITHDIST STORE t", "-ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options"),
        ("georadiusbymember missing x 1 km STORE t", ":0"),
        ("exists t", ":0"),
        ("command getkeys georadius s 15 37 100 km STORE t", "*2|$1|s|$1|t"),
    ]);
}

#[test]
fn scores_that_are_no_places_have_places_too() {
    Client::new().expect(&[
        ("zadd z inf a 1e308 b 0 c -1 d", ":4"),
        ("geopos z a", "*1|*2|$22|-179.99999731779098511|$21|-85.05112751263942528"),
        ("geopos z c", "*1|*2|$22|-179.99999731779098511|$21|-85.05112751263942528"),
        ("geodist z a b", "$6|0.0000"),
    ]);
}

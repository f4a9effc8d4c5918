//! The values of arguments, by what the command table calls them: mostly such as commands take and
//! meet again, and now and then hostile ones.

use crate::random::Rng;

/// Arguments that a command may be given in any place.
pub(crate) const HOSTILE: &[&[u8]] = &[
    b"",
    b"0",
    b"-1",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"18446744073709551615",
    b"nan",
    b"inf",
    b"-inf",
    b"(5",
    b"[a",
    b"-",
    b"+",
    b"1-1",
    b"1-*",
    b"0-0",
    b"$",
    b">",
    b"x",
    b"1.5",
    b"01",
    b" 5",
    b"\x00\xff\r\n",
    &[b'q'; 300],
];
const INTEGERS: &[&[u8]] = &[
    b"-1",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"-9223372036854775807",
    b"4294967296",
    b"x",
    b"",
    b"1.5",
    b"01",
    b"+1",
    b" 1",
];
/// Relative times that are refused, or have passed at once. None lies so near that the time of the
/// run matters.
const BAD_TIMES: &[&[u8]] = &[
    b"0",
    b"-1",
    b"x",
    b"",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"9223372036854775",
    b"-9223372036854775",
];
const MEMBERS: &[&[u8]] = &[
    b"a",
    b"b",
    b"c",
    b"d",
    b"e",
    b"foo",
    b"bar",
    b"",
    b"1",
    b"2",
    b"3",
    b"-5",
    b"100000",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"01",
    b"1.5",
    b"hello world",
    b"\x00\xff\r\n",
    &[b'm'; 70],
    &[b'q'; 300],
];
const SCORES: &[&[u8]] = &[
    b"0",
    b"1",
    b"2",
    b"3",
    b"-1",
    b"1.5",
    b"-0",
    b"inf",
    b"-inf",
    b"+inf",
    b"1e308",
    b"-1e308",
    b"0.1",
    b"3.0000000000000004",
    b"9007199254740993",
    b"1e20",
    b"1e21",
    b"1e-7",
    b"123456789.123456789",
    b"5e-324",
];
const BAD_SCORES: &[&[u8]] =
    &[b"nan", b"", b"x", b"1.5abc", b" 1", b"1 ", b"0x10", b"infinity", b"1e400", b"1e-400", b"."];
const LEX: &[&[u8]] = &[
    b"-", b"+", b"[a", b"(a", b"[c", b"(c", b"[foo", b"(", b"[", b"[1", b"(d", b"[\xff", b"a", b"",
    b"--",
];
const IDS: &[&[u8]] = &[
    b"0",
    b"0-0",
    b"0-1",
    b"1",
    b"5",
    b"$",
    b">",
    b"-",
    b"+",
    b"(1-1",
    b"(3",
    b"(-",
    b"18446744073709551615-18446744073709551615",
    b"18446744073709551615",
    b"18446744073709551616",
    b"1-",
    b"-1",
    b"1-1-1",
    b"x",
    b"",
];
const PATTERNS: &[&[u8]] = &[
    b"*", b"a*", b"?", b"[a-c]", b"[^a]", b"\\{*", b"", b"*1", b"[", b"key*s", b"[a", b"\\",
    b"*o*", b"s?",
];
const FLOATS: &[&[u8]] = &[
    b"0.1",
    b"-0.1",
    b"1",
    b"1e2",
    b"5.0e3",
    b"200",
    b"1e-5",
    b"3.0e-17",
    b"1e18",
    b"-1e18",
    b"0",
    b"x",
    b"inf",
    b"1e4932",
    b"0.333333333333333333333",
];

pub(crate) fn integer(rng: &mut Rng) -> Vec<u8> {
    match rng.below(10) {
        0 => rng.pick(INTEGERS).to_vec(),
        1 => rng.between(-300, 300).to_string().into_bytes(),
        _ => rng.between(-4, 12).to_string().into_bytes(),
    }
}

/// A number of things: small, since what is asked for may be given.
pub(crate) fn count(rng: &mut Rng) -> Vec<u8> {
    match rng.below(12) {
        0 => rng
            .pick(&[
                &b"0"[..],
                b"-1",
                b"-3",
                b"x",
                b"",
                b"1.5",
                b"9223372036854775807",
                b"-9223372036854775808",
            ])
            .to_vec(),
        1 => rng.between(-20, 20).to_string().into_bytes(),
        _ => rng.between(1, 8).to_string().into_bytes(),
    }
}

pub(crate) fn member(rng: &mut Rng) -> Vec<u8> {
    match rng.below(4) {
        0 => rng.between(-20, 20).to_string().into_bytes(),
        1 => format!("m{}", rng.below(40)).into_bytes(),
        _ => rng.pick(MEMBERS).to_vec(),
    }
}

pub(crate) fn value(rng: &mut Rng) -> Vec<u8> {
    match rng.below(4) {
        0 => integer(rng),
        1 => rng.pick(HOSTILE).to_vec(),
        _ => member(rng),
    }
}

pub(crate) fn score(rng: &mut Rng) -> Vec<u8> {
    match rng.below(8) {
        0 => rng.pick(BAD_SCORES).to_vec(),
        1 | 2 => rng.pick(SCORES).to_vec(),
        3 => format!("{}.{}", rng.between(-9, 9), rng.below(1000)).into_bytes(),
        _ => rng.between(-5, 15).to_string().into_bytes(),
    }
}

/// One end of a range of scores.
pub(crate) fn bound(rng: &mut Rng) -> Vec<u8> {
    let open = if rng.percent(30) { "(" } else { "" };
    let at = if rng.percent(25) { rng.pick(&[&b"-inf"[..], b"+inf"]).to_vec() } else { score(rng) };
    [open.as_bytes(), &at].concat()
}

/// One end of a range of any kind: of scores, of ranks, of members.
pub(crate) fn any_bound(rng: &mut Rng) -> Vec<u8> {
    match rng.below(3) {
        0 => bound(rng),
        1 => lex(rng),
        _ => integer(rng),
    }
}

pub(crate) fn lex(rng: &mut Rng) -> Vec<u8> {
    match rng.below(4) {
        0 => [rng.pick(&[&b"("[..], b"["]), &member(rng)[..]].concat(),
        _ => rng.pick(LEX).to_vec(),
    }
}

/// The id of an entry of a stream, or one end of a range of them.
pub(crate) fn id(rng: &mut Rng) -> Vec<u8> {
    match rng.below(6) {
        0 => rng.pick(IDS).to_vec(),
        1 => rng.between(0, 60).to_string().into_bytes(),
        2 => format!("({}-{}", rng.between(0, 60), rng.below(3)).into_bytes(),
        _ => format!("{}-{}", rng.between(0, 60), rng.below(3)).into_bytes(),
    }
}

pub(crate) fn pattern(rng: &mut Rng) -> Vec<u8> {
    rng.pick(PATTERNS).to_vec()
}

pub(crate) fn bad_time(rng: &mut Rng) -> Vec<u8> {
    rng.pick(BAD_TIMES).to_vec()
}

/// How long a client is willing to wait. A client that waits is unblocked.
pub(crate) fn timeout(rng: &mut Rng) -> Vec<u8> {
    rng.pick(&[
        &b"0"[..],
        b"0",
        b"100",
        b"50.5",
        b"1e2",
        b"-1",
        b"nan",
        b"inf",
        b"x",
        b"",
        b"1e30",
        b"-0",
    ])
    .to_vec()
}

pub(crate) fn longitude(rng: &mut Rng) -> Vec<u8> {
    match rng.below(12) {
        0 => rng.pick(&[&b"181"[..], b"-181", b"nan", b"inf", b"x", b"", b"180", b"-180"]).to_vec(),
        1 => format!("{}.{}", rng.between(-180, 180), rng.below(1_000_000)).into_bytes(),
        _ => format!("{}.{:06}", rng.between(12, 16), rng.below(1_000_000)).into_bytes(),
    }
}

pub(crate) fn latitude(rng: &mut Rng) -> Vec<u8> {
    match rng.below(12) {
        0 => rng
            .pick(&[&b"86"[..], b"-86", b"nan", b"inf", b"x", b"", b"85.05112878", b"-85.05112878"])
            .to_vec(),
        1 => format!("{}.{}", rng.between(-85, 85), rng.below(1_000_000)).into_bytes(),
        _ => format!("{}.{:06}", rng.between(36, 39), rng.below(1_000_000)).into_bytes(),
    }
}

/// A radius, a width, a height.
pub(crate) fn distance(rng: &mut Rng) -> Vec<u8> {
    match rng.below(10) {
        0 => rng
            .pick(&[&b"-1"[..], b"nan", b"inf", b"x", b"", b"0", b"1e300", b"6000000", b"30000"])
            .to_vec(),
        _ => rng
            .pick(&[&b"1"[..], b"10", b"100", b"200.5", b"300", b"1000", b"5000", b"100000"])
            .to_vec(),
    }
}

/// The kind of an integer in a bitmap.
pub(crate) fn bits_kind(rng: &mut Rng) -> Vec<u8> {
    match rng.below(10) {
        0 => rng.pick(HOSTILE).to_vec(),
        _ => format!("{}{}", rng.pick(&["i", "u"]), rng.below(66)).into_bytes(),
    }
}

pub(crate) fn bit_offset(rng: &mut Rng) -> Vec<u8> {
    match rng.below(10) {
        0 => rng
            .pick(&[
                &b"-1"[..],
                b"x",
                b"",
                b"9223372036854775807",
                b"4294967296",
                b"#-1",
                b"#",
                b"##1",
            ])
            .to_vec(),
        1 | 2 => format!("#{}", rng.below(10)).into_bytes(),
        _ => rng.below(600).to_string().into_bytes(),
    }
}

/// A floating point number that INCRBYFLOAT is given, with up to 20 digits on either side of the
/// point.
pub(crate) fn float(rng: &mut Rng) -> Vec<u8> {
    if rng.percent(50) {
        return rng.pick(FLOATS).to_vec();
    }
    let mut digits = |most: usize| {
        let len = 1 + rng.below(most);
        (0..len).map(|_| char::from(b'0' + rng.below(10) as u8)).collect::<String>()
    };
    let (whole, fraction, exponent) = (digits(20), digits(20), digits(2));
    let sign = rng.pick(&["", "-", "+"]);
    let exponent_sign = rng.pick(&["e", "e-", "E+"]);
    let text = match rng.below(3) {
        0 => format!("{sign}{whole}.{fraction}"),
        1 => format!("{sign}0.{fraction}"),
        _ => format!("{sign}{whole}.{fraction}{exponent_sign}{exponent}"),
    };
    text.into_bytes()
}

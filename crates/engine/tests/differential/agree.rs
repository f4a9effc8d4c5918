//! Whether two replies say the same.

use crate::draw::Request;
use crate::harness::reply::Value;

/// The name of a command, in capitals.
pub(crate) fn name(request: &Request) -> String {
    request
        .first()
        .map(|name| String::from_utf8_lossy(name).to_ascii_uppercase())
        .unwrap_or_default()
}

/// An argument, in capitals.
pub(crate) fn word(request: &Request, at: usize) -> String {
    request
        .get(at)
        .map(|word| String::from_utf8_lossy(word).to_ascii_uppercase())
        .unwrap_or_default()
}

/// How far two clocks may be from each other, in ms.
const SLACK: i64 = 3_000;

/// Whether two replies to a command say the same: of collections without order, the same elements;
/// of times, which are taken at different moments, nearly the same.
pub(crate) fn agree(request: &Request, ours: &Value, theirs: &Value) -> bool {
    if ours == theirs {
        return true;
    }
    let (ours, theirs) = (ordered(request, ours), ordered(request, theirs));
    ours == theirs || nearly(request, &ours, &theirs)
}

/// The reply with what has no order put into one.
fn ordered(request: &Request, reply: &Value) -> Value {
    let mut reply = reply.clone();
    match name(request).as_str() {
        "HKEYS" | "HVALS" | "SMEMBERS" | "SINTER" | "SUNION" | "SDIFF" | "KEYS" => {
            reply.sort_by_chunks(1)
        }
        "HGETALL" => reply.sort_by_chunks(2),
        "COMMAND" => reply.sort_deeply(),
        _ => {}
    }
    reply
}

fn nearly(request: &Request, ours: &Value, theirs: &Value) -> bool {
    match name(request).as_str() {
        "TTL" | "EXPIRETIME" => near(ours, theirs, SLACK / 1000),
        "PTTL" | "PEXPIRETIME" => near(ours, theirs, SLACK),
        "OBJECT" if word(request, 1) == "IDLETIME" => near(ours, theirs, SLACK / 1000),
        // A payload carries the version of its server.
        "DUMP" => matches!((ours, theirs), (Value::Bulk(..), Value::Bulk(..))),
        // [id, consumer, idle, deliveries]
        "XPENDING" => alike(ours, theirs, &|path| path.len() == 2 && path[1] == 2),
        "XINFO" => {
            let mut ours = ours.clone();
            blank_times(&mut ours);
            let mut theirs = theirs.clone();
            blank_times(&mut theirs);
            alike(&ours, &theirs, &|_| false)
        }
        "XADD" => {
            let ms = |id: &Value| {
                String::from_utf8_lossy(id.bytes())
                    .split('-')
                    .next()
                    .and_then(|ms| ms.parse::<i64>().ok())
            };
            request.iter().any(|arg| arg == b"*")
                && ms(ours).zip(ms(theirs)).is_some_and(|(a, b)| (a - b).abs() <= SLACK)
        }
        _ => false,
    }
}

fn near(ours: &Value, theirs: &Value, slack: i64) -> bool {
    let near = |(a, b): (i64, i64)| a >= 0 && b >= 0 && (a - b).abs() <= slack;
    ours.integer().zip(theirs.integer()).is_some_and(near)
}

/// Equal, but for integers at certain places, which are near each other.
fn alike(ours: &Value, theirs: &Value, is_time: &dyn Fn(&[usize]) -> bool) -> bool {
    fn walk(
        ours: &Value,
        theirs: &Value,
        path: &mut Vec<usize>,
        is_time: &dyn Fn(&[usize]) -> bool,
    ) -> bool {
        match (ours, theirs) {
            (Value::Many(a, ours), Value::Many(b, theirs))
                if a == b && ours.len() == theirs.len() =>
            {
                ours.iter().zip(theirs).enumerate().all(|(at, (ours, theirs))| {
                    path.push(at);
                    let same = walk(ours, theirs, path, is_time);
                    path.pop();
                    same
                })
            }
            _ => ours == theirs || is_time(path) && near(ours, theirs, SLACK),
        }
    }
    walk(ours, theirs, &mut Vec::new(), is_time)
}

/// Rounds the times in a reply of XINFO away: `idle`, `inactive`, `seen-time`, `active-time`, and
/// the times of delivery in what is pending.
fn blank_times(reply: &mut Value) {
    let Some(parts) = reply.parts_mut() else { return };
    let is_row = |part: &Value| {
        matches!(part.parts(), [Value::Bulk(..), .., Value::Line(b':', _), Value::Line(b':', _)])
    };
    for at in 0..parts.len() {
        let named = at > 0
            && matches!(
                parts[at - 1].bytes(),
                b"idle" | b"inactive" | b"seen-time" | b"active-time"
            );
        let pending = at > 0 && matches!(parts[at - 1].bytes(), b"pel" | b"pending");
        if named && parts[at].integer().is_some_and(|time| time >= 0) {
            parts[at] = Value::Bulk(b'?', b"a time".to_vec());
        } else if pending {
            for row in parts[at].parts_mut().into_iter().flatten().filter(|row| is_row(row)) {
                let cells = row.parts_mut().expect("it is a row");
                let time = cells.len() - 2;
                if cells[time].integer().is_some_and(|time| time >= 1_000_000_000_000) {
                    cells[time] = Value::Bulk(b'?', b"a time".to_vec());
                }
            }
        } else {
            blank_times(&mut parts[at]);
        }
    }
}

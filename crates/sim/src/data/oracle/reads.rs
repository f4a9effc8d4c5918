//! What is read was written: by somebody, to this key, once, and not by a refused operation.

use super::{Kind, Operation, Oracle, Outcome};
use std::collections::{BTreeMap, HashMap, HashSet};

/// The length of the tokens that APPEND writes.
pub(crate) const TOKEN: usize = 10;

/// Every read that gave what nobody has written.
pub(super) fn check(operations: &[Operation]) -> Vec<String> {
    let mut writers: HashMap<(&[u8], &[u8]), &Operation> = HashMap::new();
    let mut increments: BTreeMap<&[u8], Vec<u64>> = BTreeMap::new();
    for operation in operations {
        match &operation.kind {
            Kind::Set(value) | Kind::Append(value) => {
                writers.insert((&operation.key, value), operation);
            }
            Kind::Incr if operation.outcome != Outcome::Refused => {
                increments.entry(&operation.key).or_default().push(operation.asked);
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    for operation in operations {
        let Some(value) = operation.value() else { continue };
        let wrong = match (operation.key.first(), &operation.kind) {
            (Some(b'r'), Kind::Get) => check_value(&writers, operation, value),
            (Some(b'a'), Kind::Get) => check_tokens(&writers, operation, value),
            (Some(b'c'), Kind::Get | Kind::Incr) => {
                let asked = increments.get(&operation.key[..]);
                check_count(asked.map_or(&[], |asked| &asked[..]), operation, value)
            }
            _ => None,
        };
        found.extend(wrong.map(|wrong| format!("{}: {wrong}", operation.key.escape_ascii())));
    }
    found
}

type Writers<'a> = HashMap<(&'a [u8], &'a [u8]), &'a Operation>;

fn check_value(writers: &Writers<'_>, read: &Operation, value: &[u8]) -> Option<String> {
    let shown = value[..value.len().min(20)].escape_ascii();
    match writers.get(&(&read.key[..], value)) {
        None => Some(format!("nobody has written {shown}")),
        Some(write) if write.outcome == Outcome::Refused => {
            Some(format!("{shown} was refused, and is read"))
        }
        Some(write) if write.asked > read.done => {
            Some(format!("{shown} is read before it is written"))
        }
        Some(_) => None,
    }
}

fn check_tokens(writers: &Writers<'_>, read: &Operation, value: &[u8]) -> Option<String> {
    let mut tokens: Vec<&[u8]> = value.chunks(TOKEN).collect();
    let wrong = tokens.iter().find_map(|token| check_value(writers, read, token));
    let count = tokens.len();
    tokens.sort_unstable();
    tokens.dedup();
    wrong.or_else(|| (tokens.len() < count).then(|| "a token is there twice".to_owned()))
}

fn check_count(asked: &[u64], read: &Operation, value: &[u8]) -> Option<String> {
    let count = asked.partition_point(|asked| *asked < read.done);
    let value: usize = std::str::from_utf8(value).ok()?.parse().ok()?;
    (value > count).then(|| format!("counts {value}, but INCR was asked {count} times"))
}

impl Oracle {
    /// The acknowledged tokens and increments that are not in the present values.
    pub(crate) fn lost_writes(&self, value_of: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Vec<String> {
        let mut by_key: BTreeMap<&[u8], Vec<&Operation>> = BTreeMap::new();
        for operation in self.operations.iter().filter(|operation| operation.is_acknowledged()) {
            by_key.entry(&operation.key).or_default().push(operation);
        }
        let mut lost = Vec::new();
        for (key, operations) in by_key {
            let value = value_of(key).unwrap_or_default();
            let there: HashSet<&[u8]> = value.chunks(TOKEN).collect();
            let mut increments = 0;
            for operation in operations {
                match &operation.kind {
                    Kind::Incr => increments += 1,
                    Kind::Append(token) if !there.contains(&token[..]) => {
                        lost.push(format!("{} of {}", token.escape_ascii(), key.escape_ascii()));
                    }
                    _ => {}
                }
            }
            let counted = std::str::from_utf8(&value).ok().and_then(|value| value.parse().ok());
            if key.first() == Some(&b'c') && counted.unwrap_or(0) < increments {
                lost.push(format!("{counted:?} of {increments} in {}", key.escape_ascii()));
            }
        }
        lost
    }
}

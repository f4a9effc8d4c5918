//! Within a reign the operations on each key are linearizable.
//!
//! Values that are written by SET are unique. For such registers the check is exact (Gibbons and
//! Korach, "Testing shared memories", 1997): a write and the reads of its value are a cluster. From
//! the first end of any of these operations to the last begin of any of them the register must hold
//! the value. Where the end comes first, the cluster has a *forward* zone; otherwise a *backward*
//! zone, in which it has the value at some moment. Forward zones do not overlap, and no backward
//! zone lies within a forward one.
//!
//! DEL writes nothing that could be told apart: it counts as a cluster without reads, and a read of
//! nothing is checked by itself. INCR and APPEND tell their order by their answers.

use super::reads::TOKEN;
use super::{Kind, Operation, Reign};
use std::collections::{BTreeMap, HashMap};

/// The operations on a key that may take effect in a reign.
struct Era<'a> {
    reign: Reign,
    /// Those that were answered by it.
    own: Vec<&'a Operation>,
}

/// Every history of a key that cannot be put in order.
pub(super) fn check(operations: &[Operation], reigns: &[Reign]) -> Vec<String> {
    let mut eras: BTreeMap<(u64, &[u8]), Vec<&Operation>> = BTreeMap::new();
    let mut by_key: HashMap<&[u8], Vec<&Operation>> = HashMap::new();
    for operation in operations {
        by_key.entry(&operation.key).or_default().push(operation);
        if let Some(reign) = operation.reign {
            eras.entry((reign, &operation.key)).or_default().push(operation);
        }
    }
    let mut found = Vec::new();
    for ((number, key), own) in eras {
        let era = Era { reign: reigns[number as usize], own };
        let wrong = match key.first() {
            Some(b'r') => era.check_register(&by_key[key]),
            Some(b'c') => era.check_counter(),
            _ => era.check_tokens(),
        };
        let process = era.reign.process;
        found
            .extend(wrong.map(|wrong| format!("{process:?}, key {}: {wrong}", key.escape_ascii())));
    }
    found
}

/// The time in which a cluster holds the register.
#[derive(Clone, Copy, Debug)]
struct Zone {
    first_end: u64,
    last_begin: u64,
}

impl Zone {
    fn is_forward(self) -> bool {
        self.first_end < self.last_begin
    }

    fn span(self) -> (u64, u64) {
        (self.first_end.min(self.last_begin), self.first_end.max(self.last_begin))
    }
}

impl Era<'_> {
    /// When a write may have taken effect here: what another process was asked came with the data
    /// of which the reign began.
    fn times(&self, write: &Operation) -> (u64, u64) {
        if write.process == self.reign.process {
            (write.asked, write.done)
        } else {
            (0, self.reign.since)
        }
    }

    fn check_register(&self, all: &[&Operation]) -> Option<String> {
        let mut zones: BTreeMap<&[u8], Zone> = BTreeMap::new();
        let mut deletions = Vec::new();
        for operation in &self.own {
            match &operation.kind {
                Kind::Del => {
                    let (last_begin, first_end) = (operation.asked, operation.done);
                    deletions.push(Zone { first_end, last_begin });
                }
                Kind::Set(value) => join(&mut zones, value, operation.asked, operation.done),
                Kind::Get => {
                    if let Some(value) = operation.value() {
                        join(&mut zones, value, operation.asked, operation.done);
                    }
                }
                _ => {}
            }
        }
        // The writes whose values were read here, but which were not answered here.
        for write in all {
            if let Kind::Set(value) = &write.kind
                && zones.contains_key(&value[..])
            {
                let (asked, done) = self.times(write);
                join(&mut zones, value, asked, done);
            }
        }
        let zones: Vec<Zone> = zones.into_values().chain(deletions).collect();
        overlap(&zones).or_else(|| self.check_absence(all))
    }

    /// A read of nothing needs a deletion, unless no write is surely before it.
    fn check_absence(&self, all: &[&Operation]) -> Option<String> {
        let reads = self.own.iter().filter(|read| read.kind == Kind::Get && read.value().is_none());
        for read in reads {
            let lost = self.own.iter().find(|write| {
                matches!(write.kind, Kind::Set(_)) && write.done < read.asked && {
                    !all.iter().any(|deletion| {
                        let (asked, done) = self.times(deletion);
                        deletion.kind == Kind::Del && done > write.asked && asked < read.done
                    })
                }
            });
            if let Some(lost) = lost {
                return Some(format!("the write of step {} is gone at {}", lost.asked, read.asked));
            }
        }
        None
    }

    /// Counters only grow, in the order of time.
    fn check_counter(&self) -> Option<String> {
        let number = |operation: &Operation| -> Option<u64> {
            std::str::from_utf8(operation.value().unwrap_or(b"0")).ok()?.parse().ok()
        };
        let mut by_end: Vec<(u64, u64)> = Vec::new();
        let mut seen = Vec::new();
        let mut own = self.own.clone();
        own.sort_by_key(|operation| operation.asked);
        by_end.extend(own.iter().filter_map(|op| Some((op.done, number(op)?))));
        by_end.sort_unstable();
        let (mut ended, mut most) = (0, 0);
        for operation in own {
            while ended < by_end.len() && by_end[ended].0 < operation.asked {
                most = most.max(by_end[ended].1);
                ended += 1;
            }
            let value = number(operation)?;
            let is_increment = operation.kind == Kind::Incr;
            if value < most || (is_increment && value == most) {
                return Some(format!("{value} comes after {most}, step {}", operation.asked));
            }
            if is_increment {
                seen.push(value);
            }
        }
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        (seen.len() < count).then(|| "two increments have one result".to_owned())
    }

    /// What was appended, or seen, before a read began is in what it gives, in its order.
    fn check_tokens(&self) -> Option<String> {
        let mut own = self.own.clone();
        own.sort_by_key(|operation| operation.done);
        let mut longest: Option<(&Operation, &[u8])> = None;
        let mut appended: Vec<(&Operation, &[u8])> = Vec::new();
        for operation in own {
            match &operation.kind {
                Kind::Append(token) => appended.push((operation, token)),
                Kind::Get => {
                    let value = operation.value().unwrap_or_default();
                    if let Some((before, known)) = longest
                        && before.done < operation.asked
                        && !value.starts_with(known)
                    {
                        let step = operation.asked;
                        return Some(format!("step {step} does not extend what was read"));
                    }
                    if let Some(lost) = lost_token(&appended, operation, value) {
                        return Some(lost);
                    }
                    if longest.is_none_or(|(_, known)| known.len() < value.len()) {
                        longest = Some((operation, value));
                    }
                }
                _ => {}
            }
        }
        None
    }
}

/// A token that was appended before the read, which is missing or stands in the wrong order.
/// `appended` is in the order of the ends.
fn lost_token(appended: &[(&Operation, &[u8])], read: &Operation, value: &[u8]) -> Option<String> {
    let places: HashMap<&[u8], usize> =
        value.chunks(TOKEN).enumerate().map(|(at, token)| (token, at)).collect();
    // For each end: the last place of all tokens that were appended by then.
    let mut last_places: Vec<(u64, usize)> = Vec::new();
    for (write, token) in appended.iter().filter(|(write, _)| write.done < read.asked) {
        let Some(&at) = places.get(token) else {
            return Some(format!("{} is lost at step {}", token.escape_ascii(), read.asked));
        };
        let ended = last_places.partition_point(|(done, _)| *done < write.asked);
        if ended > 0 && last_places[ended - 1].1 > at {
            return Some(format!("{} stands before earlier ones", token.escape_ascii()));
        }
        let last = last_places.last().map_or(at, |(_, last)| at.max(*last));
        last_places.push((write.done, last));
    }
    None
}

fn join<'a>(zones: &mut BTreeMap<&'a [u8], Zone>, value: &'a [u8], asked: u64, done: u64) {
    let zone = zones.entry(value).or_insert(Zone { first_end: done, last_begin: asked });
    zone.first_end = zone.first_end.min(done);
    zone.last_begin = zone.last_begin.max(asked);
}

fn overlap(zones: &[Zone]) -> Option<String> {
    let mut forward: Vec<(u64, u64)> =
        zones.iter().filter(|zone| zone.is_forward()).map(|zone| zone.span()).collect();
    forward.sort_unstable();
    if let Some(pair) = forward.windows(2).find(|pair| pair[0].1 > pair[1].0) {
        return Some(format!("two values are held at once: {:?} and {:?}", pair[0], pair[1]));
    }
    zones.iter().filter(|zone| !zone.is_forward()).find_map(|zone| {
        let (begin, end) = zone.span();
        let around = forward.iter().find(|(from, to)| *from < begin && end < *to)?;
        Some(format!("a write at {begin} to {end} leaves no trace in {around:?}"))
    })
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::*;

    /// Operations of one process on the register: what is asked from when to when. A value in
    /// lower case is written, in upper case read; `-` is a deletion, `_` reads nothing.
    fn story(what: &[(char, u64, u64)]) -> Vec<String> {
        let operations: Vec<Operation> = what
            .iter()
            .map(|&(what, asked, done)| {
                let value = vec![what.to_ascii_lowercase() as u8];
                let (kind, answer) = match what {
                    '-' => (Kind::Del, None),
                    '_' => (Kind::Get, None),
                    'a'..='z' => (Kind::Set(value), None),
                    _ => (Kind::Get, Some(value)),
                };
                Operation {
                    key: b"r".to_vec(),
                    kind,
                    process: (0, 1),
                    reign: Some(0),
                    asked,
                    done,
                    outcome: Outcome::Acknowledged(answer),
                    asked_at: asked,
                }
            })
            .collect();
        check(&operations, &[Reign { process: (0, 1), since: 0 }])
    }

    #[test]
    fn histories_that_can_be_put_in_order_are_accepted_and_others_are_not() {
        for (what, is_possible) in [
            (&[('a', 1, 2), ('A', 3, 4)][..], true),
            // A read during a write gives the old value or the new one, and never goes back.
            (&[('a', 1, 2), ('b', 3, 9), ('A', 4, 5), ('B', 6, 7)], true),
            (&[('a', 1, 2), ('b', 3, 9), ('B', 4, 5), ('A', 6, 7)], false),
            // A write that was acknowledged is lost.
            (&[('a', 1, 2), ('b', 3, 4), ('A', 5, 6)], false),
            (&[('a', 1, 2), ('_', 3, 4)], false),
            (&[('a', 1, 2), ('-', 3, 4), ('A', 5, 6)], false),
            (&[('a', 1, 2), ('-', 3, 9), ('_', 4, 5)], true),
            (&[('a', 1, 2), ('-', 3, 9), ('A', 4, 5)], true),
            (&[('-', 1, 2), ('a', 3, 4), ('_', 5, 6)], false),
        ] {
            assert_eq!(story(what).is_empty(), is_possible, "{what:?}");
        }
    }
}

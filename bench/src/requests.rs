//! Requests, built once and then only given other keys.
//!
//! A batch is one buffer that holds P whole commands. Between sends only the twelve digits of each
//! key change, so that making a batch costs a few nanoseconds for each command.

use tessera_slot::{Slot, SlotSet};

/// Digits of a key's number.
const DIGITS: usize = 12;
/// What stands before them.
const KEY_PREFIX: &str = "key:";

/// Which commands a batch consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Workload {
    /// SET key value.
    Set,
    /// GET key.
    Get,
    /// SET and GET in turn.
    Mixed,
}

impl Workload {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Workload::Set => "SET",
            Workload::Get => "GET",
            Workload::Mixed => "mixed",
        }
    }
}

/// A buffer of commands whose keys can be changed in place.
#[derive(Clone, Debug)]
pub struct Batch {
    bytes: Vec<u8>,
    /// For each command: where its key's digits are, and where it ends.
    commands: Vec<(usize, usize)>,
}

impl Batch {
    /// `pipeline` commands with values of `value_size` bytes.
    pub fn new(workload: Workload, pipeline: usize, value_size: usize) -> Batch {
        let mut batch = Batch { bytes: Vec::new(), commands: Vec::new() };
        for at in 0..pipeline {
            let set = match workload {
                Workload::Set => true,
                Workload::Get => false,
                Workload::Mixed => at % 2 == 0,
            };
            batch.add(set, value_size);
        }
        batch
    }

    fn add(&mut self, set: bool, value_size: usize) {
        let header: &[u8] = if set { b"*3\r\n$3\r\nSET\r\n" } else { b"*2\r\n$3\r\nGET\r\n" };
        self.bytes.extend(header);
        self.bytes.extend(format!("${}\r\n{KEY_PREFIX}", KEY_PREFIX.len() + DIGITS).bytes());
        let digits = self.bytes.len();
        self.bytes.extend([b'0'; DIGITS]);
        self.bytes.extend(b"\r\n");
        if set {
            self.bytes.extend(format!("${value_size}\r\n").bytes());
            self.bytes.extend(std::iter::repeat_n(b'x', value_size));
            self.bytes.extend(b"\r\n");
        }
        self.commands.push((digits, self.bytes.len()));
    }

    /// Gives the commands the next keys; how many got one, which is fewer than all only when
    /// the keys come to an end.
    pub fn fill(&mut self, keys: &mut Keys) -> usize {
        for (filled, &(digits, _)) in self.commands.iter().enumerate() {
            match keys.next_key() {
                Some(number) => write_digits(&mut self.bytes[digits..digits + DIGITS], number),
                None => return filled,
            }
        }
        self.commands.len()
    }

    /// The bytes of the first `count` commands.
    pub fn first(&self, count: usize) -> &[u8] {
        let end = count.checked_sub(1).map_or(0, |last| self.commands[last].1);
        &self.bytes[..end]
    }
}

fn write_digits(place: &mut [u8], mut number: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// The key of this number, as the commands carry it.
fn key(number: u64) -> [u8; KEY_PREFIX.len() + DIGITS] {
    let mut key = [0; KEY_PREFIX.len() + DIGITS];
    key[..KEY_PREFIX.len()].copy_from_slice(KEY_PREFIX.as_bytes());
    write_digits(&mut key[KEY_PREFIX.len()..], number);
    key
}

/// In which order keys come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Any of this many, each as likely, without end.
    Random {
        /// How many there are.
        space: u64,
    },
    /// Each of this many once.
    Once {
        /// How many there are.
        space: u64,
    },
}

/// A source of key numbers.
#[derive(Clone, Debug)]
pub struct Keys {
    order: Order,
    state: u64,
    /// The slots of the node that they are for; `None`: all.
    slots: Option<SlotSet>,
    /// Every how many numbers there is one of ours, when each key comes once.
    stride: u64,
}

impl Keys {
    /// Keys in this order, only those of `slots` if given. A seed gives the same random keys again.
    pub fn new(order: Order, seed: u64, slots: Option<SlotSet>) -> Keys {
        let state = match order {
            Order::Random { .. } => seed,
            Order::Once { .. } => 0,
        };
        Keys { order, state, slots, stride: 1 }
    }

    /// The part number `part` of `parts` of the keys, if each comes once; random keys stay as
    /// they are.
    pub fn share(mut self, part: u64, parts: u64) -> Keys {
        if let Order::Once { .. } = self.order {
            self.state = part;
            self.stride = parts.max(1);
        }
        self
    }

    /// The next number, or `None` at the end.
    pub fn next_key(&mut self) -> Option<u64> {
        loop {
            let number = match self.order {
                Order::Random { space } => self.random() % space.max(1),
                Order::Once { space } if self.state >= space => return None,
                Order::Once { .. } => {
                    let number = self.state;
                    self.state += self.stride;
                    number
                }
            };
            match &self.slots {
                Some(slots) if !slots.contains(Slot::of_key(&key(number))) => {}
                _ => return Some(number),
            }
        }
    }

    /// SplitMix64 (Steele, Lea, Flood 2014): good enough to spread keys, and a few instructions.
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_whole_commands() {
        let mut batch = Batch::new(Workload::Mixed, 2, 3);
        let mut keys = Keys::new(Order::Once { space: 100 }, 0, None);
        assert_eq!(batch.fill(&mut keys), 2);
        assert_eq!(
            batch.first(2),
            b"*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000000\r\n$3\r\nxxx\r\n\
              *2\r\n$3\r\nGET\r\n$16\r\nkey:000000000001\r\n"
        );
        assert_eq!(batch.first(0), b"");
    }

    #[test]
    fn keys_once_come_to_an_end() {
        let mut batch = Batch::new(Workload::Get, 4, 0);
        let mut keys = Keys::new(Order::Once { space: 6 }, 0, None);
        assert_eq!(batch.fill(&mut keys), 4);
        assert_eq!(batch.fill(&mut keys), 2);
        assert!(batch.first(2).ends_with(b"key:000000000005\r\n"));
        assert_eq!(batch.fill(&mut keys), 0);
    }

    #[test]
    fn nodes_and_connections_share_the_keys_without_overlap() {
        let mut seen = vec![0; 1000];
        let half = u16::try_from(tessera_slot::SLOT_COUNT / 2).expect("it is 8192");
        let (mut low, mut high) = (SlotSet::default(), SlotSet::default());
        for slot in Slot::all() {
            if slot.number() < half {
                low.insert(slot)
            } else {
                high.insert(slot)
            };
        }
        for slots in [low, high] {
            for part in 0..3 {
                let keys = Keys::new(Order::Once { space: 1000 }, 0, Some(slots.clone()));
                let mut keys = keys.share(part, 3);
                while let Some(number) = keys.next_key() {
                    seen[number as usize] += 1;
                }
            }
        }
        assert!(seen.iter().all(|&times| times == 1));
    }

    #[test]
    fn random_keys_reach_the_whole_space() {
        let mut keys = Keys::new(Order::Random { space: 100 }, 7, None);
        let mut seen = [false; 100];
        for _ in 0..5000 {
            seen[keys.next_key().expect("without end") as usize] = true;
        }
        assert!(seen.iter().all(|&seen| seen));
    }
}

//! Requests, built once and then only given other numbers.
//!
//! A batch is one buffer that holds P whole commands. Between sends only the twelve digits of each
//! number change, so that making a batch costs a few nanoseconds for each command.

use anyhow::{Context, Result, bail};
use tessera_slot::{Slot, SlotSet};

/// Digits of a number.
const DIGITS: usize = 12;
/// The text before the number in keys of [`Workload`].
const KEY_PREFIX: &str = "key:";

/// The commands of a batch.
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

    /// Its commands, with values of this many bytes.
    pub fn templates(self, value_size: usize) -> Vec<Template> {
        let key = Word {
            text: KEY_PREFIX.into(),
            number: Some(Number::Key { over: 1, below: u64::MAX }),
        };
        let fixed = |text: Vec<u8>| Word { text, number: None };
        let set =
            || Template(vec![fixed(b"SET".into()), key.clone(), fixed(vec![b'x'; value_size])]);
        let get = || Template(vec![fixed(b"GET".into()), key.clone()]);
        match self {
            Workload::Set => vec![set()],
            Workload::Get => vec![get()],
            Workload::Mixed => vec![set(), get()],
        }
    }
}

/// A command with places for numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Word>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Word {
    text: Vec<u8>,
    /// A number behind the text.
    number: Option<Number>,
}

/// The source of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    /// From the key's number: divided by one, and the rest of a division by the other.
    Key { over: u64, below: u64 },
    /// Random, below this.
    Random(u64),
}

impl Template {
    /// Reads words with spaces between them. A word may end in a place: `{n}` is the number of the
    /// key, `{n/100}` and `{n%100}` are made of it, `{100}` is a random number below 100, and
    /// `{x64}` stands for 64 bytes. Numbers have twelve digits.
    ///
    /// # Errors
    /// If a place is none of these, or not at the end of its word.
    pub fn parse(text: &str) -> Result<Template> {
        text.split(' ').map(parse_word).collect::<Result<_>>().map(Template)
    }
}

fn parse_word(word: &str) -> Result<Word> {
    let Some((text, place)) = word.split_once('{') else {
        return Ok(Word { text: word.into(), number: None });
    };
    let place =
        place.strip_suffix('}').with_context(|| format!("{word}: a place ends its word"))?;
    let count = |digits: &str| match digits.parse::<u64>() {
        Ok(count) if count > 0 => Ok(count),
        _ => bail!("{word}: not a count above 0"),
    };
    let mut text = text.as_bytes().to_vec();
    let number = match place {
        "n" => Some(Number::Key { over: 1, below: u64::MAX }),
        place => match place.split_at(place.len().min(2)) {
            ("n/", over) => Some(Number::Key { over: count(over)?, below: u64::MAX }),
            ("n%", below) => Some(Number::Key { over: 1, below: count(below)? }),
            _ => match place.strip_prefix('x') {
                Some(fill) => {
                    text.resize(text.len() + usize::try_from(count(fill)?)?, b'x');
                    None
                }
                None => Some(Number::Random(count(place)?)),
            },
        },
    };
    Ok(Word { text, number })
}

/// A buffer of commands whose numbers can be changed in place.
#[derive(Clone, Debug)]
pub struct Batch {
    bytes: Vec<u8>,
    /// For each command: its numbers, and where it ends.
    commands: Vec<(Vec<(usize, Number)>, usize)>,
    random: Random,
}

impl Batch {
    /// `pipeline` commands, of the templates in turn. A seed gives the same random numbers again.
    pub fn new(templates: &[Template], pipeline: usize, seed: u64) -> Batch {
        let mut batch = Batch { bytes: Vec::new(), commands: Vec::new(), random: Random(seed) };
        templates.iter().cycle().take(pipeline).for_each(|template| batch.add(template));
        batch
    }

    fn add(&mut self, template: &Template) {
        let mut places = Vec::new();
        self.bytes.extend(format!("*{}\r\n", template.0.len()).bytes());
        for word in &template.0 {
            let digits = if word.number.is_some() { DIGITS } else { 0 };
            self.bytes.extend(format!("${}\r\n", word.text.len() + digits).bytes());
            self.bytes.extend(&word.text);
            places.extend(word.number.map(|number| (self.bytes.len(), number)));
            self.bytes.extend(std::iter::repeat_n(b'0', digits));
            self.bytes.extend(b"\r\n");
        }
        self.commands.push((places, self.bytes.len()));
    }

    /// Gives the commands the next numbers; how many got one, which is fewer than all only when
    /// the keys come to an end.
    pub fn fill(&mut self, keys: &mut Keys) -> usize {
        for (filled, (places, _)) in self.commands.iter().enumerate() {
            let Some(key) = keys.next_key() else { return filled };
            for &(at, number) in places {
                let number = match number {
                    Number::Key { over, below } => key / over % below,
                    Number::Random(below) => self.random.next() % below,
                };
                write_digits(&mut self.bytes[at..at + DIGITS], number);
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
    /// The next number, of keys that come once.
    next: u64,
    random: Random,
    /// The slots of the node that they are for; `None`: all.
    slots: Option<SlotSet>,
    /// Every how many numbers there is one of ours, when each key comes once.
    stride: u64,
}

impl Keys {
    /// Keys in this order, only those of `slots` if given. A seed gives the same random keys again.
    pub fn new(order: Order, seed: u64, slots: Option<SlotSet>) -> Keys {
        Keys { order, next: 0, random: Random(seed), slots, stride: 1 }
    }

    /// The part number `part` of `parts` of the keys, if each comes once; random keys stay as
    /// they are.
    pub fn share(mut self, part: u64, parts: u64) -> Keys {
        if let Order::Once { .. } = self.order {
            self.next = part;
            self.stride = parts.max(1);
        }
        self
    }

    /// The next number, or `None` at the end.
    pub(crate) fn next_key(&mut self) -> Option<u64> {
        loop {
            let number = match self.order {
                Order::Random { space } => self.random.next() % space.max(1),
                Order::Once { space } if self.next >= space => return None,
                Order::Once { .. } => {
                    let number = self.next;
                    self.next += self.stride;
                    number
                }
            };
            match &self.slots {
                Some(slots) if !slots.contains(Slot::of_key(&key(number))) => {}
                _ => return Some(number),
            }
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): good enough to spread keys, and a few instructions.
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
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
        let mut batch = Batch::new(&Workload::Mixed.templates(3), 2, 0);
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
    fn templates_have_places() {
        let template = Template::parse("HSET h:{n/3} f:{n%3} {x4} {1}").expect("a template");
        let mut batch = Batch::new(&[template], 2, 0);
        let mut keys = Keys::new(Order::Once { space: 5 }, 0, None).share(4, 1);
        assert_eq!(batch.fill(&mut keys), 1);
        assert_eq!(
            batch.first(1),
            b"*5\r\n$4\r\nHSET\r\n$14\r\nh:000000000001\r\n$14\r\nf:000000000001\r\n\
              $4\r\nxxxx\r\n$12\r\n000000000000\r\n"
        );
        for text in ["GET {", "GET {n}x", "GET {}", "GET {n/0}", "GET {x}", "GET {-1}"] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn keys_once_come_to_an_end() {
        let mut batch = Batch::new(&Workload::Get.templates(0), 4, 0);
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

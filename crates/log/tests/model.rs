//! The history against a plain vector of all bytes ever appended.

use proptest::prelude::*;
use tessera_log::{Log, Reader, ReplId, encode_command};
use tessera_slot::Offset;

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    Read { reader: usize, at_most: usize },
    Open { back: u64 },
    Close(usize),
    Limit(u64),
}

fn a_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop_oneof![0usize..100, 60_000usize..70_000, 0usize..300_000].prop_map(Step::Append),
        4 => (0usize..4, 0usize..200_000).prop_map(|(reader, at_most)| Step::Read { reader, at_most }),
        2 => (0u64..600_000).prop_map(|back| Step::Open { back }),
        1 => (0usize..4).prop_map(Step::Close),
        1 => (0u64..400_000).prop_map(Step::Limit),
    ]
}

proptest! {
    #[test]
    fn readers_see_what_was_appended(steps in prop::collection::vec(a_step(), 1..60)) {
        let name = ReplId::from_random([5; 20]);
        let log = Log::new(name, 100_000);
        log.activate(name);
        let mut limit = 100_000;
        let mut select_needed = true;
        let mut model: Vec<u8> = Vec::new();
        let mut readers: Vec<Reader> = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Append(size) => {
                    let bytes: Vec<u8> = (0..size).map(|at| (at / 7 + number) as u8).collect();
                    if number % 2 == 0 {
                        log.append_raw(0, &bytes);
                        model.extend_from_slice(&bytes);
                    } else {
                        // Large ones become chunks of their own.
                        log.append_command(7, &[&bytes]);
                        if select_needed {
                            encode_command(&mut model, &["SELECT", "7"]);
                        }
                        encode_command(&mut model, &[&bytes]);
                    }
                    select_needed = number % 2 == 0;
                }
                Step::Read { reader, at_most } => {
                    let Some(reader) = readers.get_mut(reader) else { continue };
                    let from = reader.offset().0 as usize;
                    let bytes = reader.peek().unwrap();
                    prop_assert!(model[from..].starts_with(bytes));
                    prop_assert_eq!(bytes.is_empty(), from == model.len());
                    let count = bytes.len().min(at_most);
                    reader.advance(count);
                }
                Step::Open { back } => {
                    let from = Offset((model.len() as u64).saturating_sub(back));
                    match log.open_reader(&name, from) {
                        Ok(reader) => readers.push(reader),
                        Err(_) => prop_assert!(back > limit, "{back} of {limit} bytes refused"),
                    }
                }
                Step::Close(reader) => {
                    if reader < readers.len() {
                        readers.swap_remove(reader);
                    }
                }
                Step::Limit(bytes) => {
                    // Bytes that a larger backlog lacks cannot come back.
                    limit = limit.min(bytes);
                    log.set_backlog_limit(limit);
                }
            }
            prop_assert_eq!(log.offset(), Offset(model.len() as u64));
            prop_assert_eq!(log.reader_count(), readers.len());
            for reader in &readers {
                prop_assert_eq!(reader.lag(), model.len() as u64 - reader.offset().0);
                prop_assert!(log.first_offset() <= reader.offset());
            }
        }
        // Without readers the history takes no more than its limit and the chunks at both ends.
        readers.clear();
        prop_assert!(log.bytes() <= limit + 2 * 300_000);
    }
}
